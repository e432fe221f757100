"""Scene meshes -> RGBA pixels, off-screen, by one reused VTK window: overlays, thumbnails, the demo's photos, tests.

The camera is an explicit projection matrix (fx != fy, any principal point), so the window's shape plays no part.
Meshes are drawn opaque; opacity, wipe and flicker are the compositor's. VTK is imported when the first one is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from viewers.scene import Intrinsics, SceneMesh

Region = tuple[float, float, float, float]
_FINE, _SAMPLES = 2, 4


@dataclass(frozen=True)
class Light:
    """Where light comes from and how strong it is.

    Attributes:
        direction: from the scene towards the lamp, in camera space (x right, y down, z forward).
    """

    direction: tuple[float, float, float]
    intensity: float
    color: tuple[float, float, float] = (1.0, 1.0, 1.0)


STUDIO = (
    Light((-0.45, -0.7, -0.75), 0.78),
    Light((0.9, -0.1, -0.4), 0.22),
    Light((0.35, -0.5, 0.9), 0.3),
)
"""A soft key light from the camera's upper left, a little fill, a rim from behind."""


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """`(V, 3)` float32 unit normals, the mean of the faces around each vertex weighted by their area."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices, dtype=np.float64)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(faces[:, corner], face_normals[:, axis], minlength=len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / np.where(length > 0, length, 1.0)).astype(np.float32)


def projection_matrix(intrinsics: Intrinsics, region: Region, near: float, far: float) -> np.ndarray:
    """OpenGL's `(4, 4)` for a camera that looks down its -z, showing `region` of the image.

    Args:
        region: x, y, w, h in px with the origin at the photo's corner, so pixel (u, v) has its centre at (u + 0.5, v + 0.5).
    """
    x, y, width, height = region
    cx, cy = intrinsics.cx + 0.5 - x, intrinsics.cy + 0.5 - y
    return np.array(
        [
            [2 * intrinsics.fx / width, 0, 1 - 2 * cx / width, 0],
            [0, 2 * intrinsics.fy / height, 2 * cy / height - 1, 0],
            [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)],
            [0, 0, -1, 0],
        ]
    )


def compose(photo: np.ndarray, overlay: np.ndarray, opacity: float = 1.0) -> np.ndarray:
    """`(H, W, 4)` uint8 straight RGBA over `(H, W, 3)` uint8, at an opacity in 0..1."""
    alpha = overlay[..., 3:].astype(np.float32) * (opacity / 255.0)
    return np.rint(photo * (1 - alpha) + overlay[..., :3] * alpha).astype(np.uint8)


def over(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """One straight RGBA picture over another, both `(H, W, 4)` uint8."""
    a, b = upper[..., 3:] / 255.0, lower[..., 3:] / 255.0
    alpha = a + b * (1 - a)
    color = (upper[..., :3] * a + lower[..., :3] * b * (1 - a)) / np.where(alpha > 0, alpha, 1.0)
    return np.rint(np.concatenate([color, 255 * alpha], axis=-1)).astype(np.uint8)


def _averaged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of `factor` x `factor` blocks of a premultiplied picture (its ground is black), as a straight one."""
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    total = pixels.reshape(height, factor, width, factor, 4).sum(axis=(1, 3), dtype=np.uint16)
    alpha = total[..., 3:].astype(np.float32)
    color = total[..., :3] * (255.0 / np.where(alpha > 0, alpha, 1.0))
    mean = alpha / factor**2
    return np.rint(np.concatenate([np.minimum(color, 255.0), mean], axis=-1)).astype(np.uint8)


def _new_window() -> Any:
    """VTK's window of whatever kind works here; it asks for an X server first and warns if there is none, which is no news."""
    import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  # pyright: ignore[reportUnusedImport]  # registers OpenGL
    from vtkmodules.vtkCommonCore import vtkLogger
    from vtkmodules.vtkRenderingCore import vtkRenderWindow

    before = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_ERROR)
    try:
        return vtkRenderWindow()
    finally:
        vtkLogger.SetStderrVerbosity(vtkLogger.ConvertToVerbosity(before))


class MeshRenderer:
    """Renders meshes off-screen. One per thread; `close` it when done."""

    def __init__(self) -> None:
        from vtkmodules.vtkRenderingCore import vtkRenderer

        self._window = _new_window()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(0)
        self._window.SetAlphaBitPlanes(1)
        self._renderer: Any = vtkRenderer()
        self._renderer.SetBackground(0, 0, 0)
        self._renderer.SetBackgroundAlpha(0.0)
        self._renderer.SetAutomaticLightCreation(False)
        self._window.AddRenderer(self._renderer)
        self._actors: list[_MeshActor] = []
        self._lights: tuple[Light, ...] = ()

    def render(
        self,
        meshes: Sequence[SceneMesh],
        *,
        region: Region,
        size: tuple[int, int],
        lights: tuple[Light, ...] = STUDIO,
        ambient: float = 0.24,
        fine: bool = False,
    ) -> np.ndarray:
        """`(H, W, 4)` uint8 straight RGBA; alpha is 255 on meshes and 0 elsewhere, in between on the silhouette if `fine`.

        Args:
            region: x, y, w, h of the image in px, corner-origin.
            size: width and height of the output.
            fine: sixteen samples a pixel, in four rows each way: an edge is then within an eighth of a pixel of where it
                belongs. Takes four times as long.
        """
        groups: dict[Intrinsics, list[SceneMesh]] = {}
        for mesh in meshes:
            groups.setdefault(mesh.intrinsics, []).append(mesh)
        image = np.zeros((size[1], size[0], 4), np.uint8)
        for intrinsics, group in groups.items():
            layer = self._render_group(group, intrinsics, region, size, lights, ambient, fine)
            image = over(layer, image) if len(groups) > 1 else layer
        return image

    def close(self) -> None:
        """Frees the window; the renderer cannot be used after."""
        self._actors.clear()
        self._window.RemoveRenderer(self._renderer)
        self._window.Finalize()

    def _render_group(
        self,
        meshes: list[SceneMesh],
        intrinsics: Intrinsics,
        region: Region,
        size: tuple[int, int],
        lights: tuple[Light, ...],
        ambient: float,
        fine: bool,
    ) -> np.ndarray:
        factor = _FINE if fine else 1
        self._window.SetMultiSamples(_SAMPLES if fine else 0)
        self._set_lights(lights)
        while len(self._actors) < len(meshes):
            self._actors.append(_MeshActor(self._renderer))
        for actor, mesh in zip(self._actors, meshes, strict=False):
            actor.show(mesh, ambient)
        for actor in self._actors[len(meshes) :]:
            actor.hide()
        depths = np.concatenate([mesh.vertices[:, 2] for mesh in meshes])
        near = max(float(depths.min()) * 0.95, 0.05)
        far = max(float(depths.max()) * 1.05, near * 1.5)
        self._set_camera(projection_matrix(intrinsics, region, near, far), near, far)
        large = (size[0] * factor, size[1] * factor)
        self._window.SetSize(*large)
        self._window.Render()
        pixels = self._read(large)
        return _averaged(pixels, factor) if fine else pixels

    def _set_camera(self, projection: np.ndarray, near: float, far: float) -> None:
        from vtkmodules.vtkCommonMath import vtkMatrix4x4

        matrix: Any = vtkMatrix4x4()
        matrix.DeepCopy(projection.ravel().tolist())
        camera: Any = self._renderer.GetActiveCamera()
        camera.SetPosition(0, 0, 0)
        camera.SetFocalPoint(0, 0, 1)
        camera.SetViewUp(0, -1, 0)
        camera.SetClippingRange(near, far)
        camera.SetUseExplicitProjectionTransformMatrix(True)
        camera.SetExplicitProjectionTransformMatrix(matrix)

    def _set_lights(self, lights: tuple[Light, ...]) -> None:
        if lights == self._lights:
            return
        from vtkmodules.vtkRenderingCore import vtkLight

        self._renderer.RemoveAllLights()
        for light in lights:
            lamp: Any = vtkLight()
            lamp.SetLightTypeToSceneLight()
            lamp.SetPositional(False)
            lamp.SetPosition(*light.direction)
            lamp.SetFocalPoint(0, 0, 0)
            lamp.SetIntensity(light.intensity)
            lamp.SetColor(*light.color)
            self._renderer.AddLight(lamp)
        self._lights = lights

    def _read(self, size: tuple[int, int]) -> np.ndarray:
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        pixels: Any = vtkUnsignedCharArray()
        self._window.GetRGBACharPixelData(0, 0, size[0] - 1, size[1] - 1, 0, pixels)
        rows: np.ndarray = vtk_to_numpy(pixels).reshape(size[1], size[0], 4)
        return rows[::-1].copy()


class _MeshActor:
    """One VTK actor; as long as the faces stay the same its points are changed in place.

    VTK shares the memory of three arrays of ours: points, normals, colours.
    """

    def __init__(self, renderer: Any) -> None:
        from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper

        self._faces: np.ndarray | None = None
        self._points = self._normals = np.zeros((0, 3), np.float32)
        self._colors = np.zeros((0, 3), np.uint8)
        self._data: Any = None
        self._mapper: Any = vtkPolyDataMapper()
        self._actor: Any = vtkActor()
        self._actor.SetMapper(self._mapper)
        look = self._actor.GetProperty()
        look.SetDiffuse(1.0)
        look.SetSpecular(0.0)
        look.SetInterpolationToPhong()
        renderer.AddActor(self._actor)

    def show(self, mesh: SceneMesh, ambient: float) -> None:
        """Takes over the mesh's points, colours and normals."""
        if self._faces is None or not np.array_equal(self._faces, mesh.faces):
            self._build(mesh)
        self._points[:] = mesh.vertices
        self._normals[:] = vertex_normals(mesh.vertices, mesh.faces)
        self._colors[:] = np.rint(np.array(mesh.color) * 255) if mesh.vertex_colors is None else mesh.vertex_colors
        for changed in (self._data.GetPoints(), *map(self._data.GetPointData().GetArray, (0, 1)), self._data):
            changed.Modified()
        self._actor.GetProperty().SetAmbient(ambient)
        self._actor.SetVisibility(True)

    def hide(self) -> None:
        """Leaves the mesh out of the next picture."""
        self._actor.SetVisibility(False)

    def _build(self, mesh: SceneMesh) -> None:
        from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
        from vtkmodules.vtkCommonCore import vtkPoints
        from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData

        count = len(mesh.vertices)
        self._faces = mesh.faces
        self._points, self._normals = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
        self._colors = np.zeros((count, 3), np.uint8)
        points, cells, data = vtkPoints(), vtkCellArray(), vtkPolyData()
        points.SetData(numpy_to_vtk(self._points))
        ids = np.ascontiguousarray(mesh.faces.ravel(), np.int64)
        cells.SetData(3, numpy_to_vtkIdTypeArray(ids, deep=True))
        data.SetPoints(points)
        data.SetPolys(cells)
        data.GetPointData().SetNormals(numpy_to_vtk(self._normals))
        data.GetPointData().SetScalars(numpy_to_vtk(self._colors))
        self._data = data
        self._mapper.SetInputData(data)
