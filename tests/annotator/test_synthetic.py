"""Drawn people: poses within the joints' limits, mirrored, varied, the same wherever drawing goes on."""

import numpy as np
from scipy.spatial.transform import Rotation

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.shots import wild_shots
from annotator.skeleton import HUMAN36M
from annotator.synthetic import BODY_JOINTS, archetype_names, limits, mirrored, sample_body_poses


def test_sampled_poses_keep_the_joint_limits() -> None:
    poses = sample_body_poses(np.random.default_rng(0), 500).reshape(500, 21, 3)
    low, high = limits()
    knee = BODY_JOINTS.index("left_knee")
    bend = np.rad2deg(poses[:, knee, 0])
    assert bend.min() > low[knee, 0] - 8
    assert bend.max() < high[knee, 0] + 8
    assert np.isfinite(poses).all()
    assert len(archetype_names()) >= 20


def test_mirroring_twice_is_nothing() -> None:
    angles = np.random.default_rng(0).normal(size=(5, 21, 3))
    every = np.ones(5, bool)
    assert np.allclose(mirrored(mirrored(angles, every), every), angles)


def test_target_people_face_the_camera_and_vary_enough(body: BodyModelData) -> None:
    from annotator.metrics import aligned_error_mm
    from annotator.skeleton import H36M_EVALUATED

    shots = list(wild_shots(body, 7, 512))
    roots = Rotation.from_rotvec(np.stack([shot.parameters["global_orient"] for shot in shots]))
    forward = roots.apply([0, 0, 1])
    yaw = np.rad2deg(np.arctan2(np.abs(forward[:, 0]), -forward[:, 2]))
    assert (yaw <= 63).mean() >= 0.95
    points = np.stack([shot.points[HUMAN36M.name][H36M_EVALUATED] for shot in shots])
    poses = np.stack([shot.parameters["body_pose"] for shot in shots])
    matrices = Rotation.from_rotvec(poses.reshape(-1, 3)).as_matrix().reshape(-1, 21, 3, 3).mean(axis=0)
    u, _, vt = np.linalg.svd(matrices)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    mean = Poser(body).pose({"body_pose": Rotation.from_matrix(u @ vt).as_rotvec().reshape(1, 63)})
    floor = mean.points(HUMAN36M.name)[:, H36M_EVALUATED]
    assert aligned_error_mm(np.tile(floor, (512, 1, 1)), points).mean() >= 110


def test_the_same_seed_gives_the_same_people_wherever_drawing_goes_on(body: BodyModelData) -> None:
    whole = list(wild_shots(body, 7, 70))
    rest = list(wild_shots(body, 7, 70, start=66))
    assert [shot.number for shot in rest] == [66, 67, 68, 69]
    for a, b in zip(whole[66:], rest, strict=True):
        assert np.array_equal(a.vertices, b.vertices)
        assert np.array_equal(a.focal, b.focal)


# -- the mean-pose predictor -----------------------------------------------------------------------------------------
