"""Algorithm 1 of the paper and its later rounds (section 3, supplement 8), for the body part."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from annotator import ranks, supervision
from annotator.annotators.eft import Legs, People, Tuner
from annotator.annotators.neuralannot import (
    Predict,
    ToFits,
    annotate,
    auxiliary_fits,
    crops_tensor,
    predictor,
    target_fits,
)
from annotator.backbone import Backbone, prepare, starting_weights
from annotator.batches import Draws, held_out
from annotator.bodies.body_model import BodyModel
from annotator.bodies.files import BodyModelData
from annotator.crops import Crops, cached_crops, decoded_crops
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.losses import Targets, auxiliary_loss, target_loss
from annotator.network import AuxiliaryNetwork, Prediction, TargetNetwork, project_to_crop
from annotator.prior import PosePrior, VPoser, load_vposer, train_prior
from annotator.progress import Progress, Work
from annotator.project import AUXILIARY, TARGET, Project
from annotator.recipe import LEARNT, BodyRecipe, EftRecipe
from annotator.runs import Run
from annotator.sample import Samples
from annotator.scores import write_2d_errors
from annotator.skeleton import loss_points
from annotator.supervision import JOINTS, POINT_SETS, Lessons
from annotator.synthetic import sample_body_poses
from annotator.training import HeldOut, Loss, Training, load_weights, save_weights
from annotator.verdict import Verdict

PART = "body"
_ENOUGH_FITS = 2000
_ARCHETYPE_POSES = 6000


@dataclass(frozen=True)
class DataSet:
    """One data set as the procedure needs it.

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


Drawn = list[tuple[DataSet, np.ndarray]]
"""Rows of data sets that make a batch."""


@dataclass(frozen=True)
class Procedure:
    """Everything that the steps share.

    Attributes:
        data: names of the data sets. keys: of the samples used; empty for all.
        chain: the first run of the chain, whose auxiliary fits a later round reuses.
        before: the run of the round before, or None. verdicts: in force on its fits, by sample key.
    """

    project: Project
    run: Run
    recipe: BodyRecipe
    body: BodyModelData
    device: torch.device
    data: tuple[str, ...]
    keys: frozenset[str] = frozenset()
    chain: Run | None = None
    before: Run | None = None
    verdicts: Mapping[str, Verdict] | None = None

    def algorithm1(self) -> Work:
        """The paper's Algorithm 1; in a later round lines 1 to 6 are those of the chain's first run."""
        auxiliary = yield from self._open(AUXILIARY)
        target = yield from self._open(TARGET)
        if not auxiliary:
            yield Progress(
                "Training", message="No auxiliary set: the network learns from 2D alone (the paper's Table 1, 'None')."
            )
        if not any(len(data.crops.usable) for data in (*auxiliary, *target)):
            raise RunError("Not one photo of these data sets can be read; put them back or `relink` their image roots.")
        for data in auxiliary:
            if not len(data.crops.usable):
                yield Progress("Training", message=f"No photo of {data.name} can be read; it teaches nothing.")
        auxiliary = [data for data in auxiliary if len(data.crops.usable)]
        for data in auxiliary:  # line 1
            if self.chain is None:
                network = self._auxiliary_network()  # line 2
                loss, measured = self._auxiliary_loss(ranks.shared(network), data)
                yield from self._train(network, loss, measured, data.name)  # line 3
                yield from self._annotate_auxiliary(network, data)  # lines 4, 5
        auxiliary = [self._with_fits(data) for data in auxiliary]
        target = [self._with_verdicts(data) for data in target]
        prior = yield from ranks.leader_first(lambda: self._prior(auxiliary))
        network = self._target_network(prior)  # line 7
        loss, measured = self._target_loss(ranks.shared(network), auxiliary, target)
        yield from self._train(network, loss, measured, TARGET)  # line 8
        for data in target:
            yield from self._annotate_target(network, data)  # lines 9, 10
        yield from self._count_failures([*auxiliary, *target])

    def refine(self, source: Run, recipe: EftRecipe) -> Work:
        """EFT: the target network of `source`, tuned on each target sample by itself."""
        target = yield from self._open(TARGET)
        learnt = self.recipe.prior == LEARNT  # its weights are kept with the network's
        network = self._target_network(VPoser() if learnt else load_vposer(Path(self.recipe.prior)))
        load_weights(network, source.network_folder(PART, TARGET))
        prepare(network, "fp32")
        points, sets = self._points(), [(skeleton, loss_points(skeleton, PART)) for skeleton in POINT_SETS]

        def project(prediction: Prediction) -> torch.Tensor:
            assert prediction.transl is not None
            return project_to_crop(_pose(points, prediction)[0], prediction.transl)

        for data in target:
            people = People(
                images=lambda rows, data=data: self._images([(data, rows)]),
                wanted=lambda rows, data=data: self._targets([(data, rows)]).pixels,
                project=project,
                legs=Legs.of(sets),
            )
            tuner = Tuner(network, people, recipe)
            to_fits = tuner.to_fits(target_fits(data.samples, data.lessons, data.crops, self.body))
            yield from self._write(data, tuner.predict, to_fits, "Tuning on", timed=False)
        yield from self._count_failures(target)

    # -- data ------------------------------------------------------------------------------------------------------------

    def _open(self, role: str) -> Generator[Progress, None, list[DataSet]]:
        opened: list[DataSet] = []
        for name, info in self.project.datasets().items():
            if name in self.data and info.role == role:
                samples = self.project.samples(name, PART)
                if self.keys:
                    samples = samples.take([row for row, key in enumerate(samples.keys) if key in self.keys])
                crops = yield from ranks.leader_first(partial(self._crops, samples, name))
                taught = supervision.lessons(samples, self.recipe, auxiliary=role == AUXILIARY)
                share = self.recipe.held_out if role == AUXILIARY else 0.0
                held = held_out(samples.keys, crops.usable, share=share, seed=self.recipe.seed)
                opened.append(DataSet(name, samples, crops, taught, held))
        return opened

    def _crops(self, samples: Samples, name: str) -> Generator[Progress, None, Crops]:
        if self.recipe.crop_cache:
            return (yield from cached_crops(self.project, samples, name, self.recipe.input_px, some=bool(self.keys)))
        return (yield from decoded_crops(self.project, samples, self.recipe.input_px))

    def _fits_of(self, name: str) -> Fits:
        fits = (self.chain or self.run).fits(name, PART)
        assert fits is not None, "auxiliary fits are written before they are read"
        return fits

    def _with_fits(self, data: DataSet) -> DataSet:
        taught = supervision.with_fits(data.lessons, data.samples, self._fits_of(data.name), self.recipe)
        return replace(data, lessons=taught)

    def _with_verdicts(self, data: DataSet) -> DataSet:
        fits = self.before.fits(data.name, PART) if self.before is not None else None
        if fits is None:
            return data
        taught = supervision.with_verdicts(
            data.lessons, data.samples, fits, self.verdicts or {}, self.recipe, self.body
        )
        return replace(data, lessons=taught)

    # -- networks --------------------------------------------------------------------------------------------------------

    def _backbone(self) -> Backbone:
        torch.manual_seed(self.recipe.seed)
        backbone = Backbone(self.recipe.backbone)
        weights = starting_weights(self.recipe.backbone, self.recipe.weights)
        if weights is not None:
            backbone.network.load_state_dict(weights)
        return backbone

    def _auxiliary_network(self) -> AuxiliaryNetwork:
        return AuxiliaryNetwork(self._backbone(), JOINTS).to(memory_format=torch.channels_last).to(self.device)

    def _target_network(self, prior: PosePrior) -> TargetNetwork:
        return TargetNetwork(self._backbone(), prior).to(memory_format=torch.channels_last).to(self.device)

    def _prior(self, auxiliary: list[DataSet]) -> Generator[Progress, None, PosePrior]:
        """The prior that the recipe names, that of this run or of the chain's first one, or a new one."""
        if self.recipe.prior != LEARNT:
            yield Progress("Training", message=f"The pose prior is VPoser from {self.recipe.prior}.")
            return load_vposer(Path(self.recipe.prior))
        for run in filter(None, (self.run, self.chain)):
            if (run.network_folder(PART, "prior") / "last.safetensors").exists():
                prior = VPoser()
                load_weights(prior, run.network_folder(PART, "prior"))
                return prior.eval()
        fits = [self._fits_of(data.name) for data in auxiliary]
        poses = [f.column("body_pose")[f.ok] for f in fits]
        count = sum(len(p) for p in poses)
        source = f"{count:,} auxiliary fits"
        if count < _ENOUGH_FITS:
            rng = np.random.default_rng([self.recipe.seed, 31])
            poses.append(sample_body_poses(rng, _ARCHETYPE_POSES))
            source += f" and {_ARCHETYPE_POSES:,} poses from the shipped archetypes"
        yield Progress(
            "Training the pose prior", message=f"No VPoser checkpoint: the pose prior is learnt from {source}."
        )
        prior = yield from train_prior(np.concatenate(poses), steps=self.recipe.prior_steps, seed=self.recipe.seed)
        save_weights(prior, self.run.network_folder(PART, "prior"))
        return prior

    def _train(
        self, network: AuxiliaryNetwork | TargetNetwork, loss: Loss, measured: HeldOut | None, name: str
    ) -> Work:
        steps = self.recipe.target_steps if name == TARGET else self.recipe.auxiliary_steps
        words = "the target network" if name == TARGET else f"the auxiliary network on {name}"
        folder = self.run.network_folder(PART, name)
        yield from Training(network, loss, self.recipe, steps, folder, f"Training {words}", measured).run()

    # -- losses ----------------------------------------------------------------------------------------------------------

    def _auxiliary_loss(self, network: AuxiliaryNetwork, data: DataSet) -> tuple[Loss, HeldOut | None]:
        points = self._points()
        draws = Draws(data.taught, seed=self.recipe.seed, stream=0)

        def of(drawn: Drawn) -> Mapping[str, torch.Tensor]:
            targets = self._targets(drawn)
            prediction = network(self._images(drawn), targets.joints)
            joints = _pose(points, prediction)[1]
            return auxiliary_loss(self.recipe, prediction, joints, targets)

        def loss(step: int) -> Mapping[str, torch.Tensor]:
            return of([(data, draws.take(step, self.recipe.batch))])

        return loss, self._measured(of, [data])

    def _target_loss(
        self, network: TargetNetwork, auxiliary: list[DataSet], target: list[DataSet]
    ) -> tuple[Loss, HeldOut | None]:
        points = self._points()
        halves = [_Pool(auxiliary, self.recipe.seed, 1), _Pool(target, self.recipe.seed, 2)]
        halves = [half for half in halves if half.size]
        share = self.recipe.batch // len(halves)

        def of(drawn: Drawn) -> Mapping[str, torch.Tensor]:
            targets = self._targets(drawn)
            prediction = network(self._images(drawn))
            assert prediction.transl is not None
            projected, joints = _pose(points, prediction)
            return target_loss(self.recipe, prediction, joints, project_to_crop(projected, prediction.transl), targets)

        def loss(step: int) -> Mapping[str, torch.Tensor]:
            return of([pair for half in halves for pair in half.take(step, share)])

        return loss, self._measured(of, auxiliary)

    def _measured(self, of: Callable[[Drawn], Mapping[str, torch.Tensor]], data: list[DataSet]) -> HeldOut | None:
        """Mean terms of a loss over the people held out, each as heavy as any other; None where there are none."""
        held = [(one, rows) for one in data for rows in _pieces(one.held, self.recipe.batch)]
        if not held:
            return None

        def measure() -> Mapping[str, float]:
            sums: dict[str, float] = {}
            for one, rows in held:
                for name, term in of([(one, rows)]).items():
                    sums[name] = sums.get(name, 0.0) + float(term) * len(rows)
            people = sum(len(rows) for _, rows in held)
            return {name: value / people for name, value in sums.items()}

        return measure

    def _images(self, drawn: Drawn) -> torch.Tensor:
        images = [crops_tensor(data.crops, rows, self.device) for data, rows in drawn]
        return torch.cat(images) if len(images) > 1 else images[0]

    def _points(self) -> BodyModel:
        return BodyModel(self.body, supervision.loss_maps(self.body)).to(self.device)

    def _targets(self, drawn: Drawn) -> Targets:
        names = ("pixels", "joints", "rotations", "betas", "imitate", "regularise")
        columns = {name: np.concatenate([getattr(data.lessons, name)[rows] for data, rows in drawn]) for name in names}
        return Targets(**{name: torch.as_tensor(v, dtype=torch.float32).to(self.device) for name, v in columns.items()})

    # -- annotating ------------------------------------------------------------------------------------------------------

    def _annotate_auxiliary(self, network: AuxiliaryNetwork, data: DataSet) -> Work:
        to_fits = auxiliary_fits(data.samples, data.lessons, data.crops, self.body)
        yield from self._annotate(network, data, to_fits)

    def _annotate_target(self, network: TargetNetwork, data: DataSet) -> Work:
        to_fits = target_fits(data.samples, data.lessons, data.crops, self.body)
        yield from self._annotate(network, data, to_fits)

    def _annotate(self, network: AuxiliaryNetwork | TargetNetwork, data: DataSet, to_fits: ToFits) -> Work:
        network.eval()
        predict = predictor(network, data.crops, data.lessons, self.device, self.recipe.annotate_precision)
        yield from self._write(data, predict, to_fits, "Annotating")

    def _write(self, data: DataSet, predict: Predict, to_fits: ToFits, doing: str, *, timed: bool = True) -> Work:
        work = annotate(
            f"{doing} {data.name}",
            predict,
            to_fits,
            lambda number: self.run.shard_path(data.name, PART, number),
            data.crops,
            timed=timed,
        )
        yield from ranks.apart(work)
        yield from ranks.leader_only(write_2d_errors(self.run, data.name, data.samples, self.body))

    def _count_failures(self, data: list[DataSet]) -> Work:
        failed = sum(bool(reason) for one in data for reason in one.crops.reasons)
        if failed:
            yield Progress(
                "Annotating", message=f"{failed:,} people have no photo that can be read; their fits are marked failed."
            )


class _Pool:
    """Data sets drawn from in proportion to their size, as one stream."""

    def __init__(self, sets: list[DataSet], seed: int, stream: int) -> None:
        self._sets = sets
        self._ends = np.cumsum([len(data.taught) for data in sets])
        self.size = int(self._ends[-1]) if sets else 0
        self._draws = Draws(np.arange(self.size), seed=seed, stream=stream)

    def take(self, step: int, count: int) -> Drawn:
        places = self._draws.take(step, count)
        which = np.searchsorted(self._ends, places, side="right")
        starts = np.concatenate([[0], self._ends[:-1]])
        return [
            (data, data.taught[places[which == number] - starts[number]])
            for number, data in enumerate(self._sets)
            if (which == number).any()
        ]


def _pieces(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _pose(points: BodyModel, prediction: Prediction) -> tuple[torch.Tensor, torch.Tensor]:
    """All 2D points `(B, K, 3)` and the root-relative 3D pose `(B, J, 3)`, metres in the crop frame."""
    placed = points.turned(prediction.rotations, prediction.betas).points
    pose = placed[:, -JOINTS:]
    return placed, pose - pose[:, :1]
