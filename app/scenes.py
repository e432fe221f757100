"""Sample and fit -> what the views draw: the one translator from science to drawing."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import NeuralAnnotError
from annotator.fit import OK, Fit
from annotator.images import read_image
from annotator.project import Project
from annotator.sample import Sample
from app.shelf import Shelf
from app.theme import run_color
from viewers.scene import Intrinsics, Points2D, Scene, SceneMesh

if TYPE_CHECKING:
    from annotator.bodies.files import BodyModelData
    from annotator.bodies.posing import Posed, Poser

_KEPT_PHOTOS, _KEPT_FITS = 12, 4


class Photos:
    """Decoded photos: the last few are kept, the next ones are read ahead by one thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Path, Future[np.ndarray]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="photos")

    def get(self, path: Path) -> np.ndarray:
        """The photo, decoded now or before.

        Raises:
            ImageError: it is missing or cannot be decoded.
        """
        future = self._kept.get(path)
        if future is None:
            future = Future()
            future.set_result(read_image(path))
            self._keep(path, future)
        try:
            return future.result()
        except NeuralAnnotError:
            del self._kept[path]  # a photo that is put back is found at the next look
            raise

    def read_ahead(self, path: Path) -> None:
        """Starts decoding a photo that will be wanted soon."""
        if path not in self._kept:
            self._keep(path, self._reader.submit(read_image, path))

    def clear(self) -> None:
        """Forgets the photos of a project that was closed."""
        self._kept.clear()

    def close(self) -> None:
        """Ends the thread."""
        self._reader.shutdown(wait=True, cancel_futures=True)

    def _keep(self, path: Path, future: Future[np.ndarray]) -> None:
        self._kept[path] = future
        while len(self._kept) > _KEPT_PHOTOS:
            self._kept.popitem(last=False)


def read_poser(project: Project, family: str = "smplx") -> Poser:
    """A body model of a project; may be called from a thread.

    Raises:
        NeuralAnnotError: it is missing or damaged.
    """
    from annotator.bodies.files import load_body_model
    from annotator.bodies.posing import Poser

    return Poser(load_body_model(project.body_model_root(family), family))


class Bodies:
    """Poses fits for the views, once it has the project's body model.

    Attributes:
        problem: why there is none, as a sentence.
    """

    def __init__(self) -> None:
        self._posers: dict[str, Poser] = {}
        self._project: Project | None = None
        self.problem = ""
        self._drawn: OrderedDict[tuple[Path, str, str], SceneMesh] = OrderedDict()
        self._posed: OrderedDict[tuple[Path, str, str], Posed] = OrderedDict()

    def load(self, project: Project, family: str = "smplx") -> None:
        """Reads the body model and keeps it.

        Raises:
            NeuralAnnotError: it is missing or damaged.
        """
        self.keep(project, family, read_poser(project, family))

    def keep(self, project: Project, family: str, poser: Poser) -> None:
        """Poses the fits of a project's family with a model that was read."""
        self._project, self._posers[family] = project, poser

    @property
    def loaded(self) -> bool:
        """Whether fits can be posed."""
        return bool(self._posers)

    def clear(self) -> None:
        """Forgets the models of a project that was closed."""
        self._posers.clear()
        self._project = None
        self.problem = ""
        self._drawn.clear()
        self._posed.clear()

    def model(self, family: str) -> BodyModelData | None:
        """The body model of a family; None before the first one is loaded, or if it cannot be."""
        if not self.loaded or self._lack(family):
            return None
        poser = self._posers.get(family)
        return poser.body if poser is not None else None

    def _lack(self, family: str) -> str:
        """Loads a family when a fit of it is first looked at; the sentence that says why it cannot be."""
        if family in self._posers or self._project is None:
            return ""
        try:
            self.load(self._project, family)
        except NeuralAnnotError as error:
            return str(error)
        return ""

    def drawn(self, shelf: Shelf, fit: Fit) -> SceneMesh | str:
        """The mesh of a run's fit as `mesh` gives it; the last few are kept, because several views ask for each."""
        assert shelf.run is not None
        assert shelf.info is not None
        assert shelf.fits is not None
        key = (shelf.run.path, shelf.part, fit.key)
        found: SceneMesh | str | None = self._drawn.get(key)
        if found is None:
            header = shelf.fits.header
            found = self.mesh(fit, header.family, header.body_hash, shelf.info.annotator, shelf.run.id)
            if isinstance(found, SceneMesh):
                self._drawn[key] = found
                _drop_old(self._drawn)
        return found

    def posed(self, shelf: Shelf, fit: Fit) -> Posed | None:
        """One person as a run's fit poses him, without batch axes; None where `drawn` says why not."""
        assert shelf.run is not None
        assert shelf.fits is not None
        if isinstance(self.drawn(shelf, fit), str):
            return None
        key = (shelf.run.path, shelf.part, fit.key)
        if key not in self._posed:
            self._posed[key] = self._pose(fit, shelf.fits.header.family)
            _drop_old(self._posed)
        return self._posed[key]

    def _pose(self, fit: Fit, family: str) -> Posed:
        return self._posers[family].pose({**fit.parameters, "transl": fit.transl})

    def mesh(self, fit: Fit, family: str, body_hash: str, annotator: str, run: str = "") -> SceneMesh | str:
        """The posed mesh of a fit in its camera's space, or the sentence that says why there is none."""
        if fit.status != OK:
            return f"No mesh: {(fit.reason or 'the fit failed').rstrip('.')}."
        if lack := self._lack(family):
            return lack
        poser = self._posers.get(family)
        if poser is None:
            return f"The project's {family} body model is not loaded, so this fit cannot be drawn."
        if poser.body.hash != body_hash:
            return (
                f"This fit belongs to another body model ({body_hash}, the project has {poser.body.hash}); "
                "relink the right files to see it."
            )
        posed = self._pose(fit, family)
        camera = Intrinsics(*map(float, (*fit.focal, *fit.princpt)))
        color = run_color(annotator, run)
        rgb = (color.redF(), color.greenF(), color.blueF())
        return SceneMesh(posed.vertices.astype(np.float32), poser.body.faces, camera, rgb, name=annotator)


def _drop_old(kept: OrderedDict[tuple[Path, str, str], Any]) -> None:
    while len(kept) > _KEPT_FITS:
        kept.popitem(last=False)


def fit_mesh(shelf: Shelf | None, fit: Fit | None, bodies: Bodies) -> SceneMesh | str:
    """The mesh of the fit that is shown, or the sentence that says why there is none; empty while it may still come."""
    if shelf is None or shelf.run is None:
        return ""
    if fit is None:
        damaged = " that can be read" if shelf.damaged_fits else ""
        return f"This run has no fit of this person{damaged}."
    if not bodies.loaded or shelf.fits is None:
        return "No mesh without the body model." if bodies.problem else ""
    return bodies.drawn(shelf, fit)


def photo_scene(project: Project, shelf: Shelf, row: int, photos: Photos) -> Scene:
    """The photo of a person with his keypoints and the boxes of the others; its mesh comes later."""
    sample = shelf.sample(row)
    photo, message = None, ""
    try:
        photo = photos.get(project.photo_path(sample))
    except NeuralAnnotError as error:
        message = str(error)
    size = (sample.width, sample.height) if photo is None else (photo.shape[1], photo.shape[0])
    return Scene(size, photo, message, (), (points_of(sample),), sample.box, tuple(shelf.boxes_beside(row)))


def points_of(sample: Sample) -> Points2D:
    """The labelled points of a person as the overlay draws them."""
    skeleton = sample.skeleton
    return Points2D(sample.keypoints[:, :2], sample.keypoints[:, 2], skeleton.edges, skeleton.sides)
