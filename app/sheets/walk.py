"""`bodies sheet`: one picture for every family of a body-model folder."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from annotator.bodies.files import LAYOUTS, BodyModelData, default_root, load_body_model
from annotator.bodies.layouts import models_in
from annotator.commands.projects import is_project
from annotator.commands.table import Table
from annotator.errors import BodyModelError, storage
from annotator.progress import Progress
from annotator.project import Project
from app.sheets.figures import figures
from app.sheets.png import palette_png
from viewers.sheet import Strip, compose_sheet

_STAGE = "Drawing sheets"


def sheets(out: Path, root: Path | None) -> Generator[Progress, None, Table]:
    """Writes `out/<family>.png` for every family that `root` (default: the open body) has a model of.

    Those of men and women get files of their own, `out/<family>-<gender>.png`.

    Args:
        root: a body-model folder or a project.

    Raises:
        BodyModelError: there is no model, or one is damaged.
    """
    folder = Project.open(root).body_model_root("smplx") if root is not None and is_project(root) else root
    folder = folder or default_root()
    found = models_in(folder)
    if not found:
        raise BodyModelError(
            f"{folder} holds no body model; give the folder that holds smplx/, smpl/, mano/ or flame/."
        )
    families: dict[str, list[tuple[str, str]]] = {}
    for name, gender in found:
        family = LAYOUTS[name].family
        families.setdefault(family if gender == "neutral" else f"{family}-{gender}", []).append((name, gender))
    with storage(out):
        out.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, ...]] = []
    for number, (family, models) in enumerate(families.items()):
        yield Progress(_STAGE, number, len(families), "sheets")
        path = out / f"{family}.png"
        with storage(path):
            path.write_bytes(_png([load_body_model(folder, *model) for model in models], LAYOUTS[models[0][0]].title))
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
