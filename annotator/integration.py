"""Body, hands and face -> one expressive fit of SMPL-X (paper, section 4; the supplement's Algorithm 2).

Finger poses, jaw and expression are taken as they are. The body's networks see little of how a forearm is rolled, so the
hand's own global rotation may replace the wrist's, and pull half of its roll into the elbow. Fits of different crops are
first turned into the camera that the body's fit carries.

The paper names no Euler order. Here a rotation is Rz Ry Rx, so that x is the roll about the limb's own axis (arms lie along x
at rest). The elbow's new roll is half of the twist of the hand against it, which has no jump at half a turn; where the
two differ in roll alone that is the mean of their x angles.

Legend: N people.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData, load_body_model
from annotator.bodies.posing import axis_angle_to_matrix
from annotator.camera import Camera, Crop, between_cameras, crop_of_box
from annotator.fit import FitHeader, Fits
from annotator.part import PARTS
from annotator.progress import Progress, Work
from annotator.project import Project
from annotator.runs import Run
from annotator.sample import Samples
from annotator.scores import write_2d_errors

WRISTS = {"lhand": 20, "rhand": 21}
"""SMPL-X's wrist of each hand; its elbow and shoulder are above it."""
MOST_Y, MOST_Z = np.pi / 4, np.pi / 2
"""Radians: a wrist that bends further does not follow people's anatomy, and the body's own elbow and wrist stay."""
OTHERS = ("rhand", "lhand", "face")
"""Tables that are joined to a body's."""
SHARD = 512
_SIDES = {"lhand": "left", "rhand": "right"}
_BODY_JOINTS = 22


@dataclass(frozen=True)
class PartFits:
    """Fits of one part with the samples that they are of.

    Attributes:
        model: the body model that they belong to.
    """

    samples: Samples
    fits: Fits
    model: BodyModelData


def join(project: Project, run: Run, dataset: str) -> Work:
    """Writes the whole fits of a data set, those that are not there yet: where a run has its bodies and another part."""
    body = _part_fits(project, run, dataset, "body")
    others = [found for part in OTHERS if (found := _part_fits(project, run, dataset, part)) is not None]
    if body is None or not others:
        return
    total = len(body.fits)
    for number, start in enumerate(range(0, total, SHARD)):
        path = run.shard_path(dataset, "whole", number)
        if not path.exists():
            some = replace(body, fits=Fits(body.fits.table.slice(start, SHARD)))
            whole_fits(some, others).write(path)
        yield Progress(f"Joining the parts of {dataset}", min(start + SHARD, total), total, "people")
    yield from write_2d_errors(run, dataset, body.samples, body.model, part="whole")


def _part_fits(project: Project, run: Run, dataset: str, table: str) -> PartFits | None:
    fits = run.fits(dataset, table)
    part = next(part for part in PARTS.values() if table in part.models)
    if fits is None or fits.header.family != part.family:
        return None
    model = load_body_model(project.body_model_root(part.family), part.models[table])
    return PartFits(project.samples(dataset, table), fits, model)


def whole_fits(body: PartFits, others: Iterable[PartFits]) -> Fits:
    """The body's fits, expressive: one row for each of them, in their order and with their camera.

    Further columns say what each has: `integration.rhand_valid`, `lhand_valid` and `face_valid` 0 or 1, and
    `integration.rwrist` and `lwrist` 1 where elbow and wrist are those of Algorithm 2.
    """
    fits, count = body.fits, len(body.fits)
    parameters = {name: values.copy() for name, values in fits.parameters.items()}
    extra = {
        f"integration.{name}": np.zeros(count, np.int32)
        for name in ("rhand_valid", "lhand_valid", "face_valid", "rwrist", "lwrist")
    }
    for other in others:
        part = other.samples.part
        rows, theirs = _matched(fits, other.fits, part)
        extra[f"integration.{part}_valid"][rows] = 1
        if part == "face":
            for name in ("jaw_pose", "expression"):
                parameters[name][rows] = other.fits.column(name)[theirs]
            continue
        side = _SIDES[part]
        shift = other.model.hand_mean[side] - body.model.hand_mean[side]
        parameters[f"{side}_hand_pose"][rows] = other.fits.column("hand_pose")[theirs] + shift
        hand = _in_the_bodys_camera(fits, rows, other, theirs)
        pose, taken = with_hand(
            parameters["global_orient"][rows], parameters["body_pose"][rows], hand, body.model.parents, WRISTS[part]
        )
        parameters["body_pose"][rows] = pose
        extra[f"integration.{part[0]}wrist"][rows] = taken
    return Fits.of(
        FitHeader("smplx", "whole", fits.header.body_hash),
        fits.keys,
        parameters,
        focal=fits.column("focal"),
        princpt=fits.column("princpt"),
        transl=fits.column("transl"),
        reasons=fits.table["reason"].to_pylist(),
        extra=extra,
    )


def with_hand(
    orient: np.ndarray, pose: np.ndarray, hand: np.ndarray, parents: np.ndarray, wrist: int
) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 2 for one side.

    Args:
        orient: `(N, 3)` global rotation of the body. pose: `(N, 63)` local rotations of its 21 joints.
        hand: `(N, 3, 3)` global rotation of the hand, in the camera that `orient` is in.
        wrist: index of the wrist among the body's joints.

    Returns:
        `(N, 63)` the new pose, and `(N,)` bool: for whom elbow and wrist were replaced.
    """
    elbow, shoulder = int(parents[wrist]), int(parents[parents[wrist]])
    local = axis_angle_to_matrix(np.concatenate([orient, pose], axis=1).reshape(-1, _BODY_JOINTS, 3)).astype(np.float64)
    turned = local.copy()  # line 1: forward kinematics
    for joint in range(1, _BODY_JOINTS):
        turned[:, joint] = turned[:, parents[joint]] @ local[:, joint]
    twist = _twist(np.swapaxes(turned[:, elbow], -1, -2) @ hand)
    rolled = turned[:, elbow] @ Rotation.from_euler("x", twist[:, None] / 2).as_matrix()  # lines 4 and 5
    new_elbow = np.swapaxes(turned[:, shoulder], -1, -2) @ rolled  # line 6
    new_wrist = np.swapaxes(rolled, -1, -2) @ hand
    angles = Rotation.from_matrix(new_wrist).as_euler("xyz")
    taken = (np.abs(angles[:, 1]) < MOST_Y) & (np.abs(angles[:, 2]) < MOST_Z)  # line 7
    out = pose.reshape(-1, _BODY_JOINTS - 1, 3).copy()
    for joint, matrix in ((elbow, new_elbow), (wrist, new_wrist)):  # lines 8 and 9
        out[taken, joint - 1] = Rotation.from_matrix(matrix[taken]).as_rotvec()
    return out.reshape(pose.shape), taken


def _twist(matrices: np.ndarray) -> np.ndarray:
    """`(N,)` angle about x of the twist of rotations: what is left of them after the shortest turn of their x axis."""
    x, _, _, w = np.moveaxis(Rotation.from_matrix(matrices).as_quat(), -1, 0)
    angle = 2 * np.arctan2(x, w)
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _matched(body: Fits, other: Fits, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the body's fits and of another part's that are of one person; none of them failed."""
    found = np.array([other.index_of.get(f"{key}/{part}", -1) for key in body.keys], np.int64)
    rows = np.flatnonzero((found >= 0) & body.ok & other.ok[found])
    return rows, found[rows]


def _in_the_bodys_camera(body: Fits, rows: np.ndarray, hand: PartFits, theirs: np.ndarray) -> np.ndarray:
    """`(N, 3, 3)` global rotations of hands as the cameras of their bodies see them, each at the hand's crop."""
    of_samples = np.array([hand.samples.index_of[hand.fits.keys[row]] for row in theirs.tolist()], np.int64)
    crop = crop_of_box(hand.samples.boxes[of_samples], hand.samples.sizes[of_samples], drawn=hand.samples.box_drawn)
    turn = between_cameras(_camera(body, rows), _camera(hand.fits, theirs), Crop(crop.center, crop.side))
    return turn @ axis_angle_to_matrix(hand.fits.column("global_orient")[theirs])


def _camera(fits: Fits, rows: np.ndarray) -> Camera:
    return Camera(fits.column("focal")[rows].astype(np.float64), fits.column("princpt")[rows].astype(np.float64))
