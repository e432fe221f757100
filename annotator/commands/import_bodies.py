"""`bodies import`: official downloads into a body-model folder or a project. Everything is read and checked before anything is written."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from annotator.bodies import importing
from annotator.bodies.files import read_model
from annotator.bodies.hands import lend_hands
from annotator.bodies.layouts import CONTOUR_KEYS, FACE_KEYS, models_in
from annotator.bodies.points import HAND_POINTS
from annotator.bodies.prior_files import write_prior
from annotator.bodies.regressors import regressor_path
from annotator.bodies.written import write_named
from annotator.commands.projects import families_in, is_project
from annotator.commands.table import Table
from annotator.errors import BodyModelError
from annotator.outside import exists
from annotator.progress import Progress
from annotator.project import Project
from annotator.projectfile import BodyModelSource
from annotator.skeleton import SKELETONS
from annotator.wholefile import remove_halves

_NETWORKS = {".pt", ".ckpt"}
_MOST_REASONS = 3
_COLUMNS = ("model", "gender", "hash", "from")


def import_bodies(source: Path, into: Path) -> Generator[Progress, None, Table]:
    """Takes official downloads in, as plain files of our own; nothing in them is executed.

    Args:
        source: a file, or a folder of them: models, FLAME's landmarks, VPoser, `gmm_08.pkl`, joint regressors.
        into: a body-model folder, which is made if need be, or a project, whose copies of the models are replaced.

    Raises:
        BodyModelError: there is nothing to import, a file is damaged or asks for code, or the project cannot take it in.
            Then nothing was written.
    """
    target, project = _target(into)
    haul, (plain, networks) = importing.Haul(), _files(source)
    for number, path in enumerate(plain):
        yield Progress("Reading", number, len(plain), "files")
        importing.take(path, haul)
    _take_one_of_twins(haul)
    note = importing.mend_left_hand(haul.models, target)
    lend_hands(haul.models, target)
    priors = _priors(networks, haul)
    whole = [(found, importing.complete(found, haul.embeddings)) for found in haul.models]
    _require_one_each(f"{found.name} {found.gender}" for found, _ in whole)
    _require_same_landmarks(whole, target)
    regressors = _regressors(haul, target)
    if project is not None:
        _require_no_fits(project, haul)
    remove_halves(target)
    rows: list[tuple[str, ...]] = []
    for number, (found, arrays) in enumerate(whole):
        yield Progress("Writing", number, len(whole), "models")
        rows.append((found.name, found.gender, importing.write(found, arrays, target), str(found.path)))
    for kind, (values, path) in priors.items():
        rows.append((kind, "", importing.write_loose(partial(write_prior, target, kind), values, path), str(path)))
    for name, (values, path) in regressors.items():
        digest = importing.write_loose(partial(write_named, regressor_path(target, name)), {"rows": values}, path)
        rows.append((f"points {name}", "", digest, str(path)))
    if not rows:
        raise BodyModelError(_nothing(source, haul))
    if project is not None:
        project.set_body_models({f: BodyModelSource(target, digest) for f, digest in families_in(target).items()})
    passed = [f"{path} was passed over: {why}." for path, why in haul.passed_over]
    return Table("", _COLUMNS, tuple(rows), tuple(filter(None, (note, *passed))))


def _nothing(source: Path, haul: importing.Haul) -> str:
    """Why not one file was imported: the reason of each that was passed over, or of the first few."""
    if not haul.passed_over:
        return (
            f"{source} holds nothing that is a body model, a prior or a joint regressor; give the folder of a download."
        )
    reasons = [f"{'it' if path == source else path.name} is {why}" for path, why in haul.passed_over[:_MOST_REASONS]]
    if more := len(haul.passed_over) - len(reasons):
        reasons.append(f"and so on for {more} more")
    advice = "" if haul.regressors else "; give the folder of a download"
    return f"{source} holds nothing to import: {'; '.join(reasons)}{advice}."


def _files(source: Path) -> tuple[list[Path], list[Path]]:
    """Files that hold arrays, and those that hold networks."""
    if not exists(source):
        raise BodyModelError(f"There is nothing at {source}; check the path.")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    plain = [path for path in files if path.suffix.lower() in importing.SUFFIXES]
    networks = [path for path in files if path.suffix.lower() in _NETWORKS]
    if not plain and not networks:
        raise BodyModelError(f"{source} has no .pkl, .npz, .npy, .pt or .ckpt file; give the folder of a download.")
    return plain, networks


def _target(into: Path) -> tuple[Path, Project | None]:
    """The body-model folder to write to, and the project whose it is."""
    if not is_project(into):
        return into, None
    project, target = Project.open(into), into / "body_models"
    for source in project.body_models.values():
        if source.folder != target.resolve():
            raise BodyModelError(
                f"The project {into} uses the body models in {source.folder}, which are not its own copies; import into "
                "that folder."
            )
    return target, project


def _require_no_fits(project: Project, haul: importing.Haul) -> None:
    if haul.models and (project.runs() or project.damaged_runs()):
        raise BodyModelError(
            f"The project {project.path} has runs, whose fits belong to its present body models; import into a folder and "
            "make a new project with `new PROJECT --body-models FOLDER`."
        )


def _take_one_of_twins(haul: importing.Haul) -> None:
    """Of a model that lies there both as npz and as pickle, as the smplx package's folders have it, the npz counts."""
    npz = {found.path.with_suffix("") for found in haul.models if found.path.suffix.lower() == ".npz"}
    twins = [f for f in haul.models if f.path.suffix.lower() == ".pkl" and f.path.with_suffix("") in npz]
    for found in twins:
        haul.models.remove(found)
        haul.passed_over.append((found.path, f"{found.path.stem}.npz beside it is the same model, and was taken"))


def _require_same_landmarks(whole: Iterable[tuple[importing.Found, dict[str, np.ndarray]]], target: Path) -> None:
    """FLAME's landmarks lie once in a folder, for all models there, and each model's hash counts them."""
    for found, arrays in whole:
        others = [gender for name, gender in models_in(target) if name == "flame" and gender != found.gender]
        if found.name != "flame" or not others:
            continue
        there = read_model(target, "flame", others[0], dense_posedirs=False)
        for key in (*FACE_KEYS, *CONTOUR_KEYS):
            if not np.array_equal(arrays.get(key, ()), there.get(key, ())):
                raise BodyModelError(
                    f"{found.path} comes with other landmarks than the {others[0]} FLAME that is in {target}, and a folder "
                    "holds one set; import it into a folder of its own, or with the same landmark files beside it."
                )


def _require_one_each(models: Iterable[str]) -> None:
    seen: set[str] = set()
    for model in models:
        if model in seen:
            raise BodyModelError(
                f"There are two files of the model {model}; import them one by one, into folders of their own."
            )
        seen.add(model)


def _priors(networks: list[Path], haul: importing.Haul) -> dict[str, tuple[dict[str, np.ndarray], Path]]:
    """Arrays and file of every prior that is taken, by kind, after a look at whether they are what they seem."""
    if haul.mixture is not None:
        from annotator.prior.mixture import mixture_of

        mixture_of(*haul.mixture)
    found = {"vposer": _vposer(networks, haul), "gmm": haul.mixture}
    return {kind: prior for kind, prior in found.items() if prior is not None}


def _vposer(networks: list[Path], haul: importing.Haul) -> tuple[dict[str, np.ndarray], Path] | None:
    """The one VPoser that is taken; every other file of one is named among those passed over.

    Of a folder of snapshots the newest counts. Of several VPosers version 1 is taken, for which SMPLify-X's weights are.
    """
    if not networks and not haul.own_networks:
        return None  # and torch, which takes longer to import than a body model, is left alone
    from annotator.prior.checkpoints import load_vposer, newest_snapshot, vposer_from
    from annotator.prior.vposer import VPoser

    loaded = [(vposer_from(arrays, path), path) for arrays, path in haul.own_networks]
    for path in networks:
        newest = newest_snapshot(path.parent.parent) if path.parent.name == "snapshots" and len(networks) > 1 else path
        if path == newest:
            loaded.append((load_vposer(path), path))
        else:
            haul.passed_over.append((path, f"{newest.name} is a newer snapshot of the same VPoser"))
    loaded.sort(key=lambda found: not isinstance(found[0], VPoser))
    (network, path), others = loaded[0], loaded[1:]
    for _, other in others:
        haul.passed_over.append(
            (other, f"a folder holds one VPoser, and {path} was taken; import this file alone to use it")
        )
    return {name: values.numpy() for name, values in network.state_dict().items()}, path


def _regressors(haul: importing.Haul, target: Path) -> dict[str, tuple[np.ndarray, Path]]:
    """Those whose rows are over the vertices of a model that is there or comes along, by the names of their points."""
    if not haul.regressors:
        return {}  # and the models that are there, which take as long to read as one to import, are left alone
    counts = {len(found.arrays["v_template"]) for found in haul.models}
    counts |= {len(read_model(target, *model, dense_posedirs=False)["v_template"]) for model in models_in(target)}
    taken: dict[str, tuple[np.ndarray, Path]] = {}
    for rows, path in haul.regressors:
        name, vertices = path.stem, rows.shape[1]
        if vertices not in counts:
            why = f"a joint regressor over {vertices} vertices, as no model here has (import that model first or beside it)"
            haul.passed_over.append((path, why))
        elif name in taken or name in SKELETONS or name in HAND_POINTS.values():
            raise BodyModelError(f"{path} would be the points '{name}', which there are already; rename the file.")
        else:
            taken[name] = rows, path
    return taken
