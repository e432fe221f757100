"""The export, read back by hand and posed by the smplx package."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from annotator.bodies.files import BodyModelData, default_root
from annotator.bodies.official import create
from annotator.bodies.posing import Poser
from annotator.commands.export import Keep, export
from annotator.errors import RunError, UnknownNameError
from annotator.fit import Fits
from annotator.project import Project
from annotator.reviews import ReviewLog
from annotator.sample import Samples
from annotator.verdict import EventKind, FitKey, ReviewEvent
from tests.support.desk_project import FAILED_ROW, done

WIDTHS = {
    "root_pose": 3,
    "body_pose": 63,
    "shape": 10,
    "expr": 10,
    "jaw_pose": 3,
    "lhand_pose": 45,
    "rhand_pose": 45,
    "trans": 3,
}


def judge(project: Path, verdict: str, *ids: int) -> None:
    log = ReviewLog(Project.open(project).reviews_path)
    for number in ids:
        log.append(ReviewEvent(EventKind.VERDICT, FitKey("neuralannot-r1", f"wild/{number}", "body"), value=verdict))
    log.close()


def entries(path: Path) -> dict[str, dict[str, dict[str, list[float]]]]:
    return json.loads(path.read_text())


def test_the_layout_is_that_of_the_released_files(desk_project: Path, tmp_path: Path) -> None:
    table = done(export(desk_project, "neuralannot", tmp_path / "out.json"))
    found = entries(tmp_path / "out.json")
    assert len(found) == 11  # one fit failed: absent, not null
    assert str(100 + FAILED_ROW) not in found
    for entry in found.values():
        assert set(entry) == {"smplx_param", "cam_param"}
        assert {name: len(entry["smplx_param"][name]) for name in WIDTHS} == WIDTHS
        assert {name: len(value) for name, value in entry["cam_param"].items()} == {"focal": 2, "princpt": 2}
        assert entry["smplx_param"]["lhand_valid"] is False
    assert "Wrote 11 fits" in table.text()
    assert "not to the licensed SMPLX" in table.text()


def test_entries_posed_by_smplx_land_where_the_desk_draws_them(
    desk_project: Path, tmp_path: Path, body: BodyModelData
) -> None:
    done(export(desk_project, "neuralannot", tmp_path / "out.json"))
    fits = Project.open(desk_project).run("neuralannot-r1").fits("wild", "body")
    assert fits is not None
    model = create(default_root(), "smplx")
    names = {"root_pose": "global_orient", "body_pose": "body_pose", "shape": "betas", "trans": "transl"}
    names |= {
        "lhand_pose": "left_hand_pose",
        "rhand_pose": "right_hand_pose",
        "jaw_pose": "jaw_pose",
        "expr": "expression",
    }
    for number, entry in list(entries(tmp_path / "out.json").items())[:4]:
        given = {ours: torch.tensor([entry["smplx_param"][theirs]]) for theirs, ours in names.items()}
        with torch.no_grad():
            theirs = model(**given).vertices[0].numpy().astype(float)
        fit = fits[fits.index_of[f"wild/{number}"]]
        drawn = (
            Poser(body)
            .pose({**{n: v[None] for n, v in fit.parameters.items()}, "transl": fit.transl[None]})
            .vertices[0]
        )
        focal, princpt = np.array(entry["cam_param"]["focal"]), np.array(entry["cam_param"]["princpt"])
        pixels = [v[:, :2] / v[:, 2:] * focal + princpt for v in (theirs, drawn.astype(float))]
        assert np.abs(pixels[0] - pixels[1]).max() < 0.01


def test_verdicts_filter_what_is_written(desk_project: Path, tmp_path: Path) -> None:
    judge(desk_project, "reject", 100, 101)
    judge(desk_project, "accept", 104)
    counts = {}
    for keep in Keep:
        done(export(desk_project, "neuralannot", tmp_path / f"{keep}.json", keep=keep))
        counts[keep] = set(entries(tmp_path / f"{keep}.json"))
    assert len(counts[Keep.ALL]) == 11
    assert counts[Keep.ALL] - counts[Keep.NOT_REJECTED] == {"100", "101"}
    assert counts[Keep.ACCEPTED] == {"104"}
    manifest = json.loads((tmp_path / "not-rejected.json.manifest.json").read_text())
    assert manifest["export"]["entries"] == 9
    assert manifest["export"]["data_sets"] == ["wild"]
    assert manifest["left_out"]["a reviewer rejected it"] == 2
    assert manifest["body_model"]["hash"]
    assert "rotations" in manifest["conventions"]


def test_nothing_left_writes_nothing(desk_project: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing was written"):
        done(export(desk_project, "neuralannot", tmp_path / "out.json", keep=Keep.ACCEPTED))
    assert list(tmp_path.glob("out*")) == []


def test_wrong_names_are_told(desk_project: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="neuralannot"):
        done(export(desk_project, "bvh", tmp_path / "out.json"))
    with pytest.raises(RunError, match="no run called"):
        done(export(desk_project, "neuralannot", tmp_path / "out.json", run_id="r9"))


def twin(project_path: Path, name: str = "zoo") -> None:
    """Another target data set with the same annotation ids, fitted by the same run."""
    project = Project.open(project_path)
    samples = project.samples("wild", "body")
    keys = [key.replace("wild/", f"{name}/") for key in samples.keys]
    table = samples.table.set_column(0, "key", pa.array(keys, pa.string()))
    info = replace(project.datasets()["wild"], name=name, image_root=name)
    project.add(info, {"body": Samples(table)}, project.image_roots["wild"])
    run = project.run("neuralannot-r1")
    fits = run.fits("wild", "body")
    assert fits is not None
    Fits(fits.table.set_column(0, "key", pa.array(keys, pa.string()))).write(run.shard_path(name, "body", 0))


def test_data_sets_that_share_ids_are_exported_one_by_one_as_the_sentence_says(
    desk_project: Path, tmp_path: Path
) -> None:
    twin(desk_project)
    with pytest.raises(RunError, match="wild and zoo both have an annotation 100") as caught:
        done(export(desk_project, "neuralannot", tmp_path / "out.json"))
    assert list(tmp_path.glob("out*")) == []
    for name in re.findall(r"--data (\w+)", str(caught.value)):
        done(export(desk_project, "neuralannot", tmp_path / f"{name}.json", data=(name,)))
        assert len(entries(tmp_path / f"{name}.json")) == 11
        manifest = json.loads((tmp_path / f"{name}.json.manifest.json").read_text())
        assert manifest["export"]["data_sets"] == [name]


def test_the_default_run_of_an_export_covers_the_data_sets_that_are_exported(
    desk_project: Path, tmp_path: Path
) -> None:
    twin(desk_project)
    Project.open(desk_project).run("neuralannot-r1").shard_path("zoo", "body", 0).unlink()
    with pytest.raises(RunError, match="covers every target sample"):
        done(export(desk_project, "neuralannot", tmp_path / "out.json"))
    assert "Wrote 11" in done(export(desk_project, "neuralannot", tmp_path / "out.json", data=("wild",))).text()


def test_only_target_data_sets_that_exist_are_exported(desk_project: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="wild"):
        done(export(desk_project, "neuralannot", tmp_path / "out.json", data=("wilt",)))
    project = Project.open(desk_project)
    samples = project.samples("wild", "body")
    info = replace(project.datasets()["wild"], name="lab", role="auxiliary")
    project.add(info, {"body": samples}, project.image_roots["wild"])
    with pytest.raises(RunError, match="lab is no target data set"):
        done(export(desk_project, "neuralannot", tmp_path / "out.json", data=("lab",)))
