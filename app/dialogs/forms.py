"""A small form: labelled fields, a sentence below, OK and Cancel. Every dialog that asks for values is one."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from app import theme


def path_in(field: QLineEdit) -> Path | None:
    """The path that a field names, absolute; None while it is empty. Of `~somebody` whom nobody knows it is the text itself."""
    text = field.text().strip()
    if not text:
        return None
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        return Path(text).absolute()


class Form(QDialog):
    """A dialog with fields; `complaint` says what is still wrong, and then OK is off."""

    def __init__(self, title: str, accept: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.setMinimumWidth(520)
        self.rows = QFormLayout()
        self.rows.setSpacing(theme.UNIT)
        self.rows.setLabelAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._sentence = QLabel()
        self._sentence.setWordWrap(True)
        self._sentence.setProperty("role", "quiet")
        self._sentence.setMinimumHeight(36)
        buttons = QDialogButtonBox()
        self._ok = buttons.addButton(accept, QDialogButtonBox.ButtonRole.AcceptRole)
        self._ok.setProperty("primary", True)
        self._ok.setDefault(True)
        buttons.addButton("Cancel", QDialogButtonBox.ButtonRole.RejectRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 16)
        layout.setSpacing(2 * theme.UNIT)
        layout.addLayout(self.rows)
        layout.addWidget(self._sentence)
        layout.addWidget(buttons)

    def complaint(self) -> str:
        """What is still wrong, as a sentence; empty if nothing is."""
        return ""

    def hint(self) -> str:
        """What will happen, shown while nothing is wrong."""
        return ""

    def check(self) -> None:
        """Looks at the fields anew."""
        wrong = self.complaint()
        self._sentence.setText(wrong or self.hint())
        self._ok.setEnabled(not wrong)

    def add_text(self, label: str, text: str = "", placeholder: str = "") -> QLineEdit:
        """A line of text."""
        field = QLineEdit(text)
        field.setPlaceholderText(placeholder)
        field.textChanged.connect(lambda _text: self.check())
        self.rows.addRow(label, field)
        return field

    def add_choice(self, label: str, choices: tuple[str, ...], chosen: str = "") -> QComboBox:
        """One of several."""
        field = QComboBox()
        field.addItems(choices)
        field.setCurrentText(chosen or choices[0])
        field.currentTextChanged.connect(lambda _text: self.check())
        self.rows.addRow(label, field)
        return field

    def add_path(self, label: str, *, what: str, placeholder: str = "") -> QLineEdit:
        """A path with a button to look for it; `what` is folder, file, either or save."""
        field = QLineEdit()
        field.setPlaceholderText(placeholder)
        field.textChanged.connect(lambda _text: self.check())
        row = QHBoxLayout()
        row.addWidget(field, 1)
        for kind in ("file", "folder") if what == "either" else (what,):
            button = QPushButton({"folder": "Folder…", "file": "File…", "save": "Choose…"}[kind])
            button.setAutoDefault(False)
            button.clicked.connect(lambda _checked, kind=kind: self._browse(field, kind))
            row.addWidget(button)
        self.rows.addRow(label, row)
        return field

    def _browse(self, field: QLineEdit, kind: str) -> None:
        start = field.text() or str(Path.home())
        if kind == "folder":
            path = QFileDialog.getExistingDirectory(self, "Choose a folder", start)
        elif kind == "file":
            path, _ = QFileDialog.getOpenFileName(self, "Choose a file", start)
        else:
            path, _ = QFileDialog.getSaveFileName(self, "Choose where to save", start)
        if path:
            field.setText(path)
