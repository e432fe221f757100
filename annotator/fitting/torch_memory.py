"""How many people's fits a device holds at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from annotator.fitting.torch_plan import TorchPlan

ON_CPU = 32
"""People at once on a CPU, where more are slower: their tensors leave the cache. Fixed, so that bytes repeat."""
_ON_GPU = 4096
_SHARE = 0.6
"""Of the free memory that may be taken: others use the machine too, and allocators keep blocks that they cannot join."""


def people_at_once(plans: Sequence[TorchPlan], starts: int, dtype: torch.dtype, device: torch.device) -> int:
    """People that are fitted together, each from `starts` orientations.

    A person is taken to need all that `numbers_per_person` counts, though a third of it was alive at the worst moment when
    whole bodies were measured.

    On a CPU they are `ON_CPU`, or a half, a quarter and so on of that where the free memory is too small.
    """
    one = max(plan.numbers_per_person() for plan in plans) * starts * dtype.itemsize
    room = int(_SHARE * free_memory(device) / one)
    if device.type == "cuda":
        return max(1, min(room, _ON_GPU))
    count = ON_CPU
    while count > max(room, 1):
        count //= 2
    return count


def free_memory(device: torch.device) -> int:
    """Bytes that a program may still take."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
