"""The command that prints the paper's orderings: which runs it makes, what it resumes, what it says of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from annotator.commands.projects import new
from annotator.project import Project
from annotator.recipe import load_recipe
from annotator.runs import FINISHED, STOPPED, RunInfo
from benchmarks._claims import Report
from benchmarks.ablations import ORDERINGS, ROUND_2, SETTINGS, SHIPPED, Ablations, Ordering, state


class Typed(Ablations):
    """Keeps the commands that would be typed, and does what they do to the project at once."""

    said: list[tuple[str, ...]] = []  # noqa: RUF012
    ends: str = FINISHED

    def _main(self, command: str, *words: str) -> None:
        self.said.append((command, *words))
        project = Project.open(self.project)
        if "--resume" in words:
            project.run(words[1]).set_state(self.ends)
            return
        number = 2 if "--round" in words else 1
        made = project.new_run(RunInfo(f"neuralannot-r{number}", "neuralannot", Path(words[1]).stem, round=number))
        made.recipe_path.write_bytes(Path(words[1]).read_bytes())
        made.set_state(self.ends)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    new(tmp_path / "project")
    monkeypatch.setattr(Typed, "said", [])
    return Typed(tmp_path, "small", 600, "cpu")


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_is_the_shipped_recipe_but_for_its_field(work: Typed, setting: str) -> None:
    work.ran(setting, 2)
    words = work.said[-1]
    assert words[:2] == ("run", "--recipe")
    made, shipped = asdict(load_recipe(words[2]).body), asdict(load_recipe("demo").body)
    steps = {"auxiliary_steps": 100, "target_steps": 600, "prior_steps": 300}
    assert {name: value for name, value in made.items() if value != shipped[name]} == {
        **steps,
        "seed": 2,
        **SETTINGS[setting],
    }


def test_round_2_learns_from_the_shipped_run_of_its_seed_and_nothing_is_done_twice(work: Typed) -> None:
    others = work.ran(SHIPPED, 1)
    assert work.ran(ROUND_2, 3) != work.ran(SHIPPED, 3) != others
    assert [words[-4:] for words in work.said if "--round" in words] == [
        ("--round", "2", "--from", work.ran(SHIPPED, 3))
    ]
    assert len(work.said) == 3


def test_a_run_of_another_recipe_is_not_taken_for_todays(work: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the same name, before a field of the shipped recipe was changed."""
    before = work.ran(SHIPPED, 1)
    monkeypatch.setitem(SETTINGS, SHIPPED, {"learning_rate": 0.01})
    assert work.ran(SHIPPED, 1) != before
    assert work.ran(SHIPPED, 1) != before
    assert len(work.said) == 2


def test_what_was_stopped_is_resumed(work: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Typed, "ends", STOPPED)
    with pytest.raises(SystemExit, match="goes on from there"):
        work.ran(SHIPPED, 1)
    monkeypatch.setattr(Typed, "ends", FINISHED)
    assert work.ran(SHIPPED, 1) == "neuralannot-r1"
    assert work.said[-1] == ("run", "--resume", "neuralannot-r1", "--device", "cpu")


def test_an_ordering_is_told_with_its_spread_and_one_that_does_not_hold_is_short(capsys: Any) -> None:
    ordering = Ordering("helps", "it helps", "good", "bad", "mpjpe")
    report = Report("ablations")
    key = ("mpjpe", "everybody")
    state(report, ordering, {"good": {key: [100.0, 90.0]}, "bad": {key: [110.0, 85.0]}})
    state(report, ordering, {"good": {key: [110.0, 85.0]}, "bad": {key: [100.0, 90.0]}})
    assert "it helps: good is 2.5 mm below bad (-5.0 to 10.0), with 1 of 2 seeds" in capsys.readouterr().out
    assert [claim.kept for claim in report.claims] == [True, False]
    assert {one.better for one in ORDERINGS} | {one.worse for one in ORDERINGS} <= set(SETTINGS)
