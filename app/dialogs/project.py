"""New project, import, export: what a person has to say for each."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QWidget

from annotator.errors import NeuralAnnotError
from annotator.outside import exists, is_dir
from annotator.project import AUXILIARY, TARGET, require_free
from app.dialogs.forms import Form, path_in

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
        return path_in(self._folder) or Path()

    @property
    def models(self) -> Path | None:
        """Folder as smplx.create takes it; None for the open body."""
        return path_in(self._models)

    def complaint(self) -> str:
        if not self._folder.text().strip():
            return "Choose a folder for the project."
        try:
            require_free(self.folder)
        except NeuralAnnotError as error:
            return str(error)
        if self.models is not None and not is_dir(self.models):
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
        words = ["import", str(project), self._format.currentText(), str(path_in(self._annotations))]
        if images := path_in(self._images):
            words += ["--images", str(images)]
        if self._role.currentText() != _BY_FORMAT:
            words += ["--role", self._role.currentText()]
        if self._name.text().strip():
            words += ["--name", self._name.text().strip()]
        return words

    def complaint(self) -> str:
        annotations, images = path_in(self._annotations), path_in(self._images)
        if annotations is None:
            return "Choose the annotation file or folder."
        if not exists(annotations):
            return f"There is no {annotations}."
        return f"There is no folder {images}." if images and not is_dir(images) else ""

    def hint(self) -> str:
        return "All or nothing: a person who cannot be read is left out and named, a broken file imports nobody."


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
        out = str(path_in(self._out))
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
        out = path_in(self._out)
        if out is None:
            return "Choose a file to write."
        if is_dir(out):
            return f"{out} is a folder; name a file in it."
        return "" if is_dir(out.parent) else f"There is no folder {out.parent}."

    def hint(self) -> str:
        return "A manifest with recipe, body model and counts is written beside it."
