"""Our evaluators against the smplx package, on a model of SMPL-X's official size and on the open body.

The reference arm is the package as a user runs it; ours runs as shipped. Arms take turns in one process. A second pass with
glibc's allocator tuned, for both arms alike, tells what of the ratio is the allocator's (it keeps big blocks in place of
giving them back to the kernel at every call). Ratios are of wall time; those of processor time stand beside them, because
they hardly change while other programs want the same cores.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._claims import Report, options  # noqa: E402
from benchmarks._official import official_smpl  # noqa: E402

BATCH = 256
PICKLES = {"binary": 2, "text": 0}
"""Protocols of Python 2's pickles."""
VERTICES, FACES = 10_475, 20_908
PACKAGE_POINTS = 55 + 21 + 51
"""What the package calls joints, without the contour."""
_TIPS = [first + tip for first in (91, 112) for tip in (4, 8, 12, 16, 20)]
EXTRA = [0, 2, 1, 4, 3, *range(17, 23), *_TIPS, *range(23 + 17, 23 + 68)]
"""The last 72 of them in COCO-WholeBody's order: nose, eyes, ears, feet, finger tips, inner landmarks."""


def official_size(folder: Path) -> Path:
    """A folder with a random SMPL-X of the official size: dense pose blend rows, four skinning weights a vertex."""
    from annotator.bodies.files import LAYOUTS, content_hash, default_root, read_model
    from annotator.bodies.layouts import CONTOUR_KEYS

    rng = np.random.default_rng(0)
    source = read_model(default_root(), "smplx")
    weights = np.zeros((VERTICES, 55), np.float32)
    for vertex in range(VERTICES):
        chosen = rng.choice(55, 4, replace=False)
        weights[vertex, chosen] = rng.dirichlet(np.ones(4))
    regressor = np.zeros((55, VERTICES), np.float32)
    for joint in range(55):
        regressor[joint, rng.choice(VERTICES, 40, replace=False)] = 1 / 40
    arrays: dict[str, Any] = {key: source[key] for key in (*LAYOUTS["smplx"].keys, *CONTOUR_KEYS)} | {
        "v_template": rng.normal(0, 0.3, (VERTICES, 3)).astype(np.float32),
        "f": rng.integers(0, VERTICES, (FACES, 3)).astype(np.int32),
        "shapedirs": rng.normal(0, 0.01, (VERTICES, 3, 20)).astype(np.float32),
        "posedirs": rng.normal(0, 1e-3, (VERTICES, 3, 486)).astype(np.float32),
        "J_regressor": regressor,
        "kintree_table": source["kintree_table"],
        "weights": weights,
        "lmk_faces_idx": rng.integers(0, FACES, 51),
        "dynamic_lmk_faces_idx": rng.integers(0, FACES, (79, 17)),
    }
    (folder / "smplx").mkdir(parents=True)
    np.savez(folder / "smplx" / "SMPLX_NEUTRAL.npz", **arrays, hash=np.array(content_hash(arrays)))
    return folder


class Arms:
    """Both evaluators of one model, fed with the same people; with the contour of the face too if it is asked for."""

    def __init__(self, root: Path, *, contour: bool = False, device: str = "cpu") -> None:
        import torch

        from annotator.bodies.body_model import BodyModel, select_points
        from annotator.bodies.files import load_body_model
        from annotator.bodies.official import create
        from annotator.bodies.posing import Poser, parameter_widths
        from annotator.skeleton import COCO_WHOLEBODY

        self.body = load_body_model(root, "smplx")
        self.package: Any = create(root, "smplx", batch_size=BATCH).to(device)
        extra = select_points(self.body.points[COCO_WHOLEBODY.name], np.array(EXTRA))
        self.points = BodyModel(self.body, [extra]).to(device)
        self.joints = BodyModel(self.body).to(device)
        self.mesh = BodyModel(self.body, vertices=True).to(device)
        self.contour_package: Any = None
        if contour:
            self.contour_package = create(root, "smplx", batch_size=BATCH, use_face_contour=True).to(device)
            self.contour_points = BodyModel(self.body, [extra], contour=True).to(device)
        self.poser = Poser(self.body)
        rng = np.random.default_rng(1)
        self.people = {
            name: 0.3 * rng.standard_normal((BATCH, width)).astype(np.float32)
            for name, width in parameter_widths("smplx").items()
        }
        self.given = {name: torch.as_tensor(values).to(device) for name, values in self.people.items()}
        self.one = {name: values[:1] for name, values in self.people.items()}

    def leaves(self) -> dict[str, Any]:
        """Fresh parameters that want gradients."""
        return {name: values.clone().requires_grad_() for name, values in self.given.items()}

    def package_points(self) -> None:
        """Forward and backward through the package's points."""
        self.package(**self.leaves()).joints[:, :PACKAGE_POINTS].square().sum().backward()

    def our_points(self) -> None:
        """The same through ours."""
        out = self.points(self.leaves())
        (out.joints.square().sum() + out.points.square().sum()).backward()

    def package_contour(self) -> None:
        """Forward and backward through all of the package's points, the contour of the face too."""
        self.contour_package(**self.leaves()).joints.square().sum().backward()

    def our_contour(self) -> None:
        """The same through ours."""
        out = self.contour_points(self.leaves())
        (out.joints.square().sum() + out.points.square().sum() + out.contour.square().sum()).backward()

    def package_mesh(self) -> Any:
        """Forward of the package, without gradients."""
        import torch

        with torch.no_grad():
            return self.package(**self.given)

    def our_mesh(self) -> Any:
        """The same mesh by ours."""
        import torch

        with torch.no_grad():
            return self.mesh(self.given)

    def our_joints(self) -> Any:
        """Joints alone by ours."""
        import torch

        with torch.no_grad():
            return self.joints(self.given)

    def differences(self) -> list[float]:
        """Greatest distance of points, of vertices and of the contour between the arms, metres."""
        import torch

        theirs = self.package_mesh()
        with torch.no_grad():
            ours = self.points(self.given)
        together = torch.cat([ours.joints, ours.points], dim=1)
        points = float((theirs.joints[:, :PACKAGE_POINTS] - together).abs().max())
        found = [points, float((theirs.vertices - self.our_mesh().vertices).abs().max())]
        if self.contour_package is not None:
            with torch.no_grad():
                outline = self.contour_package(**self.given).joints[:, PACKAGE_POINTS:]
                found.append(float((outline - self.contour_points(self.given).contour).abs().max()))
        return found


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call, to the end of what it left to a GPU."""
    import torch

    began = time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def spent(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one call, and of the processor in all threads."""
    began = time.process_time()
    seconds = timed(work)
    return seconds, time.process_time() - began


def imported(source: Path, target: Path) -> None:
    """`bodies import` from start to end, in this process."""
    from annotator.commands.import_bodies import import_bodies

    for _ in import_bodies(source, target):
        pass


def import_times(folder: Path, protocol: int, report: Report, name: str) -> list[float]:
    """Seconds of three imports of an official-like SMPL."""
    path = official_smpl(folder / f"official_{name}" / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", protocol)
    size, target = path.stat().st_size / 1e6, folder / f"imported_{name}"
    turns = [spent(lambda: imported(path, target)) for _ in range(3)]
    report.times(
        f"import.{name}", f"importing SMPL, 300 components, {name} pickle, {size:.0f} MB", [t for t, _ in turns]
    )
    report.times(f"import.{name}.processor", "  of the processor", [t for _, t in turns])
    return [seconds for seconds, _ in turns]


def compare(arms: Arms, report: Report, label: str, repeats: int) -> dict[str, float]:
    """Interleaved timings of every pair; ratios of medians, package over ours."""
    pairs = {
        "points_backward": (arms.package_points, arms.our_points, "points, forward and backward"),
        "joints_forward": (arms.package_mesh, arms.our_joints, "joints alone, forward"),
        "mesh_forward": (arms.package_mesh, arms.our_mesh, "full mesh, forward"),
    }
    if arms.contour_package is not None:
        pairs["contour_backward"] = (
            *(arms.package_contour, arms.our_contour),
            "points with the contour, forward and backward",
        )
    for theirs, ours, _ in pairs.values():  # warm up: compilation and first allocation are not counted
        theirs(), ours(), ours()
    ratios: dict[str, float] = {}
    for name, (theirs, ours, title) in pairs.items():
        turns = [(spent(theirs), spent(ours)) for _ in range(repeats)]
        theirs_ms = report.times(f"{label}.{name}.package", f"{label}: {title}, smplx", [t[0][0] for t in turns])
        ours_ms = report.times(f"{label}.{name}.ours", f"{label}: {title}, ours", [t[1][0] for t in turns])
        ratios[name] = theirs_ms / ours_ms
        theirs_cpu, ours_cpu = (float(np.median([t[arm][1] for t in turns])) for arm in (0, 1))
        report.say(f"{label}.{name}.ratio", ratios[name], f"  {label}: {title}: {ratios[name]:.1f} times")
        report.say(
            f"{label}.{name}.processor",
            {"package_ms": 1000 * theirs_cpu, "ours_ms": 1000 * ours_cpu, "ratio": theirs_cpu / ours_cpu},
            f"    of the processor {1000 * theirs_cpu:.1f} against {1000 * ours_cpu:.1f} ms: {theirs_cpu / ours_cpu:.1f} times",
        )
    return ratios


def tune_allocator() -> bool:
    """Keeps glibc from giving big blocks back to the kernel; False where there is no glibc."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(name, value) for name, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 1 << 28)))


def main() -> None:
    """Times both models and states the claims, which count for the official size."""
    arguments = options(__doc__ or "").parse_args()
    report = Report("bodies")
    import torch

    from annotator.bodies.files import default_root, load_body_model

    repeats = 5 if arguments.quick else 15
    with tempfile.TemporaryDirectory() as folder:
        root = official_size(Path(folder))
        official, opened = Arms(root), Arms(default_root(), contour=True)
        importing = {name: import_times(Path(folder), protocol, report, name) for name, protocol in PICKLES.items()}
        imported(root / "smplx", Path(folder) / "imported")
        loading = [timed(lambda: load_body_model(Path(folder) / "imported", "smplx")) for _ in range(3)]
    turns = [spent(lambda: official.poser.pose(official.one)) for _ in range(5 * repeats)]
    one = [wall for wall, _ in turns]
    report.times("numpy_one", "one person in numpy, dense pose blend shapes", one)
    report.times("numpy_one.processor", "  of the processor", [processor for _, processor in turns])
    report.times("load", "loading the file of official size", loading)
    worst = [difference for arms in (official, opened) for difference in arms.differences()]
    report.say("difference_m", max(worst), f"greatest distance between the arms: {max(worst):.1e} m")
    ratios = compare(official, report, "official size", repeats)
    compare(opened, report, "open body", repeats)
    if torch.cuda.is_available():
        with tempfile.TemporaryDirectory() as folder:
            on_gpu = Arms(official_size(Path(folder)), device="cuda")
        compare(on_gpu, report, f"official size, {torch.cuda.get_device_name()}", repeats)
    else:
        print("no GPU is at hand, so none was timed")
    if tune_allocator():
        compare(official, report, "official size, both allocators tuned", repeats)
    report.claim("points_forward_backward_ratio", ratios["points_backward"], 30, at_most=False)
    report.claim("joints_forward_ratio", ratios["joints_forward"], 60, at_most=False)
    report.claim("full_mesh_forward_ratio", ratios["mesh_forward"], 2.5, at_most=False)
    report.claim("difference_m", max(worst), 1e-5)
    report.claim("one_person_numpy_ms", 1000 * float(np.median(one)), 5)
    report.claim("load_s", float(np.median(loading)), 0.1)
    report.claim("import_s", float(np.median(importing["binary"])), 2)
    report.claim("import_text_s", float(np.median(importing["text"])), 2)
    report.end(arguments.json)


if __name__ == "__main__":
    main()
