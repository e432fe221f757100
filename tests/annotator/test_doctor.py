"""`doctor`: each lack has the line that mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotator.backbone import starting_weights
from annotator.commands import doctor
from annotator.commands.doctor import PAPER_WEIGHTS, Check, checkpoints, cuda_check
from annotator.errors import RunError


def screen(monkeypatch: pytest.MonkeyPatch, display: str) -> Check:
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return next(doctor._screen())


@pytest.mark.parametrize(
    ("built", "driver", "names", "found", "mend"),
    [
        ("", 0, [], "built for the CPU alone", "--reinstall torch torchvision"),
        ("13.2", 0, [], "no NVIDIA driver found", "apt-get install nvidia-driver"),
        ("13.2", 12040, [], "knows CUDA 12.4, too old for this torch (CUDA 13.2)", "built for CUDA 12"),
        ("12.6", 12040, [], "no GPU that torch may use", "nvidia-smi"),  # the same major number will do
        ("12.6", 13000, [], "no GPU that torch may use", "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_every_lack_of_cuda_has_its_line(built: str, driver: int, names: list[str], found: str, mend: str) -> None:
    check = cuda_check(built, driver, names)
    assert not check.ok
    assert not check.essential
    assert found in check.found
    assert mend in check.mend


def test_a_gpu_lacks_nothing() -> None:
    check = cuda_check("12.6", 12060, ["Some GPU"])
    assert (check.ok, check.found, check.mend) == (True, "Some GPU", "")


def test_without_a_screen_a_virtual_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert screen(monkeypatch, ":7").ok
    monkeypatch.setattr("shutil.which", lambda _name: None)
    lack = screen(monkeypatch, "")
    assert not lack.ok
    assert "sudo apt-get install xvfb && xvfb-run" in lack.mend
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert screen(monkeypatch, "").mend.startswith("xvfb-run")


def test_the_weights_of_the_paper_are_looked_for_where_torch_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torchvision.models import ResNet50_Weights

    assert ResNet50_Weights.DEFAULT.url.endswith(f"/{PAPER_WEIGHTS}")
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "/somewhere")
        assert str(checkpoints()) == torch.hub.get_dir() + "/checkpoints"
        monkeypatch.delenv(name)
    assert str(checkpoints()) == torch.hub.get_dir() + "/checkpoints"


def test_weights_that_are_missing_or_damaged_say_which_file_goes_where(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / PAPER_WEIGHTS
    missing = next(doctor._weights())
    assert not missing.ok
    assert f"or copy it to {file}" in missing.mend
    file.parent.mkdir(parents=True)
    file.write_bytes(b"cut short")
    damaged = next(doctor._weights())
    assert "is damaged" in damaged.found
    assert damaged.mend.startswith(f"rm {file} && ")
    with pytest.raises(RunError, match="could not be fetched or read"):
        starting_weights("resnet50", "imagenet")
    monkeypatch.setattr(doctor, "_head_of_sha256", lambda _file: "11ad3fa6")
    assert next(doctor._weights()).ok


def test_every_lack_of_the_report_has_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_try", lambda _code: (1, "broken"))
    monkeypatch.setattr(doctor, "_loads", lambda library: library != "libEGL.so.1")
    work = doctor.doctor()
    try:
        while True:
            next(work)
    except StopIteration as end:
        table = end.value
    lines = table.notes
    lacks = [number for number, line in enumerate(lines) if not line.startswith(("ok", " "))]
    assert len(lacks) >= 5  # torch, OpenGL, Qt, screen, weights
    assert [lines[number] for number in lacks if not lines[number + 1].startswith(" ")] == []
    assert "torch" in table.lack
    assert table.lack.endswith("mends it.")
