"""The published program's own example: a person as OpenPose saw him."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from annotator.bodies.files import BodyModelData
from annotator.fitting.batched import fit
from annotator.fitting.evaluate import objective_of, to_tensors
from annotator.fitting.objective import BodyPrior, project
from annotator.fitting.people import Fitting, people_of
from annotator.fitting.stages import SMPL, WHOLE_BODY, Stage
from annotator.prior import GaussianMixture, PosePrior
from annotator.sample import Samples
from annotator.skeleton import SKELETONS

BODY_POINTS = 25


@pytest.fixture(scope="module")
def openpose(real_data: Path) -> Samples:
    """25 points of the body, 21 of each hand, 70 of the face of which 51 and the outline have a place."""
    folder = real_data / "openpose"
    (person,) = json.loads((folder / "keypoints" / "im1010_keypoints.json").read_text())["people"]
    body, left, right, face = (
        np.array(person[f"{name}_keypoints_2d"], np.float32).reshape(-1, 3)
        for name in ("pose", "hand_left", "hand_right", "face")
    )
    keypoints = np.concatenate([body, left, right, face[17:68], face[:17]])
    height, width = cv2.imread(str(folder / "images" / "im1010.jpg")).shape[:2]
    labelled = body[body[:, 2] > 0, :2]
    low, extent = labelled.min(axis=0), np.ptp(labelled, axis=0)
    return Samples.of_columns(
        part="body",
        skeleton=SKELETONS["openpose135"],
        box_drawn=False,
        keys=["openpose/im1010"],
        root="openpose",
        images=["im1010.jpg"],
        sizes=np.array([[width, height]]),
        boxes=np.array([[*low, *extent]], np.float32),
        keypoints=keypoints[None],
    )


def missed(samples: Samples, body: BodyModelData, prior: BodyPrior, stages: tuple[Stage, ...]) -> np.ndarray:
    """Px of the photo from each point of the body that counts."""
    problem, reasons = people_of(samples, body, Fitting())
    assert reasons == ("",)
    found = fit(problem, body, prior, stages)
    objective = objective_of(problem, body, prior)
    with torch.no_grad():
        points = project(
            objective.place(objective.decoder(to_tensors(found.parameters))), objective.focal, objective.center
        )
    away = np.linalg.norm(points.numpy()[0] - problem.pixels[0], axis=-1)[:BODY_POINTS]
    counts = problem.confidence[0, :BODY_POINTS] > 0
    assert not counts[[problem.names.index(name) for name in ("neck", "right_hip", "left_hip")]].any()
    return away[counts]


def test_an_openpose_person_is_met_by_both_bodies(
    openpose: Samples, body: BodyModelData, smpl: BodyModelData, vposer: PosePrior, gmm: GaussianMixture
) -> None:
    """Measured: 1.7 px of a photo of 192 with SMPL-X, 1.2 with SMPL."""
    for model, prior, stages, bound in ((body, vposer, WHOLE_BODY, 2.2), (smpl, gmm, SMPL, 1.7)):
        away = missed(openpose, model, prior, stages)
        assert len(away) >= 10
        assert away.mean() < bound
        assert away.max() < 8.0
