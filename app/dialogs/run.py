"""Start a run: recipe, data and round."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from annotator.outside import is_file
from annotator.recipe import shipped_recipes
from annotator.runs import Run
from app.dialogs.forms import Form, path_in


class StartRun(Form):
    """What to run; with `source`, the round after that run."""

    def __init__(self, datasets: tuple[str, ...], source: Run | None, rejected: int, parent: QWidget) -> None:
        title = "Train the next round" if source is not None else "Start a run"
        super().__init__(title, "Start", parent)
        self._source, self._rejected = source, rejected
        recipes = shipped_recipes()
        chosen = source.info.recipe if source is not None and source.info.recipe in recipes else "paper"
        self._recipe = self.add_choice("Recipe", recipes, chosen)
        self._file = self.add_path("or recipe file", what="file", placeholder="A TOML file of your own")
        self._data = QListWidget()
        self._data.setFixedHeight(88)
        self._data.setSpacing(2)
        for name in datasets:
            item = QListWidgetItem(name, self._data)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Checked)
        self._data.itemChanged.connect(lambda _item: self.check())
        self.rows.addRow("Data sets", self._data)
        if source is not None and source.info.recipe not in recipes:
            self._file.setText(str(source.recipe_path))
        self.check()

    @property
    def words(self) -> list[str]:
        """Options of the command `run`."""
        file = path_in(self._file)
        words = ["--recipe", str(file) if file else self._recipe.currentText()]
        if len(self._chosen()) < self._data.count():
            words += ["--data", ",".join(self._chosen())]
        if self._source is not None:
            words += ["--round", str(self._source.info.round + 1), "--from", self._source.id]
        return words

    def complaint(self) -> str:
        if not self._chosen():
            return "Choose at least one data set."
        file = path_in(self._file)
        return f"There is no file {file}." if file and not is_file(file) else ""

    def hint(self) -> str:
        if self._source is None:
            return "It runs in the background, also when this window is closed."
        people = f"{self._rejected:,} rejected fit{'s teach' if self._rejected != 1 else ' teaches'}"
        return f"Learns from the fits of {self._source.id}; {people} with 2D keypoints only."

    def _chosen(self) -> list[str]:
        items = [self._data.item(row) for row in range(self._data.count())]
        return [item.text() for item in items if item.checkState() is Qt.CheckState.Checked]
