"""The window: places the panels, offers the actions, decides nothing about fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QMainWindow,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from annotator.project import Project
from annotator.runs import FINISHED, INTERRUPTED
from annotator.verdict import REASONS
from app import actions as table
from app import theme
from app.availability import lacks, lacks_of_verdicts
from app.disagreements import Disagreements
from app.handlers import Handlers
from app.jobs import Job, Jobs
from app.keyboard import Keyboard
from app.panels.action_button import ActionButton
from app.panels.banner import Banner
from app.panels.comparison import ComparisonPanel
from app.panels.details import DetailsPanel
from app.panels.jobs import JobsPanel
from app.panels.photo import PhotoPanel
from app.panels.preference import PreferenceBar
from app.panels.review import ReviewBar
from app.panels.sample_list import SampleList
from app.panels.solid import SolidPanel
from app.panels.status import StatusPanel
from app.panels.welcome import Damaged, NoPeople, Welcome
from app.scenes import Bodies, Photos, fit_mesh
from app.session import Session
from app.side_by_side import run_title, side_by_side
from app.tasks import Tasks
from viewers.scene import SceneMesh

if TYPE_CHECKING:
    from annotator.bodies.posing import Poser


_REVIEWS_MS = 2000
"""How often the window looks whether a list of verdicts was taken in beside it."""


class MainWindow(QMainWindow):
    """The desk.

    Signals:
        photo_painted, mesh_painted, solid_painted: the first moments of a person's life on the screen.
    """

    photo_painted = Signal()
    mesh_painted = Signal()
    solid_painted = Signal()

    def __init__(self, session: Session, jobs: Jobs) -> None:
        super().__init__()
        self.session, self.jobs = session, jobs
        self._bodies, self._photos = Bodies(), Photos()
        self.tasks = Tasks(session, jobs, self)
        self.handlers = Handlers(self, session, self.tasks)
        self.actions_by_id = table.build(self, self.handlers)
        self._dressed = self._jobs_shown = False
        self._lacks: dict[str, str] = {}
        self.people = SampleList(session)
        self.photo = PhotoPanel(session, self._photos, self._bodies, self.actions_by_id)
        self.preference = PreferenceBar(session, self.actions_by_id)
        self.review = ReviewBar(session, self.actions_by_id)
        self.solid = SolidPanel(self.actions_by_id)
        self.details, self.numbers = DetailsPanel(session), ComparisonPanel(session)
        self.disagreements = Disagreements(session, self._bodies, self)
        self._sizes_alone: list[int] = []
        self.jobs_panel = JobsPanel(jobs, self.actions_by_id)
        self.status = StatusPanel(session, jobs)
        self.welcome = Welcome(self.actions_by_id)
        self.no_people = NoPeople(self.actions_by_id)
        self.damaged = Damaged(self.actions_by_id)
        self.banner = Banner(session)
        self._place()
        self._menus()
        self._connect()
        self._show_state()

    # -- placing -----------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        self.setWindowTitle("NeuralAnnot Desk")
        middle = _column(self.photo, self.preference, self.review)
        self._below = QStackedWidget()
        self._below.addWidget(self.details)
        self._below.addWidget(self.numbers)
        right = QSplitter(Qt.Orientation.Vertical)
        right.addWidget(self.solid)
        right.addWidget(self._below)
        right.setStretchFactor(0, 3)
        right.setStretchFactor(1, 2)
        right.setSizes([460, 300])
        self._columns = QSplitter(Qt.Orientation.Horizontal)
        for widget in (self.people, middle, right):
            self._columns.addWidget(widget)
            self._columns.setCollapsible(self._columns.count() - 1, False)
        self._columns.setStretchFactor(1, 1)
        self._columns.setSizes([264, 880, 400])
        self._drawer = QSplitter(Qt.Orientation.Vertical)
        self._drawer.addWidget(self._columns)
        self._drawer.addWidget(self.jobs_panel)
        self._drawer.setSizes([640, 240])
        self._drawer.setCollapsible(0, False)
        self.jobs_panel.hide()
        self._pages = QStackedWidget()
        for page in (self.welcome, self.no_people, self.damaged, self._drawer):
            self._pages.addWidget(page)
        self.setCentralWidget(_column(self.banner, self._pages, self.status))
        self.actions_by_id["toggle_keypoints"].setChecked(self.session.preferences.keypoints)

    def _menus(self) -> None:
        for menu_name in table.MENUS:
            menu = self.menuBar().addMenu(menu_name)
            for row in table.ACTIONS:
                if row.menu == menu_name:
                    menu.addAction(self.actions_by_id[row.id])
            if menu_name == "Review":
                reasons = menu.addMenu("Reasons")
                for reason in REASONS:
                    reasons.addAction(self.actions_by_id[f"reason_{reason.digit}"])
        find = ActionButton("Find a command", self.actions_by_id["find_command"], self.menuBar())
        find.setProperty("role", "field")
        self.menuBar().setCornerWidget(find)

    def _connect(self) -> None:
        session = self.session
        session.project_changed.connect(self._project_changed)
        session.shelf_changed.connect(self._show_state)
        session.shelf_changed.connect(self._show_solid)
        session.shelf_changed.connect(self._show_comparison)
        session.comparison.changed.connect(self._show_comparison)
        session.comparison.changed.connect(self._show_solid)
        session.comparison.look_changed.connect(self._show_look)
        session.problems_changed.connect(self._switch)
        session.verdicts_changed.connect(self._verdicts_changed)
        session.current_changed.connect(self._show_solid)
        session.current_changed.connect(lambda: QTimer.singleShot(0, self, self._dress_late))
        session.preferences_changed.connect(self._restyle)
        session.messages.said.connect(self.status.say)
        session.messages.said.connect(lambda level, said: self.welcome.show_problem(said if level == "error" else ""))
        self.welcome.chosen.connect(self.tasks.open_path)
        self.damaged.chosen.connect(session.show_dataset)
        self.jobs.ended.connect(self._job_ended)
        self.jobs.changed.connect(self._jobs_changed)
        self.jobs.refused.connect(session.messages.error)
        self.jobs_panel.current_changed.connect(self._switch)
        self.status.jobs_clicked.connect(self.actions_by_id["toggle_jobs"].trigger)
        self.status.offered.connect(self._show_offered)
        self.photo.view.photo_painted.connect(self.photo_painted)
        self.photo.view.mesh_painted.connect(self.mesh_painted)
        self.solid.view.painted.connect(self.solid_painted)
        self.tasks.body_came.connect(self._body_came)
        self.tasks.body_failed.connect(self._body_failed)
        self._reviews = QTimer(self)
        self._reviews.setInterval(_REVIEWS_MS)
        self._reviews.timeout.connect(self._follow_reviews)
        self._reviews.start()
        self._keyboard = Keyboard(lambda held: self.photo.set_mesh_visible(not held), self)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _project_changed(self) -> None:
        self._bodies.clear()
        self._photos.clear()
        self.status.forget()
        self.jobs.watch(self.session.project, sweep=not self.session.read_only)
        project = self.session.project
        self.setWindowTitle(f"{project.path.resolve().name} – NeuralAnnot Desk" if project else "NeuralAnnot Desk")
        if self._dressed:
            self._load_rest()
        self._show_state()
        newest = next(iter(self.jobs.all), None)
        if newest is not None and newest.run and newest.state == INTERRUPTED:
            self.session.messages.error(
                f"{newest.name} was interrupted; what it saved is kept. Resume it in the jobs (J)."
            )

    def _show_state(self) -> None:
        session = self.session
        if session.project is None:
            self.welcome.show_recent(session.preferences.recent)
            self._pages.setCurrentWidget(self.welcome)
        elif session.lost_people:
            others = [name for name in session.datasets() if name != session.lost_dataset]
            self.damaged.show_damage(session.lost_dataset, session.lost_people, others)
            self._pages.setCurrentWidget(self.damaged)
        else:
            busy = bool(self.jobs.running)
            page = self._drawer if session.shelf is not None or busy or self._jobs_shown else self.no_people
            self._pages.setCurrentWidget(page)
        self._switch()

    def _switch(self) -> None:
        """Actions that lack something are off, and say what."""
        self._lacks = lacks(self.session, self.jobs_panel.current)
        table.switch(self.actions_by_id, self._lacks)
        self.review.refresh()
        self.preference.refresh()

    def _verdicts_changed(self) -> None:
        others = {need: why for need, why in self._lacks.items() if need not in (table.UNDOABLE, table.REDOABLE)}
        self._lacks = others | lacks_of_verdicts(self.session)
        table.switch(self.actions_by_id, self._lacks)

    def _follow_reviews(self) -> None:
        verdicts = self.session.verdicts
        if verdicts is not None and verdicts.loaded and not verdicts.problem and verdicts.stale:
            self.session.load_reviews()

    def _show_solid(self) -> None:
        shelf = self.session.shelf
        pair = side_by_side(self.session, self._bodies)
        self.numbers.show_pair(pair)
        self.disagreements.refresh()
        if pair is not None:
            if "" not in (pair.left, pair.right):
                titles = run_title(shelf), run_title(self.session.comparison.right)
                self.solid.show_pair(pair, self.session.comparison, titles)
            return
        mesh = self._no_fits if shelf is None or shelf.run is None else fit_mesh(shelf, self.session.fit, self._bodies)
        if mesh != "":
            self.solid.show_meshes(
                (mesh,) if isinstance(mesh, SceneMesh) else (), mesh if isinstance(mesh, str) else ""
            )

    def _show_comparison(self) -> None:
        """One run or two: what is seen below the 3D view, how wide that is, and what the actions say."""
        comparison, before = self.session.comparison, self._below.currentWidget() is self.numbers
        for name, on in (("compare", comparison.on), ("toggle_wipe", comparison.wipe)):
            self.actions_by_id[name].setChecked(on)
        self.actions_by_id["toggle_distance"].setChecked(comparison.colored)
        self.actions_by_id["toggle_similarity"].setChecked(comparison.similarity)
        self._below.setCurrentWidget(self.numbers if comparison.on else self.details)
        if comparison.on and not before:
            self._sizes_alone = self._columns.sizes()
            people, width = self._sizes_alone[0], sum(self._sizes_alone)
            third = max(self._sizes_alone[2], round(0.36 * width))
            self._columns.setSizes([people, width - people - third, third])
        elif before and not comparison.on:
            self._columns.setSizes(self._sizes_alone)
        self._switch()

    def _show_look(self) -> None:
        comparison = self.session.comparison
        self.actions_by_id["toggle_wipe"].setChecked(comparison.wipe)
        self.actions_by_id["toggle_distance"].setChecked(comparison.colored)
        self.actions_by_id["toggle_similarity"].setChecked(comparison.similarity)
        self._show_solid()

    @property
    def _no_fits(self) -> str:
        if self.jobs.running:
            return "No fit to show yet.\nA run is at work; J shows how far it is."
        return "No fit to show." if self.session.read_only else "No fit to show.\nStart a run with Ctrl+R."

    def _jobs_changed(self) -> None:
        shelf = self.session.shelf
        if shelf is not None and shelf.run is None:
            self._show_solid()

    def _dress_late(self) -> None:
        """After the first person is on the screen, whether his photo could be shown or not."""
        if not self._dressed and self.session.project is not None:
            self._load_rest()

    def _load_rest(self) -> None:
        """What may wait until the first photo is on the screen."""
        self._dressed = True
        if self.session.project is not None and not self._bodies.loaded:
            self.tasks.read_body(self.session.project)

    def _body_came(self, project: Project, poser: Poser) -> None:
        if project is not self.session.project:
            return  # another one was opened, or none, while it was read
        self._bodies.keep(project, poser.body.family, poser)
        self.session.undrawable = ""
        self.photo.show_mesh()
        QTimer.singleShot(0, self, self._show_solid)
        QTimer.singleShot(0, self, self._load_last)  # not if the window is gone by then

    def _body_failed(self, project: Project, sentence: str) -> None:
        if project is not self.session.project:
            return
        self._bodies.problem = self.session.undrawable = sentence
        self.photo.show_mesh()
        self._show_solid()
        self._load_last()
        self.session.problems_changed.emit()

    def _load_last(self) -> None:
        """What may wait until the first mesh is on the screen: verdicts and icons."""
        self.session.load_reviews()
        self.dress()

    @property
    def settled(self) -> bool:
        """Whether everything that belongs to the current person is on the screen."""
        parts = (self.tasks, self.people, self.photo, self.solid.view, self.disagreements)
        return all(part.settled for part in parts)

    def show_jobs(self, shown: bool) -> None:
        """Opens or closes the drawer of jobs."""
        self._jobs_shown = shown
        self.jobs_panel.setVisible(shown)
        self._show_state()
        if shown:
            self._drawer.setSizes([max(self._drawer.height() - 260, 300), 260])

    def dress(self) -> None:
        """Icons in the theme's colours."""
        table.dress(self.actions_by_id)
        self.solid.dress()
        self.details.dress()

    def _restyle(self) -> None:
        self.actions_by_id["toggle_keypoints"].setChecked(self.session.preferences.keypoints)
        if theme.chosen(self.session.preferences.theme) != theme.current():
            theme.apply(self.session.preferences.theme)
            if self._dressed:
                self.dress()
            self.review.refresh()
            self.preference.refresh()
            self.photo.bar.refresh()
            self.jobs_panel.restyle()
            self.status.restyle()

    def _job_ended(self, job: Job) -> None:
        session = self.session
        if job.run and job.state == FINISHED:
            self.status.offer(f"{job.name} is finished. {job.message}".rstrip(), job.name)
        elif not job.run and job.state == FINISHED:
            session.messages.note(f"{job.message} J shows its log." if job.message else f"{job.name} is done.")
        else:
            session.messages.error(f"{job.name}: {job.message or job.state}")
        if not job.run and job.state == FINISHED:
            session.reload()
        else:
            session.shelf_changed.emit()

    def _show_offered(self, run_id: str) -> None:
        self.session.show_run(run_id)

    # -- Qt ----------------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Size and columns as they were left."""
        kept = QSettings("NeuralAnnot", "Desk")
        geometry, columns = kept.value("geometry"), kept.value("columns")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)
        else:
            there = self.screen().availableSize()
            self.resize(min(1600, there.width()), min(900, there.height()))
        if isinstance(columns, QByteArray):
            self._columns.restoreState(columns)

    def closeEvent(self, event: QCloseEvent) -> None:
        kept = QSettings("NeuralAnnot", "Desk")
        kept.setValue("geometry", self.saveGeometry())
        self.session.compare(on=False)  # the columns are kept as they are without it
        kept.setValue("columns", self._columns.saveState())
        self._keyboard.close()
        self.jobs.watch(None)
        self.people.close_threads()
        self.tasks.close_threads()
        self._photos.close()
        self.disagreements.close()
        self.photo.close_renderers()
        self.solid.view.close_renderer()
        self.session.change_preferences(self.session.preferences)
        self.session.close()
        super().closeEvent(event)


def _column(*widgets: QWidget) -> QWidget:
    column = QWidget()
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(theme.UNIT)
    for widget in widgets:
        layout.addWidget(widget, 1 if isinstance(widget, PhotoPanel | QStackedWidget) else 0)
    return column
