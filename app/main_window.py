"""The window: places the panels, offers the actions, decides nothing about fits."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from PySide6.QtCore import QByteArray, QEvent, QObject, QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent, QKeyEvent
from PySide6.QtWidgets import (
    QApplication,
    QLabel,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from annotator.runs import FINISHED
from annotator.verdict import REASONS, Verdict
from app import actions as table
from app import theme
from app.jobs import Job, Jobs
from app.panels.details import DetailsPanel
from app.panels.jobs import JobsPanel
from app.panels.photo import PhotoPanel
from app.panels.review import ReviewBar
from app.panels.sample_list import SampleList
from app.panels.solid import SolidPanel
from app.panels.status import StatusPanel
from app.panels.welcome import NoPeople, Welcome
from app.scenes import Bodies, Photos
from app.session import Session
from app.tasks import Tasks
from viewers.scene import SceneMesh

_EMPTY_3D = "No fit to show.\nStart a run with Ctrl+R."


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
        self._add_reason_methods()
        self.actions_by_id = table.build(self)
        self._dressed = False
        self.people = SampleList(session)
        self.photo = PhotoPanel(session, self._photos, self._bodies)
        self.review = ReviewBar(session, self.actions_by_id)
        self.solid = SolidPanel(self.actions_by_id)
        self.details = DetailsPanel(session)
        self.jobs_panel = JobsPanel(jobs)
        self.status = StatusPanel(session, jobs)
        self.welcome = Welcome(self.actions_by_id)
        self.no_people = NoPeople(self.actions_by_id)
        self._banner = QLabel()
        self._place()
        self._menus()
        self._connect()
        self._show_state()

    # -- placing -----------------------------------------------------------------------------------------------------

    def _place(self) -> None:
        self.setWindowTitle("NeuralAnnot Desk")
        self.setMinimumSize(960, 600)
        middle = _column(self.photo, self.review)
        right = QSplitter(Qt.Orientation.Vertical)
        right.addWidget(self.solid)
        right.addWidget(self.details)
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
        for page in (self.welcome, self.no_people, self._drawer):
            self._pages.addWidget(page)
        self._banner.setProperty("role", "warning")
        self._banner.hide()
        self.setCentralWidget(_column(self._banner, self._pages, self.status))
        self.photo.use_keypoint_action(self.actions_by_id["toggle_keypoints"])
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

    def _connect(self) -> None:
        session = self.session
        session.project_changed.connect(self._project_changed)
        session.shelf_changed.connect(self._show_state)
        session.shelf_changed.connect(self._show_solid)
        session.current_changed.connect(self._show_solid)
        session.current_changed.connect(lambda: QTimer.singleShot(0, self._dress_late))
        session.preferences_changed.connect(self._restyle)
        session.messages.said.connect(self.status.say)
        self.welcome.chosen.connect(self.tasks.open_path)
        self.jobs.ended.connect(self._job_ended)
        self.jobs.refused.connect(session.messages.error)
        self.jobs_panel.resume.connect(self.tasks.resume)
        self.status.jobs_clicked.connect(self.actions_by_id["toggle_jobs"].trigger)
        self.status.offered.connect(self._show_offered)
        self.photo.view.photo_painted.connect(self.photo_painted)
        self.photo.view.mesh_painted.connect(self.mesh_painted)
        self.solid.view.painted.connect(self.solid_painted)
        self.tasks.body_loaded.connect(self._body_came)
        self.tasks.body_failed.connect(self._load_last)
        app = QApplication.instance()
        assert app is not None
        app.installEventFilter(self)

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _project_changed(self) -> None:
        self._bodies.clear()
        self.jobs.watch(self.session.project)
        project = self.session.project
        self.setWindowTitle(f"{project.path.resolve().name} – NeuralAnnot Desk" if project else "NeuralAnnot Desk")
        held = self.session.held_by
        self._banner.setText(f"Read-only: {held} has this project open. Verdicts and runs are off in this window.")
        self._banner.setVisible(bool(held))
        if self._dressed:
            self._load_rest()
        self._show_state()

    def _show_state(self) -> None:
        session = self.session
        if session.project is None:
            self.welcome.show_recent(session.preferences.recent)
            self._pages.setCurrentWidget(self.welcome)
        else:
            busy = bool(self.jobs.running)
            page = self._drawer if session.shelf is not None or busy else self.no_people
            self._pages.setCurrentWidget(page)
        has, may = session.project is not None, session.project is not None and not session.read_only
        for name in ("export_fits", "next_round"):
            self.actions_by_id[name].setEnabled(may and bool(session.runs()))
        for name in ("import_data", "start_run"):
            self.actions_by_id[name].setEnabled(may and (name == "import_data" or bool(session.datasets())))
        self.actions_by_id["toggle_jobs"].setEnabled(has)

    def _show_solid(self) -> None:
        shelf, fit = self.session.shelf, self.session.fit
        if shelf is None or shelf.run is None or shelf.fits is None or fit is None:
            self.solid.show_meshes((), _EMPTY_3D)
            return
        if not self._bodies.loaded:
            return
        header = shelf.fits.header
        mesh = self._bodies.mesh(fit, header.family, header.body_hash, shelf.run.info.annotator)
        self.solid.show_meshes((mesh,) if isinstance(mesh, SceneMesh) else (), mesh if isinstance(mesh, str) else "")

    def _dress_late(self) -> None:
        """After the first person is on the screen, whether his photo could be shown or not."""
        if not self._dressed and self.session.project is not None:
            self._load_rest()

    def _load_rest(self) -> None:
        """What may wait until the first photo is on the screen."""
        self._dressed = True
        if self.session.project is not None and not self._bodies.loaded:
            self.tasks.load_body(self.session.project, self._bodies)

    def _body_came(self) -> None:
        self.photo.show_mesh()
        QTimer.singleShot(0, self._show_solid)
        QTimer.singleShot(0, self._load_last)

    def _load_last(self) -> None:
        """What may wait until the first mesh is on the screen: verdicts and icons."""
        self.session.load_reviews()
        self.dress()

    @property
    def settled(self) -> bool:
        """Whether everything that belongs to the current person is on the screen."""
        parts = (self.tasks, self.people, self.photo.view, self.solid.view)
        return all(part.settled for part in parts)

    def dress(self) -> None:
        """Icons in the theme's colours."""
        table.dress(self.actions_by_id)
        self.solid.dress()

    def _restyle(self) -> None:
        if theme.chosen(self.session.preferences.theme) != theme.current():
            theme.apply(self.session.preferences.theme)
            if self._dressed:
                self.dress()
            self.review.refresh()

    def _job_ended(self, job: Job) -> None:
        session = self.session
        if job.run and job.state == FINISHED:
            self.status.offer(f"{job.name} is finished.", job.name)
        elif not job.run and job.state == FINISHED:
            session.messages.note(f"{job.name} is done.")
        else:
            session.messages.warn(f"{job.name}: {job.message or job.state}")
        if not job.run and job.state == FINISHED:
            session.reload()
        else:
            session.shelf_changed.emit()

    def _show_offered(self, run_id: str) -> None:
        self.session.show_run(run_id)

    # -- actions -----------------------------------------------------------------------------------------------------

    def _add_reason_methods(self) -> None:
        for reason in REASONS:
            setattr(self, f"reason_{reason.digit}", partial(self._reason, reason.digit))
            setattr(self, f"reject_for_{reason.digit}", partial(self._reject_for, reason.id))

    def _reason(self, digit: int, _checked: bool = False) -> None:
        self.session.toggle_reason(digit)

    def _reject_for(self, reason: str, _checked: bool = False) -> None:
        self.session.judge(Verdict.REJECT, (reason,))

    def accept(self) -> None:
        self.session.judge(Verdict.ACCEPT)

    def reject(self) -> None:
        self.session.judge(Verdict.REJECT)

    def unsure(self) -> None:
        self.session.judge(Verdict.UNSURE)

    def undo(self) -> None:
        self.session.undo()

    def redo(self) -> None:
        self.session.redo()

    def next_sample(self) -> None:
        self.session.step(1)

    def previous_sample(self) -> None:
        self.session.step(-1)

    def next_unreviewed(self) -> None:
        self.session.next_unreviewed()

    def last_judged(self) -> None:
        self.session.back_to_last_judged()

    def next_run(self) -> None:
        self.session.next_run()

    def find_in_list(self) -> None:
        self.people.search.setFocus()
        self.people.search.selectAll()

    def toggle_keypoints(self) -> None:
        shown = self.actions_by_id["toggle_keypoints"].isChecked()
        self.session.change_preferences(replace(self.session.preferences, keypoints=shown))

    def toggle_zoom(self) -> None:
        self.photo.view.toggle_zoom()

    def view_front(self) -> None:
        self.solid.view.front()

    def view_side(self) -> None:
        self.solid.view.side()

    def view_top(self) -> None:
        self.solid.view.top()

    def view_home(self) -> None:
        self.solid.view.home()

    def toggle_jobs(self) -> None:
        shown = self.actions_by_id["toggle_jobs"].isChecked()
        self.jobs_panel.setVisible(shown)
        if shown:
            self._drawer.setSizes([max(self._drawer.height() - 260, 300), 260])

    def theme_system(self) -> None:
        self._choose_theme("system")

    def theme_light(self) -> None:
        self._choose_theme("light")

    def theme_dark(self) -> None:
        self._choose_theme("dark")

    def new_project(self) -> None:
        self.tasks.new_project()

    def open_project(self) -> None:
        self.tasks.open_project()

    def import_data(self) -> None:
        self.tasks.import_data()

    def export_fits(self) -> None:
        self.tasks.export_fits()

    def preferences(self) -> None:
        self.tasks.preferences()

    def start_run(self) -> None:
        self.tasks.start_run(next_round=False)

    def next_round(self) -> None:
        self.tasks.start_run(next_round=True)

    def stop_job(self) -> None:
        self.tasks.stop_job()

    def go_to(self) -> None:
        self.tasks.go_to()

    def find_command(self) -> None:
        chosen = self.tasks.find_command(self.actions_by_id)
        if chosen is not None:
            chosen.trigger()

    def cheat_sheet(self) -> None:
        self.tasks.cheat_sheet()

    def about(self) -> None:
        self.tasks.about()

    def quit(self) -> None:
        self.close()

    def _choose_theme(self, name: str) -> None:
        self.session.change_preferences(replace(self.session.preferences, theme=name))

    # -- Qt ----------------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if not isinstance(event, QKeyEvent):
            return super().eventFilter(watched, event)
        in_text = isinstance(QApplication.focusWidget(), QLineEdit | QPlainTextEdit)
        if event.type() == QEvent.Type.ShortcutOverride and event.key() == Qt.Key.Key_Tab and in_text:
            event.accept()  # text fields claim every other key of ours themselves
            return True
        kinds = (QEvent.Type.KeyPress, QEvent.Type.KeyRelease)
        if event.type() in kinds and event.key() == Qt.Key.Key_Space:
            typing = in_text or QApplication.activeModalWidget() is not None
            if not typing and QApplication.activePopupWidget() is None:
                if not event.isAutoRepeat():
                    self.photo.view.set_mesh_visible(event.type() == QEvent.Type.KeyRelease)
                return True
        return super().eventFilter(watched, event)

    def restore(self) -> None:
        """Size and columns as they were left."""
        kept = QSettings("NeuralAnnot", "Desk")
        geometry, columns = kept.value("geometry"), kept.value("columns")
        if isinstance(geometry, QByteArray):
            self.restoreGeometry(geometry)
        else:
            self.resize(1600, 900)
        if isinstance(columns, QByteArray):
            self._columns.restoreState(columns)

    def closeEvent(self, event: QCloseEvent) -> None:
        kept = QSettings("NeuralAnnot", "Desk")
        kept.setValue("geometry", self.saveGeometry())
        kept.setValue("columns", self._columns.saveState())
        app = QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)
        self.jobs.watch(None)
        self.people.close_threads()
        self.tasks.close_threads()
        self._photos.close()
        self.photo.view.close_renderer()
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
