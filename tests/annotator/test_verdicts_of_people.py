"""One fit stands for a person: what the desk shows and judges is what is exported, and what the next round hears of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.commands.export import export
from annotator.commands.reviews import import_reviews
from annotator.commands.run_verdicts import told, verdicts_of
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.project import Project
from annotator.reviews import ReviewLog, freeze
from annotator.runs import Run
from annotator.verdict import EventKind, FitKey, ReviewEvent, Verdict, in_force
from app.shelf import Shelf
from tests.support.desk_project import done

RUN = "neuralannot-r1"


def rewritten(fits: Fits, part: str, keys: list[str], **changed: np.ndarray) -> Fits:
    return Fits.of(
        replace(fits.header, part=part),
        keys,
        {**fits.parameters, **changed},
        focal=fits.column("focal"),
        princpt=fits.column("princpt"),
        transl=fits.column("transl"),
        reasons=["" if ok else "it failed" for ok in fits.ok],
    )


@pytest.fixture
def joined(desk_project: Path) -> Project:
    """The desk's project, whose run has fits of right hands and of whole people too, with an open jaw."""
    project = Project.open(desk_project)
    run = project.run(RUN)
    fits = run.fits("wild", "body")
    assert fits is not None
    jaw = np.tile(np.float32([0.3, 0, 0]), (len(fits.keys), 1))
    rewritten(fits, "whole", fits.keys, jaw_pose=jaw).write(run.shard_path("wild", "whole", 0))
    rewritten(fits, "rhand", [f"{key}/rhand" for key in fits.keys]).write(run.shard_path("wild", "rhand", 0))
    return project


def ids(run: Run, count: int) -> list[str]:
    """Annotation ids of the first people whose fit did not fail."""
    fits = run.fits("wild", "whole")
    assert fits is not None
    return [key.partition("/")[2] for key, ok in zip(fits.keys, fits.ok, strict=True) if ok][:count]


def test_whole_people_stand_for_bodies_once_all_of_them_are_joined(joined: Project) -> None:
    run = joined.run(RUN)
    assert (run.person_part("wild"), run.person_part("nobody")) == ("whole", "")
    run.shard_path("wild", "body", 1).write_bytes(run.shard_path("wild", "body", 0).read_bytes())
    assert run.person_part("wild") == "body"


def test_the_desk_shows_and_judges_the_fit_that_is_exported(joined: Project) -> None:
    shelf = Shelf.of("wild", joined.samples("wild", "body"), joined.run(RUN))
    fit, key = shelf.fit(0), shelf.key(0)
    assert fit is not None
    assert key is not None
    assert fit.parameters["jaw_pose"][0] == pytest.approx(0.3)
    assert key.part == "whole"


@pytest.mark.parametrize(
    "written", ["{0}\n", "sample,verdict,part\n{0},reject,body\n", "sample,verdict\nwild/{0},reject\n"]
)
def test_a_list_judges_that_fit_however_it_names_the_person(joined: Project, tmp_path: Path, written: str) -> None:
    one = ids(joined.run(RUN), 1)[0]
    (tmp_path / "list.csv").write_text(written.format(one))
    assert import_reviews(joined.path, tmp_path / "list.csv").text() == f"Took in 1 verdict from {tmp_path}/list.csv."
    assert list(ReviewLog(joined.reviews_path).judgements()) == [FitKey(RUN, f"wild/{one}", "whole")]
    said = done(export(joined.path, "neuralannot", tmp_path / "out.json", run_id=RUN)).text()
    assert "Left out 1: a reviewer rejected it." in said


def test_a_list_can_judge_a_hand_alone(joined: Project, tmp_path: Path) -> None:
    one = ids(joined.run(RUN), 1)[0]
    (tmp_path / "list.txt").write_text(f"{one}/rhand\n")
    import_reviews(joined.path, tmp_path / "list.txt")
    assert list(ReviewLog(joined.reviews_path).judgements()) == [FitKey(RUN, f"wild/{one}/rhand", "rhand")]


def test_the_next_round_hears_of_all_parts_of_a_person(joined: Project) -> None:
    given = {
        FitKey(RUN, "wild/1", "whole"): Verdict.REJECT,
        FitKey(RUN, "wild/2", "whole"): Verdict.ACCEPT,
        FitKey(RUN, "wild/2/rhand", "rhand"): Verdict.REJECT,
        FitKey(RUN, "wild/3", "body"): Verdict.UNSURE,
    }
    events = [ReviewEvent(EventKind.VERDICT, fit, value=verdict.value) for fit, verdict in given.items()]
    run = joined.run(RUN)
    assert verdicts_of(run) == {}
    run.write_info(replace(run.info, round=2))
    with pytest.raises(RunError, match=r"verdicts.arrow, the verdicts that .* began with, is missing; put it back"):
        verdicts_of(run)
    freeze(in_force(events).values(), run.verdicts_path)
    found = verdicts_of(run)
    assert {key: value for key, value in found.items() if key.startswith("wild/1")} == dict.fromkeys(
        ("wild/1", "wild/1/lhand", "wild/1/rhand", "wild/1/face"), Verdict.REJECT
    )
    assert (found["wild/2"], found["wild/2/lhand"], found["wild/2/rhand"]) == (
        *(Verdict.ACCEPT, Verdict.ACCEPT),
        Verdict.REJECT,
    )
    assert (found["wild/3"], "wild/3/rhand" in found) == (Verdict.UNSURE, False)
    (message,) = [progress.message for progress in told(run, found)]
    assert message.startswith(f"Verdicts on people of {RUN}: 1 accept, 1 reject, 1 unsure. ")
    assert list(told(None, found)) == []
