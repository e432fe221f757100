"""Two views of the table of actions: the palette that finds one by name, the cheat-sheet that lists the keys."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QKeyEvent
from PySide6.QtWidgets import (
    QDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from app import theme
from app.actions import ACTIONS, HELD, MENUS, key_text

_WIDTH = 520


class Palette(QDialog):
    """Type a few letters of a command; Enter does it."""

    def __init__(self, actions: Mapping[str, QAction], parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self._actions = actions
        self.chosen: QAction | None = None
        self._text, self._list = QLineEdit(), QTreeWidget()
        self._found: list[QTreeWidgetItem] = []
        self._text.setPlaceholderText("Find a command")
        self._text.textChanged.connect(self._fill)
        self._text.returnPressed.connect(self._take)
        self._text.installEventFilter(self)
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.setColumnCount(2)
        self._list.setHeaderHidden(True)
        self._list.setRootIsDecorated(False)
        self._list.header().setStretchLastSection(False)
        self._list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._list.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self._list.itemClicked.connect(lambda _item: self._take())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.addWidget(self._text)
        layout.addWidget(self._list)
        self.setFixedSize(_WIDTH, 360)
        self._fill("")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            step = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}.get(Qt.Key(event.key()), 0)
            if step and self._found:
                here = self._found.index(self._list.selectedItems()[0])
                self._list.setCurrentItem(self._found[min(max(here + step, 0), len(self._found) - 1)])
                return True
        return super().eventFilter(watched, event)

    def _fill(self, text: str) -> None:
        letters = text.lower().split()
        self._list.clear()
        self._found.clear()
        for row in ACTIONS:
            action = self._actions[row.id]
            if action.isEnabled() and row.id != "find_command" and all(word in row.title.lower() for word in letters):
                item = QTreeWidgetItem(self._list, [row.title, key_text(row)])
                item.setIcon(0, action.icon())
                item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                item.setData(0, Qt.ItemDataRole.UserRole, row.id)
                self._found.append(item)
        if self._found:
            self._list.setCurrentItem(self._found[0])

    def _take(self) -> None:
        for item in self._list.selectedItems():
            self.chosen = self._actions[item.data(0, Qt.ItemDataRole.UserRole)]
            self.accept()


class CheatSheet(QDialog):
    """Every key, by menu."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        columns = QHBoxLayout(self)
        columns.setContentsMargins(24, 24, 24, 24)
        columns.setSpacing(40)
        column = self._column(columns)
        width = max(self.fontMetrics().horizontalAdvance(key) for _, rows in groups() for key, _ in rows) + 24
        for place, (title, rows) in enumerate(groups()):
            if place == 2:
                column.addStretch(1)
                column = self._column(columns)
            column.addWidget(_heading(title))
            grid = QGridLayout()
            grid.setVerticalSpacing(6)
            grid.setHorizontalSpacing(24)
            for line, (key, words) in enumerate(rows):
                cap = QLabel(key)
                look = theme.current()
                cap.setStyleSheet(
                    f"background: {look.raised}; border-radius: 4px; padding: 2px 8px; color: {look.text};"
                )
                cap.setAlignment(Qt.AlignmentFlag.AlignCenter)
                grid.addWidget(cap, line, 0)
                grid.addWidget(QLabel(words), line, 1)
            grid.setColumnMinimumWidth(0, width)
            grid.setColumnStretch(1, 1)
            column.addLayout(grid)
            column.addSpacing(16)
        column.addStretch(1)

    @staticmethod
    def _column(columns: QHBoxLayout) -> QVBoxLayout:
        column = QVBoxLayout()
        column.setSpacing(theme.UNIT)
        columns.addLayout(column)
        return column


def groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """The keys by menu; the nine reasons stand in two lines."""
    out: list[tuple[str, list[tuple[str, str]]]] = []
    for menu in ("Review", "View", *(menu for menu in MENUS if menu not in {"Review", "View"})):
        rows = [(key_text(row), row.title.rstrip("…")) for row in ACTIONS if row.menu == menu and row.keys]
        if menu == "Review":
            rows[3:3] = [
                ("1 to 9", "Arm a reason; on a judged person, change it"),
                ("Shift+1 to 9", "Reject for this reason"),
            ]
        if menu == "View":
            rows += list(HELD)
        if rows:
            out.append((menu, rows))
    return out


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "heading")
    return label
