"""Body, prior and the weights of a stage -> the arrays that kernels take; parameters <-> the state of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from scipy import sparse

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import NECK_JOINT, PointMap
from annotator.bodies.posing import axis_angle_to_matrix, rest_pose
from annotator.fitting import layout
from annotator.fitting.attachments import attach, rest_joints
from annotator.fitting.layout import ARM_PAD, AXIS_ANGLE, LATENT, NO_POSE, SHAPES
from annotator.fitting.parameters import HAND_COMPONENTS, LATENT_WIDTH, Parameters
from annotator.fitting.pose_codes import SLOPES, linear, rotations_of
from annotator.fitting.problem import L1, Problem
from annotator.fitting.reduced import Arm, Articulated, arms_of, reduce_body
from annotator.fitting.spheres import sphere_numbers, sphere_tables, spheres_of
from annotator.fitting.stages import Stage
from annotator.prior import GaussianMixture, VPoser, VPoserV2

if TYPE_CHECKING:
    from torch import nn

_BENDING = ((52, 1.0), (55, -1.0), (9, -1.0), (12, -1.0))


@dataclass(frozen=True)
class Frame:
    """What all stages of a body share: which numbers a state has and where.

    Attributes:
        arms: articulations in their order. arm_at: where each starts.
        pose_kind, pose: kind and count of the pose's numbers. pose_joints: joints that they turn, in their order.
        shape_at, pose_at, root_at, transl_at, size: places in the state.
    """

    arms: tuple[Arm, ...]
    arm_at: np.ndarray
    pose_kind: int
    pose: int
    pose_joints: np.ndarray
    shape_at: int
    pose_at: int
    root_at: int
    transl_at: int
    size: int

    @classmethod
    def of(cls, body: BodyModelData, prior: object) -> Frame:
        """The layout of a body's state with a prior of its pose."""
        arms = arms_of(body, HAND_COMPONENTS)
        ends = np.cumsum([0, *(arm.width for arm in arms)])
        kind, pose, joints = NO_POSE, 0, 0
        if body.family in ("smplx", "smpl"):
            latent = isinstance(prior, VPoser | VPoserV2)
            kind, joints = (LATENT, 21) if latent else (AXIS_ANGLE, {"smplx": 21, "smpl": 23}[body.family])
            pose = LATENT_WIDTH if latent else 3 * joints
        shape_at = int(ends[-1])
        pose_at = shape_at + SHAPES
        root_at = pose_at + pose
        return cls(
            *(arms, ends[:-1], kind, pose, np.arange(1, joints + 1)),
            *(shape_at, pose_at, root_at, root_at + 3, root_at + 6),
        )

    def sizes(self) -> dict[str, int]:
        """The entries of `layout.SIZES` that a frame knows."""
        core = self.pose + 6
        return {
            **{"arms": len(self.arms), "pose": self.pose, "pose_pad": eights(self.pose), "core_pad": eights(core)},
            **{"pose_kind": self.pose_kind, "dense_width": eights(layout.POSE_AT + core)},
            **{"shape_at": self.shape_at, "pose_at": self.pose_at, "root_at": self.root_at},
            **{"transl_at": self.transl_at, "size": self.size},
        }

    def to_states(self, parameters: Parameters) -> np.ndarray:
        """`(N, size + 9)` float64 states of N people."""
        from scipy.spatial.transform import Rotation

        states = np.zeros((len(parameters), self.size + 9))
        for arm, at in zip(self.arms, self.arm_at.tolist(), strict=True):
            states[:, at : at + arm.width] = self._arm_values(parameters, arm)
        states[:, self.shape_at : self.shape_at + 10] = parameters.betas
        states[:, self.shape_at + 10 : self.pose_at] = parameters.expression
        pose = {LATENT: parameters.latent, AXIS_ANGLE: parameters.body_pose, NO_POSE: None}[self.pose_kind]
        if pose is not None:
            states[:, self.pose_at : self.root_at] = pose
        states[:, self.transl_at : self.size] = parameters.transl
        states[:, self.size :] = Rotation.from_rotvec(parameters.global_orient).as_matrix().reshape(-1, 9)
        return states

    def to_parameters(self, states: np.ndarray, before: Parameters) -> Parameters:
        """The parameters of states; what a state does not hold is as it was."""
        from scipy.spatial.transform import Rotation

        states = states.astype(np.float64)
        turns = states[:, self.size :].reshape(-1, 3, 3)
        found = {
            "betas": states[:, self.shape_at : self.shape_at + 10],
            "expression": states[:, self.shape_at + 10 : self.pose_at],
            "transl": states[:, self.transl_at : self.size],
            "global_orient": Rotation.from_matrix(turns).as_rotvec(),
        }
        if self.pose_kind != NO_POSE:
            found["latent" if self.pose_kind == LATENT else "body_pose"] = states[:, self.pose_at : self.root_at]
        for arm, at in zip(self.arms, self.arm_at.tolist(), strict=True):
            values = states[:, at : at + arm.width]
            if arm.name == "face":
                names = ("jaw_pose", "leye_pose", "reye_pose")[: arm.width // 3]
                found |= {name: values[:, 3 * i : 3 * i + 3] for i, name in enumerate(names)}
            else:
                found[f"{arm.name}_pose"] = values
        return before.replaced(**{name: values.copy() for name, values in found.items()})

    def _arm_values(self, parameters: Parameters, arm: Arm) -> np.ndarray:
        if arm.name != "face":
            return parameters.items()[f"{arm.name}_pose"]
        face = (parameters.jaw_pose, parameters.leye_pose, parameters.reye_pose)
        return np.concatenate(face, axis=1)[:, : arm.width]


@dataclass(frozen=True)
class Plan:
    """The arrays of one stage, as `layout.py` lays them out; `unknowns` is how many numbers the solver varies."""

    whole: np.ndarray
    body: np.ndarray
    net: np.ndarray

    @property
    def unknowns(self) -> int:
        """Numbers that the solver varies."""
        return int(self.whole[layout.LAST] - self.whole[layout.FIRST])

    @property
    def scratch(self) -> int:
        """Numbers of scratch that its kernels need."""
        return int(self.whole[layout.WORK_LONG])


class Planner:
    """Makes the plans of a body: what they share is looked up once.

    Args:
        names: of the points, and `outline` their rows of the face's outline, as `Problem` has them.
        shape_most: as `Settings` has it.
    """

    def __init__(
        self,
        body: BodyModelData,
        prior: object,
        points: PointMap,
        groups: np.ndarray,
        outline: Sequence[int],
        shape_most: float,
    ) -> None:
        self.body, self.prior, self.groups = body, prior, groups
        self.frame, self._shape_most = Frame.of(body, prior), shape_most
        self.tree = Articulated.of(body, self.frame.arms, self.frame.pose_joints)
        self._points, self._slots = self.tree.folded(attach(body, points)), np.array(outline, np.int64)
        self._outline = self.tree.folded(attach(body, outline_map(body))) if len(outline) else None
        self._net = _decoder_arrays(prior)
        self._spheres = spheres_of(body)

    def plan(
        self,
        stage: Stage,
        *,
        in_3d: bool,
        free_translation: bool,
        rho: float,
        dtype: type,
        penetration: float = 0.0,
    ) -> Plan:
        """The body and the weights of one stage, for the points that weigh anything in it.

        Args:
            rho: where Geman-McClure bends; 0 for the plain distance, whose weights are not squared.
            penetration: of self-penetration, as `Problem` has it.
        """
        frame, tree, mixture = self.frame, self.tree, self.prior
        weights = np.array([1.0, stage.hand_points, stage.face_points])[self.groups]
        still = [arm.name.endswith("_hand") and stage.hand_points == 0 for arm in frame.arms]
        rows = np.flatnonzero(weights > 0)
        slots = np.flatnonzero(np.isin(rows, self._slots)) if self._outline is not None else np.zeros(0, np.int64)
        bends = _BENDING if frame.pose_kind != NO_POSE else ()
        bend = np.array([index // 3 for index, _ in bends], np.int64)
        bent_joints = frame.pose_joints[bend]
        outline = self._outline if len(slots) else None
        overlap = penetration * stage.penetration
        spheres = self._spheres if overlap > 0 else None
        extra = bent_joints if spheres is None else np.unique(np.concatenate([bent_joints, spheres.joints]))
        reduced = reduce_body(tree, self._points.take(rows), outline, slots, still=still, extra=extra)
        if not isinstance(mixture, GaussianMixture) or frame.pose_kind != AXIS_ANGLE:
            mixture = None
        number = {joint: row for row, joint in enumerate(reduced.joint_of.tolist())}
        outline_group = int(reduced.tables.pop("outline_group")[0])
        tables = reduced.tables | {
            "point_row": rows[reduced.tables["point_row"]],
            "arm_at": frame.arm_at,
            "arm_width": np.array([arm.width for arm in frame.arms], np.int64),
            "bend_joint": bend,
            "bend_row": np.array([number[joint] for joint in bent_joints.tolist()], np.int64),
            "bend_axis": np.array([index % 3 for index, _ in bends], np.int64),
            **sphere_tables(spheres, number),
        }
        numbers = reduced.numbers | {
            "point_weight": weights[tables["point_row"]] ** (1.0 if rho > 0.0 else 0.5),
            "arm_prior": _arm_priors(frame, stage),
            "prior": _squares(frame, stage, mixture=mixture is not None),
            **_mixture_arrays(mixture, stage, frame.pose),
            "bend_sign": np.array([sign for _, sign in bends]),
            "bend_weight": np.array([stage.bending]),
            "rho": np.array([rho]),
            "shape_most": np.array([self._shape_most]),
            **sphere_numbers(spheres, overlap),
        }
        sizes = frame.sizes() | {
            "joints": len(reduced.joint_of),
            "points": len(rows),
            "groups": len(tables["group_anchor"]),
            "features": len(tables["feature_joint"]),
            "bends": len(bends),
            "components": len(numbers["mixture_constant"]),
            "dims": 3 if in_3d else 2,
            "hidden": len(self._net["b1"]),
            "first": _first_free(frame, still),
            "last": frame.size if free_translation else frame.transl_at,
            "rest_long": len(numbers["rest"]),
            "feature_wide": eights(9 * int(np.diff(tables["group_features"]).max(initial=0))),
            "neck": number[NECK_JOINT[self.body.family]] if outline is not None else -1,
            "outline": len(slots),
            "outline_group": max(outline_group, 0),
            "spheres": len(numbers["sphere_share"]),
            "pairs": len(numbers["pair_reach"]),
            "overlap_wide": 0 if spheres is None else eights(SHAPES + frame.pose),
        }
        return Plan(*layout.pack(sizes, tables, numbers, self._net, dtype))

    @property
    def has_spheres(self) -> bool:
        """Whether the body can penetrate itself."""
        return self._spheres is not None

    def mean_points(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean pose and shape at the origin: `(K, 3)` points and the `(3,)` root joint about which it turns, metres."""
        body = self.body
        local = axis_angle_to_matrix(rest_pose(body)).astype(np.float64)
        if self.frame.pose_kind == LATENT:
            local[self.frame.pose_joints] = _mean_rotations(self._net)
        turns, places = local.copy(), rest_joints(body)[0]
        rest = places.copy()
        for joint in np.argsort(self.tree.depth, kind="stable").tolist():
            above = int(body.parents[joint])
            if above >= 0:
                turns[joint] = turns[above] @ local[joint]
                places[joint] = places[above] + turns[above] @ (rest[joint] - rest[above])
        feature = (local[1:] - np.eye(3)).ravel()
        points = self._points
        levers = points.lever + points.lever_features @ feature
        moved = np.einsum("nab,nb->na", turns[points.joint], levers) + points.weight[:, None] * places[points.joint]
        sums = np.concatenate([np.zeros((1, 3)), np.cumsum(moved, axis=0)])
        return sums[points.first[1:]] - sums[points.first[:-1]], places[0]


def outline_map(body: BodyModelData) -> PointMap:
    """Every row of the table of the face's outline, one after the other."""
    assert body.landmarks is not None
    corners = body.landmarks.faces[body.landmarks.contour_faces].reshape(-1, 3)
    weights = body.landmarks.contour_bary.reshape(-1, 3)
    rows = np.repeat(np.arange(len(corners)), 3)
    shape = (len(corners), len(body.v_template))
    on_vertices = sparse.csr_array((weights.ravel(), (rows, corners.ravel())), shape=shape)
    return PointMap(np.zeros((len(corners), len(body.parents))), on_vertices)


def _mean_rotations(net: dict[str, np.ndarray]) -> np.ndarray:
    """`(21, 3, 3)` what the decoder makes of the latent zero."""
    slope = net["slope"][0]
    out = net["w3t"].T @ (np.where(net["h20"] < 0, slope, 1.0) * net["h20"]) + net["b3"]
    return rotations_of(out[:126])


def make_people(problem: Problem, dtype: type) -> np.ndarray:
    """`(N, 5 + 4 K)` targets of people; numbers that are no numbers become zeros of no confidence.

    Kernels square every weight; of plain lengths (L1) they are handed the roots.
    """
    target = problem.joints if problem.joints is not None else problem.pixels
    sound = np.isfinite(target).all(axis=-1) & np.isfinite(problem.confidence)
    points = np.zeros((*target.shape[:2], 4))
    points[..., : target.shape[-1]] = np.where(sound[..., None], target, 0.0)
    points[..., 3] = np.where(sound, problem.confidence, 0.0)
    weight = problem.data_weight[:, None]
    if problem.robust == L1:
        points[..., 3], weight = np.sqrt(points[..., 3]), np.sqrt(weight)
    camera = np.concatenate([problem.focal, problem.center, weight], axis=1)
    return np.ascontiguousarray(
        np.concatenate([camera, points.reshape(len(problem), 4 * len(problem.names))], axis=1), dtype
    )


def _decoder_arrays(prior: object) -> dict[str, np.ndarray]:
    """VPoser's decoder; empty arrays where the pose is no latent."""
    if not isinstance(prior, VPoser | VPoserV2):
        return {name: np.zeros(0) for name in layout.NET}
    if isinstance(prior, VPoser):
        layers = (prior.bodyprior_dec_fc1, prior.bodyprior_dec_fc2, prior.bodyprior_dec_out)
    else:
        layers = tuple(cast("nn.Linear", prior.decoder_net[i]) for i in (0, 3, 5))
    (w1, b1), (w2, b2), (w3, b3) = map(linear, layers)
    slope = SLOPES[type(prior)]
    s1 = np.where(b1 < 0, slope, 1.0)
    h2 = w2 @ (s1 * b1) + b2
    m = w2 @ (s1[:, None] * w1)
    j = w3 @ (np.where(h2 < 0, slope, 1.0)[:, None] * m)
    more = layout.OUT - len(w3)
    return {
        **{"slope": np.array([slope, 1.0]), "w1": w1, "w1t": w1.T, "b1": b1, "w2t": w2.T, "b2": b2},
        **{"w3t": np.pad(w3.T, ((0, 0), (0, more))), "b3": np.pad(b3, (0, more))},
        **{"m0": m.T, "j0": np.pad(j, ((0, more), (0, 0))), "h10": b1, "h20": h2},
    }


def _first_free(frame: Frame, still: Sequence[bool]) -> int:
    """Where the numbers that are varied begin: articulations that are still come first."""
    first = 0
    for arm, rests in zip(frame.arms, still, strict=True):
        if not rests:
            break
        first += arm.width
    return first


def _arm_priors(frame: Frame, stage: Stage) -> np.ndarray:
    out = np.zeros((len(frame.arms), ARM_PAD, ARM_PAD))
    for which, arm in enumerate(frame.arms):
        flat = arm.parts.reshape(-1, arm.width)
        if arm.name == "face":
            out[which, :3, :3] = np.diag(np.square(stage.jaw))
        else:
            out[which, : arm.width, : arm.width] = stage.hand_prior**2 * flat.T @ flat
    return out


def _squares(frame: Frame, stage: Stage, *, mixture: bool) -> np.ndarray:
    out = np.zeros(frame.size)
    out[frame.shape_at : frame.shape_at + 10] = stage.shape**2
    out[frame.shape_at + 10 : frame.pose_at] = stage.expression**2
    out[frame.pose_at : frame.root_at] = 0.0 if mixture else stage.body_prior**2
    return out


def _mixture_arrays(prior: GaussianMixture | None, stage: Stage, width: int) -> dict[str, np.ndarray]:
    """A mixture of poses of `width` numbers; those that a body lacks (the hand joints of SMPL's 69) are zeros.

    What is left is a mixture again: each mean moves to where the zeros would have it, and its constant pays for them.
    """
    names = ("mixture_mean", "mixture_precision", "mixture_constant")
    if prior is None:
        return {name: np.zeros(0) for name in names}
    whitening, square = np.asarray(prior.whitening, np.float64), stage.body_prior**2
    means, constants = np.asarray(prior.means, np.float64), np.asarray(prior.constants, np.float64)
    precision = whitening @ np.swapaxes(whitening, -1, -2)
    kept, between, absent = precision[:, :width, :width], precision[:, :width, width:], precision[:, width:, width:]
    away = means[:, width:]
    shift = np.linalg.solve(kept, np.einsum("kab,kb->ka", between, away)[..., None])[..., 0]
    apart = np.einsum("ka,kab,kb->k", away, absent, away) - np.einsum("ka,kab,kb->k", shift, kept, shift)
    arrays = (means[:, :width] + shift, square * kept, square * (constants + 0.5 * apart))
    return dict(zip(names, arrays, strict=True))


def eights(count: int) -> int:
    """Rounded up to whole vectors of eight."""
    return -(-count // 8) * 8
