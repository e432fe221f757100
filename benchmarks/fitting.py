"""The batched solver against the published optimiser on the same people: final objectives and people a second.

The people are the first of the small demo's target, their 118 published points noisy and all seen. The reference arm is the
published optimiser, one person at a time through the full mesh of the smplx package, with default threads and allocator; its
fits take minutes each and are kept, by a hash of what they depend on, for the next time. Both arms start from nothing; self-
penetration is off in both. r is our final objective over the reference's, both from one evaluation in float64.

`--arm` names other arms, which need neither the reference nor a quiet machine: 3D joints of known truth (`truth3d`) and of
real data (`real3d`, from `--data`), one spoilt person among many (`spoilt`), and memory (`memory`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import _fitted_arms as arms  # noqa: E402
from benchmarks._claims import Report, options  # noqa: E402
from benchmarks._fitted_parts import faces, hands  # noqa: E402
from benchmarks._fitted_people import (  # noqa: E402
    ReferenceFit,
    ReferenceFits,
    Truth,
    truth_of_project,
    truth_of_shots,
    warm_start,
    whole_people,
)

QUICK = 4
_DEMO = ROOT / "demo-output" / "project"
_ARMS = {"truth3d": (200, 16), "real3d": (0, 0), "spoilt": (64, 16), "memory": (1280, 320)}
"""Arms beside the comparison, and how many people each has, whole and with `--quick`."""


@dataclass(frozen=True)
class Ratios:
    """Of people whose reference fit is a number: ours over the reference's."""

    median: float
    p90: float
    above: float
    below: float
    count: int
    left_out: int

    @classmethod
    def of(cls, ours: np.ndarray, reference: np.ndarray) -> Ratios:
        """Shares are of the people that count: r above 1.05, below 0.95."""
        known = np.isfinite(reference)
        r = (ours / reference)[known]
        return cls(
            *(float(np.median(r)), float(np.percentile(r, 90)), float((r > 1.05).mean()), float((r < 0.95).mean())),
            *(int(known.sum()), int((~known).sum())),
        )

    def say(self, report: Report, name: str, title: str) -> None:
        """Prints them, with those that carry no bound."""
        report.say(
            name,
            self.__dict__,
            f"{title}: r median {self.median:.4f}, 90th percentile {self.p90:.4f}, above 1.05 {100 * self.above:.1f} %, "
            f"below 0.95 {100 * self.below:.1f} %, of {self.count} people; {self.left_out} left out, whose reference is "
            "no number",
        )


class Ours:
    """The batched solver on one problem."""

    def __init__(self, problem: Any, body: Any, prior: Any, start: Any = None) -> None:
        from annotator.fitting.batched import Batched
        from annotator.fitting.stages import SCHEDULES

        self.problem, self.start, self.body, self.prior = problem, start, body, prior
        self.solver = Batched(body, prior, SCHEDULES[problem.model], problem)

    def fit(self) -> Any:
        """Everybody once."""
        return self.solver.fit(self.problem, self.start)

    def timed(self) -> float:
        """People a second."""
        began = time.perf_counter()
        self.fit()
        return len(self.problem) / (time.perf_counter() - began)

    def objective(self) -> np.ndarray:
        """`(N,)` final objectives in float64."""
        from annotator.fitting.evaluate import final_objective

        return final_objective(self.fit().parameters, self.problem, self.body, self.prior).objective


def people_a_second(
    reference: ReferenceFits, ours: Sequence[Ours], timed: int
) -> tuple[float, list[float], list[ReferenceFit]]:
    """The reference's rate over `timed` people, and the median rate of each of ours, which take turns with it."""
    rates: list[list[float]] = [[] for _ in ours]
    made: list[ReferenceFit] = []
    for row in range(timed):
        made.append(reference.made(ours[0].problem.take(slice(row, row + 1))))
        for arm, arm_rates in zip(ours, rates, strict=True):
            arm_rates.append(arm.timed())
    return timed / sum(fit.seconds for fit in made), [float(np.median(rate)) for rate in rates], made


def two_processes(arguments: Any) -> float:
    """People a second of two reference processes of one thread at work side by side, one person each."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--project", str(arguments.project), "--cache", str(arguments.cache), "--one"]
    running = [
        subprocess.Popen([*command, str(row)], env=environment, stdout=subprocess.PIPE, text=True) for row in range(2)
    ]
    return sum(1 / float(process.communicate()[0].split()[-1]) for process in running)


def histogram(ratios: np.ndarray, path: Path) -> None:
    """A picture of how many people have which r, in steps of 1 %; what lies beyond the ends is counted in the outer bars."""
    from PIL import Image, ImageDraw, ImageFont

    edges = np.arange(0.90, 1.101, 0.01)
    counts = np.histogram(np.clip(ratios, edges[0], edges[-1] - 1e-9), edges)[0]
    width, height, left, base = 900, 420, 60, 350
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=14)
    step, tall = (width - 2 * left) / len(counts), (base - 60) / max(counts.max(), 1)
    for n, count in enumerate(counts.tolist()):
        x = left + n * step
        middle = edges[n] + 0.005
        color = "#2a6f97" if middle <= 1.05 else "#c1440e"
        if count:
            draw.rectangle((x + 2, base - count * tall, x + step - 2, base), fill=color)
            draw.text((x + step / 2, base - count * tall - 10), str(count), fill="black", font=font, anchor="ms")
        if n % 2 == 0:
            draw.text((x, base + 18), f"{edges[n]:.2f}", fill="black", font=font, anchor="mm")
    draw.line((left, base, width - left, base), fill="black")
    draw.line((left + 10 * step, 50, left + 10 * step, base), fill="#888888")
    title = f"Final objective, ours over the reference's, of {len(ratios)} people (median {np.median(ratios):.4f})"
    draw.text((width / 2, 24), title, fill="black", font=font, anchor="mm")
    draw.text((width / 2, base + 44), "below 1: ours is lower", fill="black", font=font, anchor="mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def asked() -> Any:
    """The options."""
    parser = options(__doc__ or "")
    parser.add_argument("--project", type=Path, default=_DEMO, help="the small demo's project; made if absent")
    parser.add_argument("--people", type=int, default=64, help="how many of its people")
    parser.add_argument("--timed", type=int, default=8, help="how many of them the reference is timed on; 0: no timing")
    parser.add_argument("--many", type=int, default=2048, help="faces or hands that are fitted at once while timed")
    parser.add_argument("--parts", type=int, default=64, help="how many faces and hands have a reference; 0: no parts")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neuralannot" / "reference-fits"
    parser.add_argument("--cache", type=Path, default=cache, help="where reference fits are kept")
    parser.add_argument("--picture", type=Path, default=None, help="write the histogram of r here (PNG)")
    parser.add_argument(
        "--arm",
        choices=("whole", *_ARMS),
        action="append",
        default=None,
        help="which arm, repeatable; the comparison of whole bodies (with --parts those of hands and faces) by default",
    )
    parser.add_argument("--data", type=Path, default=None, help="real data in the official layouts, for real3d")
    parser.add_argument(
        "--one", type=int, default=None, help="only make the reference fit of this person, and print its seconds"
    )
    return parser.parse_args()


def truth(arguments: Any, body: Any, count: int) -> Truth:
    """The people; a quick run without a project draws them as the demo would."""
    if not arguments.project.exists():
        if arguments.quick:
            return truth_of_shots(body, count)
        out = arguments.project.parent
        command = [sys.executable, str(ROOT / "main.py"), "demo", "--out", str(out), "--size", "small", "--no-window"]
        subprocess.run(command, check=True)
    return truth_of_project(arguments.project, 0, count)


def main() -> None:
    """Ratios and rates from nothing and from the neural annotator's fits."""
    arguments = asked()
    from annotator.bodies.files import default_root, load_body_model
    from annotator.prior import default_vposer

    root, report = default_root(), Report("fitting")
    body, prior = load_body_model(root, "smplx"), default_vposer(root)
    asked_for = arguments.arm or ["whole"]
    beside(report, arguments, asked_for, body, prior)
    if "whole" not in asked_for:
        report.end(arguments.json)
        return
    fits = ReferenceFits(arguments.cache, root, body, prior)
    count = min(QUICK, arguments.people) if arguments.quick else arguments.people
    people = truth(arguments, body, count)
    problem = whole_people(people, body)
    if arguments.one is not None:
        print(fits.made(problem.take(slice(arguments.one, arguments.one + 1))).seconds)
        return
    cold = Ours(problem, body, prior)
    began = time.perf_counter()
    cold.solver.fit(problem.take(slice(0, 1)))
    report.say(
        "first_s",
        time.perf_counter() - began,
        f"compiling, or reading what was compiled: {time.perf_counter() - began:.1f} s",
    )
    if arguments.quick:
        reference = np.array([fit.objective for fit in fits.of(problem)])
        ratios = Ratios.of(cold.objective(), reference)
        ratios.say(report, "cold", "from nothing")
        report.claim("whole_body_median_ratio", ratios.median, 1.03)
        report.end(arguments.json)
        return
    warm = Ours(problem, body, prior, warm_start(arguments.project, people.keys, problem, body, prior))
    compare(report, arguments, fits, cold, warm)
    if arguments.parts:
        parts(report, arguments, root)
    report.end(arguments.json)


def beside(report: Report, arguments: Any, names: Sequence[str], body: Any, prior: Any) -> None:
    """The arms that are not the comparison."""
    if "real3d" in names and arguments.data is None:
        sys.exit("--arm real3d needs --data, a folder with human36m/ and mpi_inf_3dhp/ in their official layouts.")
    run = {"truth3d": arms.joints_of_known_truth, "spoilt": arms.one_spoilt, "memory": arms.memory}
    for name in names:
        if name == "real3d":
            arms.joints_of_real_data(report, body, prior, arguments.data)
        elif name in run:
            run[name](report, body, prior, _ARMS[name][arguments.quick])


def compare(report: Report, arguments: Any, fits: ReferenceFits, cold: Ours, warm: Ours) -> None:
    """The whole comparison, with its claims."""
    timed = min(arguments.timed, len(cold.problem))
    rate, beside, rates = float("nan"), float("nan"), [cold.timed(), warm.timed()]
    if timed:
        rate, rates, made = people_a_second(fits, (cold, warm), timed)
        counts = sorted(fit.evaluations for fit in made)
        report.say(
            "reference_rate",
            rate,
            f"reference: {rate:.4f} people/s on {timed}, {counts[0]} to {counts[-1]} evaluations",
        )
        beside = two_processes(arguments)
        report.say(
            "reference_rate_two", beside, f"reference, two processes of one thread: {beside:.4f} people/s together"
        )
    reference = np.array([fit.objective for fit in fits.of(cold.problem)])
    both = (("cold", "from nothing", cold, 300), ("warm", "from the neural annotator's fits", warm, 1000))
    for (name, title, arm, bound), of_arm in zip(both, rates, strict=True):
        ours = arm.objective()
        ratios = Ratios.of(ours, reference)
        ratios.say(report, name, title)
        times = (
            f", {of_arm / rate:.0f} times the reference, {of_arm / beside:.0f} times two processes of it"
            if timed
            else ""
        )
        report.say(f"{name}_rate", of_arm, f"{title}: {of_arm:.1f} people/s{times}")
        report.claim(f"{name}_median_ratio", ratios.median, 1.01)
        report.claim(f"{name}_p90_ratio", ratios.p90, 1.03)
        report.claim(f"{name}_share_above_1.05", ratios.above, 0.05)
        if timed:
            report.claim(f"{name}_times_reference", of_arm / rate, bound, at_most=False)
        if name == "cold" and arguments.picture is not None:
            histogram((ours / reference)[np.isfinite(reference)], arguments.picture)


def parts(report: Report, arguments: Any, root: Path) -> None:
    """Faces and hands alone: as many at once as fill a second or so, ratios on the first of them."""
    from annotator.bodies.files import load_body_model

    for name, make in (("flame", faces), ("mano_right", hands)):
        body = load_body_model(root, name)
        many = make(body, arguments.many)
        few = many.take(slice(0, arguments.parts))
        reference = np.array([fit.objective for fit in ReferenceFits(arguments.cache, root, body, None).of(few)])
        ratios = Ratios.of(Ours(few, body, None).objective(), reference)
        ratios.say(report, name, name)
        arm = Ours(many, body, None)
        rate = float(np.median([arm.timed() for _ in range(5)]))
        report.say(f"{name}_rate", rate, f"{name}: {rate:.0f} fits/s")
        report.claim(f"{name}_median_ratio", ratios.median, 1.01)
        report.claim(f"{name}_p90_ratio", ratios.p90, 1.03)
        if name == "flame":
            report.claim("flame_fits_per_s", rate, 2000, at_most=False)


if __name__ == "__main__":
    main()
