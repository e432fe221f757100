"""Plain tables of text for the terminal and for logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from annotator.progress import duration_text

__all__ = ["Table", "bytes_text", "counted", "duration_text", "sentences"]


@dataclass(frozen=True)
class Table:
    """A heading, column titles, and rows of text; columns after the first are aligned right.

    Attributes:
        notes: sentences to print under the table.
        lack: what a person has to mend, in one sentence for stderr; the command then ends with status 1.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    lack: str = ""

    def text(self) -> str:
        """The table as lines of text."""
        widths = [max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))]
        lines = [self.title] if self.title else []
        if self.rows:
            lines += [_line(self.columns, widths), "  ".join("-" * width for width in widths)]
            lines += [_line(row, widths) for row in self.rows]
        return "\n".join([*lines, *self.notes])


def sentences(*notes: str) -> Table:
    """A table of nothing but what there is to say."""
    return Table("", (), (), notes)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]).rstrip()


def counted(count: int, thing: str) -> str:
    """`1 verdict`, `2 verdicts`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def bytes_text(count: int) -> str:
    """A size for people, in powers of 1000 as disks are sold."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
