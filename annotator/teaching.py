"""What networks are taught: people drawn from tables -> crops, targets and the terms of the paper's two losses.

Legend: B people, K labelled 2D points, J 3D joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from annotator.annotators.neuralannot import crops_tensor, lesson_rows
from annotator.augment import Changes, drawn_changes
from annotator.batches import Pool
from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import BodyModelData
from annotator.bodies.points import CONTOUR_START
from annotator.camera import Camera, Crop
from annotator.crops import Crops
from annotator.losses import Targets, auxiliary_loss, target_loss
from annotator.network import AuxiliaryNetwork, Prediction, TargetNetwork, project_to_crop
from annotator.part import Part, taught_as
from annotator.recipe import PartRecipe
from annotator.sample import Samples
from annotator.supervision import Lessons, camera_of
from annotator.taught import TaughtPoints
from annotator.training import HeldOut, Loss


@dataclass(frozen=True)
class DataSet:
    """One table of a data set as the procedure needs it.

    Attributes:
        held: rows that no network is taught, on which its loss is measured.
    """

    name: str
    samples: Samples
    crops: Crops
    lessons: Lessons
    held: np.ndarray

    @cached_property
    def taught(self) -> np.ndarray:
        """Rows that may be drawn."""
        return np.setdiff1d(self.crops.usable, self.held) if len(self.held) else self.crops.usable

    @cached_property
    def camera(self) -> Camera:
        """Of every sample: that in which its 3D lies."""
        return camera_of(self.samples, self.lessons.crop)


_MEASURED = 2048
"""People of a table on whom the loss is measured: it is done every hundred steps, by every process."""
Drawn = list[tuple[DataSet, np.ndarray]]
"""Rows of tables that make a batch."""
AllChanges = Sequence[Changes] | None
"""Of each table's rows in a batch; None where nothing is augmented."""


@dataclass(frozen=True)
class Teacher:
    """What the networks of one part are shown and what it costs them to be wrong.

    Attributes:
        points: that are taught, of all data sets of the run.
        body: the model behind the networks; hands are right hands there.
    """

    recipe: PartRecipe
    part: Part
    points: TaughtPoints
    body: BodyModelData
    device: torch.device

    def joints_of(self, tables: list[DataSet]) -> slice:
        """Where the 3D pose of an auxiliary set is among all that are taught."""
        skeleton = tables[0].samples.joint_skeleton
        assert skeleton is not None, "auxiliary sets have GT 3D"
        return self.points.joint_columns(taught_as(skeleton))

    def auxiliary_loss(self, network: AuxiliaryNetwork, tables: list[DataSet]) -> tuple[Loss, HeldOut | None]:
        """L_ax of the network of one auxiliary set, by step and on the people held out."""
        columns, pool = self.joints_of(tables), self._pool(tables, 0)

        def of(drawn: Drawn, step: int | None = None) -> Mapping[str, Tensor]:
            images, targets = self._shown(drawn, step)
            targets = replace(targets, joints=targets.joints[:, columns])
            prediction = network(images, targets.joints)
            return auxiliary_loss(self.recipe, prediction, self._posed(prediction)[1][:, columns], targets)

        def loss(step: int) -> Mapping[str, Tensor]:
            return of([(tables[number], rows) for number, rows in pool.take(step, self.recipe.batch)], step)

        return loss, self._measured(of, tables)

    def target_loss(
        self, network: TargetNetwork, auxiliary: list[DataSet], target: list[DataSet]
    ) -> tuple[Loss, HeldOut | None]:
        """L_tg of the target network, half of every batch auxiliary; on the auxiliary people held out."""
        halves = [(auxiliary, self._pool(auxiliary, 1)), (target, self._pool(target, 2))]
        halves = [(tables, pool) for tables, pool in halves if pool.size]
        share = self.recipe.batch // len(halves)

        def of(drawn: Drawn, step: int | None = None) -> Mapping[str, Tensor]:
            images, targets = self._shown(drawn, step)
            prediction = network(images, targets.pixels)
            pixels, joints = self.seen(prediction)
            return target_loss(self.recipe, prediction, joints, pixels, targets)

        def loss(step: int) -> Mapping[str, Tensor]:
            return of([(tables[n], rows) for tables, pool in halves for n, rows in pool.take(step, share)], step)

        return loss, self._measured(of, auxiliary)

    def images(self, drawn: Drawn, changes: AllChanges = None) -> Tensor:
        """`(B, 3, S, S)` uint8 crops."""
        images = [
            crops_tensor(data.crops, rows, self.device, data.samples.part, change)
            for (data, rows), change in zip(drawn, changes or [None] * len(drawn), strict=True)
        ]
        return torch.cat(images) if len(images) > 1 else images[0]

    def targets(self, drawn: Drawn, changes: AllChanges = None) -> Targets:
        """What these people teach."""
        names = ("pixels", "joints", "rotations", "betas", "imitate", "regularise")
        parts = [
            lesson_rows(
                data.lessons, rows, names, data.samples.part, change and partial(change.of_lessons, self.points)
            )
            for (data, rows), change in zip(drawn, changes or [None] * len(drawn), strict=True)
        ]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
        return Targets(**{name: torch.as_tensor(v, dtype=torch.float32).to(self.device) for name, v in columns.items()})

    def _shown(self, drawn: Drawn, step: int | None) -> tuple[Tensor, Targets]:
        """Crops and what they teach: augmented at a step of the training, as they are where people are held out."""
        changes = None
        if step is not None and self.recipe.augments:
            changes = [self._changes(data, rows, step) for data, rows in drawn]
        return self.images(drawn, changes), self.targets(drawn, changes)

    def _changes(self, data: DataSet, rows: np.ndarray, step: int) -> Changes:
        keys = [data.samples.keys[row] for row in rows.tolist()]
        crop, camera = data.lessons.crop, data.camera
        return drawn_changes(
            self.recipe,
            keys,
            step,
            Crop(crop.center[rows], crop.side[rows]),
            Camera(camera.focal[rows], camera.princpt[rows]),
        )

    def seen(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """All 2D points `(B, K, 2)` px of the 256 crop, and the root-relative 3D pose `(B, J, 3)`, metres."""
        assert prediction.transl is not None, "auxiliary networks have no camera"
        points, joints = self._posed(prediction)
        return project_to_crop(points, prediction.transl), joints

    def _measured(self, of: Callable[[Drawn], Mapping[str, Tensor]], tables: list[DataSet]) -> HeldOut | None:
        """Mean terms of a loss over the people held out, each as heavy as any other; None where there are none."""
        held = [(data, rows) for data in tables for rows in _pieces(_measured_of(data.held), self.recipe.batch)]
        if not held:
            return None

        def measure() -> Mapping[str, float]:
            sums: dict[str, float] = {}
            for data, rows in held:
                for name, term in of([(data, rows)]).items():
                    sums[name] = sums.get(name, 0.0) + float(term) * len(rows)
            people = sum(len(rows) for _, rows in held)
            return {name: value / people for name, value in sums.items()}

        return measure

    def _pool(self, tables: list[DataSet], stream: int) -> Pool:
        return Pool([data.taught for data in tables], seed=self.recipe.seed, stream=stream)

    @cached_property
    def _model(self) -> BodyModel:
        landmarks = self.body.landmarks
        contour = self.part.family == "flame" and landmarks is not None and len(landmarks.contour_faces) > 0
        return BodyModel(self.body, self.points.maps(self.body), contour=contour).to(self.device)

    def _posed(self, prediction: Prediction) -> tuple[Tensor, Tensor]:
        """All 2D points `(B, K, 3)` and the root-relative 3D pose `(B, J, 3)`, metres in the crop frame."""
        out = self._model.turned(_all_joints(self.part, prediction.rotations), prediction.betas)
        placed = out.points
        if out.contour is not None:
            placed = placed.clone()
            for skeleton in self.points.skeletons:
                first = self.points.columns(skeleton).start + CONTOUR_START[skeleton.name]
                placed[:, first : first + 17] = out.contour
        poses = [placed[:, columns] for columns, _ in self.points.poses]
        roots = [root for _, root in self.points.poses]
        relative = [pose - pose[:, root : root + 1] for pose, root in zip(poses, roots, strict=True)]
        return placed, torch.cat(relative, dim=1) if len(relative) > 1 else relative[0]


def _measured_of(held: np.ndarray) -> np.ndarray:
    """Of the people held out those on whom the loss is measured: all, or so many from first to last."""
    return held if len(held) <= _MEASURED else held[np.linspace(0, len(held) - 1, _MEASURED, dtype=np.int64)]


def _pieces(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _all_joints(part: Part, rotations: Tensor) -> Tensor:
    """`(B, R, 3, 3)` -> rotations of all joints up to the last predicted one; those between stay at rest."""
    if part.joints == tuple(range(1, part.rotations)):
        return rotations
    whole = torch.eye(3, device=rotations.device).repeat(len(rotations), part.joints[-1] + 1, 1, 1)
    return whole.index_copy(1, torch.tensor([0, *part.joints], device=rotations.device), rotations)
