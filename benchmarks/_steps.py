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

    def __init__(self, project: Path, backbone: str, size: int, device: str, *, tuned: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        words = (theirs, project, backbone, size, device, tuned)
        self._process = context.Process(target=_serve, args=words, daemon=True)
        self._process.start()
        self._pipe.recv()  # it is ready: two that set up at once would share the cores

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


def _serve(pipe: Connection, project: Path, backbone: str, size: int, device: str, tuned: bool) -> None:
    from annotator.commands.run import tune_allocator

    if tuned:
        tune_allocator()
    steps: dict[str, Step] = {}
    with TemporaryDirectory() as folder:
        bench = Bench(project, backbone, size, Path(folder), device)
        pipe.send("ready")
        while name := pipe.recv():
            if name == "precision":
                pipe.send(bench.precision)
                continue
            if name not in steps:
                steps[name] = getattr(bench, name)()
            pipe.send(steps[name]())


class Bench:
    """One table of people, who are both halves of every batch, one kind of network, and the steps that are compared."""

    def __init__(self, project: Path, backbone: str, size: int, folder: Path, device: str = "cpu") -> None:
        import numpy as np
        import torch

        from annotator import supervision, training
        from annotator.bodies.files import load_body_model
        from annotator.crops import cached_crops
        from annotator.part import BODY
        from annotator.precision import resolved
        from annotator.project import Project
        from annotator.recipe import BodyRecipe
        from annotator.taught import BODY_POINTS
        from annotator.teaching import DataSet, Teacher

        vars(training).update(
            _REPORT_EVERY=1, _CHECKPOINT_SECONDS=math.inf
        )  # a report a step; checkpoints are timed alone
        opened, self.device = Project.open(project), torch.device(device)
        self.recipe = BodyRecipe(backbone=backbone, weights="none", input_px=size, batch=BATCH, schedule="cosine")
        samples = opened.samples("wild", "body")
        self.crops = result(cached_crops(opened, samples, "wild", size))
        self.lessons = supervision.lessons(samples, self.recipe, auxiliary=False)
        body = load_body_model(opened.body_model_root("smplx"), "smplx")
        self.teacher = Teacher(self.recipe, BODY, BODY_POINTS, body, self.device)
        self.data = DataSet("wild", samples, self.crops, self.lessons, np.zeros(0, np.int64))
        self.backbone, self.folder = backbone, folder
        self.precision = resolved("auto", self.device)
        self.given = [(self.data, self.crops.usable[:BATCH])]

    def network(self) -> Any:
        """A target network with random weights."""
        import torch

        from annotator.backbone import Backbone
        from annotator.network import TargetNetwork
        from annotator.prior import VPoser

        torch.manual_seed(1)
        return TargetNetwork(Backbone(self.backbone), VPoser()).to(self.device)

    def terms(self, prediction: Prediction, targets: Any) -> Mapping[str, Tensor]:
        """Body model, projection and losses, as the procedure has them."""
        from annotator.losses import target_loss

        pixels, joints = self.teacher.seen(prediction)
        return target_loss(self.recipe, prediction, joints, pixels, targets)

    def loop(self) -> Step:
        """The loop as it ships: people drawn from the crop cache, half of them as auxiliary ones."""
        network = self._shipped_network()
        return self._shipped(network, self.teacher.target_loss(network, [self.data], [self.data])[0])

    def memory(self) -> Step:
        """The same step with the same people each time, in memory already."""
        network = self._shipped_network()
        images, targets = self.teacher.images(self.given), self.teacher.targets(self.given)
        return self._shipped(network, lambda _step: self.terms(network(images), targets))

    def checkpoint(self) -> Step:
        """Writes a checkpoint, as the loop does once a minute."""
        import torch

        from annotator.training import Training

        network = self._shipped_network()
        images, targets = self.teacher.images(self.given), self.teacher.targets(self.given)
        work = Training(
            network, lambda _step: self.terms(network(images), targets), self.recipe, 2, self.folder, "Training"
        )
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        work.optimiser.step()  # which makes its state, as large as the weights twice
        return lambda: seconds(work.save, self.device)

    def naive(self) -> Step:
        """A plain eager loop: fp32, channels first, Adam as torch gives it; same heads, same losses, data in memory."""
        import torch

        network = self.network().train()
        optimiser = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=1e-4)
        images, targets = self.teacher.images(self.given).contiguous(), self.teacher.targets(self.given)

        def step() -> None:
            optimiser.zero_grad()
            torch.stack(list(self.terms(network(images), targets).values())).sum().backward()
            optimiser.step()

        step()
        return lambda: seconds(step, self.device)

    def losses(self) -> Step:
        """Body model and losses alone, forward and backward to what the network said."""
        import torch

        from annotator.network import Prediction

        with torch.no_grad():
            said = self.network().eval()(self.teacher.images(self.given))
        targets = self.teacher.targets(self.given)

        def step() -> None:
            names = ("rotations", "betas", "latent", "transl")
            leaves = {name: getattr(said, name).clone().requires_grad_() for name in names}
            torch.stack(list(self.terms(Prediction(**leaves), targets).values())).sum().backward()

        step()
        return lambda: seconds(step, self.device)

    def _shipped_network(self) -> Any:
        import torch

        return self.network().to(memory_format=torch.channels_last)

    def _shipped(self, network: Any, loss: Callable[[int], Mapping[str, Tensor]]) -> Step:
        """Steps of the training loop, one at a time."""
        from annotator.training import Training

        work = Training(network, loss, self.recipe, 10**6, self.folder, "Training").run()
        next(work)
        return lambda: seconds(lambda: next(work), self.device)


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


def seconds(work: Callable[[], object], device: Any = None) -> float:
    """Seconds of one call, to the end of what it gave a GPU to do."""
    import torch

    on_gpu = device is not None and device.type == "cuda"
    if on_gpu:
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if on_gpu:
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def result(work: Any) -> Any:
    """What a generator returns at its end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
