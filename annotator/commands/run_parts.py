"""Which parts a run makes fits of: those asked for, or those of its recipe that there are samples and models for."""

from __future__ import annotations

from annotator import ranks
from annotator.batches import require_shared
from annotator.commands.choosing import body_of
from annotator.errors import RunError
from annotator.part import BODY, PARTS, WHOLE, Part
from annotator.project import AUXILIARY, TARGET, Project
from annotator.recipe import Recipe
from annotator.runs import Run

_ONE_PIXEL = 32
"""Side of crops whose last map of features is one pixel."""


def chosen_parts(
    project: Project, recipe: Recipe, datasets: tuple[str, ...], asked: tuple[str, ...]
) -> tuple[str, ...]:
    """The parts asked for, else those of the recipe that can be had."""
    there = [word for word, part in PARTS.items() if part.name in recipe.tables and _has(project, datasets, part)]
    if not asked:
        parts = tuple(word for word in there if not _lack_of(project, PARTS[word]))
        if parts:
            joined = "body" in parts and len(parts) > 1 and recipe.body.model == BODY.family
            return (*parts, WHOLE) if joined else parts
        raise RunError(
            " ".join(left_out(project, recipe, datasets).values())
            or f"No target data set has samples of a part that the recipe {recipe.name} has; import some, or choose another."
        )
    if WHOLE in asked and not ("body" in asked and len(asked) > 2):
        raise RunError("--parts whole joins what a run makes of its other parts; name body and hands or face with it.")
    if WHOLE in asked and recipe.body.model != BODY.family:
        raise RunError(f"{recipe.body.model.upper()} bodies have neither fingers nor a face to join; leave out whole.")
    for word in single(asked):
        if PARTS[word].name not in recipe.tables:
            raise RunError(f"The recipe {recipe.name} has no table [{PARTS[word].name}], which --parts {word} needs.")
        if word not in there:
            raise RunError(f"No target data set has samples of the part {word}; leave it out of --parts.")
        if reason := _lack_of(project, PARTS[word]):
            raise RunError(reason)
    return tuple(word for word in (*PARTS, WHOLE) if word in asked)


def single(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Those that have samples of their own."""
    return tuple(word for word in parts if word in PARTS)


def learnt(parts: tuple[str, ...], recipe: Recipe) -> tuple[str, ...]:
    """Those that have networks; SMPLify-X fits the others."""
    return tuple(word for word in single(parts) if recipe.has_network(PARTS[word].name))


def check_batches(project: Project, datasets: tuple[str, ...], recipe: Recipe, parts: tuple[str, ...]) -> None:
    """Whether the processes can share out every network's batch; half of the target network's is auxiliary.

    Raises:
        RunError: they cannot.
    """
    known = project.datasets()
    for part in (PARTS[word] for word in learnt(parts, recipe)):
        table = recipe.part(part.name)
        auxiliary = [known[name].parts for name in datasets if known[name].role == AUXILIARY and table.uses(name)]
        halved = any(counts.get(of) for counts in auxiliary for of in part.tables)
        require_shared(table.batch // 2 if halved else table.batch)
        if table.batch == ranks.count() and table.input_px == _ONE_PIXEL:
            raise RunError(
                f"One person a step for each of {ranks.count()} processes leaves no batch to take statistics of at "
                f"{_ONE_PIXEL} px; choose a larger batch or input_px in the recipe, or fewer processes."
            )


def _has(project: Project, datasets: tuple[str, ...], part: Part) -> bool:
    known = project.datasets()
    targets = [known[name].parts for name in datasets if known[name].role == TARGET]
    return any(counts.get(table, 0) for counts in targets for table in part.tables)


def left_out(project: Project, recipe: Recipe, datasets: tuple[str, ...], before: Run | None = None) -> dict[str, str]:
    """Parts that there are samples of and that a run without --parts leaves out all the same: why, by their word.

    Args:
        before: the run that a later round learns from.
    """
    parts = {word: part for word, part in PARTS.items() if part.name in recipe.tables and _has(project, datasets, part)}
    return {word: reason for word, part in parts.items() if (reason := _lack_of(project, part, before))}


def _lack_of(project: Project, part: Part, before: Run | None = None) -> str:
    """Why a part cannot be had; empty where it can. Bodies always can: what is wrong with their model is an error."""
    if part.family not in project.body_models and part.name != "body":
        return f"The project has no {part.family} body model, so it makes no fits of the part {part.word}."
    if before is not None and part.word not in before.info.parts:
        return f"{before.id} has no fits of the part {part.word} to learn from, so this round makes none."
    return ""


def parts_in_round(before: Run, parts: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """The parts of a later round: those that the earlier one has."""
    lacking = [word for word in single(parts) if word not in before.info.parts]
    if lacking and (asked or len(lacking) == len(single(parts))):
        raise RunError(
            f"{before.id} has no fits of the part {lacking[0]}; name its parts ({', '.join(before.info.parts)}) with "
            "--parts, or another run with --from."
        )
    kept = tuple(word for word in parts if word not in lacking)
    return kept if len(single(kept)) > 1 else single(kept)


def check_body_model(
    project: Project, before: Run, datasets: tuple[str, ...], recipe: Recipe, parts: tuple[str, ...]
) -> None:
    """Refuses a later round of bodies where the fits of the round before are of another body model."""
    bodies = [fits for name in datasets if "body" in parts and (fits := before.fits(name, "body")) is not None]
    model = next((fits.header.family for fits in bodies), recipe.body.model)
    if model != recipe.body.model:
        raise RunError(
            f"The fits of {before.id} are {model} bodies, and the recipe {recipe.name} asks for {recipe.body.model} ones; set "
            f'model = "{model}" in its table [body], or begin a new chain with a run of round 1.'
        )
    for fits in bodies:
        body_of(project, before, fits)
