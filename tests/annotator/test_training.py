"""The loop's checkpoints: the last weights, the best ones, and the state that a resume needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from annotator.errors import RunError
from annotator.progress import Stopped
from annotator.recipe import BodyRecipe
from annotator.training import HeldOut, Training, load_weights

WINDOW = 100
LEVELS = (5.0, 3.0, 4.0, 1.0)
"""Mean loss of each window of a hundred steps; the last one is not whole."""


def training(
    folder: Path, steps: int, seen: dict[int, Tensor] | None = None, held_out: HeldOut | None = None
) -> Training:
    """A network whose loss goes by `LEVELS`; `seen` gets its weights after every step."""
    torch.manual_seed(0)
    network = nn.Linear(3, 1)

    def loss(step: int) -> Mapping[str, Tensor]:
        if seen is not None:
            seen[step] = network.weight.detach().clone()
        drift = network.weight.sum()
        return {"level": LEVELS[step // WINDOW] + drift - drift.detach()}

    recipe = BodyRecipe(schedule="cosine", learning_rate=0.1)
    return Training(network, loss, recipe, steps, folder, "Training", held_out)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_the_best_weights_are_those_at_the_end_of_the_window_with_the_lowest_mean_loss(tmp_path: Path) -> None:
    seen: dict[int, Tensor] = {}
    work = training(tmp_path, 350, seen)
    list(work.run())
    assert torch.equal(load_file(tmp_path / "best.safetensors")["weight"], seen[200])
    assert torch.equal(load_file(tmp_path / "last.safetensors")["weight"], work.network.get_parameter("weight"))
    assert not torch.equal(seen[200], seen[349])


def by_plateaus(folder: Path) -> Training:
    """A loss that falls by 1 a step up to step 30, and stands still from there on."""
    network = nn.Linear(3, 1)

    def loss(step: int) -> Mapping[str, Tensor]:
        drift = network.weight.sum()
        return {"level": max(100.0 - step, 70.0) + drift - drift.detach()}

    recipe = BodyRecipe(schedule="plateau", learning_rate=0.1, plateau_window=10, plateau_gain=0.01)
    return Training(network, loss, recipe, 200, folder, "Training")


def test_the_rate_falls_at_the_first_plateau_and_training_ends_at_the_second(tmp_path: Path) -> None:
    """Windows of ten: the fourth (steps 31 to 40) is lower than the third, the next two are plateaus."""
    work = by_plateaus(tmp_path)
    list(work.run())
    rates = {line["step"]: line["learning_rate"] for line in lines(tmp_path)}
    assert list(rates) == [10, 20, 30, 40, 50, 60]
    assert [rates[step] for step in (10, 50, 60)] == pytest.approx([0.1, 0.1, 0.01])
    assert work.step == 60


@pytest.mark.parametrize("stop_at", [30, 50])
def test_a_resume_knows_of_the_plateaus_that_were_met(tmp_path: Path, stop_at: int) -> None:
    work = by_plateaus(tmp_path).run()
    while next(work).done < stop_at:
        pass
    work.close()
    again = by_plateaus(tmp_path)
    list(again.run())
    assert again.step == 60
    assert [line["step"] for line in lines(tmp_path)] == [10, 20, 30, 40, 50, 60]
    assert lines(tmp_path)[-1]["learning_rate"] == pytest.approx(0.01)


@pytest.mark.parametrize("spoiled", ["the loss", "a gradient"])
def test_a_loss_or_gradient_that_is_not_finite_ends_it_before_the_weights_are_touched(
    tmp_path: Path, spoiled: str
) -> None:
    seen: dict[int, Tensor] = {}
    work = training(tmp_path, 20, seen)
    teach, weights = work.loss, work.network.get_parameter("weight")

    def loss(step: int) -> Mapping[str, Tensor]:
        terms = teach(step)
        if step != 7:
            return terms
        if spoiled == "the loss":
            return {"level": terms["level"] / 0}
        root = (weights - weights.detach()).sum().abs().sqrt()  # 0, and infinitely steep
        return {"level": terms["level"] + root}

    work.loss = loss
    with pytest.raises(RunError, match=r"not finite at step 7; the weights were not touched\. Start a new run"):
        list(work.run())
    assert torch.equal(weights, seen[7])
    assert work.step == 7
    assert not torch.equal(seen[6], seen[7])


def test_people_held_out_are_measured_at_the_end_too(tmp_path: Path) -> None:
    list(training(tmp_path, 40, held_out=lambda: {"level": 2.0}).run())
    assert [(line["step"], line["held_out"]["loss"]) for line in lines(tmp_path) if "held_out" in line] == [(40, 2.0)]


def test_damaged_weights_are_one_sentence(tmp_path: Path) -> None:
    list(training(tmp_path, 10).run())
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RunError, match=r"last.safetensors are damaged; start a new run, or copy them again"):
        load_weights(nn.Linear(3, 1), tmp_path)


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


def test_the_best_weights_are_those_with_the_lowest_loss_on_people_held_out(tmp_path: Path) -> None:
    seen: dict[int, Tensor] = {}
    measured = iter([9.0, 2.0, 5.0, 1.0])
    trained: list[bool] = []

    def held_out() -> Mapping[str, float]:
        trained.append(work.network.training or torch.is_grad_enabled())
        return {"3d": next(measured)}

    work = training(tmp_path, 350, seen, held_out)
    list(work.run())
    assert torch.equal(load_file(tmp_path / "best.safetensors")["weight"], seen[200])  # not [100] or [300]
    assert trained == [False] * 4
    assert {line["step"]: line["held_out"]["3d"] for line in lines(tmp_path) if "held_out" in line} == {
        100: 9.0,
        200: 2.0,
        300: 5.0,
        350: 1.0,
    }


def test_people_held_out_do_not_change_the_training(tmp_path: Path) -> None:
    list(training(tmp_path / "without", 150).run())
    list(training(tmp_path / "with", 150, held_out=lambda: {"3d": 1.0}).run())
    last = [(tmp_path / name / "last.safetensors").read_bytes() for name in ("without", "with")]
    assert last[0] == last[1]


def test_the_curves_of_a_resumed_training_are_those_of_one_that_nobody_stopped(tmp_path: Path) -> None:
    list(training(tmp_path / "whole", 60).run())
    work = training(tmp_path / "two", 60).run()
    while next(work).done < 30:
        pass
    with pytest.raises(Stopped):
        work.throw(Stopped())
    with (tmp_path / "two" / "losses.jsonl").open("a") as file:  # a kill after the checkpoint leaves such lines
        file.write('{"step":40,"train":{"loss":7}}\n{"step":50,"tr')
    list(training(tmp_path / "two", 60).run())
    assert lines(tmp_path / "two") == lines(tmp_path / "whole")
    assert [line["step"] for line in lines(tmp_path / "two")] == [10, 20, 30, 40, 50, 60]
    assert lines(tmp_path / "two")[0]["train"]["loss"] == pytest.approx(5.0)
    assert lines(tmp_path / "two")[5]["learning_rate"] < lines(tmp_path / "two")[0]["learning_rate"]


def test_tensorboard_gets_the_curves_or_its_absence_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Writer:
        written: list[tuple[str, int]] = []  # noqa: RUF012

        def __init__(self, folder: str) -> None:
            assert folder.endswith("tensorboard")

        def add_scalar(self, name: str, _value: float, step: int) -> None:
            self.written.append((name, step))

        def close(self) -> None:
            self.written.append(("closed", 0))

    work = training(tmp_path, 10)
    work.recipe = replace(work.recipe, tensorboard=True)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert "not installed" in next(work.run()).message
    fake = ModuleType("torch.utils.tensorboard")
    vars(fake)["SummaryWriter"] = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    again = training(tmp_path, 10)
    again.recipe = work.recipe
    assert not any(report.message for report in again.run())
    assert Writer.written == [("train/loss", 10), ("train/level", 10), ("closed", 0)]
