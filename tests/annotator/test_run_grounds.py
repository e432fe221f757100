"""A run goes on with the samples, body models and prior that it began with, or not at all."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import pytest

from annotator.bodies.prior_files import PRIORS, read_prior, write_prior
from annotator.bodies.written import Texts
from annotator.commands.run import run
from annotator.commands.run_begin import begun_run
from annotator.commands.run_grounds import grounds_of
from annotator.commands.run_options import RunOptions
from annotator.commands.run_parts import check_batches
from annotator.errors import ProjectError, RunError, StorageError
from annotator.project import AUXILIARY, TARGET, Project
from annotator.recipe import load_recipe, parse_recipe
from annotator.runs import FAILED, STOPPED, Run, RunInfo
from tests.support.runs import refusal, started
from tests.support.small_data import quick_recipe


def grounds(project: Project, *, parts: tuple[str, ...] = ("body",)) -> dict[str, str]:
    recipe = load_recipe("tiny")
    info = RunInfo("x", "neuralannot", "tiny", datasets=("wild",), parts=parts)
    return grounds_of(project, info, recipe, recipe.text().encode())


SAMPLES_CHANGED = (
    "The samples or the role of wild were changed after neuralannot-r1-2 began; import again what they were"
)


def test_a_run_goes_on_with_the_samples_it_began_with_alone(desk_project: Path) -> None:
    """The same data set may be imported again; one with other samples would be joined to the shards of the old ones."""
    project = Project.open(desk_project)
    before, info = project.samples("wild", "body"), project.datasets()["wild"]
    project.add(info, {"body": before}, project.image_roots["wild"])
    made = started(project, grounds=grounds(project))
    project.add(info, {"body": before}, project.image_roots["wild"])
    begun = run(desk_project, RunOptions(resume="newest", device="cpu"))
    next(begun)
    begun.close()
    assert made.state == STOPPED
    project.add(info, {"body": before.take(range(len(before) - 1))}, project.image_roots["wild"])
    said = refusal(desk_project, RunOptions(resume="newest", device="cpu"))
    assert said == f"{SAMPLES_CHANGED}, or start a new run."


def test_what_a_killed_worker_left_half_written_goes_when_its_run_goes_on(desk_project: Path) -> None:
    made = started(Project.open(desk_project))
    network, fits = made.network_folder("body", "target"), made.fits_folder("wild", "body")
    halves = [network / ".state.pt.5.half", fits / ".00003.arrow.5.half"]
    for half in halves:
        half.parent.mkdir(parents=True)
        half.write_bytes(b"half")
        (half.parent / "whole").write_bytes(b"whole")
    begun = run(desk_project, RunOptions(resume=made.id, device="cpu"))
    next(begun)
    begun.close()
    assert [sorted(path.name for path in half.parent.iterdir()) for half in halves] == [["whole"], ["whole"]]


def test_a_run_does_not_go_on_with_a_data_set_whose_role_has_changed(desk_project: Path) -> None:
    project = Project.open(desk_project)
    made = started(project, grounds=grounds(project))
    tables = {"body": project.samples("wild", "body")}
    project.add(replace(project.datasets()["wild"], role=AUXILIARY), tables, project.image_roots["wild"])
    assert SAMPLES_CHANGED in refusal(desk_project, RunOptions(resume=made.id, device="cpu"))


def test_a_run_goes_on_with_the_body_model_it_began_with_alone(desk_project: Path) -> None:
    """That of its files, whatever project.toml says; one of a family that it does not fit may change."""
    project = Project.open(desk_project)
    began = grounds(project)
    assert [name for name in began if "body model" in name] == ["smplx body model"]
    made = started(project, grounds={**began, "smplx body model": "another"})
    said = refusal(desk_project, RunOptions(resume=made.id, device="cpu"))
    assert said.startswith(
        "neuralannot-r1-2 began with another smplx body model (hash another) than there is now (f34465"
    )
    assert "relink" in said
    assert made.state == STOPPED
    hands = [name for name in grounds(project, parts=("body", "hands")) if "body model" in name]
    assert hands == ["smplx body model", "mano_right body model", "mano_left body model"]


def test_a_run_that_fits_faces_alone_stands_on_no_prior_of_bodies(desk_project: Path) -> None:
    recipe = load_recipe("tiny")
    for parts, priors in ((("face",), []), (("whole", "face"), ["VPoser"])):
        info = RunInfo("x", "smplifyx", "tiny", datasets=("wild",), parts=parts)
        found = grounds_of(Project.open(desk_project), info, recipe, b"")
        assert [name for name in found if name in PRIORS.values()] == priors


def test_a_prior_of_ones_own_is_known_by_what_its_files_hold(desk_project: Path, tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "a.pt").write_bytes(b"one")
    recipe = parse_recipe({"body": {"prior": str(tmp_path)}, "smplifyx": {"prior": str(tmp_path)}}, "own")
    found: list[str] = []
    for text in (b"one", b"two", b"one"):
        (tmp_path / "snapshots" / "a.pt").write_bytes(text)
        for annotator, part in (("neuralannot", "body"), ("smplifyx", "whole")):
            info = RunInfo("x", annotator, "own", datasets=("wild",), parts=(part,))
            found.append(grounds_of(Project.open(desk_project), info, recipe, b"")[f"prior {tmp_path}"])
    assert found[0:2] == found[4:6] == [found[0]] * 2
    assert found[2] == found[3] != found[0]
    (tmp_path / ".DS_Store").write_bytes(b"what a file manager leaves")
    began = grounds_of(Project.open(desk_project), info, recipe, b"")
    assert began[f"prior {tmp_path}"] == found[0]
    assert next(iter(began)) == "recipe"  # compared first: what follows is read by it
    (tmp_path / "snapshots" / "a.pt").unlink()
    gone = parse_recipe({"smplifyx": {"prior": str(tmp_path / "gone.pt")}}, "own")
    with pytest.raises(RunError, match=r"The prior .*gone.pt is missing; put it back"):
        grounds_of(Project.open(desk_project), info, gone, b"")


def test_a_run_does_not_go_on_with_a_recipe_that_was_edited_in_its_folder(desk_project: Path) -> None:
    project = Project.open(desk_project)
    made = started(project, grounds=grounds(project))
    text = made.recipe_path.read_text()
    assert "target_steps = 330" in text
    made.recipe_path.write_text(text.replace("target_steps = 330", "target_steps = 3300"))
    said = refusal(desk_project, RunOptions(resume=made.id, device="cpu"))
    assert said == f"{made.recipe_path} was changed after neuralannot-r1-2 began; put it back, or start a new run."


def test_a_run_that_fits_goes_on_with_the_prior_it_began_with_alone(desk_project: Path) -> None:
    """Its first shards would be regularised by one prior and the others by another."""
    begun = run(desk_project, RunOptions(annotator="smplifyx", recipe="tiny", device="cpu"))
    next(begun)
    begun.close()
    project = Project.open(desk_project)
    root = project.body_model_root("smplx")
    made, prior = project.newest_run("smplifyx", state=STOPPED), read_prior(root, "vposer")
    assert made is not None
    assert made.info.grounds["VPoser"] == prior.hash
    moved = {name: values + np.float32(0.01) for name, values in prior.arrays.items()}
    write_prior(root, "vposer", moved, Texts("another", "none", "a test"))
    said = refusal(desk_project, RunOptions(resume=made.id, device="cpu"))
    assert said.startswith(f"{made.id} began with another VPoser (hash {prior.hash[:16]}) than there is now")


def test_a_later_round_says_that_its_samples_are_others_than_those_of_the_round_before(desk_project: Path) -> None:
    """Keys stay the same, so the fits are still found; whether they are of the same people nobody can know."""
    project = Project.open(desk_project)
    before = project.run("neuralannot-r1")
    before.write_info(replace(before.info, grounds=grounds(project)))
    options = RunOptions(recipe="tiny", round=2, device="cpu")

    def said() -> list[str]:
        begun = run(desk_project, options)
        told = [progress.message for progress in takewhile(lambda progress: progress.stage == "Starting", begun)]
        begun.close()
        return [message for message in told if "taken by their keys" in message]

    assert said() == []
    samples = project.samples("wild", "body")
    project.add(project.datasets()["wild"], {"body": samples}, project.image_roots["wild"])  # without hands and faces
    [sentence] = said()
    assert sentence.startswith(
        "The samples of wild are not those that neuralannot-r1 was made with; its fits are taken by"
    )
    assert sentence.endswith("Import again what they were if the people are others.")


def test_a_data_set_replaced_between_a_runs_beginning_and_its_first_step_ends_it(
    desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun_before_an_import(project: Project, options: RunOptions) -> Run:
        made = begun_run(project, options)
        fewer = project.samples("wild", "body").take(range(5))
        project.add(project.datasets()["wild"], {"body": fewer}, project.image_roots["wild"])
        return made

    monkeypatch.setattr("annotator.commands.run.begun_run", begun_before_an_import)
    said = refusal(desk_project, RunOptions(recipe="tiny", device="cpu"))
    assert said.startswith(SAMPLES_CHANGED)
    assert Project.open(desk_project).run("neuralannot-r1-2").state == FAILED


def test_a_run_of_a_later_round_is_not_there_before_its_verdicts_are(
    desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a kill at that moment left a run whose resume imitates what was rejected."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("annotator.commands.run_begin.freeze", killed)
    before = Project.open(desk_project).runs()
    with pytest.raises(KeyboardInterrupt):
        next(run(desk_project, RunOptions(recipe="tiny", round=2, device="cpu")))
    assert [found.id for found in Project.open(desk_project).runs()] == [found.id for found in before]


def test_a_project_whose_data_sets_may_not_be_written_can_be_run(
    desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shared data sets, own runs: a run takes no lock but its own."""

    def refused(*_: object) -> None:
        raise StorageError("The disk is read-only.")

    monkeypatch.setattr(Project, "datasets_held", refused)
    begun = run(desk_project, RunOptions(recipe="tiny", device="cpu"))
    next(begun)
    begun.close()
    assert Project.open(desk_project).run("neuralannot-r1-2").state == STOPPED


def test_a_data_set_is_not_replaced_by_an_import_that_waited_while_a_run_began(desk_project: Path) -> None:
    """`add` waits for other imports; who begins meanwhile is seen when its turn has come."""
    project = Project.open(desk_project)
    info, samples = project.datasets()["wild"], project.samples("wild", "body")
    said: list[str] = []

    def add() -> None:
        with pytest.raises(ProjectError) as caught:
            project.add(info, {"body": samples}, project.image_roots["wild"])
        said.append(str(caught.value))

    waiting = threading.Thread(target=add)
    with project.datasets_held():
        waiting.start()
        time.sleep(0.2)
        made = started(project)
        lock = made.job.working()
        lock.__enter__()
    waiting.join()
    lock.__exit__(None, None, None)
    assert said == [f"The run {made.id} is working on wild; stop it first, wait for it, or import under another name."]


def test_a_batch_that_the_processes_cannot_share_is_refused_before_anything_is_trained(
    desk_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions(recipe=str(quick_recipe(tmp_path)), device="cpu")
    monkeypatch.setattr("annotator.ranks.count", lambda: 5)
    before = sorted((desk_project / "runs").iterdir())
    assert "people a step cannot be shared by 5 processes; choose a batch" in refusal(desk_project, options)
    assert sorted((desk_project / "runs").iterdir()) == before
    made = started(Project.open(desk_project))
    resumed = RunOptions(resume=made.id, device="cpu")
    folder = made.network_folder("body", TARGET)
    folder.mkdir(parents=True)
    (folder / "last.safetensors").write_bytes(b"a checkpoint")
    for step in (10, 320):
        (folder / "losses.jsonl").write_text(f'{{"step": {step}}}\n')
        assert "people a step cannot be shared by 5 processes; choose a batch" in refusal(desk_project, resumed)
    assert made.state == STOPPED
    (folder / "losses.jsonl").write_text('{"step": 330}\n')  # its last; annotating needs no batches
    begun = run(desk_project, resumed)
    next(begun)
    begun.close()


def test_an_auxiliary_set_without_samples_of_a_part_does_not_halve_its_batch(
    desk_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six people are two halves of three where there is an auxiliary set, which two processes cannot share."""
    project = Project.open(desk_project)
    roles = {"wild": {"body": 4, "rhand": 2}, "lab": {"body": 4}}
    known = {
        name: replace(project.datasets()["wild"], name=name, role=TARGET if name == "wild" else AUXILIARY, parts=parts)
        for name, parts in roles.items()
    }
    monkeypatch.setattr(Project, "datasets", lambda _: known)
    monkeypatch.setattr("annotator.ranks.count", lambda: 2)
    recipe = parse_recipe({"body": {"batch": 6}, "hand": {"batch": 6}}, "six")
    check_batches(project, ("wild", "lab"), recipe, ("hands",))
    with pytest.raises(RunError, match="3 people a step cannot be shared by 2 processes"):
        check_batches(project, ("wild", "lab"), recipe, ("body",))
    few = {"batch": 2, "input_px": 32}
    with pytest.raises(RunError, match="One person a step for each of 2 processes leaves no batch"):
        check_batches(project, ("wild",), parse_recipe({"body": few}, "two"), ("body",))
    check_batches(project, ("wild",), parse_recipe({"body": {**few, "input_px": 64}}, "two"), ("body",))
