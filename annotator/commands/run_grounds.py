"""What a run stands on: the recipe, samples, body models and priors that it began with. It goes on with those, or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from annotator.annotators import FAMILY_OF
from annotator.annotators.fitted import fitted_tables
from annotator.bodies.files import load_body_model
from annotator.bodies.prior_files import PRIORS, read_prior
from annotator.commands.run_parts import single
from annotator.errors import RunError
from annotator.fittingrecipe import NO_PRIOR, PROJECT_PRIOR
from annotator.part import BODY, part_in
from annotator.project import Project, file_hash
from annotator.recipe import LEARNT, Recipe
from annotator.runs import SAMPLES, Run, RunInfo

_RECIPE, _PRIOR = "recipe", "prior "
_PRIOR_OF = {"smplx": "vposer", "smpl": "gmm"}


def grounds_of(project: Project, info: RunInfo, recipe: Recipe, text: bytes) -> dict[str, str]:
    """Digests of all that a run stands on as it is now, by the words for it; of a data set that is gone there is none.

    Args:
        text: of the recipe as it lies in the run's folder: the next program may have more fields, with defaults.
    """
    known = project.datasets()
    tables = project.table_digests([name for name in info.datasets if name in known])
    found = {_RECIPE: hashlib.sha256(text).hexdigest()}  # first: what follows is read by it
    found |= {SAMPLES + name: digest for name, digest in tables.items()}
    for family, model in _models(info, recipe):
        found[f"{model} body model"] = load_body_model(project.body_model_root(family), model).hash
    found |= _priors(project, info, recipe)
    return found


def require_grounds(project: Project, run: Run, recipe: Recipe) -> None:
    """Refuses to work on a run that stands on something else than it began with. Asked under the run's lock: an import
    looks for that directly before it puts a data set in its place.

    Raises:
        RunError: it does.
    """
    now = grounds_of(project, run.info, recipe, run.recipe_path.read_bytes())
    for name, digest in run.info.grounds.items():
        if now.get(name) != digest:
            raise RunError(f"{_change(project, run, name, now.get(name, ''))}, or start a new run.")


def told_of_others(project: Project, run: Run) -> Iterator[str]:
    """A sentence for each data set whose samples are others now than those that a run made fits of."""
    known = [name for name in run.info.datasets if name in project.datasets()]
    for name, digest in project.table_digests(known).items():
        if run.info.grounds.get(SAMPLES + name, digest) != digest:
            yield (
                f"The samples of {name} are not those that {run.id} was made with; its fits are taken by their keys. Import "
                "again what they were if the people are others."
            )


def _change(project: Project, run: Run, name: str, now: str) -> str:
    """What is not as it was when the run began, and what to do."""
    if name == _RECIPE:
        return f"{run.recipe_path} was changed after {run.id} began; put it back"
    if name.startswith(_PRIOR):
        return f"The {name} was changed after {run.id} began; put it back"
    if name.startswith(SAMPLES):
        dataset = name.removeprefix(SAMPLES)
        return f"The samples or the role of {dataset} were changed after {run.id} began; import again what they were"
    return (
        f"{run.id} began with another {name} (hash {run.info.grounds[name][:16]}) than there is now ({now[:16] or 'none'}); "
        f"put that one back, or say where it lies with `relink {project.path} body_models=PATH`"
    )


def _models(info: RunInfo, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Family and name of every body model that a run fits."""
    if info.annotator in FAMILY_OF:
        for table in fitted_tables(info.annotator, info.parts):
            yield table.family, table.model
        return
    for part in (part_in(word, recipe) for word in single(info.parts)):
        for model in part.models.values():
            yield part.family, model


def _priors(project: Project, info: RunInfo, recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Words and digest of the prior of bodies that a run is given; one that it learns is kept with its networks."""
    if info.annotator not in FAMILY_OF:
        if BODY.word in info.parts and recipe.body.prior != LEARNT:
            yield _PRIOR + recipe.body.prior, _digest_of_prior(Path(recipe.body.prior))
        return
    prior = recipe.table(info.annotator).prior
    if prior == NO_PRIOR or not any(table.of_bodies for table in fitted_tables(info.annotator, info.parts)):
        return
    family = FAMILY_OF[info.annotator]
    if prior == PROJECT_PRIOR:
        kind = _PRIOR_OF[family]
        yield PRIORS[kind], read_prior(project.body_model_root(family), kind).hash
    else:
        yield _PRIOR + prior, _digest_of_prior(Path(prior))


def _digest_of_prior(path: Path) -> str:
    """Of the file that is read: a VPoser may be a folder of snapshots."""
    if not path.exists():
        raise RunError(f"The prior {path} is missing; put it back, or name another in the recipe of a new run.")
    if path.is_dir():
        from annotator.prior.checkpoints import newest_snapshot

        path = newest_snapshot(path)
    return file_hash(path)
