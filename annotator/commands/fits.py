"""`fits`: fits that were made elsewhere are added to a project as a run of their own."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.bodies.files import BodyModelData, load_body_model
from annotator.bodies.prior_files import read_prior
from annotator.commands.choosing import chosen_datasets
from annotator.commands.run_grounds import told_of_others
from annotator.commands.table import Table, sentences
from annotator.errors import RunError, UnknownNameError
from annotator.fit import Fits
from annotator.homecoming import LEARNT_FROM, bring_home
from annotator.outside import resolved, short
from annotator.progress import Progress, Work
from annotator.project import TARGET, Project
from annotator.runs import ADDED, FINISHED, Run, RunInfo
from annotator.scores import write_2d_errors

if TYPE_CHECKING:
    from annotator.prior import PosePrior

FORMATS = ("smplifyx", "run")
_NAMED = 10
_ANNOTATORS = {"smplx": "smplifyx", "smpl": "smplify"}


def add_fits(path: Path, format: str, folder: Path, *, data: tuple[str, ...] = ()) -> Generator[Progress, None, Table]:
    """Makes a run of what `folder` holds. All of it is read before anything is written.

    Args:
        data: data sets whose people it is about; empty = all target sets. A run names its own.

    Raises:
        RunError: it is no such folder, or none of its results lies on anybody.
    """
    if format not in FORMATS:
        raise UnknownNameError("format of fits", format, FORMATS)
    project = Project.open(path)
    if format == "run":
        return (yield from _brought_home(project, folder, data))
    return (yield from _imported(project, folder, data))


def _brought_home(project: Project, folder: Path, data: tuple[str, ...]) -> Generator[Progress, None, Table]:
    if data:
        raise RunError("A run is brought home with all its data sets; leave out --data.")
    run = yield from bring_home(project, folder)
    count = sum(len(fits) for dataset, part in run.fitted if (fits := run.fits(dataset, part)) is not None)
    said = [f"Added {count:,} fits as the run {run.id}."]
    said += told_of_others(project, run)
    source = run.info.options.get(LEARNT_FROM)
    if source:
        said.append(
            f"It learnt from {source}, which this project does not have; a next round needs that run, so bring it home too."
        )
    return sentences(*said)


def _imported(project: Project, folder: Path, data: tuple[str, ...]) -> Generator[Progress, None, Table]:
    from annotator.annotators.imported import fits_of, give
    from annotator.annotators.official_results import read_results, to_parameters

    known = project.datasets()
    names = [
        name
        for name in chosen_datasets(project, data)
        if data or ("body" in known[name].parts and known[name].role == TARGET)
    ]
    yield Progress("Reading results", message=f"Reading the results in {folder}.")
    results = read_results(folder)
    root = project.body_model_root(results.family)
    body = load_body_model(root, results.family)
    notes = [f"They are taken as fits of {body.name}, the project's {results.family}: results name no body model."]
    if results.latent:
        notes.append(f"Their latents are decoded by {read_prior(root, 'vposer').name}, the project's VPoser.")
    if not results.settings:
        notes.append("There is no conf.yaml, so the focal length is taken to be 5000 px.")
    parameters = to_parameters(results, body, _vposer(root) if results.latent else None)
    tables: dict[str, Fits] = {}
    owner: dict[str, str] = {}
    left_over: list[int] = []
    for name in names:
        samples = project.samples(name, "body")
        given = give(results, parameters, samples, body)
        for row in (*given.results.tolist(), *given.left_over):
            before = owner.setdefault(results.photos[row], name)
            if before != name:
                raise RunError(
                    f"{before} and {name} both have a photo called {short(results.photos[row])}; say whose results these are "
                    f"with --data {before} or --data {name}."
                )
        left_over += given.left_over
        if len(given.people):
            tables[name] = fits_of(results, parameters, given, samples, body)
    if not tables:
        raise RunError(
            f"None of the {len(results.photos):,} results in {folder} is of a person of {', '.join(names) or 'a target set'}; "
            "nothing was added."
        )
    info = _info(results.family, folder, tables)
    with project.run_aside(info) as aside:
        yield from _written(project, aside, tables, body)
        current = project.place_run(aside, info)
    beside = [row for row, photo in enumerate(results.photos) if photo not in owner]
    count = sum(len(fits) for fits in tables.values())
    return sentences(
        f"Added {count:,} of {len(results.photos):,} results as the run {current.id}.",
        *_left_out("lie on a photo that the project does not have", [results.names[row] for row in beside]),
        *_left_out("lie on nobody who has no better one", [results.names[row] for row in left_over]),
        *_left_out(
            "hold numbers that are not finite or beyond a million; their fits are marked failed",
            [name for name, why in zip(results.names, results.reasons, strict=True) if why],
        ),
        *notes,
    )


def _vposer(root: Path) -> PosePrior:
    from annotator.prior import default_vposer  # torch, which only latents need

    return default_vposer(root)


def _info(family: str, folder: Path, tables: dict[str, Fits]) -> RunInfo:
    annotator = _ANNOTATORS[family]
    part = next(iter(tables.values())).header.part
    return RunInfo(
        id=f"{annotator}-added",
        annotator=annotator,
        recipe="",
        datasets=tuple(tables),
        parts=(part,),
        state=FINISHED,
        options={ADDED: str(resolved(folder))},
    )


def _written(project: Project, current: Run, tables: dict[str, Fits], body: BodyModelData) -> Work:
    for name, fits in tables.items():
        fits.write(current.shard_path(name, fits.header.part, 0))
        yield Progress(f"Adding to {name}", len(fits), len(fits), "people")
        yield from write_2d_errors(current, name, project.samples(name, "body"), body, part=fits.header.part)


def _left_out(why: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return [f"{len(names):,} {why}: {', '.join(short(name) for name in names[:_NAMED])}{more}."]
