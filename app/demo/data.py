"""Draws and writes the demo's two data sets, resumably."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.errors import UnknownNameError, storage
from annotator.progress import Progress, Work
from annotator.shots import Shot, lab_shots, wild_shots
from app.demo.writing import LAB, WILD, LabFiles, Truth, WildFile, lab_photo, save_photo, wild_photo

SIZES = {"tiny": (96, 144), "small": (1000, 1500), "full": (10000, 15000)}
"""Auxiliary and target people."""
_SCALE = {"tiny": 0.75, "small": 0.75, "full": 1.0}
SEED = 7


def write_data(out: Path, size: str) -> Work:
    """Writes `out/data/{lab,wild}` and `out/truth`; photos that are already there are not drawn again.

    Raises:
        UnknownNameError: there is no such size.
    """
    if size not in SIZES:
        raise UnknownNameError("demo size", size, SIZES)
    done = out / "data" / f".complete-{size}"
    if done.exists():
        return
    auxiliary, target = SIZES[size]
    body = load_body_model(default_root(), "smplx")
    scale = _SCALE[size]
    with storage(out):
        yield from _write_lab(out, lab_shots(body, SEED, auxiliary, scale=scale), body, auxiliary)
        yield from _write_wild(out, wild_shots(body, SEED, target, scale=scale), body, target)
        done.touch()


def _write_lab(out: Path, shots: Iterator[Shot], body: BodyModelData, count: int) -> Work:
    files, truth = LabFiles(), Truth(LAB)

    def take(shot: Shot) -> Path:
        files.add(shot)
        truth.add(shot, shot.number)
        return out / "data" / LAB / "images" / lab_photo(shot)

    yield from _draw("Drawing lab photos", shots, take, body, count)
    files.write(out / "data" / LAB / "annotations")
    truth.write(out / "truth", body)


def _write_wild(out: Path, shots: Iterator[Shot], body: BodyModelData, count: int) -> Work:
    file, truth = WildFile(), Truth(WILD)

    def take(shot: Shot) -> Path:
        file.add(shot)
        truth.add(shot, 100 + shot.number)
        return out / "data" / WILD / "images" / "train2017" / wild_photo(shot)

    yield from _draw("Drawing wild photos", shots, take, body, count)
    file.write(out / "data" / WILD / "annotations" / "coco_wholebody_train_v1.0.json")
    truth.write(out / "truth", body)


def _draw(stage: str, shots: Iterator[Shot], take: Callable[[Shot], Path], body: BodyModelData, count: int) -> Work:
    from app.demo.drawing import Photographer

    photographer = Photographer(body)
    try:
        for number, shot in enumerate(shots, 1):
            path = take(shot)
            if not path.exists():
                save_photo(path, photographer.photo(shot))
            if number % 8 == 0 or number == count:
                yield Progress(stage, number, count, "photos")
    finally:
        photographer.close()
