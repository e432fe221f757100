"""Fits that another program made become a run: its results are given to the people on whom they lie, and kept as fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from annotator.annotators.official_results import Results
from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.camera import VIRTUAL_SIZE, Camera, Crop, crop_of_box
from annotator.errors import RunError
from annotator.exports.smplifyx import photo_name
from annotator.fit import FitHeader, Fits
from annotator.metrics import error_2d
from annotator.outside import short
from annotator.sample import Samples
from annotator.skeleton import error_points

_CHUNK = 64
_NOBODY = 1e9


@dataclass(frozen=True)
class Given:
    """Which result each person got.

    Attributes:
        results, people: rows of the results and of the samples, in the order of the samples.
        left_over: rows of results on photos of the data set that lie on nobody of it.
    """

    results: np.ndarray
    people: np.ndarray
    left_over: list[int]


def give(results: Results, parameters: Mapping[str, np.ndarray], samples: Samples, body: BodyModelData) -> Given:
    """Gives results to the people of a data set, photo by photo, so that all lie as near to the keypoints as they can.

    The number in a result's name counts the people that somebody's detector found, in its order, so it tells nothing here.
    One that misses a person by more than the side of his crop is not his. A result without a fit is given last.

    Raises:
        RunError: a result is of a photo whose name two photos have, so nobody can say of which.
    """
    images = samples.table["image"].to_pylist()
    by_photo: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        by_photo.setdefault(photo_name(image), []).append(row)
    for photo in dict.fromkeys(results.photos):
        alike = sorted({images[row] for row in by_photo.get(photo, [])})
        if len(alike) > 1:
            raise RunError(
                f"{short(alike[0])} and {short(alike[1])} are both called {short(photo)}, and results are kept by that name "
                "alone; rename one of the photos and its results, or import the photos of one folder as a data set of its own."
            )
    of_photo: dict[str, list[int]] = {}
    for row, photo in enumerate(results.photos):
        if photo in by_photo:
            of_photo.setdefault(photo, []).append(row)
    pairs = [(r, s) for photo, rows in of_photo.items() for r in rows for s in by_photo[photo]]
    misses = dict(zip(pairs, _misses(pairs, results, parameters, samples, body).tolist(), strict=True))
    taken: dict[int, int] = {}
    left_over: list[int] = []
    for photo, rows in of_photo.items():
        people = by_photo[photo]
        cost = np.array([[misses[r, s] for s in people] for r in rows])
        chosen = _cheapest(cost)
        taken |= {people[column]: rows[row] for row, column in chosen}
        left_over += [r for place, r in enumerate(rows) if place not in {row for row, _ in chosen}]
    order = sorted(taken)
    return Given(np.array([taken[row] for row in order], int), np.array(order, int), left_over)


def fits_of(
    results: Results, parameters: Mapping[str, np.ndarray], given: Given, samples: Samples, body: BodyModelData
) -> Fits:
    """The fits of those people."""
    part = "whole" if body.family == "smplx" else "body"
    columns = {name: values[given.results] for name, values in parameters.items()}
    transl, count = columns.pop("transl"), len(given.people)
    return Fits.of(
        FitHeader(body.family, part, body.hash),
        [samples.keys[row] for row in given.people],
        columns,
        focal=np.full((count, 2), results.focal),
        princpt=samples.sizes[given.people] / 2,
        transl=transl,
        reasons=[results.reasons[row] for row in given.results],
        extra={"imported.file": pa.array([results.names[row] for row in given.results], pa.string())},
    )


def _cheapest(cost: np.ndarray) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(r, c) for r, c in pairs if cost[r, c] <= VIRTUAL_SIZE or cost[r, c] == _NOBODY]


def _misses(
    pairs: list[tuple[int, int]],
    results: Results,
    parameters: Mapping[str, np.ndarray],
    samples: Samples,
    body: BodyModelData,
) -> np.ndarray:
    """2D error, px of the 256 crop, of each pair of a result and a person."""
    poser, chosen = Poser(body), error_points(samples.skeleton, "body")
    crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
    out = np.full(len(pairs), _NOBODY)
    fine = [place for place, (row, _) in enumerate(pairs) if not results.reasons[row]]
    for start in range(0, len(fine), _CHUNK):
        places = fine[start : start + _CHUNK]
        rows, people = np.array([pairs[place] for place in places]).T
        points = poser.pose({name: values[rows] for name, values in parameters.items()}).points(samples.skeleton.name)
        camera = Camera(np.full((len(rows), 2), results.focal), samples.sizes[people] / 2)
        keypoints = samples.keypoints[people][:, chosen]
        crops = Crop(crop.center[people], crop.side[people])
        errors, _ = error_2d(camera.project(points[:, chosen].astype(np.float64)), keypoints, crops)
        out[places] = np.where(np.isfinite(errors), np.minimum(errors, _NOBODY / 2), _NOBODY / 2)
    return out
