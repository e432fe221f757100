"""Networks learn: hands of drawn dots by heart, and what GT 3D lacks from the photo (the paper's Figure 4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from annotator.bodies.posing import Poser
from annotator.commands.projects import new
from annotator.commands.run import RunOptions, run
from annotator.project import AUXILIARY, TARGET, Project
from annotator.sample import Samples
from annotator.skeleton import HAND
from tests.support.hand_data import add, bent_hands, hand_model, hand_samples

COUNT, STEPS = 40, 60
RECIPE = f"""[hand]
backbone = "resnet18"
weights = "none"
input_px = 32
batch = 10
learning_rate = 1e-3
schedule = "cosine"
auxiliary_steps = {STEPS}
target_steps = 1
"""


def errors(project: Project, folder: Path, truth: np.ndarray, seen: str) -> np.ndarray:
    """`(COUNT, 21)` mm between the auxiliary fits of a run and the truth."""
    path = folder / "recipe.toml"
    path.write_text(f'{RECIPE}auxiliary_input = "{seen}"\n')
    list(run(project.path, RunOptions(recipe=str(path), device="cpu")))
    fits = project.runs()[-1].fits("lab", "rhand")
    assert fits is not None
    posed = Poser(hand_model("right")).pose({**fits.parameters, "transl": fits.column("transl")})
    return 1000 * np.linalg.norm(posed.points(HAND.name) - truth, axis=-1)


def test_an_auxiliary_network_learns_hands_and_finds_missing_joints_in_the_photo(tmp_path: Path) -> None:
    """Every hand lacks the joints of one finger, which bends by itself; the network's twin sees the 3D pose alone.

    Measured, labelled and missing joints: 14.7 and 28.4 mm with the photo, 23.1 and 31.9 without; at rest 55.0 and 58.3.
    """
    new(tmp_path / "project")
    project = Project.open(tmp_path / "project")
    whole = bent_hands("lab", COUNT, seed=8)
    assert whole.joints is not None
    truth = whole.joints[..., :3].copy()
    missing = np.zeros((COUNT, len(HAND)), bool)
    for row in range(COUNT):
        missing[row, 1 + 4 * (row % 5) :][:4] = True
    given = np.where(missing[..., None], 0, whole.joints).astype(np.float32)
    lab = Samples.of([replace(sample, joints=joints) for sample, joints in zip(whole, given, strict=True)])
    add(project, tmp_path / "photos", "lab", AUXILIARY, [lab])
    add(project, tmp_path / "photos", "wild", TARGET, [hand_samples("wild", "right", 4, seed=1, auxiliary=False)])
    project = Project.open(project.path)
    still = 1000 * np.linalg.norm(_still() - (truth - truth[:, :1]), axis=-1)
    with_photo, alone = (errors(project, tmp_path, truth, seen) for seen in ("image+pose", "pose"))
    assert with_photo[~missing].mean() < 0.5 * still[~missing].mean()
    assert with_photo[missing].mean() < 0.95 * alone[missing].mean()


def _still() -> np.ndarray:
    """`(1, 21, 3)` of the mean hand, unturned, from its wrist: where networks begin."""
    points = Poser(hand_model("right")).pose({"betas": np.zeros((1, 10))}).points(HAND.name)
    return points - points[:, :1]
