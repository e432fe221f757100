"""What a run writes of people who show hardly anything: a fit where they were labelled, or a plain reason."""

import numpy as np

from annotator.annotators.smplifyx import Fitter
from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.fittingrecipe import FittingRecipe
from annotator.prior import PosePrior
from annotator.sample import Samples
from annotator.skeleton import COCO_WHOLEBODY
from tests.support.fitting import posed_by, seen, whole_truth

SHOWN = (("left_hand_",), ("face",), ("right_hand_", "nose"), ("left_hand_index1", "nose"), ())
"""What is labelled of each person, by how the names of the points begin."""


def test_a_fit_lies_on_what_was_labelled_or_says_why_there_is_none(body: BodyModelData, vposer: PosePrior) -> None:
    count = len(SHOWN)
    points = posed_by(body, whole_truth(body, count, seed=8)).points(COCO_WHOLEBODY.name)
    pixels = seen(points.astype(np.float64), noise=1.0) + [700.0, 300.0]
    mask = np.array([[name.startswith(shown) for name in COCO_WHOLEBODY.points] for shown in SHOWN])
    samples = Samples.of_columns(
        part="body",
        skeleton=COCO_WHOLEBODY,
        box_drawn=False,
        keys=[f"s/{n}" for n in range(count)],
        root="s",
        images=["a.jpg"] * count,
        sizes=np.tile([1000, 1000], (count, 1)),
        boxes=np.tile(np.array([900, 400, 600, 600], np.float32), (count, 1)),
        keypoints=np.concatenate([pixels, mask[..., None]], axis=2).astype(np.float32),
    )
    fits = Fitter("smplifyx", FittingRecipe(), "whole", body, vposer, in_3d=False).fit(samples)
    assert fits.ok.tolist() == [True, True, True, False, False]
    assert [fits[row].reason for row in (3, 4)] == [
        "2 labelled points; a fit needs 3",
        "0 labelled points; a fit needs 3",
    ]
    posed = Poser(body).pose({**fits.parameters, "transl": fits.column("transl")})
    found = posed.points(COCO_WHOLEBODY.name)[:3].astype(np.float64)
    away = np.linalg.norm(found[..., :2] / found[..., 2:] * 5000.0 + 500.0 - pixels[:3], axis=-1)
    assert max(np.median(row[shown]) for row, shown in zip(away, mask[:3], strict=True)) < 4.0
