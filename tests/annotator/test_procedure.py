"""Algorithm 1 of parts other than the body, on hands and faces of a few drawn dots; every switch of the paper's comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from annotator.annotators import neuralannot
from annotator.backbone import Backbone
from annotator.bodies.files import BodyModelData
from annotator.commands.choosing import covering_run
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.errors import NeuralAnnotError
from annotator.project import AUXILIARY, TARGET, Project
from annotator.runs import FINISHED, Run
from annotator.sample import Sample, Samples
from annotator.skeleton import HAND, INTERHAND_HAND
from tests.support.hand_data import add, face_model, face_samples, hand_model, hand_project, hand_samples
from tests.support.small_data import write_lab, write_studio

QUICK = """backbone = "resnet18"
weights = "none"
input_px = 32
batch = 4
learning_rate = 1e-3
schedule = "cosine"
"""


def recipe(folder: Path, *lines: str, part: str = "hand", steps: int = 2) -> str:
    auxiliary = f"auxiliary_steps = {steps}\n" if part == "hand" else ""
    text = f"[{part}]\n{QUICK}{auxiliary}target_steps = {steps}\n" + "\n".join(lines)
    path = folder / "quick.toml"
    path.write_text(text)
    return str(path)


def ran(project: Project, options: RunOptions) -> tuple[Run, list[str]]:
    """The run that these options make, to its end, and what it said."""
    before = {found.id for found in project.runs()}
    said = [progress.message for progress in run(project.path, options) if progress.message]
    made = next(found for found in project.runs() if found.id not in before)
    assert made.state == FINISHED
    return made, said


def weights(made: Run, dataset: str) -> bytes:
    return (made.network_folder("hand", dataset) / "last.safetensors").read_bytes()


def networks(made: Run) -> set[str]:
    return {path.name for path in (made.path / "networks").iterdir()}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets `lab` and `glove` with GT 3D, the second with tips first and joints missing; `wild` with 2D alone."""
    project = hand_project(tmp_path_factory.mktemp("hands"), 4)
    right = hand_samples("glove", "right", 6, seed=30, auxiliary=True)
    order = [HAND.index_of[point] for point in INTERHAND_HAND.points]
    rows: list[Any] = []
    for number, sample in enumerate(right):
        assert sample.joints is not None
        joints = sample.joints[order]
        joints[(3 * number) % 20] = 0  # never the wrist, which is last
        named = {"skeleton": INTERHAND_HAND, "joint_skeleton": INTERHAND_HAND}
        rows.append(replace(sample, keypoints=sample.keypoints[order], joints=joints, **named))
    add(project, project.path.parent / "photos", "glove", AUXILIARY, [Samples.of(rows)])
    return project.path.parent


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    import shutil

    shutil.copytree(template, tmp_path / "copy")
    found = Project.open(tmp_path / "copy" / "project")
    for name in ("lab", "wild", "glove"):
        found.relink({name: tmp_path / "copy" / "photos" / name})
    return found


def test_algorithm_1_of_hands_with_two_auxiliary_sets_and_two_rounds(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves: list[Counter[int]] = []
    crops_tensor: Callable[..., Any] = neuralannot.crops_tensor

    def watched(crops: Any, rows: Any, *others: Any) -> Any:
        halves.append(Counter({len(crops.reasons): len(rows)}))
        return crops_tensor(crops, rows, *others)

    monkeypatch.setattr("annotator.teaching.crops_tensor", watched)
    options = RunOptions(recipe=recipe(tmp_path), device="cpu")
    first, _ = ran(project, options)
    assert first.info.parts == ("hands",)
    assert networks(first) == {"hand-lab", "hand-glove", "hand-target"}
    assert sum((h for h in halves), Counter()).total() == 4 * 2 * 3  # batch 4, two steps, three networks
    assert first.fitted == [
        (d, p) for d in ("glove", "lab", "wild") for p in ("lhand", "rhand") if (d, p) != ("glove", "lhand")
    ]
    for dataset, part in first.fitted:
        fits, samples = first.fits(dataset, part), project.samples(dataset, part)
        assert fits is not None
        assert (fits.keys, fits.header.family, fits.header.part) == (samples.keys, "mano", part)
        assert fits.header.body_hash == hand_model("left" if part == "lhand" else "right").hash
        assert fits.ok.all()
        assert first.score(dataset, part, "error_2d_crop") is not None
    alone, _ = ran(project, replace(options, recipe=recipe(tmp_path, 'auxiliary = "glove"')))
    assert networks(alone) == {"hand-glove", "hand-target"}
    assert weights(alone, "glove") == weights(first, "glove")  # a fresh network for every set
    assert weights(alone, "target") != weights(first, "target")
    again, _ = ran(project, replace(options, recipe=recipe(tmp_path), round=2, source=first.id))
    assert (again.info.parts, networks(again)) == (("hands",), {"hand-target"})
    assert again.fitted == [("wild", "lhand"), ("wild", "rhand")]
    assert weights(again, "target") != weights(first, "target")


def test_a_later_round_begins_with_fresh_weights(project: Project, tmp_path: Path) -> None:
    """Where nobody is imitated it is the first round's training once more, to the bit."""
    options = RunOptions(recipe=recipe(tmp_path, 'unseen = "2d"'), device="cpu")
    first, _ = ran(project, options)
    again, _ = ran(project, replace(options, round=2, source=first.id))
    assert weights(again, "target") == weights(first, "target")
    assert covering_run(project).id == again.id  # of hands, where there are no bodies


def test_networks_begin_with_the_weights_that_the_recipe_names(project: Project, tmp_path: Path) -> None:
    network = Backbone("resnet18").network
    with torch.no_grad():
        network.conv1.weight.fill_(0.125)
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    file = Path(recipe(tmp_path, steps=1))
    text = file.read_text().replace('"none"', f'"{tmp_path / "own.safetensors"}"').replace("1e-3", "1e-12")
    file.write_text(text)
    made, _ = ran(project, RunOptions(recipe=str(file), device="cpu", data=("lab", "wild")))
    for name in ("lab", TARGET):
        found = load_file(made.network_folder("hand", name) / "last.safetensors")
        [conv] = [value for key, value in found.items() if key.endswith("conv1.weight") and value.shape[1] == 3]
        assert torch.allclose(conv, torch.full_like(conv, 0.125), atol=1e-6)


def test_half_of_every_batch_is_auxiliary(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    targets: Callable[..., Any] = neuralannot.lesson_rows

    def watched(taught: Any, rows: Any, *others: Any) -> Any:
        drawn.extend(["target" if taught.regularise.all() else "auxiliary"] * len(rows))
        return targets(taught, rows, *others)

    monkeypatch.setattr("annotator.teaching.lesson_rows", watched)
    ran(project, RunOptions(recipe=recipe(tmp_path, steps=1), device="cpu", data=("lab", "wild")))
    assert drawn[:4] == ["auxiliary"] * 4
    assert Counter(drawn[4:]) == {"auxiliary": 2, "target": 2}


SWITCHES: tuple[tuple[str, set[str], set[str]], ...] = (
    ('auxiliary = "none"', {"hand-target"}, {"backbone", "prior", "head"}),
    ("latent = false", {"hand-lab", "hand-target"}, {"backbone", "head"}),
    ('input = "pose"', {"hand-lab", "hand-target"}, {"pose", "prior", "head"}),
    ('input = "image+pose"', {"hand-lab", "hand-target"}, {"backbone", "pose", "prior", "head"}),
    ('frame = "camera"', {"hand-lab", "hand-target"}, {"backbone", "prior", "head"}),
)


@pytest.mark.parametrize(("line", "folders", "modules"), SWITCHES, ids=[line for line, _, _ in SWITCHES])
def test_a_comparison_of_the_paper_is_one_field(
    project: Project, tmp_path: Path, line: str, folders: set[str], modules: set[str]
) -> None:
    made, said = ran(project, RunOptions(recipe=recipe(tmp_path, line, steps=1), device="cpu", data=("lab", "wild")))
    assert networks(made) == folders
    found = load_file(made.network_folder("hand", TARGET) / "last.safetensors")
    assert {name.partition(".")[0] for name in found} == modules
    assert line in made.recipe_path.read_text()
    assert any("No auxiliary set" in words for words in said) is ("none" in line)


def test_an_auxiliary_network_of_3d_alone_sees_no_photo(project: Project, tmp_path: Path) -> None:
    lines = ('auxiliary_input = "pose"',)
    made, _ = ran(project, RunOptions(recipe=recipe(tmp_path, *lines, steps=1), device="cpu", data=("lab", "wild")))
    found = load_file(made.network_folder("hand", "lab") / "last.safetensors")
    assert {name.partition(".")[0] for name in found} == {"pose", "head"}


def test_an_auxiliary_set_that_is_not_there_is_named(project: Project, tmp_path: Path) -> None:
    with pytest.raises(NeuralAnnotError, match="no auxiliary set called 'wild'; choose one of glove, lab"):
        next(run(project.path, RunOptions(recipe=recipe(tmp_path, 'auxiliary = "lab, wild"'))))


def test_an_auxiliary_set_of_another_part_is_named(desk_project: Path, tmp_path: Path) -> None:
    gloves = hand_samples("glove", "right", 4, seed=30, auxiliary=True)
    add(Project.open(desk_project), tmp_path / "photos", "glove", AUXILIARY, [gloves])
    path = recipe(tmp_path, "[body]", *QUICK.splitlines(), 'auxiliary = "glove"')
    with pytest.raises(
        NeuralAnnotError, match="names glove as an auxiliary set of the part body, and it has no samples"
    ):
        next(run(desk_project, RunOptions(recipe=path, parts=("body",))))


def test_people_named_bring_their_hands(project: Project, tmp_path: Path) -> None:
    keys = "wild/100/rhand,wild/102/lhand,lab/101/rhand"
    made, _ = ran(project, RunOptions(recipe=recipe(tmp_path, steps=1), device="cpu", samples=keys))
    fitted = {(d, p): found.keys for d, p in made.fitted if (found := made.fits(d, p)) is not None}
    assert fitted == {
        ("wild", "rhand"): ["wild/100/rhand"],
        ("wild", "lhand"): ["wild/102/lhand"],
        ("lab", "rhand"): ["lab/101/rhand"],
    }


# -- faces -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def faces(tmp_path: Path) -> Project:
    new(tmp_path / "project")
    found = Project.open(tmp_path / "project")
    add(found, tmp_path / "photos", "wild", TARGET, [face_samples("wild", 6, seed=1)])
    return Project.open(tmp_path / "project")


def test_a_face_network_has_no_auxiliary_set_and_two_rounds(faces: Project, tmp_path: Path) -> None:
    """The supplement's Table 7: root, jaw, shape and expression, from 2D alone in round 1."""
    options = RunOptions(recipe=recipe(tmp_path, 'method = "network"', part="face"), device="cpu")
    first, _ = ran(faces, options)
    assert (first.info.parts, networks(first)) == (("face",), {"face-target"})
    fits = first.fits("wild", "face")
    assert fits is not None
    assert (fits.header.family, fits.header.body_hash) == ("flame", face_model().hash)
    assert np.abs(fits.column("jaw_pose")).max() > 0
    assert np.abs(fits.column("expression")).max() > 0
    again, _ = ran(faces, replace(options, round=2))
    assert again.info.source == first.id


def test_faces_are_fitted_by_smplifyx_unless_the_recipe_says_otherwise(faces: Project, tmp_path: Path) -> None:
    settings = "[smplifyx]\nshard = 4\n"
    made, _ = ran(faces, RunOptions(recipe=recipe(tmp_path, settings, part="face"), device="cpu"))
    assert (made.info.annotator, made.info.parts) == ("neuralannot", ("face",))
    assert not (made.path / "networks").exists()
    (tmp_path / "alone.toml").write_text(settings)
    alone, _ = ran(faces, RunOptions("smplifyx", parts=("face",), recipe=str(tmp_path / "alone.toml")))
    shards = [[path.read_bytes() for path in one.shards("wild", "face")] for one in (made, alone)]
    assert len(shards[0]) == 2
    assert shards[0] == shards[1]
    assert "shard = 4" in made.recipe_path.read_text()
    again, _ = ran(faces, RunOptions(recipe=recipe(tmp_path, settings, part="face"), device="cpu", round=2))
    assert (again.info.source, again.fitted) == (made.id, [("wild", "face")])


def test_a_resumed_run_fits_faces_as_it_began(faces: Project, tmp_path: Path) -> None:
    options = RunOptions(recipe=recipe(tmp_path, "[smplifyx]\nshard = 4\n", part="face"), device="cpu")
    work = run(faces.path, options)
    next(report for report in work if report.stage.startswith("Annotating"))
    work.close()
    (made,) = faces.runs()
    assert made.state != FINISHED
    other = replace(options, resume=made.id, recipe=recipe(tmp_path, "[smplifyx]\nshard = 2\n", part="face"))
    with pytest.raises(NeuralAnnotError, match="goes on as it was started, with the recipe quick as it was then"):
        next(run(faces.path, other))
    list(run(faces.path, RunOptions(resume=made.id)))
    assert made.state == FINISHED
    assert len(made.shards("wild", "face")) == 2


def test_parts_that_cannot_be_had_are_refused(faces: Project, project: Project, tmp_path: Path) -> None:
    sentences = {
        ("hands",): "No target data set has samples of the part hands",
        ("body",): r"has no table \[body\], which --parts body needs",
        ("body", "whole"): "name body and hands or face with it",
        ("feet",): "no part called 'feet'; choose one of body, face, hands, whole",
    }
    for parts, sentence in sentences.items():
        with pytest.raises(NeuralAnnotError, match=sentence):
            next(run(faces.path, RunOptions(recipe=recipe(tmp_path), parts=parts)))


# -- all parts together ----------------------------------------------------------------------------------------------------


def with_hands(project: Project) -> None:
    """The people of `wild` again, with their right hands as samples of their own."""
    people = project.samples("wild", "body")
    start = people.skeleton.index_of["right_hand_wrist"]
    hands: list[Sample] = []
    for person in people:
        points = person.keypoints[start : start + len(HAND)]
        if not points[:, 2].all():
            continue
        low, extent = points[:, :2].min(axis=0), np.ptp(points[:, :2], axis=0)
        changed: dict[str, Any] = {"keypoints": points, "skeleton": HAND, "box": np.array([*low, *extent], np.float32)}
        hands.append(replace(person, key=f"{person.key}/rhand", part="rhand", box_drawn=False, **changed))
    tables = {"body": people, "rhand": Samples.of(hands)}
    info = project.datasets()["wild"]
    counts = {part: len(samples) for part, samples in tables.items()}
    project.add(replace(info, parts=counts), tables, project.image_roots[info.image_root])


def test_a_run_of_two_parts_joins_them(desk_project: Path, tmp_path: Path) -> None:
    project = Project.open(desk_project)
    with_hands(project)
    path = recipe(tmp_path, "[body]", *QUICK.splitlines(), "auxiliary_steps = 1", "target_steps = 1", "prior_steps = 1")
    made, said = ran(project, RunOptions(recipe=path, device="cpu"))
    assert made.info.parts == ("body", "hands", "whole")
    assert made.fitted == [("wild", "body"), ("wild", "rhand"), ("wild", "whole")]
    body, hands, whole = (made.fits("wild", part) for part in ("body", "rhand", "whole"))
    assert body is not None
    assert hands is not None
    assert whole is not None
    assert whole.keys == body.keys
    assert np.array_equal(whole.ok, body.ok)
    joined = np.flatnonzero(whole.table["integration.rhand_valid"].to_numpy())
    theirs = [hands.index_of[f"{whole.keys[row]}/rhand"] for row in joined]
    assert len(joined) == np.count_nonzero(hands.ok) > 3
    assert np.allclose(whole.column("right_hand_pose")[joined], hands.column("hand_pose")[theirs], atol=1e-6)
    assert np.array_equal(whole.column("transl"), body.column("transl"))
    assert made.score("wild", "whole", "error_2d_crop") is not None
    assert not any("SMPLify-X" in words for words in said)  # nobody's face is there to be left out


def test_a_later_round_says_which_part_it_leaves_out(desk_project: Path, tmp_path: Path) -> None:
    project = Project.open(desk_project)
    with_hands(project)
    path = recipe(tmp_path, "[body]", *QUICK.splitlines(), "auxiliary_steps = 1", "target_steps = 1", "prior_steps = 1")
    first, _ = ran(project, RunOptions(recipe=path, device="cpu", parts=("body",)))
    second, said = ran(project, RunOptions(recipe=path, device="cpu", round=2, source=first.id))
    assert second.info.parts == ("body",)
    assert f"{first.id} has no fits of the part hands to learn from, so this round makes none." in said
    assert second.info.source_created == first.info.created


def test_augmentation_reaches_the_networks_and_a_run_repeats_it(project: Project, tmp_path: Path) -> None:
    lines = ("augment_scale = 0.25", "augment_rotation = 30", "augment_translation = 0.1", "augment_colour = 0.2")
    options = RunOptions(device="cpu", data=("lab", "wild"))
    plain, _ = ran(project, replace(options, recipe=recipe(tmp_path, steps=1)))
    first, _ = ran(project, replace(options, recipe=recipe(tmp_path, *lines, steps=1)))
    again, _ = ran(project, replace(options, recipe=recipe(tmp_path, *lines, steps=1)))
    for name in ("lab", TARGET):
        assert weights(first, name) == weights(again, name)
        assert weights(first, name) != weights(plain, name)


def test_algorithm_1_with_two_auxiliary_sets_two_parts_and_two_rounds(
    desk_project: Path, body: BodyModelData, tmp_path: Path
) -> None:
    """Bodies as two laboratories give them and hands of a third set; the second round trains target networks alone."""
    lab, studio = write_lab(tmp_path / "lab", body, 4), write_studio(tmp_path / "studio", body, 4)
    list(import_dataset(desk_project, "human36m", lab, images=tmp_path / "lab" / "images", name="lab"))
    list(import_dataset(desk_project, "mpi-inf-3dhp", studio, name="studio"))
    project = Project.open(desk_project)
    with_hands(project)
    add(project, tmp_path / "photos", "glove", AUXILIARY, [hand_samples("glove", "right", 4, seed=3, auxiliary=True)])
    project = Project.open(desk_project)
    path = recipe(tmp_path, "[body]", *QUICK.splitlines(), "auxiliary_steps = 1", "target_steps = 1", "prior_steps = 1")
    first, _ = ran(project, RunOptions(recipe=path, device="cpu"))
    targets = {"body-target", "hand-target"}
    assert networks(first) == {"body-lab", "body-studio", "body-prior", "hand-glove", *targets}
    assert set(first.fitted) == {
        *(("lab", "body"), ("studio", "body"), ("glove", "rhand")),
        *(("wild", part) for part in ("body", "rhand", "whole")),
    }
    again, _ = ran(project, RunOptions(recipe=path, device="cpu", round=2, source=first.id))
    assert networks(again) == targets
    assert again.fitted == [("wild", part) for part in ("body", "rhand", "whole")]
    for name in targets:
        part, _, _ = name.partition("-")
        one, other = (run.network_folder(part, TARGET) / "last.safetensors" for run in (first, again))
        assert one.read_bytes() != other.read_bytes()


def test_one_command_makes_whole_people_with_faces(desk_project: Path, tmp_path: Path) -> None:
    """Drawn people with hands and faces: networks for body and hands, SMPLify-X for faces, all of it joined."""
    project = Project.open(desk_project)
    few = ("auxiliary_steps = 1", "target_steps = 1")
    tables = ("[body]", *QUICK.splitlines(), *few, "prior_steps = 1", "[face]")
    made, said = ran(project, RunOptions(recipe=recipe(tmp_path, *tables, steps=1), device="cpu"))
    assert made.info.parts == ("body", "hands", "face", "whole")
    assert set(made.fitted) == {("wild", part) for part in ("body", "rhand", "lhand", "face", "whole")}
    assert networks(made) == {"body-target", "body-prior", "hand-target"}
    faces, whole = made.fits("wild", "face"), made.fits("wild", "whole")
    assert faces is not None
    assert whole is not None
    joined = np.flatnonzero(whole.table["integration.face_valid"].to_numpy())
    assert len(joined) > 3
    theirs = [faces.index_of[f"{whole.keys[row]}/face"] for row in joined]
    for name in ("jaw_pose", "expression"):
        assert np.array_equal(whole.column(name)[joined], faces.column(name)[theirs])
    assert np.abs(whole.column("expression")[joined]).max() > 0.1
    errors = made.score("wild", "face", "error_2d_crop")
    assert errors is not None
    assert np.nanmedian(list(errors.values())) < 5
    assert faces.table["smplifyx.objective"].to_numpy().max() > 0
    assert not any("makes no fits" in words for words in said)
