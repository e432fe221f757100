"""Algorithm 1 of the paper and its later rounds (section 3, supplement 8), for one part: body, hands or face."""

from __future__ import annotations

from collections.abc import Generator, Mapping
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
    predictor,
    target_fits,
)
from annotator.backbone import Backbone, prepare, starting_weights
from annotator.batches import held_out
from annotator.bodies.files import BodyModelData
from annotator.crops import Crops, cached_crops, decoded_crops
from annotator.eftrecipe import EftRecipe
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.network import (
    AuxiliaryNetwork,
    HandDecoder,
    Prediction,
    TargetNetwork,
    hand_decoder,
    rest_sixd,
)
from annotator.part import BODY, Part
from annotator.prior import PosePrior, VPoser, load_vposer, train_prior
from annotator.progress import Progress, Work
from annotator.project import AUXILIARY, TARGET, Project
from annotator.recipe import LEARNT, BodyRecipe, HandRecipe, PartRecipe
from annotator.runs import Run
from annotator.sample import Samples
from annotator.scores import write_2d_errors
from annotator.synthetic import sample_body_poses
from annotator.taught import TaughtPoints
from annotator.teaching import DataSet, Teacher
from annotator.training import HeldOut, Loss, Training, load_weights, save_weights
from annotator.verdict import Verdict

_ENOUGH_FITS = 2000
_ARCHETYPE_POSES = 6000
_Tables = dict[str, list[tuple[str, Samples]]]


@dataclass(frozen=True)
class Procedure:
    """Everything that the steps share.

    Attributes:
        bodies: the part's body models, by the table whose fits are theirs.
        data: names of the data sets. keys: of the samples used, or of the people whose hands and faces are; empty for all.
        chain: the first run of the chain, whose auxiliary fits a later round reuses.
        before: the run of the round before, or None. verdicts: in force on its fits, by sample key.
        tuned: the run whose target network EFT tunes, or None.
    """

    project: Project
    run: Run
    recipe: PartRecipe
    bodies: Mapping[str, BodyModelData]
    device: torch.device
    data: tuple[str, ...]
    part: Part = BODY
    keys: frozenset[str] = frozenset()
    chain: Run | None = None
    before: Run | None = None
    verdicts: Mapping[str, Verdict] | None = None
    tuned: Run | None = None

    def algorithm1(self) -> Work:
        """The paper's Algorithm 1; in a later round lines 1 to 6 are those of the chain's first run."""
        if not self._tables[TARGET]:
            yield self._nobody
            return
        auxiliary = yield from self._open(AUXILIARY)
        target = yield from self._open(TARGET)
        if not auxiliary and self.before is None:
            words = f"No auxiliary set of the part {self.part.word}: its network learns from 2D alone"
            yield Progress("Training", message=f"{words} (the paper's Table 1, 'None').")
        if not any(len(data.crops.usable) for data in (*auxiliary, *target)):
            raise RunError("Not one photo of these data sets can be read; put them back or `relink` their image roots.")
        for data in auxiliary:
            if not len(data.crops.usable):
                yield Progress("Training", message=f"No photo of {data.name} can be read; it teaches nothing.")
        auxiliary = [data for data in auxiliary if len(data.crops.usable)]
        for name in dict.fromkeys(data.name for data in auxiliary):  # line 1
            tables = [data for data in auxiliary if data.name == name]
            if self.chain is None:
                network = self._auxiliary_network(tables)  # line 2
                loss, measured = self._teacher.auxiliary_loss(ranks.shared(network), tables)
                yield from self._train(network, loss, measured, name)  # line 3
                for data in tables:
                    yield from self._annotate_auxiliary(network, data)  # lines 4, 5
        auxiliary = [self._with_fits(data) for data in auxiliary]
        target = [self._with_verdicts(data) for data in target]
        prior = yield from ranks.leader_first(lambda: self._prior(auxiliary))
        network = self._target_network(prior)  # line 7
        loss, measured = self._teacher.target_loss(ranks.shared(network), auxiliary, target)
        yield from self._train(network, loss, measured, TARGET)  # line 8
        for data in target:
            yield from self._annotate_target(network, data)  # lines 9, 10

    def refine(self, tuned: Run, recipe: EftRecipe) -> Work:
        """EFT: the target network of the run `tuned`, which is this procedure's, tuned on each target sample by itself."""
        if not self._tables[TARGET]:
            yield self._nobody
            return
        target = yield from self._open(TARGET)
        learnt = isinstance(self.recipe, BodyRecipe) and self.recipe.latent and self.recipe.prior == LEARNT
        prior = VPoser() if learnt else (yield from self._prior([]))  # a learnt one is kept with the network's weights
        network = self._target_network(prior)
        load_weights(network, tuned.network_folder(self.part.name, TARGET))
        prepare(network, "fp32")
        legs = Legs.of((skeleton, self._taught.rows(skeleton)) for skeleton in self._taught.skeletons)

        def project(prediction: Prediction) -> torch.Tensor:
            return self._teacher.seen(prediction)[0]

        def wanted(data: DataSet, rows: np.ndarray) -> torch.Tensor:
            return self._teacher.targets([(data, rows)]).pixels

        def inputs(data: DataSet, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            return self._teacher.images([(data, rows)]), wanted(data, rows)

        for data in target:
            people = People(partial(inputs, data), partial(wanted, data), project, legs)
            tuner = Tuner(network, people, recipe)
            to_fits = tuner.to_fits(self._target_fits(data))
            yield from self._write(data, tuner.predict, to_fits, "Tuning on", timed=False)

    # -- data ------------------------------------------------------------------------------------------------------------

    @property
    def _nobody(self) -> Progress:
        return Progress("Training", message=f"None of the people named has samples of the part {self.part.word}.")

    @cached_property
    def _tables(self) -> _Tables:
        return self._tables_of(self.data, self.keys)

    def _tables_of(self, data: tuple[str, ...], keys: frozenset[str]) -> _Tables:
        """Names and samples of the tables that data sets give, by the role of their data set; all samples without `keys`."""
        found: _Tables = {AUXILIARY: [], TARGET: []}
        for name, info in self.project.datasets().items():
            if name not in data or (info.role == AUXILIARY and not self.recipe.uses(name)):
                continue
            for table in self.part.tables:
                samples = self.project.samples(name, table).named(keys) if info.parts.get(table) else None
                if samples is not None and len(samples):
                    found[info.role].append((name, samples))
        return found

    @cached_property
    def _taught(self) -> TaughtPoints:
        tables = self._tables
        if self.tuned is not None:  # its network was taught the points of its own data sets
            tables = self._tables_of(self.tuned.info.datasets, frozenset(self.tuned.info.samples))
        return TaughtPoints.of(self.part, [samples for some in tables.values() for _, samples in some])

    @cached_property
    def _teacher(self) -> Teacher:
        return Teacher(self.recipe, self.part, self._taught, self._body, self.device)

    def _open(self, role: str) -> Generator[Progress, None, list[DataSet]]:
        opened: list[DataSet] = []
        for name, samples in self._tables[role]:
            crops = yield from ranks.leader_first(partial(self._crops, samples, name))
            body = self.bodies[samples.part]
            taught = supervision.lessons(
                samples, self.recipe, auxiliary=role == AUXILIARY, points=self._taught, body=body
            )
            share = self.recipe.held_out if role == AUXILIARY else 0.0
            held = held_out(samples.keys, crops.usable, share=share, seed=self.recipe.seed)
            opened.append(DataSet(name, samples, crops, taught, held))
        return opened

    def _crops(self, samples: Samples, name: str) -> Generator[Progress, None, Crops]:
        if self.recipe.crop_cache:
            return (yield from cached_crops(self.project, samples, name, self.recipe.input_px, some=bool(self.keys)))
        return (yield from decoded_crops(self.project, samples, self.recipe.input_px))

    def _fits_of(self, data: DataSet) -> Fits:
        made = self.chain or self.run
        fits = made.fits(data.name, data.samples.part)
        if fits is None:
            raise RunError(
                f"The auxiliary fits of {data.name} that {made.id} made are gone; begin a new chain with round 1."
            )
        return fits

    def _with_fits(self, data: DataSet) -> DataSet:
        body = self.bodies[data.samples.part]
        taught = supervision.with_fits(
            data.lessons, data.samples, self._fits_of(data), self.recipe, points=self._taught, body=body
        )
        return replace(data, lessons=taught)

    def _with_verdicts(self, data: DataSet) -> DataSet:
        part = data.samples.part
        fits = self.before.fits(data.name, part) if self.before is not None else None
        if fits is None:
            return data
        given = (data.lessons, data.samples, fits, self.verdicts or {}, self.recipe, self.bodies[part])
        return replace(data, lessons=supervision.with_verdicts(*given, points=self._taught))

    # -- networks --------------------------------------------------------------------------------------------------------

    @property
    def _body(self) -> BodyModelData:
        """The model behind the networks; hands are right hands there."""
        return self.bodies[self.part.tables[0]]

    def _backbone(self, seen: str) -> Backbone | None:
        """A fresh one, or None where networks see a pose alone."""
        torch.manual_seed(self.recipe.seed)
        if seen == "pose":
            return None
        backbone = Backbone(self.recipe.backbone)
        weights = starting_weights(self.recipe.backbone, self.recipe.weights)
        if weights is not None:
            backbone.network.load_state_dict(weights)
        return backbone

    def _auxiliary_network(self, tables: list[DataSet]) -> AuxiliaryNetwork:
        columns, rest = self._teacher.joints_of(tables), rest_sixd(self.part, self._body)
        backbone = self._backbone(self.recipe.auxiliary_input)
        network = AuxiliaryNetwork(backbone, columns.stop - columns.start, self.part, rest=rest)
        return network.to(memory_format=torch.channels_last).to(self.device)

    def _target_network(self, prior: PosePrior | HandDecoder | None) -> TargetNetwork:
        seen, rest = self.recipe.input, rest_sixd(self.part, self._body)
        slots = None if seen == "image" else self._taught.slots
        network = TargetNetwork(self._backbone(seen), prior, self.part, rest=rest, slots=slots)
        return network.to(memory_format=torch.channels_last).to(self.device)

    def _prior(self, auxiliary: list[DataSet]) -> Generator[Progress, None, PosePrior | HandDecoder | None]:
        """The pose space of the target network: MANO's for hands, a VPoser for bodies, none for faces or if it is off."""
        if isinstance(self.recipe, HandRecipe) and self.recipe.latent:
            return hand_decoder(self._body, self.recipe.hand_pca)
        if not (isinstance(self.recipe, BodyRecipe) and self.recipe.latent):
            return None
        return (yield from self._vposer(self.recipe, auxiliary))

    def _vposer(self, recipe: BodyRecipe, auxiliary: list[DataSet]) -> Generator[Progress, None, PosePrior]:
        """The prior that the recipe names, that of this run or of the chain's first one, or a new one."""
        if recipe.prior != LEARNT:
            yield Progress("Training", message=f"The pose prior is VPoser from {recipe.prior}.")
            return load_vposer(Path(recipe.prior))
        for run in filter(None, (self.run, self.chain)):
            if (run.network_folder(self.part.name, "prior") / "last.safetensors").exists():
                prior = VPoser()
                load_weights(prior, run.network_folder(self.part.name, "prior"))
                return prior.eval()
        width = 3 * len(self.part.joints)
        poses = [self._fits_of(data).column("body_pose")[self._taught_fits(data), :width] for data in auxiliary]
        count = sum(len(p) for p in poses)
        source = f"{count:,} auxiliary fits"
        if count < _ENOUGH_FITS:
            rng = np.random.default_rng([recipe.seed, 31])
            poses.append(sample_body_poses(rng, _ARCHETYPE_POSES))
            source += f" and {_ARCHETYPE_POSES:,} poses from the shipped archetypes"
        yield Progress(
            "Training the pose prior", message=f"No VPoser checkpoint: the pose prior is learnt from {source}."
        )
        prior = yield from train_prior(np.concatenate(poses), steps=recipe.prior_steps, seed=recipe.seed)
        save_weights(prior, self.run.network_folder(self.part.name, "prior"))
        return prior

    def _taught_fits(self, data: DataSet) -> np.ndarray:
        """`(N,)` bool: fits that did not fail, of people who are not held out."""
        fits = self._fits_of(data)
        held = [fits.index_of[data.samples.keys[row]] for row in data.held.tolist()]
        return fits.ok & ~np.isin(np.arange(len(fits)), held)

    def _train(
        self, network: AuxiliaryNetwork | TargetNetwork, loss: Loss, measured: HeldOut | None, name: str
    ) -> Work:
        steps = self.recipe.target_steps if name == TARGET else self.recipe.auxiliary_steps
        words = "the target network" if name == TARGET else f"the auxiliary network on {name}"
        stage = f"Training {words}{'' if self.part.name == BODY.name else f' ({self.part.word})'}"
        folder = self.run.network_folder(self.part.name, name)
        yield from Training(network, loss, self.recipe, steps, folder, stage, measured).run()

    # -- annotating ------------------------------------------------------------------------------------------------------

    def _annotate_auxiliary(self, network: AuxiliaryNetwork, data: DataSet) -> Work:
        to_fits = auxiliary_fits(data.samples, data.lessons, data.crops, self.bodies[data.samples.part], self.part)
        yield from self._annotate(network, data, to_fits, self._teacher.joints_of([data]))

    def _annotate_target(self, network: TargetNetwork, data: DataSet) -> Work:
        yield from self._annotate(network, data, self._target_fits(data))

    def _target_fits(self, data: DataSet) -> ToFits:
        body = self.bodies[data.samples.part]
        return target_fits(data.samples, data.lessons, data.crops, body, self.part, self.recipe.frame)

    def _annotate(
        self,
        network: AuxiliaryNetwork | TargetNetwork,
        data: DataSet,
        to_fits: ToFits,
        joints: slice = slice(None),
    ) -> Work:
        network.eval()
        predict = predictor(
            network,
            data.crops,
            data.lessons,
            self.device,
            part=data.samples.part,
            joints=joints,
            precision=self.recipe.annotate_precision,
        )
        yield from self._write(data, predict, to_fits, "Annotating")

    def _write(self, data: DataSet, predict: Predict, to_fits: ToFits, doing: str, *, timed: bool = True) -> Work:
        part = data.samples.part
        work = annotate(
            f"{doing} {data.name}" + ("" if self.part.name == BODY.name else f" ({part})"),
            predict,
            to_fits,
            lambda number: self.run.shard_path(data.name, part, number),
            data.crops,
            timed=timed,
        )
        yield from ranks.apart(work)
        yield from ranks.leader_only(write_2d_errors(self.run, data.name, data.samples, self.bodies[part]))
