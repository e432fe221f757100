"""Scores about fits that need no GT 3D, written beside them: the 2D error by which the desk sorts."""

from __future__ import annotations

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.posing import Poser
from annotator.camera import Camera, Crop, crop_of_box
from annotator.fit import PARAMETERS
from annotator.metrics import error_2d
from annotator.progress import Progress, Work
from annotator.runs import BODY_ERRORS, ERRORS, Run
from annotator.sample import Samples
from annotator.skeleton import error_points

_CHUNK = 64


def write_2d_errors(run: Run, dataset: str, samples: Samples, body: BodyModelData, *, part: str = "") -> Work:
    """Writes the scores `error_2d_crop` (px of the 256 crop) and `error_2d` (image px); NaN for failed fits.

    Of whole people there are `error_2d_crop_body` and `error_2d_body` too.

    Args:
        body: the model that the fits belong to.
        part: of the fits, where it is not that of the samples: whole people are fitted from samples of bodies.
    """
    part = part or samples.part
    fits = run.fits(dataset, part)
    if fits is None:
        return
    poser, kinds = Poser(body), (ERRORS, BODY_ERRORS) if part != samples.part else (ERRORS,)
    chosen = [error_points(samples.skeleton, samples.part if kind is BODY_ERRORS else part) for kind in kinds]
    errors = np.full((len(kinds), 2, len(fits)), np.nan)
    rows = np.flatnonzero(fits.ok)
    of_samples = np.array([samples.index_of[key] for key in fits.keys])
    crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
    keypoints = samples.keypoints
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        people = of_samples[some]
        posed = poser.pose({name: fits.column(name)[some] for name in (*PARAMETERS[fits.header.family], "transl")})
        camera = Camera(fits.column("focal")[some].astype(np.float64), fits.column("princpt")[some].astype(np.float64))
        points, own = posed.points(samples.skeleton.name), Crop(crop.center[people], crop.side[people])
        for found, which in zip(errors, chosen, strict=True):
            found[:, some] = error_2d(camera.project(points[:, which]), keypoints[people][:, which], own)
        yield Progress(f"Measuring the 2D error of {dataset}", start + len(some), len(rows), "people")
    for names, found in zip(kinds, errors, strict=True):
        for name, values in zip(names, found, strict=True):
            run.write_score(dataset, part, name, fits.keys, values.tolist())
