"""Annotating with trained networks: crops -> fits, in shards that appear whole, with the same bytes every time on CPU.

A target fit keeps the virtual camera and the crop frame, or is turned back to the photo's own camera where K is known; an
auxiliary fit is turned back to the camera of its GT. Left hands, which networks see as right ones, are mirrored back here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from annotator import ranks
from annotator.augment import Changes
from annotator.backbone import prepare
from annotator.batches import MIRRORED, mirrored_crops, mirrored_lessons
from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser, axis_angle_to_matrix
from annotator.camera import VIRTUAL_FOCAL, VIRTUAL_SIZE, Camera, Crop, crop_from_camera, solve_translation
from annotator.crops import Crops
from annotator.fit import FitHeader, Fits
from annotator.network import AuxiliaryNetwork, Prediction, TargetNetwork
from annotator.part import BODY, Part, parameters_of, root_of
from annotator.progress import Progress, Work
from annotator.recipe import CROP_FRAME
from annotator.rotations import matrix_to_axis_angle
from annotator.sample import Samples
from annotator.skeleton import HUMAN36M, loss_points
from annotator.supervision import Lessons

SHARD = 512
_NOT_FINITE = "the network says what is no number; train it anew with a lower learning_rate"
_FARTHEST = 4.0
"""How many times nearer or farther than a network says the keypoints may bring a person in the photo's own camera."""
_BATCH = 64
_TIMED = 8
_NO_JOINT = "none of its 3D joints is known"
Predict = Callable[[np.ndarray], Prediction]
"""Rows of the table -> the network's prediction for them."""
ToFits = Callable[[np.ndarray, dict[str, np.ndarray]], Fits]
"""Rows and their predicted columns (axis-angle root and local pose, shape numbers, transl) -> fits."""


def annotate(
    stage: str,
    predict: Predict,
    to_fits: ToFits,
    shard_path: Callable[[int], Path],
    crops: Crops,
    *,
    timed: bool = True,
) -> Work:
    """Writes the shards that are not there yet; of several processes each writes its own.

    Args:
        predict: of a full batch of rows; a short last batch is padded, so that sizes never differ.
        to_fits: rows and their predicted columns -> fits; rows without a crop are marked failed by it.
        shard_path: where shard number n goes.
        timed: whether some people are done once more, one by one, for the paper's form of annotation time.
    """
    total = len(crops.reasons)
    for number, start in enumerate(range(0, total, SHARD)):
        rows = np.arange(start, min(start + SHARD, total))
        if number % ranks.count() != ranks.number():
            continue
        if shard_path(number).exists():
            yield Progress(stage, int(rows[-1]) + 1, total, "people")
            continue
        columns: list[dict[str, np.ndarray]] = []
        for batch in _padded(rows):
            columns.append(_columns(predict(batch)))
            yield Progress(stage, min(int(batch.max()) + 1, total), total, "people")
        merged = {name: np.concatenate([c[name] for c in columns])[: len(rows)] for name in columns[0]}
        to_fits(rows, merged).write(shard_path(number))
    timed = timed and ranks.leads()
    values = {"seconds_batch1": _one_by_one(predict, total)} if timed else dict[str, float]()
    yield Progress(stage, total, total, "people", values=values)


def target_fits(
    samples: Samples, taught: Lessons, crops: Crops, body: BodyModelData, part: Part = BODY, frame: str = CROP_FRAME
) -> ToFits:
    """How rows of a target set become fits.

    Args:
        body: the model of their own side.
        frame: of the recipe, in which the network speaks: the crop's, from which the root is turned back where K is known,
            or the camera's already.
    """
    poser = Poser(body)
    intrinsics = samples.intrinsics.astype(np.float64)
    points = loss_points(samples.skeleton, samples.part)
    present = body.points[samples.skeleton.name].present[points]

    def make(rows: np.ndarray, columns: dict[str, np.ndarray]) -> Fits:
        columns = own_side(columns, samples.part)
        crop = Crop(taught.crop.center[rows], taught.crop.side[rows])
        camera = crop.virtual_camera()
        known = np.flatnonzero(intrinsics[rows, 2, 2] > 0)
        if len(known):
            keypoints = samples.keypoints[rows[known]][:, points].astype(np.float64)
            area = Crop(crop.center[known], crop.side[known])
            given = Camera.of_matrix(intrinsics[rows[known]])
            turned = {name: values[known] for name, values in columns.items()}
            if frame == CROP_FRAME:
                turned = _turned_back(turned, given, area)
            placed = poser.pose(_parameters(part, turned, body)).points(samples.skeleton.name)[:, points]
            start = _start(columns["transl"][known], given, area)
            confidence = keypoints[..., 2] * present
            turned["transl"] = solve_translation(
                placed, keypoints[..., :2], confidence, given, start=start, within=_FARTHEST
            )
            unsolved = (turned["transl"] == start).all(axis=1)
            turned["transl"][unsolved] = _start(columns["transl"][known], given, area, aside=True)[unsolved]
            for name, values in turned.items():
                columns[name][known] = values
            camera.focal[known], camera.princpt[known] = given.focal, given.princpt
        return _fits(samples, rows, columns, camera, crops, body, part)

    return make


def auxiliary_fits(samples: Samples, taught: Lessons, crops: Crops, body: BodyModelData, part: Part = BODY) -> ToFits:
    """How rows of an auxiliary set become fits: in the camera of its GT, with the GT's root."""
    # The data set's pelvis is a mixture of joints that hang from the root, so the root's rotation alone moves it.
    skeleton = samples.joint_skeleton or HUMAN36M
    of_root = body.points[skeleton.name].joint_weights[root_of(skeleton)]
    rows_of = sparse.csr_array(np.stack([np.eye(len(body.parents))[0], of_root]))
    regressor = rows_of @ body.joint_regressor
    template = regressor @ body.v_template
    shapes = (regressor @ body.shapedirs.reshape(len(body.shapedirs), -1)).reshape(2, 3, -1)
    poser = Poser(body)

    def make(rows: np.ndarray, columns: dict[str, np.ndarray]) -> Fits:
        columns = own_side(columns, samples.part)
        camera = Camera.of_matrix(samples.intrinsics[rows].astype(np.float64))
        turn = np.swapaxes(taught.turn[rows], -1, -2)
        columns["global_orient"] = _rotated(turn, columns["global_orient"])
        root, pelvis = np.moveaxis(template + np.einsum("pcs,ns->npc", shapes, columns["shape"]), 1, 0)
        turned = np.einsum("nab,nb->na", axis_angle_to_matrix(columns["global_orient"]), pelvis - root)
        columns["transl"] = taught.roots[rows] - root - turned
        joints = samples.joints[rows] if samples.joints is not None else np.zeros((len(rows), len(skeleton), 4))
        lost = np.flatnonzero(joints[:, root_of(skeleton), 3] == 0)
        if len(lost):  # no root is labelled there: the mean of the joints that are
            some = {name: values[lost] for name, values in columns.items()}
            away = joints[lost, :, :3] - poser.pose(_parameters(part, some, body)).points(skeleton.name)
            known = joints[lost, :, 3:]
            columns["transl"][lost] = (away * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1e-6)
        unknown = dict.fromkeys(rows[~joints[..., 3].any(axis=1)].tolist(), _NO_JOINT)
        return _fits(samples, rows, columns, camera, crops, body, part, unknown)

    return make


def own_side(columns: Mapping[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    """Predicted columns as the hand's own: those of left hands, which were seen in the mirror, are turned round."""
    out = dict(columns)
    if part != MIRRORED:
        return out
    for name in ("global_orient", "pose"):
        vectors = out[name].reshape(len(out[name]), -1, 3)
        out[name] = (vectors * np.array([1, -1, -1], vectors.dtype)).reshape(out[name].shape)
    out["transl"] = out["transl"] * np.array([-1, 1, 1], out["transl"].dtype)
    return out


def predictor(
    network: TargetNetwork | AuxiliaryNetwork,
    crops: Crops,
    taught: Lessons,
    device: torch.device,
    *,
    part: str = "body",
    joints: slice = slice(None),
    precision: str = "fp32",
) -> Predict:
    """Runs a network on rows, without gradients.

    Args:
        part: of the table; left hands are mirrored.
        joints: those of the 3D pose that an auxiliary network sees.
        precision: the recipe's word for that of its backbone.
    """
    prepare(network, precision)

    def predict(rows: np.ndarray) -> Prediction:
        images = crops_tensor(crops, rows, device, part)
        seen = lesson_rows(taught, rows, ("pixels", "joints"), part)
        pixels, pose = (
            torch.as_tensor(seen[name], dtype=torch.float32, device=device) for name in ("pixels", "joints")
        )
        with torch.inference_mode():
            if isinstance(network, AuxiliaryNetwork):
                return network(images, pose[:, joints])
            return network(images, pixels)

    return predict


def crops_tensor(
    crops: Crops, rows: np.ndarray, device: torch.device, part: str = "body", changes: Changes | None = None
) -> torch.Tensor:
    """`(B, 3, S, S)` uint8, channels last in memory; changed where that is wanted, then of left hands as right ones."""
    taken = crops.take(rows) if changes is None else changes.of_crops(crops.take(rows))
    return torch.as_tensor(mirrored_crops(taken) if part == MIRRORED else taken).to(device).permute(0, 3, 1, 2)


def lesson_rows(
    taught: Lessons,
    rows: np.ndarray,
    names: Iterable[str],
    part: str = "body",
    change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Columns of lessons for some rows; changed where that is wanted, then of left hands as right ones."""
    columns = {name: getattr(taught, name)[rows] for name in names}
    columns = columns if change is None else change(columns)
    return mirrored_lessons(columns) if part == MIRRORED else columns


def _padded(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        yield np.concatenate([batch, np.full(_BATCH - len(batch), batch[-1])])


def _columns(prediction: Prediction) -> dict[str, np.ndarray]:
    """What a network says as vectors; where that is no number, rest a metre away and 1 in the column `not_finite`."""
    rotations, betas = prediction.rotations.float().cpu(), prediction.betas.float().cpu()
    transl = torch.zeros(len(betas), 3) if prediction.transl is None else prediction.transl.float().cpu()
    finite = torch.cat([rotations.flatten(1), betas, transl], dim=1).isfinite().all(dim=1)
    rotations = torch.where(finite[:, None, None, None], rotations, torch.eye(3))
    betas = torch.where(finite[:, None], betas, 0.0)
    transl = torch.where(finite[:, None], transl, torch.tensor([0.0, 0.0, 1.0]))
    vectors = matrix_to_axis_angle(rotations).flatten(1).numpy()
    return {
        "global_orient": vectors[:, :3],
        "pose": vectors[:, 3:],
        "shape": betas.numpy(),
        "transl": transl.numpy(),
        "not_finite": (~finite).numpy(),
    }


def _one_by_one(predict: Predict, total: int) -> float:
    """Seconds that annotating everybody at batch 1 would take (the paper's form of annotation time), from a few people."""
    rows = np.linspace(0, total - 1, min(_TIMED, total)).astype(int)
    predict(rows[:1])
    began = time.perf_counter()
    for row in rows:
        predict(np.array([row]))
    return (time.perf_counter() - began) / len(rows) * total


def _fits(
    samples: Samples,
    rows: np.ndarray,
    columns: dict[str, np.ndarray],
    camera: Camera,
    crops: Crops,
    body: BodyModelData,
    part: Part,
    reasons: Mapping[int, str] | None = None,
) -> Fits:
    lost = set(rows[columns["not_finite"]].tolist()) if "not_finite" in columns else set[int]()
    return Fits.of(
        FitHeader(part.family, samples.part, body.hash),
        [samples.keys[row] for row in rows],
        _parameters(part, columns, body),
        focal=camera.focal,
        princpt=camera.princpt,
        transl=columns["transl"],
        reasons=[
            crops.reasons[row] or (_NOT_FINITE if row in lost else "") or (reasons or {}).get(row, "")
            for row in rows.tolist()
        ],
    )


def _parameters(part: Part, columns: Mapping[str, np.ndarray], body: BodyModelData) -> dict[str, np.ndarray]:
    vectors = np.concatenate([columns["global_orient"], columns["pose"]], axis=1)
    return parameters_of(part, vectors.reshape(len(vectors), -1, 3), columns["shape"], body)


def _turned_back(columns: dict[str, np.ndarray], camera: Camera, crop: Crop) -> dict[str, np.ndarray]:
    turn = np.swapaxes(crop_from_camera(camera, crop), -1, -2)
    return {**columns, "global_orient": _rotated(turn, columns["global_orient"])}


def _rotated(turn: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return (Rotation.from_matrix(turn) * Rotation.from_rotvec(vectors)).as_rotvec().astype(np.float32)


def _start(transl: np.ndarray, camera: Camera, crop: Crop, *, aside: bool = False) -> np.ndarray:
    """Where the search for `transl` under K begins: the crop's centre, at t_z f_K / f_virtual.

    Args:
        aside: where in the photo the network says instead; it stands for people of whom nothing can be solved.
    """
    virtual = VIRTUAL_FOCAL / VIRTUAL_SIZE * crop.side
    depth = transl[:, 2] * camera.focal.mean(axis=1) / virtual
    seen = crop.center + (virtual[:, None] * transl[:, :2] / transl[:, 2:] if aside else 0.0)
    ray = (seen - camera.princpt) / camera.focal
    return np.concatenate([ray * depth[:, None], depth[:, None]], axis=1)
