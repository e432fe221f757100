"""Reads the output folder of SMPLify-X: `results/<photo>/<NNN>.pkl` and `conf.yaml`. Nothing in it is executed.

A file holds one person: a latent (`use_vposer`) or axis-angle body pose, coefficients of the hands' components, and where
the model stands before a camera of the focal length that `conf.yaml` names, at the photo's centre. What it does not say
(body model, VPoser) is the project's.

Legend: N files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.bodies.pickles import read_pickle
from annotator.errors import RunError
from annotator.outside import is_dir, short

if TYPE_CHECKING:
    from annotator.prior import PosePrior

LATENT = 32
_DEFAULT_FOCAL = 5000.0
_NEEDED = {
    "smplx": (
        *("global_orient", "betas", "body_pose", "camera_translation", "expression"),
        *("left_hand_pose", "right_hand_pose", "jaw_pose", "leye_pose", "reye_pose"),
    ),
    "smpl": ("global_orient", "betas", "body_pose", "camera_translation"),
}
_WIDTHS = {
    **{"global_orient": 3, "betas": 10, "expression": 10, "camera_translation": 3, "camera_rotation": 9},
    **{"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3},
}
_BODY_WIDTH = {"smplx": 63, "smpl": 69}
_MOST = 1e6
"""Radians, metres and coefficients beyond this are of no fit; a file may hold some that float32 has no room for."""
_SLACK = 1e-3
"""How far a rotation in float32 may be from one: of each number of R R^T."""
_YES = ("true", "yes", "on")
_COMMENT = re.compile(r"(?:^|\s)#.*")
NOT_FINITE = "its file holds numbers that are not finite or beyond a million"


@dataclass(frozen=True)
class Results:
    """What a folder holds.

    Attributes:
        photos: name of each file's photo, without its ending. names: of the files, for sentences.
        columns: `(N, d)` float64 as they lie in the files; zeros, and no camera rotation, where a file holds no fit.
        focal: px. settings: of `conf.yaml`; empty if it has none.
        reasons: why a file holds no fit; empty where it does.
    """

    family: str
    photos: list[str]
    names: list[str]
    columns: Mapping[str, np.ndarray]
    focal: float
    settings: Mapping[str, str]
    reasons: list[str]

    @property
    def latent(self) -> bool:
        """Whether the body's pose is VPoser's latent."""
        return self.columns["body_pose"].shape[1] == LATENT


def read_results(folder: Path) -> Results:
    """Every result of a folder.

    Raises:
        RunError: it is no such folder, or a file lacks something. BodyModelError: a file asks for code.
    """
    files = sorted((folder / "results").glob("*/*.pkl")) if is_dir(folder) else []
    if not files:
        raise RunError(
            f"{short(str(folder))} holds no results/<photo>/<number>.pkl; give the output folder of SMPLify-X."
        )
    settings = _settings(folder / "conf.yaml")
    contents = [_content(file) for file in files]
    family = settings.get("model_type", "smplx" if "jaw_pose" in contents[0] else "smpl")
    if family not in _NEEDED:
        raise RunError(f"The results in {folder} are of {short(family)}; those of smplx and smpl can be added.")
    gender = settings.get("gender", "neutral")
    if gender != "neutral":
        raise RunError(
            f"The results in {folder} are of the {short(gender)} body model, as conf.yaml says, and a project has fits of the "
            "neutral one, whose shapes are other numbers; fit them with gender: neutral."
        )
    rows = [_row(content, file, family) for content, file in zip(contents, files, strict=True)]
    widths = {name: values.size for name, values in rows[0].items()}
    for row, file in zip(rows, files, strict=True):
        if unlike := [name for name, width in widths.items() if row[name].size != width]:
            raise RunError(
                f"{file} has {row[unlike[0]].size} numbers of '{unlike[0]}' where {files[0].name} has {widths[unlike[0]]}; a "
                "folder holds the results of one run."
            )
    columns = {name: np.stack([row[name] for row in rows]) for name in widths}
    fine = np.all([(np.abs(values) <= _MOST).all(axis=1) for values in columns.values()], axis=0)  # false of a NaN
    columns = {name: np.where(fine[:, None], values, 0.0) for name, values in columns.items()}
    columns["camera_rotation"][~fine] = np.eye(3).ravel()
    _check_rotations(columns["camera_rotation"].reshape(-1, 3, 3), files)
    return Results(
        family,
        [file.parent.name for file in files],
        [f"{file.parent.name}/{file.name}" for file in files],
        columns,
        _focal(settings, folder),
        settings,
        ["" if good else NOT_FINITE for good in fine],
    )


def to_parameters(results: Results, body: BodyModelData, prior: PosePrior | None) -> dict[str, np.ndarray]:
    """`(N, d)` float32 by the smplx package's names, with `transl`; hands without their mean.

    Args:
        prior: decodes latents; None where there are none.
    """
    columns = dict(results.columns)
    pose = _decoded(columns.pop("body_pose"), prior) if results.latent else columns.pop("body_pose")
    parameters = {"body_pose": np.zeros((len(pose), _BODY_WIDTH[results.family]))}
    parameters["body_pose"][:, : pose.shape[1]] = pose  # the two hand joints of SMPL are no part of the latent
    for side, components in body.hand_components.items():
        if (given := columns.pop(f"{side}_hand_pose", None)) is not None:
            parameters[f"{side}_hand_pose"] = _hand(given, components, body.hand_mean[side], results.settings)
    rotation, place = columns.pop("camera_rotation"), columns.pop("camera_translation")
    parameters |= columns
    turn = rotation.reshape(-1, 3, 3)
    if np.abs(turn - np.eye(3)).max() > 0:
        parameters["global_orient"], place = _before_camera(parameters, place, turn, body)
    return {name: values.astype(np.float32) for name, values in {**parameters, "transl": place}.items()}


def _content(file: Path) -> dict[str, Any]:
    content = read_pickle(file)
    if not isinstance(content, dict):
        raise RunError(
            f"{file} does not hold arrays by name, as a result of SMPLify-X does; remove it or fetch it again."
        )
    return content


def _row(content: dict[str, Any], file: Path, family: str) -> dict[str, np.ndarray]:
    """The numbers of one file, each as one row."""
    if missing := [name for name in _NEEDED[family] if name not in content]:
        raise RunError(f"{file} lacks '{missing[0]}', so it is no result of SMPLify-X on {family}; remove it.")
    row: dict[str, np.ndarray] = {}
    for name in (*_NEEDED[family], "camera_rotation"):
        try:
            values = np.asarray(content.get(name, np.eye(3)), np.float64).ravel()
        except (TypeError, ValueError) as error:
            raise RunError(f"{file}: '{name}' is not an array of numbers; remove it or fetch it again.") from error
        wanted = _wanted(name, family)
        if values.size not in wanted:
            words = " or ".join(map(str, wanted)) if len(wanted) < 9 else "1 to 45"
            raise RunError(f"{file}: '{name}' has {values.size} numbers, expecting {words}.")
        row[name] = values
    return row


def _check_rotations(matrices: np.ndarray, files: list[Path]) -> None:
    square = matrices @ np.swapaxes(matrices, -1, -2)
    wrong = (np.abs(square - np.eye(3)).max(axis=(1, 2)) > _SLACK) | (np.linalg.det(matrices) < 0)
    if wrong.any():
        raise RunError(
            f"{files[int(np.flatnonzero(wrong)[0])]}: 'camera_rotation' is no rotation (its rows should have length 1, stand "
            "at right angles and not mirror); remove the file or fetch it again."
        )


def _wanted(name: str, family: str) -> tuple[int, ...]:
    if name == "body_pose":
        return (LATENT, _BODY_WIDTH[family])
    if name.endswith("_hand_pose"):
        return tuple(range(1, 46))
    return (_WIDTHS[name],)


def _settings(file: Path) -> dict[str, str]:
    """The plain settings of `conf.yaml`, each on a line of its own; lists and tables matter nothing here, so no YAML is needed."""
    if not file.exists():
        return {}
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise RunError(f"{file} cannot be read as text; put back the one that SMPLify-X wrote.") from error
    pairs = [line.partition(":") for line in text.splitlines() if line[:1].isalpha()]
    found = {name.strip(): _scalar(value) for name, colon, value in pairs if colon}
    return {name: value for name, value in found.items() if value}


def _scalar(text: str) -> str:
    """A value without its quotes, or without the comment behind it."""
    text = text.strip()
    end = text.find(text[0], 1) if text[:1] in ("'", '"') else -1
    return text[1:end] if end > 0 else _COMMENT.sub("", text).strip()


def _focal(settings: Mapping[str, str], folder: Path) -> float:
    try:
        focal = float(settings.get("focal_length", _DEFAULT_FOCAL))
    except ValueError:
        focal = 0.0
    if not 0 < focal < float("inf"):
        raise RunError(f"{folder / 'conf.yaml'} names the focal length {short(settings['focal_length'])}; mend it.")
    return focal


def _decoded(latent: np.ndarray, prior: PosePrior | None) -> np.ndarray:
    """`(N, 32)` -> `(N, 63)` axis-angle."""
    import torch

    from annotator.rotations import matrix_to_axis_angle

    assert prior is not None, "latents need a prior"
    with torch.inference_mode():
        turned = prior.decode(torch.as_tensor(latent, dtype=torch.float32))
        return matrix_to_axis_angle(turned).flatten(1).numpy().astype(np.float64)


def _hand(given: np.ndarray, components: np.ndarray, mean: np.ndarray, settings: Mapping[str, str]) -> np.ndarray:
    """`(N, 45)` axis-angle without the mean."""
    plain = given.shape[1] == 45 and settings.get("use_pca", "true").lower() not in _YES
    pose = given if plain else given @ components[: given.shape[1]].astype(np.float64)
    return pose - mean if settings.get("flat_hand_mean", "false").lower() in _YES else pose


def _before_camera(
    parameters: Mapping[str, np.ndarray], place: np.ndarray, turn: np.ndarray, body: BodyModelData
) -> tuple[np.ndarray, np.ndarray]:
    """Root rotation and translation with the camera's rotation taken in; the model turns about its root joint."""
    from scipy.spatial.transform import Rotation

    root = _root(body, parameters)
    turned = (Rotation.from_matrix(turn) * Rotation.from_rotvec(parameters["global_orient"])).as_rotvec()
    return turned, np.einsum("nab,nb->na", turn, root) + place - root


def _root(body: BodyModelData, parameters: Mapping[str, np.ndarray]) -> np.ndarray:
    """`(N, 3)` the root joint at rest."""
    row = body.joint_regressor[[0]]
    shape = np.concatenate(
        [parameters["betas"], parameters.get("expression", np.zeros((len(parameters["betas"]), 0)))], 1
    )
    directions = np.concatenate([body.shapedirs, body.exprdirs], axis=2)[:, :, : shape.shape[1]]
    moved = np.asarray(row @ directions.reshape(len(directions), -1)).reshape(3, -1)
    return np.asarray(row @ body.v_template).reshape(3) + shape @ moved.T
