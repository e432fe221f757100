"""The real entry point in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from annotator.jobfolder import JobFolder

ROOT = Path(__file__).resolve().parents[2]
MAIN = [sys.executable, str(ROOT / "main.py")]


ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""For networks that are tiny: threads would only wait for each other, and much longer where others use the machine."""


def without(package: str, folder: Path) -> dict[str, str]:
    """An environment in which `package` cannot be imported; who tries leaves the file `asked` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{package}.py").write_text(
        f"open({str(folder / 'asked')!r}, 'w').close()\nraise ImportError('{package} is blocked here')\n"
    )
    return {**os.environ, "PYTHONPATH": str(folder)}


def words_of(words: tuple[object, ...]) -> list[str]:
    return [*MAIN, *map(str, words)]


def run_main(
    *words: object, code: int | None = 0, timeout: float = 300, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; `code` is the exit status expected."""
    env = ONE_THREAD if env is None and words[0] == "run" else env
    done = subprocess.run(
        words_of(words), capture_output=True, text=True, check=False, cwd=ROOT, timeout=timeout, env=env
    )
    assert code is None or done.returncode == code, f"{words} ended with {done.returncode}: {done.stderr}{done.stdout}"
    return done


def refused(*words: object) -> str:
    """Runs a command that a person can mend: exit 1, and on stderr one sentence and no traceback, which is returned."""
    done = run_main(*words, "--progress", "none", code=None)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1, f"{words} ended with {done.returncode}: {done.stderr}{done.stdout}"
    assert len(lines) == 1, done.stderr
    assert lines[0].endswith("."), lines[0]
    return lines[0]


def start_main(*words: object, log: Path) -> subprocess.Popen[bytes]:
    """Starts a command; what it prints goes to `log`."""
    with log.open("ab") as file:
        return subprocess.Popen(words_of(words), stdout=file, stderr=file, cwd=ROOT, env=ONE_THREAD)


def wait_for(true: Callable[[], object], process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Waits until `true()`; the process must not end before."""
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, f"it ended with {process.returncode} too early"
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.005)


def in_stage(run: Path, words: str) -> Callable[[], bool]:
    """Whether the worker of a run has reported from a stage whose name begins so."""

    def reached() -> bool:
        return any(str(event.get("stage", "")).startswith(words) for event in JobFolder(run).events())

    return reached
