"""What the verdicts on one round's fits say to the next round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from annotator.errors import RunError
from annotator.part import WHOLE
from annotator.progress import Progress, Work
from annotator.reviews import frozen
from annotator.runs import Run
from annotator.verdict import Verdict

_PARTS_OF_PERSON = ("/lhand", "/rhand", "/face")
"""Endings of the keys of a person's hands and face."""


def verdicts_of(current: Run) -> Mapping[str, Verdict]:
    """The verdicts that were in force when a run began, by sample key.

    One on a person as a whole is one on his body, hands and face, but for a hand or face that has one of its own.
    It counts before one on the body alone, which was given before the parts were joined and is not shown any more.
    """
    if not current.verdicts_path.exists():
        if current.info.round > 1:
            raise RunError(
                f"{current.verdicts_path}, the verdicts that {current.id} began with, is missing; put it back from a copy, or "
                "start that round anew without --resume."
            )
        return {}
    judged = frozen(current.verdicts_path)
    whole = {fit.sample: verdict for fit, verdict in judged.items() if fit.part == WHOLE}
    spread = {key + ending: verdict for key, verdict in whole.items() for ending in ("", *_PARTS_OF_PERSON)}
    return spread | {fit.sample: verdict for fit, verdict in judged.items() if fit.sample not in whole}


def told(before: Run | None, verdicts: Mapping[str, Verdict]) -> Work:
    """How many people of the run before were judged how, and what that does; nothing where no round came before."""
    if before is None:
        return
    counts = Counter(verdict for key, verdict in verdicts.items() if key.count("/") == 1)
    words = ", ".join(f"{counts[verdict]:,} {verdict.value}" for verdict in Verdict if counts[verdict]) or "none"
    sentence = (
        f"Verdicts on people of {before.id}: {words}. A rejected fit teaches its 2D keypoints alone, an accepted one is "
        "imitated, all others follow the recipe's `unseen`."
    )
    yield Progress("Starting", message=sentence)
