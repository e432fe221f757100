"""What a run stands on: the recipe, samples, body models and prior that it began with. It goes on with those, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from annotator.annotators import FAMILY_OF
from annotator.bodies.prior_files import PRIORS, read_prior
from annotator.errors import RunError
from annotator.fittingrecipe import PROJECT_PRIOR
from annotator.project import Project
from annotator.recipe import Recipe
from annotator.runs import Run

_SAMPLES = "samples of "
_PRIOR_OF = {"smplx": "vposer", "smpl": "gmm"}


def grounds_of(
    project: Project, annotator: str, recipe: Recipe, text: bytes, datasets: Sequence[str]
) -> dict[str, str]:
    """Digests of all that a run stands on as it is now, by the words for it; of a data set that is gone there is none.

    Args:
        text: of the recipe as it lies in the run's folder: the next program may have more fields, with defaults.
    """
    known = project.datasets()
    tables = project.table_digests([name for name in datasets if name in known])
    found = {_SAMPLES + name: digest for name, digest in tables.items()}
    found |= {f"{family} body model": source.hash for family, source in project.body_models.items()}
    if annotator in FAMILY_OF and recipe.table(annotator).prior == PROJECT_PRIOR:
        family = FAMILY_OF[annotator]
        kind = _PRIOR_OF[family]
        found[PRIORS[kind]] = read_prior(project.body_model_root(family), kind).hash
    found["recipe"] = hashlib.sha256(text).hexdigest()
    return found


def told_of_others(project: Project, run: Run) -> Iterator[str]:
    """A sentence for each data set whose samples are others now than those that a run made fits of."""
    known = [name for name in run.info.datasets if name in project.datasets()]
    for name, digest in project.table_digests(known).items():
        if run.info.grounds.get(_SAMPLES + name, digest) != digest:
            yield f"The samples of {name} are not those that {run.id} was made with; its fits are taken by their keys."


def require_grounds(project: Project, run: Run, recipe: Recipe) -> None:
    """Refuses to work on a run that stands on something else than it began with.

    Raises:
        RunError: it does.
    """
    info = run.info
    with project.datasets_held():  # an import that is at it is waited for; the next one sees that the run is worked on
        now = grounds_of(project, info.annotator, recipe, run.recipe_path.read_bytes(), info.datasets)
    for name, digest in info.grounds.items():
        if now.get(name) != digest:
            raise RunError(
                f"{run.id} began before the {name} changed; put back what was there, or start a new run without --resume."
            )
