"""Annotating with ResNet-50 at 256 px: batches of 32 against one person at a time, and what bf16 gives and moves.

All arms run the shipped predictor with the allocator that `run` sets; they take turns in one process. With `--project`
(the small demo's, after its run) the backbone of its newest finished network is also run in bf16 on all target people,
to see how far joints and their projections move; that needs no bf16 instructions.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._claims import Report, options  # noqa: E402
from benchmarks._steps import Bench, in_turns, posed, result, seconds  # noqa: E402

BATCH = 32


def speed(report: Report, project: Path, folder: Path, device: str, repeats: int) -> None:
    """People a second at batch 32 and at batch 1."""
    import torch

    from annotator.annotators.neuralannot import predictor
    from annotator.backbone import prepare
    from annotator.precision import cpu_has_bf16

    bench = Bench(project, "resnet50", 256, folder, device)
    network = bench.network().to(memory_format=torch.channels_last).eval()
    predict = predictor(network, bench.crops, bench.lessons, bench.device)
    rows = bench.crops.usable[:BATCH]

    def one_by_one() -> None:
        for row in rows[: BATCH // 4]:
            predict(np.array([row]))

    def in_bf16() -> None:
        prepare(network, "bf16")
        predict(rows)
        prepare(network, "fp32")

    arms = [lambda: 4 * seconds(one_by_one, bench.device), lambda: seconds(lambda: predict(rows), bench.device)]
    if cpu_has_bf16() or device == "cuda":
        arms.append(lambda: seconds(in_bf16, bench.device))
    taken = list(in_turns(repeats, *arms))
    single = report.times("batch1", f"{BATCH} people one by one, fp32", taken[0])
    batch = report.times("batch32", f"a batch of {BATCH}, fp32", taken[1])
    report.say("people_per_second", 1e3 * BATCH / batch, f"  {1e3 * BATCH / batch:.1f} people/s in batches")
    report.claim("batch32_over_batch1", single / batch, 1.25 if device == "cpu" else 30, at_most=False)
    if len(taken) > 2:
        half = report.times("bf16", f"a batch of {BATCH}, bf16 backbone and fp32 head", taken[2])
        report.claim("bf16_batch32_over_batch1", single / half, 2, at_most=False)
    else:
        report.say("bf16", None, "  This processor has no bf16 instructions, so bf16 is not timed.")


def movement(report: Report, path: Path) -> None:
    """How far bf16 moves joints (root-relative, mm) and projections (px of 256) of a trained network."""
    import torch

    from annotator.backbone import Backbone, prepare
    from annotator.bodies.body_model import BodyModel
    from annotator.bodies.files import load_body_model
    from annotator.crops import cached_crops
    from annotator.network import TargetNetwork, project_to_crop
    from annotator.prior import VPoser
    from annotator.project import TARGET, Project
    from annotator.recipe import read_recipe
    from annotator.taught import BODY_POINTS
    from annotator.training import load_weights

    project = Project.open(path)
    run = project.newest_run("neuralannot")
    if run is None:
        sys.exit(f"{path} has no finished run; make the small demo first.")
    recipe = read_recipe(run.recipe_path, run.info.recipe).body
    network = TargetNetwork(Backbone(recipe.backbone), VPoser()).to(memory_format=torch.channels_last)
    load_weights(network, run.network_folder("body", TARGET))
    network.eval()
    body = load_body_model(project.body_model_root("smplx"), "smplx")
    points = BodyModel(body, BODY_POINTS.maps(body))
    moved: list[list[np.ndarray]] = [[], []]
    for name in run.info.datasets:
        if project.datasets()[name].role != TARGET:
            continue
        crops = result(cached_crops(project, project.samples(name, "body"), name, recipe.input_px))
        for start in range(0, len(crops.usable), 64):
            images = torch.as_tensor(crops.take(crops.usable[start : start + 64])).permute(0, 3, 1, 2)
            found: list[Any] = []
            for precision in ("fp32", "bf16"):
                prepare(network, precision)
                with torch.inference_mode():
                    prediction = network(images)
                    placed, pose = posed(points, prediction)
                    assert prediction.transl is not None
                    found.append((pose, project_to_crop(placed, prediction.transl)))
            for kept, one, other in zip(moved, found[0], found[1], strict=True):
                kept.append(torch.linalg.vector_norm(one - other, dim=-1).mean(dim=1).numpy())
    joints, pixels = 1e3 * np.concatenate(moved[0]), np.concatenate(moved[1])
    report.say("bf16_people", len(joints), f"bf16 backbone of {run.id} on {len(joints):,} people, against fp32:")
    report.say(
        "bf16_moves",
        {"joints_p95_mm": float(np.percentile(joints, 95)), "pixels_p95": float(np.percentile(pixels, 95))},
        f"  joints {joints.mean():.2f} mm (p95 {np.percentile(joints, 95):.2f}), "
        f"projections {pixels.mean():.2f} px of 256 (p95 {np.percentile(pixels, 95):.2f})",
    )
    report.claim("bf16_joints_mm", float(joints.mean()), 1.5)
    report.claim("bf16_pixels", float(pixels.mean()), 0.5)


def main() -> None:
    """Times the arms, and measures what bf16 moves where a trained project is given."""
    from annotator.commands.run import tune_allocator
    from benchmarks.crops import build

    parser = options(__doc__ or "")
    parser.add_argument("--project", type=Path, metavar="P", help="a project with a finished run, for what bf16 moves")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the network is")
    asked = parser.parse_args()
    report = Report("annotating")
    tune_allocator()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = build(folder, 2 * BATCH).path
        speed(report, project, folder, asked.device, 3 if asked.quick else 15)
    if asked.project is not None:
        movement(report, asked.project)
    report.end(asked.json)


if __name__ == "__main__":
    main()
