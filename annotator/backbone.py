"""ResNet of torchvision -> the globally average-pooled feature F (paper, section 3)."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from annotator.errors import RunError
from annotator.precision import resolved, set_tf32

WIDTHS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(nn.Module):
    """`(B, 3, S, S)` uint8 crops -> `(B, width)` features. Pixels are normalised as torchvision's weights expect.

    Attributes:
        precision: fp32, tf32 or bf16; the feature itself is fp32 in any case.
        compiled: the network as `torch.compile` made it, used while training; no module, so the weights keep their names.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        import torchvision

        network: Any = torchvision.models.get_model(name, weights=None)
        network.fc = nn.Identity()
        self.network: nn.Module = network
        self.width = WIDTHS[name]
        self.precision = "fp32"
        self.compiled: Callable[[Tensor], Tensor] | None = None
        self.register_buffer("mean", 255 * torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, crops: Tensor) -> Tensor:
        """The feature F of each crop."""
        pixels = (crops.float() - self.mean) / self.std
        run = self.compiled if self.training and self.compiled is not None else self.network
        if self.precision != "bf16":
            return run(pixels)
        with torch.autocast(pixels.device.type, torch.bfloat16):
            return run(pixels).float()


def prepare(network: nn.Module, precision: str, *, compiled: bool = False) -> None:
    """Sets with which numbers the backbones of `network` compute, and whether they are compiled for training.

    Raises:
        RunError: they are to be compiled and this machine has no compiler.
    """
    device = next(network.parameters()).device
    chosen = resolved(precision, device)
    set_tf32(chosen, device)
    for module in network.modules():
        if isinstance(module, Backbone):
            module.precision = chosen
            if compiled and module.compiled is None:
                _require_compiler()
                module.compiled = torch.compile(module.network.forward)


def _require_compiler() -> None:
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++", "c++") if name):
        raise RunError(
            "The recipe asks for compile = true, and that needs a C++ compiler, which this machine lacks; install g++, or "
            "set compile = false."
        )


def starting_weights(name: str, weights: str) -> dict[str, Tensor] | None:
    """Weights that a recipe asks for: "imagenet", "none" (None: random), or a file.

    Raises:
        RunError: they cannot be had, or are not weights of this backbone.
    """
    if weights == "none":
        return None
    state = _imagenet(name) if weights == "imagenet" else _of_file(Path(weights))
    wanted = Backbone(name).network.state_dict()
    for key, value in sorted(wanted.items()):
        found = state.get(key)
        if not isinstance(found, Tensor) or found.shape != value.shape:
            what = f"has the shape {tuple(found.shape)}" if isinstance(found, Tensor) else "is missing"
            raise RunError(
                f"The weights '{weights}' are not those of a {name}: {key} {what}; name another file in the recipe."
            )
    return {key: state[key] for key in wanted}


def _imagenet(name: str) -> dict[str, Any]:
    import torchvision

    try:
        kinds: Any = torchvision.models.get_model_weights(name)
        with redirect_stderr(io.StringIO()):  # where torch says that it downloads; what fails is said below
            return kinds.DEFAULT.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # no network, or a damaged file in the cache, of which torch raises whatever it meets
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"The recipe asks for ImageNet weights of {name}, and they could not be fetched or read ({why}); connect once, "
            'put the file where `doctor` says, or set `weights` in the recipe to a file or to "none".'
        ) from error


def _of_file(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state: object = torch.load(path, map_location="cpu", weights_only=True)
        return cast("dict[str, Any]", state) if isinstance(state, dict) else {}
    except FileNotFoundError as error:
        raise RunError(f"The recipe names backbone weights {path}, and there is no such file.") from error
    except Exception as error:
        raise RunError(
            f"The backbone weights {path} cannot be read safely ({type(error).__name__}); give another file."
        ) from error
