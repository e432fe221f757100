"""MPI-INF-3DHP in the layout of the authors' loaders: 17 joints in world millimetres, one JSON triple for all subjects.

`MPI-INF-3DHP_1k.json` (images and annotations), `MPI-INF-3DHP_camera_1k.json` (subject -> sequence -> camera) and
`MPI-INF-3DHP_joint_3d.json` (subject -> sequence -> frame), with photos of about 1,000 px in
`images_1k/S<s>/Seq<q>/imageSequence/`. `X_camera = R X_world + t`. Every third frame is read, as those loaders do.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import msgspec

from annotator.datasets.rows import Photo, Rows, WorldCamera, box_of, tables_of, world_camera, world_joints
from annotator.datasets.source import People, ReadResult, Source, linked, read_json
from annotator.errors import DatasetError
from annotator.outside import is_dir
from annotator.progress import Progress
from annotator.skeleton import MPI_INF_3DHP

FRAME_STEP = 3
PHOTOS = "images_1k"
_STAGE = "Reading annotations"
_REPORT_EVERY = 500
_JOINTS = len(MPI_INF_3DHP)


class _Photo(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int
    subject_idx: int
    seq_idx: int
    cam_idx: int
    frame_idx: int


class _Person(msgspec.Struct):
    id: int
    image_id: int
    bbox: list[float]


class _Data(msgspec.Struct):
    images: list[_Photo]
    annotations: list[_Person]


class _Camera(msgspec.Struct):
    R: list[list[float]]
    t: list[float]
    focal: list[float]
    princpt: list[float]


_Cameras = dict[str, dict[str, dict[str, _Camera]]]
_Joints = dict[str, dict[str, dict[str, list[list[float]]]]]


def read_mpi_inf_3dhp(source: Source) -> Generator[Progress, None, ReadResult]:
    """Body samples with GT 3D: `(17, 4)` joints in metres in camera space, their projection as keypoints, K.

    Args:
        source: `annotations` is the folder of the three files. `images` is `images_1k`, or the folder that holds it.

    Raises:
        DatasetError: a file is missing, or their structure is wrong.
    """
    folder = source.annotations
    if not is_dir(folder):
        raise DatasetError(f"{folder} is no folder; give the folder that holds MPI-INF-3DHP_1k.json.")
    paths = [folder / f"MPI-INF-3DHP_{kind}.json" for kind in ("1k", "camera_1k", "joint_3d")]
    yield Progress(_STAGE, message=f"Reading {paths[0]}")
    data = read_json(paths[0], _Data)
    cameras = _cameras(paths[1])
    joints = read_json(paths[2], _Joints)
    inner = f"{PHOTOS}/" if is_dir(source.images / PHOTOS) else ""
    rows = Rows(People(source), "body", MPI_INF_3DHP, box_drawn=False, joint_skeleton=MPI_INF_3DHP)
    between, count = 0, len(data.annotations)
    for number, (place, photo, person) in enumerate(linked(paths[0], data.images, data.annotations, set())):
        box = box_of(person.bbox, place)
        if photo.frame_idx % FRAME_STEP:
            between += 1
        else:
            camera = cameras.get((str(photo.subject_idx), str(photo.seq_idx), str(photo.cam_idx)))
            if camera is None:
                where = f"subject {photo.subject_idx}, sequence {photo.seq_idx}"
                raise DatasetError(f"{place}: {paths[1]} has no camera {photo.cam_idx} of {where}; mend the files.")
            keys = {"subject": photo.subject_idx, "sequence": photo.seq_idx, "frame": photo.frame_idx}
            rows.add_3d(
                str(person.id),
                Photo(
                    f"{inner}S{photo.subject_idx}/Seq{photo.seq_idx}/imageSequence/{photo.file_name}",
                    (photo.width, photo.height),
                ),
                camera.metres(world_joints(joints, keys, _JOINTS, place=place, path=paths[2])),
                camera.pinhole,
                box=box,
                subject=f"S{photo.subject_idx}",
            )
        if number % _REPORT_EVERY == 0:
            yield Progress(_STAGE, number, count, "people")
    yield Progress(_STAGE, count, count, "people")
    notes = (
        (f"{between} annotations between every {FRAME_STEP}rd frame were left out, as the field's loaders do.",)
        if between
        else ()
    )
    return ReadResult(tables_of(rows), tuple(rows.people.refused), tuple(paths), notes)


def _cameras(path: Path) -> dict[tuple[str, str, str], WorldCamera]:
    return {
        (subject, sequence, index): world_camera(
            *(c.R, c.t, c.focal, c.princpt),
            names=("R", "t", "focal", "princpt"),
            where=f"{path}, subject {subject}, sequence {sequence}, camera {index}",
        )
        for subject, sequences in read_json(path, _Cameras).items()
        for sequence, cameras in sequences.items()
        for index, c in cameras.items()
    }
