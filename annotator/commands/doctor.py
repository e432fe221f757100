"""`doctor`: what this machine has and lacks, each lack with the line that mends it. Needs neither Qt nor torch to run."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from annotator.errors import NeuralAnnotError

_QT_LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libzstd.so.1": "libzstd1",
}
_TORCH = """
import torch, torchvision
torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print("|".join([torch.version.cuda or "", *names]))
"""
_GL = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow
window = vtkRenderWindow()
window.SetOffScreenRendering(True)
window.AddRenderer(vtkRenderer())
window.Render()
text = window.ReportCapabilities()
print(next((l.split(":", 1)[1].strip() for l in text.splitlines() if "renderer string" in l), "unknown"))
"""
_FREE_GB = 10


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        found: what is there, in a few words.
        mend: the line that mends the lack; empty where nothing lacks.
        essential: whether the program cannot do its main work without it.
    """

    name: str
    ok: bool
    found: str
    mend: str = ""
    essential: bool = True


def report() -> list[Check]:
    """Every check, in the order of the screen."""
    return [*_python(), *_torch(), _gl(), _qt(), _screen(), _body(), _weights(), _disk()]


def text(checks: list[Check]) -> str:
    """The report as lines."""
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    for check in checks:
        mark = "ok  " if check.ok else "LACK" if check.essential else "note"
        lines.append(f"{mark}  {check.name:<{width}}  {check.found}")
        if check.mend:
            lines.append(f"{'':<{width + 8}}{check.mend}")
    return "\n".join(lines)


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= (3, 11)
    yield Check("Python", ok, version, "" if ok else "Install Python 3.11 or newer, then `make setup`.")


def _torch() -> Iterator[Check]:
    versions = {name: _version(name) for name in ("torch", "torchvision")}
    if missing := [name for name, version in versions.items() if not version]:
        yield Check("torch", False, f"{' and '.join(missing)} not installed (needed to run annotators)", "make setup")
        return
    pair = " and ".join(f"{name} {version}" for name, version in versions.items())
    code, out = _try(_TORCH)
    if code != 0:
        mend = ".venv/bin/uv pip install --reinstall torch torchvision   (both, from the same registry)"
        yield Check("torch", False, f"{pair} do not work together: {out}", mend)
        return
    cuda, *names = out.split("|")
    yield Check("torch", True, f"{pair}, built for {'CUDA ' + cuda if cuda else 'CPU'}")
    found = ", ".join(names) if names else "no usable GPU; training runs on the CPU"
    yield Check("CUDA", bool(names), found, essential=False)


def _gl() -> Check:
    if not _version("vtk"):
        return Check("OpenGL", False, "VTK is not installed (needed to draw)", "make setup", essential=False)
    code, out = _try(_GL)
    if code != 0:
        mend = "sudo apt-get install libgl1 libegl1 libgl1-mesa-dri libglx-mesa0"
        return Check("OpenGL", False, f"nothing can be rendered: {out}", mend, essential=False)
    software = "llvmpipe" in out.lower() or "softpipe" in out.lower()
    return Check("OpenGL", True, f"{out}{' (software)' if software else ''}")


def _qt() -> Check:
    if not _version("PySide6_Essentials"):
        return Check("Qt", False, "PySide6 is not installed (needed by the window)", "make setup", essential=False)
    missing = [package for library, package in _QT_LIBRARIES.items() if not _loads(library)]
    if missing:
        return Check(
            "Qt",
            False,
            f"{len(missing)} libraries are missing",
            f"sudo apt-get install {' '.join(missing)}",
            essential=False,
        )
    return Check("Qt", True, f"PySide6 {_version('PySide6_Essentials')} and its {len(_QT_LIBRARIES)} libraries")


def _screen() -> Check:
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    found = display or "none; the window is saved as pictures instead"
    return Check("Screen", bool(display), found, essential=False)


def _body() -> Check:
    from annotator.bodies.files import load_body_model
    from annotator.bodies.layouts import OPEN_BODY, default_root

    try:
        bodies = {name: load_body_model(default_root(), name) for name in OPEN_BODY}
    except NeuralAnnotError as error:
        return Check("Open body", False, str(error), "git checkout resources/open_body")
    body = bodies["smplx"]
    return Check("Open body", True, f"{len(body.v_template):,} vertices, hash {body.hash}; {', '.join(bodies)}")


def _weights() -> Check:
    hub = Path(os.environ.get("TORCH_HOME", Path.home() / ".cache" / "torch")) / "hub" / "checkpoints"
    found = sorted(path.name for path in hub.glob("resnet*.pth"))
    words = ", ".join(found) if found else "not cached; the recipe `paper` fetches them when it first runs"
    return Check("ImageNet weights", bool(found), words, essential=False)


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    ok = free > _FREE_GB
    return Check(
        "Disk", ok, f"{free:,.0f} GB free here", "" if ok else f"Make room: crops and runs want {_FREE_GB} GB."
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _try(code: str) -> tuple[int, str]:
    """Exit status and last line of a few lines of Python in a process of their own: a crash there is a finding."""
    command = [sys.executable, "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        return 1, "no answer within two minutes"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode, lines[-1] if lines else f"ended with code {done.returncode}"
