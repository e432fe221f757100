"""`run`: makes fits. Checks all that can be refused first, then works in the run's folder, where it can be stopped and resumed."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from annotator import ranks
from annotator.annotators import ANNOTATORS, FAMILY_OF, PARTS_OF
from annotator.annotators.fitted import fitted_tables
from annotator.bodies.files import BodyModelData, load_body_model
from annotator.cache import trim_cache
from annotator.commands.choosing import body_of, chosen_samples, covers, named_samples
from annotator.commands.run_eft import EFT, eft_recipe, network_run, targets_of
from annotator.commands.run_fitting import check_optimiser, fitted_parts, optimise, optimise_part, warm_start
from annotator.commands.run_parts import WHOLE, check_body_model, chosen_parts, learnt, left_out, parts_in_round, single
from annotator.commands.run_verdicts import told, verdicts_of
from annotator.commands.table import bytes_text
from annotator.errors import AGAIN, RunError, StorageError, UnknownNameError
from annotator.part import PARTS, Part, part_in
from annotator.progress import Progress, Work
from annotator.project import AUXILIARY, TARGET, Project
from annotator.recipe import LEARNT, Recipe, load_recipe, read_recipe
from annotator.reviews import ReviewLog, freeze
from annotator.runs import FINISHED, RUNNING, Run, RunInfo, write_text

_PACKAGES = ("torch", "torchvision", "numpy", "numba", "opencv-python-headless", "pyarrow")
DEVICES = ("auto", "cpu", "cuda")
_DEFAULT = "neuralannot"
"""The annotator that learns: its `--from` is the earlier round."""


@dataclass(frozen=True)
class RunOptions:
    """What the command line says; None where it says nothing, so that a resumed run can tell what contradicts it.

    Attributes:
        annotator: default neuralannot. recipe: default paper. round: default 1.
        data: data sets to use; empty = all of the project.
        samples: keys with commas, or a file with one a line; empty = all samples of those data sets.
        source: the run that `--from` names.
        resume: id of the run to go on with; "" = none, "newest" = the newest that is not finished.
    """

    annotator: str | None = None
    data: tuple[str, ...] = ()
    samples: str = ""
    parts: tuple[str, ...] = ()
    recipe: str | None = None
    round: int | None = None
    source: str = ""
    resume: str = ""
    device: str = "auto"


def run(path: Path, options: RunOptions) -> Work:
    """Makes a run, or goes on with one.

    Raises:
        RunError: it cannot start; no folder was made.
    """
    project = Project.open(path)
    if options.device.partition(":")[0] not in DEVICES:
        raise UnknownNameError("device", options.device, DEVICES)
    with ranks.joined():
        make = _resumed if options.resume else _new
        current = project.run(ranks.named_by_leader(lambda: make(project, options).id))
        work = ranks.polite(_work(project, current, ranks.own_device(options.device)), current.job.stop_path)
        work = _resumable(work, path, current)
        yield from current.job.record(work, on_end=current.set_state) if ranks.leads() else work


def _resumable(work: Work, path: Path, current: Run) -> Work:
    try:
        yield from work
    except StorageError as error:
        raise StorageError(str(error).replace(AGAIN, f"go on with `run {path} --resume {current.id}`")) from error


def _new(project: Project, options: RunOptions) -> Run:
    annotator, number = options.annotator or _DEFAULT, 1 if options.round is None else options.round
    if annotator not in ANNOTATORS:
        raise UnknownNameError("annotator", annotator, ANNOTATORS)
    if wrong := set(options.parts) - set(PARTS_OF[annotator]):
        raise UnknownNameError("part", min(wrong), PARTS_OF[annotator])
    if number < 1:
        raise RunError(f"There is no round {number}; the first is round 1.")
    optimises = annotator in FAMILY_OF
    if number > 1 and optimises:
        raise RunError(f"{annotator} learns nothing, so it has no round {number}; leave out --round.")
    if options.source and number == 1 and annotator == _DEFAULT:
        raise RunError(
            "Round 1 learns from no earlier run; say which round is meant with --round, or leave out --from."
        )
    begun = _beginning(project, annotator, number, options)
    before, recipe = begun.before, begun.recipe
    info = RunInfo(
        id=f"{annotator}-r{number}",
        annotator=annotator,
        recipe=recipe.name,
        round=number,
        source=before.id if before is not None else "",
        source_created=before.info.created if before is not None else "",
        datasets=begun.datasets,
        samples=begun.samples,
        parts=begun.parts,
        versions=_versions(),
        machine={"system": platform.platform(), "python": platform.python_version(), "cores": str(os.cpu_count())},
    )
    made = project.new_run(info)
    write_text(made.recipe_path, recipe.text(annotator))
    if before is not None and annotator == _DEFAULT:
        judgements = ReviewLog(project.reviews_path).judgements().values()
        freeze((judgement for judgement in judgements if judgement.fit.run == before.id), made.verdicts_path)
    return made


@dataclass(frozen=True)
class _Beginning:
    """What a run begins with; `before` is the run that it learns from, starts from or tunes."""

    recipe: Recipe
    datasets: tuple[str, ...]
    samples: tuple[str, ...]
    parts: tuple[str, ...]
    before: Run | None


def _beginning(project: Project, annotator: str, number: int, options: RunOptions) -> _Beginning:
    """Checks what each annotator needs."""
    if annotator == EFT:
        return _tuning(project, number, options)
    recipe = load_recipe(options.recipe or "paper")
    optimises = annotator in FAMILY_OF
    wanted = fitted_tables(annotator, options.parts or PARTS_OF[annotator][:1]) if optimises else ()
    tables = tuple(dict.fromkeys(table.samples for table in wanted))
    datasets, samples = chosen_samples(project, options.data, options.samples, need_target=not optimises, tables=tables)
    before = None
    if optimises:
        parts = fitted_parts(project, annotator, datasets, options.parts)
        before = warm_start(project, annotator, options.source, datasets, parts)
        check_optimiser(project, annotator, recipe, parts, options.device)
    else:
        parts = chosen_parts(project, recipe, datasets, options.parts)
        if number > 1:
            before = _before(project, annotator, number, options.source, datasets, samples, parts[0])
            parts = parts_in_round(before, parts, options.parts)
            _check_chain(project, before, datasets, recipe, parts)
        for word in single(parts):
            _load_bodies(project, part_in(word, recipe))
        _check_files(project, recipe, parts)
    return _Beginning(recipe, datasets, samples, parts, before)


def _tuning(project: Project, number: int, options: RunOptions) -> _Beginning:
    if number > 1:
        raise RunError(f"eft learns nothing from verdicts, so it has no round {number}; leave out --round.")
    before = network_run(project, options.source)
    datasets, samples = chosen_samples(project, options.data, options.samples)
    recipe = eft_recipe(options.recipe, before)
    _load_bodies(project, part_in("body", recipe))
    return _Beginning(recipe, targets_of(project, datasets), samples, PARTS_OF[EFT], before)


def _resumed(project: Project, options: RunOptions) -> Run:
    if options.resume != "newest":
        found = project.run(options.resume)
    else:
        unfinished = [r for r in reversed(project.runs()) if r.state != FINISHED and not r.job.alive]
        if not unfinished:
            raise RunError(f"{project.path} has no unfinished run to resume; start one with `run`.")
        found = unfinished[0]
    if found.state == FINISHED:
        raise RunError(f"The run {found.id} is finished; there is nothing to resume.")
    if "added" in found.info.options:
        raise RunError(f"The run {found.id} was added from a folder, not made here; remove it and add that again.")
    for name, part in found.fitted:
        if (fits := found.fits(name, part)) is not None:
            body_of(project, found, fits)
    if unlike := list(_contradictions(project, found, options)):
        raise RunError(
            f"{found.id} goes on as it was started, with {' and '.join(unlike)}; leave out what contradicts that, or start "
            "a new run without --resume."
        )
    return found


def _contradictions(project: Project, found: Run, options: RunOptions) -> Iterator[str]:
    """What the run was started with, for every option that says otherwise."""
    info = found.info
    if options.annotator not in (None, info.annotator):
        yield f"--annotator {info.annotator}"
    if options.round not in (None, info.round):
        yield f"--round {info.round}"
    if options.source not in ("", info.source):
        yield f"--from {info.source}" if info.source else "no --from"
    if options.parts and set(options.parts) != set(info.parts):
        yield f"--parts {','.join(info.parts)}"
    if options.data and set(options.data) != set(info.datasets):
        yield f"--data {','.join(info.datasets)}"
    if options.recipe is not None and not _same(load_recipe(options.recipe), _stored_recipe(found), info):
        yield f"the recipe {info.recipe} as it was then"
    if options.samples and set(named_samples(project, options.samples)) != set(info.samples):
        yield f"{len(info.samples):,} other --samples" if info.samples else "no --samples"


def _stored_recipe(current: Run) -> Recipe:
    return read_recipe(current.recipe_path, current.info.recipe)


def _same(one: Recipe, other: Recipe, info: RunInfo) -> bool:
    """Whether two recipes say the same of what a run reads of them."""
    if info.annotator in FAMILY_OF:
        return one.table(info.annotator) == other.table(info.annotator)
    if info.annotator == EFT:
        return one.eft == other.eft
    names = [PARTS[word].name for word in single(info.parts)]
    optimised = any(not other.has_network(name) for name in names)
    same = all(one.part(name) == other.part(name) for name in names)
    return same and (one.smplifyx == other.smplifyx or not optimised)


def _before(
    project: Project,
    annotator: str,
    round: int,
    source: str,
    datasets: tuple[str, ...],
    samples: tuple[str, ...],
    part: str,
) -> Run:
    """The run of the round before: the one that is named, or the newest finished one with a fit of everybody who is used."""
    if source:
        found = project.run(source)
        if found.state != FINISHED:
            raise RunError(f"Round {round} cannot learn from {found.id}: it is {found.state}; resume it first.")
        if (found.info.annotator, found.info.round) != (annotator, round - 1):
            raise RunError(
                f"Round {round} learns from a {annotator} run of round {round - 1}; {found.id} is a "
                f"{found.info.annotator} run of round {found.info.round}."
            )
        return found
    targets = [name for name in datasets if project.datasets()[name].role == TARGET]
    tables = [(name, t) for name in targets for t in PARTS[part].tables if project.datasets()[name].parts.get(t)]
    wanted = {(name, table): set(project.samples(name, table).keys) for name, table in tables}
    if samples:
        wanted = {table: keys & set(samples) for table, keys in wanted.items()}
    finished = [
        r
        for r in reversed(project.runs())
        if (r.info.annotator, r.info.round, r.state) == (annotator, round - 1, FINISHED)
    ]
    for found in finished:
        if all(covers(found, name, keys, table) for (name, table), keys in wanted.items()):
            return found
    if finished:
        raise RunError(
            f"Round {round} learns from a run of round {round - 1} that has a fit of every target sample, and none has; "
            "name one with --from, or choose fewer people with --data or --samples."
        )
    raise RunError(f"Round {round} learns from a finished run of round {round - 1}, and there is none; run that first.")


def _check_chain(
    project: Project, before: Run, datasets: tuple[str, ...], recipe: Recipe, parts: tuple[str, ...]
) -> None:
    known = project.datasets()
    first = _chain(project, before.id)
    assert first is not None
    check_body_model(project, before, datasets, recipe, parts)
    for part in (PARTS[word] for word in learnt(parts, recipe)):
        for name in datasets:
            used = known[name].role == AUXILIARY and recipe.part(part.name).uses(name)
            if used and any(known[name].parts.get(t) and not first.shards(name, t) for t in part.tables):
                raise RunError(
                    f"A later round reuses the auxiliary fits of {first.id}, and it has none of {name}; "
                    "leave that data set out with --data, or begin a new chain with a run of round 1."
                )


def _chain(project: Project, source: str) -> Run | None:
    """The first run of the chain that `source` ends, whose auxiliary fits and prior later rounds share; None in round 1."""
    first: Run | None = None
    while source:
        first = project.run(source)
        source = first.info.source
    return first


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # numba may be absent
            found[name] = metadata.version(name)
    return found


def _check_files(project: Project, recipe: Recipe, parts: tuple[str, ...]) -> None:
    from annotator.backbone import starting_weights

    known = project.datasets()
    auxiliary = [name for name, info in known.items() if info.role == AUXILIARY]
    for word in learnt(parts, recipe):
        table, tables = recipe.part(PARTS[word].name), PARTS[word].tables
        if unknown := [name for name in table.named if name not in auxiliary]:
            raise UnknownNameError("auxiliary set", unknown[0], auxiliary)
        if empty := [name for name in table.named if not any(known[name].parts.get(part) for part in tables)]:
            raise RunError(
                f"The recipe names {empty[0]} as an auxiliary set of the part {word}, and it has no samples of that; name "
                "others in `auxiliary`."
            )
        starting_weights(table.backbone, table.weights)
    if "body" in parts and recipe.body.prior != LEARNT:
        from annotator.prior import load_vposer

        load_vposer(Path(recipe.body.prior))


def _load_bodies(project: Project, part: Part) -> dict[str, BodyModelData]:
    root = project.body_model_root(part.family)
    return {table: load_body_model(root, name) for table, name in part.models.items()}


def _work(project: Project, current: Run, device: str) -> Work:
    if ranks.leads():
        current.set_state(RUNNING)
    _tune_allocator()
    if current.info.annotator in FAMILY_OF:
        _note_machine(current, "cpu" if device == "auto" else device)
        yield from optimise(project, current, device)
        return
    import torch

    from annotator.integration import join
    from annotator.procedure import Procedure

    recipe = _stored_recipe(current)
    tunes = current.info.annotator == EFT
    networks = learnt(current.info.parts, recipe)
    if not tunes and any(recipe.part(PARTS[word].name).weights == "none" for word in networks):
        yield Progress("Starting", message=f"The recipe {recipe.name} starts its networks from random weights.")
    info = current.info
    before = project.run(info.source) if info.source else None
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RunError("torch finds no GPU that it can use; run with --device cpu, and see `doctor`.")
    found = ranks.own_device("cuda") if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device if device != "auto" else found)
    _note_machine(current, str(chosen))
    yield from ranks.leader_only(_trimmed(project))
    for word, reason in left_out(project, recipe, info.datasets, None if tunes else before).items():
        if word not in info.parts and not tunes:
            yield Progress("Starting", message=reason)
    verdicts = verdicts_of(current)
    yield from told(before if not tunes else None, verdicts)
    for word in single(info.parts):
        part = part_in(word, recipe)
        if word not in networks:
            yield from optimise_part(project, current, recipe, word)
            continue
        procedure = Procedure(
            project=project,
            run=current,
            recipe=replace(recipe.part(part.name), weights="none") if tunes else recipe.part(part.name),
            part=part,
            bodies=_load_bodies(project, part),
            device=chosen,
            data=info.datasets,
            keys=frozenset(info.samples),
            chain=None if tunes else _chain(project, info.source),
            before=None if tunes else before,
            verdicts=verdicts,
            tuned=before if tunes else None,
        )
        yield from procedure.refine(before, recipe.eft) if before is not None and tunes else procedure.algorithm1()
    for name in info.datasets if WHOLE in info.parts else ():
        yield from ranks.leader_only(join(project, current, name))
    yield from ranks.leader_only(_trimmed(project))


def _note_machine(current: Run, device: str) -> None:
    if ranks.leads():
        info = current.info
        machine = {**info.machine, "device": device, "processes": str(ranks.count())}
        current.write_info(replace(info, machine=machine))


def _trimmed(project: Project) -> Work:
    if freed := trim_cache(project):
        limit = bytes_text(round(project.cache_bytes))
        yield Progress("Starting", message=f"Removed {bytes_text(freed)} from the cache, whose limit is {limit}.")


def _tune_allocator() -> None:
    """Keeps glibc from giving big tensors back to the kernel at every step (2 to 3 times the speed on CPU)."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 1 << 28)):
        libc.mallopt(parameter, value)
