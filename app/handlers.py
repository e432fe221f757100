"""What each action does: a method for every row of the table of actions, of the same name. Each hands on to who knows how."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from annotator.verdict import REASONS, Preferred, Verdict
from app.session import Session
from app.shelf import Order
from app.tasks import Tasks

if TYPE_CHECKING:
    from app.main_window import MainWindow

_WIPE_STEP = 0.05
"""Share of the photo's width by which a key moves the wipe."""


class Handlers:
    """The methods that the actions of one window call."""

    def __init__(self, window: MainWindow, session: Session, tasks: Tasks) -> None:
        self._window, self._session, self._tasks = window, session, tasks
        for reason in REASONS:
            setattr(self, f"reason_{reason.digit}", partial(self._reason, reason.digit))
            setattr(self, f"reject_for_{reason.digit}", partial(self._reject_for, reason.id))

    # -- verdicts ----------------------------------------------------------------------------------------------------

    def accept(self) -> None:
        self._session.judge(Verdict.ACCEPT)

    def reject(self) -> None:
        self._session.judge(Verdict.REJECT)

    def unsure(self) -> None:
        self._session.judge(Verdict.UNSURE)

    def undo(self) -> None:
        self._session.undo()

    def redo(self) -> None:
        self._session.redo()

    def _reason(self, digit: int, _checked: bool = False) -> None:
        self._session.toggle_reason(digit)

    def _reject_for(self, reason: str, _checked: bool = False) -> None:
        self._session.judge(Verdict.REJECT, (reason,))

    # -- two runs ----------------------------------------------------------------------------------------------------

    def compare(self) -> None:
        self._session.compare(on=self._window.actions_by_id["compare"].isChecked())

    def left_better(self) -> None:
        self._session.prefer(Preferred.LEFT)

    def tie(self) -> None:
        self._session.prefer(Preferred.TIE)

    def right_better(self) -> None:
        self._session.prefer(Preferred.RIGHT)

    def judge_other_side(self) -> None:
        self._session.comparison.arm(self._session.comparison.armed.other)

    def swap_runs(self) -> None:
        self._session.swap()

    def toggle_wipe(self) -> None:
        self._session.comparison.show(wipe=self._window.actions_by_id["toggle_wipe"].isChecked())

    def wipe_left(self) -> None:
        self._window.photo.move_wipe(-_WIPE_STEP)

    def wipe_right(self) -> None:
        self._window.photo.move_wipe(_WIPE_STEP)

    def toggle_distance(self) -> None:
        self._session.comparison.show(colored=self._window.actions_by_id["toggle_distance"].isChecked())

    def toggle_similarity(self) -> None:
        self._session.comparison.align(similarity=self._window.actions_by_id["toggle_similarity"].isChecked())

    def next_range(self) -> None:
        self._session.comparison.next_range()

    def most_apart(self) -> None:
        self._session.arrange(order=Order.DISAGREEMENT)

    # -- whom to look at ---------------------------------------------------------------------------------------------

    def next_sample(self) -> None:
        self._session.step(1)

    def previous_sample(self) -> None:
        self._session.step(-1)

    def next_unreviewed(self) -> None:
        self._session.next_unreviewed()

    def last_judged(self) -> None:
        self._session.back_to_last_judged()

    def next_run(self) -> None:
        self._session.next_run()

    def find_in_list(self) -> None:
        self._window.people.start_search()

    def go_to(self) -> None:
        self._tasks.go_to()

    # -- how to look -------------------------------------------------------------------------------------------------

    def toggle_keypoints(self) -> None:
        shown = self._window.actions_by_id["toggle_keypoints"].isChecked()
        self._session.change_preferences(replace(self._session.preferences, keypoints=shown))

    def toggle_zoom(self) -> None:
        self._window.photo.view.toggle_zoom()

    def view_front(self) -> None:
        self._window.solid.view.front()

    def view_side(self) -> None:
        self._window.solid.view.side()

    def view_top(self) -> None:
        self._window.solid.view.top()

    def view_home(self) -> None:
        self._window.solid.view.home()

    def toggle_jobs(self) -> None:
        self._window.show_jobs(self._window.actions_by_id["toggle_jobs"].isChecked())

    def theme_system(self) -> None:
        self._choose_theme("system")

    def theme_light(self) -> None:
        self._choose_theme("light")

    def theme_dark(self) -> None:
        self._choose_theme("dark")

    def _choose_theme(self, name: str) -> None:
        self._session.change_preferences(replace(self._session.preferences, theme=name))

    # -- projects, runs, the program -------------------------------------------------------------------------------

    def new_project(self) -> None:
        self._tasks.new_project()

    def open_project(self) -> None:
        self._tasks.open_project()

    def import_data(self) -> None:
        self._tasks.import_data()

    def export_fits(self) -> None:
        self._tasks.export_fits()

    def preferences(self) -> None:
        self._tasks.preferences()

    def start_run(self) -> None:
        self._tasks.start_run(next_round=False)

    def refine_fit(self) -> None:
        self._tasks.refine_fit()

    def next_round(self) -> None:
        self._tasks.start_run(next_round=True)

    def stop_job(self) -> None:
        self._tasks.stop_job(self._window.jobs_panel.current)

    def kill_job(self) -> None:
        self._tasks.kill_job(self._window.jobs_panel.current)

    def resume_job(self) -> None:
        self._tasks.resume_job(self._window.jobs_panel.current)

    def find_command(self) -> None:
        chosen = self._tasks.find_command(self._window.actions_by_id)
        if chosen is not None:
            chosen.trigger()

    def cheat_sheet(self) -> None:
        self._tasks.cheat_sheet()

    def about(self) -> None:
        self._tasks.about()

    def quit(self) -> None:
        self._window.close()
