"""Runs that were stopped at once, and what `run` says when it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.errors import NeuralAnnotError
from annotator.project import Project
from annotator.recipe import load_recipe
from annotator.runs import STOPPED, Run, RunInfo, write_text


def started(project: Project, **values: Any) -> Run:
    """A run that was stopped at once."""
    info = RunInfo("neuralannot-r1", "neuralannot", "tiny", datasets=("wild",), state=STOPPED)
    made = project.new_run(replace(info, **values))
    write_text(made.recipe_path, load_recipe("tiny").text())
    return made


def refusal(project: Path, options: RunOptions) -> str:
    with pytest.raises(NeuralAnnotError) as caught:
        next(run(project, options))
    return str(caught.value)
