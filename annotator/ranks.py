"""Several processes that work on one run, as `torchrun` starts them: which of them this is, and what they agree on.

The first of them, the leader, makes the run's folder, keeps its log and lock and writes networks; each writes the shards
of fits that are its own. A request to stop is only noted; all stop together where they next meet. One process alone
passes through every function here untouched, and this file imports torch only where there are several.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from annotator.errors import NeuralAnnotError, RunError
from annotator.progress import Progress, Stopped, Work

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

T = TypeVar("T")
N = TypeVar("N", bound="nn.Module")
_PATIENCE = timedelta(days=1)
"""How long one waits for the others: the leader may have many photos to cut. One that dies is noticed at once."""
_LOST = re.compile(r"gloo|nccl|connection|socket|peer|store", re.IGNORECASE)


@dataclass
class _Group:
    number: int = 0
    count: int = 1
    asked: bool = False


_group = _Group()


def started() -> bool:
    """Whether `torchrun` started this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def following() -> bool:
    """Whether `torchrun` started this process and another one leads."""
    return started() and os.environ["RANK"] != "0"


def number() -> int:
    """Which of the processes this is; 0 leads."""
    return _group.number


def count() -> int:
    """How many processes work together."""
    return _group.count


def leads() -> bool:
    """Whether this process writes what belongs to all."""
    return _group.number == 0


def own_device(name: str) -> str:
    """The GPU of this process where the processes of one machine share several."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if name == "cuda" and started() else name


@contextmanager
def joined() -> Generator[None, None, None]:
    """Joins the processes that `torchrun` started while the block runs; nothing where it did not."""
    if not started():
        yield
        return
    import torch
    from torch import distributed

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    with _collective():
        distributed.init_process_group(backend, timeout=_PATIENCE)
    _group.number, _group.count, _group.asked = distributed.get_rank(), distributed.get_world_size(), False
    try:
        yield
    finally:
        _group.number, _group.count = 0, 1
        distributed.destroy_process_group()


@contextmanager
def _collective() -> Generator[None, None, None]:
    try:
        yield
    except RuntimeError as error:
        if started() and _LOST.search(str(error)):
            raise RunError(
                "Another process of this run has ended, so this one cannot go on; see what that one said, then go on with "
                "the same command and --resume."
            ) from error
        raise


together = _collective
"""A block in which processes wait for each other: one that is gone becomes a sentence."""


def mean(value: Tensor) -> Tensor:
    """The mean of a tensor over the processes, without gradients.

    A sum over this process's people divided by the mean of the processes' counts is, averaged over the processes as
    gradients are, the sum over all people divided by the count of all.
    """
    if _group.count == 1:
        return value
    from torch import distributed

    out = value.detach().clone()
    with _collective():
        distributed.all_reduce(out)
    return out / _group.count


def agree() -> None:
    """Waits for all; raises `Stopped` in all of them if one was asked to stop."""
    if _group.count == 1:
        return
    import torch
    from torch import distributed

    asked = torch.tensor([int(_group.asked)])
    with _collective():
        distributed.all_reduce(asked, op=distributed.ReduceOp.MAX)
    if int(asked):
        raise Stopped


def named_by_leader(make: Callable[[], str]) -> str:
    """A name that the leader makes and all are told; where it refuses, the others end without a word."""
    if _group.count == 1:
        return make()
    from torch import distributed

    box = [""]
    refusal: NeuralAnnotError | None = None
    if leads():
        try:
            box[0] = make()
        except NeuralAnnotError as error:
            refusal = error
    with _collective():
        distributed.broadcast_object_list(box)
    if refusal is not None:
        raise refusal
    if not box[0]:
        time.sleep(1)  # torchrun ends all as soon as one has ended: let the leader speak
        raise SystemExit(1)
    return box[0]


def polite(work: Work, stop: Path) -> Work:
    """Notes a request to stop, whoever asks (a signal, the `stop` file), instead of passing it on."""
    if _group.count == 1:
        yield from work
        return
    agree()  # the leader has the run's lock now, and removed the request that ended the run before
    with closing(work):
        for progress in work:
            try:
                yield progress
            except Stopped:
                _group.asked = True
            _group.asked |= stop.exists()


def apart(work: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
    """Work in which no process needs another; one that is asked to stop leaves it. All meet at its end."""
    if _group.count == 1:
        return (yield from work)
    result: list[T] = []
    with closing(work):
        while not _group.asked and not result:
            try:
                progress = next(work)
            except StopIteration as end:
                result.append(end.value)
            else:
                yield progress
    agree()
    return result[0]


def leader_first(make: Callable[[], Generator[Progress, None, T]]) -> Generator[Progress, None, T]:
    """The leader does the work, then the others, who find it done on the disk."""
    if leads():
        return (yield from apart(make()))
    yield from apart(_nothing())
    return (yield from make())


def leader_only(work: Work) -> Work:
    """The leader does the work; all go on when it is done."""
    yield from apart(work if leads() else _nothing())


def _nothing() -> Work:
    yield from ()


# -- networks ------------------------------------------------------------------------------------------------------------


def shared(network: N) -> N:
    """A network whose gradients are averaged over the processes; on GPUs its batch statistics are those of all."""
    if _group.count == 1:
        return network
    from typing import cast

    import torch
    from torch.nn.parallel import DistributedDataParallel

    device = next(network.parameters()).device
    if device.type == "cuda":
        network = cast("N", torch.nn.SyncBatchNorm.convert_sync_batchnorm(network))
    with _collective():
        wrapped = DistributedDataParallel(network, device_ids=[device] if device.type == "cuda" else None)
    return cast("N", wrapped)


def as_leader(network: nn.Module) -> None:
    """Gives every process the leader's running statistics: on a CPU each keeps its own while training."""
    if _group.count == 1:
        return
    from torch import distributed

    buffers: list[torch.Tensor] = list(network.buffers())
    with _collective():
        for buffer in buffers:
            distributed.broadcast(buffer, 0)
