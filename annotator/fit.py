"""`Fit`: body-model parameters found for a sample, with the camera they belong to. `Fits`: a table of them.

A fit is never rewritten. A table holds no time, host or run id: annotating the same samples with the same network
gives the same bytes on any number of workers (those facts are in `run.json` and `events.jsonl`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from annotator.columns import FloatArray, read_shards, to_column, to_numpy, write_shard

PARAMETERS: dict[str, dict[str, int]] = {
    "smplx": {
        "global_orient": 3,
        "body_pose": 63,
        "betas": 10,
        "left_hand_pose": 45,
        "right_hand_pose": 45,
        "jaw_pose": 3,
        "leye_pose": 3,
        "reye_pose": 3,
        "expression": 10,
    },
    "smplh": {"global_orient": 3, "body_pose": 63, "betas": 10, "left_hand_pose": 45, "right_hand_pose": 45},
    "smpl": {"global_orient": 3, "body_pose": 69, "betas": 10},
    "mano": {"global_orient": 3, "hand_pose": 45, "betas": 10},
    "flame": {"global_orient": 3, "jaw_pose": 3, "betas": 10, "expression": 10},
}
"""Parameters of each body-model family with the smplx package's names: axis-angle in radians, hand pose without the mean."""

CAMERA = {"focal": 2, "princpt": 2, "transl": 3}

OK = "ok"
FAILED = "failed"


@dataclass(frozen=True)
class FitHeader:
    """What all fits of a table share.

    Attributes:
        family: key of `PARAMETERS`.
        part: body, rhand, lhand, face or whole.
        body_hash: content hash of the body-model file that the parameters belong to.
        landmarks: name of the set of landmark vertices.
        flat_hand_mean: False: zero hand pose is the mean hand.
    """

    family: str
    part: str
    body_hash: str
    landmarks: str = "smplx"
    flat_hand_mean: bool = False

    def to_metadata(self) -> dict[str, str]:
        """As the metadata of an Arrow schema."""
        return {
            "family": self.family,
            "part": self.part,
            "body_hash": self.body_hash,
            "landmarks": self.landmarks,
            "flat_hand_mean": str(self.flat_hand_mean).lower(),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Back from the metadata of an Arrow schema."""
        return cls(
            family=metadata["family"],
            part=metadata["part"],
            body_hash=metadata["body_hash"],
            landmarks=metadata.get("landmarks", "smplx"),
            flat_hand_mean=metadata.get("flat_hand_mean") == "true",
        )


@dataclass(frozen=True)
class Fit:
    """Body-model parameters of one sample.

    Attributes:
        key: the sample's key.
        status: "ok" or "failed".
        reason: why it failed; empty otherwise.
        parameters: `(d,)` each, by the names in `PARAMETERS[family]`; all zeros when failed, never NaN.
        focal, princpt: `(2,)` the pinhole camera of the fit in full-image px.
        transl: `(3,)` metres; `vertices + transl` is in that camera's space.
        extra: what the annotator adds, by `<annotator>.<name>`.
    """

    key: str
    status: str
    reason: str
    parameters: Mapping[str, FloatArray]
    focal: FloatArray
    princpt: FloatArray
    transl: FloatArray
    extra: Mapping[str, float | int | str] = field(default_factory=dict[str, float | int | str])


class Fits(Sequence[Fit]):
    """Fits of one run, data set and part, one row each."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        self.header = FitHeader.from_metadata(metadata)

    @classmethod
    def of(
        cls,
        header: FitHeader,
        keys: Sequence[str],
        parameters: Mapping[str, np.ndarray],
        *,
        focal: np.ndarray,
        princpt: np.ndarray,
        transl: np.ndarray,
        reasons: Sequence[str] | None = None,
        extra: Mapping[str, np.ndarray | Sequence[str]] | None = None,
    ) -> Self:
        """A table from columns.

        Args:
            parameters: `(N, d)` each; parameters of the family that are not named are zeros.
            reasons: per row, why the fit failed; empty text where it did not. A failed row's numbers become zeros.

        Raises:
            ValueError: a parameter is unknown, has the wrong width, or holds NaN in a row that did not fail.
        """
        reasons = list(reasons) if reasons is not None else [""] * len(keys)
        failed = np.array([bool(reason) for reason in reasons], bool)
        widths = PARAMETERS[header.family]
        if unknown := set(parameters) - set(widths):
            raise ValueError(f"{header.family} has no parameters {sorted(unknown)}")
        columns: dict[str, pa.Array] = {
            "key": pa.array(list(keys), pa.string()),
            "status": pa.array([FAILED if f else OK for f in failed], pa.string()),
            "reason": pa.array(reasons, pa.string()),
        }
        given = {**parameters, "focal": focal, "princpt": princpt, "transl": transl}
        for name, width in {**widths, **CAMERA}.items():
            values = np.asarray(given.get(name, np.zeros((len(keys), width))), np.float32)
            if values.shape != (len(keys), width):
                raise ValueError(f"{name} has shape {values.shape}, expecting {(len(keys), width)}")
            values = np.where(failed[:, None], np.float32(0), values)
            if not np.isfinite(values).all():
                raise ValueError(f"{name} holds numbers that are not finite in rows that did not fail")
            columns[name] = to_column(values)
        for name, column in (extra or {}).items():
            columns[name] = pa.array(column)
        return cls(pa.table(columns).replace_schema_metadata(header.to_metadata()))

    @classmethod
    def read(cls, shards: Sequence[Path]) -> Self:
        """The table kept in `shards`, memory-mapped."""
        return cls(read_shards(shards))

    def write(self, path: Path) -> None:
        """Writes one shard; it appears whole or not at all."""
        write_shard(path, self.table)

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, index: int) -> Fit:  # type: ignore[override]  # rows only
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = self.table.slice(index % len(self), 1)
        numbers = {
            name: to_numpy(row[name], (width,))[0]
            for name, width in {**PARAMETERS[self.header.family], **CAMERA}.items()
        }
        return Fit(
            key=row["key"][0].as_py(),
            status=row["status"][0].as_py(),
            reason=row["reason"][0].as_py(),
            parameters={name: numbers[name] for name in PARAMETERS[self.header.family]},
            focal=numbers["focal"],
            princpt=numbers["princpt"],
            transl=numbers["transl"],
            extra={name: row[name][0].as_py() for name in row.column_names if "." in name},
        )

    def __iter__(self) -> Iterator[Fit]:
        return (self[i] for i in range(len(self)))

    @cached_property
    def keys(self) -> list[str]:
        """Sample keys of all rows."""
        return self.table["key"].to_pylist()

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Row of each sample key."""
        return {key: i for i, key in enumerate(self.keys)}

    def column(self, name: str) -> FloatArray:
        """`(N, d)` of one parameter or camera field."""
        return to_numpy(self.table[name], ({**PARAMETERS[self.header.family], **CAMERA}[name],))

    @property
    def parameters(self) -> dict[str, FloatArray]:
        """`(N, d)` of every parameter of the family."""
        return {name: self.column(name) for name in PARAMETERS[self.header.family]}

    @cached_property
    def ok(self) -> np.ndarray:
        """`(N,)` bool: which fits did not fail."""
        return np.array([status == OK for status in self.table["status"].to_pylist()], bool)
