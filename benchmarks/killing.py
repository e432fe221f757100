"""What `kill -9` costs an annotation run: its newest finished one is made again on a copy of the project, killed at random
moments of annotating and resumed each time. Claimed: no kill loses more than the shard that was being made, and the fits
are, to the byte, those of the run that nobody disturbed.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from annotator.annotators import LEARNS  # noqa: E402
from annotator.commands.choosing import chain_of  # noqa: E402
from annotator.fit import Fits  # noqa: E402
from annotator.project import Project  # noqa: E402
from annotator.runs import FINISHED, STOPPED, Run  # noqa: E402
from benchmarks._claims import Report, options  # noqa: E402

_STAGE = "Annotating "
_SPAN_SECONDS = 0.5
"""Within which a kill falls after the report that it waits for."""
_PATIENCE_SECONDS = 600.0


def shards(run: Run, dataset: str) -> dict[str, bytes]:
    """The shards of a run's target fits, by name."""
    return {path.name: path.read_bytes() for path in run.shards(dataset, "body")}


def reached(run: Run, since: float) -> int:
    """How many people a worker that began after `since` has reported; 0 before it annotates."""
    events = [event for event in run.job.events() if event["time"] > since]
    return max((int(e.get("done", 0)) for e in events if str(e.get("stage", "")).startswith(_STAGE)), default=0)


def start(project: Path, run: Run) -> subprocess.Popen[bytes]:
    """A worker that goes on with the run."""
    words = [sys.executable, str(ROOT / "main.py"), "run", str(project), "--resume", run.id, "--progress", "none"]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def killed(
    project: Path, run: Run, dataset: str, shard_count: int, after: int, rng: random.Random
) -> tuple[int, int] | None:
    """Kills a worker at a random moment once `after` people are annotated.

    Returns:
        People it had annotated by its last report, and those of them that were lost; None where it was done before.
    """
    since, kept = time.time(), len(shards(run, dataset))
    worker = start(project, run)
    end = time.monotonic() + _PATIENCE_SECONDS
    while reached(run, since) < after and worker.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, _SPAN_SECONDS))
    worker.send_signal(signal.SIGKILL)
    code = worker.wait()
    if code == 0 or run.state == FINISHED:
        if len(run.shards(dataset, "body")) < shard_count:
            raise SystemExit(f"{run.id} says that it is finished, and it lacks shards of {dataset}.")
        return None
    done, left = reached(run, since), run.shards(dataset, "body")
    assert len(left) >= kept, "a shard that was there is gone"
    return done, max(0, done - (len(Fits.read(left)) if left else 0))


def main() -> None:
    """Reads the options, kills and resumes."""
    parser = options(__doc__ or "")
    parser.add_argument("--project", type=Path, required=True, help="a project with a finished neuralannot run")
    parser.add_argument("--kills", type=int, help="how often; default 6")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    asked = parser.parse_args()
    before = Project.open(asked.project).newest_run(LEARNS)
    if before is None:
        raise SystemExit(f"{asked.project} has no finished neuralannot run.")
    dataset = next(name for name, part in before.fitted if part == "body" and _is_target(asked.project, name))
    wanted, sizes = shards(before, dataset), [len(Fits.read([path])) for path in before.shards(dataset, "body")]
    people, largest = sum(sizes), max(sizes)
    report, rng = Report("killing"), random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        project = Path(name) / "project"
        kept = {one.id for one in chain_of(Project.open(asked.project), before.id)}
        shutil.copytree(asked.project, project, ignore=lambda folder, names: _others(Path(folder), names, kept))
        run = Project.open(project).run(before.id)
        shutil.rmtree(run.fits_folder(dataset, "body"))
        run.set_state(STOPPED)
        losses: list[int] = []
        for _ in range(asked.kills or (2 if asked.quick else 6)):
            there = sum(len(Fits.read([path])) for path in run.shards(dataset, "body"))
            outcome = killed(project, run, dataset, len(wanted), rng.randint(there + 1, people), rng)
            if outcome is None or len(run.shards(dataset, "body")) == len(wanted):
                print("  all of it was done before the kill; it begins anew", flush=True)
                shutil.rmtree(run.fits_folder(dataset, "body"))
                run.set_state(STOPPED)
                continue
            losses.append(outcome[1])
            print(f"  killed after {outcome[0]:,} people: {outcome[1]:,} of them lost", flush=True)
        if start(project, run).wait() != 0:
            raise SystemExit("The last resume failed.")
        differ = sum(shards(run, dataset).get(shard) != data for shard, data in wanted.items())
    if not losses:
        raise SystemExit("Every kill came too late; try again with another --seed.")
    report.say("lost", losses, f"{len(losses)} kills lost {', '.join(f'{lost:,}' for lost in losses)} people")
    report.claim("most_lost_over_shard", max(losses) / largest, 1)
    report.claim("shards_that_differ", differ, 0)
    report.end(asked.json)


def _others(folder: Path, names: list[str], kept: set[str]) -> list[str]:
    """Of the folder of runs those that need not come along."""
    return [name for name in names if name not in kept] if folder.name == "runs" else []


def _is_target(project: Path, dataset: str) -> bool:
    return Project.open(project).datasets()[dataset].role == "target"


if __name__ == "__main__":
    main()
