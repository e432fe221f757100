"""The window, driven by keys, on the finished project of twelve people (newest run: smplifyx-r1, the truth)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QSettings, QSize
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from annotator.commands.reviews import import_reviews
from annotator.errors import ReviewError
from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.verdict import ReviewEvent, Verdict
from app.main_window import MainWindow
from app.theme import LIGHT
from tests.support.desk_project import CUT_ROW, FAILED_ROW, MISSING_ROW
from tests.support.window import CTRL, NO_KEYS, SHIFT, Desk, Key, close_desk, rows_on_disk, wait_until

MISSING, CUT, FAILED = (str(100 + row) for row in (MISSING_ROW, CUT_ROW, FAILED_ROW))


def note(desk: Desk) -> str:
    return desk.window.photo.view._note


def message(desk: Desk) -> str:
    return desk.window.photo.view._shown.message


def test_the_worst_fit_comes_first_and_photo_mesh_and_3d_are_drawn(desk: Desk) -> None:
    desk.settle()
    assert desk.session.row == desk.session.rows[0]
    desk.session.show_run("neuralannot-r1")
    desk.settle()
    errors = desk.session.shelf.errors[0, desk.session.rows]
    known = errors[~np.isnan(errors)]
    assert len(known) == 11
    assert (np.diff(known) <= 0).all()
    assert np.isnan(errors[-1])  # who has none comes last
    assert not desk.window.photo.view._photo.pixmap().isNull()
    assert not desk.window.photo.view._overlay.pixmap().isNull()
    assert not desk.window.solid.view._pictures[0].isNull()


def test_a_key_stores_the_verdict_at_once_and_goes_on(desk: Desk, desk_project: Path) -> None:
    first = desk.id
    desk.press(Key.Key_A)
    assert rows_on_disk(desk_project) == [("verdict", f"wild/{first}", "accept", "[]")]
    assert desk.id != first
    assert "judged 1 of 12" in desk.window.status._judged.text()


def test_digits_arm_reasons_that_the_verdict_stores(desk: Desk, desk_project: Path) -> None:
    first = desk.id
    desk.press(Key.Key_1, Key.Key_4, Key.Key_2, Key.Key_2)
    assert desk.window.review._state.text() == "2 reasons armed"
    assert desk.session.judgements == {}  # armed is not stored
    desk.press(Key.Key_R)
    assert rows_on_disk(desk_project) == [("verdict", f"wild/{first}", "reject", '["depth", "hands"]')]
    assert desk.session.armed == ()  # the next person begins without


def test_armed_reasons_stay_with_their_person(desk: Desk) -> None:
    desk.press(Key.Key_1, Key.Key_Right)
    assert desk.session.armed == ()
    desk.press(Key.Key_Left)
    desk.press(Key.Key_U)
    assert [judgement.reasons for judgement in desk.session.judgements.values()] == [()]


def test_shift_and_a_digit_reject_for_this_reason_and_go_on(desk: Desk) -> None:
    first = desk.id
    desk.press(Key.Key_3, with_=SHIFT)
    assert desk.verdict(first) == ("reject", ("left-right",))
    assert desk.id != first


def test_left_goes_back_and_a_digit_changes_the_stored_reasons_at_once(desk: Desk, desk_project: Path) -> None:
    first = desk.id
    desk.press(Key.Key_1, Key.Key_R)
    desk.press(Key.Key_Left)
    assert desk.id == first
    assert desk.session.armed == ("depth",)
    desk.press(Key.Key_7)
    assert desk.id == first  # editing does not go on
    assert desk.verdict(first) == ("reject", ("depth", "truncation"))
    assert rows_on_disk(desk_project)[-1] == ("verdict", f"wild/{first}", "reject", '["depth", "truncation"]')
    desk.press(Key.Key_1)
    assert desk.verdict(first) == ("reject", ("truncation",))


def test_undo_and_redo_work_across_people_and_go_there(desk: Desk) -> None:
    people = []
    for key in (Key.Key_A, Key.Key_R, Key.Key_U):
        people.append(desk.id)
        desk.press(key)
    desk.press(Key.Key_Right, Key.Key_Right)
    desk.press(Key.Key_Z, with_=CTRL)
    assert (desk.id, desk.verdict(people[2])) == (people[2], None)
    desk.press(Key.Key_Z, with_=CTRL)
    assert (desk.id, desk.verdict(people[1])) == (people[1], None)
    desk.press(Key.Key_Z, with_=CTRL | SHIFT)
    assert (desk.id, desk.verdict(people[1])) == (people[1], ("reject", ()))
    assert desk.verdict(people[0]) == ("accept", ())


def test_verdicts_and_undo_survive_a_restart(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    desk = open_desk(desk_project)
    first = desk.id
    desk.press(Key.Key_5, Key.Key_R)
    second = desk.id
    desk.press(Key.Key_A)
    close_desk(desk)
    again = open_desk(desk_project)
    assert again.verdict(first) == ("reject", ("orientation",))
    assert again.id == first
    assert again.session.armed == ("orientation",)
    assert "Rejected by ann" in again.window.review._state.text()
    again.press(Key.Key_Z, with_=CTRL)
    assert (again.id, again.verdict(second)) == (second, None)
    assert again.verdict(first) is not None


@pytest.mark.usefixtures("every_photo_is_there")
def test_next_unreviewed_skips_the_judged_and_says_when_all_are(desk: Desk) -> None:
    desk.session.show_run("neuralannot-r1")
    for _ in range(11):
        desk.press(Key.Key_Right, with_=SHIFT)
        desk.press(Key.Key_A)
    judged = {fit.sample for fit in desk.session.judgements}
    assert f"wild/{FAILED}" not in judged  # a failed fit is nothing to review
    assert len(judged) == 11
    here = desk.id
    desk.press(Key.Key_Right, with_=SHIFT)
    assert desk.id == here
    assert desk.said[-1] == ("note", "Everybody in this list is judged.")


def test_backspace_goes_to_the_last_judged(desk: Desk) -> None:
    first = desk.id
    desk.press(Key.Key_A, Key.Key_Right, Key.Key_Right, Key.Key_Backspace)
    assert desk.id == first


def test_without_going_on_the_person_stays(desk: Desk) -> None:
    from dataclasses import replace

    desk.session.change_preferences(replace(desk.session.preferences, auto_advance=False))
    first = desk.id
    desk.press(Key.Key_A)
    assert (desk.id, desk.verdict(first)) == (first, ("accept", ()))


def test_tab_goes_round_the_runs_at_the_same_person_and_verdicts_belong_to_their_run(desk: Desk) -> None:
    first = desk.id
    desk.press(Key.Key_A, Key.Key_Left)
    desk.press(Key.Key_Tab)
    assert desk.run == "neuralannot-r1"
    assert (desk.id, desk.verdict(first)) == (first, None)
    desk.press(Key.Key_Tab)
    assert desk.run == "smplifyx-r1"
    assert desk.verdict(first) == ("accept", ())


def test_keys_are_inert_while_a_text_field_has_focus(desk: Desk) -> None:
    here, run = desk.id, desk.run
    desk.press(Key.Key_F, with_=CTRL)
    search = desk.window.people.search
    wait_until(search.hasFocus)
    desk.press(Key.Key_A, Key.Key_R, Key.Key_U, Key.Key_1, Key.Key_K, Key.Key_Left, Key.Key_Backspace, on=search)
    desk.press(Key.Key_1, with_=SHIFT, on=search)
    desk.press(Key.Key_Tab, on=search)
    assert desk.session.judgements == {}
    assert desk.session.armed == ()
    assert desk.run == run
    assert (desk.id, desk.session.preferences.keypoints) == (here, True)


@pytest.mark.parametrize("key", [Key.Key_Return, Key.Key_Escape])
def test_the_search_narrows_the_list_and_goes_there(desk: Desk, key: Key) -> None:
    desk.press(Key.Key_F, with_=CTRL)
    search = desk.window.people.search
    desk.press(*(Key.Key_1, Key.Key_0, Key.Key_8), on=search)
    wait_until(lambda: list(desk.session.rows) == [8])
    assert desk.id == "108"
    desk.press(key, on=search)
    assert not search.hasFocus()
    desk.press(Key.Key_A)
    assert desk.verdict("108") == ("accept", ())


def test_a_list_that_is_taken_in_beside_the_window_is_seen_by_it(desk: Desk, tmp_path: Path) -> None:
    desk.press(Key.Key_U)
    path = desk.session.project.path
    assert desk.session.shelf is not None
    assert desk.session.shelf.run is not None
    (tmp_path / "list.txt").write_text(f"sample,verdict,run\nwild/108,reject,{desk.session.shelf.run.id}\n")
    assert "Took in 1" in import_reviews(path, tmp_path / "list.txt").text()
    wait_until(lambda: desk.verdict("108") == ("reject", ()))


def test_a_verdict_that_could_not_be_written_is_not_called_saved(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.press(Key.Key_U)
    assert desk.window.status._judged.text().endswith("    saved")

    def full(_log: ReviewLog, *_events: ReviewEvent) -> None:
        raise ReviewError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(ReviewLog, "append", full)
        desk.press(Key.Key_A)
    assert desk.window.status._judged.text().endswith("    not saved")
    assert desk.window.status._message.text() == "The disk is full."
    desk.press(Key.Key_A)
    assert desk.window.status._judged.text().endswith("    saved")
    assert desk.window.status._message.text() == "Verdicts are saved again."


def test_a_warning_goes_with_what_it_was_about_and_an_error_stays(desk: Desk) -> None:
    messages, shown = desk.session.messages, desk.window.status._message
    messages.warn("This person has no fit.")
    desk.press(Key.Key_Right)
    assert shown.text() == ""
    messages.error("The run failed.")
    desk.press(Key.Key_Right)
    assert shown.text() == "The run failed."
    desk.session.change_preferences(replace(desk.session.preferences, theme="light"))
    assert LIGHT.reject in shown.styleSheet()


def test_a_reason_that_could_not_be_written_is_not_shown_as_chosen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    person = desk.id
    desk.press(Key.Key_R, Key.Key_Left)

    def full(_log: ReviewLog, *_events: ReviewEvent) -> None:
        raise ReviewError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(ReviewLog, "append", full)
        desk.press(Key.Key_1)
    assert desk.session.armed == ()
    assert not desk.window.review._reasons["depth"].isChecked()
    desk.press(Key.Key_1)  # repeated, as the message says
    assert desk.verdict(person) == ("reject", ("depth",))


def test_nobody_is_judged_from_an_empty_list(desk: Desk) -> None:
    person = desk.id
    desk.session.arrange(text="no such person")
    desk.press(Key.Key_R)
    assert desk.verdict(person) is None
    assert desk.said[-1] == ("warning", desk.window.review._verdicts[Verdict.REJECT].lack)
    assert "clear the search" in desk.said[-1][1]
    desk.session.arrange(text="")
    desk.session.go_to_row(int(desk.session.rows[-1]))
    desk.press(Key.Key_U)
    assert desk.said[-1] == ("note", "That was the last one in the list.")


def test_the_first_window_is_no_larger_than_the_screen(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SimpleNamespace(availableSize=lambda: QSize(1280, 700))
    monkeypatch.setattr(MainWindow, "screen", lambda _self: small)
    QSettings("NeuralAnnot", "Desk").remove("geometry")
    desk.window.restore()
    assert (desk.window.width(), desk.window.height()) == (1280, 700)


@pytest.mark.parametrize("width", [560, 700, 1000])
def test_every_reason_shows_its_key_and_its_whole_name(desk: Desk, width: int) -> None:
    bar = desk.window.review
    bar.setFixedWidth(width)
    desk.settle()
    for button in bar._reasons.values():
        assert button.width() >= button.sizeHint().width()


def test_a_missing_photo_is_a_sentence_and_nobody_judges_what_he_cannot_see(desk: Desk) -> None:
    assert desk.session.go_to_id(MISSING)
    desk.settle()
    assert "is missing; put it back or relink its image root." in message(desk)
    assert desk.window.photo.view._photo.pixmap().isNull()
    desk.press(Key.Key_U, Key.Key_1)
    assert desk.verdict(MISSING) is None
    assert desk.said[-1][0] == "warning"
    assert "is missing; put it back" in desk.said[-1][1]
    for button in (*desk.window.review._verdicts.values(), *desk.window.review._reasons.values()):
        assert (button.isEnabled(), "is missing" in button.toolTip()) == (False, True)
    desk.press(Key.Key_Right)
    assert all(button.isEnabled() for button in desk.window.review._verdicts.values())


def test_a_truncated_jpeg_is_a_sentence(desk: Desk) -> None:
    desk.session.go_to_id(CUT)
    desk.settle()
    assert "is cut short: its JPEG data has no end; fetch it again." in message(desk)


def test_a_photo_that_is_put_back_is_shown_at_the_next_look(desk: Desk, desk_project: Path) -> None:
    desk.session.go_to_id(MISSING)
    desk.settle()
    project = Project.open(desk_project)
    samples = project.samples("wild", "body")
    there = project.photo_path(samples[0])
    lost = project.photo_path(samples[MISSING_ROW])
    lost.write_bytes(there.read_bytes())
    try:
        desk.press(Key.Key_Right, Key.Key_Left)
        desk.settle()
        assert (desk.id, message(desk)) == (MISSING, "")
    finally:
        lost.unlink()


def test_a_failed_fit_says_why_there_is_no_mesh(desk: Desk) -> None:
    desk.session.show_run("neuralannot-r1")
    desk.session.go_to_id(FAILED)
    desk.settle()
    assert note(desk) == "No mesh: its photo cannot be decoded."
    assert desk.window.photo.view._overlay.pixmap().isNull()
    assert desk.window.details._values["Status"].text() == "failed: its photo cannot be decoded"


def test_a_project_whose_first_photo_is_missing_still_gets_its_verdicts_and_meshes(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    desk = open_desk(desk_project)
    first = desk.id
    desk.press(Key.Key_A)
    desk.session.close()
    Project.open(desk_project).relink({"wild": desk_project})  # no photo is there at all
    later = open_desk(desk_project)
    wait_until(lambda: later.window._bodies.loaded)
    assert not later.window.actions_by_id["accept"].icon().isNull()
    assert later.verdict(first) == ("accept", ())


def test_space_hides_the_mesh_while_it_is_held(desk: Desk) -> None:
    desk.settle()
    QTest.keyPress(desk.window, Key.Key_Space, NO_KEYS)
    assert not desk.window.photo.view._overlay.isVisible()
    QTest.keyRelease(desk.window, Key.Key_Space, NO_KEYS)
    assert desk.window.photo.view._overlay.isVisible()


def test_k_and_z_and_the_view_keys_do_what_they_say(desk: Desk) -> None:
    view, solid = desk.window.photo.view, desk.window.solid.view
    desk.press(Key.Key_K)
    assert not view._points.isVisible()
    desk.press(Key.Key_K, Key.Key_Z)
    assert view._points.isVisible()
    assert view.zoom == 1.0
    seen = []
    for key in (Key.Key_F, Key.Key_S, Key.Key_T, Key.Key_Home):
        desk.press(key)
        seen.append((solid.camera.azimuth, solid.camera.elevation))
    assert len(set(seen)) == 4


def test_filters_count_and_show_who_was_judged_how(desk: Desk) -> None:
    from app.shelf import Show

    desk.press(Key.Key_A, Key.Key_R)
    shows = desk.window.people._shows
    assert [shows.itemText(place).split()[-1] for place in range(shows.count())] == ["12", "10", "1", "1", "0", "0"]
    desk.session.arrange(show=Show.TO_REVIEW)
    assert len(desk.session.rows) == 10
    desk.session.arrange(show=Show.UNSURE)
    assert "Choose another filter" in desk.window.people._empty.text()
    assert desk.window.people._empty.isVisible()


def test_every_message_reaches_the_status_line(desk: Desk) -> None:
    desk.session.go_to_id("nobody")
    assert desk.said[-1][0] == "warning"
    texts = [label.text() for label in desk.window.status.findChildren(QLabel)]
    assert "There is nobody called 'nobody' in wild; give an annotation id." in texts
