"""Twenty steps of a small network with the target network's loss: under torchrun as processes share them, alone as their
arithmetic twin.

Words: the file for the losses, and `frozen` where batch statistics are. The twin gives each half of a batch, which is what
one of two processes takes, batch statistics of its own; masked means run over both halves.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from annotator import ranks, training
from annotator.batches import Draws
from annotator.losses import Targets, target_loss
from annotator.network import Prediction
from annotator.recipe import BodyRecipe

PEOPLE, BATCH, STEPS = 60, 16, 20
WIDTHS = {"pixels": 12, "joints": 12, "rotations": 27, "betas": 10, "latent": 8}


class Small(nn.Module):
    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.frozen = frozen
        self.front = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, sum(WIDTHS.values()))

    def train(self, mode: bool = True) -> Small:
        super().train(mode)
        self.front[1].train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.front(images).mean(dim=(2, 3)))


def drawn_targets() -> dict[str, Tensor]:
    """Of everybody; halves of a batch differ much in what they have labels of."""
    rare = torch.rand(PEOPLE, 1) ** 3

    def labelled(count: int, width: int) -> Tensor:
        valid = (torch.rand(PEOPLE, count) < rare).float()
        return torch.cat([torch.randn(PEOPLE, count, width), valid[..., None]], dim=-1)

    return {
        "pixels": labelled(6, 2),
        "joints": labelled(4, 3),
        "rotations": torch.randn(PEOPLE, 3, 3, 3),
        "betas": torch.randn(PEOPLE, 10),
        "imitate": (torch.rand(PEOPLE) < rare[:, 0]).float(),
        "regularise": (torch.rand(PEOPLE) < rare[:, 0]).float(),
    }


def terms(recipe: BodyRecipe, seen: Tensor, targets: Mapping[str, Tensor], rows: Tensor) -> Mapping[str, Tensor]:
    said = dict(zip(WIDTHS, seen.split(list(WIDTHS.values()), dim=1), strict=True))
    prediction = Prediction(said["rotations"].view(-1, 3, 3, 3), said["betas"], latent=said["latent"])
    taught = Targets(**{name: values[rows] for name, values in targets.items()})
    return target_loss(recipe, prediction, said["joints"].view(-1, 4, 3), said["pixels"].view(-1, 6, 2), taught)


def main() -> None:
    out, frozen = Path(sys.argv[1]), "frozen" in sys.argv[2:]
    torch.manual_seed(0)
    images, targets = torch.randn(PEOPLE, 3, 12, 12), drawn_targets()
    recipe = BodyRecipe(schedule="cosine", learning_rate=0.01, train_precision="fp32", weight_2d=1.0)
    draws = Draws(np.arange(PEOPLE), seed=3, stream=0)
    with ranks.joined(), TemporaryDirectory() as folder:
        network = Small(frozen)
        run = ranks.shared(network)

        def loss(step: int) -> Mapping[str, Tensor]:
            rows = torch.as_tensor(draws.take(step, BATCH))
            if ranks.count() == 1:
                rows = torch.cat([rows[0::2], rows[1::2]])
            whole = frozen or ranks.count() > 1
            seen = run(images[rows]) if whole else torch.cat([run(images[half]) for half in rows.chunk(2)])
            return terms(recipe, seen, targets, rows)

        training._REPORT_EVERY = 1
        work = training.Training(network, loss, recipe, STEPS, Path(folder), "Training")
        losses = [report.values["loss"] for report in work.run()]
        if ranks.leads():
            statistics = [float(value.double().sum()) for value in network.buffers()]
            out.write_text(json.dumps({"losses": losses, "statistics": statistics, "processes": ranks.count()}))


if __name__ == "__main__":
    main()
