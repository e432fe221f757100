"""A run folder that was made on another machine becomes a run of this project, if it is about the same people and bodies.

The folder is material from outside. Only what a run is known to have is taken, each piece read by the reader that the
program uses for it: tables by Arrow, weights as safetensors, settings as TOML and JSON. The state for a resume, which is
a pickle, stays behind; links are refused. All is written aside and renamed, so a run comes home whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from annotator.annotators import LEARNS
from annotator.columns import read_shards
from annotator.errors import NeuralAnnotError, ProjectError, RunError, storage
from annotator.fit import CAMERA, FAILED, OK, PARAMETERS, Fits
from annotator.outside import NAME, is_dir, resolved, short
from annotator.part import BODY, PARTS, WHOLE
from annotator.progress import Progress
from annotator.project import TARGET, Project
from annotator.recipe import read_recipe
from annotator.reviews import frozen
from annotator.runs import ADDED, FINISHED, SAMPLES, Run, RunInfo
from annotator.sample import is_named

_STAGE = "Bringing the run home"
_PARTS = ("body", "rhand", "lhand", "face", WHOLE)
_WORDS = {*PARTS, WHOLE}
_WEIGHTS = ("last.safetensors", "best.safetensors")
_NAMED = 3
MADE_AS, LEARNT_FROM = "made_as", "learnt_from"
"""Options of a run that was brought home: the id it had where it was made, and that of a run it learnt from and that is not here."""


def bring_home(project: Project, folder: Path) -> Generator[Progress, None, Run]:
    """Copies the run in `folder` into the project; a number is added to its id if that is taken.

    Raises:
        RunError: it is no run, is not finished, is not about this project's people and body models, or is damaged.
    """
    run = Run(folder)
    info = _info(project, run)
    with project.run_aside(info) as copy:
        for dataset, part in _fitted(project, run):
            yield Progress(_STAGE, message=f"Checking the {part} fits of {dataset}.")
            keys = _check_fits(project, run, dataset, part)
            for shard in run.shards(dataset, part):
                _copy(run, copy, shard)
            _take_scores(run, copy, dataset, part, keys)
        for file in _networks(run):
            yield Progress(_STAGE, message=f"Copying {file.parent.name}.")
            _copy(run, copy, file)
        _take_papers(run, copy)
        home = project.place_run(copy, info)
    _awaited(project)
    return home


def _info(project: Project, run: Run) -> RunInfo:
    if not is_dir(run.path) or not (run.path / "run.json").is_file():
        raise RunError(
            f"{run.path} is no run folder: it has no run.json; give one that lies below `runs` of a project."
        )
    if resolved(run.path).parent == resolved(project.path / "runs"):
        raise RunError(f"{run.path} is a run of this project already.")
    _require_plain(run, run.path / "run.json")
    try:
        info = run.info
    except ProjectError as error:
        raise RunError(f"{run.path / 'run.json'} cannot be read; copy the run folder again.") from error
    if not NAME.fullmatch(info.id) or not NAME.fullmatch(info.annotator):
        raise RunError(f"{run.path / 'run.json'} names a run '{short(info.id)}', which is no name of a run.")
    if run.state != FINISHED:
        raise RunError(f"The run in {run.path} is {short(run.state)}; resume it where it was made, then copy it again.")
    unknown = [name for name in info.datasets if name not in project.datasets()]
    if unknown:
        raise RunError(
            f"The run in {run.path} is over the data set {short(unknown[0])}, which this project does not have; import it "
            "under that name first."
        )
    if info.round < 1 or not set(info.parts) <= _WORDS:
        raise RunError(
            f"{run.path / 'run.json'} names a round or a part that there is none of; copy the run folder again."
        )
    options = {**info.options, ADDED: str(resolved(run.path)), MADE_AS: info.id}
    source = _source_here(project, info)
    if info.source and not source:
        options[LEARNT_FROM] = info.source
    return replace(info, options=options, source=source)


def _source_here(project: Project, info: RunInfo) -> str:
    """Id of the run here that a run learnt from; empty where there is none. Ids repeat from one machine to the next."""
    for run in project.runs() if info.source else ():
        if info.annotator == LEARNS and (run.info.annotator, run.info.round) != (LEARNS, info.round - 1):  # no circle
            continue
        made_as = run.info.options.get(MADE_AS)
        same = info.source_created == run.info.created if info.source_created else made_as is not None
        if same and info.source == (made_as or run.info.id):
            return run.id
    return ""


def _awaited(project: Project) -> None:
    """Tells runs that came before the one that they learnt from that it is here now."""
    for run in project.runs():
        options = dict(run.info.options)
        learnt_from = options.pop(LEARNT_FROM, "")
        if learnt_from and (source := _source_here(project, replace(run.info, source=learnt_from))):
            run.write_info(replace(run.info, source=source, options=options))


def _fitted(project: Project, run: Run) -> list[tuple[str, str]]:
    pairs = run.fitted
    for dataset, part in pairs:
        if part not in _PARTS or dataset not in run.info.datasets:
            raise RunError(f"{run.fits_folder(dataset, part)} holds fits that run.json says nothing of; copy it again.")
    if not pairs:
        raise RunError(f"The run in {run.path} has no fits; copy the run folder again, with all that is in it.")
    for dataset, part in _promised(project, run.info):
        if (dataset, part) not in pairs:
            raise RunError(f"The run in {run.path} lacks its {part} fits of {dataset}; copy the run folder again.")
    return pairs


def _promised(project: Project, info: RunInfo) -> Iterator[tuple[str, str]]:
    """Data sets and parts that a finished run over everybody has fits of."""
    known = project.datasets()
    others = [table for word in info.parts if word not in (BODY.word, WHOLE) for table in PARTS[word].tables]
    for dataset in info.datasets if not info.samples else ():
        has = known[dataset].parts
        for word in info.parts if known[dataset].role == TARGET else ():
            if word != WHOLE:
                yield from ((dataset, table) for table in PARTS[word].tables if has.get(table))
            elif has.get("body") and (info.annotator != LEARNS or any(map(has.get, others))):
                yield dataset, word


def _check_fits(project: Project, run: Run, dataset: str, part: str) -> set[str]:
    """Sample keys of the fits, when every table is whole, finite, and about this project's people and body model."""
    place = run.fits_folder(dataset, part)
    for number, shard in enumerate(run.shards(dataset, part)):
        _require_plain(run, shard)
        if shard != run.shard_path(dataset, part, number):
            raise RunError(f"{run.shard_path(dataset, part, number)} is missing; copy the run folder again.")
    try:
        fits = run.fits(dataset, part)
        assert fits is not None
        _check_numbers(fits, part)
        keys, index = fits.keys, fits.index_of
    except (NeuralAnnotError, KeyError, ValueError, TypeError, AttributeError, UnicodeError) as error:
        raise RunError(f"{place} holds no fits that can be read; copy the run folder again.") from error
    family = fits.header.family
    own = project.body_models.get(family)
    if own is None or fits.header.body_hash not in own.hash.split("-"):  # two for hands
        raise RunError(
            f"The {part} fits of {dataset} in {run.path} belong to another {family} body model than the project's; give the "
            "project the one that the run was made with."
        )
    if len(index) != len(keys):
        raise RunError(f"{place} has several fits of one sample; copy the run folder again.")
    known = project.samples(dataset, "body" if part == WHOLE else part).index_of
    if unknown := [key for key in keys if key not in known]:
        some = ", ".join(short(str(key)) for key in unknown[:_NAMED])
        raise RunError(
            f"{len(unknown):,} fits of {dataset} in {run.path} are of samples that this project does not have, such as {some}; "
            "import the same annotations in both places."
        )
    everybody = bool(run.info.recipe)  # results of another program are of some
    named = frozenset(run.info.samples)
    lacking = [key for key in known if key not in index and (not named or is_named(key, named))]
    if lacking and everybody and _same_samples(project, run, dataset):
        raise RunError(
            f"{len(lacking):,} {part} fits of {dataset} are missing in {run.path}, such as {short(lacking[0])}; copy the run "
            "folder again, or import the same annotations in both places."
        )
    return set(keys)


def _same_samples(project: Project, run: Run, dataset: str) -> bool:
    """Whether a data set is what the run was over, as far as that says; else people may have come since."""
    digest = project.table_digests([dataset])[dataset]
    return run.info.grounds.get(SAMPLES + dataset, digest) == digest


def _check_numbers(fits: Fits, part: str) -> None:
    if fits.header.part != part or not set(fits.table["status"].to_pylist()) <= {OK, FAILED}:
        raise ValueError
    if not all(isinstance(reason, str) for reason in fits.table["reason"].to_pylist()):
        raise ValueError
    for name in {**PARAMETERS[fits.header.family], **CAMERA}:
        if not np.isfinite(fits.column(name)).all():
            raise ValueError


def _take_scores(run: Run, copy: Run, dataset: str, part: str, keys: set[str]) -> None:
    """Scores that can be read; the others can be computed again."""
    for file in sorted(run.score_path(dataset, part, "any").parent.glob("*.arrow")):
        if not NAME.fullmatch(file.stem):
            continue
        _require_plain(run, file)
        try:
            values = run.score(dataset, part, file.stem) or {}
        except (NeuralAnnotError, KeyError, ValueError, TypeError):
            continue
        if set(values) <= keys:
            copy.write_score(dataset, part, file.stem, list(values), list(values.values()))


def _networks(run: Run) -> Iterable[Path]:
    """Weights, each of which says itself what it holds; nothing in them is executed."""
    from safetensors import SafetensorError, safe_open

    for folder in sorted((run.path / "networks").glob("*")):
        for name in (*_WEIGHTS, "losses.jsonl"):
            file = folder / name
            if not NAME.fullmatch(folder.name) or not file.exists():
                continue
            _require_plain(run, file)
            if name in _WEIGHTS:
                try:
                    with safe_open(str(file), "numpy") as weights:
                        opened: Any = weights
                        list(opened.keys())
                except (SafetensorError, OSError) as error:
                    raise RunError(f"The weights {file} cannot be read; copy the run folder again.") from error
            yield file


def _take_papers(run: Run, copy: Run) -> None:
    """Recipe, verdicts, events and log."""
    if run.recipe_path.exists():
        _require_plain(run, run.recipe_path)
        read_recipe(run.recipe_path, run.info.recipe)
    if run.verdicts_path.exists():
        _require_plain(run, run.verdicts_path)
        try:
            read_shards([run.verdicts_path])
            frozen(run.verdicts_path)
        except (NeuralAnnotError, KeyError, ValueError, TypeError) as error:
            raise RunError(f"{run.verdicts_path} holds no verdicts; copy the run folder again.") from error
    for file in (run.recipe_path, run.verdicts_path, run.job.events_path, run.job.log_path):
        if file.exists():
            _require_plain(run, file)
            _copy(run, copy, file)


def _copy(run: Run, copy: Run, file: Path) -> None:
    target = copy.path / file.relative_to(run.path)
    with storage(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def _require_plain(run: Run, file: Path) -> None:
    """Refuses what is no file, or leads out of the run's folder."""
    if not file.is_file() or resolved(file) != resolved(run.path) / file.relative_to(run.path):
        raise RunError(f"{file} is not a plain file; copy the run folder again, without links.")
