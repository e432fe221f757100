"""Work in a process of its own behaves like work in this one."""

import os
import signal

import pytest

from annotator.apart import apart
from annotator.errors import NeuralAnnotError, RunError
from annotator.progress import Progress, Stopped, Work


def count(to: int) -> Work:
    for number in range(1, to + 1):
        yield Progress("Counting", number, to, "sheep")


def refuse() -> Work:
    yield Progress("Looking")
    raise RunError("There is no wolf; bring one.")


def stoppable() -> Work:
    try:
        for number in range(10_000):
            yield Progress("Working", number)
    except Stopped:
        yield Progress("Saving", message="saved")
        raise


def die() -> Work:
    yield Progress("Working")
    os.kill(os.getpid(), signal.SIGKILL)


def test_reports_come_through() -> None:
    assert [progress.done for progress in apart(count, 4)] == [1, 2, 3, 4]


def test_a_sentence_comes_through() -> None:
    with pytest.raises(NeuralAnnotError, match="There is no wolf"):
        list(apart(refuse))


def test_stopping_reaches_the_work_and_lets_it_save() -> None:
    work = apart(stoppable)
    next(work)
    said = [work.throw(Stopped())]
    with pytest.raises(Stopped):
        said.extend(work)
    assert said[-1].message == "saved"


def test_a_killed_worker_is_told() -> None:
    with pytest.raises(RunError, match="start it again"):
        list(apart(die))
