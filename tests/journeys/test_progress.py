"""`--progress` is everywhere, and with json stdout carries JSON lines only: what a person reads goes to stderr."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import main
from tests.support.cli import run_main
from tests.test_docs import GROUPS, TOP, help_of


def every_command() -> list[tuple[str, ...]]:
    return [
        *((name,) for name in sorted(TOP - set(GROUPS))),
        *((group, name) for group in GROUPS for name in sorted(GROUPS[group])),
    ]


def test_every_command_takes_the_option() -> None:
    assert len(every_command()) > 15
    assert [words for words in every_command() if "--progress" not in help_of(*words)] == []


LIGHT: tuple[tuple[tuple[str, ...], str], ...] = (
    (("new", "{tmp}/new"), "Made"),
    (("relink", "{project}"), "Missing photos"),
    (("runs", "list", "{project}"), "neuralannot-r1"),
    (("runs", "size", "{project}"), "neuralannot-r1"),
    (("runs", "remove", "{project}", "smplifyx-r1"), "Removed smplifyx-r1"),
    (("jobs", "{project}"), "neuralannot-r1"),
    (("reviews", "import", "{project}", "{tmp}/list.txt"), "Took in 1 verdict"),
    (("reviews", "summary", "{project}"), "No verdicts yet"),
    (("bodies", "path"), "open_body"),
    (("evaluate", "{project}"), "2D px of 256"),
    (("export", "{project}", "neuralannot", "{tmp}/out.json"), "Wrote 11 fits"),
)


@pytest.mark.parametrize(("words", "said"), LIGHT, ids=[" ".join(words[:2]) for words, _ in LIGHT])
def test_with_json_only_json_is_on_stdout(
    desk_project: Path, tmp_path: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.txt").write_text("wild/100\n")
    filled = [word.format(tmp=tmp_path, project=desk_project) for word in words]
    assert main.main([*filled, "--progress", "json"]) == 0
    told = capsys.readouterr()
    assert all(json.loads(line)["t"] for line in told.out.splitlines())
    assert said in told.err


def test_without_json_the_text_is_on_stdout(desk_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for show in ("bar", "none"):
        assert main.main(["runs", "list", str(desk_project), "--progress", show]) == 0
        assert "neuralannot-r1" in capsys.readouterr().out


def test_doctor_tells_of_its_checks_and_says_on_stderr_what_lacks(tmp_path: Path) -> None:
    done = run_main("doctor", "--progress", "json", code=None)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["stage"] for event in events]
    assert "Python" in done.stderr


def test_every_long_command_keeps_its_traces_where_the_window_asks(desk_project: Path, tmp_path: Path) -> None:
    folder = desk_project / "jobs" / "x"
    words = ("export", desk_project, "neuralannot", tmp_path / "out.json", "--job", folder, "--progress", "none")
    run_main(*words)
    kinds = [json.loads(line)["t"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert (kinds[0], kinds[-1]) == ("hello", "done")
    shutil.rmtree(folder)
