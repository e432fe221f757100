"""The training loop: Adam, two schedules, a finite check before weights are touched, held-out losses, exact resume.

On CPU a resumed run gives the same weights to the bit: every draw depends on the step alone, and the state holds
everything else. Under torchrun every process takes its share of each batch; all take the same steps and the leader
writes (`ranks.py`).
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from annotator import ranks
from annotator.backbone import prepare
from annotator.errors import RunError
from annotator.losslog import LossLog
from annotator.progress import Progress, Stopped, Work
from annotator.recipe import PartRecipe
from annotator.wholefile import whole_file

_REPORT_EVERY = 10
_CHECKPOINT_SECONDS = 60.0
_WARM_UP = 0.03
_BEST_WINDOW = 100
Loss = Callable[[int], Mapping[str, Tensor]]
"""The terms of the loss at a step, by name; their sum is minimised."""
HeldOut = Callable[[], Mapping[str, float]]
"""The terms of the loss on people whom the network is not taught."""


@dataclass
class Plateau:
    """Divides the learning rate by 10 at the first plateau and ends training at the second.

    The mean loss of every `window` steps is compared with the best earlier one; a relative fall of less than `gain` is a
    plateau. (The paper says "reduced by a factor of 10 when it converges"; the rule is ours.)
    """

    window: int
    gain: float
    best: float = math.inf
    total: float = 0.0
    count: int = 0
    drops: int = 0

    def add(self, loss: float) -> None:
        """Takes the loss of one step in."""
        self.total += loss
        self.count += 1
        if self.count == self.window:
            mean, self.total, self.count = self.total / self.window, 0.0, 0
            if mean > self.best * (1 - self.gain):
                self.drops += 1
            self.best = min(self.best, mean)

    @property
    def ended(self) -> bool:
        """Whether the second plateau was met."""
        return self.drops >= 2

    @property
    def factor(self) -> float:
        """What the learning rate is multiplied with."""
        return 0.1**self.drops


@dataclass
class Best:
    """The lowest loss over windows of `_BEST_WINDOW` steps in a row, counted from the first step.

    It is the held-out loss at the window's end where people are held out. Else it is the window's mean training loss,
    which says where training went well, not how good the weights are on people that they were not taught. Its weights
    are those at the window's end, kept on the CPU: a copy of the network in memory.
    """

    loss: float = math.inf
    total: float = 0.0
    count: int = 0

    def add(self, loss: float) -> float | None:
        """Takes the loss of one step in; the mean of the window that ends with it, else None."""
        self.total += loss
        self.count += 1
        if self.count < _BEST_WINDOW:
            return None
        mean, self.total, self.count = self.total / self.count, 0.0, 0
        return mean

    def better(self, loss: float) -> bool:
        """Whether the loss of a window is lower than that of all before."""
        better = loss < self.loss
        self.loss = min(self.loss, loss)
        return better


@dataclass
class Training:
    """One network being trained, and where its state is kept.

    Attributes:
        stage: words for the progress display.
        folder: gets `last.safetensors` (the weights that annotate), `best.safetensors` (those of `Best`; the last ones
            where training ends before its first window), `state.pt` (all that a resume needs) and `losses.jsonl`.
        held_out: gives the terms of the loss on people held out; None where there are none.
    """

    network: nn.Module
    loss: Loss
    recipe: PartRecipe
    steps: int
    folder: Path
    stage: str
    held_out: HeldOut | None = None
    plateau: Plateau = field(init=False)
    best: Best = field(default_factory=Best)
    step: int = 0
    _best_weights: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(parameters, lr=self.recipe.learning_rate, fused=True)
        self.plateau = Plateau(self.recipe.plateau_window, self.recipe.plateau_gain)

    @property
    def weights_path(self) -> Path:
        """The last weights."""
        return self.folder / "last.safetensors"

    @property
    def _best_path(self) -> Path:
        return self.folder / "best.safetensors"

    def run(self) -> Work:
        """Trains to the end, or goes on from the state that is there.

        Raises:
            RunError: the loss or a gradient is not finite; the last checkpoint is still good.
        """
        self._restore()
        prepare(self.network, self.recipe.train_precision, compiled=self.recipe.compile)
        self.network.train()
        log = LossLog(self.folder, tensorboard=self.recipe.tensorboard, writes=ranks.leads())
        log.begin(self.step)
        if log.lack:
            yield Progress(self.stage, message=log.lack)
        saved = time.monotonic()
        try:
            while not self._ended:
                ranks.agree()
                terms, held_out = self._advance()
                if self.step % _REPORT_EVERY == 0 or self._ended:
                    values = {name: float(term) for name, term in terms.items()}
                    values = {"loss": sum(values.values()), **values}
                    log.add(self.step, self._rate, values, held_out)
                    if held_out is not None:
                        values["held_out"] = held_out["loss"]
                    yield Progress(self.stage, self.step, self.steps, "steps", values=values)
                if time.monotonic() - saved > _CHECKPOINT_SECONDS:
                    self.save()
                    saved = time.monotonic()
        except (Stopped, GeneratorExit):
            self.save()
            raise
        finally:
            log.end()
        ranks.as_leader(self.network)
        if not self._best_path.exists() and self._best_weights is None:
            self._best_weights = _weights(self.network)
        self.save()
        self.network.eval()

    @property
    def _ended(self) -> bool:
        return self.step >= self.steps or (self.recipe.schedule == "plateau" and self.plateau.ended)

    @property
    def _rate(self) -> float:
        return self.optimiser.param_groups[0]["lr"]

    def _advance(self) -> tuple[Mapping[str, Tensor], Mapping[str, float] | None]:
        """One step: its terms, and those on the people held out where a window ends."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.learning_rate * self._factor()
        with ranks.together():
            terms = self.loss(self.step)
            total = torch.stack(list(terms.values())).sum()
            self.optimiser.zero_grad()
            total.backward()
        self._check_finite(total)
        self.optimiser.step()
        self.step += 1
        shown = ranks.mean(torch.stack([term.detach() for term in terms.values()]))
        terms = dict(zip(terms, shown, strict=True))
        loss = float(total.detach() if ranks.count() == 1 else shown.sum())
        self.plateau.add(loss)
        mean = self.best.add(loss)
        held_out = self._validate() if mean is not None or self._ended else None
        if mean is not None and self.best.better(mean if held_out is None else held_out["loss"]):
            self._best_weights = {name: value.clone() for name, value in _weights(self.network).items()}
        return terms, held_out

    def _validate(self) -> Mapping[str, float] | None:
        if self.held_out is None:
            return None
        self.network.eval()
        with torch.no_grad():
            terms = self.held_out()
        self.network.train()
        return {"loss": sum(terms.values()), **terms}

    def _factor(self) -> float:
        if self.recipe.schedule == "plateau":
            return self.plateau.factor
        warm = min(1.0, (self.step + 1) / max(1, round(_WARM_UP * self.steps)))
        return warm * 0.5 * (1 + math.cos(math.pi * self.step / self.steps))

    def _check_finite(self, total: Tensor) -> None:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not bool(torch.isfinite(total) & torch.isfinite(norm)):
            raise RunError(
                f"{self.stage}: the loss or a gradient is not finite at step {self.step}; the weights were not touched. "
                "Start a new run with a lower learning_rate in its recipe."
            )

    def save(self) -> None:
        """Writes the checkpoint, where this process leads; each file appears whole or not at all, and `state.pt` alone suffices to resume."""
        if not ranks.leads():
            return
        weights = _weights(self.network)
        state = {
            "step": self.step,
            "weights": weights,
            "optimiser": self.optimiser.state_dict(),
            "plateau": dict(vars(self.plateau)),
            "best": dict(vars(self.best)),
        }
        if self._best_weights is not None:  # first: a resume from an older state finds the same ones again
            _write(self._best_path, save(self._best_weights))
            self._best_weights = None
        _write(self.folder / "state.pt", _torch_bytes(state))
        _write(self.weights_path, save(weights))

    def _restore(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        device = next(self.network.parameters()).device
        try:
            state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
            self.network.load_state_dict(state["weights"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.plateau, self.best = state["step"], Plateau(**state["plateau"]), Best(**state["best"])
        except (RuntimeError, KeyError, TypeError, ValueError, EOFError, UnpicklingError) as error:
            raise RunError(
                f"The checkpoint {path} is damaged or belongs to another recipe; start a new run."
            ) from error


def load_weights(network: nn.Module, folder: Path) -> None:
    """Loads the last weights of a trained network, strictly.

    Raises:
        RunError: there are none, or they belong to another network.
    """
    path = folder / "last.safetensors"
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError as error:
        raise RunError(f"There are no weights {path}; resume the run that trains them.") from error
    except SafetensorError as error:
        raise RunError(f"The weights {path} are damaged; start a new run, or copy them again.") from error
    except RuntimeError as error:
        raise RunError(f"The weights {path} belong to another network; start a new run.") from error


def save_weights(network: nn.Module, folder: Path) -> None:
    """Writes the weights that `load_weights` reads."""
    _write(folder / "last.safetensors", save(_weights(network)))


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def _torch_bytes(values: object) -> memoryview:
    buffer = io.BytesIO()
    torch.save(values, buffer)
    return buffer.getbuffer()


def _write(path: Path, data: bytes | memoryview) -> None:
    """Python writes what torch and safetensors have made: only its errors say that the disk is full."""
    with whole_file(path) as file:
        file.write(data)
