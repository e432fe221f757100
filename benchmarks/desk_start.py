"""How soon the desk shows something: first photo, first mesh on it, first 3D view, counted from the start of the process.

Starts `main.py PROJECT` as a person does, several times, and reads what it says with NEURALANNOT_TIMINGS set. Give a
demo's project with `--project`; without one a project of twelve people is made. Run it under `.ci/with-screen.sh`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks._claims import Report, options  # noqa: E402

BOUNDS = {"photo": 1.5, "mesh": 3.0, "solid": 5.0}
TITLES = {"photo": "first photo", "mesh": "mesh on it", "solid": "3D view"}
LIMIT = 40.0


def make_project(folder: Path) -> Path:
    """A project of twelve people with two finished runs, as the tests use it."""
    from annotator.bodies.files import default_root, load_body_model
    from tests.support.desk_project import make_desk_project

    return make_desk_project(folder, load_body_model(default_root(), "smplx")) / "project"


def start(project: Path, home: Path) -> dict[str, float]:
    """Seconds of one start, by name; what did not come within `LIMIT` is missing."""
    environment = {**os.environ, "NEURALANNOT_TIMINGS": "1", "XDG_CONFIG_HOME": str(home)}
    desk = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), str(project)], stderr=subprocess.PIPE, text=True, env=environment
    )
    killer = threading.Timer(LIMIT, desk.kill)
    killer.start()
    found: dict[str, float] = {}
    assert desk.stderr is not None
    for line in desk.stderr:
        words = line.split()
        if words[:1] == ["timing"]:
            found[words[1]] = float(words[2])
        if len(found) == len(BOUNDS):
            break
    killer.cancel()
    desk.kill()
    desk.wait()
    desk.stderr.close()
    return found


def main() -> None:
    """Starts the desk again and again and states the claims."""
    parser = options("From the start of the process to the first photo, mesh and 3D view.")
    parser.add_argument("--project", type=Path, default=None, help="project to open; default: one of twelve people")
    arguments = parser.parse_args()
    report = Report("desk_start")
    with tempfile.TemporaryDirectory() as folder:
        project = arguments.project or make_project(Path(folder))
        runs = [start(project, Path(folder)) for _ in range(4 if arguments.quick else 11)]
    report.say("project", str(arguments.project or "twelve people"), f"{len(runs)} starts; files are in the page cache")
    if missing := sorted({TITLES[name] for name in BOUNDS for run in runs if name not in run}):
        sys.exit(f"not shown within {LIMIT:.0f} s: {', '.join(missing)}; are the project's photos there?")
    first, later = runs[0], runs[1:]
    for name, bound in BOUNDS.items():
        shown = report.times(name, TITLES[name], [run[name] for run in later])
        report.say(f"{name}_first", first[name], f"  {'':<58} the very first {first[name] * 1000:.1f} ms")
        report.claim(f"{name}_s", shown / 1000, bound)
    report.end(arguments.json)


if __name__ == "__main__":
    main()
