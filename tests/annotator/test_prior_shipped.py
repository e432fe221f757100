"""The priors that ship: what they know, that a project begins with them, that a changed file is told, that building repeats."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from annotator.bodies.files import BodyModelData, default_root
from annotator.bodies.open_body.priors import build_priors
from annotator.bodies.points import SMPLX_JOINTS
from annotator.bodies.posing import Poser
from annotator.bodies.prior_files import PRIORS, prior_path, read_prior, write_prior
from annotator.bodies.written import Texts
from annotator.commands.projects import new
from annotator.errors import BodyModelError, UnknownNameError
from annotator.prior import VPoser, VPoserV2, default_gmm, default_vposer
from annotator.progress import Progress
from annotator.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from annotator.synthetic import limits, sample_body_poses

TEXTS = Texts("mine", "none", "a test")


@pytest.fixture(scope="module")
def vposer() -> VPoser:
    prior = default_vposer(default_root())
    assert isinstance(prior, VPoser)
    return prior


def held_out(count: int = 1000) -> Tensor:
    """Archetype poses that the shipped priors were not trained on."""
    return torch.as_tensor(sample_body_poses(np.random.default_rng(77), count))


def degrees(first: Tensor, second: Tensor) -> Tensor:
    """`(N, 21)` angle between two rotations of each joint."""
    cosine = ((first.mT @ second).diagonal(dim1=-1, dim2=-2).sum(-1) - 1) / 2
    return torch.rad2deg(cosine.clamp(-1, 1).acos())


def test_poses_come_back_from_32_numbers(vposer: VPoser) -> None:
    """Measured: 4.3 degrees a joint, 9 at the 95th percentile; the mean pose is 20 away."""
    poses = held_out()
    turns = axis_angle_to_matrix(poses.view(-1, 21, 3))
    latent, _ = vposer.encode(poses)
    error = degrees(vposer.decode(latent), turns)
    mean_pose = degrees(vposer.decode(torch.zeros(1, 32)).expand_as(turns), turns)
    assert error.mean() < 5
    assert error.quantile(0.95) < 10
    assert mean_pose.mean() > 3 * error.mean()
    assert 16 < vposer.energy(latent).mean() < 40  # SMPLify-X's weights expect 32


def test_the_middle_of_the_latent_space_stands(vposer: VPoser, body: BodyModelData) -> None:
    """Measured: knees 18 degrees, hips 11, arms 30 below the horizontal and 44 bent."""
    pose = matrix_to_axis_angle(vposer.decode(torch.zeros(1, 32)))[0]
    bend = torch.rad2deg(pose.norm(dim=-1)).tolist()
    angle = {name: bend[index - 1] for name, index in SMPLX_JOINTS.items() if 1 <= index <= 21}
    assert all(angle[f"{side}_knee"] < 25 and angle[f"{side}_hip"] < 20 for side in ("left", "right"))
    assert all(angle[name] < 5 for name in ("spine1", "spine2", "spine3", "neck", "head"))
    joints = Poser(body).pose({"body_pose": pose.reshape(1, 63).numpy()}).joints[0]
    place = {name: joints[index] for name, index in SMPLX_JOINTS.items()}
    for side in ("left", "right"):
        assert place["head"][1] > place[f"{side}_shoulder"][1] > place[f"{side}_wrist"][1]
        assert place[f"{side}_hip"][1] > place[f"{side}_knee"][1] + 0.3 > place[f"{side}_ankle"][1] + 0.6
    assert abs(place["left_ankle"][1] - place["right_ankle"][1]) < 0.03


def test_what_it_decodes_keeps_to_the_limits_of_joints(vposer: VPoser) -> None:
    """Measured: 0.3 % of the angles of random latents are more than 5 degrees beyond them."""
    latent = torch.randn(500, 32, generator=torch.manual_seed(0))
    turns = matrix_to_axis_angle(vposer.decode(latent)).reshape(-1, 3).numpy()
    angles = Rotation.from_rotvec(turns).as_euler("zxy", degrees=True)[:, [1, 2, 0]].reshape(-1, 21, 3)
    low, high = limits()
    assert ((angles < low - 5) | (angles > high + 5)).mean() < 0.01


def test_the_mixture_prefers_poses_of_people() -> None:
    mixture, poses = default_gmm(default_root()), held_out().view(-1, 21, 3)
    knees = [SMPLX_JOINTS[f"{side}_knee"] - 1 for side in ("left", "right")]
    poses = poses[(poses[:, knees, 0] > 0.5).any(dim=1)]
    wrong = poses.clone()
    wrong[:, knees] *= -1
    usual, bent_back = mixture.energy(poses.flatten(1)), mixture.energy(wrong.flatten(1))
    assert (bent_back > usual).float().mean() > 0.95
    assert bent_back.mean() > usual.mean() + 3 * usual.std()


def test_the_mixture_takes_a_body_without_hands_as_one_with_straight_ones() -> None:
    mixture, poses = default_gmm(default_root()), held_out(5)
    assert torch.equal(mixture.energy(poses), mixture.energy(torch.nn.functional.pad(poses, (0, 6))))
    with pytest.raises(ValueError, match="at most 69"):
        mixture.energy(torch.zeros(1, 70))


def test_a_new_project_begins_with_them(tmp_path: Path) -> None:
    project = new(tmp_path / "p")
    root = project.body_model_root("smplx")
    for kind in PRIORS:
        assert prior_path(root, kind).read_bytes() == prior_path(default_root(), kind).read_bytes()
        assert read_prior(root, kind).path.is_relative_to(tmp_path)


def test_a_folder_without_priors_has_those_that_ship_and_its_own_come_first(tmp_path: Path) -> None:
    assert isinstance(default_vposer(tmp_path), VPoser)
    network = VPoserV2().eval()
    write_prior(tmp_path, "vposer", {name: value.numpy() for name, value in network.state_dict().items()}, TEXTS)
    assert read_prior(tmp_path, "vposer").name == "mine"
    own, latent = default_vposer(tmp_path), torch.randn(3, 32, generator=torch.manual_seed(0))
    assert isinstance(own, VPoserV2)
    assert torch.equal(own.decode(latent), network.decode(latent))
    assert not own.training
    assert not any(value.requires_grad for value in own.parameters())


def test_every_file_says_where_it_comes_from() -> None:
    for kind in PRIORS:
        with np.load(prior_path(default_root(), kind)) as file:
            assert "Apache-2.0" in str(file["licence"])
            assert "archetypes" in str(file["provenance"])


@pytest.mark.parametrize("kind", PRIORS)
def test_a_changed_file_is_told(tmp_path: Path, kind: str) -> None:
    arrays = dict(read_prior(default_root(), kind).arrays)
    digest = write_prior(tmp_path, kind, arrays, TEXTS)
    name = "means" if kind == "gmm" else "bodyprior_dec_out.bias"
    changed = {**arrays, name: arrays[name] + 1e-4}
    np.savez(prior_path(tmp_path, kind), **changed, hash=np.array(digest))
    with pytest.raises(BodyModelError, match=f"hash {digest}"):
        read_prior(tmp_path, kind)


def test_a_file_without_a_hash_or_with_other_weights_is_refused(tmp_path: Path) -> None:
    arrays = dict(read_prior(default_root(), "vposer").arrays)
    np.savez(prior_folder(tmp_path) / "vposer.npz", **arrays)
    with pytest.raises(BodyModelError, match="no content hash"):
        default_vposer(tmp_path)
    arrays.pop("bodyprior_enc_mu.bias")
    write_prior(tmp_path, "vposer", arrays, TEXTS)
    with pytest.raises(BodyModelError, match=r"lacks 'bodyprior_enc_mu\.bias'"):
        default_vposer(tmp_path)
    write_prior(tmp_path, "gmm", {"means": np.zeros((8, 69))}, TEXTS)
    with pytest.raises(BodyModelError, match="not a Gaussian mixture"):
        default_gmm(tmp_path)
    singular = {"means": np.zeros((1, 2)), "covars": np.zeros((1, 2, 2)), "weights": np.ones(1)}
    write_prior(tmp_path, "gmm", singular, TEXTS)
    with pytest.raises(BodyModelError, match="cannot be inverted"):
        default_gmm(tmp_path)


def test_an_unknown_prior_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="humor"):
        read_prior(tmp_path, "humor")


def prior_folder(root: Path) -> Path:
    folder = root / "prior"
    folder.mkdir(exist_ok=True)
    return folder


def finished(work: Generator[Progress, None, dict[str, str]]) -> dict[str, str]:
    while True:
        try:
            next(work)
        except StopIteration as stop:
            return stop.value


def test_building_twice_gives_the_same_arrays(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    first, second = (finished(build_priors(tmp_path / n, steps=15, sampled=600)) for n in ("a", "b"))
    other = finished(build_priors(tmp_path / "c", steps=16, sampled=600))
    assert first == second
    assert first["vposer"] != other["vposer"]
    assert {kind: read_prior(tmp_path / "a", kind).hash for kind in PRIORS} == first
    assert torch.get_num_threads() == threads


@pytest.mark.rebuild
def test_building_again_gives_the_priors_that_ship(tmp_path: Path) -> None:
    """On the processor that built them; another rounds otherwise."""
    built = finished(build_priors(tmp_path))
    assert built == {kind: read_prior(default_root(), kind).hash for kind in PRIORS}
