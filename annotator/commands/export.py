"""`export`: fits that reviewers trust become a file that other training code loads, with a manifest beside it."""

from __future__ import annotations

import json
from collections.abc import Generator
from enum import StrEnum
from pathlib import Path
from typing import Any

from annotator.annotators.fitted import kinds
from annotator.bodies.files import BodyModelData
from annotator.commands.choosing import best_fits, body_of, chosen_datasets, covering_run
from annotator.commands.table import Table, sentences
from annotator.errors import RunError
from annotator.exports import writer_of
from annotator.exports.writing import ExportTable
from annotator.progress import Progress
from annotator.project import TARGET, Project
from annotator.reviews import ReviewLog
from annotator.runs import Run, write_text
from annotator.verdict import FitKey, Judgement, Verdict


class Keep(StrEnum):
    """Which fits an export holds."""

    NOT_REJECTED = "not-rejected"
    ACCEPTED = "accepted"
    ALL = "all"


def export(
    path: Path,
    format: str,
    out: Path,
    *,
    run_id: str | None = None,
    data: tuple[str, ...] = (),
    keep: Keep = Keep.NOT_REJECTED,
) -> Generator[Progress, None, Table]:
    """Writes the target fits of a run and `OUT.manifest.json`. What is left out is absent, never null.

    Args:
        data: names of target data sets; empty = all.

    Raises:
        RunError: a data set is no target, no finished run covers the target samples, or nothing is left to export.
        BodyModelError: the project's body model is not the one that the fits belong to.
    """
    project = Project.open(path)
    write = writer_of(format)
    targets = [name for name in chosen_datasets(project, data) if project.datasets()[name].role == TARGET]
    if unlike := sorted(set(data) - set(targets)):
        raise RunError(f"{unlike[0]} is no target data set, and an export holds the fits of those alone; leave it out.")
    run = project.run(run_id) if run_id else covering_run(project, data)
    judgements = ReviewLog(project.reviews_path).judgements()
    tables, left_out = _choose(project, run, targets, judgements, keep)
    fitted = {part for _, part in run.fitted}
    if fitted and fitted.isdisjoint(("body", "whole")):
        raise RunError(
            f"{run.id} has no fits of bodies, which an export holds; it has fits of {kinds(sorted(fitted))}. Name another run "
            "with --run: one of bodies, hands and faces joins them."
        )
    if not any(table.rows for table in tables):
        raise RunError(f"No fit of {run.id} is left to export with --verdict {keep}; nothing was written.")
    count = yield from write(tables, out)
    manifest = _manifest(run, tables, format, keep, count, left_out)
    manifest_path = out.with_name(out.name + ".manifest.json")
    write_text(manifest_path, json.dumps(manifest, indent=2) + "\n")
    notes = [f"Wrote {count:,} fits of {run.id} to {out}.", f"Its conventions are in {manifest_path}."]
    notes += [f"Left out {number:,}: {why}." for why, number in left_out.items() if number]
    if "note" in manifest["body_model"]:
        notes.append(manifest["body_model"]["note"])
    return sentences(*notes)


_CONVENTIONS = {
    "smplifyx": {
        "hand_pose": "12 coefficients of the model's hand components, without the mean (flat_hand_mean=False adds it)",
        "camera": "pinhole, f = 5000 px at the photo's centre; x right, y down, z forward",
    }
}
"""Of formats that differ from the rest."""


def _choose(
    project: Project, run: Run, targets: list[str], judgements: dict[FitKey, Judgement], keep: Keep
) -> tuple[list[ExportTable], dict[str, int]]:
    left_out = {
        "its person is no longer in the data set": 0,
        "the fit failed": 0,
        "a reviewer rejected it": 0,
        "no reviewer accepted it": 0,
    }
    tables: list[ExportTable] = []
    bodies: dict[str, BodyModelData] = {}
    for name in targets:
        fits = best_fits(run, name)
        if fits is None:
            continue
        samples = project.samples(name, "body")
        present = samples.index_of
        rows: list[int] = []
        for row, (key, ok) in enumerate(zip(fits.keys, fits.ok, strict=True)):
            judgement = judgements.get(FitKey(run.id, key, fits.header.part))
            verdict = judgement.verdict if judgement else None
            if key not in present:
                left_out["its person is no longer in the data set"] += 1
            elif not ok:
                left_out["the fit failed"] += 1
            elif keep is Keep.NOT_REJECTED and verdict is Verdict.REJECT:
                left_out["a reviewer rejected it"] += 1
            elif keep is Keep.ACCEPTED and verdict is not Verdict.ACCEPT:
                left_out["no reviewer accepted it"] += 1
            else:
                rows.append(row)
        family = fits.header.family
        if family not in bodies:
            bodies[family] = body_of(project, run, fits)
        tables.append(ExportTable(name, fits, rows, samples, bodies[family]))
    return tables, left_out


def _manifest(
    run: Run, tables: list[ExportTable], format: str, keep: Keep, count: int, left_out: dict[str, int]
) -> dict[str, dict[str, Any]]:
    header, body = tables[0].fits.header, tables[0].body
    model = {"family": header.family, "name": body.name, "hash": header.body_hash}
    if body.name.startswith("open body"):
        model["note"] = (
            f"These parameters belong to the {body.name}, not to the licensed {header.family.upper()} model."
        )
    return {
        "export": {
            "format": format,
            "verdict": keep.value,
            "entries": count,
            "data_sets": [table.dataset for table in tables],
            "run": run.id,
            "annotator": run.info.annotator,
        },
        "left_out": left_out,
        "body_model": model,
        "conventions": {
            "rotations": "axis-angle, radians",
            "translation": "metres; the smplx package's transl",
            "hand_pose": "45 axis-angle numbers without the mean (flat_hand_mean=False adds it)",
            "camera": "pinhole, full-image pixels, integer = pixel centre; x right, y down, z forward",
            "landmarks": header.landmarks,
            **_CONVENTIONS.get(format, {}),
        },
        "recipe": {"name": run.info.recipe, "text": run.recipe_path.read_text() if run.recipe_path.exists() else ""},
    }
