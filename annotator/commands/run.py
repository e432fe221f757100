"""`run`: makes fits. Checks all that can be refused first, then works in the run's folder, where it can be stopped and resumed."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from annotator.annotators import ANNOTATORS
from annotator.bodies.files import BodyModelData, load_body_model
from annotator.errors import RunError, UnknownNameError
from annotator.progress import Progress, Work
from annotator.project import AUXILIARY, TARGET, Project
from annotator.recipe import LEARNT, Recipe, load_recipe, parse_recipe
from annotator.reviews import ReviewLog, freeze, frozen
from annotator.runs import FINISHED, RUNNING, Run, RunInfo, write_text
from annotator.verdict import Verdict

_PACKAGES = ("torch", "torchvision", "numpy", "opencv-python-headless", "pyarrow")
PARTS = ("body",)
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class RunOptions:
    """What the command line says.

    Attributes:
        data: data sets to use; empty = all of the project.
        source: the run that `--from` names.
        resume: id of the run to go on with; "" = none, "newest" = the newest that is not finished.
    """

    annotator: str = "neuralannot"
    data: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    recipe: str = "paper"
    round: int = 1
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
    current = _resumed(project, options.resume) if options.resume else _new(project, options)
    yield from current.job.record(_work(project, current, options.device), on_end=current.set_state)


def _new(project: Project, options: RunOptions) -> Run:
    if options.annotator not in ANNOTATORS:
        raise UnknownNameError("annotator", options.annotator, ANNOTATORS)
    if wrong := set(options.parts) - set(PARTS):
        raise UnknownNameError("part", min(wrong), PARTS)
    if options.round < 1:
        raise RunError(f"There is no round {options.round}; the first is round 1.")
    recipe = load_recipe(options.recipe)
    datasets = _datasets(project, options.data)
    before = _before(project, options) if options.round > 1 else None
    if before is not None:
        _check_chain(project, before, datasets)
    _load_body(project)
    _check_files(recipe)
    info = RunInfo(
        id=f"{options.annotator}-r{options.round}",
        annotator=options.annotator,
        recipe=recipe.name,
        round=options.round,
        source=before.id if before is not None else "",
        datasets=datasets,
        parts=options.parts or recipe.parts,
        versions={name: metadata.version(name) for name in _PACKAGES},
        machine={"system": platform.platform(), "python": platform.python_version(), "cores": str(os.cpu_count())},
    )
    made = project.new_run(info)
    write_text(made.recipe_path, recipe.text())
    if before is not None:
        judgements = ReviewLog(project.reviews_path).judgements().values()
        freeze((judgement for judgement in judgements if judgement.fit.run == before.id), made.verdicts_path)
    return made


def _resumed(project: Project, name: str) -> Run:
    if name != "newest":
        found = project.run(name)
    else:
        unfinished = [r for r in reversed(project.runs()) if r.state != FINISHED and not r.job.alive]
        if not unfinished:
            raise RunError(f"{project.path} has no unfinished run to resume; start one with `run`.")
        found = unfinished[0]
    if found.state == FINISHED:
        raise RunError(f"The run {found.id} is finished; there is nothing to resume.")
    return found


def _datasets(project: Project, names: tuple[str, ...]) -> tuple[str, ...]:
    known = project.datasets()
    for name in names:
        if name not in known:
            raise UnknownNameError("data set", name, known)
    chosen = names or tuple(known)
    if not any(known[name].role == TARGET for name in chosen):
        raise RunError(
            f"{project.path} has no target data set to annotate; import one with `import ... --role target`."
        )
    return chosen


def _before(project: Project, options: RunOptions) -> Run:
    if options.source:
        found = project.run(options.source)
        if found.state != FINISHED:
            raise RunError(f"Round {options.round} cannot learn from {found.id}: it is {found.state}; resume it first.")
        if (found.info.annotator, found.info.round) != (options.annotator, options.round - 1):
            raise RunError(
                f"Round {options.round} learns from a {options.annotator} run of round {options.round - 1}; {found.id} is a "
                f"{found.info.annotator} run of round {found.info.round}."
            )
        return found
    found = project.newest_run(options.annotator, round=options.round - 1)
    if found is None:
        raise RunError(
            f"Round {options.round} learns from a finished run of round {options.round - 1}, and there is none; run that first."
        )
    return found


def _check_chain(project: Project, before: Run, datasets: tuple[str, ...]) -> None:
    known = project.datasets()
    first = _chain(project, before.id)
    assert first is not None
    for name in datasets:
        if known[name].role == AUXILIARY and not first.shards(name, "body"):
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


def _check_files(recipe: Recipe) -> None:
    from annotator.backbone import starting_weights

    starting_weights(recipe.body.backbone, recipe.body.weights)
    if recipe.body.prior != LEARNT:
        from annotator.prior import load_vposer

        load_vposer(Path(recipe.body.prior))


def _load_body(project: Project) -> BodyModelData:
    return load_body_model(project.body_model_root("smplx"), "smplx")


def _work(project: Project, current: Run, device: str) -> Work:
    import tomllib

    current.set_state(RUNNING)
    _tune_allocator()
    import torch

    from annotator.procedure import Procedure

    recipe = parse_recipe(tomllib.loads(current.recipe_path.read_text()), current.info.recipe)
    if recipe.body.weights == "none":
        yield Progress("Starting", message=f"The recipe {recipe.name} starts its networks from random weights.")
    info = current.info
    before = project.run(info.source) if info.source else None
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RunError("torch finds no GPU that it can use; run with --device cpu, and see `doctor`.")
    chosen = torch.device(device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    current.write_info(replace(info, machine={**info.machine, "device": str(chosen)}))
    procedure = Procedure(
        project=project,
        run=current,
        recipe=recipe.body,
        body=_load_body(project),
        device=chosen,
        data=info.datasets,
        chain=_chain(project, info.source),
        before=before,
        verdicts=_verdicts(current),
    )
    yield from procedure.algorithm1()


def _verdicts(current: Run) -> Mapping[str, Verdict]:
    if not current.verdicts_path.exists():
        return {}
    return {fit.sample: verdict for fit, verdict in frozen(current.verdicts_path).items() if fit.part == "body"}


def _tune_allocator() -> None:
    """Keeps glibc from giving big tensors back to the kernel at every step (2 to 3 times the speed on CPU)."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 1 << 28)):
        libc.mallopt(parameter, value)
