"""The line above everything: what the open project lacks, which file it is, what still works, what to do."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QWidget

from app import damage
from app.session import Session


class Banner(QLabel):
    """There while there is something to say; it stays until that is mended, a message does not."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setProperty("role", "warning")
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)  # paths are there to be copied
        self.hide()
        for signal in (session.project_changed, session.shelf_changed, session.problems_changed):
            signal.connect(self.refresh)

    def refresh(self) -> None:
        """All that is lacking now, a line each."""
        sentences = problems(self._session)
        self.setText("\n".join(sentences))
        self.setVisible(bool(sentences))


def problems(session: Session) -> list[str]:
    """What the project lacks although it is open, a sentence or two each."""
    project, verdicts, shelf = session.project, session.verdicts, session.shelf
    if project is None or verdicts is None:
        return []
    read_only = session.read_only
    found = [f"{read_only} Verdicts, imports, exports and runs are off in this window." if read_only else ""]
    found += [verdicts.problem, session.undrawable]
    if shelf is not None and shelf.run is not None and shelf.damaged_fits:
        others = [run.id for run in session.runs() if run.id != shelf.run.id]
        found.append(damage.of_fits(shelf.run, shelf.damaged_fits, nobody=shelf.fits is None, others=others))
    if shelf is not None and shelf.damaged_scores:
        found.append(damage.of_scores(shelf.damaged_scores))
    found += [damage.of_run(sentence) for _, sentence in project.damaged_runs()]
    return [sentence for sentence in found if sentence]
