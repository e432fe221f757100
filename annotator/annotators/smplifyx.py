"""SMPLify-X and SMPLify over a data set: people are fitted in shards that appear whole, with the same bytes every time on CPU.

People, or their hands (MANO) and faces (FLAME) alone. Target ones are fitted to their 2D keypoints, auxiliary ones to their
3D joints. A fit keeps the camera it was made with
and stands in that camera's frame: f = 5000 at the photo's centre as published, or the photo's own. The two differ in
the body model, its prior and its schedule alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from annotator import ranks
from annotator.annotators import FAMILY_OF
from annotator.annotators.fitted import Fitted, fitted_tables
from annotator.annotators.starts import Starts, whole_parameters
from annotator.bodies.files import BodyModelData, load_body_model
from annotator.fit import FitHeader, Fits
from annotator.fitting import compiled
from annotator.fitting.batched import TOO_FEW_POINTS, Batched
from annotator.fitting.engines import TORCH, engine_for, solver_for
from annotator.fitting.objective import BodyPrior, Decoder
from annotator.fitting.people import Fitting, model_of, people_of
from annotator.fitting.problem import BODY_GROUP, Problem
from annotator.fitting.result import NOT_FINITE, Result
from annotator.fitting.settings import SETTINGS
from annotator.fitting.stages import SCHEDULES
from annotator.fittingrecipe import NO_PRIOR, PROJECT_PRIOR, FittingRecipe
from annotator.precision import one_thread
from annotator.prior import default_gmm, default_vposer, load_mixture, load_vposer
from annotator.progress import Progress, Work
from annotator.project import AUXILIARY, Project
from annotator.runs import Run
from annotator.sample import Samples
from annotator.scores import write_2d_errors

_AT_ONCE = 64
"""People between two reports on the CPU; a shard is made of several such parts. On a GPU the whole shard is one."""
_REASONS = {
    TOO_FEW_POINTS: "it has too few labelled points of this part",
    NOT_FINITE: "the solver met a value that is not a number",
}

_ABSENT = {"mano": ("body_prior", "bending", "expression"), "flame": ("body_prior", "bending")}
"""Terms that a hand or a face has not; they are zero."""


def prior_of(project: Project, annotator: str, recipe: FittingRecipe) -> BodyPrior:
    """The pose prior that a recipe names.

    Raises:
        BodyModelError: its file cannot be read or is no such prior.
    """
    family = FAMILY_OF[annotator]
    if recipe.prior == NO_PRIOR:
        return None
    if recipe.prior == PROJECT_PRIOR:
        root = project.body_model_root(family)
        return default_vposer(root) if family == "smplx" else default_gmm(root)
    path = Path(recipe.prior)
    return load_vposer(path) if family == "smplx" else load_mixture(path)


@dataclass(frozen=True)
class Optimisation:
    """A run of an annotator that optimises.

    Attributes:
        parts: words of the command line.
        data: names of the data sets. keys: of the samples used, or of the people whose hands and faces are; empty for all.
        source: the run whose fits of bodies are their starts, or None; hands and faces always start by themselves.
        device: where they are fitted, as `engines.py` has it.
    """

    project: Project
    run: Run
    annotator: str
    recipe: FittingRecipe
    parts: tuple[str, ...]
    data: tuple[str, ...]
    keys: frozenset[str] = frozenset()
    source: Run | None = None
    device: str = "auto"

    def fit(self) -> Work:
        """Fits everybody who has no fit in the run yet."""
        if not compiled.AVAILABLE and not self.device.startswith("cuda"):
            yield Progress(
                "Starting", message="numba is not there: people are fitted in torch, with the same fits, but slower."
            )
        tables = fitted_tables(self.annotator, self.parts)
        bodies = {
            table.model: load_body_model(self.project.body_model_root(table.family), table.model) for table in tables
        }
        prior = (
            prior_of(self.project, self.annotator, self.recipe) if any(table.of_bodies for table in tables) else None
        )
        for name, info in self.project.datasets().items():
            for table in tables:
                samples = self._samples(name, table) if name in self.data and info.parts.get(table.samples) else None
                if samples is None or not len(samples):
                    continue
                in_3d = info.role == AUXILIARY and samples.joint_skeleton is not None
                of_body = prior if table.of_bodies else None
                fitter = Fitter(self.annotator, self.recipe, table.part, bodies[table.model], of_body, in_3d=in_3d)
                fitter.device = self.device
                starts = self._starts(fitter, name) if table.of_bodies else None
                stage = f"Annotating {name}" if table.of_bodies else f"Annotating {name} ({table.part})"
                yield from ranks.apart(self._walk(fitter, name, samples, starts, stage))
                yield from ranks.leader_only(
                    write_2d_errors(self.run, name, samples, bodies[table.model], part=table.part)
                )
                yield from self._count(name, table, stage)

    def _samples(self, dataset: str, table: Fitted) -> Samples:
        return self.project.samples(dataset, table.samples).named(self.keys)

    def _starts(self, fitter: Fitter, dataset: str) -> Starts | None:
        if self.source is None:
            return None
        fits = self.source.fits(dataset, "whole") or self.source.fits(dataset, "body")
        return Starts(fits, fitter.body, fitter.prior) if fits is not None else None

    def _walk(self, fitter: Fitter, dataset: str, samples: Samples, starts: Starts | None, stage: str) -> Work:
        """Writes the shards of one data set and part that are not there yet; of several processes each writes its own."""
        total = len(samples)
        fitted, began = 0, 0.0
        for number, first in enumerate(range(0, total, self.recipe.shard)):
            rows = range(first, min(first + self.recipe.shard, total))
            if number % ranks.count() != ranks.number():
                continue
            path = self.run.shard_path(dataset, fitter.part, number)
            if path.exists():
                yield Progress(stage, rows[-1] + 1, total, "people")
                continue
            if not fitted:
                yield from _prepare(fitter, samples.take(rows[:1]))
                began = time.monotonic()
            tables: list[pa.Table] = []
            for some in _in_parts(rows, len(rows) if self.device.startswith("cuda") else _AT_ONCE):
                tables.append(fitter.fit(samples.take(some), starts).table)
                fitted += len(some)
                rate = fitted / max(time.monotonic() - began, 1e-9)
                yield Progress(stage, some[-1] + 1, total, "people", values={"people_per_second": rate})
            Fits(pa.concat_tables(tables)).write(path)

    def _count(self, dataset: str, table: Fitted, stage: str) -> Work:
        fits = self.run.fits(dataset, table.part)
        failed = int((~fits.ok).sum()) if fits is not None else 0
        if failed:
            who = "people" if table.of_bodies else f"samples of the part {table.part}"
            yield Progress(
                stage,
                message=f"{failed:,} {who} of {dataset} cannot be fitted; their fits are marked failed, with the reason.",
            )


class Fitter:
    """Fits people of one data set and part; what they share is made once, at the first of them."""

    def __init__(
        self, annotator: str, recipe: FittingRecipe, part: str, body: BodyModelData, prior: BodyPrior, *, in_3d: bool
    ) -> None:
        self.annotator, self.part, self.body, self.prior = annotator, part, body, prior
        model = model_of(body)
        stages, settings = SCHEDULES[model], SETTINGS[model]
        self._stages = [stage.with_priors(recipe.priors_3d) for stage in stages] if in_3d else stages
        self._settings = replace(settings, starts=recipe.orientations) if model in FAMILY_OF.values() else settings
        self._fitting = Fitting(
            in_3d=in_3d,
            focal=recipe.focal,
            known_camera=recipe.known_camera,
            contour=recipe.contour,
            robust=recipe.robust_3d,
            rho_3d=recipe.rho_3d,
            weight_3d=recipe.weight_3d,
            penetration=recipe.penetration,
        )
        self.device = "auto"
        self._solver: Batched | None = None
        self._decoder = Decoder(body, prior).double()

    def fit(self, samples: Samples, starts: Starts | None = None) -> Fits:
        """A fit of everybody; of one who cannot be fitted, a failed one with the reason."""
        with one_thread():
            return self._fit(samples, starts)

    def _fit(self, samples: Samples, starts: Starts | None) -> Fits:
        problem, reasons = people_of(samples, self.body, self._fitting)
        if self.part == "body":
            of_body = problem.group == BODY_GROUP
            problem = replace(problem, confidence=problem.confidence * of_body, seen=problem.seen & of_body)
        if self._solver is None:
            self._solver = solver_for(self.body, self.prior, self._stages, problem, self._settings, device=self.device)
        result = _solved(self._solver, problem, starts, samples)
        reasons = [
            why or _REASONS.get(stop, "") or ("" if whole else _REASONS[NOT_FINITE])
            for why, stop, whole in zip(reasons, result.stop, _finite(result), strict=True)
        ]
        parameters = whole_parameters(result.parameters, self._decoder)
        transl = parameters.pop("transl")
        return Fits.of(
            FitHeader(self.body.family, self.part, self.body.hash),
            samples.keys,
            parameters,
            focal=problem.focal,
            princpt=problem.center,
            transl=transl,
            reasons=reasons,
            extra=self._columns(result, np.array([not why for why in reasons], bool)),
        )

    def _columns(self, result: Result, ok: np.ndarray) -> dict[str, np.ndarray | list[str]]:
        """What the solver says of each fit; zeros and no word where the fit failed."""

        def kept(values: np.ndarray, dtype: type) -> np.ndarray:
            return np.where(ok, values, 0).astype(dtype)

        absent = _ABSENT.get(self.body.family, ())
        numbers = {"objective": result.objective, **{n: v for n, v in result.terms.items() if n not in absent}}
        columns: dict[str, np.ndarray | list[str]] = {
            f"{self.annotator}.{name}": kept(values, np.float32) for name, values in numbers.items()
        }
        columns[f"{self.annotator}.iterations"] = kept(result.iterations, np.int32)
        columns[f"{self.annotator}.stop"] = [stop if fine else "" for stop, fine in zip(result.stop, ok, strict=True)]
        return columns


def _prepare(fitter: Fitter, samples: Samples) -> Work:
    """Fits one person for nothing: kernels are compiled when they are first called."""
    if engine_for(fitter.device) == TORCH:
        return
    stage = "Preparing the solver"
    yield Progress(stage, message="Preparing the solver; minutes the first time on a machine, then seconds.")
    fitter.fit(samples)
    yield Progress(stage, 1, 1)


def _solved(solver: Batched, problem: Problem, starts: Starts | None, samples: Samples) -> Result:
    """Those who have a start from it, the others from the camera's own."""
    if starts is None:
        return solver.fit(problem)
    begin, known = starts.of(problem, samples)
    if not known.any():
        return solver.fit(problem)
    warm, cold = np.flatnonzero(known), np.flatnonzero(~known)
    found = [solver.fit(problem.take(warm), begin.take(warm))]
    if len(cold):
        found.append(solver.fit(problem.take(cold)))
    order = np.argsort(np.concatenate([warm, cold]))
    stops = [stop for result in found for stop in result.stop]
    return Result(
        type(begin).joined([result.parameters for result in found]).take(order),
        np.concatenate([result.objective for result in found])[order],
        {name: np.concatenate([result.terms[name] for result in found])[order] for name in found[0].terms},
        np.concatenate([result.iterations for result in found])[order],
        tuple(stops[row] for row in order),
    )


def _finite(result: Result) -> np.ndarray:
    """`(N,)` bool: nothing of a person's fit is NaN or infinite."""
    columns = [*result.parameters.items().values(), result.objective[:, None]]
    return np.asarray(np.isfinite(np.concatenate(columns, axis=1)).all(axis=1))


def _in_parts(rows: range, count: int) -> Iterator[range]:
    return (rows[start : start + count] for start in range(0, len(rows), count))
