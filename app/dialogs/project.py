"""New project, import, export: what a person has to say for each."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QWidget

from annotator.project import AUXILIARY, TARGET
from app.dialogs.forms import Form

FORMATS = ("coco-wholebody", "human36m", "mpi-inf-3dhp", "freihand", "interhand26m")
WRITERS = ("neuralannot",)
_KEEP = {"all but the rejected": "not-rejected", "accepted only": "accepted", "all": "all"}
_BY_FORMAT = "as the format has it"


class NewProject(Form):
    """Where, and with which body models."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("New project", "Make project", parent)
        self._folder = self.add_path("Folder", what="save", placeholder="A folder that does not exist yet, or is empty")
        self._models = self.add_path(
            "Body models", what="folder", placeholder="The open body that ships with the program"
        )
        self.check()

    @property
    def folder(self) -> Path:
        """Where to make it."""
        return Path(self._folder.text().strip()).expanduser()

    @property
    def models(self) -> Path | None:
        """Folder as smplx.create takes it; None for the open body."""
        text = self._models.text().strip()
        return Path(text).expanduser() if text else None

    def complaint(self) -> str:
        if not self._folder.text().strip():
            return "Choose a folder for the project."
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            return f"{self.folder} exists and is not empty; choose another."
        if self.models is not None and not self.models.is_dir():
            return f"There is no folder {self.models}."
        return ""

    def hint(self) -> str:
        return "The project keeps samples, runs and verdicts; the photos stay where they are."


class ImportData(Form):
    """Format, annotations, photos, role and name."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__("Import a data set", "Import", parent)
        self._format = self.add_choice("Format", FORMATS)
        self._annotations = self.add_path("Annotations", what="either")
        self._images = self.add_path("Photos", what="folder", placeholder="The annotations' folder")
        self._role = self.add_choice("Role", (_BY_FORMAT, TARGET, AUXILIARY))
        self._name = self.add_text("Name", placeholder="The format's name")
        self.check()

    def words(self, project: Path) -> list[str]:
        """The command that imports it."""
        words = ["import", str(project), self._format.currentText(), str(self._path(self._annotations.text()))]
        if self._images.text().strip():
            words += ["--images", str(self._path(self._images.text()))]
        if self._role.currentText() != _BY_FORMAT:
            words += ["--role", self._role.currentText()]
        if self._name.text().strip():
            words += ["--name", self._name.text().strip()]
        return words

    def complaint(self) -> str:
        text = self._annotations.text().strip()
        if not text:
            return "Choose the annotation file or folder."
        if not self._path(text).exists():
            return f"There is no {self._path(text)}."
        images = self._images.text().strip()
        return f"There is no folder {self._path(images)}." if images and not self._path(images).is_dir() else ""

    def hint(self) -> str:
        return "All or nothing: a person who cannot be read is left out and named, a broken file imports nobody."

    @staticmethod
    def _path(text: str) -> Path:
        return Path(text.strip()).expanduser().resolve()


class ExportFits(Form):
    """Format, run, which verdicts, and where."""

    def __init__(self, runs: tuple[str, ...], chosen: str, parent: QWidget) -> None:
        super().__init__("Export fits", "Export", parent)
        self._format = self.add_choice("Format", WRITERS)
        self._run = self.add_choice("Run", runs, chosen)
        self._keep = self.add_choice("Which", tuple(_KEEP))
        self._out = self.add_path("File", what="save", placeholder="fits.json")
        self.check()

    def words(self, project: Path) -> list[str]:
        """The command that exports them."""
        out = str(Path(self._out.text().strip()).expanduser().resolve())
        keep = _KEEP[self._keep.currentText()]
        return [
            "export",
            str(project),
            self._format.currentText(),
            out,
            "--run",
            self._run.currentText(),
            "--verdict",
            keep,
        ]

    def complaint(self) -> str:
        if not self._out.text().strip():
            return "Choose a file to write."
        folder = Path(self._out.text().strip()).expanduser().resolve().parent
        return "" if folder.is_dir() else f"There is no folder {folder}."

    def hint(self) -> str:
        return "A manifest with recipe, body model and counts is written beside it."
