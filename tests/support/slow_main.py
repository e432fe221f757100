"""A stand-in for main.py whose runs do nothing but count, ten times a second; it leaves the traces of a real worker."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from annotator.commands.drive import Show, drive
from annotator.progress import Progress, Work
from annotator.project import Project
from annotator.runs import RUNNING, Run, RunInfo


def count(run: Run) -> Work:
    run.set_state(RUNNING)
    yield Progress("Counting", message="Counting for a long while.")
    for number in range(600):
        time.sleep(0.1)
        yield Progress("Counting", number, 600, "steps", values={"loss": 1 / (number + 1)})


def main() -> None:
    words = sys.argv[1:]
    if "--fail" in words:
        sys.exit("The worker has nothing to count; give it numbers.")
    if "--sleep" in words:
        time.sleep(60)
    project = Project.open(Path(words[1]))
    if "--resume" in words:
        run = project.run(words[words.index("--resume") + 1])
    else:
        run = project.new_run(RunInfo("slow-r1", "neuralannot", "tiny", datasets=("wild",)))
    drive(run.job.record(count(run), on_end=run.set_state), Show.NONE)


if __name__ == "__main__":
    main()
