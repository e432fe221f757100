"""The loop's checkpoints: the last weights, the best ones, and the state that a resume needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from annotator.errors import RunError
from annotator.progress import Stopped
from annotator.recipe import BodyRecipe
from annotator.training import Training

WINDOW = 100
LEVELS = (5.0, 3.0, 4.0, 1.0)
"""Mean loss of each window of a hundred steps; the last one is not whole."""


def training(folder: Path, steps: int, seen: dict[int, Tensor] | None = None) -> Training:
    """A network whose loss goes by `LEVELS`; `seen` gets its weights after every step."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)

    def loss(step: int) -> Mapping[str, Tensor]:
        if seen is not None:
            seen[step] = network.weight.detach().clone()
        drift = network.weight.sum()
        return {"level": LEVELS[step // WINDOW] + drift - drift.detach()}

    recipe = BodyRecipe(schedule="cosine", learning_rate=0.1)
    return Training(network, loss, recipe, steps, folder, "Training")


def test_the_best_weights_are_those_at_the_end_of_the_window_with_the_lowest_mean_loss(tmp_path: Path) -> None:
    seen: dict[int, Tensor] = {}
    work = training(tmp_path, 350, seen)
    list(work.run())
    assert torch.equal(load_file(tmp_path / "best.safetensors")["weight"], seen[200])
    assert torch.equal(load_file(tmp_path / "last.safetensors")["weight"], work.network.get_parameter("weight"))
    assert not torch.equal(seen[200], seen[349])


@pytest.mark.parametrize("stop_at", [50, 120, 200, 260])
def test_a_resumed_training_finds_the_same_best_weights(tmp_path: Path, stop_at: int) -> None:
    list(training(tmp_path / "whole", 350).run())
    work = training(tmp_path / "two", 350).run()
    while next(work).done < stop_at:
        pass
    with pytest.raises(Stopped):
        work.throw(Stopped())
    list(training(tmp_path / "two", 350).run())
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_training_shorter_than_a_window_calls_its_last_weights_the_best(tmp_path: Path) -> None:
    list(training(tmp_path, 40).run())
    assert (tmp_path / "best.safetensors").read_bytes() == (tmp_path / "last.safetensors").read_bytes()


@pytest.mark.parametrize("data", [b"", b"garbage", b"PK\x03\x04" + b"\0" * 40])
def test_a_state_that_cannot_be_read_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(data)
    with pytest.raises(RunError, match="start a new run"):
        list(training(tmp_path, 40).run())
    torch.save({"step": 1}, tmp_path / "state.pt")
    with pytest.raises(RunError, match="start a new run"):
        list(training(tmp_path, 40).run())
