"""A file is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from annotator.errors import StorageError
from annotator.wholefile import own_word, remove_halves, whole_file


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "values.bin"
    with whole_file(path) as file:
        file.write(b"some")
        assert not path.exists()
    assert path.read_bytes() == b"some"
    assert [each.name for each in path.parent.iterdir()] == ["values.bin"]


def begin(path: Path, error: BaseException) -> None:
    with whole_file(path) as file:
        file.write(b"some")
        raise error


@pytest.mark.parametrize("error", [ValueError("ours"), KeyboardInterrupt()])
def test_what_lay_there_stays_where_writing_ends_badly(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "values.bin"
    path.write_bytes(b"before")
    with pytest.raises(type(error)):
        begin(path, error)
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["values.bin"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "values.bin"
    with pytest.raises(StorageError, match=r"Could not write .*values.bin: the disk is full; make room"):
        begin(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert not any(tmp_path.iterdir())


def test_a_missing_folder_is_made_only_where_that_is_wanted(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="its folder is not there"),
        whole_file(tmp_path / "gone" / "run.json", parents=False),
    ):
        pass
    assert not (tmp_path / "gone").exists()


def test_halves_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / "a.bin", tmp_path / "deep" / ".hidden", tmp_path / "half"]
    for path in (*kept, tmp_path / ".a.bin.7.half", tmp_path / "deep" / ".b.npz.12.half"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    remove_halves(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_halves_of_two_processes_of_one_number_are_two() -> None:
    """On machines or in containers that share a disk numbers repeat."""
    assert own_word() != own_word()
