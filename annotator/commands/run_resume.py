"""Going on with a run: it goes on as it was started, or not at all."""

from __future__ import annotations

from collections.abc import Iterator

from annotator.annotators import FAMILY_OF, LEARNS
from annotator.commands.choosing import body_of, named_samples
from annotator.commands.run_eft import EFT
from annotator.commands.run_grounds import require_grounds
from annotator.commands.run_options import RunOptions
from annotator.commands.run_parts import check_batches, learnt, single
from annotator.errors import RunError
from annotator.jobfolder import parsed_lines
from annotator.part import PARTS
from annotator.project import TARGET, Project
from annotator.recipe import Recipe, load_recipe, read_recipe
from annotator.runs import FINISHED, Run, RunInfo


def resumed_run(project: Project, options: RunOptions) -> Run:
    """The run to go on with.

    Raises:
        RunError: there is none, or it cannot go on as it was started.
    """
    if options.resume != "newest":
        found = project.run(options.resume)
    else:
        unfinished = [r for r in reversed(project.runs()) if r.state != FINISHED and not r.job.alive]
        if not unfinished:
            raise RunError(f"{project.path} has no unfinished run to resume; start one with `run`.")
        found = unfinished[0]
    if found.state == FINISHED:
        raise RunError(f"The run {found.id} is finished; there is nothing to resume.")
    for name, part in found.fitted:
        if (fits := found.fits(name, part)) is not None:
            body_of(project, found, fits)
    recipe = stored_recipe(found)
    require_grounds(project, found, recipe)
    if unlike := list(_contradictions(project, found, options)):
        raise RunError(
            f"{found.id} goes on as it was started, with {' and '.join(unlike)}; leave out what contradicts that, or start "
            "a new run without --resume."
        )
    if found.info.annotator == LEARNS:
        ahead = [word for word in learnt(found.info.parts, recipe) if not _is_trained(found, recipe, PARTS[word].name)]
        check_batches(project, found.info.datasets, recipe, tuple(ahead))
    return found


def _is_trained(run: Run, recipe: Recipe, part: str) -> bool:
    """Whether the last step of a part's target network is in its loss log."""
    log = run.network_folder(part, TARGET) / "losses.jsonl"
    lines = parsed_lines(log.read_bytes()) if log.exists() else []
    return bool(lines) and lines[-1].get("step") == recipe.part(part).target_steps


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
    narrowed = bool(info.samples) or info.annotator == EFT  # of the data sets named then some may take no part
    if options.data and (
        not set(info.datasets) <= set(options.data) if narrowed else set(options.data) != set(info.datasets)
    ):
        yield f"--data {','.join(info.datasets)}"
    if options.recipe is not None and not _same(load_recipe(options.recipe), stored_recipe(found), info):
        yield f"the recipe {info.recipe} as it was then"
    if options.samples and set(named_samples(project, options.samples)) != set(info.samples):
        yield f"{len(info.samples):,} other --samples" if info.samples else "no --samples"


def stored_recipe(current: Run) -> Recipe:
    """The recipe as it was when the run began."""
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
