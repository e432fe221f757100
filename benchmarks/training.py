"""Training: the loop with the crop cache against data in memory, the shipped step against a plain one, the losses' share.

Batch of 16, half of it drawn as auxiliary people. The loop's time counts its checkpoint too, which is written once a
minute. The plain step is what a user would write: eager, fp32, channels first, torch's Adam, the same network, body
model and losses, glibc's allocator as it is. Ours is `annotator.training.Training` as shipped, with the allocator that
`run` sets. Arms are processes that take turns. A second row gives both the tuned allocator.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._claims import Report, options  # noqa: E402
from benchmarks._steps import BATCH, Arm, in_turns  # noqa: E402

LOOPS = (("resnet18", 128), ("resnet50", 256))
CHECKPOINT_SECONDS = 60
PEOPLE = {True: 64, False: 600}


def loop(report: Report, project: Path, device: str, backbone: str, size: int, repeats: int) -> None:
    """The loop and its checkpoints against the same step on data in memory."""
    name = f"{backbone}_{size}"
    with Arm(project, backbone, size, device, tuned=True) as arm:
        whole, memory = in_turns(repeats, partial(arm.step, "loop"), partial(arm.step, "memory"))
        (checkpoints,) = in_turns(3, partial(arm.step, "checkpoint"))
    slow = report.times(f"{name}.loop", f"{backbone} at {size} px, people from the crop cache", whole)
    quick = report.times(f"{name}.memory", f"{backbone} at {size} px, the same people in memory", memory)
    written = report.times(f"{name}.checkpoint", f"{backbone} at {size} px, a checkpoint, once a minute", checkpoints)
    share = 1 + written / (1e3 * CHECKPOINT_SECONDS)
    speed = 1e3 * BATCH / slow / share
    report.say(f"{name}.images_per_second", speed, f"  {speed:.1f} images/s end to end")
    bound = 0.97 if device == "cpu" else 0.95
    report.claim(f"loop_over_memory_{name}", quick / slow / share, bound, at_most=False)


def against_plain(report: Report, project: Path, device: str, backbone: str, size: int, repeats: int) -> None:
    """The shipped step against the plain one, and with both allocators tuned."""
    ratios: list[float] = []
    precision = ""
    for tuned in (False, True):
        words = "tuned allocator" if tuned else "default allocator"
        with (
            Arm(project, backbone, size, device, tuned=tuned) as plain,
            Arm(project, backbone, size, device, tuned=True) as ours,
        ):
            theirs, shipped = in_turns(repeats, partial(plain.step, "naive"), partial(ours.step, "memory"))
            precision = ours.precision()
        slow = report.times(f"plain.{words}", f"plain fp32 step, {words}", theirs)
        quick = report.times(f"shipped.{words}", f"shipped step, {precision}", shipped)
        ratios.append(slow / quick)
        report.say(f"ratio.{words}", slow / quick, f"  plain with the {words} over shipped: {slow / quick:.2f}")
    report.claim("plain_over_shipped", ratios[0], 3 if (precision, device) == ("bf16", "cpu") else 1, at_most=False)


def share_of_losses(report: Report, project: Path, device: str, backbone: str, size: int, repeats: int) -> None:
    """What body model and losses take of a step."""
    with Arm(project, backbone, size, device, tuned=True) as arm:
        losses, steps = in_turns(repeats, partial(arm.step, "losses"), partial(arm.step, "memory"))
    part = report.times("losses", "body model and losses, forward and backward", losses)
    whole = report.times("step", "the whole step", steps)
    if device == "cpu":
        report.claim("losses_of_step_percent", 100 * part / whole, 3)
    else:
        report.say("losses_of_step_percent", 100 * part / whole, f"  losses are {100 * part / whole:.1f} % of a step")


def main() -> None:
    """Builds the people once and runs the comparisons one after the other."""
    from benchmarks.crops import build

    parser = options(__doc__ or "")
    parser.add_argument("--only", choices=("loop", "plain", "losses"), help="one of the comparisons")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the networks are")
    asked = parser.parse_args()
    report = Report("training")
    repeats = 3 if asked.quick else 20
    with tempfile.TemporaryDirectory() as name:
        project = build(Path(name), PEOPLE[asked.quick]).path
        if asked.only in (None, "loop"):
            for backbone, size in LOOPS:
                loop(report, project, asked.device, backbone, size, repeats)
        if asked.only in (None, "plain"):
            against_plain(report, project, asked.device, *LOOPS[-1], repeats)
        if asked.only in (None, "losses"):
            share_of_losses(report, project, asked.device, *LOOPS[-1], repeats)
    report.end(asked.json)


if __name__ == "__main__":
    main()
