import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from annotator.commands.reviews import import_reviews, summary
from annotator.errors import ReviewError
from annotator.project import Project
from annotator.reviews import ReviewLog, freeze, frozen, redo_event, undo_event
from annotator.verdict import (
    REASONS,
    EventKind,
    FitKey,
    Preferred,
    ReviewEvent,
    Verdict,
    in_force,
    pair_of,
    preferences_in_force,
)

FIT, OTHER = FitKey("r1", "wild/1", "body"), FitKey("r1", "wild/2", "body")


def verdict(value: str, fit: FitKey = FIT, reviewer: str = "ann", reasons: tuple[str, ...] = ()) -> ReviewEvent:
    return ReviewEvent(EventKind.VERDICT, fit, value=value, reviewer=reviewer, reasons=reasons)


def test_a_verdict_is_on_disk_at_once_and_back_after_reopening(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / "r.sqlite")
    log.append(verdict("reject", reasons=("depth", "hands")))
    found = ReviewLog(tmp_path / "r.sqlite").judgements()[FIT]  # the first was never closed
    assert (found.verdict, found.reasons, found.reviewer) == (Verdict.REJECT, ("depth", "hands"), "ann")


@pytest.mark.parametrize("name", ["a%20b", "a?b=1", "a#b", "file:a", "a b"])
def test_the_log_lies_where_it_is_said_to_lie_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    ReviewLog(tmp_path / name / "r.sqlite").append(verdict("reject"))
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.sqlite")] == [Path(name, "r.sqlite")]
    assert FIT in ReviewLog(tmp_path / name / "r.sqlite").judgements()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_newest_verdict_counts_whoever_gave_it() -> None:
    events = [verdict("accept"), verdict("reject", reviewer="bob"), verdict("accept", OTHER)]
    assert {fit: j.verdict for fit, j in in_force(events).items()} == {FIT: Verdict.REJECT, OTHER: Verdict.ACCEPT}


def test_undo_and_redo_go_through_the_reviewers_own_verdicts() -> None:
    events = [verdict("accept"), verdict("reject", OTHER), verdict("unsure", reviewer="bob")]
    first = undo_event(events, "ann")
    assert first is not None
    events.append(first)
    assert set(in_force(events)) == {FIT}
    assert in_force(events)[FIT].verdict is Verdict.UNSURE
    second = undo_event(events, "ann")
    assert second is not None
    events.append(second)
    assert undo_event(events, "ann") is None
    for _ in range(2):
        again = redo_event(events, "ann")
        assert again is not None
        events.append(again)
    assert redo_event(events, "ann") is None
    assert in_force(events)[OTHER].verdict is Verdict.REJECT


def test_redo_is_gone_after_a_new_verdict() -> None:
    events = [verdict("accept")]
    undo = undo_event(events, "ann")
    assert undo is not None
    events += [undo, verdict("unsure", OTHER)]
    assert redo_event(events, "ann") is None


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / "r.sqlite")
    log.append(verdict("accept"))
    log.append(verdict("reject"))
    assert [event.value for event in log.events()] == ["accept", "reject"]


def test_a_damaged_log_says_so(tmp_path: Path) -> None:
    (tmp_path / "r.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(ReviewError, match="restore it from a backup"):
        ReviewLog(tmp_path / "r.sqlite").judgements()


def test_a_log_that_cannot_be_written_stores_nothing_and_says_so(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / "no such folder" / "r.sqlite")
    with pytest.raises(ReviewError, match="was not saved"):
        log.append(verdict("accept"))


def test_a_log_that_another_program_holds_is_told_soon_and_stores_nothing(tmp_path: Path) -> None:
    log, path = ReviewLog(tmp_path / "r.sqlite"), tmp_path / "r.sqlite"
    log.append(verdict("accept"))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        begun = time.monotonic()
        with pytest.raises(ReviewError, match="close the other program that uses it and repeat it"):
            log.append(verdict("reject"))
        assert time.monotonic() - begun < 4
        with pytest.raises(ReviewError, match="wait for the program that writes to it, and try again"):
            ReviewLog(path).judgements()
    assert len(log.events()) == 1


def test_frozen_verdicts_come_back(tmp_path: Path) -> None:
    freeze(in_force([verdict("reject"), verdict("accept", OTHER)]).values(), tmp_path / "v.arrow")
    assert frozen(tmp_path / "v.arrow") == {FIT: Verdict.REJECT, OTHER: Verdict.ACCEPT}


def test_reasons_have_a_digit_each() -> None:
    assert sorted(reason.digit for reason in REASONS) == list(range(1, 10))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "sample,verdict,reasons\nwild/100,reject,depth\nwild/101,accept,\nwild/999,reject,\n"),
        (
            "list.json",
            '[{"sample": "100", "verdict": "reject"}, {"sample": "101", "verdict": "accept"}, {"sample": "9", "verdict": "reject"}]',
        ),
        ("list.txt", "100\n999\n"),
    ],
)
def test_lists_of_bad_samples_are_taken_in(desk_project: Path, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    table = import_reviews(desk_project, tmp_path / name)
    assert "9" in table.text()  # the unknown id is named
    found = ReviewLog(Project.open(desk_project).reviews_path).judgements()
    verdicts = {fit.sample: judgement.verdict for fit, judgement in found.items()}
    assert verdicts["wild/100"] is Verdict.REJECT
    assert verdicts.get("wild/101", Verdict.ACCEPT) is Verdict.ACCEPT
    assert "wild/999" not in verdicts


def test_a_list_with_a_wrong_verdict_is_refused_whole(desk_project: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("sample,verdict\nwild/100,reject\nwild/101,maybe\n")
    with pytest.raises(ReviewError, match="maybe"):
        import_reviews(desk_project, tmp_path / "l.csv")
    assert ReviewLog(Project.open(desk_project).reviews_path).judgements() == {}


LEFT, RIGHT = FitKey("neuralannot-r1", "wild/1", "body"), FitKey("smplifyx-r1", "wild/1", "whole")


def preference(value: str, left: FitKey = LEFT, right: FitKey = RIGHT) -> ReviewEvent:
    return ReviewEvent(EventKind.PREFERENCE, left, right, value=value, reviewer="ann")


def test_a_preference_is_of_two_fits_whichever_was_on_the_left(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / "r.sqlite")
    log.append(preference("left"))
    log.append(preference("left", RIGHT, LEFT))  # the sides were exchanged: now the other one is better
    found = preferences_in_force(ReviewLog(tmp_path / "r.sqlite").events())
    assert list(found) == [pair_of(RIGHT, LEFT)]
    newest = found[pair_of(LEFT, RIGHT)]
    assert (newest.seen_from(LEFT), newest.seen_from(RIGHT)) == (Preferred.RIGHT, Preferred.LEFT)
    assert in_force(log.events()) == {}  # it is no verdict on either


def test_a_preference_can_be_taken_back() -> None:
    events = [preference("left"), preference("tie")]
    undo = undo_event(events, "ann")
    assert undo is not None
    found = preferences_in_force([*events, undo])
    assert [preference.value for preference in found.values()] == [Preferred.LEFT]


def test_a_log_with_a_preference_without_meaning_cannot_be_read(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / "r.sqlite")
    log.append(preference("above"))
    with pytest.raises(ReviewError, match="has no meaning"):
        log.events()


def test_the_summary_counts_preferences_by_runs(desk_project: Path) -> None:
    fits = [(FitKey("neuralannot-r1", f"wild/{n}", "body"), FitKey("smplifyx-r1", f"wild/{n}", "body")) for n in (1, 2)]
    log = ReviewLog(Project.open(desk_project).reviews_path)
    log.append(preference("left", *fits[0]), preference("left", fits[1][1], fits[1][0]))
    lines = summary(desk_project).text().splitlines()
    assert lines == ["neuralannot-r1 (body) against smplifyx-r1 (body): better 1, worse 1, ties 0."]
    log.append(preference("tie", *fits[0]))
    assert "better 0, worse 1, ties 1." in summary(desk_project).text()
