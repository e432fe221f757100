"""The points that a part's networks are taught: which, in what order, and where each skeleton has them.

Legend: N samples, B people, K 2D points, J 3D joints, P points of the 2D pose that a network may see.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.points import PointMap
from annotator.errors import RunError
from annotator.part import BODY, Part, root_of, skeletons_of, taught_as
from annotator.sample import Samples
from annotator.skeleton import Skeleton, loss_points


@dataclass(frozen=True)
class TaughtPoints:
    """Points of one part for the data sets of a run.

    Attributes:
        skeletons: whose 2D points are taught, one after the other; each sample has labels in one of them.
        joint_skeletons: those of them that are also taught in 3D.
    """

    part: Part
    skeletons: tuple[Skeleton, ...]
    joint_skeletons: tuple[Skeleton, ...]

    @classmethod
    def of(cls, part: Part, tables: Iterable[Samples]) -> TaughtPoints:
        """For these tables of samples.

        Raises:
            RunError: a table is labelled with a skeleton that this part's networks cannot be taught.
        """
        tables = list(tables)
        for skeleton in (found for table in tables for found in (table.skeleton, table.joint_skeleton) if found):
            if taught_as(skeleton) not in part.skeletons:
                raise RunError(
                    f"{part.name.title()} networks cannot be taught points labelled as {skeleton.name}; leave that data "
                    "set out with --data."
                )
        in_3d = {taught_as(t.joint_skeleton) for t in tables if t.joint_skeleton is not None} | {part.pose_skeleton}
        skeletons = skeletons_of(part, [*(t.skeleton for t in tables), *in_3d])
        return cls(part, skeletons, tuple(skeleton for skeleton in skeletons if skeleton in in_3d))

    @cached_property
    def _columns(self) -> dict[str, slice]:
        return _laid_out(self.skeletons, [len(self.rows(skeleton)) for skeleton in self.skeletons])

    @cached_property
    def _joint_columns(self) -> dict[str, slice]:
        return _laid_out(self.joint_skeletons, [len(skeleton) for skeleton in self.joint_skeletons])

    def rows(self, skeleton: Skeleton) -> np.ndarray:
        """Which points of a skeleton are taught."""
        return loss_points(skeleton, self.part.name)

    def columns(self, skeleton: Skeleton) -> slice:
        """Where a skeleton's points are among the K."""
        return self._columns[skeleton.name]

    def joint_columns(self, skeleton: Skeleton) -> slice:
        """Where a skeleton's joints are among the J."""
        return self._joint_columns[skeleton.name]

    @property
    def count(self) -> int:
        """K."""
        return sum(len(self.rows(skeleton)) for skeleton in self.skeletons)

    @property
    def joint_count(self) -> int:
        """J."""
        return sum(len(skeleton) for skeleton in self.joint_skeletons)

    @cached_property
    def poses(self) -> list[tuple[slice, int]]:
        """Of each joint skeleton its columns among the K, and which of them is the root."""
        return [(self.columns(skeleton), root_of(skeleton)) for skeleton in self.joint_skeletons]

    def maps(self, body: BodyModelData) -> list[PointMap]:
        """Point maps of a body model, one per skeleton."""
        from annotator.bodies.body_model import select_points

        return [select_points(body.points[skeleton.name], self.rows(skeleton)) for skeleton in self.skeletons]

    def present(self, body: BodyModelData) -> tuple[np.ndarray, np.ndarray]:
        """`(K,)` and `(J,)` 0 or 1: the points that a body model has."""
        of = {s.name: body.points[s.name].present.astype(np.float32) for s in self.skeletons}
        points = [of[skeleton.name][self.rows(skeleton)] for skeleton in self.skeletons]
        return np.concatenate(points), np.concatenate([of[skeleton.name] for skeleton in self.joint_skeletons])

    @cached_property
    def slots(self) -> np.ndarray:
        """`(K,)` place of each point in a 2D pose that a network sees: points of one name share it across skeletons."""
        names = [skeleton.points[row] for skeleton in self.skeletons for row in self.rows(skeleton)]
        place = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return np.array([place[name] for name in names], np.int64)


def _laid_out(skeletons: Iterable[Skeleton], widths: Iterable[int]) -> dict[str, slice]:
    found: dict[str, slice] = {}
    start = 0
    for skeleton, width in zip(skeletons, widths, strict=True):
        found[skeleton.name] = slice(start, start + width)
        start += width
    return found


def by_name(given: Skeleton, wanted: Skeleton) -> np.ndarray:
    """Rows of `given` that are the points of `wanted`, -1 where it lacks one."""
    return np.array([given.index_of.get(point, -1) for point in wanted.points], np.int64)


def relabelled(values: np.ndarray, given: Skeleton) -> tuple[np.ndarray, Skeleton]:
    """`(N, K, d)` labels, whose last number is their confidence, in the order of the skeleton as which they are taught."""
    wanted = taught_as(given)
    if wanted is given:
        return values, given
    rows = by_name(given, wanted)
    return values[:, rows] * (rows >= 0)[:, None].astype(values.dtype), wanted


BODY_POINTS = TaughtPoints.of(BODY, ())
"""Of bodies labelled as COCO-WholeBody or Human3.6M."""
