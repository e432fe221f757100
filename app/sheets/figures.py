"""What a sheet shows of a body model, as meshes and points to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import HAND_POINTS
from annotator.bodies.posing import Posed, Poser, axis_angle_to_matrix, parameter_widths
from annotator.skeleton import (
    COCO_WHOLEBODY,
    FACE,
    FLAME,
    HAND,
    HUMAN36M,
    MPI_INF_3DHP,
    OPENPOSE,
    OPENPOSE_BODY,
    SMPL,
    Skeleton,
)
from annotator.synthetic import BODY_JOINTS, sample_hands, sample_poses

BODIES = ("smplx", "smplh", "smpl")
_SEED = 11
_ARMS_DOWN = 1.2
"""Radians below the horizontal."""
_COMPONENTS, _SPREAD = 10, 2.0
_FINGERS = 6
"""Hand components that are shown; the first six hold most of what hands do."""
_POINT_SETS: Mapping[str, tuple[Skeleton, ...]] = {
    "smplx": (COCO_WHOLEBODY, OPENPOSE, HUMAN36M, MPI_INF_3DHP, SMPL),
    "smplh": (COCO_WHOLEBODY, OPENPOSE, HUMAN36M, MPI_INF_3DHP, SMPL),
    "smpl": (COCO_WHOLEBODY, OPENPOSE_BODY, HUMAN36M, MPI_INF_3DHP, SMPL),
    "mano": (HAND,),
    "flame": (FACE, FLAME),
}


@dataclass(frozen=True)
class Markers:
    """Named points to draw over a figure: `(K, 3)` places, `(K,)` bool which there are, edges, and `(K,)` sides."""

    places: np.ndarray
    present: np.ndarray
    edges: Sequence[tuple[int, int]]
    sides: np.ndarray


@dataclass(frozen=True)
class Figure:
    """One tile before it is drawn, in the body's frame turned to its viewer: x right, y up, z towards the viewer.

    Attributes:
        focus: `(n, 3)` what has to be in the picture.
    """

    caption: str
    vertices: np.ndarray
    focus: np.ndarray
    markers: Markers | None = None


@dataclass(frozen=True)
class FigureStrip:
    """Figures side by side at one scale, in tiles of `size` (width, height) px."""

    heading: str
    size: tuple[int, int]
    figures: list[Figure] = field(default_factory=list["Figure"])


class View(NamedTuple):
    """From where a figure is seen, in degrees."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0


def figures(body: BodyModelData) -> list[FigureStrip]:
    """All strips of one model."""
    drawn = _Drawn(body)
    strips = [*drawn.rest_and_posed(), *drawn.points(), *drawn.components("betas", "Shape")]
    if body.file_components[1]:
        strips += drawn.components("expression", "Expression")
    return strips


class _Drawn:
    def __init__(self, body: BodyModelData) -> None:
        self._body, self._poser = body, Poser(body)
        self._who = {"left": "Left hand: ", "right": "Right hand: "}.get(body.side, "")

    def rest_and_posed(self) -> list[FigureStrip]:
        """From three sides at rest; then as people hold themselves."""
        rest = self._pose({})
        if self._body.family in BODIES:
            views = [
                self._figure(name, rest, turn=View(yaw))
                for name, yaw in (("front", 0), ("left side", -90), ("back", 180))
            ]
            posed = [self._figure("", one) for one in self._people(6)]
            whole = [FigureStrip("Rest", (480, 440), views), FigureStrip("Posed", (244, 290), posed)]
            return [*whole, FigureStrip("Bent joints", (244, 250), self._bent())]
        if self._body.family == "mano":
            flat = self._pose(self._flat())
            views = [self._figure(f"mean hand, {name}", rest, turn=turn) for name, turn in _HAND_VIEWS.items()]
            views += [self._figure(f"flat hand, {name}", flat, turn=turn) for name, turn in _HAND_VIEWS.items()]
            moved = [
                self._figure(f"hand component {i + 1}, {sign:+.0f}", self._pose({"hand_pose": 0.8 * sign * row}))
                for i, row in enumerate(self._body.hand_components[self._body.side][: _FINGERS // 2])
                for sign in (-1, 1)
            ]
            return [
                FigureStrip(f"{self._who}rest", (244, 260), views),
                FigureStrip(f"{self._who}posed", (244, 260), moved),
            ]
        views = [
            self._figure(name, rest, turn=View(yaw)) for name, yaw in (("front", 0), ("half", -40), ("left side", -90))
        ]
        acts = {
            "jaw 15 degrees": {"jaw_pose": np.array([0.26, 0, 0])},
            "neck 30 degrees to the left": {"neck_pose": np.array([0, 0.52, 0])},
            "neck 25 degrees up": {"neck_pose": np.array([-0.44, 0, 0])},
        }
        views += [self._figure(name, self._pose(given)) for name, given in acts.items()]
        return [FigureStrip("Rest and posed", (244, 300), views)]

    def points(self) -> list[FigureStrip]:
        """Named points over a pale mesh."""
        family = self._body.family
        names = [skeleton.name for skeleton in _POINT_SETS[family]]
        if family in BODIES:
            stand = self._pose(self._standing())
            shown = [self._figure(s.name, stand, skeleton=s) for s in _POINT_SETS[family]]
            strips = [FigureStrip("Named points (left blue, right orange, middle black)", (294, 440), shown)]
            return strips + ([self._close()] if family != "smpl" else [])
        if family == "mano":
            flat = self._pose(self._flat())
            shown = [
                self._figure(f"{names[0]}, {n}", flat, skeleton=HAND, turn=turn) for n, turn in _HAND_VIEWS.items()
            ]
            return [FigureStrip(f"{self._who}named points", (294, 320), shown)]
        shown: list[Figure] = []
        for degrees in (0, 20, 39, -20, -39):
            # The outline is looked up for a camera whose y points down, so the half turn belongs to the pose.
            posed = self._pose({"global_orient": _half_turned(degrees)})
            shown.append(self._figure(f"{FACE.name}, head {degrees:+d} degrees", posed, skeleton=FACE, flipped=True))
        return [FigureStrip("Named points: the outline follows the yaw of the head", (294, 340), shown)]

    def components(self, parameter: str, heading: str) -> list[FigureStrip]:
        """Each component at -2 and +2 standard deviations, one above the other."""
        strips: list[FigureStrip] = []
        close = parameter == "expression" or self._body.family in ("mano", "flame")
        for sign in (-1, 1):
            shown: list[Figure] = []
            for i in range(_COMPONENTS):
                given = self._flat() if close else self._standing()
                given[parameter] = sign * _SPREAD * np.eye(_COMPONENTS)[i]
                posed = self._pose(given)
                focus = self._head(posed) if parameter == "expression" else None
                shown.append(self._figure(f"{i + 1}: {sign * _SPREAD:+.0f}", posed, focus=focus))
            title = f"{self._who}{heading.lower()}" if self._who else heading
            text = f"{title} components at \N{MINUS SIGN}2 and +2 standard deviations" if sign < 0 else ""
            strips.append(FigureStrip(text, (144, 170 if close else 300), shown))
        return strips

    def _close(self) -> FigureStrip:
        stand = self._pose(self._flat())
        shown = [
            self._figure(
                f"{HAND_POINTS[side]}, {view}",
                stand,
                skeleton=HAND,
                name=HAND_POINTS[side],
                focus=stand.points(HAND_POINTS[side])[0],
                turn=turn._replace(roll=turn.roll + roll),
            )
            for side, roll in (("right", 0), ("left", 180))
            for view, turn in _HAND_VIEWS.items()
            if view != "from the side"
        ]
        if self._body.landmarks is not None:
            face = self._pose({"global_orient": _half_turned(0)})
            shown.insert(0, self._figure(FACE.name, face, skeleton=FACE, focus=self._head(face), flipped=True))
        return FigureStrip("", (294, 320), shown)

    def _bent(self) -> list[Figure]:
        """Joints of the left side near by, at wide angles that people take."""
        shown: list[Figure] = []
        for caption, (angles, view) in _BENT.items():
            pose = np.zeros((len(BODY_JOINTS), 3))
            for joint, degrees in angles.items():
                pose[BODY_JOINTS.index(joint)] = np.deg2rad(degrees)
            posed = self._pose({"body_pose": pose.ravel()})
            middle = posed.joints[0, 1 + BODY_JOINTS.index(next(iter(angles)))]
            shown.append(
                self._figure(caption, posed, turn=view, focus=middle + _NEAR * np.array([[-1, -1, -1], [1, 1, 1]]))
            )
        return shown

    def _head(self, posed: Posed) -> np.ndarray:
        return posed.points(FACE.name)[0][self._body.points[FACE.name].present]

    def _pose(self, given: Mapping[str, np.ndarray]) -> Posed:
        widths = parameter_widths(self._body.family)
        values = {name: np.zeros((1, width), np.float32) for name, width in widths.items()}
        for name, value in given.items():
            if name in values:
                values[name][0, : len(value)] = value[: widths[name]]
        return self._poser.pose(values)

    def _flat(self) -> dict[str, np.ndarray]:
        """Straight fingers, where there are any."""
        return {"hand_pose" if self._body.side else f"{s}_hand_pose": -m for s, m in self._body.hand_mean.items()}

    def _standing(self) -> dict[str, np.ndarray]:
        pose = np.zeros((len(BODY_JOINTS), 3))
        pose[BODY_JOINTS.index("left_shoulder"), 2] = -_ARMS_DOWN
        pose[BODY_JOINTS.index("right_shoulder"), 2] = _ARMS_DOWN
        return {"body_pose": pose.ravel()}

    def _people(self, count: int) -> list[Posed]:
        """Whole people: poses, hands, faces drawn as the demo draws them."""
        rng = np.random.default_rng(_SEED)
        poses, tilts = sample_poses(rng, count)
        people: list[Posed] = []
        for pose, tilt in zip(poses, tilts, strict=True):
            given = {"body_pose": pose, "global_orient": tilt, "betas": rng.normal(0, 1, 10)}
            for side, components in self._body.hand_components.items():
                given[f"{side}_hand_pose"] = sample_hands(rng, 1, components)[0]
            given |= {"expression": rng.normal(0, 1, 10), "jaw_pose": np.array([abs(rng.normal(0, 0.08)), 0, 0])}
            people.append(self._pose(given))
        return people

    def _figure(
        self,
        caption: str,
        posed: Posed,
        *,
        turn: View | None = None,
        skeleton: Skeleton | None = None,
        name: str = "",
        focus: np.ndarray | None = None,
        flipped: bool = False,
    ) -> Figure:
        """A pose as a viewer sees it: turned about the body's y, then x, then z."""
        if turn is None:
            turn = _HAND_VIEWS["from the back"] if self._body.family == "mano" else View()
        roll = turn.roll + (180 if self._body.side == "left" else 0)
        view = _turn(2, roll) @ _turn(0, turn.pitch + (180 if flipped else 0)) @ _turn(1, turn.yaw)
        markers = None
        if skeleton is not None:
            label = name or skeleton.name
            places = posed.points(label)[0] @ view.T
            present = self._body.points[label].present
            markers = Markers(places, present, skeleton.edges, _sides(skeleton, label))
        vertices = posed.vertices[0] @ view.T
        return Figure(caption, vertices, vertices if focus is None else focus @ view.T, markers)


_NEAR = 0.2
"""Metres around a joint that is shown near by."""
_BENT: Mapping[str, tuple[Mapping[str, tuple[float, float, float]], View]] = {
    "elbow 110 degrees": ({"left_elbow": (0, -110, 0)}, View(-40.0, 30.0)),
    "elbow 140 degrees": ({"left_elbow": (0, -140, 0)}, View(-40.0, 30.0)),
    "arm down 70 degrees": ({"left_shoulder": (0, 0, -70)}, View()),
    "arm up 70 degrees": ({"left_shoulder": (0, 0, 70), "left_collar": (0, 0, 17)}, View()),
    "hip 90, knee 90 degrees": ({"left_hip": (-90, 0, 0), "left_knee": (90, 0, 0)}, View(-60.0, 15.0)),
    "knee 130 degrees": ({"left_knee": (130, 0, 0), "left_hip": (-90, 0, 0)}, View(-60.0, 15.0)),
}
"""Degrees of body joints, that in the middle first, and from where they are seen."""
_HAND_VIEWS: Mapping[str, View] = {
    "from the back": View(pitch=90.0, roll=-90.0),
    "from the palm": View(pitch=-90.0, roll=-90.0),
    "from the side": View(roll=-90.0),
}
"""How a right hand, whose fingers point to -x and whose palm looks down, is turned so that they point up."""


def _turn(axis: int, degrees: float) -> np.ndarray:
    return axis_angle_to_matrix(np.deg2rad(degrees) * np.eye(3)[axis])


def _half_turned(degrees: float) -> np.ndarray:
    """Axis-angle of a yaw about the body's y, seen by a camera whose y points down."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("x", 180, degrees=True) * Rotation.from_euler("y", degrees, degrees=True)
    return turn.as_rotvec()


def _sides(skeleton: Skeleton, label: str) -> np.ndarray:
    for side, number in (("left", -1), ("right", 1)):
        if label == HAND_POINTS[side]:
            return np.full(len(skeleton), number)
    return skeleton.sides
