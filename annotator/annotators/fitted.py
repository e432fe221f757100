"""What annotators that optimise make fits of: their tables by the words of `--parts`, each with its samples and body model.

A left hand is fitted as what it is, on the model of a left hand; only networks want it mirrored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from annotator.annotators import FAMILY_OF
from annotator.part import FACES, HANDS, Part

_KINDS = {"body": "bodies", "rhand": "hands", "lhand": "hands", "face": "faces"}
"""What samples are called in sentences, by the part of their table."""


@dataclass(frozen=True)
class Fitted:
    """One table of fits.

    Attributes:
        part: of the fits. samples: part of the table of samples that they are of.
        family: of the body model. model: its name, as `load_body_model` takes it.
    """

    part: str
    samples: str
    family: str
    model: str

    @property
    def of_bodies(self) -> bool:
        """Whether it is of people, whose pose has a prior and can be taken from other fits; not of a hand or face alone."""
        return self.samples == "body"


def fitted_tables(annotator: str, words: Iterable[str]) -> tuple[Fitted, ...]:
    """The tables that the parts named come to."""
    tables: list[Fitted] = []
    for word in dict.fromkeys(words):
        if part := _PARTS.get(word):
            tables += [Fitted(table, table, part.family, model) for table, model in part.models.items()]
        else:
            tables.append(Fitted(word, "body", FAMILY_OF[annotator], FAMILY_OF[annotator]))
    return tuple(tables)


def kinds(tables: Iterable[str]) -> str:
    """What samples of these tables are called together: "bodies and faces"."""
    return " and ".join(dict.fromkeys(_KINDS[table] for table in tables))


_PARTS: Mapping[str, Part] = {part.word: part for part in (HANDS, FACES)}
