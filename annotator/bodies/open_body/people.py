"""Who is sampled: phenotypes and local changes of calibrated adults, of children, of anybody. Values of anny's own scales."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", "cupsize", "firmness")
RACES = ("african", "asian", "caucasian")

_THIN, _HEAVY = 0.15, 1.4
"""Least and greatest weight; beyond 1 anny extrapolates, since its own scale ends at a body-mass index of 25."""

LOCAL_CHANGES: Mapping[str, float] = {
    **{"head/head-fat": 0.25, "head/head-age": 0.25, "head/head-scale-depth": 0.2, "head/head-scale-horiz": 0.2},
    **{"head/head-scale-vert": 0.2, "forehead/forehead-scale-vert": 0.3, "forehead/forehead-nubian": 0.25},
    **{"nose/nose-scale-horiz": 0.35, "nose/nose-scale-vert": 0.3, "nose/nose-scale-depth": 0.35},
    **{"nose/nose-hump": 0.3, "nose/nose-width2": 0.3, "nose/nose-point-width": 0.3, "nose/nose-volume": 0.25},
    **{"chin/chin-height": 0.3, "chin/chin-width": 0.3, "chin/chin-prominent": 0.3, "chin/chin-bones": 0.3},
    **{"chin/chin-jaw-drop": 0.25, "mouth/mouth-scale-horiz": 0.3, "mouth/mouth-lowerlip-height": 0.3},
    **{"mouth/mouth-upperlip-height": 0.3, "cheek/l-cheek-bones": 0.3, "cheek/l-cheek-volume": 0.3},
    **{"eyes/l-eye-scale": 0.25, "ears/l-ear-scale": 0.3, "ears/l-ear-wing": 0.25},
    **{"neck/neck-scale-horiz": 0.25, "neck/neck-scale-depth": 0.25, "neck/neck-double": 0.2},
    **{"stomach/stomach-pregnant": 0.12, "stomach/stomach-tone": 0.3, "torso/torso-scale-horiz": 0.25},
    **{"torso/torso-scale-depth": 0.25, "torso/torso-vshape": 0.25, "hip/hip-scale-horiz": 0.3},
    **{"hip/hip-scale-depth": 0.25, "buttocks/buttocks-volume": 0.3, "legs/l-upperleg-fat": 0.25},
    **{"legs/l-lowerleg-fat": 0.25, "arms/l-upperarm-fat": 0.25, "arms/l-lowerarm-fat": 0.25},
    **{"hands/l-hand-fingers-length": 0.2, "hands/l-hand-fingers-diameter": 0.3, "hands/l-hand-scale": 0.08},
    "feet/l-foot-scale": 0.12,
}
"""MakeHuman's local targets and the standard deviation of each over people, in shares of the whole target.

A stem that begins with `l-` is changed on both sides alike.
"""
_OF_WEIGHT: Mapping[str, float] = {
    **{"stomach/stomach-pregnant": 0.35, "head/head-fat": 0.3, "neck/neck-double": 0.4, "legs/l-upperleg-fat": 0.3},
    **{"arms/l-upperarm-fat": 0.3, "hip/hip-scale-horiz": 0.3, "buttocks/buttocks-volume": 0.2},
    **{"hands/l-hand-fingers-diameter": 0.3, "stomach/stomach-tone": -0.4},
}
"""What a person who is heavier than the middle by one unit has more of."""


def sample_adults(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Calibrated adults: heights by anny's own WHO fit, half of them women, of all races, some of them heavy."""
    female = rng.random(count) < 0.5
    weight = np.clip(rng.normal(0.42, 0.17, count) + rng.exponential(0.16, count), _THIN, _HEAVY)
    people = {
        "gender": np.clip(np.where(female, rng.normal(0.92, 0.08, count), rng.normal(0.08, 0.08, count)), 0, 1),
        "age": rng.uniform(0.60, 0.90, count),
        "muscle": np.clip(rng.normal(0.5, 0.2, count), 0, 1),
        "weight": weight,
        "height": np.where(female, rng.beta(13.7, 25.8, count), rng.beta(16.5, 25.7, count)),
        "proportions": rng.uniform(0, 1, count),
        "cupsize": np.clip(rng.normal(0.5, 0.18, count), 0, 1),
        "firmness": np.clip(rng.normal(0.5, 0.18, count), 0, 1),
        **dict(zip(RACES, rng.dirichlet([0.8, 0.8, 0.8], count).T, strict=True)),
    }
    return people | _local(rng, weight)


def sample_heavy(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Adults beyond a weight of 1, of whom `sample_adults` has one in twenty."""
    people = sample_adults(rng, 100 * count)
    heavy = np.flatnonzero(people["weight"] > 1)[:count]
    return {name: values[heavy] for name, values in people.items()}


def sample_children(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """From small children to youths: what joint regressors must also survive."""
    return sample_wide(rng, count) | {"age": rng.uniform(0.15, 0.6, count)}


def sample_wide(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Anybody, children and giants too: what joint regressors must also survive."""
    people = {name: rng.uniform(0, 1, count) for name in PHENOTYPES} | {"age": rng.uniform(0.15, 1.0, count)}
    return people | _local(rng, people["weight"])


def neutral() -> dict[str, np.ndarray]:
    """The body on which the rig was authored: all phenotypes one half, a young adult."""
    return {"age": np.array([0.67])}


def _local(rng: np.random.Generator, weight: np.ndarray) -> dict[str, np.ndarray]:
    return {
        name: np.clip(rng.normal(0, spread, len(weight)) + _OF_WEIGHT.get(name, 0.0) * (weight - 0.5), -1, 1)
        for name, spread in LOCAL_CHANGES.items()
    }
