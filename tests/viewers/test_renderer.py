"""Where meshes land, against arithmetic: area centroids of a convex mesh, at random cameras."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from viewers.renderer import MeshRenderer, compose, projection_matrix, vertex_normals
from viewers.scene import Intrinsics, SceneMesh

ROOT = Path(__file__).resolve().parents[2]


def box_mesh(center: np.ndarray, half: np.ndarray, intrinsics: Intrinsics) -> SceneMesh:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    faces = [
        [0, 1, 3],
        [0, 3, 2],
        [4, 6, 7],
        [4, 7, 5],
        [0, 4, 5],
        [0, 5, 1],
        [2, 3, 7],
        [2, 7, 6],
        [0, 2, 6],
        [0, 6, 4],
    ]
    faces += [[1, 5, 7], [1, 7, 3]]
    return SceneMesh((center + half * corners).astype(np.float32), np.array(faces, np.int32), intrinsics)


def random_case(seed: int) -> tuple[SceneMesh, np.ndarray]:
    """A box seen by a random camera (fx != fy, off-centre) and the exact outline of its projection."""
    rng = np.random.default_rng(seed)
    camera = Intrinsics(*rng.uniform(700, 1500, 2), *(np.array([320, 240]) + rng.uniform(-150, 150, 2)))
    depth = rng.uniform(3, 6)
    aim = np.array([rng.uniform(200, 440), rng.uniform(160, 320)])
    center = np.array([(aim[0] - camera.cx) / camera.fx * depth, (aim[1] - camera.cy) / camera.fy * depth, depth])
    mesh = box_mesh(center, rng.uniform(0.25, 0.4, 3), camera)
    v = mesh.vertices.astype(float)
    pixels = np.stack([camera.fx * v[:, 0] / v[:, 2] + camera.cx, camera.fy * v[:, 1] / v[:, 2] + camera.cy], axis=1)
    return mesh, outline(pixels)


def outline(points: np.ndarray) -> np.ndarray:
    """Convex hull, in order."""
    from scipy.spatial import ConvexHull

    return points[ConvexHull(points).vertices]


def centroid(polygon: np.ndarray) -> np.ndarray:
    """Area centroid by the shoelace formula."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    return ((a + b) * cross[:, None]).sum(axis=0) / (3 * cross.sum())


def drawn_centroid(alpha: np.ndarray) -> np.ndarray:
    weight = alpha.astype(float)
    ys, xs = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    return np.array([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()


@pytest.fixture(scope="module")
def renderer():
    made = MeshRenderer()
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_mesh_lands_where_arithmetic_says(renderer: MeshRenderer, seed: int) -> None:
    mesh, polygon = random_case(seed)
    assert np.ptp(polygon[:, 0]) > 100
    image = renderer.render([mesh], region=(0, 0, 640, 480), size=(640, 480), fine=True)
    assert np.abs(drawn_centroid(image[..., 3]) - centroid(polygon)).max() < 0.1


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_a_region_at_another_resolution_lands_there_too(renderer: MeshRenderer, scale: float) -> None:
    mesh, polygon = random_case(3)
    low = np.floor(polygon.min(axis=0)) - 8
    extent = np.ceil(polygon.max(axis=0) - low) + 8
    size = (round(extent[0] * scale), round(extent[1] * scale))
    region = (*low, size[0] / scale, size[1] / scale)
    found = drawn_centroid(renderer.render([mesh], region=region, size=size, fine=True)[..., 3])
    in_image = (found + 0.5) / scale + low - 0.5  # region is corner-origin; pixel centres are integers
    assert np.abs(in_image - centroid(polygon)).max() < max(0.1, 0.1 / scale)


def test_pixels_are_opaque_or_empty_and_lit(renderer: MeshRenderer) -> None:
    mesh, _ = random_case(0)
    image = renderer.render([mesh], region=(0, 0, 640, 480), size=(640, 480))
    assert set(np.unique(image[..., 3])) == {0, 255}
    assert image[image[..., 3] > 0, :3].mean() > 60
    assert not image[image[..., 3] == 0].any()


def test_fine_pictures_have_soft_edges_and_the_same_inside(renderer: MeshRenderer) -> None:
    mesh, _ = random_case(0)
    view = {"region": (0, 0, 640, 480), "size": (640, 480), "lights": (), "ambient": 1.0}
    rough, fine = (renderer.render([mesh], **view, fine=f) for f in (False, True))
    assert 0.001 < ((fine[..., 3] > 0) & (fine[..., 3] < 255)).mean() < 0.02
    edge, solid = (fine[..., 3] > 0) & (fine[..., 3] < 255), fine[..., 3] == 255
    assert np.ptp(fine[solid, :3]) == 0  # unlit, so one colour everywhere
    assert np.abs(fine[edge, :3].astype(int) - fine[solid, :3].max()).max() <= 3  # not darkened by the black ground
    inside = (rough[..., 3] == 255) & (fine[..., 3] == 255)
    assert np.abs(rough[inside].astype(int) - fine[inside]).mean() < 2


def test_the_nearer_mesh_hides_the_farther(renderer: MeshRenderer) -> None:
    camera = Intrinsics(800, 800, 160, 120)
    far = box_mesh(np.array([0, 0, 6.0]), np.full(3, 0.5), camera)
    near = SceneMesh(box_mesh(np.array([0, 0, 4.0]), np.full(3, 0.2), camera).vertices, far.faces, camera, (1.0, 0, 0))
    image = renderer.render([near, far], region=(0, 0, 320, 240), size=(320, 240))
    assert image[120, 160, 0] > 2 * image[120, 160, 1]
    other = renderer.render([far, near], region=(0, 0, 320, 240), size=(320, 240))
    assert np.array_equal(image, other)


def test_a_mesh_that_goes_is_gone(renderer: MeshRenderer) -> None:
    mesh, _ = random_case(0)
    renderer.render([mesh, mesh], region=(0, 0, 640, 480), size=(640, 480))
    assert not renderer.render([], region=(0, 0, 64, 48), size=(64, 48)).any()


def test_another_topology_replaces_the_old_one(renderer: MeshRenderer) -> None:
    mesh, _ = random_case(0)
    renderer.render([mesh], region=(0, 0, 640, 480), size=(640, 480))
    half = SceneMesh(mesh.vertices, mesh.faces[:2], mesh.intrinsics)
    few = renderer.render([half], region=(0, 0, 640, 480), size=(640, 480))
    again = renderer.render([mesh], region=(0, 0, 640, 480), size=(640, 480))
    assert (few[..., 3] > 0).sum() < (again[..., 3] > 0).sum()


def test_the_projection_matrix_by_hand() -> None:
    matrix = projection_matrix(Intrinsics(100, 200, 31.5, 23.5), (0, 0, 64, 48), 1, 10)
    point = matrix @ np.array([0.16, -0.12, -2.0, 1])  # camera space of OpenGL: y up, z back
    ndc = point[:3] / point[3]
    assert np.allclose(ndc[:2], [2 * (100 * 0.16 / 2 + 32) / 64 - 1, 1 - 2 * (200 * 0.12 / 2 + 24) / 48])


def test_normals_of_a_box_point_outwards() -> None:
    mesh = box_mesh(np.zeros(3), np.ones(3), Intrinsics(1, 1, 0, 0))
    normals = vertex_normals(mesh.vertices, mesh.faces)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert ((normals * mesh.vertices).sum(axis=1) > 0.5).all() or ((normals * mesh.vertices).sum(axis=1) < -0.5).all()


def test_compositing_by_hand() -> None:
    photo = np.full((1, 2, 3), 100, np.uint8)
    overlay = np.array([[[200, 0, 0, 255], [9, 9, 9, 0]]], np.uint8)
    assert compose(photo, overlay, 0.5).tolist() == [[[150, 50, 50], [100, 100, 100]]]


def test_without_a_display_vtk_says_nothing() -> None:
    code = "import logging\nfrom viewers.renderer import MeshRenderer\nMeshRenderer().close()\nlogging.warning('ours')"
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert ended.stdout + ended.stderr == "WARNING:root:ours\n"
