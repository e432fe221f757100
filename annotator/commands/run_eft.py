"""What `run --annotator eft` starts from: the target network of a finished run, and the settings that belong to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.annotators import LEARNS
from annotator.errors import RunError
from annotator.project import TARGET, Project
from annotator.runs import FINISHED, Run

if TYPE_CHECKING:
    from annotator.recipe import Recipe

EFT = "eft"


def network_run(project: Project, source: str) -> Run:
    """The run that `--from` names, else the newest finished one that trained a network.

    Raises:
        RunError: there is none, it is not finished, or its network is not there.
    """
    found = project.run(source) if source else _newest(project)
    if found is None:
        raise RunError(
            "eft tunes the target network of a finished neuralannot run, and there is none; start one with `run`, or name "
            "one with --from."
        )
    if found.info.annotator != LEARNS:
        raise RunError(f"eft tunes the network of a neuralannot run; {found.id} is one of {found.info.annotator}.")
    if found.state != FINISHED:
        raise RunError(f"eft cannot tune the network of {found.id}: that run is {found.state}; resume it first.")
    if not _network(found).exists():
        raise RunError(
            f"{found.id} has no target network of bodies; train one with `run`, or name another with --from."
        )
    return found


def _newest(project: Project) -> Run | None:
    """The newest finished run that has a body network."""
    finished = [run for run in project.runs() if (run.info.annotator, run.state) == (LEARNS, FINISHED)]
    return next((run for run in reversed(finished) if _network(run).exists()), None)


def _network(run: Run) -> Path:
    return run.network_folder("body", TARGET) / "last.safetensors"


def eft_recipe(name: str | None, source: Run) -> Recipe:
    """The [eft] table of the recipe named, with the [body] that the network was trained with."""
    from annotator.recipe import load_recipe, read_recipe  # the desk, which asks what can be tuned, needs no recipes

    chosen, trained = load_recipe(name or "paper"), read_recipe(source.recipe_path, source.info.recipe)
    return replace(trained, name=chosen.name, eft=chosen.eft, tables=("body",))


def targets_of(project: Project, datasets: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the data sets that are targets: the others have no 2D pose to be tuned on."""
    known = project.datasets()
    return tuple(name for name in datasets if known[name].role == TARGET)
