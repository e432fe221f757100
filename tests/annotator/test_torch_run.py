"""`run --annotator smplifyx` on a machine without numba: torch fits the same people, and says that it is slower."""

from pathlib import Path

import numpy as np

from annotator.commands.run import run
from annotator.commands.run_options import RunOptions
from annotator.project import Project
from annotator.runs import FINISHED
from tests.support.desk_project import done
from tests.test_architecture import WINDOW, run_blocked


def test_a_run_without_numba_gives_the_same_fits(desk_project: Path) -> None:
    keys = Project.open(desk_project).samples("wild", "body").keys[:6]
    words = ["run", str(desk_project), "--annotator", "smplifyx", "--samples", ",".join(keys), "--progress", "json"]
    blocked = run_blocked((*WINDOW, "pyvistaqt", "smplx", "anny", "numba"), words)
    assert blocked.returncode == 0, blocked.stderr
    assert "numba is not there: people are fitted in torch" in blocked.stdout
    done(run(desk_project, RunOptions("smplifyx", samples=",".join(keys))))
    torch_run, numba_run = (Project.open(desk_project).run(f"smplifyx-r1-{number}") for number in (2, 3))
    assert (torch_run.state, numba_run.state) == (FINISHED, FINISHED)
    by_torch, by_numba = torch_run.fits("wild", "whole"), numba_run.fits("wild", "whole")
    assert by_torch is not None
    assert by_numba is not None
    assert by_torch.keys == by_numba.keys == keys
    assert by_torch.ok.all()
    assert by_torch.table.column_names == by_numba.table.column_names
    ratios = by_torch.table["smplifyx.objective"].to_numpy() / by_numba.table["smplifyx.objective"].to_numpy()
    assert np.abs(np.median(ratios) - 1) < 2e-3
    away = np.abs(by_torch.column("body_pose") - by_numba.column("body_pose"))
    assert np.median(away) < 0.01
    assert 0 < np.median(by_torch.table["smplifyx.iterations"].to_numpy()) < 400
