"""Rotations, prior, networks and losses against arithmetic and naive twins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from scipy.spatial.transform import Rotation

from annotator.backbone import Backbone, starting_weights
from annotator.camera import BODY_SPAN, VIRTUAL_FOCAL, VIRTUAL_SIZE, Crop
from annotator.errors import RunError
from annotator.losses import Targets, auxiliary_loss, masked_l1, target_loss
from annotator.network import AuxiliaryNetwork, Prediction, TargetNetwork, project_to_crop
from annotator.prior import VPoser, train_prior
from annotator.recipe import BodyRecipe
from annotator.rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_sixd, sixd_to_matrix
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M
from annotator.synthetic import sample_body_poses
from annotator.taught import BODY_POINTS
from annotator.training import Plateau
from tests.support.desk_project import done

RECIPE = BodyRecipe(
    weight_2d=0.5, weight_3d=2.0, weight_pose=3.0, weight_shape=0.25, regulariser=4.0, regulariser_auxiliary=0.1
)


def test_6d_is_the_first_two_columns_whatever_their_length() -> None:
    matrices = torch.as_tensor(Rotation.random(20, random_state=0).as_matrix())
    sixd = matrix_to_sixd(matrices)
    assert torch.allclose(sixd_to_matrix(sixd), matrices)
    assert torch.allclose(sixd[0, 3:], matrices[0, :, 1])
    stretched = torch.cat([3 * sixd[:, :3], 0.5 * sixd[:, 3:] + sixd[:, :3]], dim=1)
    assert torch.allclose(sixd_to_matrix(stretched), matrices)


def test_axis_angle_agrees_with_scipy_and_is_smooth_at_zero() -> None:
    vectors = np.random.default_rng(0).normal(size=(30, 3))
    ours = axis_angle_to_matrix(torch.as_tensor(vectors))
    assert np.allclose(ours, Rotation.from_rotvec(vectors).as_matrix())
    assert np.allclose(matrix_to_axis_angle(ours), Rotation.from_rotvec(vectors).as_rotvec(), atol=1e-7)
    zero = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    axis_angle_to_matrix(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()


def test_masked_mean_counts_valid_elements_alone() -> None:
    predicted = torch.tensor([[1.0, 5.0], [9.0, 9.0]])
    weight = torch.tensor([[1.0], [0.0]])
    assert float(masked_l1(predicted, torch.zeros(2, 2), weight)) == 3.0
    assert float(masked_l1(predicted, torch.zeros(2, 2), torch.zeros(2, 1))) == 0.0


def batch(imitate: list[float], regularise: list[float]) -> Targets:
    count = len(imitate)
    return Targets(
        pixels=torch.ones(count, 3, 3),
        joints=torch.ones(count, 4, 4),
        rotations=torch.eye(3).expand(count, 22, 3, 3),
        betas=torch.ones(count, 10),
        imitate=torch.tensor(imitate),
        regularise=torch.tensor(regularise),
    )


def prediction(count: int) -> Prediction:
    return Prediction(
        torch.zeros(count, 22, 3, 3),
        torch.full((count, 10), 3.0),
        latent=torch.full((count, 32), 2.0),
        sixd=torch.zeros(count, 21, 6),
        transl=torch.zeros(count, 3),
    )


def test_l_tg_by_hand() -> None:
    """L_tg of paper section 3.2: a target row is regularised, an auxiliary row imitates."""
    joints, pixels = torch.full((2, 4, 3), 1.5), torch.full((2, 3, 2), 3.0)
    terms = target_loss(RECIPE, prediction(2), joints, pixels, batch([0, 1], [1, 0]))
    values = {name: float(value) for name, value in terms.items()}
    assert values["2d"] == 0.5 * 2.0
    assert values["3d"] == 2.0 * 0.5
    assert values["pose"] == pytest.approx(3.0 / 3)  # |0 - I| is 3 of 9 elements
    assert values["shape"] == pytest.approx(0.25 * 2)
    assert values["regulariser"] == pytest.approx(4.0 * 0.5 * (4 + 9))


def test_l_ax_by_hand() -> None:
    terms = auxiliary_loss(RECIPE, prediction(1), torch.full((1, 4, 3), 1.25), batch([0], [0]))
    assert float(terms["3d"]) == pytest.approx(2.0 * 0.25)
    assert float(terms["regulariser"]) == pytest.approx(0.1 * (2 / 6 + 9))  # the identity's 6D is (1,0,0,0,1,0)


def test_l_tg_without_a_latent_regularises_rotations_from_rest() -> None:
    """The supplement's Table 11: without the low-dimensional pose theta is what it is in L_ax."""
    rest = torch.tensor([1.0, 0, 0, 0, 1.0, 0]).repeat(21, 1)
    direct = replace(prediction(2), latent=None, sixd=(rest + 0.5).expand(2, 21, 6), rest=rest)
    terms = target_loss(RECIPE, direct, torch.ones(2, 4, 3), torch.ones(2, 3, 2), batch([0, 1], [1, 0]))
    assert float(terms["regulariser"]) == pytest.approx(4.0 * 0.5 * (0.25 + 9))


def as_one(values: torch.Tensor) -> Prediction:
    """A prediction for two people from a flat row of numbers each."""
    rotations, betas, latent, sixd = values.split([22 * 9, 10, 32, 21 * 6], dim=1)
    return Prediction(
        rotations.unflatten(1, (22, 3, 3)),
        betas,
        latent=latent,
        sixd=sixd.unflatten(1, (21, 6)),
        transl=torch.zeros(2, 3, dtype=values.dtype),
    )


@pytest.mark.parametrize("term", ["2d", "3d", "pose", "shape", "regulariser", "3d of L_ax", "regulariser of L_ax"])
def test_every_term_has_the_gradient_of_finite_differences(term: str) -> None:
    rng = np.random.default_rng(5)
    width = 22 * 9 + 10 + 32 + 21 * 6

    def drawn(*shape: int) -> torch.Tensor:
        return torch.as_tensor(rng.normal(size=shape))

    targets = Targets(
        pixels=torch.cat([drawn(2, 3, 2), torch.as_tensor(rng.uniform(0, 1, (2, 3, 1)))], dim=-1),
        joints=torch.cat([drawn(2, 4, 3), torch.tensor([[[1.0], [0], [1], [1]]] * 2)], dim=-1).double(),
        rotations=drawn(2, 22, 3, 3),
        betas=drawn(2, 10),
        imitate=torch.tensor([0.0, 1.0]),
        regularise=torch.tensor([1.0, 0.0]),
    )

    def value(numbers: torch.Tensor, joints: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        said = as_one(numbers)
        if term.endswith("L_ax"):
            return auxiliary_loss(RECIPE, said, joints, targets)[term.split(maxsplit=1)[0]]
        return target_loss(RECIPE, said, joints, pixels, targets)[term]

    inputs = [x.requires_grad_() for x in (drawn(2, width), drawn(2, 4, 3), drawn(2, 3, 2))]
    found = torch.autograd.grad(value(*inputs), inputs, allow_unused=True)
    step = 1e-6
    for _ in range(4):  # along directions that move every number
        directions = [drawn(*x.shape) for x in inputs]
        ends = [
            float(value(*(x.detach() + sign * step * d for x, d in zip(inputs, directions, strict=True))))
            for sign in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        pairs = zip(found, directions, strict=True)
        assert abs(slope) > 1e-4
        assert sum(float((g * d).sum()) for g, d in pairs if g is not None) == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("term", ["weight_2d", "weight_3d", "weight_pose", "weight_shape"])
def test_a_weight_of_zero_takes_its_term_away(term: str) -> None:
    joints, pixels = torch.full((2, 4, 3), 1.5), torch.full((2, 3, 2), 3.0)
    terms = target_loss(replace(RECIPE, **{term: 0.0}), prediction(2), joints, pixels, batch([0, 1], [1, 0]))
    name = {"weight_2d": "2d", "weight_3d": "3d", "weight_pose": "pose", "weight_shape": "shape"}[term]
    assert float(terms[name]) == 0.0


def test_unlabelled_points_do_not_pull() -> None:
    targets = batch([0.0], [1.0])
    targets.pixels[0, 1] = torch.tensor([1e6, 1e6, 0.0])
    pixels = torch.full((1, 3, 2), 1.0, requires_grad=True)
    target_loss(RECIPE, prediction(1), torch.ones(1, 4, 3), pixels, targets)["2d"].backward()
    assert pixels.grad is not None
    assert not pixels.grad[0, 1].any()


def test_the_virtual_camera_has_focal_5000_on_256_px() -> None:
    points = torch.tensor([[[0.5, -0.25, 0.0]]])
    found = project_to_crop(points, torch.tensor([[0.0, 0.0, 25.0]]))
    assert torch.allclose(found, torch.tensor([[[128 + 100.0, 128 - 50.0]]]))


def test_what_the_camera_head_says_is_where_the_fit_is_in_the_photo_and_back() -> None:
    """k -> transl -> px of the photo through the fit's camera -> px of the crop, and the transl's own k again."""
    network = TargetNetwork(Backbone("resnet18"), None)
    k = torch.tensor([0.12, -0.3, 0.4])
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias[-3:] = k
        transl = network.eval()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).transl
    assert transl is not None
    depth = float(torch.logit(transl[0, 2] / (VIRTUAL_FOCAL * BODY_SPAN / VIRTUAL_SIZE)))
    assert [*transl[0, :2].tolist(), depth] == pytest.approx(k.tolist(), abs=1e-5)
    points = torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(1)) / 3
    crop = Crop(np.array([[412.5, 187.0]]), np.array([233.0]))
    seen = crop.virtual_camera().project((points + transl).numpy())
    assert np.abs(crop.to_crop_px(seen) - project_to_crop(points, transl).numpy()).max() < 1e-3


def test_the_auxiliary_network_masks_missing_joints() -> None:
    torch.manual_seed(0)
    network = AuxiliaryNetwork(Backbone("resnet18"), 17).eval()
    crops = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    pose = torch.randn(2, 17, 4)
    pose[..., 3] = 1
    pose[:, 4, 3] = 0
    other = pose.clone()
    other[:, 4, :3] = 1e3
    with torch.no_grad():
        assert torch.equal(network(crops, pose).rotations, network(crops, other).rotations)
        other[:, 5, :3] += 1
        assert not torch.equal(network(crops, pose).rotations, network(crops, other).rotations)


def test_networks_start_upright_facing_the_camera_and_predict_rotations() -> None:
    torch.manual_seed(0)
    network = TargetNetwork(Backbone("resnet18"), VPoser()).eval()
    with torch.no_grad():
        out = network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert out.transl is not None
    assert (out.rotations.shape, out.betas.shape, out.transl.shape) == ((1, 22, 3, 3), (1, 10), (1, 3))
    up, forward = out.rotations[0, 0] @ torch.tensor([0.0, 1, 0]), out.rotations[0, 0] @ torch.tensor([0.0, 0, 1])
    assert up[1] < -0.9  # the body's up is the image's up
    assert forward[2] < -0.9  # he looks at the camera
    assert torch.allclose(out.rotations @ out.rotations.mT, torch.eye(3).expand(1, 22, 3, 3), atol=1e-5)
    assert 0 < out.transl[0, 2] < 50


def parts_of(network: torch.nn.Module) -> set[str]:
    return {name.partition(".")[0] for name in network.state_dict()}


def test_a_network_that_sees_the_2d_pose_sees_labelled_points_alone_whoever_labelled_them() -> None:
    """Points of one name share their place, so a hip of Human3.6M is a hip of COCO; what is unlabelled changes nothing."""
    torch.manual_seed(0)
    columns = BODY_POINTS.columns(COCO_WHOLEBODY), BODY_POINTS.columns(HUMAN36M)
    network = TargetNetwork(None, VPoser(), slots=BODY_POINTS.slots).eval()
    assert parts_of(network) == {"prior", "pose", "head"}
    crops = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    coco, h36m = torch.zeros(1, 48, 3), torch.zeros(1, 48, 3)
    place = torch.tensor([140.0, 99.0, 1.0])
    coco[0, columns[0].start + COCO_WHOLEBODY.index_of["left_hip"]] = place
    h36m[0, columns[1].start + HUMAN36M.index_of["left_hip"]] = place
    noise = coco.clone()
    noise[0, 3] = torch.tensor([1e4, -1e4, 0.0])
    with torch.no_grad():
        wanted = network(crops, coco).rotations
        assert torch.equal(network(crops + 9, h36m).rotations, wanted)
        assert torch.equal(network(crops, noise).rotations, wanted)
        assert not torch.equal(network(crops, torch.zeros(1, 48, 3)).rotations, wanted)


def test_a_network_may_see_image_and_2d_pose_and_a_pose_may_be_direct() -> None:
    torch.manual_seed(0)
    network = TargetNetwork(Backbone("resnet18"), None, slots=BODY_POINTS.slots).eval()
    assert parts_of(network) == {"backbone", "pose", "head"}
    crops, pixels = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8), torch.rand(2, 48, 3)
    with torch.no_grad():
        said = network(crops, pixels)
        others = [network(crops.flip(0), pixels).rotations, network(crops, pixels.flip(0)).rotations]
    assert said.latent is None
    assert said.sixd is not None
    assert said.sixd.shape == (2, 21, 6)
    assert torch.allclose(sixd_to_matrix(said.sixd), said.rotations[:, 1:])
    assert all(not torch.equal(other, said.rotations) for other in others)


def test_an_auxiliary_network_may_see_the_3d_pose_alone() -> None:
    torch.manual_seed(0)
    network = AuxiliaryNetwork(None, 17).eval()
    assert parts_of(network) == {"pose", "head"}
    pose = torch.randn(2, 17, 4)
    with torch.no_grad():
        said = [network(torch.full((2, 3, 64, 64), grey, dtype=torch.uint8), pose).rotations for grey in (0, 200)]
    assert torch.equal(said[0], said[1])


def test_the_prior_is_frozen_while_the_network_learns() -> None:
    network = TargetNetwork(Backbone("resnet18"), VPoser()).train()
    assert not network.prior.training
    assert all(not p.requires_grad for p in network.prior.parameters())
    assert network.backbone.training


def test_an_official_vposer_v1_checkpoint_loads_strictly() -> None:
    """Names and shapes of the official v1 network, written by hand."""
    official = {
        "bodyprior_enc_fc1.weight": (512, 63),
        "bodyprior_enc_fc2.weight": (512, 512),
        "bodyprior_enc_mu.weight": (32, 512),
        "bodyprior_enc_logvar.weight": (32, 512),
        "bodyprior_dec_fc1.weight": (512, 32),
        "bodyprior_dec_fc2.weight": (512, 512),
        "bodyprior_dec_out.weight": (126, 512),
        "bodyprior_enc_bn1.running_mean": (63,),
        "bodyprior_enc_bn2.running_mean": (512,),
    }
    ours = {name: tuple(value.shape) for name, value in VPoser().state_dict().items()}
    assert {name: ours[name] for name in official} == official


def test_the_prior_learns_poses_and_is_repeatable() -> None:
    poses = sample_body_poses(np.random.default_rng(0), 400)
    priors = [done(train_prior(poses, steps=120, seed=3)).eval() for _ in range(2)]
    for one, other in zip(priors[0].state_dict().values(), priors[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    with torch.no_grad():
        mean, _ = priors[0].encode(torch.as_tensor(poses))
        found = priors[0].decode(mean).reshape(-1, 3, 3).numpy()
        still = priors[0].decode(torch.zeros(1, 32)).expand(400, -1, -1, -1).reshape(-1, 3, 3).numpy()
    true = Rotation.from_rotvec(poses.reshape(-1, 3))
    error = np.rad2deg((Rotation.from_matrix(found).inv() * true).magnitude()).mean()
    floor = np.rad2deg((Rotation.from_matrix(still).inv() * true).magnitude()).mean()
    assert error < 0.75 * floor


def test_weights_come_from_a_file_or_the_run_stops(tmp_path: Path) -> None:
    state = Backbone("resnet18").network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "w.safetensors")
    found = starting_weights("resnet18", str(tmp_path / "w.safetensors"))
    assert found is not None
    assert torch.equal(found["conv1.weight"], state["conv1.weight"])
    torch.save(state, tmp_path / "w.pth")
    assert starting_weights("resnet18", str(tmp_path / "w.pth")) is not None
    assert starting_weights("resnet18", "none") is None
    with pytest.raises(RunError, match="resnet34"):
        starting_weights("resnet34", str(tmp_path / "w.safetensors"))
    wide = {name: torch.cat([value, value]) if value.ndim == 4 else value for name, value in found.items()}
    save_file(wide, tmp_path / "wide.safetensors")
    with pytest.raises(RunError, match=r"not those of a resnet18: conv1.weight has the shape \(128, 3, 7, 7\)"):
        starting_weights("resnet18", str(tmp_path / "wide.safetensors"))
    torch.save(7, tmp_path / "seven.pt")
    with pytest.raises(RunError, match=r"bn1.bias is missing"):
        starting_weights("resnet18", str(tmp_path / "seven.pt"))
    with pytest.raises(RunError, match=r"nowhere\.pth"):
        starting_weights("resnet18", str(tmp_path / "nowhere.pth"))


def test_a_checkpoint_that_would_execute_something_is_refused(tmp_path: Path) -> None:
    class Boom:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, (f"touch {tmp_path / 'executed'}",)

    torch.save({"conv1.weight": Boom()}, tmp_path / "evil.pth")
    with pytest.raises(RunError):
        starting_weights("resnet18", str(tmp_path / "evil.pth"))
    assert not (tmp_path / "executed").exists()


def test_a_plateau_drops_the_rate_once_and_then_ends() -> None:
    plateau = Plateau(window=4, gain=0.01)
    for loss in [10.0] * 4 + [9.0] * 4:
        plateau.add(loss)
    assert (plateau.factor, plateau.ended) == (1.0, False)
    for _ in range(4):
        plateau.add(8.99)
    assert (plateau.factor, plateau.ended) == (0.1, False)
    for _ in range(4):
        plateau.add(8.99)
    assert plateau.ended


def test_a_backbone_sees_rgb_as_the_weights_of_torchvision_expect() -> None:
    """Mean and spread of ImageNet's channels, red first; a mistake here would be silent."""
    backbone = Backbone("resnet18").eval()
    crops = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    pixels = (crops / 255 - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    twin = torchvision.models.resnet18()
    twin.load_state_dict(backbone.network.state_dict(), strict=False)
    twin.fc = torch.nn.Identity()
    with torch.no_grad():
        assert torch.allclose(backbone(crops), twin.eval()(pixels), atol=1e-5)
