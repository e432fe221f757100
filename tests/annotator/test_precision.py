"""Which numbers a backbone computes with, and that nothing but the backbone is cast."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from annotator import backbone as backbones
from annotator.backbone import Backbone, prepare
from annotator.errors import RunError
from annotator.network import TargetNetwork
from annotator.precision import cpu_has_bf16, resolved, set_tf32
from annotator.prior import VPoser

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "has"),
    [("fpu avx2 fma", False), ("avx512f avx512_bf16", True), ("amx_bf16 amx_tile", True), ("avx512_bf16x", False)],
)
def test_bf16_is_known_by_the_processor_s_flags(tmp_path: Path, flags: str, has: bool) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert cpu_has_bf16(info) is has


def test_a_processor_that_says_nothing_computes_in_fp32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cpu_has_bf16(tmp_path / "absent")
    for has, word in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr("annotator.precision.cpu_has_bf16", lambda has=has: has)
        assert resolved("auto", CPU) == word
        assert resolved("fp32", CPU) == "fp32"
        assert resolved("bf16", CPU) == "bf16"


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_products_of_the_head_are_never_rounded_on_a_gpu(precision: str) -> None:
    """Of the backbone the convolutions alone may be."""
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    try:
        products.allow_tf32, convolutions.allow_tf32 = True, precision == "fp32"
        set_tf32(precision, torch.device("cuda"))
        assert not products.allow_tf32
        assert convolutions.allow_tf32 == (precision != "fp32")
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before


def network() -> TargetNetwork:
    torch.manual_seed(0)
    return TargetNetwork(Backbone("resnet18"), VPoser()).to(memory_format=torch.channels_last).eval()


def test_bf16_moves_the_feature_a_little_and_leaves_everything_in_fp32() -> None:
    crops = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
    net = network()
    with torch.no_grad():
        before, full = net.backbone(crops), net(crops)
        prepare(net, "bf16")
        feature, out = net.backbone(crops), net(crops)
    assert not torch.equal(feature, before)
    assert float((feature - before).norm() / before.norm()) < 0.02
    assert {t.dtype for t in (feature, out.rotations, out.betas, out.transl)} == {torch.float32}
    assert all(value.dtype == torch.float32 for value in net.parameters())
    assert torch.allclose(out.rotations, full.rotations, atol=0.02)
    prepare(net, "fp32")
    with torch.no_grad():
        assert torch.equal(net.backbone(crops), before)


def test_gradients_of_a_bf16_backbone_are_finite_and_near_those_in_fp32() -> None:
    crops = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
    found: list[torch.Tensor] = []
    for precision in ("fp32", "bf16"):
        net = network()
        prepare(net, precision)
        net(crops).rotations[..., 0].sum().backward()
        gradient = net.backbone.network.get_parameter("layer4.1.conv2.weight").grad
        assert gradient is not None
        assert gradient.dtype == torch.float32
        found.append(gradient.flatten())
    cosine = torch.nn.functional.cosine_similarity(found[0], found[1], dim=0)
    assert float(cosine) > 0.95


def test_a_compiled_backbone_gives_the_same_and_keeps_the_names_of_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own compiler takes a minute here; its front end, which decides what is compiled, takes seconds."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr(backbones.shutil, "which", lambda _name: "g++")  # this backend needs none
    crops = torch.randint(0, 255, (4, 3, 64, 64), dtype=torch.uint8)
    plain, compiled = network().train(), network().train()
    prepare(compiled, "fp32", compiled=True)
    assert compiled.backbone.compiled is not None
    assert torch.allclose(plain.backbone(crops), compiled.backbone(crops), atol=1e-5)
    assert plain.state_dict().keys() == compiled.state_dict().keys()


def test_compiling_without_a_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones.shutil, "which", lambda _name: None)
    with pytest.raises(RunError, match="install g"):
        prepare(network(), "fp32", compiled=True)
