"""What a new run begins with: all that can be refused is checked before there is a folder."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from annotator.annotators import ANNOTATORS, FAMILY_OF, LEARNS, PARTS_OF
from annotator.annotators.fitted import fitted_tables
from annotator.bodies.files import BodyModelData, load_body_model
from annotator.commands.choosing import chain_of, chosen_samples, covers
from annotator.commands.run_eft import EFT, eft_recipe, network_run, targets_of
from annotator.commands.run_fitting import check_optimiser, fitted_parts, warm_start
from annotator.commands.run_grounds import grounds_of
from annotator.commands.run_options import RunOptions
from annotator.commands.run_parts import check_batches, check_body_model, chosen_parts, learnt, parts_in_round, single
from annotator.errors import RunError, UnknownNameError
from annotator.part import PARTS, Part, part_in
from annotator.project import AUXILIARY, TARGET, Project
from annotator.recipe import LEARNT, Recipe, load_recipe
from annotator.reviews import ReviewLog, freeze
from annotator.runs import FINISHED, Run, RunInfo, write_text
from annotator.sample import is_named

_PACKAGES = ("torch", "torchvision", "numpy", "numba", "opencv-python-headless", "pyarrow")


def begun_run(project: Project, options: RunOptions) -> Run:
    """Makes the folder of a new run.

    Raises:
        RunError: it cannot start; no folder was made.
    """
    annotator, number = options.annotator or LEARNS, 1 if options.round is None else options.round
    if annotator not in ANNOTATORS:
        raise UnknownNameError("annotator", annotator, ANNOTATORS)
    if wrong := set(options.parts) - set(PARTS_OF[annotator]):
        raise UnknownNameError("part", min(wrong), PARTS_OF[annotator])
    if number < 1:
        raise RunError(f"There is no round {number}; the first is round 1.")
    optimises = annotator in FAMILY_OF
    if number > 1 and optimises:
        raise RunError(f"{annotator} learns nothing, so it has no round {number}; leave out --round.")
    if options.source and number == 1 and annotator == LEARNS:
        raise RunError(
            "Round 1 learns from no earlier run; say which round is meant with --round, or leave out --from."
        )
    begun = _beginning(project, annotator, number, options)
    before, recipe = begun.before, begun.recipe
    text = recipe.text(annotator)
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

    def fill(made: Run) -> None:
        write_text(made.recipe_path, text)
        if before is not None and annotator == LEARNS:
            judgements = ReviewLog(project.reviews_path).judgements().values()
            freeze((judgement for judgement in judgements if judgement.fit.run == before.id), made.verdicts_path)

    return project.new_run(replace(info, grounds=grounds_of(project, info, recipe, text.encode())), fill)


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
        check_optimiser(project, annotator, recipe, parts)
    else:
        parts = chosen_parts(project, recipe, datasets, options.parts)
        if number > 1:
            before = _before(project, annotator, number, options.source, datasets, samples, parts[0])
            parts = parts_in_round(before, parts, options.parts)
            _check_chain(project, before, datasets, samples, recipe, parts)
        for word in single(parts):
            load_bodies(project, part_in(word, recipe))
        _check_files(project, recipe, parts)
        check_batches(project, datasets, recipe, parts)
    return _Beginning(recipe, datasets, samples, parts, before)


def _tuning(project: Project, number: int, options: RunOptions) -> _Beginning:
    if number > 1:
        raise RunError(f"eft learns nothing from verdicts, so it has no round {number}; leave out --round.")
    before = network_run(project, options.source)
    datasets, samples = chosen_samples(project, options.data, options.samples)
    recipe = eft_recipe(options.recipe, before)
    load_bodies(project, part_in("body", recipe))
    return _Beginning(recipe, targets_of(project, datasets), samples, PARTS_OF[EFT], before)


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
    project: Project,
    before: Run,
    datasets: tuple[str, ...],
    samples: tuple[str, ...],
    recipe: Recipe,
    parts: tuple[str, ...],
) -> None:
    known = project.datasets()
    first = first_of_chain(project, before.id)
    assert first is not None
    check_body_model(project, before, datasets, recipe, parts)
    for part in (PARTS[word] for word in learnt(parts, recipe)):
        for name in datasets:
            if known[name].role != AUXILIARY or not recipe.part(part.name).uses(name):
                continue
            for table in filter(known[name].parts.get, part.tables):
                keys = [key for key in project.samples(name, table).keys if not samples or is_named(key, samples)]
                fits = first.fits(name, table)
                if fits is None or not fits.index_of.keys() >= set(keys):
                    raise RunError(
                        f"A later round reuses the auxiliary fits of {first.id}, and not every {table} sample of {name} "
                        "has one; leave that data set out with --data, or begin a new chain with a run of round 1."
                    )


def first_of_chain(project: Project, source: str) -> Run | None:
    """The first run of the chain that `source` ends, whose auxiliary fits and prior later rounds share; None in round 1."""
    chain = list(chain_of(project, source))
    return chain[-1] if chain else None


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


def load_bodies(project: Project, part: Part) -> dict[str, BodyModelData]:
    """The project's body model of every table of a part."""
    root = project.body_model_root(part.family)
    return {table: load_body_model(root, name) for table, name in part.models.items()}
