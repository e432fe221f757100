"""Annotating in shards: killed at any moment and resumed, at most a shard is done again and the bytes are the same."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from annotator import ranks
from annotator.annotators.neuralannot import SHARD, _columns, annotate, target_fits
from annotator.bodies.files import BodyModelData
from annotator.crops import Crops
from annotator.fit import FitHeader, Fits
from annotator.network import Prediction
from annotator.progress import Stopped
from annotator.project import Project
from annotator.recipe import BodyRecipe
from annotator.supervision import lessons

PEOPLE, SHARDS, BATCH = 4 * SHARD + 70, 5, 64
MOMENTS = 6


class Killed(BaseException):
    """Ends the work where it stands, as a kill does: nothing of the work's own runs after it."""


class Annotator:
    """Five shards of people whose fits are their numbers; counts how many batches were predicted."""

    def __init__(self, folder: Path, kill_at: int = -1) -> None:
        self.folder, self.kill_at, self.batches = folder, kill_at, 0

    def predict(self, rows: np.ndarray) -> Prediction:
        if self.batches == self.kill_at:
            raise Killed
        self.batches += 1
        betas = torch.as_tensor(np.repeat(rows[:, None], 10, axis=1), dtype=torch.float32)
        turned = torch.eye(3).expand(len(rows), 22, 3, 3)
        return Prediction(turned, betas, transl=betas[:, :3])

    @staticmethod
    def to_fits(rows: np.ndarray, columns: dict[str, np.ndarray]) -> Fits:
        ones = np.ones((len(rows), 2), np.float32)
        parameters = {"betas": columns["shape"]}
        keys = [f"wild/{row}" for row in rows]
        header = FitHeader("smplx", "body", "0" * 64)
        return Fits.of(header, keys, parameters, focal=ones, princpt=ones, transl=columns["transl"])

    def run(self) -> None:
        crops = Crops([""] * PEOPLE, lambda rows: rows)
        list(annotate("Annotating", self.predict, self.to_fits, self.shard, crops, timed=False))

    def shard(self, number: int) -> Path:
        return self.folder / f"{number:05d}.arrow"

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.glob("*.arrow"))}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Annotator:
    whole = Annotator(tmp_path_factory.mktemp("whole"))
    whole.run()
    assert len(whole.bytes()) == SHARDS
    return whole


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_at_any_batch_it_loses_at_most_one_shard(undisturbed: Annotator, tmp_path: Path, moment: int) -> None:
    kill_at = random.Random(moment).randrange(undisturbed.batches)
    killed = Annotator(tmp_path, kill_at)
    with pytest.raises(Killed):
        killed.run()
    kept = killed.bytes()
    assert kept.items() <= undisturbed.bytes().items()
    again = Annotator(tmp_path)
    again.run()
    assert again.bytes() == undisturbed.bytes()
    lost = killed.batches + again.batches - undisturbed.batches
    assert 0 <= lost < SHARD // BATCH


@pytest.mark.parametrize("count", [2, 3, 7])
def test_the_shards_of_all_processes_are_those_of_one(
    undisturbed: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    done: list[int] = []
    for number in range(count):
        monkeypatch.setattr(ranks, "_group", ranks._Group(number, count))
        worker = Annotator(tmp_path)
        worker.run()
        done.append(worker.batches)
    assert Annotator(tmp_path).bytes() == undisturbed.bytes()
    assert sum(done) == undisturbed.batches  # nobody did what another one had to do


def test_stopped_between_batches_it_keeps_whole_shards(undisturbed: Annotator, tmp_path: Path) -> None:
    worker = Annotator(tmp_path)
    crops = Crops([""] * PEOPLE, lambda rows: rows)
    work = annotate("Annotating", worker.predict, worker.to_fits, worker.shard, crops, timed=False)
    while next(work).done < SHARD + 3 * BATCH:
        pass
    with pytest.raises(Stopped):
        work.throw(Stopped())
    assert list(worker.bytes()) == ["00000.arrow"]
    assert worker.bytes().items() <= undisturbed.bytes().items()


KILLED_FROM_OUTSIDE = """
import sys
from pathlib import Path
from tests.annotator.test_annotating import Annotator
Annotator(Path(sys.argv[1])).run()
"""


def test_kill_9_while_shards_are_written_leaves_whole_ones(undisturbed: Annotator, tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    worker = subprocess.Popen([sys.executable, "-c", KILLED_FROM_OUTSIDE, str(tmp_path)], cwd=root)
    end = time.monotonic() + 120
    while not Annotator(tmp_path).shard(0).exists() and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(random.random() * 0.05)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    kept = Annotator(tmp_path).bytes()
    assert kept
    assert kept.items() <= undisturbed.bytes().items()
    Annotator(tmp_path).run()
    assert Annotator(tmp_path).bytes() == undisturbed.bytes()


def test_a_person_of_whom_a_network_says_no_number_has_a_failed_fit(desk_project: Path, body: BodyModelData) -> None:
    samples = Project.open(desk_project).samples("wild", "body")
    count = len(samples)
    said = Prediction(
        torch.eye(3).repeat(count, 22, 1, 1),
        torch.zeros(count, 10),
        transl=torch.tensor([[0.0, 0, 40]]).repeat(count, 1),
    )
    said.rotations[1, 3] = torch.nan
    said.betas[2, 0] = torch.inf
    taught = lessons(samples, BodyRecipe(), auxiliary=False)
    make = target_fits(samples, taught, Crops([""] * count, lambda rows: rows), body)
    fits = make(np.arange(count), _columns(said))
    assert np.flatnonzero(~fits.ok).tolist() == [1, 2]
    assert all("says what is no number" in fits[row].reason for row in (1, 2))
    assert all(np.isfinite(values).all() for values in fits.parameters.values())
