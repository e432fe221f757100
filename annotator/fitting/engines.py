"""Which of the two batched solvers runs: numba's kernels on the CPU, or torch where numba is absent and on a GPU."""

from __future__ import annotations

from collections.abc import Sequence

from annotator.bodies.files import BodyModelData
from annotator.fitting import compiled
from annotator.fitting.batched import Batched
from annotator.fitting.objective import BodyPrior
from annotator.fitting.problem import Problem
from annotator.fitting.settings import Settings
from annotator.fitting.stages import Stage

NUMBA, TORCH = "numba", "torch"
ENGINES = (NUMBA, TORCH)


def engine_for(device: str) -> str:
    """The quickest that gives the same bytes every time on the CPU; on a GPU there is one.

    Args:
        device: "auto", which is the CPU here, "cpu", "cuda", or "cuda:1" and so on.
    """
    return TORCH if device.startswith("cuda") or not compiled.AVAILABLE else NUMBA


def solver_for(
    body: BodyModelData,
    prior: BodyPrior,
    stages: Sequence[Stage],
    like: Problem,
    settings: Settings | None = None,
    *,
    device: str = "auto",
    engine: str = "",
) -> Batched:
    """What fits people whose points, body model and residuals are those of `like`.

    Args:
        engine: one of `ENGINES`; by default the one for the device.

    Raises:
        ValueError: numba's kernels are asked for on a GPU.
    """
    chosen = engine or engine_for(device)
    if chosen == TORCH:
        from annotator.fitting.torch_batched import TorchBatched

        on = "cpu" if device == "auto" else device
        return TorchBatched(body, prior, stages, like, settings, device=on)
    if device.startswith("cuda"):
        raise ValueError(f"numba's kernels run on the CPU, not on {device}")
    return Batched(body, prior, stages, like, settings)
