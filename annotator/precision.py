"""With which numbers torch computes, and in which order it sums: fp32, TF32 on a GPU, or bf16 where the processor has instructions for it.

Only the backbone is ever cast. The head, the body model and the losses stay in fp32: the depth of a fit is 48.8 m times
a sigmoid, which eight bits of mantissa do not hold.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions without which bf16 is slower than fp32 on a CPU."""


def resolved(wanted: str, device: torch.device) -> str:
    """`fp32`, `tf32` or `bf16`: what a recipe's word means on this machine; "auto" is the quickest that it has."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "tf32"
    return "bf16" if device.type == "cpu" and cpu_has_bf16() else "fp32"


def set_tf32(precision: str, device: torch.device) -> None:
    """Lets convolutions of fp32 tensors on a GPU round to TF32, or forbids it; the head's products never do."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        torch.backends.cuda.matmul.allow_tf32 = False


@cache
def cpu_has_bf16(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor multiplies bf16; False where that cannot be known."""
    try:
        lines = info.read_text().splitlines()
    except (OSError, ValueError):
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return not CPU_FLAGS.isdisjoint(flags)


@contextmanager
def one_thread() -> Generator[None, None, None]:
    """While the block runs torch has one thread: several might sum in another order, and would wait for other loops' threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
