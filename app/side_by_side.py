"""Two fits of one person -> what the views draw and the numbers say: how far apart they are, and the meshes in one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from annotator.fit import Fit
from app.scenes import Bodies, fit_mesh
from app.session import Session
from app.shelf import Shelf
from viewers.distance_colors import distance_colors
from viewers.scene import SceneMesh

if TYPE_CHECKING:
    from annotator.comparing import Distance, Placed


@dataclass(frozen=True)
class SideBySide:
    """Two fits of the current person.

    Attributes:
        left, right: their meshes over the photo, or the sentence that says why there is none; empty while it may come.
        panes: the same meshes in the crop frame with the pelves in one place, for the 3D view.
        distance: of the two; None where there are not two.
    """

    left: SceneMesh | str
    right: SceneMesh | str
    panes: tuple[SceneMesh | str, SceneMesh | str]
    distance: Distance | None

    @property
    def can_be_colored(self) -> bool:
        """Whether there is a distance for each vertex."""
        return self.distance is not None and self.distance.per_vertex


def side_by_side(session: Session, bodies: Bodies) -> SideBySide | None:
    """The two fits of the current person; None while nothing is compared."""
    right = session.comparison.right
    if session.shelf is None or right is None or session.sample is None:
        return None
    from annotator.comparing import brought_onto, distance  # not before it is wanted: it brings the body models

    sides = ((session.shelf, session.fit), (right, session.right_fit))
    meshes = [fit_mesh(shelf, fit, bodies) for shelf, fit in sides]
    places = [_placed(session, shelf, fit, bodies) for shelf, fit in sides]
    one, other = places
    if session.comparison.similarity and one is not None and other is not None:
        other = places[1] = brought_onto(one, other)
    apart = distance(one, other) if one is not None and other is not None else None
    colored = apart is not None and apart.per_vertex and session.comparison.colored
    colors = distance_colors(apart.mm, session.comparison.range_mm) if apart is not None and colored else None
    panes = [
        replace(mesh, vertices=place.vertices.astype("float32"), vertex_colors=colors)
        if isinstance(mesh, SceneMesh) and place is not None
        else mesh
        for mesh, place in zip(meshes, places, strict=True)
    ]
    return SideBySide(meshes[0], meshes[1], (panes[0], panes[1]), apart)


def _placed(session: Session, shelf: Shelf, fit: Fit | None, bodies: Bodies) -> Placed | None:
    from annotator.comparing import crop_of_sample, placed

    mesh = fit_mesh(shelf, fit, bodies)
    if fit is None or not isinstance(mesh, SceneMesh) or session.sample is None:
        return None
    posed = bodies.posed(shelf, fit)
    return placed(posed, fit, crop_of_sample(session.sample)) if posed is not None else None


def run_title(shelf: Shelf | None) -> str:
    """What a run is called over a picture of its fit; nothing where there is none."""
    return shelf.run.id if shelf is not None and shelf.run is not None else ""
