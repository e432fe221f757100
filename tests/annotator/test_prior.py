"""Priors: official checkpoints load strictly and safely; energies and mixtures against arithmetic and scipy."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from annotator.backbone import Backbone
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.errors import BodyModelError
from annotator.network import TargetNetwork
from annotator.prior import GaussianMixture, HandPca, VPoser, VPoserV2, fit_mixture, load_mixture, load_vposer
from annotator.project import Project


class Callback:
    """Somebody else's class inside a checkpoint."""

    def __init__(self) -> None:
        self.best = 0.03


class Bomb:
    """Whatever unpickles it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.target),)


def trained(network: torch.nn.Module, seed: int = 3) -> torch.nn.Module:
    torch.manual_seed(seed)
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.05)
    return network.eval()


def v2_checkpoint(path: Path, **changes: Any) -> VPoserV2:
    network = VPoserV2()
    trained(network)
    state = {f"vp_model.{name}": value for name, value in network.state_dict().items()}
    state["bm_train.v_template"] = torch.zeros(4, 3)  # the trainer keeps a body model beside
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 13, "callbacks": {"early": Callback()}, "state_dict": {**state, **changes}}, path)
    return network


def v1_folder(folder: Path) -> VPoser:
    network = VPoser()
    (folder / "snapshots").mkdir(parents=True)
    trained(network, 1)
    torch.save(network.state_dict(), folder / "snapshots" / "TR00_E096.pt")
    trained(network, 2)
    old = folder / "snapshots" / "TR00_E008.pt"  # copied later, so its time is newer
    torch.save(network.state_dict(), old)
    trained(network, 1)
    return network


def test_version_1_loads_its_latest_epoch_by_name(tmp_path: Path) -> None:
    network = v1_folder(tmp_path / "vposer_v1_0")
    loaded = load_vposer(tmp_path / "vposer_v1_0")
    z = torch.randn(5, 32, generator=torch.manual_seed(0))
    assert isinstance(loaded, VPoser)
    assert torch.equal(loaded.decode(z), network.decode(z))
    assert not loaded.training


def test_version_1_decodes_interleaved_columns() -> None:
    """The six numbers of a joint are a1x, a2x, a1y, a2y, a1z, a2z."""
    network = VPoser()
    torch.nn.init.zeros_(network.bodyprior_dec_out.weight)
    with torch.no_grad():  # columns (0, 1, 0) and (0, 0, 1): x goes to y, y to z
        network.bodyprior_dec_out.bias.copy_(torch.tensor([0.0, 0, 1, 0, 0, 1] * 21))
    turn = network.eval().decode(torch.zeros(1, 32))[0, 7]
    assert torch.equal(turn, torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]))


def test_version_2_loads_from_a_lightning_checkpoint_with_objects_in_it(tmp_path: Path) -> None:
    network = v2_checkpoint(tmp_path / "V02_05" / "snapshots" / "V02_05_epoch=13_val_loss=0.03.ckpt")
    loaded = load_vposer(tmp_path / "V02_05")
    z, pose = torch.randn(5, 32, generator=torch.manual_seed(0)), torch.randn(5, 63, generator=torch.manual_seed(1))
    assert isinstance(loaded, VPoserV2)
    assert torch.equal(loaded.decode(z), network.decode(z))
    assert torch.equal(loaded.encode(pose)[0], network.encode(pose)[0])


def test_the_target_network_decodes_with_either_version_and_never_trains_it(tmp_path: Path) -> None:
    v1_folder(tmp_path / "one")
    v2_checkpoint(tmp_path / "two" / "snapshots" / "V02_05_epoch=13.ckpt")
    for folder in ("one", "two"):
        prior = load_vposer(tmp_path / folder)
        network = TargetNetwork(Backbone("resnet18"), prior).train()
        prediction = network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
        assert prediction.latent is not None
        assert torch.allclose(prediction.rotations[:, 1:], prior.decode(prediction.latent), atol=1e-6)
        assert not prior.training
        assert not any(value.requires_grad for value in prior.parameters())


def test_a_recipe_with_a_prior_that_is_not_there_starts_no_run(desk_project: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "official.toml"
    recipe.write_text(f'[body]\nweights = "none"\nprior = "{tmp_path / "nowhere"}"\n')
    before = [run.id for run in Project.open(desk_project).runs()]
    with pytest.raises(BodyModelError, match="nowhere"):
        next(run(desk_project, RunOptions(recipe=str(recipe))))
    assert [run.id for run in Project.open(desk_project).runs()] == before


def test_decoded_poses_are_rotations() -> None:
    for network in (VPoser(), VPoserV2()):
        turns = trained(network).decode(torch.randn(9, 32, generator=torch.manual_seed(4)))
        assert turns.shape == (9, 21, 3, 3)
        assert torch.allclose(turns @ turns.mT, torch.eye(3).expand_as(turns), atol=1e-5)
        assert torch.allclose(torch.linalg.det(turns), torch.ones(9, 21), atol=1e-5)


@pytest.mark.parametrize("entry", ["vp_model.decoder_net.0.weight", "vp_model.encoder_net.8.mu.bias"])
def test_a_lacking_weight_is_named(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "a.ckpt"
    v2_checkpoint(path)
    content = torch.load(path, weights_only=False)
    del content["state_dict"][entry]
    torch.save(content, path)
    with pytest.raises(BodyModelError, match=entry.removeprefix("vp_model.")):
        load_vposer(path)


def test_a_superfluous_weight_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    v2_checkpoint(path, **{"vp_model.extra.weight": torch.zeros(2)})
    with pytest.raises(BodyModelError, match=r"extra\.weight"):
        load_vposer(path)


def test_weights_beside_the_prefixed_ones_are_not_dropped_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    v2_checkpoint(path, **{"decoder_net.0.weight": torch.zeros(512, 32)})
    with pytest.raises(BodyModelError, match=r"unknown entry 'decoder_net\.0\.weight'"):
        load_vposer(path)


def test_a_legacy_checkpoint_with_objects_of_its_trainer_is_read_without_them(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    network = v2_checkpoint(path)
    torch.save(torch.load(path, weights_only=False), path, _use_new_zipfile_serialization=False)
    z = torch.randn(5, 32, generator=torch.manual_seed(0))
    assert torch.equal(load_vposer(path).decode(z), network.decode(z))


def test_a_legacy_checkpoint_with_an_object_among_its_weights_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    v2_checkpoint(path, **{"vp_model.decoder_net.5.bias": Callback()})
    torch.save(torch.load(path, weights_only=False), path, _use_new_zipfile_serialization=False)
    with pytest.raises(BodyModelError, match="Callback"):
        load_vposer(path)


@pytest.mark.parametrize("version", [1, 2])
def test_every_lacking_and_superfluous_weight_is_an_error(version: int, tmp_path: Path) -> None:
    network = VPoser() if version == 1 else VPoserV2()
    prefix = "" if version == 1 else "vp_model."
    state = {prefix + name: values for name, values in network.state_dict().items()}
    for name in state:
        torch.save({key: values for key, values in state.items() if key != name}, tmp_path / "a.pt")
        with pytest.raises(BodyModelError, match=f"lacks '{name.removeprefix(prefix)}'"):
            load_vposer(tmp_path / "a.pt")
    torch.save(state | {f"{prefix}zz.weight": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(BodyModelError, match=r"unknown entry 'zz\.weight'"):
        load_vposer(tmp_path / "a.pt")


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    v2_checkpoint(path, **{"vp_model.decoder_net.5.bias": torch.zeros(99)})
    with pytest.raises(BodyModelError, match=r"decoder_net\.5\.bias"):
        load_vposer(path)


def test_an_object_inside_the_state_dict_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    v2_checkpoint(path, **{"vp_model.decoder_net.5.bias": Callback()})
    with pytest.raises(BodyModelError, match="Callback"):
        load_vposer(path)


@pytest.mark.parametrize("place", ["beside", "inside"])
@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, place: str, legacy: bool) -> None:
    target, path = tmp_path / "made", tmp_path / "a.ckpt"
    v2_checkpoint(path)
    content = torch.load(path, weights_only=False)
    if place == "beside":
        content["hyper"] = Bomb(target)
    else:
        content["state_dict"]["vp_model.decoder_net.0.bias"] = Bomb(target)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BodyModelError, match=r"posix\.mkdir"):
        load_vposer(path)
    assert not target.exists()


def test_an_empty_folder_and_a_text_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match="no snapshots"):
        load_vposer(tmp_path)
    (tmp_path / "a.pt").write_text("no weights")
    with pytest.raises(BodyModelError, match="cannot be read safely"):
        load_vposer(tmp_path / "a.pt")


def clusters(count: int = 600) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (3, 69))
    return centres[rng.integers(3, size=count)] + rng.normal(0, 0.3, (count, 69))


def test_a_mixture_finds_the_clusters_it_was_drawn_from() -> None:
    poses = clusters()
    fitted = fit_mixture(poses, seed=1, components=3)
    nearest = np.linalg.norm(poses[:, None] - fitted["means"], axis=2).min(axis=1)
    assert nearest.mean() < 0.35 * np.sqrt(69)
    assert np.isclose(fitted["weights"].sum(), 1)
    assert np.allclose(np.sort(fitted["weights"]), 1 / 3, atol=0.08)


def test_the_energy_is_the_best_component_up_to_smplifys_constant() -> None:
    fitted = fit_mixture(clusters(), seed=1, components=3)
    means, covariances, weights = fitted["means"], fitted["covars"], fitted["weights"]
    energy = GaussianMixture(means, covariances, weights).energy(torch.as_tensor(clusters(7), dtype=torch.float32))
    densities = [multivariate_normal(m, c).logpdf(clusters(7)) for m, c in zip(means, covariances, strict=True)]
    log_root = 0.5 * np.linalg.slogdet(covariances)[1].min()
    wanted = -(np.log(weights)[:, None] + np.stack(densities) + log_root).max(axis=0)
    assert np.allclose(energy.numpy(), wanted, rtol=1e-3)


def test_the_official_mixture_file_is_read(tmp_path: Path) -> None:
    fitted = fit_mixture(clusters(), seed=1, components=3)
    (tmp_path / "gmm_08.pkl").write_bytes(pickle.dumps(fitted, protocol=2))
    np.savez(tmp_path / "gmm.npz", **fitted)
    pose = torch.as_tensor(clusters(3), dtype=torch.float32)
    wanted = GaussianMixture(fitted["means"], fitted["covars"], fitted["weights"]).energy(pose)
    for name in ("gmm_08.pkl", "gmm.npz"):
        assert torch.equal(load_mixture(tmp_path / name).energy(pose), wanted)


def test_a_mixture_that_runs_code_is_refused_by_name(tmp_path: Path) -> None:
    content = {
        "means": np.zeros((8, 69)),
        "covars": np.zeros((8, 69, 69)),
        "weights": np.ones(8),
        "x": Bomb(tmp_path / "a"),
    }
    (tmp_path / "gmm_08.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(BodyModelError, match=r"asks for posix\.mkdir"):
        load_mixture(tmp_path / "gmm_08.pkl")
    assert not (tmp_path / "a").exists()


def test_a_mixture_of_other_shapes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gmm_08.pkl").write_bytes(
        pickle.dumps({"means": np.zeros((8, 69)), "covars": np.zeros((8, 3, 3)), "weights": np.ones(8)})
    )
    with pytest.raises(BodyModelError, match="shapes"):
        load_mixture(tmp_path / "gmm_08.pkl")


def test_hand_components_encode_what_they_decode() -> None:
    rng = np.random.default_rng(0)
    components = torch.as_tensor(rng.normal(size=(45, 45)), dtype=torch.float64)
    hand = HandPca(components, 12)
    coefficients = torch.as_tensor(rng.normal(size=(4, 12)))
    decoded = hand.decode(coefficients)
    assert torch.allclose(hand.encode(decoded), coefficients)
    assert torch.allclose(hand.energy(coefficients), (decoded**2).sum(dim=1))
    other = decoded + torch.as_tensor(rng.normal(size=(4, 45)))
    assert ((hand.decode(hand.encode(other)) - other) ** 2).sum() < ((decoded - other) ** 2).sum()
