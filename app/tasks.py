"""What the menu's larger commands do: ask in a dialog, then start it. Long ones become jobs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from annotator.annotators import LEARNS
from annotator.errors import NeuralAnnotError
from annotator.project import Project
from annotator.runs import FINISHED, Run
from annotator.verdict import Verdict
from app import refining
from app.jobs import Job, Jobs
from app.scenes import read_poser
from app.session import Session


class Tasks(QObject):
    """Dialogs and what follows from them.

    Signals:
        body_came: a project's body model was read: the project and the poser.
        body_failed: it could not be: the project and why.
    """

    body_came = Signal(object, object)
    body_failed = Signal(object, str)

    def __init__(self, session: Session, jobs: Jobs, window: QWidget) -> None:
        super().__init__(window)
        self._session, self._jobs, self._window = session, jobs, window
        self._pool = QThreadPool(self)

    def read_body(self, project: Project) -> None:
        """Reads the body model in a thread."""
        self._pool.start(_ReadBody(project, self.body_came, self.body_failed))

    @property
    def settled(self) -> bool:
        """Whether nothing is being loaded."""
        return self._pool.activeThreadCount() == 0

    def close_threads(self) -> None:
        """Waits for what runs."""
        self._pool.waitForDone()

    def open_path(self, path: str) -> None:
        """Opens a project by its path."""
        self._session.open(Path(path))

    def open_project(self) -> None:
        """Asks for a project's folder."""
        path = QFileDialog.getExistingDirectory(self._window, "Open a project")
        if path:
            self._session.open(Path(path))

    def new_project(self) -> None:
        """Asks for a folder, makes a project in it and opens it."""
        from annotator.commands.projects import new
        from app.dialogs.project import NewProject

        dialog = NewProject(self._window)
        if not dialog.exec():
            return
        try:
            project = new(dialog.folder, body_models=dialog.models)
        except NeuralAnnotError as error:
            self._session.messages.error(str(error))
            return
        self._session.open(project.path)

    def import_data(self) -> None:
        """Asks for a data set and imports it in the background."""
        from app.dialogs.project import ImportData

        project = self._session.project
        dialog = ImportData(self._window)
        if project is not None and dialog.exec():
            self._jobs.start_command("import", dialog.words(project.path))
            self._session.messages.note("Importing in the background; J shows how far it is.")

    def export_fits(self) -> None:
        """Asks for a run and a file and exports in the background."""
        from app.dialogs.project import ExportFits

        session = self._session
        if session.project is None or session.shelf is None or session.shelf.run is None:
            return
        runs = tuple(run.id for run in session.project.runs() if run.fitted)
        dialog = ExportFits(runs, session.shelf.run.id, self._window)
        if dialog.exec():
            self._jobs.start_command("export", dialog.words(session.project.path))

    def start_run(self, *, next_round: bool) -> None:
        """Asks for a recipe and starts a run in the background."""
        from app.dialogs.run import StartRun

        session = self._session
        if session.project is None:
            return
        source = self._source() if next_round else None
        if next_round and source is None:
            session.messages.note("The next round learns from a finished run of NeuralAnnot; start one with Ctrl+R.")
            return
        of_source = (j for j in session.judgements.values() if source is not None and j.fit.run == source.id)
        rejected = sum(judgement.verdict is Verdict.REJECT for judgement in of_source)
        dialog = StartRun(tuple(session.datasets()), source, rejected, self._window)
        if dialog.exec():
            self._jobs.start_run(dialog.words)
            session.messages.note("The run starts in the background; J shows how far it is.")

    def refine_fit(self) -> None:
        """Tunes a trained network on the current person's 2D pose, in the background."""
        words = refining.words(self._session)
        if words:
            self._jobs.start_run(words)
            self._session.messages.note(
                f"The fit of {self._session.key} is refined in the background and becomes one of a run of its own; J shows how "
                "far it is."
            )

    def _source(self) -> Run | None:
        """The run that the next round learns from: the one that is shown, or else the newest that can be learnt from."""
        shelf, project = self._session.shelf, self._session.project
        shown = shelf.run if shelf is not None else None
        if shown is not None and shown.info.annotator == LEARNS and shown.state == FINISHED:
            return shown
        return project.newest_run(LEARNS) if project is not None else None

    def resume_job(self, job: Job | None) -> None:
        """Goes on with a run that ended early."""
        if job is not None:
            self._jobs.start_run(["--resume", job.name])

    def stop_job(self, job: Job | None) -> None:
        """Asks a job to save what it has and end."""
        if job is not None:
            self._jobs.stop(job)
            self._session.messages.note(f"{job.name} saves what it has and ends.")

    def kill_job(self, job: Job | None) -> None:
        """Ends a job at once."""
        if job is not None:
            self._jobs.cancel(job)

    def go_to(self) -> None:
        """Asks for an annotation id."""
        text, done = QInputDialog.getText(self._window, "Go to", "Annotation id")
        if done and text.strip():
            self._session.go_to_id(text.strip())

    def preferences(self) -> None:
        """Edits the preferences."""
        from app.dialogs.preferences import EditPreferences

        dialog = EditPreferences(self._session.preferences, self._window)
        if dialog.exec():
            self._session.change_preferences(dialog.preferences)

    def find_command(self, actions: Mapping[str, QAction]) -> QAction | None:
        """The palette; the action that was chosen."""
        from app.dialogs.commands import Palette

        dialog = Palette(actions, self._window)
        frame = self._window.geometry()
        dialog.move(frame.center().x() - dialog.width() // 2, frame.top() + 96)
        return dialog.chosen if dialog.exec() else None

    def cheat_sheet(self) -> None:
        """All keys."""
        from app.dialogs.commands import CheatSheet

        CheatSheet(self._window).exec()

    def about(self) -> None:
        """Name and licence."""
        QMessageBox.about(
            self._window,
            "About",
            "<b>NeuralAnnot Desk</b><br>3D human pseudo-ground-truth, made and judged.<br><br>Apache License 2.0; NOTICE "
            "names what else is inside.",
        )


class _ReadBody(QRunnable):
    def __init__(self, project: Project, came: Any, failed: Any) -> None:
        super().__init__()
        self._project, self._came, self._failed = project, came, failed

    def run(self) -> None:
        with suppress(RuntimeError):  # the window was closed meanwhile
            try:
                poser = read_poser(self._project)
            except NeuralAnnotError as error:
                self._failed.emit(self._project, str(error))
            else:
                self._came.emit(self._project, poser)
