"""The orderings that the paper reports, on the demo's people: what each of its choices is worth, with the spread over seeds.

Every setting and seed is an ordinary run in one project, started with `main.py run` and measured with `main.py evaluate`
against the demo's hidden truth. What is finished is not done again, and what was stopped is resumed: the same command goes
on from there. An ordering that does not appear is printed like the others, with its numbers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._claims import Report, options  # noqa: E402

SHIPPED, ROUND_2 = "shipped", "round-2"
SETTINGS: dict[str, dict[str, object]] = {
    SHIPPED: {},
    "no-auxiliary": {"auxiliary": "none"},
    "no-latent": {"latent": False},
    "pose-input": {"input": "pose"},
    "image+pose-input": {"input": "image+pose"},
    ROUND_2: {},
}
"""Fields of [body] that differ from the shipped recipe; round 2 learns from the shipped setting's fits of the same seed."""
EVERYBODY, CUT_OFF = "everybody", "cut off"
COLUMNS = (
    ("error_2d_crop", EVERYBODY, "2D px of 256"),
    ("mpjpe", EVERYBODY, "MPJPE mm"),
    ("pa_mpjpe", EVERYBODY, "PA-MPJPE mm"),
    ("pa_mpjpe", CUT_OFF, "PA-MPJPE mm, cut off"),
)
_RECIPES = {"tiny": "tiny", "small": "demo", "full": "demo-full"}
_QUICK_STEPS = 60
_LABELLED = 17
"""Points of COCO; labels end at the photo's edge, so who has fewer is cut off by it."""


@dataclass(frozen=True)
class Ordering:
    """One sentence of the paper.

    Attributes:
        better, worse: settings. number: of `evaluate --json`; lower is better. people: whom it is about.
    """

    name: str
    words: str
    better: str
    worse: str
    number: str
    people: str = EVERYBODY


ORDERINGS = (
    Ordering("auxiliary_sets_help", "auxiliary sets help (Table 1)", SHIPPED, "no-auxiliary", "pa_mpjpe"),
    Ordering("latent_helps", "the latent pose helps MPJPE (Table 11)", SHIPPED, "no-latent", "mpjpe"),
    Ordering("latent_costs_2d", "and its 2D error is higher", "no-latent", SHIPPED, "error_2d_crop"),
    Ordering("round_2_helps", "round 2 helps (Table 5)", ROUND_2, SHIPPED, "pa_mpjpe"),
    Ordering(
        "image_helps_cut_off",
        "the image helps where people are cut off (Table 2)",
        SHIPPED,
        "pose-input",
        "pa_mpjpe",
        CUT_OFF,
    ),
)


@dataclass(frozen=True)
class Ablations:
    """Runs of every setting and seed in the project of a demo.

    Attributes:
        out: folder of data, truth and project. steps: of the target network; those of the others keep their ratio to it.
    """

    out: Path
    size: str
    steps: int | None
    device: str

    @property
    def project(self) -> Path:
        """The project that the runs are in."""
        return self.out / "project"

    def prepare(self) -> None:
        """Draws the demo's people and imports them, as far as that is not done."""
        from annotator.commands.drive import Show, drive
        from app.demo.walk import demo_project

        if drive(demo_project(self.out, self.size), Show.BAR) is None:
            raise SystemExit("Stopped; the same command goes on from there.")

    def ran(self, setting: str, seed: int) -> str:
        """Id of the finished run of a setting and seed."""
        recipe = self._recipe(setting, seed)
        source = self.ran(SHIPPED, seed) if setting == ROUND_2 else ""
        number = 2 if source else 1
        found = self._find(recipe, number)
        if found is None:
            later = ["--round", "2", "--from", source] if source else []
            self._main("run", "--recipe", str(recipe), "--parts", "body", "--device", self.device, *later)
        elif found[1] != "finished":
            self._main("run", "--resume", found[0], "--device", self.device)
        found = self._find(recipe, number)
        if found is None or found[1] != "finished":
            raise SystemExit("Stopped; the same command goes on from there.")
        return found[0]

    def measured(self, runs: Sequence[str], people: str) -> Mapping[str, Mapping[str, float]]:
        """The numbers of `evaluate` on the target set, by run."""
        words = [word for run in runs for word in ("--run", run)]
        with tempfile.TemporaryDirectory() as name:
            table, keys = Path(name) / "table.json", Path(name) / "people.txt"
            if people == CUT_OFF:
                keys.write_text("\n".join(self._cut_off()))
                words += ["--samples", str(keys)]
            self._main("evaluate", *words, "--truth", str(self.out / "truth"), "--json", str(table))
            rows = json.loads(table.read_text())
        return {row["run"]: row for row in rows if row["dataset"] == "wild"}

    def _cut_off(self) -> list[str]:
        from annotator.project import Project

        samples = Project.open(self.project).samples("wild", "body")
        labelled = (samples.keypoints[:, :_LABELLED, 2] > 0).sum(axis=1)
        return [key for key, count in zip(samples.keys, labelled.tolist(), strict=True) if count < _LABELLED]

    def _find(self, recipe: Path, number: int) -> tuple[str, str] | None:
        """Id and state of the run of a recipe, as its fields are now, and round."""
        from annotator.project import Project
        from annotator.recipe import load_recipe, read_recipe

        wanted = load_recipe(str(recipe)).body
        for run in Project.open(self.project).runs():
            named = (run.info.recipe, run.info.round) == (recipe.stem, number)
            if named and read_recipe(run.recipe_path, recipe.stem).body == wanted:
                return run.id, run.state
        return None

    @property
    def body_hash(self) -> str:
        """Of the body that the project's people have."""
        from annotator.project import Project

        return Project.open(self.project).body_models["smplx"].hash

    def _recipe(self, setting: str, seed: int) -> Path:
        """The file of a setting and seed: the shipped recipe, but for the setting's fields."""
        from annotator.recipe import load_recipe, parse_recipe

        shipped = load_recipe(_RECIPES[self.size]).body
        counts = ("auxiliary_steps", "target_steps", "prior_steps")
        share = (self.steps or shipped.target_steps) / shipped.target_steps
        steps = {name: max(1, round(share * getattr(shipped, name))) for name in counts}
        name = SHIPPED if setting == ROUND_2 else setting
        path = self.out / "recipes" / f"{name}-{steps['target_steps']}-seed{seed}.toml"
        body = {**asdict(shipped), **steps, **SETTINGS[setting], "seed": seed}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(parse_recipe({"body": body}, path.stem).text())
        return path

    def _main(self, command: str, *words: str) -> None:
        shown = "bar" if sys.stdout.isatty() else "none"
        line = [sys.executable, str(ROOT / "main.py"), command, str(self.project), *words, "--progress", shown]
        print("$", "main.py", *line[2:], flush=True)
        if code := subprocess.run(line, check=False).returncode:
            raise SystemExit(code)


Numbers = Mapping[str, Mapping[tuple[str, str], Sequence[float]]]
"""By setting, then number and people: one value for each seed."""


def table(report: Report, numbers: Numbers) -> None:
    """Every setting's numbers: the mean over seeds, and from which to which they go."""
    print(f"\n{'setting':<20}" + "".join(f"{title:>28}" for _, _, title in COLUMNS))
    for setting, found in numbers.items():
        cells = [f"{mean(found[n, p]):.1f} ({min(found[n, p]):.1f} to {max(found[n, p]):.1f})" for n, p, _ in COLUMNS]
        figures = {f"{number}, {people}": list(found[number, people]) for number, people, _ in COLUMNS}
        report.say(f"setting.{setting}", figures, f"{setting:<20}" + "".join(f"{cell:>28}" for cell in cells))
    print()


def state(report: Report, ordering: Ordering, numbers: Numbers) -> None:
    """How far two settings are apart, seed by seed; the claim is that the mean distance is not below 0."""
    better, worse = (
        numbers[setting][ordering.number, ordering.people] for setting in (ordering.better, ordering.worse)
    )
    gains = [bad - good for good, bad in zip(better, worse, strict=True)]
    held = sum(gain > 0 for gain in gains)
    unit = "px" if ordering.number.startswith("error_2d") else "mm"
    report.say(
        f"ordering.{ordering.name}",
        gains,
        f"{ordering.words}: {ordering.better} is {mean(gains):.1f} {unit} below {ordering.worse} "
        f"({min(gains):.1f} to {max(gains):.1f}), with {held} of {len(gains)} seeds",
    )
    report.claim(ordering.name, mean(gains), 0, at_most=False)


def compare(
    report: Report, work: Ablations, orderings: Sequence[Ordering], settings: Sequence[str], seeds: int
) -> None:
    """Makes the runs that are wanted, measures all of them at once, and prints what they say."""
    work.prepare()
    runs = {(setting, seed): work.ran(setting, seed) for seed in range(1, seeds + 1) for setting in settings}
    found = {people: work.measured(list(runs.values()), people) for people in (EVERYBODY, CUT_OFF)}
    numbers = {
        setting: {
            (number, people): [found[people][runs[setting, seed]][number] for seed in range(1, seeds + 1)]
            for number, people, _ in COLUMNS
        }
        for setting in settings
    }
    hours = sum(found[EVERYBODY][run]["seconds"] for run in runs.values()) / 3600
    report.say("body", work.body_hash, f"\nThe body of the demo's people has the hash {work.body_hash}.")
    report.say("hours", hours, f"\n{len(runs)} runs, {hours:.2f} h of training and annotating")
    if (work.size, seeds, len(settings)) == ("small", 3, len(SETTINGS)):
        report.claim("hours", hours, 3)
    table(report, numbers)
    for ordering in orderings:
        state(report, ordering, numbers)


def main() -> None:
    """Reads the options and compares."""
    parser = options(__doc__ or "")
    parser.add_argument("--out", type=Path, help="folder of data, truth and project; default ablations-output")
    parser.add_argument("--size", choices=tuple(_RECIPES), help="the demo's size; default small")
    parser.add_argument("--seeds", type=int, help="runs of each setting; default 3")
    parser.add_argument("--steps", type=int, help="of the target network; default those of the size's recipe")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--only", choices=[one.name for one in ORDERINGS], action="append", help="one of the orderings")
    asked = parser.parse_args()
    chosen = [one for one in ORDERINGS if one.name in (asked.only or ())] or list(
        ORDERINGS[: 1 if asked.quick else None]
    )
    needed = {setting for one in chosen for setting in (one.better, one.worse)}
    settings = [name for name in SETTINGS if name in needed or len(chosen) == len(ORDERINGS)]
    seeds, steps = (1, _QUICK_STEPS) if asked.quick else (3, None)
    report = Report("ablations")
    with tempfile.TemporaryDirectory() as name:
        out = asked.out or (Path(name) if asked.quick else Path("ablations-output"))
        work = Ablations(
            out.resolve(), asked.size or ("tiny" if asked.quick else "small"), asked.steps or steps, asked.device
        )
        compare(report, work, chosen, settings, asked.seeds or seeds)
    report.end(asked.json)


if __name__ == "__main__":
    main()
