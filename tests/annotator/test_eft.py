"""EFT: its losses by hand, one person's tuning apart from the others', and its runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator.annotators.eft import ALL_ITERATIONS, SMALL_ENOUGH, Legs, People, Tuner, pose_losses
from annotator.backbone import Backbone
from annotator.bodies.files import BodyModelData
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.eftrecipe import EftRecipe
from annotator.errors import RunError
from annotator.fit import Fits
from annotator.network import Prediction, TargetNetwork
from annotator.prior import VPoser
from annotator.project import Project
from annotator.runs import FINISHED, STOPPED, Run
from annotator.skeleton import COCO_WHOLEBODY, HUMAN36M, loss_points
from tests.support.small_data import QUICK, write_crowd, write_lab, write_studio

NO_LEGS = Legs(np.zeros(0, np.int64), np.zeros((0, 2), np.int64))


def test_legs_are_found_in_every_skeleton() -> None:
    legs = Legs.of([(COCO_WHOLEBODY, loss_points(COCO_WHOLEBODY, "body")), (HUMAN36M, np.arange(17))])
    start = len(loss_points(COCO_WHOLEBODY, "body"))
    assert sorted(legs.hips) == [11, 12, start + 1, start + 4]
    assert sorted(map(tuple, legs.bones[:4])) == [(11, 13), (12, 14), (13, 15), (14, 16)]
    assert sorted(map(tuple, legs.bones[4:] - start)) == [(1, 2), (2, 3), (4, 5), (5, 6)]


def test_the_losses_by_hand() -> None:
    legs = Legs(np.array([0]), np.array([[0, 1], [1, 2]]))
    wanted = torch.tensor([[[0, 0, 1.0], [0, 10, 1], [0, 20, 1], [5, 5, 0]]])
    points = torch.tensor([[[99.0, 10], [0, 10], [12.8, 20], [900, 900]]])  # a hip far off; a point without label
    near, turned = pose_losses(points, wanted, legs)
    assert float(near[0]) == pytest.approx(
        (12.8 / 128) ** 2 / 2 / 2
    )  # mean over x and y, over the two points that count
    cosine = 10 / np.hypot(12.8, 10)
    assert float(turned[0]) == pytest.approx(((1 - 0) + (1 - cosine)) / 2, abs=1e-6)
    assert float(pose_losses(points, torch.zeros(1, 4, 3), legs)[0]) == 0.0


def people(count: int, wanted: torch.Tensor) -> People:
    """Whose two points are what the camera head and the shape say, as pixels."""
    images = torch.randint(0, 255, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))

    def project(prediction: Prediction) -> torch.Tensor:
        assert prediction.transl is not None
        return torch.stack([128 + 100 * prediction.transl[:, :2], 128 + 100 * prediction.betas[:, :2]], dim=1)

    return People(
        lambda rows: (images[torch.as_tensor(rows)],), lambda rows: wanted[torch.as_tensor(rows)], project, NO_LEGS
    )


def network() -> TargetNetwork:
    torch.manual_seed(0)
    return TargetNetwork(Backbone("resnet18"), VPoser()).eval()


@pytest.mark.parametrize("tune", ["all", "head"])
def test_each_person_is_tuned_by_himself_until_his_pose_is_met(tune: str) -> None:
    torch.manual_seed(2)
    wanted = torch.cat([128 + 10 * torch.randn(4, 2, 2), torch.ones(4, 2, 1)], dim=-1)
    net = network()
    crowd = people(4, wanted)
    with torch.no_grad():
        before = net(*crowd.inputs(np.arange(4)))
    wanted[2, :, :2] = crowd.project(before)[2]  # the third is right from the start
    weights = {name: value.clone() for name, value in net.state_dict().items()}
    recipe = EftRecipe(tune=tune, learning_rate=1e-3, iterations=10, threshold=1e-5)
    tuner = Tuner(net, crowd, recipe)
    rows = np.array([0, 1, 2, 3, 3, 3])
    found = tuner.predict(rows)
    first, last = (pose_losses(crowd.project(p), wanted[: len(p.betas)], NO_LEGS)[0] for p in (before, four(found)))
    assert (last[[0, 1, 3]] < 0.5 * first[[0, 1, 3]]).all()
    assert torch.equal(found.betas[3], found.betas[5])
    assert torch.allclose(found.betas[2], before.betas[2], atol=1e-6)
    outcomes = tuner._outcomes
    assert (outcomes[2].iterations, outcomes[2].stop) == (0, SMALL_ENOUGH)
    assert {one.stop for one in outcomes.values()} <= {SMALL_ENOUGH, ALL_ITERATIONS}
    assert all((one.loss < recipe.threshold) == (one.stop == SMALL_ENOUGH) for one in outcomes.values())
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())
    other = tuner.predict(np.array([3, 3, 3, 0, 0, 0]))  # in other company
    assert torch.equal(other.betas[[3, 0]], found.betas[[0, 3]])


def four(prediction: Prediction) -> Prediction:
    assert prediction.transl is not None
    return replace(prediction, betas=prediction.betas[:4], transl=prediction.transl[:4])


def test_the_direction_of_the_legs_pulls_where_it_is_weighted() -> None:
    wanted = torch.tensor([[[100.0, 128, 1], [150, 140, 1]]])
    legs = replace(people(1, wanted), legs=Legs(np.zeros(0, np.int64), np.array([[0, 1]])))
    found: list[torch.Tensor] = []
    for weight in (0.0, 5.0):
        recipe = EftRecipe(tune="head", learning_rate=1e-3, iterations=8, weight_legs=weight)
        said = Tuner(network(), legs, recipe).predict(np.array([0]))
        found.append(pose_losses(legs.project(said), wanted, legs.legs)[1])
    assert float(found[1]) < float(found[0])


def test_iterations_end_where_the_pose_is_not_met() -> None:
    wanted = torch.tensor([[[0.0, 256, 1], [256, 0, 1]]])
    tuner = Tuner(network(), people(1, wanted), EftRecipe(tune="head", iterations=3))
    tuner.predict(np.array([0]))
    assert (tuner._outcomes[0].iterations, tuner._outcomes[0].stop) == (3, ALL_ITERATIONS)


# -- runs ----------------------------------------------------------------------------------------------------------------

RECIPE = f"""{QUICK.format(auxiliary=3, target=3)}
[eft]
learning_rate = 1e-4
iterations = 6
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, body: BodyModelData) -> Path:
    """Folder with a project of a finished neuralannot run, and `quick.toml`."""
    folder = tmp_path_factory.mktemp("eft")
    crowd, lab = write_crowd(folder / "wild", body, 12), write_lab(folder / "lab", body, 4)
    new(folder / "project")
    for layout, file, name in (("coco-wholebody", crowd, "wild"), ("human36m", lab, "lab")):
        list(import_dataset(folder / "project", layout, file, images=folder / name / "images", name=name))
    (folder / "quick.toml").write_text(RECIPE)
    options = RunOptions(recipe=str(folder / "quick.toml"), device="cpu")
    list(run(folder / "project", options))
    return folder


def made(project: Path, run_id: str) -> Fits:
    fits = Project.open(project).run(run_id).fits("wild", "body")
    assert fits is not None
    return fits


def errors(project: Path, run_id: str) -> np.ndarray:
    score = Project.open(project).run(run_id).score("wild", "body", "error_2d_crop")
    assert score is not None
    return np.array([score[key] for key in sorted(score)])


def test_a_run_of_eft_is_nearer_to_the_2d_pose_and_one_person_alone_gets_the_same_fit(trained: Path) -> None:
    project = trained / "project"
    before = made(project, "neuralannot-r1").table
    options = RunOptions(annotator="eft", recipe=str(trained / "quick.toml"), device="cpu")
    list(run(project, options))
    whole = made(project, "eft-r1")
    info = Project.open(project).run("eft-r1").info
    assert (info.source, info.datasets, Project.open(project).run("eft-r1").state) == (
        "neuralannot-r1",
        ("wild",),
        FINISHED,
    )
    assert errors(project, "eft-r1").mean() < errors(project, "neuralannot-r1").mean()
    assert (errors(project, "eft-r1") < errors(project, "neuralannot-r1")).mean() > 0.8
    assert whole.table["eft.iterations"].to_pylist() == [6] * 12  # six do not suffice here
    assert {"eft.loss", "eft.stop"} <= set(whole.table.column_names)

    list(run(project, replace(options, samples="wild/104")))
    alone = made(project, "eft-r1-2")
    assert alone.keys == ["wild/104"]
    assert alone.table.equals(whole.table.slice(whole.index_of["wild/104"], 1))
    assert made(project, "neuralannot-r1").table.equals(before)  # never an overwrite
    assert not Project.open(project).run("eft-r1-2").network_folder("body", "target").exists()


def test_the_number_of_threads_changes_no_byte(trained: Path) -> None:
    """One process has all cores, each of several that torchrun starts has one thread."""
    project, before = trained / "project", torch.get_num_threads()
    ids: list[str] = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            list(run(project, RunOptions(annotator="eft", recipe=str(trained / "quick.toml"), device="cpu")))
            ids.append(Project.open(project).runs()[-1].id)
    finally:
        torch.set_num_threads(before)
    first, *others = (made(project, run_id).table for run_id in ids)
    assert all(other.equals(first) for other in others)


def test_a_network_is_tuned_though_the_first_run_of_its_chain_was_removed(trained: Path, tmp_path: Path) -> None:
    """Its auxiliary fits are of no use here, and it takes no fits by their keys."""
    shutil.copytree(trained / "project", tmp_path / "project")
    project = Project.open(tmp_path / "project")
    first = project.run("neuralannot-r1")
    later = first.path.with_name("neuralannot-r2")
    shutil.copytree(first.path, later)
    others = {"samples of wild": "others"}
    Run(later).write_info(replace(first.info, id=later.name, round=2, source="neuralannot-r1", grounds=others))
    first.remove()
    options = RunOptions(annotator="eft", recipe=str(trained / "quick.toml"), samples="wild/104", device="cpu")
    said = [progress.message for progress in run(project.path, replace(options, source=later.name))]
    assert project.runs()[-1].state == FINISHED
    assert not any("taken by their keys" in message for message in said)


def test_a_stopped_run_of_eft_is_resumed_with_its_own_settings(trained: Path) -> None:
    project = trained / "project"
    options = RunOptions(annotator="eft", recipe=str(trained / "quick.toml"), samples="wild/101,wild/102", device="cpu")
    work = run(project, options)
    next(report for report in work if report.stage.startswith("Tuning"))
    work.close()
    stopped = Project.open(project).runs()[-1]
    assert stopped.state == STOPPED
    with pytest.raises(RunError, match="as it was then"):
        list(run(project, RunOptions(resume=stopped.id, recipe="paper")))
    list(run(project, RunOptions(resume=stopped.id, recipe=str(trained / "quick.toml"), device="cpu")))
    assert made(project, stopped.id).keys == ["wild/101", "wild/102"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (RunOptions(annotator="eft", round=2), "has no round 2"),
        (RunOptions(annotator="eft", source="absent"), "no run called 'absent'"),
        (RunOptions(annotator="eft", samples="lab/0"), "lab/0|nobody of a target data set"),
    ],
)
def test_what_eft_cannot_start_from_is_one_sentence(trained: Path, options: RunOptions, sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        list(run(trained / "project", options))


def test_the_loss_that_is_kept_is_that_of_the_fit_that_is_kept() -> None:
    wanted = torch.tensor([[[0.0, 0.0, 1.0]]])
    work = Tuner(network(), people(1, wanted), EftRecipe(learning_rate=1e6, iterations=3, threshold=0.0))
    work.predict(np.array([0]))
    outcome = work._outcomes[0]  # pyright: ignore[reportPrivateUsage]
    assert np.isfinite(outcome.loss)


@pytest.mark.parametrize("seen", ["pose", "image+pose"])
def test_a_network_that_sees_the_pose_is_tuned_though_another_set_taught_it_more_points(
    seen: str, body: BodyModelData, tmp_path: Path
) -> None:
    """MPI-INF-3DHP labels a point that no target has, so a pose is wider than the target's points alone say."""
    crowd, studio = write_crowd(tmp_path / "wild", body, 4), write_studio(tmp_path / "studio", body, 4)
    new(tmp_path / "project")
    photos = tmp_path / "wild" / "images"
    list(import_dataset(tmp_path / "project", "coco-wholebody", crowd, images=photos, name="wild"))
    list(import_dataset(tmp_path / "project", "mpi-inf-3dhp", studio, images=studio, name="studio"))
    (tmp_path / "quick.toml").write_text(f'{QUICK.format(auxiliary=2, target=2)}input = "{seen}"\n')
    list(run(tmp_path / "project", RunOptions(recipe=str(tmp_path / "quick.toml"), device="cpu")))
    (tmp_path / "eft.toml").write_text("[eft]\niterations = 2\n")
    options = RunOptions(annotator="eft", recipe=str(tmp_path / "eft.toml"), samples="wild/101", device="cpu")
    list(run(tmp_path / "project", options))
    assert made(tmp_path / "project", "eft-r1").keys == ["wild/101"]


def test_without_a_network_there_is_nothing_to_tune(trained: Path, tmp_path: Path) -> None:
    new(tmp_path / "p")
    with pytest.raises(RunError, match="there is none; start one"):
        list(run(tmp_path / "p", RunOptions(annotator="eft")))
