"""Which samples a run is over: `--samples`, `--data`, what `--resume` may not contradict, and the runs meant by default."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.annotators import neuralannot
from annotator.commands.choosing import chosen_samples, covering_run, named_samples
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.progress import Stopped
from annotator.project import Project
from annotator.runs import FINISHED, STOPPED, RunInfo
from tests.support.desk_project import FAILED_ROW, done
from tests.support.runs import refusal, started
from tests.support.small_data import quick_recipe


def test_keys_are_read_from_words_and_from_a_file(desk_project: Path, tmp_path: Path) -> None:
    project = Project.open(desk_project)
    assert named_samples(project, " wild/101, wild/100,,wild/101 ") == ("wild/101", "wild/100")
    (tmp_path / "list.txt").write_text("\ufeffwild/100\n\n# a comment\nwild/102  # and another\n")
    assert named_samples(project, str(tmp_path / "list.txt")) == ("wild/100", "wild/102")
    assert chosen_samples(project, (), "wild/100") == (("wild",), ("wild/100",))
    assert chosen_samples(project, (), "") == (("wild",), ())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("wild/1,wild/100,100", "no samples called wild/1, 100; a sample is named by its data set and id"),
        (",".join(f"wild/{n}" for n in range(40)), "wild/9 and 30 more"),
        ("nowhere.txt", "no samples called nowhere.txt"),
        ("x" * 5000, "(5,000 letters)"),
        ("a\0b", "no samples called a\\x00b"),
        (" , ", "names nobody"),
    ],
)
def test_unknown_keys_are_named_in_one_sentence(desk_project: Path, words: str, sentence: str) -> None:
    said = refusal(desk_project, RunOptions(recipe="tiny", samples=words))
    assert sentence in said
    assert "\n" not in said
    assert len(said) < 400
    assert len(Project.open(desk_project).runs()) == 2  # no folder was made


def test_a_list_that_is_no_text_is_one_sentence(desk_project: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\x80\x02\xff")
    assert "cannot be read" in refusal(desk_project, RunOptions(recipe="tiny", samples=str(tmp_path / "list.txt")))


def lab_twin(project: Project) -> None:
    """An auxiliary set `lab` (in name) with the people of `wild`."""
    samples = project.samples("wild", "body")
    keys = [key.replace("wild/", "lab/") for key in samples.keys]
    import pyarrow as pa

    from annotator.sample import Samples

    table = samples.table.set_column(0, "key", pa.array(keys, pa.string()))
    info = replace(
        project.datasets()["wild"], name="lab", image_root="lab", role="auxiliary", parts={"body": len(samples)}
    )
    project.add(info, {"body": Samples(table)}, project.image_roots["wild"])


def without_photos(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    project.relink({"wild": tmp_path / "empty"})


def test_data_sets_of_which_nobody_is_named_take_no_part(desk_project: Path) -> None:
    project = Project.open(desk_project)
    lab_twin(project)
    assert chosen_samples(project, (), "wild/100")[0] == ("wild",)
    assert chosen_samples(project, (), "wild/100,lab/101")[0] == ("lab", "wild")
    with pytest.raises(RunError, match="nobody of a target data set"):
        chosen_samples(project, (), "lab/100")
    with pytest.raises(RunError, match="people of lab, which --data leaves out"):
        chosen_samples(project, ("wild",), "wild/100,lab/100")


def test_a_run_over_some_samples_is_never_the_default(desk_project: Path) -> None:
    project = Project.open(desk_project)
    fits = project.run("neuralannot-r1").fits("wild", "body")
    assert fits is not None
    some = project.new_run(RunInfo("neuralannot-r1", "neuralannot", "tiny", datasets=("wild",), state=FINISHED))
    Fits(fits.table.slice(0, 5)).write(some.shard_path("wild", "body", 0))
    assert covering_run(project).id == "neuralannot-r1"
    options = RunOptions(recipe="tiny", round=2, device="cpu")
    begun = run(desk_project, options)
    next(begun)
    begun.close()
    assert project.run("neuralannot-r2").info.source == "neuralannot-r1"
    begun = run(desk_project, replace(options, samples="wild/100,wild/101"))
    next(begun)
    begun.close()
    assert project.run("neuralannot-r2-2").info.source == some.id  # the newest that has them
    project.run("neuralannot-r1").remove()
    assert "has a fit of every target sample, and none has" in refusal(desk_project, options)


CONTRADICTIONS: tuple[tuple[RunOptions, str], ...] = (
    (RunOptions(recipe="demo"), "the recipe tiny as it was then"),
    (RunOptions(round=2), "--round 1"),
    (RunOptions(source="smplifyx-r1"), "no --from"),
    (RunOptions(data=("other",)), "--data wild"),
    (RunOptions(parts=("hands",)), "--parts body"),
    (RunOptions(annotator="smplifyx"), "--annotator neuralannot"),
    (RunOptions(samples="wild/100"), "no --samples"),
    (RunOptions(round=2, recipe="demo"), "--round 1 and the recipe tiny"),
)


@pytest.mark.parametrize(("options", "words"), CONTRADICTIONS, ids=[words for _, words in CONTRADICTIONS])
@pytest.mark.parametrize("resume", ["newest", "neuralannot-r1-2"])
def test_what_contradicts_a_resumed_run_is_refused(
    desk_project: Path, options: RunOptions, words: str, resume: str
) -> None:
    made = started(Project.open(desk_project))
    said = refusal(desk_project, replace(options, resume=resume))
    assert said.startswith("neuralannot-r1-2 goes on as it was started, with ")
    assert words in said
    assert made.state == STOPPED


def test_options_that_say_the_same_resume_it(desk_project: Path) -> None:
    made = started(Project.open(desk_project), samples=("wild/100", "wild/101"))
    options = RunOptions(
        resume="newest",
        recipe="tiny",
        round=1,
        data=("wild",),
        annotator="neuralannot",
        samples="wild/101,wild/100",
        device="cpu",
    )
    begun = run(desk_project, options)
    next(begun)
    assert made.state == "running"
    begun.close()
    begun = run(desk_project, replace(options, data=("wild", "lab")))  # as it was typed, though lab takes no part
    next(begun)
    begun.close()
    assert "1 other" not in refusal(desk_project, replace(options, samples="wild/101"))
    assert "2 other --samples" in refusal(desk_project, replace(options, samples="wild/101"))


def test_round_1_learns_from_no_earlier_run(desk_project: Path) -> None:
    options = RunOptions(recipe="tiny", source="neuralannot-r1")
    assert "Round 1 learns from no earlier run" in refusal(desk_project, options)
    assert "Round 1 learns from no earlier run" in refusal(desk_project, replace(options, round=1))


def test_a_run_over_some_samples_teaches_and_annotates_them_alone_and_so_does_its_resume(
    desk_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole path in this process: stopped while it annotates, its photos gone, resumed from the cache."""
    project = Project.open(desk_project)
    lab_twin(project)
    drawn: list[int] = []
    crops_tensor: Callable[..., Any] = neuralannot.crops_tensor

    def watched(crops: Any, *others: Any) -> Any:
        drawn.append(len(crops.reasons))
        return crops_tensor(crops, *others)

    monkeypatch.setattr("annotator.teaching.crops_tensor", watched)
    options = RunOptions(recipe=str(quick_recipe(tmp_path)), samples="wild/102,wild/100,wild/104", device="cpu")
    work = run(desk_project, options)
    for progress in work:
        if progress.stage.startswith("Training the target"):
            with suppress(Stopped):
                work.throw(Stopped())
                list(work)
            break
    made = project.run("neuralannot-r1-2")
    assert made.state == STOPPED
    assert made.info.samples == ("wild/102", "wild/100", "wild/104")
    assert made.info.datasets == ("wild",)  # nobody of `lab` was named
    without_photos(project, tmp_path)
    list(run(desk_project, RunOptions(resume="newest", device="cpu")))
    assert made.state == FINISHED
    assert set(drawn) == {3}
    fits = made.fits("wild", "body")
    assert fits is not None
    assert fits.keys == ["wild/100", "wild/102", "wild/104"]  # in the order of the data set
    assert fits.ok.all()
    assert made.fitted == [("wild", "body")]
    errors = made.score("wild", "body", "error_2d")
    assert errors is not None
    assert set(errors) == set(fits.keys)
    assert re.search(r"No auxiliary set", made.job.log_path.read_text())


def test_some_people_alone_are_measured(desk_project: Path, tmp_path: Path) -> None:
    """The list may name them in any order; those of it whose fit failed are counted as failed."""
    from annotator.commands.evaluate import evaluate

    keys = Project.open(desk_project).samples("wild", "body").keys
    chosen = tmp_path / "hard-ones.txt"
    chosen.write_text("\n".join([keys[8], keys[1], keys[FAILED_ROW], keys[2]]))

    def measured(words: str) -> list[dict[str, Any]]:
        done(evaluate(desk_project, run_ids=["neuralannot-r1"], samples=words, json_file=tmp_path / "table.json"))
        return json.loads((tmp_path / "table.json").read_text())

    (some,), (first,), singles = measured(str(chosen)), measured(keys[1]), [measured(keys[n])[0] for n in (1, 2, 8)]
    assert [(one["people"], one["failed"]) for one in (some, first)] == [(3, 1), (1, 0)]
    assert some["error_2d_crop"] == pytest.approx(np.mean([one["error_2d_crop"] for one in singles]))
    assert some["error_2d_crop"] != pytest.approx(first["error_2d_crop"])
    with pytest.raises(RunError, match="no samples called wild/none"):
        done(evaluate(desk_project, run_ids=["neuralannot-r1"], samples="wild/none"))
