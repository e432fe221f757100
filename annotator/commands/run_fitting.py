"""What `run` does where people are optimised (smplifyx, smplify; faces of neuralannot): checks, starts, the work."""

from __future__ import annotations

from annotator.annotators import FAMILY_OF, PARTS_OF
from annotator.annotators.fitted import fitted_tables
from annotator.bodies.files import load_body_model
from annotator.commands.choosing import best_fits
from annotator.errors import RunError
from annotator.progress import Work
from annotator.project import TARGET, Project
from annotator.recipe import Recipe, read_recipe
from annotator.runs import FINISHED, Run


def fitted_parts(
    project: Project, annotator: str, datasets: tuple[str, ...], asked: tuple[str, ...]
) -> tuple[str, ...]:
    """The parts asked for, else the annotator's first.

    Raises:
        RunError: no data set has samples of one of them.
    """
    parts, known = tuple(dict.fromkeys(asked)) or PARTS_OF[annotator][:1], project.datasets()
    for word in parts:
        tables = [table.samples for table in fitted_tables(annotator, (word,))]
        if not any(known[name].parts.get(table) for name in datasets for table in tables):
            raise RunError(f"No data set of this run has samples of the part {word}; leave it out of --parts.")
    return parts


def warm_start(
    project: Project, annotator: str, source: str, datasets: tuple[str, ...], parts: tuple[str, ...]
) -> Run | None:
    """The run that `source` names, whose fits are the starts; None if it names none.

    Raises:
        RunError: nobody can start from it.
    """
    if not source:
        return None
    if not any(table.of_bodies for table in fitted_tables(annotator, parts)):
        raise RunError(f"{' and '.join(parts)} start by themselves, from no run's fits; leave out --from {source}.")
    found = project.run(source)
    if found.state != FINISHED:
        raise RunError(f"{annotator} cannot start from {found.id}: it is {found.state}; resume it first.")
    tables = [fits for name in datasets if (fits := best_fits(found, name)) is not None]
    if not tables:
        raise RunError(f"{annotator} cannot start from {found.id}: it has no fits of {', '.join(datasets)}.")
    if wrong := [fits.header.family for fits in tables if fits.header.family not in FAMILY_OF.values()]:
        raise RunError(f"{annotator} cannot start from {found.id}: its fits are of {wrong[0].upper()}, not of bodies.")
    own = load_body_model(project.body_model_root(FAMILY_OF[annotator]), FAMILY_OF[annotator])
    if any(fits.header.family == own.family and fits.header.body_hash != own.hash for fits in tables):
        raise RunError(
            f"{annotator} cannot start from {found.id}: its fits belong to another {own.family} body model than the "
            "project's; relink the files they belong to, or leave out --from."
        )
    return found


def check_optimiser(project: Project, annotator: str, recipe: Recipe, parts: tuple[str, ...]) -> None:
    """Whether the body models and the prior that it needs are there.

    Raises:
        NeuralAnnotError: they are not.
    """
    from annotator.annotators.smplifyx import prior_of

    tables = fitted_tables(annotator, parts)
    for table in tables:
        load_body_model(project.body_model_root(table.family), table.model)
    if any(table.of_bodies for table in tables):
        prior_of(project, annotator, recipe.table(annotator))


def optimise(project: Project, current: Run, device: str = "auto") -> Work:
    """Fits everybody of the run's data sets."""
    from annotator.annotators.smplifyx import Optimisation

    info = current.info
    yield from Optimisation(
        project=project,
        run=current,
        annotator=info.annotator,
        recipe=read_recipe(current.recipe_path, info.recipe).table(info.annotator),
        parts=info.parts,
        data=info.datasets,
        keys=frozenset(info.samples),
        source=project.run(info.source) if info.source else None,
        device=device,
    ).fit()


def optimise_part(project: Project, current: Run, recipe: Recipe, word: str) -> Work:
    """Fits one part of the target people of a run that learns its other parts: the paper leaves faces to SMPLify-X."""
    from annotator.annotators.smplifyx import Optimisation

    info, known = current.info, project.datasets()
    yield from Optimisation(
        project=project,
        run=current,
        annotator="smplifyx",
        recipe=recipe.smplifyx,
        parts=(word,),
        data=tuple(name for name in info.datasets if known[name].role == TARGET),
        keys=frozenset(info.samples),
    ).fit()
