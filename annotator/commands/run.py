"""`run`: makes fits. Checks all that can be refused first, then works in the run's folder, where it can be stopped and resumed."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from annotator import ranks
from annotator.annotators import FAMILY_OF, LEARNS
from annotator.cache import trim_cache
from annotator.commands.run_begin import begun_run, first_of_chain, load_bodies
from annotator.commands.run_eft import EFT
from annotator.commands.run_fitting import optimise, optimise_part
from annotator.commands.run_grounds import require_grounds, told_of_others
from annotator.commands.run_options import RunOptions, check_device
from annotator.commands.run_parts import learnt, left_out, single
from annotator.commands.run_resume import resumed_run, stored_recipe
from annotator.commands.run_verdicts import told, verdicts_of
from annotator.commands.table import Table, bytes_text, sentences
from annotator.errors import AGAIN, StorageError
from annotator.part import PARTS, WHOLE, part_in
from annotator.progress import Progress, Work
from annotator.project import Project
from annotator.recipe import Recipe
from annotator.runs import RUNNING, Run
from annotator.wholefile import remove_halves


def run(path: Path, options: RunOptions) -> Generator[Progress, None, Table | None]:
    """Makes a run, or goes on with one; what it gives at the end says how many fits failed, if any did.

    Raises:
        RunError: it cannot start; no folder was made.
    """
    project = Project.open(path)
    check_device(options.device)
    with ranks.joined():
        make = resumed_run if options.resume else begun_run
        current = project.run(ranks.named_by_leader(lambda: make(project, options).id))
        work = ranks.polite(_work(project, current, ranks.own_device(options.device)), current.job.stop_path)
        if not ranks.leads():
            yield from work
            return None
        recorded = current.job.record(work, on_end=current.set_state, outcome=lambda: _failures(current))
        yield from _resumable(recorded, path, current)
        failures = current.info.message  # as it was recorded
        return sentences(failures) if failures else None


def _failures(current: Run) -> str:
    """How many fits failed, as a sentence; empty if none did."""
    tables = [fits for name, part in current.fitted if (fits := current.fits(name, part)) is not None]
    failed, total = sum(int((~fits.ok).sum()) for fits in tables), sum(map(len, tables))
    return (
        f"{failed:,} of {total:,} fits failed; the window's filter Failed shows the people among them with the reasons."
        if failed
        else ""
    )


def _resumable(work: Work, path: Path, current: Run) -> Work:
    try:
        yield from work
    except StorageError as error:
        raise StorageError(str(error).replace(AGAIN, f"go on with `run {path} --resume {current.id}`")) from error


def _work(project: Project, current: Run, device: str) -> Work:
    recipe = stored_recipe(current)
    yield from ranks.leader_only(_taken_up(project, current, recipe))
    tune_allocator()
    if current.info.annotator in FAMILY_OF:
        _note_machine(current, "cpu" if device == "auto" else device)
        yield from optimise(project, current, device)
        return
    import torch

    from annotator.integration import join
    from annotator.procedure import Procedure

    tunes = current.info.annotator == EFT
    networks = learnt(current.info.parts, recipe)
    if not tunes and any(recipe.part(PARTS[word].name).weights == "none" for word in networks):
        yield Progress("Starting", message=f"The recipe {recipe.name} starts its networks from random weights.")
    info = current.info
    before = project.run(info.source) if info.source else None
    found = ranks.own_device("cuda") if torch.cuda.is_available() else "cpu"
    chosen = torch.device(device if device != "auto" else found)
    _note_machine(current, str(chosen))
    yield from ranks.leader_only(_trimmed(project))
    for word, reason in left_out(project, recipe, info.datasets, None if tunes else before).items():
        if word not in info.parts and not tunes:
            yield Progress("Starting", message=reason)
    chain = None if tunes else first_of_chain(project, info.source)
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
            bodies=load_bodies(project, part),
            device=chosen,
            data=info.datasets,
            keys=frozenset(info.samples),
            chain=chain,
            before=None if tunes else before,
            verdicts=verdicts,
            tuned=before if tunes else None,
        )
        yield from procedure.refine(before, recipe.eft) if before is not None and tunes else procedure.algorithm1()
    for name in info.datasets if WHOLE in info.parts else ():
        yield from ranks.leader_only(join(project, current, name))
    yield from ranks.leader_only(_trimmed(project))


def _taken_up(project: Project, current: Run, recipe: Recipe) -> Work:
    """Under the run's lock, before anybody writes: it may have lain since it was begun or stopped."""
    require_grounds(project, current, recipe)
    for folder in ("networks", "fits"):
        remove_halves(current.path / folder)
    current.set_state(RUNNING)
    source = current.info.source if current.info.annotator != EFT else ""  # which takes no fits
    first = first_of_chain(project, source) if current.info.annotator == LEARNS else None
    for run_id in filter(None, dict.fromkeys((source, first.id if first is not None else ""))):
        for sentence in told_of_others(project, project.run(run_id)):
            yield Progress("Starting", message=sentence)


def _note_machine(current: Run, device: str) -> None:
    if ranks.leads():
        info = current.info
        machine = {**info.machine, "device": device, "processes": str(ranks.count())}
        current.write_info(replace(info, machine=machine))


def _trimmed(project: Project) -> Work:
    if freed := trim_cache(project):
        limit = bytes_text(round(project.cache_bytes))
        yield Progress("Starting", message=f"Removed {bytes_text(freed)} from the cache, whose limit is {limit}.")


def tune_allocator() -> None:
    """Keeps glibc from giving big tensors back to the kernel at every step (2 to 3 times the speed on CPU)."""
    if platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for parameter, value in ((-3, 1 << 30), (-1, 2**31 - 1), (-2, 1 << 28)):
        libc.mallopt(parameter, value)
