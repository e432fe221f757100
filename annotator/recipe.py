"""The recipe: every setting of a run, as TOML with one table per part or annotator. Read, checked, and saved with each run."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import tomli_w

import resources
from annotator.eftrecipe import EftRecipe
from annotator.errors import RecipeError
from annotator.fittingrecipe import FittingRecipe
from annotator.outside import exists, parse_toml, short

CROP_FRAME = "crop"
"""The value of `frame` by which networks speak in the frame of their crop."""
_CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("smplifyx", "network"),
    "model": ("smplx", "smpl"),
    "input": ("image", "pose", "image+pose"),
    "auxiliary_input": ("image+pose", "pose"),
    "backbone": ("resnet18", "resnet34", "resnet50"),
    "schedule": ("plateau", "cosine"),
    "frame": (CROP_FRAME, "camera"),
    "unseen": ("imitate", "2d"),
    "train_precision": ("auto", "fp32", "tf32", "bf16"),
    "annotate_precision": ("auto", "fp32", "tf32", "bf16"),
}
_MOST_PX = 2048
_POSITIVE = ("input_px", "batch", "learning_rate", "auxiliary_steps", "target_steps", "prior_steps", "plateau_window")
_NOT_NEGATIVE = (
    *("weight_2d", "weight_3d", "weight_pose", "weight_shape", "regulariser", "regulariser_auxiliary"),
    *("plateau_gain", "seed"),
)
_MOST = 2**63
"""Below which every number is: what a random generator takes for its seed, and not infinity."""
_AUGMENTATION = {
    "augment_scale": 0.5,
    "augment_rotation": 180.0,
    "augment_translation": 0.5,
    "augment_colour": 1.0,
    "augment_flip": 1.0,
}
"""Fields of the augmentation and the most that each may be."""
ALL, NONE = "all", "none"
"""Values of `auxiliary`; anything else is names of data sets."""
HAND_COMPONENTS = 45
_T = TypeVar("_T")


LEARNT = "learnt"
"""The value of `prior` that asks for a latent space learnt from the auxiliary fits."""


@dataclass(frozen=True)
class PartRecipe:
    """Settings of the networks of any part. The defaults are the paper's where it states them.

    Attributes:
        backbone: resnet18, resnet34 or resnet50.
        weights: "imagenet", "none", or the path of a file (safetensors or a torch state dict).
        input_px: side of the crop that the network sees, px.
        batch: people per step; half auxiliary, half target when the target network is trained.
        learning_rate: of Adam at the start.
        schedule: "plateau" divides it by 10 at the first plateau and ends at the second; "cosine" takes it to 0.
        plateau_window: steps that are averaged to see whether the loss still falls.
        plateau_gain: relative fall of that average below which it counts as a plateau.
        auxiliary_steps, target_steps: steps of each network; with "plateau" the most there may be.
        weight_2d: of the 2D loss, per px of the 256 crop.
        weight_3d: of the 3D loss, per metre.
        weight_pose: of the rotation-matrix distance to an earlier fit.
        weight_shape: of the distance of betas to an earlier fit.
        regulariser: of mean z^2 + mean beta^2 on target samples, relative to weight_2d (the author's lambda, 1); without a
            latent of (6D - rest)^2.
        regulariser_auxiliary: of mean (6D - rest)^2 + mean beta^2 in L_ax; rest is no rotation, of hands the mean hand.
        frame: "crop" turns GT 3D into the crop frame; "camera" leaves it (the sibling code's way).
        auxiliary: the auxiliary sets that are used: "all", "none", or their names with commas.
        latent: whether the target network predicts a low-dimensional pose (the supplement's Table 11) or 6D rotations.
        input: what the target network sees: "image", "pose" (the labelled 2D alone, Table 2), or "image+pose".
        auxiliary_input: what auxiliary networks see: "image+pose", or "pose" (GT 3D alone, Figure 4).
        unseen: later rounds: a fit nobody judged is imitated ("imitate", the paper's second round) or teaches 2D only.
        crop_cache: whether crops are cut once and kept in the project, or photos are decoded each time.
        train_precision: "auto" (bf16 backbone where the processor has bf16 instructions; TF32 on an older GPU), "fp32",
            "tf32" or "bf16".
        annotate_precision: of annotating; likewise.
        compile: whether the backbone is compiled for training (torch.compile); the first steps then take minutes.
        held_out: share of every auxiliary set that no network is taught, on which its loss is measured; 0 is none.
        tensorboard: whether the loss curves are also written for TensorBoard, where that is installed.
        augment_scale: crops are made larger or smaller by up to this share; 0 is off, as are the next four.
        augment_rotation: they are turned by up to so many degrees.
        augment_translation: they are moved by up to this share of their side.
        augment_colour: red, green and blue are each made brighter or darker by up to this share.
        augment_flip: how often a crop is mirrored, 0 to 1; a hand's twin would be another hand, a face's expression has none.
        seed: of every random draw.
    """

    backbone: str = "resnet50"
    weights: str = "imagenet"
    input_px: int = 256
    batch: int = 192
    learning_rate: float = 1e-4
    schedule: str = "plateau"
    plateau_window: int = 2000
    plateau_gain: float = 0.01
    auxiliary_steps: int = 40_000
    target_steps: int = 80_000
    weight_2d: float = 1 / 32
    weight_3d: float = 3.0
    weight_pose: float = 1.0
    weight_shape: float = 0.1
    regulariser: float = 1.0
    regulariser_auxiliary: float = 0.001
    frame: str = CROP_FRAME
    auxiliary: str = ALL
    latent: bool = True
    input: str = "image"
    auxiliary_input: str = "image+pose"
    unseen: str = "imitate"
    crop_cache: bool = True
    train_precision: str = "auto"
    annotate_precision: str = "fp32"
    compile: bool = False
    held_out: float = 0.0
    tensorboard: bool = False
    augment_scale: float = 0.0
    augment_rotation: float = 0.0
    augment_translation: float = 0.0
    augment_colour: float = 0.0
    augment_flip: float = 0.0
    seed: int = 1

    unused: ClassVar[tuple[str, ...]] = ()
    """Fields that mean nothing for this part and may not be set."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name, choices[0]) not in choices:
                raise RecipeError(f"{name} = '{getattr(self, name)}' is unknown; choose one of {', '.join(choices)}.")
        self._check_numbers()
        if not 0 <= self.held_out <= 0.5:
            raise RecipeError(f"held_out = {self.held_out} must be a share from 0 to 0.5.")
        for name, most in _AUGMENTATION.items():
            if not 0 <= getattr(self, name) <= most:
                raise RecipeError(f"{name} = {getattr(self, name)} must be a number from 0 to {most:g}.")
        if not self.named and self.auxiliary not in (ALL, NONE):
            raise RecipeError(
                f"auxiliary = '{self.auxiliary}' names no set; write {ALL}, {NONE}, or their names with commas."
            )
        if self.batch % 2:
            raise RecipeError(f"batch = {self.batch} must be even: half of it is auxiliary.")
        if self.input_px % 32 or self.input_px > _MOST_PX:
            raise RecipeError(f"input_px = {self.input_px} must be a multiple of 32, and {_MOST_PX} at most.")

    def _check_numbers(self) -> None:
        for name in _POSITIVE:
            if not 0 < getattr(self, name, 1) < _MOST:
                raise RecipeError(
                    f"{name} = {getattr(self, name)} must be a number greater than 0 and below {_MOST:g}."
                )
        for name in _NOT_NEGATIVE:
            if not 0 <= getattr(self, name) < _MOST:
                raise RecipeError(f"{name} = {getattr(self, name)} must be a number from 0 on.")

    def uses(self, dataset: str) -> bool:
        """Whether an auxiliary set of that name is used."""
        return self.auxiliary == ALL or (self.auxiliary != NONE and dataset in self.named)

    @property
    def augments(self) -> bool:
        """Whether crops are changed at all."""
        return any(getattr(self, name) for name in _AUGMENTATION)

    @property
    def named(self) -> tuple[str, ...]:
        """The auxiliary sets that are named; none where it is all of them or none."""
        words = "" if self.auxiliary in (ALL, NONE) else self.auxiliary
        return tuple(word.strip() for word in words.split(",") if word.strip())


@dataclass(frozen=True)
class BodyRecipe(PartRecipe):
    """Settings of the body's networks.

    Attributes:
        model: whose parameters fits have: "smplx" or "smpl", which cannot be joined with hands and faces.
        prior: "learnt" from the auxiliary fits, or the path of an official VPoser (its folder, or one snapshot).
        prior_steps: steps of the pose prior, where it is learnt.
    """

    model: str = "smplx"
    prior: str = LEARNT
    prior_steps: int = 8000


@dataclass(frozen=True)
class HandRecipe(PartRecipe):
    """Settings of the hands' networks; one network serves both sides.

    A hand's crop spans at most 0.4 m and a body's 2.5 m, so the same distance in the picture weighs the same in 3D.

    Attributes:
        hand_pca: components of MANO's hand poses that the target network predicts, at most 45.
    """

    weight_3d: float = 18.75
    hand_pca: int = 12

    unused: ClassVar[tuple[str, ...]] = ("augment_flip",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.hand_pca <= HAND_COMPONENTS:
            raise RecipeError(f"hand_pca = {self.hand_pca} must be 1 to {HAND_COMPONENTS}.")


@dataclass(frozen=True)
class FaceRecipe(PartRecipe):
    """How faces are fitted. The network has no auxiliary set and no latent space; its fields count with that method alone.

    Attributes:
        method: "smplifyx" fits faces by SMPLify-X, with the recipe's [smplifyx], as the paper does; "network" trains one (the
            supplement's Table 7).
    """

    weight_3d: float = 18.75
    method: str = "smplifyx"

    unused: ClassVar[tuple[str, ...]] = (
        *("auxiliary_steps", "regulariser_auxiliary", "auxiliary", "auxiliary_input", "latent", "augment_flip"),
    )


PART_TABLES: dict[str, type[PartRecipe]] = {"body": BodyRecipe, "hand": HandRecipe, "face": FaceRecipe}


FITTING_TABLES = ("smplifyx", "smplify")
"""Annotators whose table is a `FittingRecipe`."""
EFT_TABLE = "eft"
"""The annotator whose table is an `EftRecipe`."""


@dataclass(frozen=True)
class Recipe:
    """A named recipe.

    Attributes:
        tables: those that its file has; the others stand at their defaults.
    """

    name: str
    body: BodyRecipe = field(default_factory=BodyRecipe)
    hand: HandRecipe = field(default_factory=HandRecipe)
    face: FaceRecipe = field(default_factory=FaceRecipe)
    smplifyx: FittingRecipe = field(default_factory=FittingRecipe)
    smplify: FittingRecipe = field(default_factory=FittingRecipe)
    tables: tuple[str, ...] = ("body",)
    eft: EftRecipe = field(default_factory=EftRecipe)

    def part(self, name: str) -> PartRecipe:
        """The table of a part by its name."""
        return {"body": self.body, "hand": self.hand, "face": self.face}[name]

    def has_network(self, part: str) -> bool:
        """Whether a part's fits are a network's; else they are SMPLify-X's."""
        return part != "face" or self.face.method == "network"

    def table(self, annotator: str) -> FittingRecipe:
        """What an annotator that optimises reads of it."""
        return {"smplifyx": self.smplifyx, "smplify": self.smplify}[annotator]

    def text(self, annotator: str = "neuralannot") -> str:
        """As TOML, every field that an annotator reads written out: of eft those of the network that it tunes, too."""
        if annotator in FITTING_TABLES:
            tables = {annotator: asdict(self.table(annotator))}
        else:
            tables = {name: _written(self.part(name)) for name in PART_TABLES if name in self.tables}
            if "face" in self.tables and not self.has_network("face"):
                tables["smplifyx"] = asdict(self.smplifyx)
        if annotator == EFT_TABLE:
            tables[EFT_TABLE] = asdict(self.eft)
        return tomli_w.dumps({"name": self.name, **tables})


def _written(recipe: PartRecipe) -> dict[str, Any]:
    return {name: value for name, value in asdict(recipe).items() if name not in recipe.unused}


def shipped_recipes() -> tuple[str, ...]:
    """Names of the recipes that ship with the program."""
    return tuple(sorted(path.stem for path in resources.path("recipes").glob("*.toml")))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or one from a file.

    Raises:
        RecipeError: there is none, or it has an unknown field, a wrong type or a value out of range.
    """
    shipped = name in shipped_recipes()
    path = resources.path(f"recipes/{name}.toml") if shipped else Path(name)
    if not shipped and not exists(path):
        raise RecipeError(
            f"There is no recipe '{short(name)}'; use {', '.join(shipped_recipes())} or give a TOML file."
        )
    return read_recipe(path, path.stem)


def read_recipe(path: Path, name: str) -> Recipe:
    """The recipe in a file; `name` counts where the file gives none.

    Raises:
        RecipeError: the file cannot be read, or holds no recipe.
    """
    try:
        values = parse_toml(path.read_bytes().decode())
    except OSError as error:
        raise RecipeError(f"The recipe {path} cannot be read ({error.strerror}); check the file.") from error
    except ValueError as error:
        raise RecipeError(f"The recipe {path} is not TOML ({error}); mend the file.") from error
    return parse_recipe(values, name)


def parse_recipe(values: dict[str, Any], name: str) -> Recipe:
    """A recipe from the tables of its TOML; `name` counts where it gives none."""
    known = (*PART_TABLES, *FITTING_TABLES, EFT_TABLE)
    if unknown := set(values) - {"name", *known}:
        may = ", ".join(f"[{table}]" for table in known)
        raise RecipeError(f"The recipe has a table or field '{min(unknown)}' that is unknown; it may have {may}.")
    tables = tuple(table for table in known if isinstance(values.get(table), dict))
    if wrong := [table for table in known if table in values and table not in tables]:
        raise RecipeError(f"'{wrong[0]}' of the recipe should be a table; write [{wrong[0]}].")
    if not tables:
        raise RecipeError("The recipe has no table [body]; add one, empty for the paper's settings.")
    return Recipe(
        str(values.get("name", name)),
        _made(BodyRecipe, values, "body"),
        _made(HandRecipe, values, "hand"),
        _made(FaceRecipe, values, "face"),
        _made(FittingRecipe, values, "smplifyx"),
        _made(FittingRecipe, values, "smplify"),
        tables,
        _made(EftRecipe, values, EFT_TABLE),
    )


def _made(kind: type[_T], values: dict[str, Any], table: str) -> _T:
    try:
        return kind(**_checked(kind, values.get(table, {}), table))
    except RecipeError as error:
        mark = f"[{table}]"
        raise error if str(error).startswith(mark) else RecipeError(f"{mark} {error}") from error


def _checked(kind: type[Any], given: dict[str, Any], table: str) -> dict[str, Any]:
    unused = getattr(kind, "unused", ())
    kinds: dict[str, type] = {one.name: type(one.default) for one in fields(kind) if one.name not in unused}
    out: dict[str, Any] = {}
    for name, value in given.items():
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; it may have {', '.join(kinds)}."
            raise RecipeError(f"[{table}] has no field '{name}'{hint}")
        wanted = kinds[name]
        number = wanted is float and isinstance(value, int) and not isinstance(value, bool)
        if not (number or type(value) is wanted):
            raise RecipeError(f"[{table}] {name} = {value!r} should be {_WORDS[wanted]}.")
        out[name] = float(value) if number else value
    return out


_WORDS: dict[type, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
