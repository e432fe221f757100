"""Files of body models as they are written: whole or not at all, and what a project says of one that was exchanged."""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from annotator.bodies.files import default_root, load_body_model, model_path, own_arrays
from annotator.bodies.prior_files import read_prior, write_prior
from annotator.bodies.written import TEXTS, Texts, write_model
from annotator.commands.bodies import build, check
from annotator.commands.projects import new
from annotator.errors import BodyModelError, StorageError

SAID = Texts("a copy", "as its source", "of a test")


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def arrays_of(name: str) -> dict[str, np.ndarray]:
    arrays = own_arrays(default_root(), name)
    assert arrays is not None
    return {key: values for key, values in arrays.items() if key not in TEXTS}


def a_model(name: str, *, packed: bool) -> Callable[[Path], object]:
    return lambda root: write_model(root, name, "neutral", arrays_of(name), SAID, packed=packed)


def a_prior(root: Path) -> object:
    weights = np.load(default_root() / "prior" / "vposer.npz")
    return write_prior(root, "vposer", {key: weights[key] for key in weights.files if key not in TEXTS}, SAID)


@pytest.mark.parametrize(
    "write",
    [
        a_model("smpl", packed=False),
        a_model("flame", packed=False),
        a_model("flame", packed=True),
        a_model("mano_right", packed=False),
        a_prior,
    ],
)
@pytest.mark.parametrize("size", [500, 20_000])
def test_a_file_that_cannot_be_written_leaves_the_one_that_was_there(
    write: Callable[[Path], object], size: int, tmp_path: Path
) -> None:
    for family in ("smpl", "flame", "mano", "prior"):
        shutil.copytree(default_root() / family, tmp_path / family)
    before = contents(tmp_path)
    with at_most(size), pytest.raises(StorageError, match="larger than is allowed there"):
        write(tmp_path)
    after = contents(tmp_path)
    changed = {name for name in before if after.pop(name) != before[name]}
    assert not after  # nothing half-made beside them
    assert changed <= {"flame/flame_static_embedding.pkl"}  # the first of FLAME's three, if it went through
    for name in ("smpl", "flame", "mano_right"):
        assert load_body_model(tmp_path, name).v_template.size
    assert read_prior(tmp_path, "vposer").arrays


def test_check_says_that_a_project_notes_another_model_than_lies_there(tmp_path: Path) -> None:
    """As after an import that was killed between the files and project.toml."""
    project = tmp_path / "project"
    new(project)
    list(check(project))
    arrays = arrays_of("smplx")
    noted = load_body_model(project / "body_models", "smplx").hash
    other = write_model(
        project / "body_models", "smplx", "neutral", arrays | {"v_template": arrays["v_template"] * 1.01}, SAID
    )
    assert model_path(project / "body_models", "smplx").exists()
    with pytest.raises(BodyModelError, match=rf"notes {noted} for smplx, but {other} lies there"):
        list(check(project))


@pytest.mark.parametrize("name", ["mano_left", "mano_right"])
def test_check_says_that_a_hand_is_another_than_the_project_notes(name: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    new(project)
    arrays = arrays_of(name)
    write_model(project / "body_models", name, "neutral", arrays | {"v_template": arrays["v_template"] * 1.01}, SAID)
    with pytest.raises(BodyModelError, match=r"for mano, but .* lies there, as after an import that was cut off"):
        list(check(project))


def test_check_says_that_a_model_lies_there_that_the_project_does_not_note(tmp_path: Path) -> None:
    root, project = tmp_path / "models", tmp_path / "project"
    shutil.copytree(default_root() / "smplx", root / "smplx")
    (root / "smplx" / ".SMPLX_NEUTRAL.npz.123.half").write_bytes(b"half")
    new(project, body_models=root)
    assert {path.name for path in (project / "body_models" / "smplx").iterdir()} == {"SMPLX_NEUTRAL.npz"}
    list(check(project))
    shutil.copytree(default_root() / "smpl", project / "body_models" / "smpl")
    with pytest.raises(BodyModelError, match="notes no model for smpl, but"):
        list(check(project))


def test_a_folder_that_may_not_be_written_to_is_told_before_priors_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(BodyModelError, match="may not be written to"):
        next(build(tmp_path / "out", priors_only=True))
