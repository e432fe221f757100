"""SMPL-H's hands: its official files hold none, so they are MANO's, as in the files that the smplx package opens.

MANO ships SMPL-H without hands (`SMPLH_male.pkl`), and so does AMASS (`male/model.npz`). Left and right MANO hold the mean
pose of a hand and its components, which mean the same in both models, since their fingers have the same joints.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from annotator.bodies.importing import HANDS, IMPORTED, Found, stored_hand
from annotator.bodies.layouts import BOTH_HANDS, LAYOUTS, ONE_HAND, model_path
from annotator.errors import BodyModelError


def lend_hands(models: list[Found], target: Path) -> None:
    """Gives every SMPL-H without hands those of MANO, from the same files or from `target`, and records which they were.

    Raises:
        BodyModelError: there is one without hands, and no MANO for it.
    """
    bare = [found for found in models if _is_bare(found)]
    if not bare:
        return
    given = {found.name: found for found in models if found.name in HANDS}
    there = [hand for name in HANDS if (hand := given.get(name) or _earlier(target, name)) is not None]
    lent = [hand for hand in there if hand.origin.startswith(IMPORTED)]
    if len(lent) < len(HANDS):
        missing = [LAYOUTS[name].stem for name in HANDS if name not in {hand.name for hand in lent}]
        beside = " (the open body's hands, which lie there, are not MANO's)" if len(there) > len(lent) else ""
        raise BodyModelError(
            f"{bare[0].path} is an SMPL-H, whose hands are MANO's and lie in files of their own: put "
            f"{' and '.join(missing)} of the MANO download beside it, or import them into {target} first{beside}."
        )
    sides = [(hand, LAYOUTS[hand.name].side) for hand in lent]
    arrays = {f"{key}{side[0]}": hand.arrays[key] for hand, side in sides for key in ONE_HAND}
    record = ", ".join(f"{side} {hand.origin}" for hand, side in sides)
    models[:] = [
        replace(found, arrays=found.arrays | arrays, hands=record) if _is_bare(found) else found for found in models
    ]


def _is_bare(found: Found) -> bool:
    return found.name == "smplh" and not set(BOTH_HANDS) & set(found.arrays)


def _earlier(target: Path, name: str) -> Found | None:
    """A hand of an earlier import."""
    path = model_path(target, name)
    return stored_hand(path) if path.exists() else None
