"""What reaches a person's terminal: sentences, and nothing that libraries or broken pipes have to say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT, run_main, words_of

WARNS = """
import runpy, sys, warnings
import numpy as np
import annotator.commands.drive as drive
say = drive.say

def warned(*arguments):
    np.array([1e300]).astype(np.float32)
    warnings.warn("something is deprecated", DeprecationWarning)
    say(*arguments)

drive.say = warned
sys.argv = ["main.py", "bodies", "path"]
runpy.run_path("main.py", run_name="__main__")
"""


@pytest.mark.parametrize("asked", [False, True])
def test_warnings_are_shown_to_those_alone_who_ask_for_them(asked: bool) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    words = [sys.executable, *(["-W", "default"] if asked else []), "-c", WARNS]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env=env)
    assert done.stdout.strip().endswith("open_body")
    assert ("RuntimeWarning" in done.stderr) is asked
    assert ("DeprecationWarning" in done.stderr) is asked


def test_a_reader_that_goes_away_is_no_traceback(desk_project: Path) -> None:
    process = subprocess.Popen(
        words_of(("runs", "list", desk_project)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    said = process.stderr.read().decode()
    assert process.wait(60) == 1
    process.stderr.close()
    assert said == ""


def test_a_folder_whose_name_is_no_text_is_printed_all_the_same(tmp_path: Path) -> None:
    place = os.path.join(os.fsencode(tmp_path), b"p-\xff")  # noqa: PTH118  (bytes)
    done = subprocess.run([*words_of(("new",)), place], capture_output=True, check=True, cwd=ROOT)
    assert b"p-\\udcff with the body models" in done.stdout


def test_the_desk_at_a_name_that_cannot_be_is_one_sentence() -> None:
    said = run_main("x" * 5000, code=1).stderr
    assert "There is neither a project nor a command called xxx" in said
    assert len(said) < 300
