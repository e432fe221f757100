"""The torch solver against the compiled kernels on the same people: final objectives, people a second, memory a person.

The kernels run on the CPU, the torch solver where `--device` says. People are drawn as the demo draws them, with 1.5 px of
noise; both arms start from nothing, both objectives come from one evaluation in float64.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._claims import Report, options  # noqa: E402
from benchmarks._fitted_parts import faces, hands  # noqa: E402
from benchmarks._fitted_people import truth_of_shots, whole_people  # noqa: E402

QUICK = 8
GOAL = 5000.0
"""Whole bodies a second on a GPU."""


def main() -> None:
    """Whole bodies, then hands and faces."""
    parser = options(__doc__ or "")
    parser.add_argument("--people", type=int, default=64, help="how many")
    parser.add_argument("--device", default="cpu", help="where torch computes: cpu, cuda, cuda:1 ...")
    arguments = parser.parse_args()
    from annotator.bodies.files import default_root, load_body_model
    from annotator.prior import default_vposer

    root, report = default_root(), Report("fitting_torch")
    body = load_body_model(root, "smplx")
    count = QUICK if arguments.quick else arguments.people
    whole = whole_people(truth_of_shots(body, count), body)
    rate = compare(report, "whole", whole, body, default_vposer(root), arguments.device)
    if arguments.device.startswith("cuda"):
        report.claim("whole_body_people_per_s", rate, GOAL, at_most=False)
    for name, model, make in (("face", "flame", faces), ("hand", "mano_right", hands)):
        part = load_body_model(root, model)
        compare(report, name, make(part, 8 * count), part, None, arguments.device)
    report.end(arguments.json)


def compare(report: Report, name: str, problem: Any, body: Any, prior: Any, device: str) -> float:
    """Both solvers on one problem; returns torch's people a second."""
    from annotator.fitting.batched import Batched
    from annotator.fitting.evaluate import final_objective
    from annotator.fitting.stages import SCHEDULES
    from annotator.fitting.torch_batched import TorchBatched

    stages = SCHEDULES[problem.model]
    arms = (
        Batched(body, prior, stages, problem),
        TorchBatched(body, prior, stages, problem, device=device),
    )
    found: list[np.ndarray] = []
    rates: list[float] = []
    before = memory(device)
    for arm in arms:
        arm.fit(problem.take(slice(0, 1)))  # compiles, and makes the device's handles
        before, began, used = memory(device), time.perf_counter(), time.process_time()
        parameters = arm.fit(problem).parameters
        took, busy = time.perf_counter() - began, time.process_time() - used
        rates.append(len(problem) / took)
        title = type(arm).__name__
        text = f"{name}, {title}: {rates[-1]:.1f} people/s, {len(problem) / busy:.1f} a second of processor time"
        report.say(f"{name}_{title}", {"people_per_s": rates[-1], "per_cpu_s": len(problem) / busy}, text)
        found.append(final_objective(parameters, problem, body, prior).objective)
    at_once = min(arms[1].at_once(), len(problem))
    taken = (memory(device) - before) / at_once
    report.say(
        f"{name}_bytes", taken, f"{name}, torch: {taken / 2**20:.2f} MB a person more at the worst, {at_once} at once"
    )
    ratios = found[1] / found[0]
    report.say(
        f"{name}_ratio",
        {"median": float(np.median(ratios)), "least": float(ratios.min()), "most": float(ratios.max())},
        f"{name}: torch over kernels, median {np.median(ratios):.5f}, from {ratios.min():.4f} to {ratios.max():.4f}",
    )
    report.claim(f"{name}_median_difference", float(np.median(np.abs(ratios - 1))), 1e-3)
    return rates[1]


def memory(device: str) -> int:
    """Bytes at the worst moment so far; on a GPU those of tensors, on the CPU those of the process."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
