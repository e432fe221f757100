"""Training steps as arms of a comparison, each in a process of its own, so that each has the allocator it would have.

A process builds its steps, then does one whenever it is asked to and tells how long that took; the arms of a comparison
are asked in turns, and no two of them work at once.
"""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch import Tensor

    from annotator.network import Prediction

BATCH = 16
Step = Callable[[], float]
"""Does one step and returns its seconds."""


class Arm:
    """Steps of one network in another process.

    Args:
        tuned: whether that process keeps big blocks, as `run` does, or leaves the allocator as it is.
    """

    def __init__(self, project: Path, backbone: str, size: int, *, tuned: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        words = (theirs, project, backbone, size, tuned)
        self._process = context.Process(target=_serve, args=words, daemon=True)
        self._process.start()

    def step(self, name: str) -> float:
        """Seconds of one step of that name; the first ones warm up."""
        self._pipe.send(name)
        return float(self._pipe.recv())

    def precision(self) -> str:
        """With which numbers the shipped step computes here."""
        self._pipe.send("precision")
        return str(self._pipe.recv())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("")
        self._process.join()


def _serve(pipe: Connection, project: Path, backbone: str, size: int, tuned: bool) -> None:
    from annotator.commands.run import _tune_allocator

    if tuned:
        _tune_allocator()
    steps: dict[str, Step] = {}
    with TemporaryDirectory() as folder:
        bench = Bench(project, backbone, size, Path(folder))
        while name := pipe.recv():
            if name == "precision":
                pipe.send(bench.precision)
                continue
            if name not in steps:
                steps[name] = getattr(bench, name)()
            pipe.send(steps[name]())


class Bench:
    """One data set, one kind of network, and the steps that are compared."""

    def __init__(self, project: Path, backbone: str, size: int, folder: Path) -> None:
        import numpy as np
        import torch

        from annotator import supervision, training
        from annotator.batches import Draws
        from annotator.bodies.body_model import BodyModel
        from annotator.bodies.files import load_body_model
        from annotator.crops import cached_crops
        from annotator.precision import resolved
        from annotator.project import Project
        from annotator.recipe import BodyRecipe
        from annotator.taught import BODY_POINTS

        vars(training).update(_REPORT_EVERY=1, _CHECKPOINT_SECONDS=math.inf)  # a report a step, and no checkpoint
        opened = Project.open(project)
        self.recipe = BodyRecipe(backbone=backbone, weights="none", input_px=size, batch=BATCH, schedule="cosine")
        self.samples = opened.samples("wild", "body")
        self.crops = result(cached_crops(opened, self.samples, "wild", size))
        self.lessons = supervision.lessons(self.samples, self.recipe, auxiliary=False)
        body = load_body_model(opened.body_model_root("smplx"), "smplx")
        self.points = BodyModel(body, BODY_POINTS.maps(body))
        self.draws = Draws(self.crops.usable, seed=1, stream=0)
        self.backbone, self.folder = backbone, folder
        self.precision = resolved("auto", torch.device("cpu"))
        self.rows = np.asarray(self.draws.take(0, BATCH))

    def network(self) -> Any:
        """A target network with random weights."""
        import torch

        from annotator.backbone import Backbone
        from annotator.network import TargetNetwork
        from annotator.prior import VPoser

        torch.manual_seed(1)
        return TargetNetwork(Backbone(self.backbone), VPoser())

    def targets(self, rows: Any) -> Any:
        """What these people teach."""
        import torch

        from annotator.losses import Targets

        names = ("pixels", "joints", "rotations", "betas", "imitate", "regularise")
        return Targets(**{n: torch.as_tensor(getattr(self.lessons, n)[rows], dtype=torch.float32) for n in names})

    def terms(self, prediction: Prediction, targets: Any) -> Mapping[str, Tensor]:
        """Body model, projection and losses, as the procedure has them."""
        from annotator.losses import target_loss
        from annotator.network import project_to_crop

        assert prediction.transl is not None
        projected, joints = posed(self.points, prediction)
        return target_loss(self.recipe, prediction, joints, project_to_crop(projected, prediction.transl), targets)

    def shipped(self, draw: Callable[[int], tuple[Any, Any]]) -> Step:
        """Steps of the loop as it ships, on what `draw` gives."""
        import torch

        from annotator.training import Training

        network = self.network().to(memory_format=torch.channels_last)

        def loss(step: int) -> Mapping[str, Tensor]:
            images, targets = draw(step)
            return self.terms(network(images), targets)

        work = Training(network, loss, self.recipe, 10**6, self.folder, "Training").run()
        next(work)
        return lambda: seconds(lambda: next(work))

    def loop(self) -> Step:
        """With people drawn from the crop cache."""
        import torch

        from annotator.annotators.neuralannot import crops_tensor

        def draw(step: int) -> tuple[Any, Any]:
            rows = self.draws.take(step, BATCH)
            return crops_tensor(self.crops, rows, torch.device("cpu")), self.targets(rows)

        return self.shipped(draw)

    def memory(self) -> Step:
        """With the same people at every step, in memory already."""
        import torch

        from annotator.annotators.neuralannot import crops_tensor

        given = crops_tensor(self.crops, self.rows, torch.device("cpu")), self.targets(self.rows)
        return self.shipped(lambda _step: given)

    def naive(self) -> Step:
        """A plain eager loop: fp32, channels first, Adam as torch gives it; same heads, same losses, data in memory."""
        import torch

        network = self.network().train()
        optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-4)
        images = torch.as_tensor(self.crops.take(self.rows)).permute(0, 3, 1, 2).contiguous()
        targets = self.targets(self.rows)

        def step() -> None:
            optimiser.zero_grad()
            torch.stack(list(self.terms(network(images), targets).values())).sum().backward()
            optimiser.step()

        step()
        return lambda: seconds(step)

    def losses(self) -> Step:
        """Body model and losses alone, forward and backward to what the network said."""
        import torch

        from annotator.network import Prediction

        with torch.no_grad():
            said = self.network().eval()(torch.as_tensor(self.crops.take(self.rows)).permute(0, 3, 1, 2))
        targets = self.targets(self.rows)

        def step() -> None:
            names = ("rotations", "betas", "latent", "transl")
            leaves = {name: getattr(said, name).clone().requires_grad_() for name in names}
            torch.stack(list(self.terms(Prediction(**leaves), targets).values())).sum().backward()

        step()
        return lambda: seconds(step)


def posed(points: Any, prediction: Prediction) -> tuple[Tensor, Tensor]:
    """All 2D points and the root-relative 3D pose, metres in the crop frame."""
    import torch

    from annotator.taught import BODY_POINTS

    placed = points.turned(prediction.rotations, prediction.betas).points
    poses = [placed[:, columns] for columns, _ in BODY_POINTS.poses]
    roots = [root for _, root in BODY_POINTS.poses]
    relative = [pose - pose[:, root : root + 1] for pose, root in zip(poses, roots, strict=True)]
    return placed, torch.cat(relative, dim=1)


def in_turns(repeats: int, *arms: Step) -> Iterator[list[float]]:
    """Seconds of each arm; they take turns, after one turn that does not count."""
    taken: list[list[float]] = [[] for _ in arms]
    for turn in range(repeats + 1):
        for arm, spent in zip(arms, taken, strict=True):
            took = arm()
            if turn:
                spent.append(took)
    yield from taken


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def result(work: Any) -> Any:
    """What a generator returns at its end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
