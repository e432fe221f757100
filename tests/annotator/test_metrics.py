import numpy as np
import pytest

from annotator.camera import Crop
from annotator.metrics import aligned_error_mm, error_2d, joint_error_mm, similarity_align

RNG = np.random.default_rng(1)
POINTS = RNG.normal(size=(14, 3))


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def test_mpjpe_by_hand() -> None:
    true = np.array([[0.0, 0, 0], [1, 0, 0]])
    moved = true + [5, 5, 5]
    moved[1] += [0, 0.03, 0.04]
    assert np.isclose(joint_error_mm(moved, true, moved[0], true[0]), 25)  # (0 + 50 mm) / 2


@pytest.mark.parametrize("seed", range(4))
def test_alignment_undoes_any_similarity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    moved = 1.7 * POINTS @ rotation(rng).T + rng.normal(size=3)
    assert aligned_error_mm(moved, POINTS) < 1e-9


def test_alignment_does_not_mirror() -> None:
    mirrored = POINTS * [-1, 1, 1]
    assert aligned_error_mm(mirrored, POINTS) > 100


def test_alignment_is_a_minimum() -> None:
    moving = POINTS + 0.1 * RNG.normal(size=POINTS.shape)
    best = ((similarity_align(moving, POINTS) - POINTS) ** 2).sum()
    for _ in range(50):
        turn = rotation(RNG) if RNG.random() < 0.1 else np.eye(3)
        other = similarity_align(moving, POINTS) @ turn.T * RNG.uniform(0.95, 1.05) + 0.02 * RNG.normal(size=3)
        assert ((other - POINTS) ** 2).sum() >= best


def test_a_batch_is_each_person_alone() -> None:
    moving, fixed = RNG.normal(size=(5, 14, 3)), RNG.normal(size=(5, 14, 3))
    together = aligned_error_mm(moving, fixed)
    assert np.allclose(together, [aligned_error_mm(a, b) for a, b in zip(moving, fixed, strict=True)])


def test_2d_error_counts_labelled_points_in_both_pixels() -> None:
    keypoints = np.array([[10.0, 10, 1], [20, 10, 1], [0, 0, 0]])
    projected = np.array([[13.0, 14], [20, 10], [999, 999]])
    crop, image = error_2d(projected, keypoints, Crop(np.zeros(2), np.array(64.0)))
    assert (float(image), float(crop)) == (2.5, 10.0)  # (5 + 0) / 2, and 256 / 64 times that


def test_2d_error_of_nobody_is_nan() -> None:
    crop, image = error_2d(np.zeros((2, 2)), np.zeros((2, 3)), Crop(np.zeros(2), np.array(64.0)))
    assert np.isnan(crop)
    assert np.isnan(image)
