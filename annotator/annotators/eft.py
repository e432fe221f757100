"""EFT (Joo et al., 2021): a trained target network is tuned on one person's 2D pose; what it then says is the fit.

Everybody starts from the trained weights. Either the whole network is tuned, one person after the other, as its authors
do, or the head alone, for many people at once, each with a head of his own. As published: Adam, at most 20 iterations,
an end as soon as the 2D loss is small, no hips, and a small term for the direction of the legs in their place.

Legend: B people, K 2D points, L leg bones.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from annotator.annotators.neuralannot import ToFits
from annotator.camera import VIRTUAL_SIZE
from annotator.eftrecipe import EftRecipe
from annotator.fit import Fits
from annotator.network import Prediction, TargetNetwork
from annotator.precision import one_thread
from annotator.skeleton import Skeleton

_BONES = tuple(
    (f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))
)
_HIPS = ("left_hip", "right_hip")
_SMALL = 1e-6
SMALL_ENOUGH, ALL_ITERATIONS = "threshold", "iterations"
"""Why the tuning of a person ended; the text of `eft.stop`."""


@dataclass(frozen=True)
class Legs:
    """Columns among the K points: `hips`, which the 2D loss leaves out, and `bones` `(L, 2)`."""

    hips: np.ndarray
    bones: np.ndarray

    @classmethod
    def of(cls, sets: Iterable[tuple[Skeleton, np.ndarray]]) -> Legs:
        """Of points that are those of several skeletons one after the other: each with the indices of its points."""
        hips: list[int] = []
        bones: list[tuple[int, int]] = []
        start = 0
        for skeleton, rows in sets:
            places = {skeleton.points[row]: start + place for place, row in enumerate(rows.tolist())}
            hips += [places[name] for name in _HIPS if name in places]
            bones += [(places[a], places[b]) for a, b in _BONES if a in places and b in places]
            start += len(rows)
        return cls(np.array(hips, np.int64), np.array(bones, np.int64).reshape(-1, 2))


@dataclass(frozen=True)
class People:
    """How the tuner sees people by their rows, and what their 2D pose is.

    Attributes:
        inputs: rows -> what the network takes: crops and, where it takes one, the 2D pose.
        wanted: rows -> `(B, K, 3)` px of the 256 crop and confidence.
        project: a prediction -> `(B, K, 2)` px of the 256 crop.
        legs: which of the points are legs.
    """

    inputs: Callable[[np.ndarray], tuple[Tensor, ...]]
    wanted: Callable[[np.ndarray], Tensor]
    project: Callable[[Prediction], Tensor]
    legs: Legs


@dataclass(frozen=True)
class _Outcome:
    loss: float
    iterations: int
    stop: str


class Tuner:
    """Predicts rows with a network that was tuned on each of them, and remembers how that went."""

    def __init__(self, network: TargetNetwork, people: People, recipe: EftRecipe) -> None:
        self._network, self._people, self._recipe = network.eval(), people, recipe
        self._trained = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self._outcomes: dict[int, _Outcome] = {}

    def predict(self, rows: np.ndarray) -> Prediction:
        """The tuned network's prediction for each row; a row that is repeated is tuned once.

        Gradients are sums over pixels, whose order would be that of the threads: on a CPU one thread alone tunes.
        """
        with one_thread():
            if self._recipe.tune == "head":
                return self._with_own_heads(rows)
            single, places = np.unique(rows, return_inverse=True)
            found = [self._with_own_network(row) for row in single.tolist()]
            return _selected(_joined(found), torch.as_tensor(places.ravel()))

    def to_fits(self, make: ToFits) -> ToFits:
        """`make`, and to its fits the columns `eft.loss`, `eft.iterations` and `eft.stop`."""

        def made(rows: np.ndarray, columns: dict[str, np.ndarray]) -> Fits:
            outcomes = [self._outcomes[row] for row in rows.tolist()]
            table = make(rows, columns).table
            table = table.append_column("eft.loss", pa.array([one.loss for one in outcomes], pa.float32()))
            table = table.append_column("eft.iterations", pa.array([one.iterations for one in outcomes], pa.int32()))
            return Fits(table.append_column("eft.stop", pa.array([one.stop for one in outcomes], pa.string())))

        return made

    def _with_own_network(self, row: int) -> Prediction:
        rows = np.array([row])
        inputs = self._people.inputs(rows)
        parameters = [p for p in self._network.parameters() if p.requires_grad]
        try:
            return self._tuned(rows, lambda: self._network(*inputs), parameters)
        finally:
            self._network.load_state_dict(self._trained)

    def _with_own_heads(self, rows: np.ndarray) -> Prediction:
        inputs = self._people.inputs(rows)
        heads = _Heads(self._network.head, len(rows))
        replaced: dict[str, nn.Module] = {"head": heads}
        if self._network.backbone is not None:
            with torch.no_grad():
                replaced["backbone"] = _Given(self._network.backbone(inputs[0]))
        with _replaced(self._network, **replaced):
            return self._tuned(rows, lambda: self._network(*inputs), list(heads.parameters()))

    def _tuned(self, rows: np.ndarray, predict: Callable[[], Prediction], parameters: list[nn.Parameter]) -> Prediction:
        """Tunes `parameters`, of which each row has its own, until every row's 2D loss is small or iterations end."""
        recipe = self._recipe
        optimiser = torch.optim.Adam(parameters, lr=recipe.learning_rate, fused=True)
        wanted = self._people.wanted(rows)
        best: Prediction | None = None
        reached = torch.full((len(rows),), torch.nan, device=wanted.device)
        ended = torch.zeros(len(rows), dtype=torch.bool, device=wanted.device)
        for iteration in range(recipe.iterations + 1):
            with torch.enable_grad():
                prediction = predict()
                near, legs = pose_losses(self._people.project(prediction), wanted, self._people.legs)
                total = recipe.weight_2d * near + recipe.weight_legs * legs
            usable = torch.isfinite(total.detach()) & ~ended
            best = _detached(prediction) if best is None else _merged(usable, _detached(prediction), best)
            reached = torch.where(usable, near.detach(), reached)
            small = usable & (reached < recipe.threshold)
            now = ~ended if iteration == recipe.iterations else small
            for place in torch.nonzero(now).ravel().tolist():
                stop = SMALL_ENOUGH if bool(small[place]) else ALL_ITERATIONS
                self._outcomes[int(rows[place])] = _Outcome(float(reached[place]), iteration, stop)
            ended = ended | now
            if bool(ended.all()):
                break
            optimiser.zero_grad()
            torch.where(ended, torch.zeros_like(total), total).sum().backward()
            optimiser.step()
        assert best is not None
        return best


def pose_losses(points: Tensor, wanted: Tensor, legs: Legs) -> tuple[Tensor, Tensor]:
    """`(B,)` each: the mean squared distance on the labelled points, and how far leg bones are turned away.

    Distances are in half crops (128 px of 256), the published unit, without hips; a bone counts 1 - cos of its angle in
    the image.

    Args:
        points: `(B, K, 2)` px of the 256 crop. wanted: `(B, K, 3)` likewise, and confidence.
    """
    weight = wanted[..., 2].clone()
    weight[:, legs.hips] = 0
    squares = (((points - wanted[..., :2]) / (VIRTUAL_SIZE / 2)) ** 2).mean(dim=-1)
    near = (squares * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(_SMALL)
    if not len(legs.bones):
        return near, torch.zeros_like(near)
    first, second = torch.as_tensor(legs.bones, device=points.device).T
    seen, true = points[:, second] - points[:, first], wanted[:, second, :2] - wanted[:, first, :2]
    labelled = (wanted[:, first, 2] > 0) & (wanted[:, second, 2] > 0)
    turned = (1 - nn.functional.cosine_similarity(seen, true, dim=-1, eps=_SMALL)) * labelled
    return near, turned.sum(dim=1) / labelled.sum(dim=1).clamp_min(1)


class _Heads(nn.Module):
    """A copy of a linear layer for each of B people."""

    def __init__(self, head: nn.Linear, people: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(head.weight.detach().repeat(people, 1, 1))
        self.bias = nn.Parameter(head.bias.detach().repeat(people, 1))

    def forward(self, feature: Tensor) -> Tensor:
        return torch.baddbmm(self.bias[:, None], feature[:, None], self.weight.mT)[:, 0]


class _Given(nn.Module):
    """Stands for a backbone whose features are known."""

    def __init__(self, feature: Tensor) -> None:
        super().__init__()
        self._feature = feature

    def forward(self, _crops: Tensor) -> Tensor:
        return self._feature


@contextmanager
def _replaced(network: nn.Module, **modules: nn.Module) -> Generator[None, None, None]:
    before = {name: getattr(network, name) for name in modules}
    for name, module in modules.items():
        setattr(network, name, module)
    try:
        yield
    finally:
        for name, module in before.items():
            setattr(network, name, module)


# -- predictions of several people ---------------------------------------------------------------------------------------


def _each(of: Callable[[list[Tensor]], Tensor], predictions: Sequence[Prediction]) -> Prediction:
    values: dict[str, Tensor] = {}
    for field in fields(Prediction):
        columns = [getattr(prediction, field.name) for prediction in predictions]
        if columns[0] is not None:
            values[field.name] = of(columns)
    return replace(predictions[0], **values)


def _detached(prediction: Prediction) -> Prediction:
    return _each(lambda columns: columns[0].detach(), [prediction])


def _joined(predictions: Sequence[Prediction]) -> Prediction:
    return _each(torch.cat, predictions)


def _selected(prediction: Prediction, rows: Tensor) -> Prediction:
    return _each(lambda columns: columns[0][rows.to(columns[0].device)], [prediction])


def _merged(where: Tensor, one: Prediction, other: Prediction) -> Prediction:
    """Rows of `one` where that holds, else those of `other`."""

    def of(columns: list[Tensor]) -> Tensor:
        return torch.where(where.view(-1, *[1] * (columns[0].ndim - 1)), columns[0], columns[1])

    return _each(of, [one, other])
