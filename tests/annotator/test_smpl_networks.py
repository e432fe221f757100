"""Networks whose bodies are SMPL's: Algorithm 1, a second round and EFT, and what SMPL bodies cannot do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.bodies.posing import Poser
from annotator.commands.evaluate import evaluate
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.commands.run_parts import chosen_parts
from annotator.errors import RunError
from annotator.part import BODY, SMPL_BODY, parameters_of, part_in, pose_vectors
from annotator.project import Project
from annotator.recipe import parse_recipe
from annotator.runs import FINISHED
from annotator.skeleton import HUMAN36M
from tests.support.desk_project import done
from tests.support.small_data import QUICK, write_crowd, write_lab

RECIPE = QUICK.format(auxiliary=3, target=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, body: BodyModelData) -> Path:
    """Folder with a project of a finished run of SMPL bodies, and the recipes `smpl.toml` and `smplx.toml`."""
    folder = tmp_path_factory.mktemp("smpl")
    crowd, lab = write_crowd(folder / "wild", body, 6), write_lab(folder / "lab", body, 4)
    new(folder / "project")
    for layout, file, name in (("coco-wholebody", crowd, "wild"), ("human36m", lab, "lab")):
        list(import_dataset(folder / "project", layout, file, images=folder / name / "images", name=name))
    (folder / "smplx.toml").write_text(RECIPE)
    (folder / "smpl.toml").write_text(f'{RECIPE}model = "smpl"\n')
    list(run(folder / "project", RunOptions(recipe=str(folder / "smpl.toml"), device="cpu")))
    return folder


def test_fits_are_smpl_bodies_with_hands_at_rest(trained: Path) -> None:
    project, smpl = Project.open(trained / "project"), load_body_model(default_root(), "smpl")
    made = project.run("neuralannot-r1")
    assert made.state == FINISHED
    for dataset in ("lab", "wild"):
        fits = made.fits(dataset, "body")
        assert fits is not None
        assert (fits.header.family, fits.header.body_hash) == ("smpl", smpl.hash)
        assert fits.keys == project.samples(dataset, "body").keys
        assert np.abs(fits.column("body_pose")[:, :63]).max() > 0.01
        assert not fits.column("body_pose")[:, 63:].any()
    lab, samples = made.fits("lab", "body"), project.samples("lab", "body")
    assert lab is not None
    assert samples.joints is not None
    root = Poser(smpl).pose(lab.parameters).points(HUMAN36M.name)[:, 0] + lab.column("transl")
    assert np.abs(root - samples.joints[:, 0, :3]).max() < 1e-4  # where the GT's pelvis is
    text = done(evaluate(project.path, run_ids=[made.id])).text()
    assert "neuralannot-r1" in text


def test_a_second_round_and_eft_go_on_with_smpl(trained: Path) -> None:
    options = RunOptions(recipe=str(trained / "smpl.toml"), device="cpu", round=2, source="neuralannot-r1")
    for one in (options, RunOptions(annotator="eft", source="neuralannot-r1", samples="wild/101", device="cpu")):
        list(run(trained / "project", one))
        made = Project.open(trained / "project").runs()[-1]
        fits = made.fits("wild", "body")
        assert fits is not None
        assert (made.info.source, made.state, fits.header.family) == ("neuralannot-r1", FINISHED, "smpl")
    with pytest.raises(RunError, match='are smpl bodies, and the recipe smplx asks for smplx ones; set model = "smpl"'):
        next(run(trained / "project", replace(options, recipe=str(trained / "smplx.toml"))))


def test_smpl_bodies_are_not_joined(trained: Path) -> None:
    recipe = parse_recipe({"body": {"model": "smpl"}, "hand": {}}, "smpl")
    with pytest.raises(RunError, match="SMPL bodies have neither fingers nor a face to join"):
        chosen_parts(Project.open(trained / "project"), recipe, ("wild",), ("body", "hands", "whole"))


def test_parameters_go_to_smpl_and_back() -> None:
    recipe = parse_recipe({"body": {"model": "smpl"}}, "smpl")
    assert part_in("body", recipe) is SMPL_BODY
    assert part_in("body", parse_recipe({"body": {}}, "smplx")) is BODY
    vectors = np.random.default_rng(0).normal(size=(3, 22, 3))
    found = parameters_of(SMPL_BODY, vectors, np.zeros((3, 10)), None)
    assert found["body_pose"].shape == (3, 69)
    assert np.array_equal(pose_vectors(SMPL_BODY, found, None), vectors)
    assert parameters_of(BODY, vectors, np.zeros((3, 10)), None)["body_pose"].shape == (3, 63)
