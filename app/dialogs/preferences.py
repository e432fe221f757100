"""Preferences: theme, reviewer, what a verdict does."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtWidgets import QCheckBox, QWidget

from app.dialogs.forms import Form
from app.settings import THEMES, Preferences


class EditPreferences(Form):
    """A form over `Preferences`."""

    def __init__(self, preferences: Preferences, parent: QWidget) -> None:
        super().__init__("Preferences", "Save", parent)
        self._before = preferences
        self._theme = self.add_choice("Theme", THEMES, preferences.theme)
        self._reviewer = self.add_text("Reviewer", preferences.reviewer, preferences.name)
        self._advance = QCheckBox("Go on to the next person after a verdict")
        self._advance.setChecked(preferences.auto_advance)
        self.rows.addRow("", self._advance)
        self.check()

    def hint(self) -> str:
        return "The reviewer's name is kept with every verdict."

    @property
    def preferences(self) -> Preferences:
        """As they were edited."""
        return replace(
            self._before,
            theme=self._theme.currentText(),
            reviewer=self._reviewer.text().strip(),
            auto_advance=self._advance.isChecked(),
        )
