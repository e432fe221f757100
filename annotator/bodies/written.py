"""Where and how this program writes a model, a pose prior or a regressor: the arrays, three texts about them and their hash.

The builder of the open body, `bodies import` and the training of priors all come through here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotator.bodies.files import write_embeddings
from annotator.bodies.layouts import layout_of, model_path
from annotator.bodies.pickle_writer import write_pickle
from annotator.bodies.stored import content_hash, write_arrays
from annotator.wholefile import whole_file

TEXTS = ("name", "licence", "provenance", "hash")
"""Entries of a file that are no arrays of the model; they do not count for its hash."""


@dataclass(frozen=True)
class Texts:
    """What a file says about itself: what it is called, under which licence it is, and where it comes from."""

    name: str
    licence: str
    provenance: str

    def with_hash(self, digest: str) -> dict[str, str]:
        """The entries `TEXTS` of a file whose arrays have this hash."""
        return {**asdict(self), "hash": digest}


def write_model(
    root: Path, name: str, gender: str, arrays: Mapping[str, Any], texts: Texts, *, packed: bool = False
) -> str:
    """Writes a model where the smplx package looks for it below `root`, and returns its content hash.

    Args:
        packed: compressed, for what ships; else a file that can be mapped, which is quicker to read.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    digest, suffix = content_hash(arrays), layout_of(name).suffixes[0]
    path = model_path(root, name, gender).with_suffix(suffix)
    content = write_embeddings(arrays, path.parent) if name == "flame" else dict(arrays)
    if suffix == ".pkl":
        write_pickle(path, content | texts.with_hash(digest))
    else:
        _write_npz(path, content, texts.with_hash(digest), packed=packed)
    return digest


def write_named(path: Path, arrays: Mapping[str, np.ndarray], texts: Texts) -> str:
    """Writes arrays that are no body model to the npz `path`, and returns their content hash.

    Raises:
        StorageError: the disk is full or may not be written.
    """
    digest = content_hash(arrays)
    _write_npz(path, arrays, texts.with_hash(digest), packed=True)
    return digest


def _write_npz(path: Path, arrays: Mapping[str, Any], texts: Mapping[str, str], *, packed: bool) -> None:
    content: dict[str, Any] = {**arrays, **{key: np.array(text) for key, text in texts.items()}}
    if not packed:
        write_arrays(path, content)
        return
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **content)
