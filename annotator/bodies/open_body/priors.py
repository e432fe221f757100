"""Trains the pose priors that ship with the open body, on poses sampled from the shipped archetypes. Needs no anny.

On one thread, so that one machine with the same libraries gives the same arrays twice; another processor rounds otherwise,
and thousands of steps make that visible.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from annotator.bodies.prior_files import write_prior
from annotator.bodies.written import Texts
from annotator.precision import one_thread
from annotator.prior import VPoser, fit_mixture, train_prior
from annotator.progress import Progress
from annotator.synthetic import BODY_JOINTS, sample_body_poses

SEED = 20261102
_SAMPLED = 75_000
_UPRIGHT_DEG = 40.0
_OTHERS_KEPT = 0.25
"""People stand and walk more than they sit, kneel and kick: of those who do, this share is kept."""
_STEPS, _BATCH = 5000, 128
_MIXTURE_POSES = 20_000
_HAND_SPREAD, _EVERY_SPREAD = 0.15, 0.05
"""Radians (standard deviations) that the mixture's poses vary by beyond their archetypes: SMPL's two hand joints, which no
archetype moves, and every angle, since bodies whose rest pose differs a little bend their hinges about other axes."""
_WEIGHT_GRID, _MIXTURE_GRID = 2.0**-16, 2.0**-24
_TITLE = "Training the pose priors"
_LICENCE = "Apache-2.0 (trained by NeuralAnnot Desk)."
_PROVENANCE = (
    "Trained by `bodies build` on poses sampled from resources/poses/archetypes.toml, authored for NeuralAnnot Desk, "
    "seed {seed}. Not the official {title}: latents and energies do not compare with that one's."
)


def build_priors(
    out: Path, *, steps: int = _STEPS, sampled: int = _SAMPLED
) -> Generator[Progress, None, dict[str, str]]:
    """Writes `prior/vposer.npz` and `prior/gmm.npz` below `out` and returns their content hashes.

    Args:
        steps: of VPoser's training. sampled: poses drawn before those are thinned out that neither stand nor walk.
    """
    with one_thread():
        poses = training_poses(np.random.default_rng(SEED), sampled)
        prior = yield from train_prior(poses, steps=steps, seed=SEED, batch=_BATCH)
        yield Progress(_TITLE, 1, 2, "priors", "Fitting the Gaussian mixture")
        mixture = fit_mixture(mixture_poses(poses[:_MIXTURE_POSES], np.random.default_rng([SEED, 1])), seed=SEED)
    yield Progress(_TITLE, 2, 2, "priors", f"Wrote the pose priors to {out}")
    return {
        "vposer": write_prior(out, "vposer", weights_of(prior), _texts("VPoser", "VPoser")),
        "gmm": write_prior(
            out,
            "gmm",
            {k: _on_grid(v, _MIXTURE_GRID) for k, v in mixture.items()},
            _texts("mixture of 8 Gaussians", "SMPLify mixture"),
        ),
    }


def training_poses(rng: np.random.Generator, sampled: int) -> np.ndarray:
    """`(N, 63)` float32 axis-angle; half of the legs or more are nearly straight."""
    poses = sample_body_poses(rng, sampled)
    legs = [BODY_JOINTS.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("hip", "knee")]
    upright = (np.linalg.norm(poses.reshape(-1, 21, 3)[:, legs], axis=-1) < np.deg2rad(_UPRIGHT_DEG)).all(axis=1)
    return poses[upright | (rng.random(sampled) < _OTHERS_KEPT)]


def mixture_poses(poses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`(N, 63)` -> `(N, 69)` float64: SMPL's body, with its two hands."""
    spreads = np.array([_EVERY_SPREAD] * 63 + [_HAND_SPREAD] * 6)
    return np.pad(poses.astype(np.float64), ((0, 0), (0, 6))) + rng.normal(size=(len(poses), 69)) * spreads


def weights_of(prior: VPoser) -> dict[str, np.ndarray]:
    """Every weight by its official name, on a grid that changes no angle by a thousandth of a degree and packs well."""
    return {name: _on_grid(value.numpy(), _WEIGHT_GRID) for name, value in prior.state_dict().items()}


def _on_grid(values: np.ndarray, grid: float) -> np.ndarray:
    return (np.rint(values / grid) * grid).astype(values.dtype) if values.dtype.kind == "f" else values


def _texts(name: str, title: str) -> Texts:
    return Texts(f"open body 1, {name}", _LICENCE, _PROVENANCE.format(seed=SEED, title=title))
