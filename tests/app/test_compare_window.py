"""Two runs side by side in the window, driven by keys: photos, wipe, 3D panes, numbers, preferences, the list."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from annotator.bodies.posing import Poser
from annotator.comparing import brought_onto, crop_of_sample, distance, placed
from annotator.fit import Fits
from annotator.project import Project
from annotator.verdict import Preferred
from app.comparison import Side
from app.shelf import Order
from tests.support.desk_project import FAILED_ROW
from tests.support.window import CTRL, NO_KEYS, SHIFT, Desk, Key, close_desk, rows_on_disk, wait_until
from viewers.distance_colors import distance_colors


@pytest.fixture
def pair(desk: Desk) -> Desk:
    """The window with neuralannot-r1 on the left and smplifyx-r1 on the right."""
    desk.settle()
    desk.press(Key.Key_C)
    desk.settle()
    return desk


def sides(desk: Desk) -> tuple[str, str]:
    right = desk.session.comparison.right
    assert right is not None
    assert right.run is not None
    return desk.run, right.run.id


def test_c_puts_two_runs_side_by_side_and_takes_one_away(pair: Desk) -> None:
    window = pair.window
    assert sides(pair) == ("neuralannot-r1", "smplifyx-r1")
    assert window.photo.right_view.isVisible()
    assert not window.photo.right_view._overlay.pixmap().isNull()
    assert len(window.solid.view._pictures) == 2
    assert window.preference.isVisible()
    assert window.numbers.isVisible()
    pair.press(Key.Key_C)
    pair.settle()
    assert not pair.session.comparison.on
    assert not window.photo.right_view.isVisible()
    assert len(window.solid.view._pictures) == 1
    assert window.details.isVisible()
    assert not window.preference.isVisible()
    assert not window.actions_by_id["left_better"].isEnabled()
    assert "Compare two runs first (C)." in window.actions_by_id["left_better"].toolTip()


def test_the_numbers_are_those_of_the_two_fits(pair: Desk, body) -> None:
    session, numbers = pair.session, pair.window.numbers
    fits = session.fit, session.right_fit
    posed = [Poser(body).pose({**fit.parameters, "transl": fit.transl}) for fit in fits]
    crop = crop_of_sample(session.sample)
    apart = distance(*(placed(person, fit, crop) for person, fit in zip(posed, fits, strict=True)))
    assert apart.mean > 5
    assert numbers.between["Mean distance"].text() == f"{apart.mean:,.1f} mm"
    assert numbers.between["Largest distance"].text() == f"{apart.max:,.1f} mm"
    for side, shelf in ((Side.LEFT, session.shelf), (Side.RIGHT, session.comparison.right)):
        assert numbers.values["2D error, px of 256", side].text() == f"{shelf.errors[0, session.row]:,.1f}"
    assert f"{len(body.v_template):,} vertices" in numbers._note.text()
    expected = distance_colors(apart.mm, session.comparison.range_mm)
    panes = pair.window.solid.view._panes
    assert all(np.abs(pane.vertex_colors.astype(int) - expected).max() <= 2 for pane in panes)


def test_distances_are_taken_after_a_similarity_when_that_is_asked_for(pair: Desk, body) -> None:
    session, numbers, action = pair.session, pair.window.numbers, pair.window.actions_by_id["toggle_similarity"]
    before = {name: label.text() for name, label in numbers.between.items()}
    assert "pelvis aligned" in numbers._note.text()
    action.trigger()
    pair.settle()
    wait_until(lambda: not session.comparison.unfinished)
    crop = crop_of_sample(session.sample)
    places = [
        placed(Poser(body).pose({**fit.parameters, "transl": fit.transl}), fit, crop)
        for fit in (session.fit, session.right_fit)
    ]
    apart = distance(places[0], brought_onto(*places))
    assert numbers.between["Mean distance"].text() == f"{apart.mean:,.1f} mm"
    assert "after the best similarity" in numbers._note.text()
    left, right = pair.window.solid.view._panes
    between = right.vertices - left.vertices  # both are moved alike, to the middle of the pane
    assert np.allclose(between, brought_onto(*places).vertices - places[0].vertices, atol=1e-5)
    assert all(label.text() != before[name] for name, label in numbers.between.items())
    action.trigger()
    pair.settle()
    wait_until(lambda: not session.comparison.unfinished)
    assert {name: label.text() for name, label in numbers.between.items()} == before


def test_an_objective_is_shown_where_it_is_stored(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    run = Project.open(desk_project).run("smplifyx-r1")
    shard = run.shards("wild", "body")[0]
    table = Fits.read([shard]).table
    Fits(table.append_column("smplifyx.objective", [[1234.56] * len(table)])).write(shard)
    desk = open_desk(desk_project)
    desk.press(Key.Key_C)
    desk.settle()
    assert desk.window.numbers.values["Objective", Side.RIGHT].text() == "1,234.6"
    assert desk.window.numbers.values["Objective", Side.LEFT].text() == "–"


def test_d_shows_the_annotators_colours_and_the_scale_goes_with_the_distance(pair: Desk) -> None:
    solid = pair.window.solid
    assert solid.scale.isVisible()
    assert solid.scale.labels[-1] == "≥ 200 mm"
    QTest.mouseClick(solid.scale, Qt.MouseButton.LeftButton)
    assert solid.scale.labels[-1] == "≥ 400 mm"
    pair.press(Key.Key_D)
    assert not solid.scale.isVisible()
    assert [pane.vertex_colors for pane in solid.view._panes] == [None, None]
    pair.press(Key.Key_D)
    assert solid.scale.isVisible()
    while pair.session.comparison.range_mm != 200:
        pair.session.comparison.next_range()


def test_v_wipes_on_one_photo_and_keys_move_the_line(pair: Desk) -> None:
    photo = pair.window.photo
    pair.press(Key.Key_V)
    pair.settle()
    assert not photo.right_view.isVisible()
    assert not photo.view._beyond.pixmap().isNull()
    at = photo.view.wipe.at
    pair.press(Key.Key_Period, Key.Key_Period, Key.Key_Comma)
    assert photo.view.wipe.at == pytest.approx(at + 0.05)
    pair.press(Key.Key_Right)
    pair.settle()
    assert not photo.view._beyond.pixmap().isNull()  # the next person is wiped, too
    pair.press(Key.Key_V)
    pair.settle()
    assert photo.right_view.isVisible()
    assert photo.view._beyond.pixmap().isNull()


def test_a_photo_that_is_hidden_does_not_lead(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    photo = open_desk(desk_project).window.photo
    assert not photo.right_view.isVisible()
    before = photo.view.zoom
    photo.window().grab()  # sizes what is hidden, too
    assert photo.view.zoom == before


def test_both_photos_zoom_together_and_space_hides_both_meshes(pair: Desk) -> None:
    photo = pair.window.photo
    pair.press(Key.Key_Z)
    assert photo.view.zoom == photo.right_view.zoom == 1.0
    photo.right_view.set_zoom(2.5)
    assert photo.view.zoom == 2.5
    pair.press(Key.Key_X)
    assert photo.view.zoom == photo.right_view.zoom == 2.5  # it is the same photo
    pair.press(Key.Key_X)
    QTest.keyPress(pair.window, Key.Key_Space, NO_KEYS)
    assert not photo.view._overlay.isVisible()
    assert not photo.right_view._overlay.isVisible()
    QTest.keyRelease(pair.window, Key.Key_Space, NO_KEYS)
    assert photo.right_view._overlay.isVisible()


@pytest.mark.usefixtures("every_photo_is_there")
def test_brackets_store_a_preference_and_go_on_and_it_is_there_after_a_restart(
    open_desk: Callable[..., Desk], desk_project: Path
) -> None:
    desk = open_desk(desk_project)
    desk.press(Key.Key_C)
    people = []
    for key in (Key.Key_BracketLeft, Key.Key_BracketRight, Key.Key_Equal):
        people.append(desk.session.key)
        desk.press(key)
    said = [("preference", sample, value, "[]") for sample, value in zip(people, ("left", "right", "tie"), strict=True)]
    assert rows_on_disk(desk_project) == said
    assert "compared 3 of 11" in desk.window.status._judged.text()
    desk.press(Key.Key_Z, with_=CTRL)
    assert desk.session.key == people[2]
    assert "compared 2 of 11" in desk.window.status._judged.text()
    close_desk(desk)
    again = open_desk(desk_project)
    again.press(Key.Key_C)
    again.session.go_to_id(people[1])
    again.settle()
    assert again.window.preference.state.text() == "]  Right better"
    again.press(Key.Key_X)
    assert again.window.preference.state.text() == "[  Left better"
    assert again.session.preference_of(again.session.row) is Preferred.LEFT


def test_w_judges_the_other_side_and_the_mark_says_so(pair: Desk, desk_project: Path) -> None:
    marks, first = pair.window.photo.bar.marks, pair.id
    assert (marks[Side.LEFT].isChecked(), marks[Side.RIGHT].isChecked()) == (True, False)
    pair.press(Key.Key_W)
    assert (marks[Side.LEFT].isChecked(), marks[Side.RIGHT].isChecked()) == (False, True)
    assert pair.window.preference.side.text() == "W  Judging right"
    pair.press(Key.Key_R)
    assert {fit.run for fit in pair.session.judgements} == {"smplifyx-r1"}
    pair.session.go_to_id(first)
    assert "Rejected by ann" in pair.window.review._state.text()
    assert pair.window.numbers.values["Verdict", Side.RIGHT].text() == "✕ rejected"
    pair.press(Key.Key_W)
    assert pair.window.review._state.text() == ""


def test_a_person_with_one_fit_says_what_is_missing(pair: Desk, desk_project: Path) -> None:
    pair.session.go_to_row(FAILED_ROW)
    pair.settle()
    reason = "No mesh: its photo cannot be decoded."
    assert pair.window.photo.view._note == reason
    assert pair.window.photo.right_view._note == ""
    assert pair.window.solid.view._panes[0] == reason
    assert not pair.window.solid.scale.isVisible()
    assert not any(button.isEnabled() for button in pair.window.preference.buttons.values())
    assert pair.window.numbers._note.text() == "There are not two fits to compare."
    assert pair.window.numbers.between["Mean distance"].text() == "–"
    pair.press(Key.Key_Equal)
    assert pair.said[-1][0] == "warning"
    assert not (desk_project / "reviews.sqlite").exists()
    pair.press(Key.Key_V)
    assert pair.window.photo.view._note == f"neuralannot-r1: {reason}"


def test_the_list_is_sorted_by_disagreement_and_it_is_kept(pair: Desk, desk_project: Path) -> None:
    wait_until(lambda: not pair.session.comparison.unfinished)
    values = pair.session.comparison.disagreement
    pair.window.actions_by_id["most_apart"].trigger()
    known = values[pair.session.rows[:-1]]
    assert (np.diff(known) <= 0).all()
    assert pair.session.rows[-1] == FAILED_ROW
    assert pair.window.people._orders.currentText() == "Most apart"
    assert not pair.window.people._note.isVisible()
    wait_until(lambda: len(list((desk_project / "cache" / "between" / "wild").glob("*.arrow"))) == 1)
    pair.press(Key.Key_X)
    wait_until(lambda: not pair.session.comparison.unfinished)
    assert np.array_equal(pair.session.comparison.disagreement, values, equal_nan=True)  # as it was kept
    pair.press(Key.Key_C)
    assert pair.session.selection.order is Order.WORST
    assert pair.window.people._orders.findText("Most apart") < 0


def test_an_unfinished_order_says_so(pair: Desk) -> None:
    wait_until(lambda: not pair.session.comparison.unfinished)
    values = pair.session.comparison.disagreement
    pair.session.take_disagreement(values, 5)
    pair.session.arrange(order=Order.DISAGREEMENT)
    note = pair.window.people._note
    assert note.isVisible()
    assert note.text() == "Measuring the two runs: 5 of 12 people. The order is not final."
    pair.session.take_disagreement(values, 12)
    assert not note.isVisible()


def test_a_project_with_one_run_has_nothing_to_compare(open_desk: Callable[..., Desk], desk_project: Path) -> None:
    Project.open(desk_project).run("smplifyx-r1").remove()
    desk = open_desk(desk_project)
    action = desk.window.actions_by_id["compare"]
    assert not action.isEnabled()
    assert "There is no other run of this data set." in action.toolTip()
    desk.press(Key.Key_C)
    assert not desk.session.comparison.on


def test_shift_right_goes_to_the_next_pair(pair: Desk) -> None:
    pair.press(Key.Key_BracketLeft, Key.Key_Left)
    first = pair.id
    pair.press(Key.Key_Right, with_=SHIFT)
    assert pair.id != first
    assert pair.session.preference_of(pair.session.row) is None
