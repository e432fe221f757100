"""Cached crops against decoding and warping each time, crops a second on one core.

The reference decodes a JPEG of about 100 KB and warps the person's crop to 256 px, as a loader without a cache does; ours
gathers the same crops from the memory-mapped pages of the cache, in random batches of 192. One thread, arms in turns.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from annotator.camera import Crop, crop_of_box  # noqa: E402
from annotator.commands.imports import import_dataset  # noqa: E402
from annotator.commands.projects import new  # noqa: E402
from annotator.crops import cached_crops  # noqa: E402
from annotator.images import read_image  # noqa: E402
from annotator.project import TARGET, Project  # noqa: E402
from benchmarks._claims import Report, options  # noqa: E402

SIZE, BATCH, PEOPLE = 256, 192, 600
BOUND = 25


def photo(rng: np.random.Generator) -> np.ndarray:
    """640 x 480 pixels that weigh as much as a photo of COCO: shapes with some texture."""
    coarse = cv2.resize(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + rng.normal(0, 11, coarse.shape), 0, 255).astype(np.uint8)


def build(folder: Path, people: int = PEOPLE) -> Project:
    """A project of `people` people, each with a photo of its own."""
    from annotator.bodies.files import default_root, load_body_model
    from annotator.shots import wild_shots
    from app.demo.writing import WildFile, wild_photo

    rng = np.random.default_rng(1)
    file = WildFile()
    (folder / "images").mkdir()
    for shot in wild_shots(load_body_model(default_root(), "smplx"), 1, people):
        file.add(shot)
        cv2.imwrite(str(folder / "images" / wild_photo(shot)), photo(rng), [cv2.IMWRITE_JPEG_QUALITY, 90])
    file.write(folder / "people.json")
    new(folder / "project")
    for _ in import_dataset(
        folder / "project", "coco-wholebody", folder / "people.json", images=folder / "images", role=TARGET, name="wild"
    ):
        pass
    return Project.open(folder / "project")


def main() -> None:
    """Times both arms on the same people, and checks that their pixels are the same."""
    asked = options(__doc__ or "").parse_args()
    report = Report("crops")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        project = build(Path(name))
        samples = project.samples("wild", "body")
        work = cached_crops(project, samples, "wild", SIZE)
        while True:
            try:
                next(work)
            except StopIteration as end:
                crops = end.value
                break
        where = crop_of_box(samples.boxes, samples.sizes, drawn=samples.box_drawn)
        paths = [project.photo_path(samples[row]) for row in range(len(samples))]
        weight = sum(path.stat().st_size for path in paths) / len(paths) / 1e3
        rng = np.random.default_rng(3)
        reference: list[float] = []
        ours: list[float] = []
        for _ in range(8 if asked.quick else 40):
            rows = rng.choice(len(samples), BATCH)
            start = time.process_time()
            decoded = [Crop(where.center[row], where.side[row]).cut(read_image(paths[row]), SIZE) for row in rows]
            middle = time.process_time()
            gathered = crops.take(rows)
            ours.append((time.process_time() - middle) / BATCH)
            reference.append((middle - start) / BATCH)
            if not np.array_equal(gathered, np.stack(decoded)):
                sys.exit("The cache's pixels are not those of decoding.")
    print(f"{PEOPLE} photos of {weight:.0f} KB on average; processor time a crop of {SIZE} px")
    slow = report.times("decoded", "decode and warp", reference)
    quick = report.times("cached", "gathered from the cache", ours)
    report.say(
        "crops_per_second", {"decoded": 1e3 / slow, "cached": 1e3 / quick}, f"  {1e3 / quick:,.0f} crops/s cached"
    )
    report.claim("crops_cached_over_decoded", slow / quick, BOUND, at_most=False)
    report.end(asked.json)


if __name__ == "__main__":
    main()
