"""The desk outlives the reference counts that PySide6 loses (see app/refcounts.py)."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from app.application import make_window
app, window = make_window()
window.welcome.hide()
for _ in range(60_000):
    window.welcome.setToolTip("x")
    window.session.verdicts_changed.emit() if _ % 4 == 0 else None
window.close()
print("alive")
"""


def test_a_long_day_of_reviewing_does_not_use_up_none_and_true() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr[-2000:]
