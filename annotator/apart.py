"""Long work in a process of its own, driven as if it ran here.

torch and software OpenGL cannot share a process: triton and Mesa's llvmpipe each bring an LLVM, and whichever of them is
loaded second crashes. So whoever draws and also trains does one of the two apart.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Callable, Generator
from multiprocessing import get_context
from multiprocessing.connection import Connection

from annotator.errors import NeuralAnnotError, RunError
from annotator.progress import Progress, Stopped, Work


def apart(work: Callable[..., Generator[Progress, None, object]], *arguments: object) -> Work:
    """Runs `work(*arguments)` in a fresh process and passes its reports on; `Stopped` is handed over to it.

    What the work returns is not passed on.

    The process ends with this one: its next report finds nobody listening.

    Raises:
        RunError: the process was killed.
    """
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, work, arguments), daemon=True)
    process.start()
    there.close()
    try:
        while True:
            try:
                message = here.recv()
            except EOFError as error:
                process.join()
                raise RunError(
                    f"The worker of '{work.__name__}' ended with code {process.exitcode}; start it again."
                ) from error
            if message is None:
                return
            if isinstance(message, BaseException):
                raise message
            try:
                yield message
            except Stopped:
                here.send("stop")
    finally:
        here.close()
        process.join()


def _serve(
    pipe: Connection, make: Callable[..., Generator[Progress, None, object]], arguments: tuple[object, ...]
) -> None:
    faulthandler.enable()
    for asked in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; the parent asks politely
        signal.signal(asked, signal.SIG_IGN)
    work = make(*arguments)
    try:
        for progress in work:
            pipe.send(progress)
            if pipe.poll():
                pipe.recv()
                _stop(work, pipe)
    except Stopped as stopped:
        pipe.send(stopped)
    except NeuralAnnotError as error:
        pipe.send(NeuralAnnotError(str(error)))  # the sentence is what matters; not every subclass can be pickled
    except BrokenPipeError:
        return
    else:
        pipe.send(None)


def _stop(work: Generator[Progress, None, object], pipe: Connection) -> None:
    pipe.send(work.throw(Stopped()))
    for progress in work:
        pipe.send(progress)
    raise Stopped
