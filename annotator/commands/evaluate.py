"""`evaluate`: the numbers of docs/CONVENTIONS.md for runs, and against the hidden truth where there is one."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from annotator.bodies.files import BodyModelData, load_body_model
from annotator.bodies.posing import Poser
from annotator.camera import Camera, between_cameras, crop_of_box
from annotator.commands.choosing import best_fits, body_of, covering_run, named_samples
from annotator.commands.table import Table, duration_text
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.mean_pose import mean_pose_fits
from annotator.metrics import aligned_error_mm, error_2d, joint_error_mm
from annotator.part import FACES, HANDS
from annotator.progress import Progress
from annotator.project import AUXILIARY, Project
from annotator.runs import Run, write_text
from annotator.sample import Samples
from annotator.skeleton import H36M_EVALUATED, HUMAN36M, error_points

MEAN_POSE = "mean pose"
_CHUNK = 64


@dataclass(frozen=True)
class Evaluation:
    """One row of the table; numbers that cannot be had are None.

    Attributes:
        part: body (which whole people count as), or rhand, lhand, face, of which the 2D error alone is measured.
        people: fits that did not fail (and have truth, where truth is given).
        error_2d_crop, error_2d: mean 2D distance in px of the 256 crop and in image px.
        mpjpe, pa_mpjpe: 14 Human3.6M joints, mm, pelvis-aligned and similarity-aligned.
        mpvpe, pa_mpvpe: vertices, mm.
        seconds: wall time of training and annotating.
        seconds_batch1: the paper's form: training, and annotating one by one.
    """

    run: str
    dataset: str
    people: int
    failed: int
    error_2d_crop: float | None
    error_2d: float | None
    mpjpe: float | None = None
    pa_mpjpe: float | None = None
    mpvpe: float | None = None
    pa_mpvpe: float | None = None
    seconds: float | None = None
    seconds_batch1: float | None = None
    part: str = "body"


def evaluate(
    path: Path,
    *,
    run_ids: Sequence[str] = (),
    samples: str = "",
    truth: Path | None = None,
    json_file: Path | None = None,
) -> Generator[Progress, None, Table]:
    """Measures runs on every data set that they have fits of; with `truth` also the mean-pose predictor.

    Args:
        samples: keys with commas, or a file with one a line: these people alone are measured.
        truth: folder of `<data set>/body.arrow`, fits in the photo's camera frame. Only this command opens it.

    Raises:
        RunError: a run or a sample is unknown, or the truth belongs to another body model.
        BodyModelError: fits belong to another body model than the project has.
    """
    project = Project.open(path)
    if truth is not None and not any(truth.glob("*/body.arrow")):
        raise RunError(f"{truth} holds no truth (<data set>/body.arrow); give the folder that the demo wrote.")
    runs = [project.run(run_id) for run_id in run_ids] or [covering_run(project)]
    named = frozenset(named_samples(project, samples) if samples else ())
    body = load_body_model(project.body_model_root("smplx"), "smplx")
    bodies = _bodies(project, runs)
    results: list[Evaluation] = []
    for dataset, info in project.datasets().items():
        people = project.samples(dataset, "body").named(named) if "body" in info.parts else None
        if people is None or not len(people):
            results += yield from _parts(project, runs, dataset, info.parts, named)
            continue
        true = _truth(truth, dataset, body)
        floor = _auxiliary_fits(project, runs) if true is not None and info.role != AUXILIARY else []
        if floor:
            yield Progress(f"Measuring {dataset}", message=f"Solving the mean pose for {dataset}")
            fits = mean_pose_fits(people, floor, body)
            results.append((yield from _measure(MEAN_POSE, dataset, fits, people, true, body, body)))
        for run in runs:
            fits = best_fits(run, dataset)
            if fits is not None:
                own = bodies[fits.header.family]
                measured = yield from _measure(run.id, dataset, fits, people, true, own, body)
                results.append(_with_time(measured, run))
        results += yield from _parts(project, runs, dataset, info.parts, named)
    if json_file is not None:
        write_text(json_file, json.dumps([asdict(result) for result in results], indent=2) + "\n")
    return _table(results)


def _parts(
    project: Project, runs: Sequence[Run], dataset: str, counts: Mapping[str, int], named: frozenset[str]
) -> Generator[Progress, None, list[Evaluation]]:
    """The fits of hands and faces by themselves."""
    results: list[Evaluation] = []
    for part in (HANDS, FACES):
        for table in part.tables:
            for run in runs:
                fits = run.fits(dataset, table) if counts.get(table) else None
                if fits is not None and fits.header.family == part.family:
                    body = body_of(project, run, fits)
                    samples = project.samples(dataset, table).named(named)
                    if not len(samples):
                        continue
                    measured = yield from _measure(run.id, dataset, fits, samples, None, body, body)
                    results.append(replace(_with_time(measured, run), part=table))
    return results


def _bodies(project: Project, runs: Sequence[Run]) -> dict[str, BodyModelData]:
    """Body models that the fits of people belong to, by family."""
    tables = [(run, best_fits(run, dataset)) for run in runs for dataset, _ in run.fitted]
    return {fits.header.family: body_of(project, run, fits) for run, fits in tables if fits is not None}


def _truth(folder: Path | None, dataset: str, body: BodyModelData) -> Fits | None:
    file = folder / dataset / "body.arrow" if folder is not None else None
    if file is None or not file.exists():
        return None
    true = Fits.read([file])
    if true.header.body_hash != body.hash:
        raise RunError(
            f"The truth in {file} belongs to another body model than the project's; use the project it was made with."
        )
    return true


def _auxiliary_fits(project: Project, runs: Sequence[Run]) -> list[Fits]:
    names = [name for name, info in project.datasets().items() if info.role == AUXILIARY]
    for run in [*runs, *reversed(project.runs())]:
        found = [fits for name in names if (fits := run.fits(name, "body")) is not None]
        if found and all(fits.header.family == "smplx" for fits in found):
            return found
    return []


def _measure(
    run: str, dataset: str, fits: Fits, samples: Samples, true: Fits | None, own: BodyModelData, body: BodyModelData
) -> Generator[Progress, None, Evaluation]:
    """Measures fits of the body model `own` against a truth of `body`."""
    rows = [row for row, key in enumerate(fits.keys) if fits.ok[row] and key in samples.index_of]
    if true is not None:
        rows = [row for row in rows if fits.keys[row] in true.index_of]
    posers = (Poser(own), Poser(body))
    columns: list[np.ndarray] = []
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        of_samples = np.array([samples.index_of[fits.keys[row]] for row in chunk])
        of_truth = np.array([true.index_of[fits.keys[row]] for row in chunk]) if true is not None else None
        columns.append(_errors(posers, fits, np.array(chunk), samples, of_samples, true, of_truth))
        yield Progress(f"Measuring {run} on {dataset}", start + len(chunk), len(rows), "people")
    errors = np.concatenate(columns, axis=1) if columns else np.full((6, 1), np.nan)
    means = [float(np.nanmean(row)) if np.isfinite(row).any() else None for row in errors]
    return Evaluation(
        run=run,
        dataset=dataset,
        people=len(rows),
        failed=sum(key in samples.index_of for key, ok in zip(fits.keys, fits.ok, strict=True) if not ok),
        error_2d_crop=means[0],
        error_2d=means[1],
        mpjpe=means[2],
        pa_mpjpe=means[3],
        mpvpe=means[4],
        pa_mpvpe=means[5],
    )


def _errors(
    posers: tuple[Poser, Poser],
    fits: Fits,
    rows: np.ndarray,
    samples: Samples,
    of_samples: np.ndarray,
    true: Fits | None,
    of_truth: np.ndarray | None,
) -> np.ndarray:
    """`(6, N)`: 2D in px of the crop and of the image, MPJPE, PA-MPJPE, MPVPE, PA-MPVPE; NaN without truth.

    Args:
        posers: of the fits' body model and of the truth's; vertices are compared where the two are one.
    """
    poser, true_poser = posers
    crop = crop_of_box(samples.boxes[of_samples], samples.sizes[of_samples], drawn=samples.box_drawn)
    camera = Camera(fits.column("focal")[rows].astype(np.float64), fits.column("princpt")[rows].astype(np.float64))
    posed = poser.pose({name: values[rows] for name, values in fits.parameters.items()})
    chosen = error_points(samples.skeleton, samples.part)
    points = posed.points(samples.skeleton.name)[:, chosen] + fits.column("transl")[rows][:, None]
    errors = np.full((6, len(rows)), np.nan)
    errors[0], errors[1] = error_2d(camera.project(points), samples.keypoints[of_samples][:, chosen], crop)
    if true is None or of_truth is None:
        return errors
    truth = true_poser.pose({name: values[of_truth] for name, values in true.parameters.items()})
    true_camera = Camera(
        true.column("focal")[of_truth].astype(np.float64), true.column("princpt")[of_truth].astype(np.float64)
    )
    turn = np.swapaxes(between_cameras(true_camera, camera, crop), -1, -2)
    joints, true_joints = posed.points(HUMAN36M.name) @ turn, truth.points(HUMAN36M.name)
    root, true_root = joints[:, 0], true_joints[:, 0]
    chosen, true_chosen = joints[:, H36M_EVALUATED], true_joints[:, H36M_EVALUATED]
    errors[2:4] = joint_error_mm(chosen, true_chosen, root, true_root), aligned_error_mm(chosen, true_chosen)
    if poser.body.hash == true_poser.body.hash:
        vertices = posed.vertices @ turn
        errors[4] = joint_error_mm(vertices, truth.vertices, root, true_root)
        errors[5] = aligned_error_mm(vertices, truth.vertices)
    return errors


def _with_time(measured: Evaluation, run: Run) -> Evaluation:
    seconds, batch1 = annotation_seconds(run)
    return replace(measured, seconds=seconds, seconds_batch1=batch1)


def annotation_seconds(run: Run) -> tuple[float, float | None]:
    """Wall time of training plus annotating from the run's events, and the same with annotating at batch 1 (the paper's form).

    The second is None where the run did not measure annotating one by one.
    """
    training = annotating = 0.0
    one_by_one: dict[str, float] = {}  # by stage: a resumed run measures it again
    before: float | None = None
    for event in run.job.events():
        if event["t"] == "hello":
            before = event["time"]
        elif event["t"] == "progress" and before is not None:
            if event["stage"].startswith("Training"):
                training += event["time"] - before
            elif event["stage"].startswith("Annotating"):
                annotating += event["time"] - before
            seconds = event.get("values", {}).get("seconds_batch1")
            if seconds is not None:
                one_by_one[event["stage"]] = seconds
            before = event["time"]
    return training + annotating, training + sum(one_by_one.values()) if one_by_one else None


def _table(results: Sequence[Evaluation]) -> Table:
    columns = (
        "annotator",
        "data set",
        "people",
        "2D px of 256",
        "2D image px",
        "MPJPE mm",
        "PA-MPJPE mm",
        "MPVPE mm",
        "PA-MPVPE mm",
        "time",
    )
    rows = tuple(
        (
            result.run,
            result.dataset if result.part == "body" else f"{result.dataset} ({result.part})",
            f"{result.people:,}",
            *("" if value is None else f"{value:.1f}" for value in _errors_of(result)),
            "" if result.seconds is None else duration_text(result.seconds),
        )
        for result in results
    )
    return Table("", columns, rows, tuple(_notes(results)))


def _errors_of(result: Evaluation) -> tuple[float | None, ...]:
    joints, vertices = (result.mpjpe, result.pa_mpjpe), (result.mpvpe, result.pa_mpvpe)
    return (result.error_2d_crop, result.error_2d, *joints, *vertices)


def _notes(results: Sequence[Evaluation]) -> list[str]:
    notes = [
        f"{result.failed:,} {'' if result.part == 'body' else f'{result.part} '}fits of {result.run} on {result.dataset} failed "
        "and do not count."
        for result in results
        if result.failed
    ]
    floors = {result.dataset: result.pa_mpjpe for result in results if result.run == MEAN_POSE}
    for result in results:
        floor = floors.get(result.dataset)
        if result.run != MEAN_POSE and floor and result.pa_mpjpe:
            notes.append(
                f"{result.run}: PA-MPJPE is {result.pa_mpjpe / floor:.2f} of the mean-pose predictor's on {result.dataset}."
            )
        if result.seconds_batch1 is not None:
            notes.append(
                f"{result.run}: {duration_text(result.seconds_batch1)} in the paper's form (annotating one by one)."
            )
    return list(dict.fromkeys(notes))
