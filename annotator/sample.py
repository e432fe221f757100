"""`Sample`: one person, hand or face in one photo. `Samples`: a table of them, memory-mapped.

Pixels are full-image, integer = pixel centre; metres; camera space x right, y down, z forward. Missing = confidence 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from annotator.columns import FloatArray, number_list, read_shards, to_column, to_numpy, write_shard
from annotator.skeleton import SKELETONS, Skeleton

PARTS = ("body", "rhand", "lhand", "face", "whole")
SHARD_ROWS = 65536


@dataclass(frozen=True)
class Sample:
    """One person (or hand, or face) in one photo.

    Attributes:
        key: `<data set>/<annotation id>[/<part>]`, stable over re-import.
        part: body, rhand, lhand or face.
        root: name of the image root in the project.
        image: path of the photo below its root.
        width, height: of the photo in px.
        box: `(4,)` x, y, w, h in px.
        box_drawn: True where people drew the box, False where it comes from joints (then it is not clipped).
        keypoints: `(K, 3)` u, v in px and confidence.
        joints: `(J, 4)` x, y, z in metres in camera space and validity, or None.
        intrinsics: `(3, 3)` K of the photo, or None where unknown.
        skeleton: names of the keypoints.
        joint_skeleton: names of the joints.
    """

    key: str
    part: str
    root: str
    image: str
    width: int
    height: int
    box: FloatArray
    keypoints: FloatArray
    skeleton: Skeleton
    box_drawn: bool = True
    joints: FloatArray | None = None
    joint_skeleton: Skeleton | None = None
    intrinsics: FloatArray | None = None
    subject: str | None = None
    split: str | None = None

    @property
    def dataset(self) -> str:
        """The data set's name, the first word of the key."""
        return self.key.split("/", 1)[0]

    @property
    def annotation_id(self) -> str:
        """The annotation id of the source, the second word of the key."""
        return self.key.split("/")[1]


class Samples(Sequence[Sample]):
    """Samples of one data set and part, one row each, all with the same skeleton.

    Indexing gives a `Sample`; the array properties give whole columns without copying.
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        self.part = metadata["part"]
        self.skeleton = SKELETONS[metadata["skeleton"]]
        self.joint_skeleton = SKELETONS[metadata["joint_skeleton"]] if metadata.get("joint_skeleton") else None
        self.box_drawn = metadata.get("box") != "joints"

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        """A table of `samples`; all must share part, skeletons and the origin of their boxes.

        Raises:
            ValueError: `samples` is empty or mixed.
        """
        if not samples:
            raise ValueError("expecting at least one sample")
        first = samples[0]
        kinds = {(s.part, s.skeleton.name, s.joint_skeleton and s.joint_skeleton.name, s.box_drawn) for s in samples}
        if len(kinds) != 1:
            raise ValueError(f"expecting samples of one kind, got {sorted(map(str, kinds))}")
        known = [s.intrinsics for s in samples if s.intrinsics is not None]
        if known and len(known) != len(samples):
            raise ValueError("expecting intrinsics for all samples or for none")
        return cls.of_columns(
            part=first.part,
            skeleton=first.skeleton,
            box_drawn=first.box_drawn,
            keys=[s.key for s in samples],
            root=first.root,
            images=[s.image for s in samples],
            sizes=np.array([(s.width, s.height) for s in samples]),
            boxes=np.stack([s.box for s in samples]),
            keypoints=np.stack([s.keypoints for s in samples]),
            joints=np.stack([s.joints for s in samples if s.joints is not None]) if first.joints is not None else None,
            joint_skeleton=first.joint_skeleton,
            intrinsics=np.stack(known) if known else None,
            subjects=[s.subject for s in samples],
            split=first.split,
        )

    @classmethod
    def of_columns(
        cls,
        *,
        part: str,
        skeleton: Skeleton,
        box_drawn: bool,
        keys: Sequence[str],
        root: str,
        images: Sequence[str],
        sizes: np.ndarray,
        boxes: np.ndarray,
        keypoints: np.ndarray,
        joints: np.ndarray | None = None,
        joint_skeleton: Skeleton | None = None,
        intrinsics: np.ndarray | None = None,
        subjects: Sequence[str | None] | None = None,
        split: str | None = None,
    ) -> Self:
        """A table from whole columns, with the shapes of the properties below; `sizes` is `(N, 2)` width, height."""
        n = len(keys)
        columns: dict[str, pa.Array] = {
            "key": pa.array(list(keys), pa.string()),
            "root": pa.array([root] * n, pa.string()),
            "image": pa.array(list(images), pa.string()),
            "width": pa.array(sizes[:, 0].astype(np.int32)),
            "height": pa.array(sizes[:, 1].astype(np.int32)),
            "box": to_column(boxes),
            "keypoints": to_column(keypoints),
            "K": pa.nulls(n, number_list(9)) if intrinsics is None else to_column(intrinsics),
            "subject": pa.array(subjects or [None] * n, pa.string()),
            "split": pa.array([split] * n, pa.string()),
        }
        metadata = {"part": part, "skeleton": skeleton.name, "box": "drawn" if box_drawn else "joints"}
        if joints is not None and joint_skeleton is not None:
            columns["joints"] = to_column(joints)
            metadata["joint_skeleton"] = joint_skeleton.name
        return cls(pa.table(columns).replace_schema_metadata(metadata))

    @classmethod
    def read(cls, shards: Sequence[Path]) -> Self:
        """The table kept in `shards`, memory-mapped."""
        return cls(read_shards(shards))

    def write(self, folder: Path) -> list[Path]:
        """Writes `samples-<part>-00000.arrow`, ... into `folder`."""
        paths: list[Path] = []
        for number, start in enumerate(range(0, len(self), SHARD_ROWS)):
            paths.append(folder / f"samples-{self.part}-{number:05d}.arrow")
            write_shard(paths[-1], self.table.slice(start, SHARD_ROWS))
        return paths

    def __len__(self) -> int:
        return self.table.num_rows

    def __getitem__(self, index: int) -> Sample:  # type: ignore[override]  # rows only; slices are `take`
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        row = self.table.slice(index % len(self), 1)

        def text(name: str) -> str | None:
            return row[name][0].as_py()

        def numbers(name: str, *shape: int) -> FloatArray | None:
            if name not in row.column_names or not row[name][0].is_valid:
                return None
            return to_numpy(row[name], shape)[0]

        box, keypoints = numbers("box", 4), numbers("keypoints", len(self.skeleton), 3)
        assert box is not None
        assert keypoints is not None
        return Sample(
            key=str(text("key")),
            part=self.part,
            root=str(text("root")),
            image=str(text("image")),
            width=row["width"][0].as_py(),
            height=row["height"][0].as_py(),
            box=box,
            keypoints=keypoints,
            skeleton=self.skeleton,
            box_drawn=self.box_drawn,
            joints=numbers("joints", len(self.joint_skeleton), 4) if self.joint_skeleton else None,
            joint_skeleton=self.joint_skeleton,
            intrinsics=numbers("K", 3, 3),
            subject=text("subject"),
            split=text("split"),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def take(self, indices: Sequence[int] | np.ndarray) -> Samples:
        """The rows `indices`, in that order."""
        return Samples(self.table.take(pa.array(np.asarray(indices, np.int64))))

    def named(self, keys: Collection[str]) -> Samples:
        """The samples in `keys`, and the hands and faces of people who are; all of them where nobody is named."""
        return self.take([row for row, key in enumerate(self.keys) if is_named(key, keys)]) if keys else self

    @cached_property
    def keys(self) -> list[str]:
        """Keys of all rows."""
        return self.table["key"].to_pylist()

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Row of each key."""
        return {key: i for i, key in enumerate(self.keys)}

    @property
    def boxes(self) -> FloatArray:
        """`(N, 4)` x, y, w, h in px."""
        return to_numpy(self.table["box"], (4,))

    @property
    def sizes(self) -> FloatArray:
        """`(N, 2)` width and height of the photos in px."""
        return np.stack([self.table["width"].to_numpy(), self.table["height"].to_numpy()], axis=1).astype(np.float32)

    @property
    def keypoints(self) -> FloatArray:
        """`(N, K, 3)` u, v in px, confidence."""
        return to_numpy(self.table["keypoints"], (len(self.skeleton), 3))

    @property
    def joints(self) -> FloatArray | None:
        """`(N, J, 4)` metres in camera space and validity, or None for a target set."""
        return to_numpy(self.table["joints"], (len(self.joint_skeleton), 4)) if self.joint_skeleton else None

    @property
    def intrinsics(self) -> FloatArray:
        """`(N, 3, 3)` K of each photo; all zeros where it is unknown."""
        return to_numpy(self.table["K"], (3, 3))


def is_named(key: str, keys: Collection[str]) -> bool:
    """Whether a sample, or the person whose hand or face it is, is among `keys`."""
    return key in keys or "/".join(key.split("/")[:2]) in keys
