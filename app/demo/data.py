"""Draws and writes the demo's data sets, resumably: people with 3D and people in the wild, and on demand two more with 3D."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from annotator.bodies.files import BodyModelData, default_root, load_body_model
from annotator.errors import UnknownNameError, storage
from annotator.handshots import hand_shots
from annotator.progress import Progress, Work
from annotator.shots import STUDIO_ROOM, Shot, lab_shots, wild_shots
from app.demo.writing import LAB, WILD, LabFiles, Truth, WildFile, lab_photo, save_photo, wild_photo
from app.demo.writing_auxiliary import HANDS, STUDIO, HandFiles, StudioFiles, hand_photo, studio_photo

SIZES = {"tiny": (96, 144), "small": (1000, 1500), "full": (10000, 15000)}
"""Auxiliary and target people."""
MORE = {"full": (10000, 10000)}
"""People of the second body set, and hands: of the sizes that have them."""
_SCALE = {"tiny": 0.75, "small": 0.75, "full": 1.0}
SEED = 7


def write_data(out: Path, size: str) -> Work:
    """Writes `out/data/{lab,wild}` and `out/truth`; photos that are already there are not drawn again.

    With the sizes of `MORE`, `out/data/{studio,hands}` as well.

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
        if size in MORE:
            people, hands = MORE[size]
            yield from write_studio(out, people, scale=scale)
            yield from write_hands(out, hands)
        done.touch()


def write_studio(out: Path, count: int, *, scale: float = 1.0) -> Work:
    """Writes `out/data/studio`, people on a green screen in MPI-INF-3DHP's layout, and `out/truth/studio/body.arrow`."""
    body = load_body_model(default_root(), "smplx")
    files, truth, folder = StudioFiles(), Truth(STUDIO), out / "data" / STUDIO

    def take(shot: Shot) -> Path:
        files.add(shot)
        truth.add(shot, shot.number)
        return folder / "images_1k" / studio_photo(shot)

    shots = lab_shots(body, SEED, count, scale=scale, room=STUDIO_ROOM)
    with storage(out):
        yield from _draw("Drawing studio photos", shots, take, body, count)
        files.write(folder)
        truth.write(out / "truth", body)


def write_hands(out: Path, count: int) -> Work:
    """Writes `out/data/hands`, right hands in FreiHAND's layout, and `out/truth/hands/rhand.arrow`."""
    hand = load_body_model(default_root(), "mano_right")
    files, truth, folder = HandFiles(), Truth(HANDS, "rhand"), out / "data" / HANDS

    def take(shot: Shot) -> Path:
        files.add(shot)
        truth.add(shot, shot.number)
        return folder / hand_photo(shot)

    with storage(out):
        yield from _draw("Drawing hands", hand_shots(hand, SEED, count), take, hand, count)
        files.write(folder)
        truth.write(out / "truth", hand)


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
