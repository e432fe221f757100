"""Hands: every one is a right hand to the networks, and a left one's fit is its twin's in the mirror."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from annotator import supervision
from annotator.annotators.neuralannot import _columns as columns_of  # pyright: ignore[reportPrivateUsage]
from annotator.annotators.neuralannot import auxiliary_fits, lesson_rows, predictor, target_fits
from annotator.backbone import Backbone
from annotator.batches import mirrored_crops
from annotator.bodies.posing import Poser, axis_angle_to_matrix
from annotator.camera import Camera, Crop, crop_of_box
from annotator.crops import Crops
from annotator.fit import Fits
from annotator.network import AuxiliaryNetwork, TargetNetwork, hand_decoder, rest_sixd
from annotator.part import HANDS
from annotator.recipe import HandRecipe
from annotator.rotations import sixd_to_matrix
from annotator.sample import Sample, Samples
from annotator.skeleton import HAND, INTERHAND_HAND
from annotator.taught import TaughtPoints
from annotator.verdict import Verdict
from tests.support.hand_data import SIZE, hand_model, hand_samples

RECIPE = HandRecipe(weights="none")
LEFT, RIGHT = hand_model("left"), hand_model("right")
PX = 64
CPU = torch.device("cpu")
MIRROR = np.array([-1, 1, 1])
AXIAL = np.array([1, -1, -1])


def twins(samples: Samples) -> Samples:
    """The right hands that the photos' mirror images show."""
    out: list[Sample] = []
    for sample in samples:
        box, keypoints = sample.box.copy(), sample.keypoints.copy()
        box[0] = SIZE - 1 - box[0] - box[2]
        keypoints[:, 0] = SIZE - 1 - keypoints[:, 0]
        k, joints = sample.intrinsics, sample.joints
        if k is not None:
            k = k.copy()
            k[0, 2] = SIZE - 1 - k[0, 2]
        if joints is not None:
            joints = joints * np.array([-1, 1, 1, 1], np.float32)
        changed = {"box": box, "keypoints": keypoints, "intrinsics": k, "joints": joints}
        out.append(replace(sample, key=sample.key.replace("lhand", "rhand"), part="rhand", **changed))
    return Samples.of(out)


def aligned(samples: Samples) -> Samples:
    """The same with boxes whose crops are `PX` px at whole pixels, so that cutting copies."""
    side = PX / 1.25
    return Samples.of(
        [
            replace(s, box=np.array([n + 44 - side / 2, 47 - side / 2, side, side], np.float32))
            for n, s in enumerate(samples)
        ]
    )


def photo(sample: Sample) -> np.ndarray:
    """A hand-sized patch of noise on black: the rim of its crop is black."""
    out = np.zeros((SIZE, SIZE, 3), np.uint8)
    noise = np.random.default_rng(int(sample.annotation_id)).integers(0, 255, (40, 40, 3))
    x, y = (sample.box[:2] + sample.box[2:] / 2 - 20).astype(int)
    out[y : y + 40, x : x + 40] = noise
    return out


def cut(samples: Samples) -> Crops:
    return _cut(samples, [photo(sample) for sample in samples])


def twin_crops(left: Samples, right: Samples) -> Crops:
    """Crops of the twins, cut from the mirrored photos of the left hands."""
    return _cut(right, [np.ascontiguousarray(photo(sample)[:, ::-1]) for sample in left])


def _cut(samples: Samples, photos: list[np.ndarray]) -> Crops:
    crop = crop_of_box(samples.boxes, samples.sizes, drawn=False)
    pixels = np.stack([Crop(crop.center[row], crop.side[row]).cut(seen, PX) for row, seen in enumerate(photos)])
    return Crops([""] * len(samples), lambda rows: pixels[rows])


def target_network() -> TargetNetwork:
    torch.manual_seed(0)
    network = TargetNetwork(Backbone("resnet18"), hand_decoder(RIGHT, 12), HANDS)
    with torch.no_grad():
        network.head.weight[:-3].mul_(30)  # predictions that differ from hand to hand
    return network.eval()


def lessons_of(samples: Samples, *, auxiliary: bool) -> tuple[supervision.Lessons, TaughtPoints]:
    points = TaughtPoints.of(HANDS, [samples])
    model = LEFT if samples.part == "lhand" else RIGHT
    return supervision.lessons(samples, RECIPE, auxiliary=auxiliary, points=points, body=model), points


def fits_of(samples: Samples, crops: Crops, network: TargetNetwork) -> Fits:
    taught, _ = lessons_of(samples, auxiliary=False)
    model = LEFT if samples.part == "lhand" else RIGHT
    predict = predictor(network, crops, taught, CPU, part=samples.part)
    rows = np.arange(len(samples))
    return target_fits(samples, taught, crops, model, HANDS)(rows, columns_of(predict(rows)))


def posed(fits: Fits, side: str) -> np.ndarray:
    parameters: Mapping[str, np.ndarray] = {**fits.parameters, "transl": fits.column("transl")}
    return Poser(hand_model(side)).pose(parameters).vertices


def test_a_mirrored_left_hand_and_its_right_twin_give_mirrored_fits_exactly() -> None:
    left = aligned(hand_samples("wild", "left", 6, seed=3, auxiliary=False))
    right = twins(left)
    network = target_network()
    of_left = fits_of(left, cut(left), network)
    of_right = fits_of(right, twin_crops(left, right), network)
    assert (of_left.header.part, of_left.header.body_hash) == ("lhand", LEFT.hash)
    assert (of_right.header.part, of_right.header.body_hash) == ("rhand", RIGHT.hash)
    for name in ("global_orient", "hand_pose"):
        turned = of_right.column(name).reshape(6, -1, 3) * AXIAL.astype(np.float32)
        assert np.array_equal(of_left.column(name).reshape(6, -1, 3), turned), name
    assert np.array_equal(of_left.column("betas"), of_right.column("betas"))
    assert np.array_equal(of_left.column("transl"), of_right.column("transl") * MIRROR.astype(np.float32))
    assert np.ptp(of_left.column("global_orient"), axis=0).min() > 1e-3  # the hands are not all alike
    assert np.abs(posed(of_left, "left") - posed(of_right, "right") * MIRROR).max() < 1e-6
    pixels = Camera(of_left.column("focal"), of_left.column("princpt")).project(posed(of_left, "left"))
    twin = Camera(of_right.column("focal"), of_right.column("princpt")).project(posed(of_right, "right"))
    assert np.abs(SIZE - 1 - pixels[..., 0] - twin[..., 0]).max() < 1e-2


def test_a_mirrored_crop_is_the_crop_of_the_mirrored_photo() -> None:
    """Wherever the crop lies, but for the column at its rim and what resampling rounds."""
    left = hand_samples("wild", "left", 8, seed=4, auxiliary=False)
    found = mirrored_crops(cut(left).take(np.arange(8)))[:, :, 1:].astype(int)
    wanted = twin_crops(left, twins(left)).take(np.arange(8))[:, :, 1:].astype(int)
    assert np.abs(found - wanted).mean() < 1.0
    shifted = np.abs(found[:, :, 1:] - wanted[:, :, :-1]).mean()
    assert shifted > 10  # one pixel beside, it would show


def test_left_hands_teach_what_their_twins_teach() -> None:
    left = hand_samples("lab", "left", 5, seed=5, auxiliary=True)
    of_left, of_right = lessons_of(left, auxiliary=True)[0], lessons_of(twins(left), auxiliary=True)[0]
    rows = np.arange(5)
    found = lesson_rows(of_left, rows, ("pixels", "joints"), "lhand")
    wanted = lesson_rows(of_right, rows, ("pixels", "joints"), "rhand")
    assert np.abs(found["pixels"] - wanted["pixels"]).max() < 1e-3
    assert np.abs(found["joints"] - wanted["joints"]).max() < 1e-6
    assert not np.allclose(of_left.joints[..., 0], of_right.joints[..., 0])


def test_an_imitated_left_fit_poses_the_right_model_like_the_mirrored_left_one() -> None:
    """Rotations and 3D pose that an earlier left fit teaches belong to one hand, the twin's."""
    left = aligned(hand_samples("wild", "left", 6, seed=3, auxiliary=False))
    fits = fits_of(left, cut(left), target_network())
    taught, points = lessons_of(left, auxiliary=False)
    learnt = supervision.with_verdicts(taught, left, fits, {}, RECIPE, LEFT, points=points)
    seen = lesson_rows(learnt, np.arange(6), ("rotations", "betas", "joints", "imitate"), "lhand")
    assert seen["imitate"].all()
    from annotator.bodies.body_model import BodyModel

    model = BodyModel(RIGHT, points.maps(RIGHT))
    hands = model.turned(torch.as_tensor(seen["rotations"]), torch.as_tensor(seen["betas"])).points.numpy()
    assert np.abs(hands - hands[:, :1] - seen["joints"][..., :3]).max() < 1e-5


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_auxiliary_fit_of_the_truth_is_the_truth(side: str) -> None:
    """What a perfect network would say, written as a fit: its wrist is where GT has it, and its joints too.

    One hand's wrist is not labelled, so the rest of it says where it is; of another nothing is, so its fit failed.
    """
    whole = hand_samples("lab", side, 6, seed=6, auxiliary=True)
    truth = whole.joints
    assert truth is not None
    given = truth.copy()
    given[2, 0] = given[4] = 0
    samples = Samples.of([replace(sample, joints=joints) for sample, joints in zip(whole, given, strict=True)])
    taught, points = lessons_of(samples, auxiliary=True)
    model = hand_model(side)
    rng = np.random.default_rng(6)
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_euler("xyz", rng.normal(0, [0.5, 0.5, 0.8], (6, 3)))
    pose = rng.normal(0, 0.5, (6, 6)) @ model.hand_components[side][:6]
    betas = rng.normal(0, 0.7, (6, 10))
    vectors = (pose + model.hand_mean[side]).reshape(6, 15, 3)
    seen = (Rotation.from_matrix(taught.turn) * turns).as_rotvec()
    signs = AXIAL if side == "left" else np.ones(3)
    columns = {
        "global_orient": (seen * signs).astype(np.float32),
        "pose": (vectors * signs).reshape(6, 45).astype(np.float32),
        "shape": betas.astype(np.float32),
        "transl": np.zeros((6, 3), np.float32),
    }
    crops = Crops([""] * 6, lambda rows: np.zeros((len(rows), 4, 4, 3), np.uint8))
    fits = auxiliary_fits(samples, taught, crops, model, HANDS)(np.arange(6), columns)
    parameters = {**fits.parameters, "transl": fits.column("transl")}
    found = Poser(model).pose(parameters).points(HAND.name)
    assert fits.ok.tolist() == [True, True, True, True, False, True]
    assert fits[4].reason == "none of its 3D joints is known"
    assert np.abs(found - truth[..., :3])[fits.ok].max() < 1e-5
    assert points.joint_count == 21


def test_hand_networks_begin_at_the_mean_hand() -> None:
    torch.manual_seed(0)
    crops = torch.randint(0, 255, (2, 3, PX, PX), dtype=torch.uint8)
    mean = sixd_to_matrix(rest_sixd(HANDS, RIGHT))
    assert not torch.allclose(mean, torch.eye(3).expand(15, 3, 3), atol=0.1)
    target = TargetNetwork(Backbone("resnet18"), hand_decoder(RIGHT, 12), HANDS).eval()
    auxiliary = AuxiliaryNetwork(Backbone("resnet18"), 21, HANDS, rest=rest_sixd(HANDS, RIGHT)).eval()
    with torch.no_grad():
        for network in (target, auxiliary):
            network.head.weight.zero_()  # what the bias says
        for found in (target(crops), auxiliary(crops, torch.zeros(2, 21, 4))):
            assert found.rotations.shape == (2, 16, 3, 3)
            assert (found.rotations[:, 1:] - mean).abs().max() < 1e-5
        found = target(crops)
    assert found.latent is not None
    assert found.latent.shape == (2, 12)
    assert found.transl is not None
    assert 0 < float(found.transl[0, 2]) < 5000 * 0.4 / 256


def test_tips_first_hands_are_taught_as_wrist_first_ones() -> None:
    samples = hand_samples("lab", "right", 3, seed=7, auxiliary=True)
    order = [HAND.index_of[point] for point in INTERHAND_HAND.points]
    other = Samples.of(
        [
            replace(
                s,
                keypoints=s.keypoints[order],
                joints=s.joints[order] if s.joints is not None else None,
                skeleton=INTERHAND_HAND,
                joint_skeleton=INTERHAND_HAND,
            )
            for s in samples
        ]
    )
    one, two = lessons_of(samples, auxiliary=True)[0], lessons_of(other, auxiliary=True)[0]
    assert np.array_equal(one.pixels, two.pixels)
    assert np.array_equal(one.joints, two.joints)
    assert np.array_equal(one.roots, two.roots)


@pytest.mark.parametrize("frame", ["crop", "camera"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_later_round_imitates_what_the_network_said(side: str, frame: str) -> None:
    """Also where the photo's camera is known, in whose frame the fit is written."""
    recipe = replace(RECIPE, frame=frame)
    samples = hand_samples("wild", side, 5, seed=4, auxiliary=True)
    assert (samples.intrinsics[:, 2, 2] > 0).all()
    model, rows, points = LEFT if side == "left" else RIGHT, np.arange(5), TaughtPoints.of(HANDS, [samples])
    taught = supervision.lessons(samples, recipe, auxiliary=False, points=points, body=model)
    said = columns_of(predictor(target_network(), cut(samples), taught, CPU, part=samples.part)(rows))
    fits = target_fits(samples, taught, cut(samples), model, HANDS, frame)(rows, {k: v.copy() for k, v in said.items()})
    accepted = dict.fromkeys(samples.keys, Verdict.ACCEPT)
    learnt = supervision.with_verdicts(taught, samples, fits, accepted, recipe, model, points=points)
    shown = lesson_rows(learnt, rows, ("rotations",), samples.part)["rotations"]
    vectors = np.concatenate([said["global_orient"], said["pose"]], axis=1).reshape(5, -1, 3)
    assert np.abs(shown - axis_angle_to_matrix(vectors)).max() < 1e-5
