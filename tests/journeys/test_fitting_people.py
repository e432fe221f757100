"""SMPLify-X through the real entry point: killed and resumed, and on real photos."""

import shutil
from pathlib import Path

import numpy as np

from annotator.bodies.files import BodyModelData
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.project import Project
from annotator.runs import INTERRUPTED
from tests.support.cli import start_main, wait_for
from tests.support.desk_project import done
from tests.support.small_data import write_crowd

PEOPLE, SHARD = 48, 8


def shards(project: Path) -> dict[str, bytes]:
    folder = project / "runs" / "smplifyx-r1" / "fits" / "wild" / "whole"
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[0-9]*.arrow"))}


def test_a_killed_run_loses_its_last_shard_at_most_and_ends_with_the_same_bytes(
    body: BodyModelData, tmp_path: Path
) -> None:
    project, recipe = tmp_path / "project", tmp_path / "small.toml"
    recipe.write_text(f"[smplifyx]\nshard = {SHARD}\n")
    crowd = write_crowd(tmp_path / "data", body, PEOPLE)
    new(project)
    done(import_dataset(project, "coco-wholebody", crowd, images=tmp_path / "data" / "images", name="wild"))
    shutil.copytree(project, tmp_path / "undisturbed")
    list(run(tmp_path / "undisturbed", RunOptions("smplifyx", recipe=str(recipe))))
    whole = shards(tmp_path / "undisturbed")
    assert len(whole) == PEOPLE // SHARD

    log = tmp_path / "log.txt"
    worker = start_main("run", project, "--annotator", "smplifyx", "--recipe", recipe, log=log)
    wait_for(lambda: len(shards(project)) >= 2, worker, seconds=500)
    worker.kill()
    worker.wait()
    assert Project.open(project).run("smplifyx-r1").state == INTERRUPTED
    kept = shards(project)
    assert 2 <= len(kept) < len(whole), log.read_text()
    assert set(kept.items()) < set(whole.items())
    list(run(project, RunOptions(resume="newest")))
    assert shards(project) == whole


def test_real_people_are_fitted_to_their_keypoints(real_data: Path, tmp_path: Path) -> None:
    project, coco = tmp_path / "project", real_data / "coco_wholebody"
    file, images = coco / "annotations" / "coco_wholebody_val_v1.0.json", coco / "images" / "val2017"
    new(project)
    done(import_dataset(project, "coco-wholebody", file, images=images, name="coco"))
    list(run(project, RunOptions("smplifyx")))
    current = Project.open(project).run("smplifyx-r1")
    fits, errors = current.fits("coco", "whole"), current.score("coco", "whole", "error_2d_crop")
    assert fits is not None
    assert errors is not None
    assert (len(fits), fits.ok.sum()) == (12, 12)
    values = np.array(list(errors.values()))
    assert np.median(values) < 8.0  # px of the 256 crop, over all labelled points of the whole person
    assert values.max() < 40.0
