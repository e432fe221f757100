"""What `run` does for annotators that optimise (smplifyx, smplify): checks, the fits that they start from, the work."""

from __future__ import annotations

from annotator.annotators import FAMILY_OF
from annotator.bodies.files import load_body_model
from annotator.commands.choosing import best_fits
from annotator.errors import RunError
from annotator.progress import Work
from annotator.project import Project
from annotator.recipe import Recipe, read_recipe
from annotator.runs import FINISHED, Run


def warm_start(project: Project, annotator: str, source: str, datasets: tuple[str, ...]) -> Run | None:
    """The run that `source` names, whose fits are the starts; None if it names none.

    Raises:
        RunError: nobody can start from it.
    """
    if not source:
        return None
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


def check_optimiser(project: Project, annotator: str, recipe: Recipe, device: str) -> None:
    """Whether the body model and the prior that it needs are there.

    Raises:
        NeuralAnnotError: they are not, or it is to run on a device that it does not know.
    """
    check_device(device)
    from annotator.annotators.smplifyx import prior_of

    load_body_model(project.body_model_root(FAMILY_OF[annotator]), FAMILY_OF[annotator])
    prior_of(project, annotator, recipe.table(annotator))


def check_device(device: str) -> None:
    """Whether there is a GPU, where one is asked for.

    Raises:
        RunError: there is none that torch can use.
    """
    if not device.startswith("cuda"):
        return
    import torch

    if not torch.cuda.is_available():
        raise RunError("torch finds no GPU that it can use; run with --device cpu, and see `doctor`.")


def optimise(project: Project, current: Run, device: str = "auto") -> Work:
    """Fits everybody of the run's data sets.

    Raises:
        RunError: there is no such device.
    """
    check_device(device)
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
