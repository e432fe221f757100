"""Settings of SMPLify-X and SMPLify, the annotators that optimise: the recipe's tables [smplifyx] and [smplify]."""

from __future__ import annotations

from dataclasses import dataclass

from annotator.errors import RecipeError

PROJECT_PRIOR, NO_PRIOR = "project", "l2"
"""Values of `prior`: the project's own (VPoser for SMPL-X, the mixture for SMPL), or plain length."""
_ROBUST = ("geman_mcclure", "l1")
_POSITIVE = ("orientations", "focal", "weight_3d", "rho_3d", "shard")
_MOST_ORIENTATIONS = 8


@dataclass(frozen=True)
class FittingRecipe:
    """Settings of SMPLify-X and SMPLify. The defaults are the published ones; the weights of the stages are no setting.

    Attributes:
        prior: of the body's pose: "project" is that of the project's body-model folder (VPoser, or the mixture for smplify),
            "l2" its plain squared length, else the path of an official VPoser or of `gmm_08.pkl`.
        orientations: starting orientations that are followed, beside poses with a limb mirrored; the best one is kept.
        focal: px, of the camera at the photo's centre.
        known_camera: whether a photo's own K is used where it is known.
        contour: whether the outline of the face counts where it is labelled; SMPL has none.
        robust_3d: of 3D residuals: "geman_mcclure" or "l1".
        rho_3d: where "geman_mcclure" bends, metres.
        weight_3d: of the squared 3D residuals, per square metre; its root of plain ones (l1), per metre.
        priors_3d: factor on the weights of all priors where joints in 3D are fitted.
        penetration: of self-penetration, per square metre that two spheres of the body overlap, times the published weight
            of the stage; 0 leaves it out. Hands and faces alone have none.
        shard: people to a table of fits: what a killed run loses at most.
    """

    prior: str = PROJECT_PRIOR
    orientations: int = 2
    focal: float = 5000.0
    known_camera: bool = False
    contour: bool = False
    robust_3d: str = "geman_mcclure"
    rho_3d: float = 0.15
    weight_3d: float = 1e6
    priors_3d: float = 1.0
    penetration: float = 0.0
    shard: int = 256

    def __post_init__(self) -> None:
        if self.robust_3d not in _ROBUST:
            raise RecipeError(f"robust_3d = '{self.robust_3d}' is unknown; choose one of {', '.join(_ROBUST)}.")
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < float("inf"):
                raise RecipeError(f"{name} = {getattr(self, name)} must be greater than 0.")
        for name in ("priors_3d", "penetration"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise RecipeError(f"{name} = {getattr(self, name)} must be 0 or more.")
        if self.orientations > _MOST_ORIENTATIONS:
            raise RecipeError(f"orientations = {self.orientations} must be at most {_MOST_ORIENTATIONS}.")
