"""From fits to the coordinates of an optimisation and back: warm starts, and parameters by the smplx package's names.

Legend: N people.
"""

from __future__ import annotations

import numpy as np
import torch

from annotator.bodies.files import BodyModelData
from annotator.camera import Camera, between_cameras, crop_of_box
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.fitting.objective import BodyPrior, Decoder, ModelPoints
from annotator.fitting.parameters import HAND_COMPONENTS, Parameters
from annotator.fitting.problem import Problem
from annotator.fitting.start import depth_guess, mean_points
from annotator.prior import GaussianMixture, HandPca
from annotator.sample import Samples

_SHARED = ("betas", "expression", "jaw_pose", "leye_pose", "reye_pose")


def whole_parameters(parameters: Parameters, decoder: Decoder) -> dict[str, np.ndarray]:
    """`(N, d)` float32 by the smplx package's names: the latent decoded to axis-angle, hands from their coefficients."""
    with torch.inference_mode():
        decoded = decoder({name: torch.as_tensor(v, dtype=torch.float64) for name, v in parameters.items().items()})
        return {name: values.numpy().astype(np.float32) for name, values in decoded.items()}


class Starts:
    """Fits of another run as starts. Their pose is brought into the latent and the hands' first components, the nearest there.

    Args:
        fits: of SMPL-X or SMPL. From the other of the two only the pose is taken: their shapes are not the same numbers.

    Raises:
        RunError: they belong to another body model of the same family.
    """

    def __init__(self, fits: Fits, body: BodyModelData, prior: BodyPrior) -> None:
        self._fits, self._body, self._prior = fits, body, prior
        self._decoder = Decoder(body, prior).double()
        self._rest: np.ndarray | None = None
        self._same = fits.header.family == body.family
        if self._same and fits.header.body_hash != body.hash:
            raise RunError(
                f"The fits to start from belong to another {body.family} body model ({fits.header.body_hash}, the project "
                f"has {body.hash}); leave out --from, or relink the right files."
            )

    def of(self, problem: Problem, samples: Samples) -> tuple[Parameters, np.ndarray]:
        """The starts of N people, in the camera of `problem`, and who has one."""
        index_of, ok = self._fits.index_of, self._fits.ok
        rows = np.array([index_of.get(key, -1) for key in samples.keys])
        known = (rows >= 0) & ok[rows]
        found = {name: values[np.maximum(rows, 0)].astype(np.float64) for name, values in self._fits.parameters.items()}
        latent = self._prior is not None and not isinstance(self._prior, GaussianMixture)
        begin = Parameters.zeros(len(samples), problem.model, latent=latent)
        taken = {name: found[name] for name in _SHARED if self._same and name in found}
        begin = begin.replaced(**taken, **self._pose(found["body_pose"], latent=latent), **self._hands(found))
        crop = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
        camera, theirs = Camera(problem.focal, problem.center), self._camera(rows)
        begin = begin.replaced(global_orient=_turned(between_cameras(camera, theirs, crop), found["global_orient"]))
        return begin.replaced(transl=self._placed(begin, problem)), known

    def _camera(self, rows: np.ndarray) -> Camera:
        """Of each fit; of one who has none, any that can be."""
        focal, princpt = (
            self._fits.column(name)[np.maximum(rows, 0)].astype(np.float64) for name in ("focal", "princpt")
        )
        return Camera(np.where(focal > 0, focal, 1.0), princpt)

    def _pose(self, pose: np.ndarray, *, latent: bool) -> dict[str, np.ndarray]:
        if latent:
            assert self._prior is not None
            assert not isinstance(self._prior, GaussianMixture)
            with torch.inference_mode():
                mean, _ = self._prior.encode(torch.as_tensor(pose[:, :63], dtype=torch.float32))
            return {"latent": mean.numpy().astype(np.float64)}
        width = 69 if self._body.family == "smpl" else 63
        padded = np.zeros((len(pose), width))
        padded[:, : min(width, pose.shape[1])] = pose[:, :width]
        return {"body_pose": padded}

    def _hands(self, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        hands: dict[str, np.ndarray] = {}
        for side, components in self._body.hand_components.items():
            name = f"{side}_hand_pose"
            if name in found:
                pca = HandPca(torch.as_tensor(components, dtype=torch.float64), HAND_COMPONENTS)
                hands[name] = pca.encode(torch.as_tensor(found[name])).numpy()
        return hands

    def _placed(self, begin: Parameters, problem: Problem) -> np.ndarray:
        """`(N, 3)` translations: the hips (or what else starts the camera) where they were seen, at the guessed depth.

        The stages leave them as they are in 2D, so they must not follow limbs that are still wrong, nor another camera's
        depth.
        """
        place = ModelPoints(self._body, problem).double()
        with torch.inference_mode():
            variables = {name: torch.as_tensor(values) for name, values in begin.items().items()}
            points = place(self._decoder(variables)).numpy()
        weight = _hips(problem)
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        if problem.joints is not None:
            return np.einsum("nk,nkc->nc", share, problem.joints - points)
        if self._rest is None:
            self._rest = mean_points(problem, self._body, self._prior)[0]
        depth = depth_guess(problem, self._rest)
        ray = (problem.pixels - problem.center[:, None]) / problem.focal[:, None]
        offset = ray * (points[..., 2:] + depth[:, None, None]) - points[..., :2]
        return np.concatenate([np.einsum("nk,nkc->nc", share, offset), depth[:, None]], axis=1)


def _hips(problem: Problem) -> np.ndarray:
    """`(N, K)` 1 for hips that are seen; for those of whom none is, all that starts the camera."""
    hips = problem.anchor_weights * np.isin(problem.names, ("right_hip", "left_hip"))
    return np.where(hips.any(axis=1, keepdims=True), hips, problem.anchor_weights)


def _turned(turn: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return (Rotation.from_matrix(turn) * Rotation.from_rotvec(vectors)).as_rotvec()
