"""Body-model files as their owners ship them, written from the open body's arrays or from nothing."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from annotator.bodies.files import default_root, read_model
from annotator.bodies.points import vertices_needed
from annotator.bodies.written import TEXTS
from annotator.commands.import_bodies import import_bodies
from annotator.commands.table import Table


def imported(source: Path, target: Path) -> Table:
    work = import_bodies(source, target)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def of_model(name: str) -> dict[str, Any]:
    """A model's arrays as its owners name and store them: without ours, in float64."""
    arrays = read_model(default_root(), name)
    ours = (*TEXTS, "head_top", "smplx_vertices")
    kept = {
        k: v
        for k, v in arrays.items()
        if k not in ours and not k.startswith(("posedirs_", "lmk" if name == "flame" else "?"))
    }
    kept = {k: v for k, v in kept.items() if name != "flame" or "lmk" not in k}
    plain = {k: np.asarray(v.toarray() if sparse.issparse(v) else v) for k, v in kept.items()}
    plain = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in plain.items()}
    plain["posedirs"] = plain["posedirs"].reshape(len(plain["v_template"]), 3, -1)
    root = plain["kintree_table"].astype(np.uint32)
    root[0, 0] = 2**32 - 1
    return plain | {"kintree_table": root}


def store(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def tiny_hand() -> dict[str, Any]:
    """The smallest file that is a right hand: no more vertices than its points name."""
    rng, count = np.random.default_rng(0), vertices_needed("mano")
    template = rng.normal(0, 0.1, (count, 3))
    template[:2, 0] = 1, -1
    regressor, weights = np.zeros((16, count)), np.zeros((count, 16))
    regressor[np.arange(16), [0, 1, 1, 1, 1, *range(2, 13)]] = 1
    weights[:, 0] = 1
    return {
        "v_template": template,
        "f": rng.integers(0, count, (5, 3)),
        "shapedirs": rng.normal(0, 0.01, (count, 3, 10)),
        "posedirs": rng.normal(0, 0.01, (count, 3, 135)),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *[0] * 15], range(16)], np.uint32),
        "weights": weights,
        "hands_mean": np.zeros(45),
        "hands_components": np.eye(45),
    }
