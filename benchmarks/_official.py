"""A body-model file as official ones are: a pickle from the days of Python 2, of chumpy's and scipy's arrays in float64."""

from __future__ import annotations

import pickle
import struct
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

VERTICES, FACES, JOINTS, COMPONENTS = 6890, 13_776, 24, 300
_ABOVE = [2**32 - 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]


class OfPython2(pickle._Pickler):  # noqa: SLF001 the one that is written in Python and can be changed
    """Stores bytes as Python 2 stored its strings: as they are in protocol 2, in escaped text in protocol 0."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # noqa: SLF001

    def save_bytes(self, values: bytes) -> None:
        """Called for every array's contents."""
        if self.proto == 0:
            self.write(b"S" + repr(values)[1:].encode() + b"\n")
        else:
            self.write(b"T" + struct.pack("<i", len(values)) + values)
        self.memoize(values)

    dispatch[bytes] = save_bytes


def official_smpl(path: Path, protocol: int) -> Path:
    """Writes a random SMPL with 300 components of shape and dense correctives."""
    rng = np.random.default_rng(0)
    weights, regressor = np.zeros((VERTICES, JOINTS)), np.zeros((JOINTS, VERTICES))
    weights[np.arange(VERTICES)[:, None], rng.permuted(np.tile(np.arange(JOINTS), (VERTICES, 1)), axis=1)[:, :4]] = 0.25
    for row in regressor:
        row[rng.choice(VERTICES, 30, replace=False)] = 1 / 30
    module = types.ModuleType("chumpy.ch")
    kind = type("Ch", (), {"__module__": "chumpy.ch"})
    module.__dict__["Ch"] = kind

    def of_chumpy(values: np.ndarray) -> Any:
        made = kind()
        made.__dict__ |= {"x": values, "_itr": None, "_dirty_vars": set(), "_depends_on_deps": {}, "_cache": {}}
        return made

    content = {
        "v_template": of_chumpy(rng.normal(0, 0.3, (VERTICES, 3))),
        "f": rng.integers(0, VERTICES, (FACES, 3)).astype(np.uint32),
        "shapedirs": of_chumpy(rng.normal(0, 0.01, (VERTICES, 3, COMPONENTS))),
        "posedirs": of_chumpy(rng.normal(0, 1e-3, (VERTICES, 3, 9 * (JOINTS - 1)))),
        "J_regressor": sparse.csc_matrix(regressor),
        "J_regressor_prior": sparse.csc_matrix(regressor),
        "kintree_table": np.array([_ABOVE, range(JOINTS)], np.uint32),
        "weights": of_chumpy(weights),
        "weights_prior": weights,
        "J": rng.normal(size=(JOINTS, 3)),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
        "pose_training_info": {"gender": "male", "trials": ["a", None]},
    }
    present = {name: sys.modules.get(name) for name in ("chumpy", "chumpy.ch")}
    sys.modules |= {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            OfPython2(file, protocol).dump(content)
    finally:
        for name, before in present.items():
            sys.modules.pop(name)
            if before is not None:
                sys.modules[name] = before
    return path
