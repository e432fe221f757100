"""The session without a window: lists, orders, the project's lock, and what it keeps."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.runs import ERRORS
from annotator.verdict import Verdict
from app.messages import Messages
from app.session import Session
from app.shelf import Order, Shelf, Show
from tests.support.desk_project import COUNT, FAILED_ROW
from tests.support.window import rows_on_disk


def make_session() -> tuple[Session, list[tuple[str, str]]]:
    messages = Messages()
    said: list[tuple[str, str]] = []
    messages.said.connect(lambda level, sentence: said.append((level, sentence)))
    return Session(messages), said


@pytest.fixture
def session(qapp: Any, desk_project: Path) -> Iterator[Session]:
    made, _ = make_session()
    assert made.open(desk_project)
    made.show_run("neuralannot-r1")
    yield made
    made.close()


def test_orders_are_by_2d_error_and_by_file(session: Session) -> None:
    scores = Project.open(session.project.path).run("neuralannot-r1").score("wild", "body", ERRORS[0])
    errors = np.array([scores.get(key, np.nan) for key in session.shelf.samples.keys])
    known = np.flatnonzero(~np.isnan(errors))
    session.arrange(order=Order.WORST)
    assert list(session.rows[: len(known)]) == sorted(known, key=lambda row: -errors[row])
    session.arrange(order=Order.BEST)
    assert list(session.rows[: len(known)]) == sorted(known, key=lambda row: errors[row])
    session.arrange(order=Order.FILE)
    assert list(session.rows) == list(range(COUNT))


@pytest.mark.parametrize(
    ("show", "rows"),
    [
        (Show.ALL, set(range(COUNT))),
        (Show.ACCEPTED, {1, 2}),
        (Show.REJECTED, {4}),
        (Show.UNSURE, {6}),
        (Show.FAILED, {FAILED_ROW}),
        (Show.TO_REVIEW, set(range(COUNT)) - {1, 2, 4, 6, FAILED_ROW}),
    ],
)
def test_each_filter_shows_whom_it_names(session: Session, show: Show, rows: set[int]) -> None:
    for row, verdict in ((1, "accept"), (2, "accept"), (4, "reject"), (6, "unsure")):
        session.go_to_row(row)
        assert session.judge(Verdict(verdict))
    session.arrange(show=show)
    assert set(session.rows.tolist()) == rows
    assert session.shelf.counts()[show] == len(rows)
    assert session.row in rows


def test_a_search_finds_ids_and_photos(session: Session) -> None:
    session.arrange(text="wild/107")
    assert list(session.rows) == [7]
    session.arrange(text=session.shelf.samples[3].image.upper())
    assert list(session.rows) == [3]
    session.arrange(text="nobody")
    assert len(session.rows) == 0
    assert not session.step(1)
    assert not session.next_unreviewed()


def test_the_current_person_stays_when_the_order_changes(session: Session) -> None:
    session.go_to_row(9)
    session.arrange(order=Order.FILE)
    assert session.row == 9
    assert session.ahead(2) == [10, 11]


def test_the_list_ends_at_its_ends(session: Session) -> None:
    session.arrange(order=Order.FILE)
    session.go_to_row(0)
    assert not session.step(-1)
    assert session.step(COUNT + 5)
    assert (session.row, session.step(1)) == (COUNT - 1, False)


def test_go_to_takes_an_id_or_a_whole_key(session: Session) -> None:
    assert session.go_to_id("104")
    assert session.key == "wild/104"
    assert session.go_to_id("wild/106")
    assert session.key == "wild/106"
    assert not session.go_to_id("106 ")
    assert session.key == "wild/106"


def test_a_person_without_a_fit_cannot_be_judged(session: Session, desk_project: Path) -> None:
    session.show_dataset("wild")
    session.shelf = Shelf.of("wild", session.shelf.samples, None)
    assert not session.judge(Verdict.ACCEPT)
    session.toggle_reason(1)
    assert session.armed == ()
    assert not (desk_project / "reviews.sqlite").exists()


def test_a_second_session_is_read_only_and_says_who_holds_the_project(session: Session, desk_project: Path) -> None:
    second, said = make_session()
    assert second.open(desk_project)
    assert second.read_only
    assert "process" in second.read_only
    assert not second.judge(Verdict.ACCEPT)
    second.toggle_reason(1)
    second.undo()
    assert said
    assert all(sentence.startswith("Read-only: ") for _, sentence in said)
    assert second.armed == ()
    assert ReviewLog(desk_project / "reviews.sqlite").events() == []
    second.close()
    assert session.judge(Verdict.ACCEPT)  # the holder is not disturbed


def test_opening_the_project_that_is_open_keeps_it_writable(session: Session, desk_project: Path) -> None:
    assert session.open(desk_project / ".." / desk_project.name)
    assert not session.read_only
    assert session.judge(Verdict.ACCEPT)


def test_a_project_that_cannot_be_opened_leaves_the_open_one(session: Session, tmp_path: Path) -> None:
    said: list[str] = []
    session.messages.said.connect(lambda _level, sentence: said.append(sentence))
    file = tmp_path / "newer" / "project.toml"
    file.parent.mkdir()
    file.write_text("format = 99\n")
    assert not session.open(file.parent)
    assert not session.open(tmp_path / "nowhere")
    assert "was made by a newer version (format 99, this program knows 1); update the program." in said[0]
    assert "is not a project" in said[1]
    assert session.judge(Verdict.ACCEPT)


def test_a_reason_on_a_judged_person_counts_before_the_log_was_read(qapp: Any, desk_project: Path) -> None:
    first, _ = make_session()
    first.open(desk_project)
    row = first.row
    first.judge(Verdict.REJECT, ("depth",))
    first.close()
    again, _ = make_session()
    again.open(desk_project)
    again.go_to_row(row)
    again.toggle_reason(4)  # at once, as a quick reviewer does
    assert rows_on_disk(desk_project)[-1][2:] == ("reject", '["depth", "hands"]')
    again.undo()
    assert again.judgement is not None
    assert again.judgement.reasons == ("depth",)
    again.close()


def test_undo_belongs_to_the_reviewer(session: Session) -> None:
    from dataclasses import replace

    session.judge(Verdict.ACCEPT)
    session.change_preferences(replace(session.preferences, reviewer="bob"))
    session.undo()
    assert len(session.judgements) == 1  # ann's verdict is not bob's to take back


def test_a_log_that_cannot_be_read_stores_nothing_and_says_so(session: Session, desk_project: Path) -> None:
    said: list[tuple[str, str]] = []
    session.messages.said.connect(lambda level, sentence: said.append((level, sentence)))
    (desk_project / "reviews.sqlite").write_bytes(b"no database at all" * 100)
    here = session.row
    assert not session.judge(Verdict.ACCEPT)
    assert session.row == here
    assert [level for level, _ in said] == ["warning"]
    assert said[0][1].startswith(f"The review log {desk_project / 'reviews.sqlite'} cannot be read")
    assert session.judgement is None


def test_another_import_of_the_data_set_is_read_anew(session: Session) -> None:
    session.go_to_row(4)
    before = session.shelf.samples
    session.reload()
    assert session.shelf.samples is not before
    assert (session.key, session.shelf.run.id) == ("wild/104", "neuralannot-r1")


def test_a_damaged_table_of_people_is_told_and_the_project_stays_open(qapp: Any, desk_project: Path) -> None:
    next((desk_project / "datasets" / "wild").glob("samples-body-*.arrow")).write_bytes(b"half")
    session, said = make_session()
    assert session.open(desk_project)
    assert said == []
    assert "is not a whole table" in session.lost_people
    assert session.lost_dataset == "wild"
    assert session.shelf is None
    session.close()


def test_undo_knows_verdicts_that_were_imported_meanwhile(session: Session, desk_project: Path) -> None:
    from annotator.verdict import EventKind, FitKey, ReviewEvent

    session.judge(Verdict.ACCEPT)
    log = ReviewLog(desk_project / "reviews.sqlite")
    fit = FitKey("neuralannot-r1", "wild/108", "body")
    log.append(ReviewEvent(EventKind.VERDICT, fit, value="reject", reviewer=session.preferences.name))
    log.close()
    session.undo()
    assert session.key == "wild/108"
    assert fit not in session.judgements
    assert len(session.judgements) == 1
    session.redo()
    assert session.judgements[fit].verdict is Verdict.REJECT
    assert session.shelf.verdicts[8] == 2


def test_a_verdict_counts_although_an_earlier_one_bears_a_later_time(session: Session, desk_project: Path) -> None:
    from annotator.verdict import EventKind, ReviewEvent

    fit = session.fit_key
    assert fit is not None
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    log = ReviewLog(desk_project / "reviews.sqlite")
    log.append(ReviewEvent(EventKind.VERDICT, fit, value="reject", reviewer="another", time=tomorrow))
    log.close()
    session.load_reviews()
    session.judge(Verdict.ACCEPT)
    assert session.judgements[fit].verdict is Verdict.ACCEPT
    assert ReviewLog(desk_project / "reviews.sqlite").judgements()[fit].verdict is Verdict.ACCEPT


def test_rows_find_their_fits_and_scores_by_key_in_any_order(session: Session, desk_project: Path) -> None:
    from annotator.fit import Fits

    run = Project.open(desk_project).run("neuralannot-r1")
    before = session.shelf
    (shard,) = run.shards("wild", "body")
    table = Fits.read([shard]).table
    Fits(table.take([11, 0, 5, 3])).write(shard)  # nobody else has a fit
    after = Shelf.of("wild", before.samples, run)
    assert np.flatnonzero(after.status).tolist() == [0, 3, 5, 11]
    assert after.status[3] == before.status[3] == 2
    for row in (0, 3, 5, 11):
        assert after.fit(row).key == before.samples.keys[row]
        np.testing.assert_array_equal(after.fit(row).transl, before.fit(row).transl)
    assert after.fit(1) is None
    keys = before.samples.keys
    run.write_score("wild", "body", ERRORS[0], [keys[4], "wild/nobody", keys[0]], [4.0, 9.0, 1.0])
    errors = Shelf.of("wild", before.samples, run).errors[0]
    assert (errors[4], errors[0]) == (4.0, 1.0)
    assert np.isnan(errors[[1, 2, 3, 11]]).all()


def test_the_others_in_a_photo_are_those_with_the_same_photo(session: Session) -> None:
    from annotator.sample import Samples

    samples = session.shelf.samples
    shared = Samples.of([samples[0], samples[1], samples[0], samples[2], samples[1], samples[0]])
    shelf = Shelf.of("wild", shared, None)
    np.testing.assert_array_equal(shelf.boxes_beside(0), shared.boxes[[2, 5]])
    np.testing.assert_array_equal(shelf.boxes_beside(4), shared.boxes[[1]])
    assert len(shelf.boxes_beside(3)) == 0


def test_a_run_of_faces_alone_is_not_among_those_that_are_looked_at(qapp: Any, desk_project: Path) -> None:
    list(run(desk_project, RunOptions("smplifyx", parts=("face",))))
    assert Project.open(desk_project).run("smplifyx-r1-2").fitted == [("wild", "face")]
    made, said = make_session()
    assert made.open(desk_project)
    try:
        assert {found.id for found in made.runs()} == {"neuralannot-r1", "smplifyx-r1"}
        assert made.shelf.run.id in ("neuralannot-r1", "smplifyx-r1")
        made.compare(on=True)
        assert made.comparison.right.run.id in ("neuralannot-r1", "smplifyx-r1")
        assert [sentence for level, sentence in said if level != "note"] == []
    finally:
        made.close()
