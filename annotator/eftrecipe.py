"""The table [eft] of a recipe: how a trained network is tuned on one person's 2D pose."""

from __future__ import annotations

from dataclasses import dataclass

from annotator.errors import RecipeError

_TUNED = ("all", "head")


@dataclass(frozen=True)
class EftRecipe:
    """Settings of EFT; the defaults are the published ones.

    Attributes:
        tune: "all", the whole network, one person after the other; "head", its last layer, for many people at once.
        learning_rate: of Adam. iterations: the most there may be.
        threshold: of the 2D loss (mean square, in half crops), at which a person is done; COCO's authors took 2e-5.
        weight_2d: of that loss. weight_legs: of the direction of the legs.
    """

    tune: str = "all"
    learning_rate: float = 5e-6
    iterations: int = 20
    threshold: float = 1e-4
    weight_2d: float = 60.0
    weight_legs: float = 0.005

    def __post_init__(self) -> None:
        if self.tune not in _TUNED:
            raise RecipeError(f"tune = '{self.tune}' is unknown; choose one of {', '.join(_TUNED)}.")
        for name in ("learning_rate", "iterations", "weight_2d"):
            if not 0 < getattr(self, name) < float("inf"):
                raise RecipeError(f"{name} = {getattr(self, name)} must be greater than 0.")
        for name in ("threshold", "weight_legs"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise RecipeError(f"{name} = {getattr(self, name)} must be 0 or more.")
