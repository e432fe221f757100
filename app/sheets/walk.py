"""`bodies sheet`: one picture for every family of a body-model folder."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from annotator.bodies.files import LAYOUTS, BodyModelData, default_root, load_body_model, model_path
from annotator.commands.table import Table
from annotator.errors import BodyModelError, storage
from annotator.progress import Progress
from app.sheets.figures import figures
from app.sheets.png import palette_png
from viewers.sheet import Strip, compose_sheet

_STAGE = "Drawing sheets"


def sheets(out: Path, root: Path | None) -> Generator[Progress, None, Table]:
    """Writes `out/<family>.png` for every family that `root` (default: the open body) has a model of.

    Raises:
        BodyModelError: there is no model, or one is damaged.
    """
    folder = root or default_root()
    found = [name for name in LAYOUTS if model_path(folder, name).exists()]
    if not found:
        raise BodyModelError(
            f"{folder} holds no body model; give the folder that holds smplx/, smpl/, mano/ or flame/."
        )
    families: dict[str, list[str]] = {}
    for name in found:
        families.setdefault(LAYOUTS[name].family, []).append(name)
    with storage(out):
        out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    for number, (family, names) in enumerate(families.items()):
        yield Progress(_STAGE, number, len(families), "sheets")
        path = out / f"{family}.png"
        with storage(path):
            path.write_bytes(_png([load_body_model(folder, name) for name in names], LAYOUTS[names[0]].title))
        rows.append((family, str(path)))
    yield Progress(_STAGE, len(families), len(families), "sheets")
    return Table("", ("family", "sheet"), tuple(rows))


def _png(bodies: list[BodyModelData], title: str) -> bytes:
    strips: list[Strip] = []
    for body in bodies:
        strips += _strips(body)
    first = bodies[0]
    counts = f"{len(first.v_template):,} vertices, {len(first.parents)} joints"
    hashes = ", ".join(body.hash for body in bodies)
    return palette_png(compose_sheet(f"{title}: {first.name}", f"{counts}, hash {hashes}", strips))


def _strips(body: BodyModelData) -> list[Strip]:
    from app.sheets.drawing import SheetPainter

    painter = SheetPainter(body.faces)
    try:
        return [painter.strip(strip) for strip in figures(body)]
    finally:
        painter.close()
