"""Two runs side by side, without a window: which runs, whose fit is judged, preferences, the list by disagreement."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.commands.reviews import summary
from annotator.fit import FitHeader, Fits
from annotator.project import Project
from annotator.runs import FINISHED, RunInfo
from annotator.verdict import Preferred, Verdict
from app.comparison import Side, default_pair
from app.messages import Messages
from app.session import Session
from app.shelf import Order
from tests.support.desk_project import COUNT, FAILED_ROW
from tests.support.window import rows_on_disk


def add_run(project: Path, run_id: str, annotator: str, *, round_: int = 1, part: str = "body", rows: range) -> None:
    """A run with the true fits of some people."""
    opened = Project.open(project)
    fits = opened.run("smplifyx-r1").fits("wild", "body")
    run = opened.new_run(RunInfo(run_id, annotator, "tiny", round=round_, datasets=("wild",), state=FINISHED))
    header = FitHeader("smplx", part, fits.header.body_hash)
    table = fits.table.take(list(rows)).replace_schema_metadata(header.to_metadata())
    Fits(table).write(run.shard_path("wild", part, 0))


@pytest.fixture
def open_session(qapp: Any, desk_project: Path) -> Iterator[Callable[[], Session]]:
    made: list[Session] = []

    def make() -> Session:
        session = Session(Messages())
        made.append(session)
        assert session.open(desk_project)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def session(open_session: Callable[[], Session]) -> Session:
    made = open_session()
    made.compare(on=True)
    return made


def runs(session: Session) -> tuple[str, str]:
    return session.shelf.run.id, session.comparison.right.run.id


def test_neuralannot_is_compared_with_smplifyx_whichever_was_shown(open_session: Callable[[], Session]) -> None:
    session = open_session()
    row = session.row
    for shown in ("smplifyx-r1", "neuralannot-r1"):
        session.show_run(shown)
        session.compare(on=True)
        assert runs(session) == ("neuralannot-r1", "smplifyx-r1")
        assert session.row == row
        session.compare(on=False)
        assert not session.comparison.on
        assert session.shelf.run.id == "neuralannot-r1"


def test_it_is_those_two_even_if_a_third_was_shown(open_session: Callable[[], Session], desk_project: Path) -> None:
    add_run(desk_project, "smplify-r1", "smplify", rows=range(COUNT))
    session = open_session()
    session.show_run("smplify-r1")
    session.compare(on=True)
    assert runs(session) == ("neuralannot-r1", "smplifyx-r1")


def test_without_smplifyx_another_round_comes_before_the_same_round(qapp: Any, desk_project: Path) -> None:
    project = Project.open(desk_project)
    add_run(desk_project, "neuralannot-r2", "neuralannot", round_=2, rows=range(COUNT))
    add_run(desk_project, "neuralannot-r2-2", "neuralannot", round_=2, rows=range(COUNT))
    known = [run for run in reversed(project.runs()) if run.info.annotator == "neuralannot"]
    shown = project.run("neuralannot-r2-2")
    pair = default_pair(known, shown)
    assert pair is not None
    assert [run.id for run in pair] == ["neuralannot-r2-2", "neuralannot-r1"]
    assert default_pair([project.run("neuralannot-r2"), shown], shown) is not None  # better than nothing
    assert default_pair([shown], shown) is None


def test_a_run_of_whole_people_is_compared_with_bodies(open_session: Callable[[], Session], desk_project: Path) -> None:
    add_run(desk_project, "smplifyx-r2", "smplifyx", part="whole", rows=range(4))
    session = open_session()
    session.show_run("neuralannot-r1")
    session.compare(on=True)
    session.show_right("smplifyx-r2")
    session.go_to_row(1)
    left, right = session.pair
    assert (left.part, right.part) == ("body", "whole")
    session.comparison.arm(Side.RIGHT)
    assert session.judge(Verdict.REJECT)
    assert session.comparison.right.verdicts[1] == 2
    session.go_to_row(9)
    assert session.pair is None
    assert (session.fit is not None, session.right_fit) == (True, None)


def test_choosing_the_run_of_the_other_side_exchanges_the_two(session: Session) -> None:
    session.show_run("smplifyx-r1")
    assert runs(session) == ("smplifyx-r1", "neuralannot-r1")
    session.show_right("smplifyx-r1")
    assert runs(session) == ("neuralannot-r1", "smplifyx-r1")
    session.swap()
    assert runs(session) == ("smplifyx-r1", "neuralannot-r1")
    session.next_run()
    assert runs(session) == ("smplifyx-r1", "neuralannot-r1")  # there is no third


def test_verdicts_go_to_the_armed_side(session: Session, desk_project: Path) -> None:
    row, sample = session.row, session.key
    assert session.judge(Verdict.ACCEPT)
    session.go_to_row(row)
    session.comparison.arm(Side.RIGHT)
    assert session.judgement is None  # it was the other fit's
    session.toggle_reason(4)
    assert session.judge(Verdict.REJECT)
    said = {(key.run, judgement.verdict.value) for key, judgement in session.judgements.items()}
    assert said == {("neuralannot-r1", "accept"), ("smplifyx-r1", "reject")}
    assert rows_on_disk(desk_project)[-1] == ("verdict", sample, "reject", '["hands"]')
    assert (session.shelf.verdicts[row], session.comparison.right.verdicts[row]) == (1, 2)
    session.comparison.arm(Side.LEFT)
    session.undo()
    assert session.comparison.armed is Side.RIGHT  # undo goes to the fit, on its side
    assert session.comparison.right.verdicts[row] == 0


def test_a_preference_is_kept_shown_from_either_side_and_counted(
    session: Session, open_session: Callable[[], Session], desk_project: Path
) -> None:
    row, sample = session.row, session.key
    assert session.prefer(Preferred.RIGHT)
    assert session.row != row
    assert rows_on_disk(desk_project) == [("preference", sample, "right", "[]")]
    assert session.preference_of(row) is Preferred.RIGHT
    session.swap()
    assert session.preference_of(row) is Preferred.LEFT
    session.close()
    again = open_session()
    again.load_reviews()
    again.compare(on=True)
    assert again.preference_of(row) is Preferred.RIGHT
    assert "better 0, worse 1, ties 0" in summary(desk_project).text()
    assert again.judgements == {}


def test_a_preference_is_undone_and_redone_where_it_was_given(session: Session) -> None:
    row = session.row
    session.prefer(Preferred.LEFT)
    session.compare(on=False)
    session.undo()
    assert session.row == row
    assert runs(session) == ("neuralannot-r1", "smplifyx-r1")  # the two fits are shown again
    assert session.preference_of(row) is None
    session.redo()
    assert session.preference_of(row) is Preferred.LEFT


def test_only_two_fits_can_be_preferred(session: Session, desk_project: Path) -> None:
    said: list[str] = []
    session.messages.said.connect(lambda _level, sentence: said.append(sentence))
    session.go_to_row(FAILED_ROW)
    assert not session.prefer(Preferred.TIE)
    assert said == ["Both runs need a fit of this person that did not fail."]
    assert not (desk_project / "reviews.sqlite").exists()


def test_next_unreviewed_is_the_next_pair_that_nobody_compared(session: Session) -> None:
    for _ in range(COUNT - 1):
        assert session.next_unreviewed()
        assert session.prefer(Preferred.TIE)
    assert FAILED_ROW not in session.compared_rows()
    assert len(session.compared_rows()) == COUNT - 1
    assert not session.next_unreviewed()


def test_the_list_is_by_disagreement_when_all_is_known(session: Session) -> None:
    session.arrange(order=Order.FILE)
    values = np.arange(COUNT, dtype=np.float32)
    values[FAILED_ROW] = np.nan
    session.arrange(order=Order.DISAGREEMENT)
    some = np.where(np.arange(COUNT) < 5, values, np.nan).astype(np.float32)
    before = list(session.rows)
    session.take_disagreement(some, 5)
    assert session.comparison.unfinished
    assert list(session.rows) == before  # nothing jumps while it is worked out
    session.take_disagreement(values, COUNT)
    assert not session.comparison.unfinished
    assert list(session.rows[:3]) == [11, 10, 9]
    assert session.rows[-1] == FAILED_ROW
    session.compare(on=False)
    assert session.selection.order is Order.WORST
    assert session.selection.disagreement is None


def test_another_import_or_project_takes_the_comparison_along_or_ends_it(session: Session, desk_project: Path) -> None:
    session.reload()
    assert runs(session) == ("neuralannot-r1", "smplifyx-r1")
    assert session.comparison.right.samples is session.shelf.samples
    session.close()
    assert not session.comparison.on
