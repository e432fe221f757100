"""The parts of a person that have networks of their own: their samples, body model, points and camera.

Legend: R rotations (the root, then those that a network predicts), S shape numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.camera import BODY_SPAN, VIRTUAL_FOCAL, VIRTUAL_SIZE
from annotator.fit import PARAMETERS
from annotator.skeleton import (
    COCO,
    COCO_WHOLEBODY,
    CROWDPOSE,
    FACE,
    FLAME,
    HAND,
    HUMAN36M,
    INTERHAND_HAND,
    LSP,
    MPI_INF_3DHP,
    MPI_INF_3DHP_SOURCE,
    MPII,
    OPENPOSE,
    OPENPOSE_BODY,
    OPENPOSE_INNER,
    SMPL,
    Skeleton,
)

if TYPE_CHECKING:
    from annotator.bodies.files import BodyModelData
    from annotator.recipe import Recipe

HAND_SPAN = FACE_SPAN = 0.4
"""Metres that fill the crop at the greatest depth of the camera head, as in the authors' sibling code."""
_ROOTS = ("pelvis", "wrist", "neck")


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        name: its table in a recipe and the first word of its networks' folders. word: on the command line.
        models: body model of each of its tables of samples, by the table's part.
        family: of those models. pose: parameter that holds the predicted local rotations.
        joints: the models' joints that those rotations are of; what lies between and after them is at rest.
        span: metres that fill the crop at the greatest depth.
        facing: whether the model at rest is upright and looks at +z, so that networks begin with it turned about.
        skeletons: whose 2D points its networks may be taught. `always` are there whatever the data sets are.
        pose_skeleton: that the 3D pose of an imitated fit has.
    """

    name: str
    word: str
    models: dict[str, str]
    family: str
    pose: str
    joints: tuple[int, ...]
    span: float
    facing: bool
    skeletons: tuple[Skeleton, ...]
    always: tuple[Skeleton, ...]
    pose_skeleton: Skeleton

    @property
    def tables(self) -> tuple[str, ...]:
        """Parts of the tables of samples and fits, as folders and files name them."""
        return tuple(self.models)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that its networks predict."""
        return ("global_orient", self.pose, "betas", *(("expression",) if self.family == "flame" else ()))

    @property
    def shape_width(self) -> int:
        """S: ten betas, and for the face ten numbers of expression after them."""
        return 20 if self.family == "flame" else 10

    @property
    def rotations(self) -> int:
        """R."""
        return 1 + len(self.joints)

    @property
    def max_depth(self) -> float:
        """Depth in metres at which `span` metres fill the crop: the camera head's sigmoid times this is t_z."""
        return VIRTUAL_FOCAL * self.span / VIRTUAL_SIZE


BODY = Part(
    name="body",
    word="body",
    models={"body": "smplx"},
    family="smplx",
    pose="body_pose",
    joints=tuple(range(1, 22)),
    span=BODY_SPAN,
    facing=True,
    skeletons=(
        *(COCO_WHOLEBODY, HUMAN36M, MPI_INF_3DHP, MPI_INF_3DHP_SOURCE, SMPL),
        *(OPENPOSE, OPENPOSE_INNER, OPENPOSE_BODY, MPII, CROWDPOSE, LSP),
    ),
    always=(COCO_WHOLEBODY, HUMAN36M),
    pose_skeleton=HUMAN36M,
)
SMPL_BODY = replace(BODY, models={"body": "smpl"}, family="smpl")
"""Bodies whose parameters are SMPL's: the same 21 joints are predicted, its two hands stay at rest."""
HANDS = Part(
    name="hand",
    word="hands",
    models={"rhand": "mano_right", "lhand": "mano_left"},
    family="mano",
    pose="hand_pose",
    joints=tuple(range(1, 16)),
    span=HAND_SPAN,
    facing=False,
    skeletons=(HAND,),
    always=(HAND,),
    pose_skeleton=HAND,
)
FACES = Part(
    name="face",
    word="face",
    models={"face": "flame"},
    family="flame",
    pose="jaw_pose",
    joints=(2,),
    span=FACE_SPAN,
    facing=True,
    skeletons=(FACE, FLAME),
    always=(FACE, FLAME),
    pose_skeleton=FLAME,
)
PARTS: dict[str, Part] = {part.word: part for part in (BODY, HANDS, FACES)}
"""By the word of the command line."""
WHOLE = "whole"
"""The part that is joined from the others."""


def part_in(word: str, recipe: Recipe) -> Part:
    """The part of a word, bodies with the body model that the recipe names."""
    return SMPL_BODY if word == BODY.word and recipe.body.model == SMPL_BODY.family else PARTS[word]


_SAME = {COCO.name: COCO_WHOLEBODY, INTERHAND_HAND.name: HAND}
"""Skeletons whose points are points of the same names in another one."""


def taught_as(skeleton: Skeleton) -> Skeleton:
    """The skeleton as which networks are taught this one's points, found there by their names."""
    return _SAME.get(skeleton.name, skeleton)


def skeletons_of(part: Part, given: Iterable[Skeleton]) -> tuple[Skeleton, ...]:
    """The skeletons whose points the networks of a part are taught, where the data sets have these, in a fixed order."""
    known = {taught_as(skeleton) for skeleton in given}
    return tuple(skeleton for skeleton in part.skeletons if skeleton in known or skeleton in part.always)


def root_of(skeleton: Skeleton) -> int:
    """Index of the point that a 3D pose is relative to: pelvis, wrist, or the neck of a head."""
    return next(skeleton.index_of[name] for name in _ROOTS if name in skeleton.index_of)


def pose_vectors(part: Part, parameters: Mapping[str, np.ndarray], model: BodyModelData | None) -> np.ndarray:
    """`(N, R, 3)` axis-angle of a fit's predicted joints, the root first; a hand's mean pose is added."""
    local = parameters[part.pose][:, : 3 * len(part.joints)]
    if part.family == "mano" and model is not None:
        local = local + model.hand_mean[model.side]
    return np.concatenate([parameters["global_orient"], local], axis=1).reshape(-1, part.rotations, 3)


def shape_numbers(part: Part, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """`(N, S)` betas; of a face its expression after them."""
    if part.family != "flame":
        return parameters["betas"]
    return np.concatenate([parameters["betas"], parameters["expression"]], axis=1)


def parameters_of(
    part: Part, vectors: np.ndarray, shape: np.ndarray, model: BodyModelData | None
) -> dict[str, np.ndarray]:
    """The parameters of fits from what `pose_vectors` and `shape_numbers` give."""
    local = vectors[:, 1:].reshape(len(vectors), -1)
    if part.family == "mano" and model is not None:
        local = local - model.hand_mean[model.side]
    beyond = PARAMETERS[part.family][part.pose] - local.shape[1]
    local = np.pad(local, [(0, 0), (0, beyond)])
    found = {"global_orient": vectors[:, 0], part.pose: local, "betas": shape[:, :10]}
    return found | ({"expression": shape[:, 10:]} if part.family == "flame" else {})
