"""The output folder of SMPLify-X: `results/<photo>/<NNN>.pkl`, one person a file, and the `conf.yaml` that its readers need.

Rotations of the body are axis-angle (`use_vposer: false`), hands twelve coefficients of the body model's components, the
camera f = 5000 at the photo's centre; that layout has no place for another. A fit that was made through another camera
is turned so that it looks the same from there, and stands where its joints fall on the same pixels.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Generator
from pathlib import Path, PurePosixPath

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.pickle_writer import write_pickle
from annotator.bodies.posing import Poser
from annotator.camera import Camera, between_cameras, crop_of_box, solve_translation
from annotator.errors import RunError, storage
from annotator.exports.writing import ExportTable
from annotator.outside import exists, short
from annotator.progress import Progress
from annotator.sample import Samples

FOCAL = 5000.0
HAND_COMPONENTS = 12
_CHUNK = 64
_FACE = ("jaw_pose", "leye_pose", "reye_pose", "expression")


def write_smplifyx(tables: list[ExportTable], path: Path) -> Generator[Progress, None, int]:
    """Writes the folder `path`, which appears whole or not at all.

    Raises:
        RunError: it is there already, fits are of neither SMPL-X nor SMPL, or two photos have the same name.
    """
    if exists(path):
        raise RunError(f"{path} is there already, and an output folder is written as a whole; choose another place.")
    families = {table.fits.header.family for table in tables}
    if wrong := families - {"smplx", "smpl"} or (families if len(families) > 1 else set()):
        raise RunError(
            f"The smplifyx export holds fits of SMPL-X or of SMPL, and these are {' and '.join(sorted(wrong))}."
        )
    _check_names(tables)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    total, done = sum(len(table.rows) for table in tables), 0
    try:
        with storage(path):
            (aside / "results").mkdir(parents=True)
            (aside / "conf.yaml").write_text(_conf(families.pop()), encoding="utf-8")
        counts: Counter[str] = Counter()
        for table in tables:
            for start in range(0, len(table.rows), _CHUNK):
                rows = table.rows[start : start + _CHUNK]
                for name, content in _entries(table, np.array(rows)):
                    file = aside / "results" / name / f"{counts[name]:03d}.pkl"
                    counts[name] += 1
                    with storage(path):
                        file.parent.mkdir(exist_ok=True)
                    write_pickle(file, content)
                done += len(rows)
                yield Progress("Exporting", done, total, "people")
        with storage(path):
            aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return total


def photo_name(image: str) -> str:
    """The folder of a photo's results: the photo's name without its ending."""
    return PurePosixPath(image).stem


def _check_names(tables: list[ExportTable]) -> None:
    owner: dict[str, tuple[str, str]] = {}
    for table in tables:
        index_of = table.samples.index_of
        images = table.samples.table["image"].to_pylist()
        for row in table.rows:
            image = images[index_of[table.fits.keys[row]]]
            before = owner.setdefault(photo_name(image), (table.dataset, image))
            if before != (table.dataset, image):
                raise RunError(
                    f"{before[0]} and {table.dataset} have photos of the same name, {short(before[1])} and {short(image)}, and "
                    "results are kept by it alone; export one data set at a time with --data, or rename one of the photos."
                )


def _conf(family: str) -> str:
    lines = {
        "focal_length": FOCAL,
        "gender": "neutral",
        "model_type": family,
        "num_pca_comps": HAND_COMPONENTS,
        "use_face": str(family == "smplx").lower(),
        "use_hands": str(family == "smplx").lower(),
        "use_pca": "true",
        "flat_hand_mean": "false",
        "use_vposer": "false",
    }
    return "".join(f"{name}: {value}\n" for name, value in lines.items())


def _entries(table: ExportTable, rows: np.ndarray) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Name of the photo and content of the file, of each row."""
    fits, index_of = table.fits, table.samples.index_of
    samples = table.samples.take([index_of[fits.keys[row]] for row in rows])
    parameters = {name: values[rows] for name, values in fits.parameters.items()}
    camera = Camera(fits.column("focal")[rows].astype(np.float64), fits.column("princpt")[rows].astype(np.float64))
    orient, transl = _as_published(parameters, fits.column("transl")[rows], camera, samples, table.body)
    columns = {
        "camera_rotation": np.tile(np.eye(3, dtype=np.float32), (len(rows), 1, 1)),
        "camera_translation": transl,
        "global_orient": orient,
        **{name: parameters[name] for name in ("betas", "body_pose", *_FACE) if name in parameters},
    }
    for side, components in table.body.hand_components.items():
        name = f"{side}_hand_pose"
        if name in parameters:
            columns[name] = parameters[name] @ np.linalg.pinv(components[:HAND_COMPONENTS].astype(np.float64))
    names = [photo_name(image) for image in samples.table["image"].to_pylist()]
    return [
        (photo, {name: values[[place]].astype(np.float32) for name, values in columns.items()})
        for place, photo in enumerate(names)
    ]


def _as_published(
    parameters: dict[str, np.ndarray], transl: np.ndarray, camera: Camera, samples: Samples, body: BodyModelData
) -> tuple[np.ndarray, np.ndarray]:
    """`global_orient` and translation under f = 5000 at the photo's centre; those already made so are left as they are."""
    from scipy.spatial.transform import Rotation

    published = Camera(np.full((len(samples), 2), FOCAL), samples.sizes.astype(np.float64) / 2)
    other = ((camera.focal != published.focal) | (camera.princpt != published.princpt)).any(axis=1)
    orient, place = parameters["global_orient"].astype(np.float64), transl.astype(np.float64)
    if other.any():
        poser = Poser(body)
        crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
        turn = between_cameras(published, camera, crop)
        turned = (Rotation.from_matrix(turn) * Rotation.from_rotvec(orient)).as_rotvec()
        seen = poser.pose(parameters).joints + transl[:, None]
        pixels = camera.project(seen.astype(np.float64))
        joints = poser.pose({**parameters, "global_orient": turned}).joints.astype(np.float64)
        depth = place[:, 2:] * FOCAL / camera.focal.mean(axis=1, keepdims=True)
        ray = (pixels.mean(axis=1) - published.princpt) / FOCAL
        start = np.concatenate([ray * depth, depth], axis=1)
        solved = solve_translation(joints, pixels, np.ones(pixels.shape[:2]), published, start=start)
        orient = np.where(other[:, None], turned, orient)
        place = np.where(other[:, None], solved, place)
    return orient, place
