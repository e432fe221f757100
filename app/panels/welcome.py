"""The empty states of the window: no project, no people, nothing to see yet. Each says what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QAction, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from app import theme

_WIDTH = 560


class Welcome(QWidget):
    """Shown while no project is open.

    Signals:
        chosen: the path of a recent project.
    """

    chosen = Signal(str)

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._recent = QVBoxLayout()
        self._recent.setSpacing(4)
        self._problem = _paragraph("")
        self._problem.setProperty("role", "warning")
        self._problem.setTextFormat(Qt.TextFormat.PlainText)
        self._problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._problem.hide()
        title = QLabel("NeuralAnnot Desk")
        title.setProperty("role", "title")
        text = _paragraph(
            "Fits a 3D body to every person of a photo collection, and shows each fit on its photo and from all sides, "
            "so that you can say which of them to trust."
        )
        row = QHBoxLayout()
        row.addWidget(action_button(actions["open_project"], primary=True))
        row.addWidget(action_button(actions["new_project"]))
        row.addStretch(1)
        hint = _paragraph(
            "To see it at work first, run “make demo” in a terminal: it makes a project with known truth."
        )
        column = QVBoxLayout()
        column.setSpacing(2 * theme.UNIT)
        for part in (self._problem, title, text):
            column.addWidget(part)
        column.addLayout(row)
        column.addLayout(self._recent)
        column.addWidget(hint)
        _center(self, column)

    def show_problem(self, sentence: str) -> None:
        """Says above all else why no project is open; empty takes that away."""
        self._problem.setText(sentence)
        self._problem.setVisible(bool(sentence))

    def show_recent(self, paths: Sequence[str]) -> None:
        """Lists the recent projects that are still there."""
        while (item := self._recent.takeAt(0)) is not None:
            if widget := item.widget():
                widget.deleteLater()
        there = [Path(path) for path in paths if (Path(path) / "project.toml").is_file()]
        if there:
            heading = QLabel("Recent")
            heading.setProperty("role", "heading")
            heading.setMinimumHeight(32)
            self._recent.addWidget(heading)
        for path in there:
            button = QPushButton(f"{path.name}    {path.parent}")
            button.setProperty("flat", True)
            button.setMinimumHeight(32)
            button.setStyleSheet("text-align: left;")
            button.clicked.connect(partial(self.chosen.emit, str(path)))
            self._recent.addWidget(button)


class NoPeople(QWidget):
    """Shown while a project has no people."""

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        title = QLabel("This project has no people yet")
        title.setProperty("role", "title")
        text = _paragraph(
            "Import annotations with their photos: a target set (2D keypoints, such as COCO-WholeBody), and an auxiliary "
            "set (3D joints, such as Human3.6M) to learn depth from."
        )
        row = QHBoxLayout()
        row.addWidget(action_button(actions["import_data"], primary=True))
        row.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(2 * theme.UNIT)
        column.addWidget(title)
        column.addWidget(text)
        column.addLayout(row)
        _center(self, column)


class Damaged(QWidget):
    """Shown when the people of a data set cannot be read.

    Signals:
        chosen: the name of another data set.
    """

    chosen = Signal(str)

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._text = QLabel(), _paragraph("")
        self._title.setProperty("role", "title")
        self._text.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
        )  # the path is there to be copied
        self._buttons = QHBoxLayout()
        self._buttons.addWidget(action_button(actions["import_data"], primary=True))
        self._buttons.addStretch(1)
        column = QVBoxLayout()
        column.setSpacing(2 * theme.UNIT)
        column.addWidget(self._title)
        column.addWidget(self._text)
        column.addLayout(self._buttons)
        _center(self, column)

    def show_damage(self, dataset: str, sentence: str, others: Sequence[str]) -> None:
        """Says what is damaged, and offers the data sets that are not."""
        self._title.setText(f"The people of {dataset} cannot be read" if dataset else "The data sets cannot be read")
        self._text.setText(sentence)
        while self._buttons.count() > 2:
            item = self._buttons.takeAt(1)
            if item is not None and (widget := item.widget()):
                widget.deleteLater()
        for name in others:
            button = QPushButton(f"Show {name}")
            button.setMinimumHeight(36)
            button.clicked.connect(partial(self.chosen.emit, name))
            self._buttons.insertWidget(self._buttons.count() - 1, button)


def action_button(action: QAction, *, primary: bool = False) -> QPushButton:
    """A button with the action's name and key."""
    key = action.shortcut().toString()
    button = QPushButton(f"{action.text()}    {key}" if key else action.text())
    button.setProperty("primary", primary)
    button.setMinimumHeight(36)
    button.clicked.connect(action.trigger)
    action.changed.connect(partial(_follow, button, action))
    _follow(button, action)
    return button


def _follow(button: QPushButton, action: QAction) -> None:
    button.setEnabled(action.isEnabled())
    button.setToolTip(action.toolTip())


class _Paragraph(QLabel):
    """A wrapped text that never gets less room than its lines need."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))


def _paragraph(text: str) -> QLabel:
    label = _Paragraph(text)
    label.setWordWrap(True)
    label.setProperty("role", "quiet")
    return label


def _center(widget: QWidget, column: QVBoxLayout) -> None:
    middle = QWidget()
    middle.setFixedWidth(_WIDTH)
    middle.setLayout(column)
    layout = QVBoxLayout(widget)
    layout.addStretch(2)
    layout.addWidget(middle, 0, Qt.AlignmentFlag.AlignHCenter)
    layout.addStretch(3)
