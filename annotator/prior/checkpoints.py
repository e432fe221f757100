"""Priors from official files: VPoser v1 folders and v2 checkpoints, `gmm_08.pkl`. Nothing in them is executed.

A checkpoint must hold exactly the weights of its network: the official v2 loader skips what does not match, so that a wrong
prefix leaves random weights in silence.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from annotator.bodies.files import read_arrays
from annotator.bodies.pickles import read_pickle
from annotator.errors import BodyModelError
from annotator.prior.mixture import GaussianMixture, mixture_of
from annotator.prior.vposer import PosePrior, vposer_of

_V1_SNAPSHOT = re.compile(r"TR(\d+)_E(\d+)\.pt")
_V2_EPOCH = re.compile(r"epoch=(\d+)")
_V2_PREFIX = "vp_model."
_TRAINERS_BODY = "bm_train."
"""The body model of the official trainer, which lies in its checkpoints beside VPoser."""
_MOST_CLASSES = 200
"""Of other people's, in a checkpoint; trainers store some ten."""
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def load_vposer(path: Path) -> PosePrior:
    """The VPoser of an official download, or of one snapshot file, in evaluation mode.

    Args:
        path: the folder of v1 (`snapshots/TR??_E???.pt`) or v2 (`snapshots/*.ckpt`), or a file of either kind.

    Raises:
        BodyModelError: there is no snapshot, it cannot be read safely, or its weights are not exactly those of VPoser.
    """
    file = path if path.is_file() else newest_snapshot(path)
    weights: dict[str, Tensor] = read_weights(file)
    if not any(name.startswith(_V2_PREFIX) for name in weights):
        return vposer_of(weights, file)
    own = {name: value for name, value in weights.items() if not name.startswith(_TRAINERS_BODY)}
    if others := sorted(name for name in own if not name.startswith(_V2_PREFIX)):
        raise BodyModelError(
            f"{file} is not a VPoser checkpoint: beside {_V2_PREFIX}* it has the unknown entry '{others[0]}'; fetch it again."
        )
    return vposer_of({name.removeprefix(_V2_PREFIX): value for name, value in own.items()}, file)


def vposer_from(arrays: Mapping[str, np.ndarray], path: Path) -> PosePrior:
    """The VPoser whose weights are plain arrays, from the file `path` of ours.

    Raises:
        BodyModelError: they are not exactly those of VPoser.
    """
    if any(values.dtype.kind not in "biuf" for values in arrays.values()):
        raise BodyModelError(f"{path} holds something else than numbers; fetch it again.")
    return vposer_of({name: torch.as_tensor(values) for name, values in arrays.items()}, path)


def load_mixture(path: Path) -> GaussianMixture:
    """The Gaussian mixture of SMPLify's `gmm_08.pkl`, or of an npz of ours with the same three names.

    Raises:
        BodyModelError: it cannot be read safely, or its arrays do not fit together.
    """
    content: Any = read_arrays(path) if path.suffix == ".npz" else read_pickle(path)
    return mixture_of(content, path)


def read_weights(file: Path) -> dict[str, Tensor]:
    """The state dict of a torch checkpoint, tensors and plain containers only.

    Beside `state_dict` a Lightning checkpoint holds objects of its trainer: they become inert stand-ins, and none of their
    code is imported or called. Inside the state dict nothing but tensors is taken.

    Raises:
        BodyModelError: it is not such a file, or its state dict holds an object.
    """
    try:
        content = _load(file)
    except FileNotFoundError as error:
        raise BodyModelError(f"There is no checkpoint {file}; check the path.") from error
    except Exception as error:
        raise BodyModelError(f"{file} cannot be read safely ({_cause(error)}); fetch it again.") from error
    state = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise BodyModelError(f"{file} holds no state dict; fetch it again.")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            kind = value.named if isinstance(value, _Inert) else type(value).__name__
            raise BodyModelError(
                f"{file}: the entry '{name}' of its state dict is a {kind}, not a tensor; it was refused."
            )
    return {str(name): value for name, value in state.items()}


class _Inert:
    """Stands in for an object of somebody else's class; it keeps nothing and does nothing."""

    named = ""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __new__(cls, *_: object, **__: object) -> Self:
        return object.__new__(cls)

    def __setstate__(self, _state: object) -> None: ...

    def __setitem__(self, _key: object, _value: object) -> None: ...


def _load(file: Path) -> Any:
    """The restricted reader of torch, told to take every global that it does not know for an inert one.

    It names one unknown global at a time. Those of modules that it blocks, such as os, it refuses even then.
    """
    stand_ins: dict[str, Any] = {}
    while True:
        with torch.serialization.safe_globals([(kind, name) for name, kind in stand_ins.items()]):
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                asked = _GLOBAL.search(str(error))
                if asked is None or asked[1] in stand_ins or len(stand_ins) == _MOST_CLASSES:
                    raise
                stand_ins[asked[1]] = type("Inert", (_Inert,), {"named": asked[1]})


def newest_snapshot(folder: Path) -> Path:
    """The snapshot of the latest trial and epoch by its name, not by the time at which somebody copied it."""
    found = [path for path in (folder / "snapshots").glob("*") if path.suffix in {".pt", ".ckpt"}]
    if not found:
        raise BodyModelError(f"{folder} has no snapshots/*.pt or *.ckpt; give the folder of the VPoser download.")
    return max(found, key=_age)


def _age(path: Path) -> tuple[int, int, str]:
    if match := _V1_SNAPSHOT.fullmatch(path.name):
        return int(match[1]), int(match[2]), path.name
    match = _V2_EPOCH.search(path.name)
    return 0, int(match[1]) if match else -1, path.name


def _cause(error: Exception) -> str:
    if match := _GLOBAL.search(str(error)):
        return f"it asks for {match[1]}, which is not plain data"
    return (str(error).splitlines() or [type(error).__name__])[0]
