"""`reviews import`: what is ambiguous or unknown is counted and named, what cannot be understood refuses the list."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from annotator.commands.reviews import import_reviews
from annotator.errors import ReviewError
from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.verdict import EventKind, FitKey, ReviewEvent, Verdict, in_force
from tests.annotator.test_export import twin

FIT = FitKey("neuralannot-r1", "wild/100", "body")
NOW = datetime.now(UTC)


def verdicts(project: Path) -> dict[str, str]:
    found = ReviewLog(Project.open(project).reviews_path).judgements()
    return {fit.sample: judgement.verdict.value for fit, judgement in found.items()}


def take_in(project: Path, tmp_path: Path, rows: object, name: str = "list.json") -> str:
    (tmp_path / name).write_text(rows if isinstance(rows, str) else json.dumps(rows))
    return import_reviews(project, tmp_path / name).text()


def test_an_id_that_several_data_sets_have_is_named_and_not_guessed(desk_project: Path, tmp_path: Path) -> None:
    twin(desk_project)
    rows = [{"sample": name, "verdict": "reject"} for name in (100, "zoo/101", "wild/102", "100")]
    said = take_in(desk_project, tmp_path, rows)
    assert "Took in 2 verdicts" in said
    assert "In several data sets: 1 id; write the whole key: 100 (wild/100, zoo/100)." in said
    assert verdicts(desk_project) == {"zoo/101": "reject", "wild/102": "reject"}


def test_an_id_of_two_data_sets_of_which_the_run_has_one_is_clear(desk_project: Path, tmp_path: Path) -> None:
    twin(desk_project)
    said = take_in(desk_project, tmp_path, [{"sample": 100, "verdict": "accept", "run": "smplifyx-r1"}])
    assert "Took in 1 verdict" in said
    assert verdicts(desk_project) == {"wild/100": "accept"}


@pytest.mark.parametrize("run", ["r9", "../../etc", "x" * 5000, "a\0b", "Neuralannot R1"])
def test_a_run_that_is_not_there_is_counted_and_named(desk_project: Path, tmp_path: Path, run: str) -> None:
    rows = [{"sample": "wild/100", "verdict": "reject", "run": run}, {"sample": "wild/101", "verdict": "accept"}]
    said = take_in(desk_project, tmp_path, rows)
    assert "Took in 1 verdict" in said
    assert "Naming runs that the project does not have: 1 line: " in said
    assert run[:20].split("\0", maxsplit=1)[0] in said
    assert len(said) < 400
    assert verdicts(desk_project) == {"wild/101": "accept"}


def test_null_is_absent(desk_project: Path, tmp_path: Path) -> None:
    optional = dict.fromkeys(("run", "part", "reasons", "reviewer", "note", "time"))
    take_in(desk_project, tmp_path, [{"sample": "wild/100", "verdict": "reject", **optional}])
    event = ReviewLog(Project.open(desk_project).reviews_path).events()[0]
    assert (event.fit, event.reasons, event.note, event.reviewer) == (FIT, (), "", "list list.json")
    with pytest.raises(ReviewError, match="gives no verdict"):
        take_in(desk_project, tmp_path, [{"sample": "wild/100", "verdict": None}])


def test_an_older_list_does_not_overrule_what_was_said_since(desk_project: Path, tmp_path: Path) -> None:
    log = ReviewLog(Project.open(desk_project).reviews_path)
    log.append(ReviewEvent(EventKind.VERDICT, FIT, value="accept", reviewer="ann", time=NOW - timedelta(hours=1)))
    log.close()
    day = timedelta(days=1)
    for when, expected in ((NOW - day, "accept"), (NOW - timedelta(minutes=1), "reject"), (None, "unsure")):
        verdict = "unsure" if when is None else "reject"
        rows = [{"sample": "wild/100", "verdict": verdict, "time": when and when.isoformat()}]
        take_in(desk_project, tmp_path, rows)
        assert verdicts(desk_project) == {"wild/100": expected}
    assert len(ReviewLog(Project.open(desk_project).reviews_path).events()) == 4  # nothing is lost


def test_newest_means_given_last_and_of_one_time_written_last() -> None:
    def event(value: str, minutes: int) -> ReviewEvent:
        return ReviewEvent(EventKind.VERDICT, FIT, value=value, time=NOW + timedelta(minutes=minutes))

    first, older, same = event("accept", 5), event("reject", 0), event("unsure", 5)
    assert in_force([first, older])[FIT].verdict is Verdict.ACCEPT
    assert in_force([first, older, same])[FIT].verdict is Verdict.UNSURE
    undo = ReviewEvent(EventKind.UNDO, undone=same.id)
    assert in_force([first, older, same, undo])[FIT].verdict is Verdict.ACCEPT
    again = ReviewEvent(EventKind.UNDO, undone=first.id)
    assert in_force([first, older, same, undo, again])[FIT].verdict is Verdict.REJECT


@pytest.mark.parametrize(
    ("time", "sentence"),
    [
        ("noon", "not in ISO form"),
        ("0001-01-01T00:00:00+14:00", "not in ISO form"),  # before the first year in UTC
        ((NOW + timedelta(hours=2)).isoformat(), "lies in the future"),
        ("9999-12-31T23:59:59-14:00", "ISO form|future"),
    ],
)
def test_a_time_that_cannot_be_refuses_the_list(desk_project: Path, tmp_path: Path, time: str, sentence: str) -> None:
    rows = [{"sample": "wild/101", "verdict": "accept"}, {"sample": "wild/100", "verdict": "reject", "time": time}]
    with pytest.raises(ReviewError, match=sentence) as caught:
        take_in(desk_project, tmp_path, rows)
    assert "entry 2" in str(caught.value)
    assert verdicts(desk_project) == {}


def test_a_clock_that_is_a_little_ahead_is_taken_as_now(desk_project: Path, tmp_path: Path) -> None:
    ahead = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    take_in(desk_project, tmp_path, [{"sample": "wild/100", "verdict": "reject", "time": ahead}])
    assert ReviewLog(Project.open(desk_project).reviews_path).events()[0].time <= datetime.now(UTC)


DEEP = "[" * 100_000
ROW: dict[str, Any] = {"sample": "wild/100", "verdict": "reject"}
HOSTILE: tuple[tuple[str, str | Callable[[], str], str], ...] = (
    ("l.json", DEEP, "nested too deeply"),
    ("l.json", json.dumps([ROW, {**ROW, "note": "\ud800"}]), "entry 2: note is no text that can be kept"),
    ("l.json", json.dumps([{**ROW, "sample": "\udfff"}]), "sample is no text that can be kept"),
    ("l.json", json.dumps([{**ROW, "reasons": ["depth", "\ud800"]}]), "reasons is no text"),
    ("l.json", json.dumps([{**ROW, "note": {"a": 1}}]), "note is no text"),
    ("l.json", json.dumps([{**ROW, "verdict": True}]), "verdict is no text"),
    ("l.json", json.dumps([True]), "entry 1 should be an id or an object"),
    ("l.json", json.dumps([ROW, [1]]), "entry 2 should be an id or an object"),
    ("l.json", '{"a": 1}', "should hold a list"),
    ("l.json", "[" + "1" * 5000 + "]", "is not whole JSON"),
    ("l.csv", "sample,verdict,note\nwild/100,reject," + "x" * 5_000_000 + "\n", "this is no CSV"),
    ("l.csv", "sample,verdict\nwild/100,reject,depth\n", "unknown field None"),
    ("l.csv", "sample,verdict\nwild/100," + "x" * 5000 + "\n", "(5,000 letters)' is unknown"),
)


@pytest.mark.parametrize(("name", "text", "sentence"), HOSTILE, ids=[sentence for _, _, sentence in HOSTILE])
def test_what_cannot_be_understood_is_one_sentence_and_nothing_is_taken_in(
    desk_project: Path, tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    with pytest.raises(ReviewError) as caught:
        take_in(desk_project, tmp_path, text, name)
    said = str(caught.value)
    assert sentence in said
    assert "\n" not in said
    assert len(said) < 500
    said.encode()
    assert verdicts(desk_project) == {}


@pytest.mark.parametrize("name", ["l.txt", "l.json"])
def test_an_id_of_five_megabytes_is_named_by_its_beginning(desk_project: Path, tmp_path: Path, name: str) -> None:
    huge = "x" * 5_000_000
    said = take_in(desk_project, tmp_path, f"wild/100\n{huge}\n" if name == "l.txt" else ["wild/100", huge], name)
    assert "Took in 1 verdict" in said
    assert "(5,000,000 letters)" in said
    assert len(said) < 400


def test_a_note_may_have_lines_and_a_header_spaces(desk_project: Path, tmp_path: Path) -> None:
    text = 'sample, verdict , note\r\nwild/100,reject,"two\nlines\u2028and more"\r\nwild/101,accept,\r\n'
    take_in(desk_project, tmp_path, text, "l.csv")
    events = ReviewLog(Project.open(desk_project).reviews_path).events()
    assert [event.note for event in events] == ["two\nlines\u2028and more", ""]
    assert verdicts(desk_project) == {"wild/100": "reject", "wild/101": "accept"}
