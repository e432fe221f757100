"""Draws a synthetic shot as a photo: a painted background, the dressed mesh, what stands before it."""

from __future__ import annotations

import cv2
import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import SMPLX_JOINTS
from annotator.handshots import forearm
from annotator.shots import STUDIO_ROOM, Looks, Occluder, Shot
from viewers.renderer import Light, MeshRenderer
from viewers.scene import Intrinsics, SceneMesh

_BOX = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
_BOX_FACES = np.array(
    [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
        [1, 5, 7],
        [1, 7, 3],
    ],
    np.int32,
)


class Wardrobe:
    """Which vertices are skin, shirt, trousers, shoes, hair: by the joint that moves them most and by place."""

    def __init__(self, body: BodyModelData) -> None:
        joint = np.asarray(body.weights.toarray()).argmax(axis=1)
        named = SMPLX_JOINTS
        self._torso = np.isin(joint, [named[n] for n in ("spine1", "spine2", "spine3", "left_collar", "right_collar")])
        self._sleeves = np.isin(joint, [named["left_shoulder"], named["right_shoulder"]])
        self._forearms = np.isin(joint, [named["left_elbow"], named["right_elbow"]])
        self._hips = np.isin(joint, [named["pelvis"], named["left_hip"], named["right_hip"]])
        self._shins = np.isin(joint, [named["left_knee"], named["right_knee"]])
        self._feet = np.isin(joint, [named[f"{s}_{n}"] for s in ("left", "right") for n in ("ankle", "foot")])
        head = np.isin(joint, [named["head"], named["jaw"]])
        template = body.v_template
        eyes = (body.joint_regressor @ template)[[named["left_eyeball"], named["right_eyeball"]]].mean(axis=0)
        self._hair = head & (
            (template[:, 1] > eyes[1] + 0.045) | ((template[:, 2] < eyes[2] - 0.1) & (template[:, 1] > eyes[1] - 0.06))
        )

    def meshes(self, shot: Shot, faces: np.ndarray, intrinsics: Intrinsics) -> list[SceneMesh]:
        """The dressed person."""
        return [SceneMesh(shot.vertices, faces, intrinsics, vertex_colors=self.colors(shot.looks))]

    def colors(self, looks: Looks) -> np.ndarray:
        """`(V, 3)` uint8."""
        colors = np.tile(np.array(looks.skin, np.uint8), (len(self._torso), 1))
        colors[self._torso | self._sleeves] = looks.shirt
        colors[self._hips] = looks.trousers
        colors[self._feet] = looks.shoes
        colors[self._hair] = looks.hair
        if looks.long_sleeves:
            colors[self._forearms] = looks.shirt
        if not looks.short_trousers:
            colors[self._shins] = looks.trousers
        return colors


class Photographer:
    """Makes photos of shots; one off-screen renderer for all of them."""

    def __init__(self, body: BodyModelData) -> None:
        self._faces = body.faces
        self._renderer = MeshRenderer()
        self._dress = _dress_hand if body.family == "mano" else Wardrobe(body).meshes

    def photo(self, shot: Shot) -> np.ndarray:
        """`(H, W, 3)` uint8 RGB."""
        width, height = shot.size
        intrinsics = Intrinsics(*shot.focal.tolist(), *shot.princpt.tolist())
        meshes = self._dress(shot, self._faces, intrinsics)
        meshes += [_box_mesh(occluder, intrinsics) for occluder in shot.occluders]
        lights = (Light(shot.looks.light, 0.8), Light((0.3, -0.2, -1.0), 0.18))
        overlay = self._renderer.render(
            meshes, region=(0.0, 0.0, width, height), size=(width, height), lights=lights, ambient=shot.looks.ambient
        )
        photo = np.where(overlay[..., 3:] > 0, overlay[..., :3], _backdrop(shot))
        noise = np.random.default_rng(shot.number).integers(-5, 6, photo.shape, dtype=np.int16)
        return np.clip(cv2.GaussianBlur(photo, (3, 3), 0.5).astype(np.int16) + noise, 0, 255).astype(np.uint8)

    def close(self) -> None:
        """Frees the renderer."""
        self._renderer.close()


def _dress_hand(shot: Shot, faces: np.ndarray, intrinsics: Intrinsics) -> list[SceneMesh]:
    """A bare hand and its forearm, in a sleeve or not."""
    skin = np.tile(np.array(shot.looks.skin, np.uint8), (len(shot.vertices), 1))
    arm, arm_faces = forearm(shot, faces)
    red, green, blue = (channel / 255 for channel in (shot.looks.shirt if shot.looks.long_sleeves else shot.looks.skin))
    return [
        SceneMesh(shot.vertices, faces, intrinsics, vertex_colors=skin),
        SceneMesh(arm, arm_faces, intrinsics, (red, green, blue)),
    ]


def _backdrop(shot: Shot) -> np.ndarray:
    if shot.lab is None:
        return _clutter(shot)
    return _studio(shot) if shot.lab.room == STUDIO_ROOM.name else _room(shot)


def _box_mesh(occluder: Occluder, intrinsics: Intrinsics) -> SceneMesh:
    vertices = (_BOX * np.array(occluder.half, np.float32) + np.array(occluder.center, np.float32)).astype(np.float32)
    red, green, blue = (channel / 255 for channel in occluder.color)
    return SceneMesh(vertices, _BOX_FACES, intrinsics, (red, green, blue))


def _clutter(shot: Shot) -> np.ndarray:
    rng = np.random.default_rng(shot.seed)
    width, height = shot.size
    sky, ground = rng.integers(40, 230, (2, 3)).astype(np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.tile((1 - ramp) * sky + ramp * ground, (1, width, 1)).astype(np.uint8)
    for _ in range(int(rng.integers(4, 16))):
        color = [int(c) for c in 0.55 * rng.integers(20, 240, 3) + 0.45 * rng.integers(40, 210)]
        x, y = int(rng.integers(width)), int(rng.integers(height))
        a, b = int(rng.integers(8, width // 3)), int(rng.integers(8, height // 3))
        if rng.random() < 0.5:
            cv2.rectangle(image, (x - a, y - b), (x + a, y + b), color, -1)
        else:
            cv2.ellipse(image, (x, y), (a, b), float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)
    grain = rng.normal(0, rng.uniform(2, 9), (height // 8 + 1, width // 8 + 1, 3)).astype(np.float32)
    grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 2.5))) + grain, 0, 255).astype(np.uint8)


def _room(shot: Shot) -> np.ndarray:
    width, height = shot.size
    image = np.full((height, width, 3), (176, 172, 166), np.uint8)
    image[int(height * (0.56 + 0.01 * shot.seed)) :] = (122, 112, 100)
    return image


def _studio(shot: Shot) -> np.ndarray:
    """A green screen, brighter on one side, with a floor of the same cloth."""
    width, height = shot.size
    across = np.linspace(0.8, 1.1, width, dtype=np.float32)[None, :, None]
    image = np.full((height, width, 3), (72, 150, 84), np.float32) * (across if shot.seed % 2 else across[:, ::-1])
    image[int(height * (0.6 + 0.012 * shot.seed)) :] *= 0.82
    return np.clip(image, 0, 255).astype(np.uint8)
