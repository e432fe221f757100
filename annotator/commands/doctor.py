"""`doctor`: what this machine has and lacks, each lack with the line that mends it. Needs neither Qt nor torch to run."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from annotator.commands.table import Table
from annotator.errors import NeuralAnnotError
from annotator.progress import Progress

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
import json, torch, torchvision
torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
print(json.dumps([torch.version.cuda or "", [torch.cuda.get_device_name(i) for i in range(count)]]))
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
PAPER_WEIGHTS = "resnet50-11ad3fa6.pth"
"""The file of torchvision that the recipe `paper` starts from; the name ends with the head of its sha256."""


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


def doctor() -> Generator[Progress, None, Table]:
    """Every check, in the order of the screen."""
    looks: tuple[Callable[[], Iterator[Check]], ...] = (
        *(_python, _torch, _gl, _qt, _screen),
        *(_body, _weights, _disk),
    )
    checks: list[Check] = []
    for number, look in enumerate(looks):
        yield Progress("Looking at this machine", number, len(looks), "checks")
        checks += look()
    yield Progress("Looking at this machine", len(looks), len(looks), "checks")
    lacking = [check.name for check in checks if not check.ok and check.essential]
    lack = f"The program cannot do without: {', '.join(lacking)}; the line under each mends it." if lacking else ""
    return Table("", (), (), tuple(_lines(checks)), lack)


def _lines(checks: list[Check]) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = "ok  " if check.ok else "LACK" if check.essential else "note"
        yield f"{mark}  {check.name:<{width}}  {check.found}"
        if check.mend:
            yield f"{'':<{width + 8}}{check.mend}"


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
    built, names = json.loads(out)
    yield Check("torch", True, f"{pair}, built for {'CUDA ' + built if built else 'CPU'}")
    yield cuda_check(built, _driver(), names)


def _driver() -> int:
    """The newest CUDA that the NVIDIA driver knows, as 1000 major + 10 minor; 0 without a driver."""
    version = ctypes.c_int(0)
    try:
        ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return 0
    return version.value


def cuda_check(built: str, driver: int, names: list[str]) -> Check:
    """What there is of GPUs.

    Args:
        built: the CUDA that torch was built for, as "12.6"; empty for none.
        driver: the newest that the driver knows, as `_driver` says it. A torch built for the same major number will do.
        names: of the GPUs that torch may use.
    """
    if names:
        return Check("CUDA", True, ", ".join(names))
    major, minor = driver // 1000, driver % 1000 // 10
    if not built:
        found = "this torch is built for the CPU alone"
        mend = "With an NVIDIA GPU: .venv/bin/uv pip install --reinstall torch torchvision   (both, built for CUDA)"
    elif not driver:
        found = "no NVIDIA driver found"
        mend = "With an NVIDIA GPU: sudo apt-get install nvidia-driver   (Ubuntu: sudo ubuntu-drivers install); restart"
    elif major < int(built.split(".", maxsplit=1)[0]):
        found = f"the NVIDIA driver knows CUDA {major}.{minor}, too old for this torch (CUDA {built})"
        mend = (
            "sudo apt-get install nvidia-driver   (Ubuntu: sudo ubuntu-drivers install); restart; or install a torch "
            f"and torchvision built for CUDA {major}"
        )
    else:
        found = "a driver, and no GPU that torch may use"
        mend = "See what `nvidia-smi` says; unset CUDA_VISIBLE_DEVICES; start a container with --gpus all"
    return Check("CUDA", False, f"{found}; training runs on the CPU", mend, essential=False)


def _gl() -> Iterator[Check]:
    if not _version("vtk"):
        yield Check("OpenGL", False, "VTK is not installed (needed to draw)", "make setup", essential=False)
        return
    code, out = _try(_GL)
    if code != 0:
        mend = "sudo apt-get install libgl1 libegl1 libgl1-mesa-dri libglx-mesa0"
        yield Check("OpenGL", False, f"nothing can be rendered: {out}", mend, essential=False)
        return
    software = "llvmpipe" in out.lower() or "softpipe" in out.lower()
    yield Check("OpenGL", True, f"{out}{' (software)' if software else ''}")


def _qt() -> Iterator[Check]:
    if not _version("PySide6_Essentials"):
        yield Check("Qt", False, "PySide6 is not installed (needed by the window)", "make setup", essential=False)
    elif missing := [package for library, package in _QT_LIBRARIES.items() if not _loads(library)]:
        mend = f"sudo apt-get install {' '.join(missing)}"
        yield Check("Qt", False, f"{len(missing)} libraries are missing", mend, essential=False)
    else:
        yield Check("Qt", True, f"PySide6 {_version('PySide6_Essentials')} and its {len(_QT_LIBRARIES)} libraries")


def _screen() -> Iterator[Check]:
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if display:
        yield Check("Screen", True, display)
        return
    install = "" if shutil.which("xvfb-run") else "sudo apt-get install xvfb && "
    mend = f"{install}xvfb-run -a -s '-screen 0 1600x1000x24' .venv/bin/python main.py   (or from a desk: ssh -X)"
    yield Check("Screen", False, "none; the window is saved as pictures instead", mend, essential=False)


def _body() -> Iterator[Check]:
    from annotator.bodies.files import OPEN_BODY, default_root, load_body_model

    try:
        bodies = {name: load_body_model(default_root(), name) for name in OPEN_BODY}
    except NeuralAnnotError as error:
        yield Check("Open body", False, str(error), "git checkout resources/open_body")
        return
    body = bodies["smplx"]
    yield Check("Open body", True, f"{len(body.v_template):,} vertices, hash {body.hash}; {', '.join(bodies)}")


def _weights() -> Iterator[Check]:
    file = checkpoints() / PAPER_WEIGHTS
    name = "ImageNet weights"
    if file.is_file() and _head_of_sha256(file) == file.stem.rsplit("-", 1)[1]:
        yield Check(name, True, str(file))
        return
    found = "damaged" if file.exists() else "not here"
    fetch = ".venv/bin/python -c \"import torchvision; torchvision.models.resnet50(weights='DEFAULT')\""
    words = f"{PAPER_WEIGHTS} is {found}; the recipe `paper` fetches it when it first runs"
    mend = f"{'rm ' + str(file) + ' && ' if file.exists() else ''}{fetch}   (or copy it to {file})"
    yield Check(name, False, words, mend, essential=False)


def checkpoints() -> Path:
    """Where torch keeps weights that it fetched."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("TORCH_HOME") or f"{cache}/torch").expanduser() / "hub" / "checkpoints"


def _head_of_sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:8]
    except OSError:
        return ""


def _disk() -> Iterator[Check]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    mend = "" if free > _FREE_GB else f"Make room: crops and runs want {_FREE_GB} GB."
    yield Check("Disk", not mend, f"{free:,.0f} GB free here", mend)


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
