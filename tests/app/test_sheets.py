"""Picture sheets of body models: what they show, where it lies, and what they cost."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import sparse

from annotator.bodies.files import LAYOUTS, BodyModelData, default_root, load_body_model
from annotator.bodies.points import PointMap
from annotator.errors import BodyModelError
from app.sheets.drawing import SheetPainter
from app.sheets.figures import Figure, FigureStrip, figures
from app.sheets.png import palette_png
from app.sheets.walk import sheets
from tests.support.cli import run_main
from tests.support.desk_project import done
from tests.test_architecture import run_blocked

ORANGE, BLUE = np.array([215, 95, 20]), np.array([40, 90, 190])
SMALL = ("mano", "flame")


@pytest.fixture(scope="module")
def bodies() -> dict[str, BodyModelData]:
    return {name: load_body_model(default_root(), name) for name in LAYOUTS if name in ("smplx", "mano_right", "flame")}


@pytest.fixture(scope="module")
def strips(bodies: dict[str, BodyModelData]) -> dict[str, list[FigureStrip]]:
    return {name: figures(body) for name, body in bodies.items()}


@pytest.fixture
def small_root(tmp_path: Path) -> Path:
    """Body models that are quickly drawn."""
    for family in SMALL:
        shutil.copytree(default_root() / family, tmp_path / "models" / family)
    return tmp_path / "models"


def captioned(strips: list[FigureStrip], caption: str) -> Figure:
    return next(figure for strip in strips for figure in strip.figures if figure.caption == caption)


@pytest.mark.parametrize("name", ["smplx", "mano_right", "flame"])
def test_a_sheet_has_rest_poses_points_and_every_component(name: str, strips: dict[str, list[FigureStrip]]) -> None:
    headings = " ".join(strip.heading.lower() for strip in strips[name])
    for word in ("rest", "posed", "named points", "shape components"):
        assert word in headings
    assert ("expression components" in headings) == (name != "mano_right")
    captions = [figure.caption for strip in strips[name] for figure in strip.figures]
    for i in range(1, 11):
        assert captions.count(f"{i}: -2") == captions.count(f"{i}: +2") == (1 if name == "mano_right" else 2)
    assert any(figure.markers is not None for strip in strips[name] for figure in strip.figures)


def test_a_sheet_of_a_body_without_expression_and_outline_has_neither(bodies: dict[str, BodyModelData]) -> None:
    body = bodies["smplx"]
    assert body.landmarks is not None
    nothing = np.zeros((0, 17)), np.zeros((0, 17, 3))
    landmarks = replace(body.landmarks, contour_faces=nothing[0], contour_bary=nothing[1])
    face = body.points["face68"]
    inner = np.arange(68) >= 17
    keep = sparse.diags_array(inner.astype(np.float32))
    points = {**body.points, "face68": PointMap(face.joint_weights, sparse.csr_array(keep @ face.vertex_weights))}
    old = replace(body, landmarks=landmarks, file_components=(10, 0), points=points)
    found = figures(old)
    assert not any("Expression" in strip.heading for strip in found)
    close = captioned(found, "face68")
    assert close.markers is not None
    assert np.array_equal(close.markers.present, inner)
    box = captioned(figures(body), "face68").focus
    assert (close.focus >= box.min(axis=0) - 1e-6).all()
    assert (close.focus <= box.max(axis=0) + 1e-6).all()


def test_models_of_men_and_women_get_sheets_of_their_own(small_root: Path, tmp_path: Path) -> None:
    folder = small_root / "flame"
    shutil.rmtree(small_root / "mano")
    (folder / "FLAME_NEUTRAL.npz").rename(folder / "FLAME_MALE.npz")
    table = done(sheets(tmp_path / "out", small_root))
    assert table.rows == (("flame-male", str(tmp_path / "out" / "flame-male.png")),)
    assert (tmp_path / "out" / "flame-male.png").stat().st_size > 10_000


def test_a_component_moves_the_body_to_both_sides_of_the_mean(strips: dict[str, list[FigureStrip]]) -> None:
    less, more = (captioned(strips["smplx"], f"1: {sign}2").vertices for sign in "-+")
    heights = [np.ptp(vertices[:, 1]) for vertices in (less, more)]
    assert abs(heights[0] - heights[1]) > 0.2  # four standard deviations of stature
    mean = captioned(strips["smplx"], "h36m17").vertices
    assert np.abs((less - less.mean(0) + more - more.mean(0)) / 2 - (mean - mean.mean(0))).max() < 0.02


def test_the_views_are_of_the_sides_they_name(strips: dict[str, list[FigureStrip]]) -> None:
    front, left, back = strips["smplx"][0].figures
    toes = front.vertices[:, 1] < front.vertices[:, 1].min() + 0.03
    assert front.vertices[toes, 2].max() > 0.1  # towards the viewer
    assert left.vertices[toes, 0].min() < -0.1  # a person seen from the left looks to the left
    assert back.vertices[toes, 2].min() < -0.1


def test_left_points_are_blue_and_on_the_right_of_a_figure_that_faces_the_viewer(
    bodies: dict[str, BodyModelData], strips: dict[str, list[FigureStrip]]
) -> None:
    figure = captioned(strips["smplx"], "h36m17")
    strip = FigureStrip("points", (200, 300), [figure])
    painter = SheetPainter(bodies["smplx"].faces)
    try:
        picture = painter.strip(strip).tiles[0].picture.astype(int)
    finally:
        painter.close()
    assert picture.shape == (300, 200, 3)
    columns = {
        name: np.nonzero(np.abs(picture - color).max(axis=-1) < 30)[1] for name, color in (("o", ORANGE), ("b", BLUE))
    }
    assert len(columns["o"]) > 20
    assert len(columns["b"]) > 20
    assert columns["o"].mean() < 100 < columns["b"].mean()
    inked = np.nonzero(picture.min(axis=-1) < 250)
    assert abs((inked[0].min() + inked[0].max()) / 2 - 150) < 6  # in the middle of its tile
    assert inked[0].min() >= 5
    assert inked[1].min() >= 5


def test_the_command_writes_one_readable_picture_per_family(small_root: Path, tmp_path: Path) -> None:
    table = done(sheets(tmp_path / "out", small_root))
    assert [row[0] for row in table.rows] == list(SMALL)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{family}.png" for family in SMALL}
    for family in SMALL:
        path = tmp_path / "out" / f"{family}.png"
        picture = cv2.imread(str(path))
        assert picture is not None
        assert picture.shape[1] > 1400
        assert 0.05 < (picture < 250).any(axis=-1).mean() < 0.7
        assert path.stat().st_size < 400_000


def test_it_needs_neither_window_nor_torch(small_root: Path, tmp_path: Path) -> None:
    shutil.rmtree(small_root / "mano")
    blocked = ("PySide6", "qtpy", "pyqtgraph", "torch", "smplx")
    finished = run_blocked(blocked, ["bodies", "sheet", str(tmp_path / "out"), str(small_root), "--progress", "none"])
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "out" / "flame.png").exists()


def test_a_folder_without_models_is_told(tmp_path: Path) -> None:
    with pytest.raises(BodyModelError, match="holds no body model"):
        done(sheets(tmp_path / "out", tmp_path))
    assert not (tmp_path / "out").exists()
    told = run_main("bodies", "sheet", tmp_path / "out", tmp_path, code=1)
    assert "Traceback" not in told.stderr


def test_a_palette_keeps_greys_to_a_step_and_colours_to_five() -> None:
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(0, 256, (40, 30, 1)), 3, axis=2)
    color = rng.integers(0, 256, (40, 30, 3))
    picture = np.concatenate([grey, color], axis=1).astype(np.uint8)
    back = cv2.imdecode(np.frombuffer(palette_png(picture), np.uint8), cv2.IMREAD_COLOR)
    assert back is not None
    missed = np.abs(back[..., ::-1].astype(int) - picture)
    assert missed[:, :30].max() <= 2
    assert missed.max() <= 33
    assert len(np.unique(back.reshape(-1, 3), axis=0)) <= 256
