"""A run that holds people out: their loss is in the curves of every network, and they are annotated like all others."""

import json
from pathlib import Path

import numpy as np
import pytest

from annotator import training
from annotator.batches import held_out
from annotator.bodies.files import BodyModelData
from annotator.commands.imports import import_dataset
from annotator.commands.projects import new
from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.project import Project
from tests.support.small_data import QUICK, write_crowd, write_lab


def test_people_held_out_are_measured_and_annotated(
    tmp_path: Path, body: BodyModelData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_BEST_WINDOW", 10)  # a hundred steps are not needed to see that it is done
    crowd, lab = write_crowd(tmp_path / "wild", body, 6), write_lab(tmp_path / "lab", body, 12)
    path = tmp_path / "project"
    new(path)
    for layout, file, name in (("coco-wholebody", crowd, "wild"), ("human36m", lab, "lab")):
        list(import_dataset(path, layout, file, images=tmp_path / name / "images", name=name))
    recipe = tmp_path / "held.toml"
    recipe.write_text(QUICK.format(auxiliary=10, target=10) + "held_out = 0.4\n")
    reports = list(run(path, RunOptions(recipe=str(recipe), device="cpu")))

    project = Project.open(path)
    made, samples = project.runs()[0], project.samples("lab", "body")
    held = held_out(samples.keys, np.arange(len(samples)), share=0.4, seed=1)
    assert 0 < len(held) < len(samples)
    for name, terms in (("lab", {"loss", "3d", "regulariser"}), ("target", {"loss", "2d", "3d", "pose", "shape"})):
        text = (made.network_folder("body", name) / "losses.jsonl").read_text()
        lines = {line["step"]: line for line in map(json.loads, text.splitlines())}
        assert [step for step, line in lines.items() if "held_out" in line] == [10]
        assert terms <= lines[10]["held_out"].keys()
        assert lines[10]["held_out"]["3d"] > 0
    taught = len(samples) - len(held)
    assert any(f"learnt from {taught} auxiliary fits and" in report.message for report in reports)
    fits = made.fits("lab", "body")
    assert fits is not None
    assert fits.keys == samples.keys
    assert sum("held_out" in report.values for report in reports) == 2
