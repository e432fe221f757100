"""`import`: an annotation file becomes a data set of the project, with a report of who was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path

from annotator.commands.table import Table, sentences
from annotator.datasetfolder import DatasetInfo, Refusal
from annotator.datasets import Source, reader_of
from annotator.errors import DatasetError, UnknownNameError
from annotator.outside import is_dir, is_text, resolved, short
from annotator.progress import Progress
from annotator.project import AUXILIARY, TARGET, Project, file_hash, require_dataset_name

_NAMED = 20
_PARTS = {
    "lhand": ("left hand", "left hands"),
    "rhand": ("right hand", "right hands"),
    "face": ("face", "faces"),
}


def import_dataset(
    path: Path,
    format: str,
    annotations: Path,
    *,
    images: Path | None = None,
    role: str | None = None,
    name: str | None = None,
    split: str | None = None,
) -> Generator[Progress, None, Table]:
    """Reads `annotations` and adds the data set, all or nothing.

    Args:
        images: folder of the photos; default the annotations' folder.
        role: "target" or "auxiliary"; default auxiliary where the format has 3D joints.
        name: of the data set; default the format's name.

    Raises:
        DatasetError: the file's structure is wrong, or nobody in it could be read.
    """
    project = Project.open(path)
    read = reader_of(format)
    if role not in (None, TARGET, AUXILIARY):
        raise UnknownNameError("role", role, (TARGET, AUXILIARY))
    name = format if name is None else name
    require_dataset_name(name)
    project.require_idle(name)  # at once, not after an hour of reading; `add` looks again
    if split is not None and not is_text(split):
        raise DatasetError(f"The split '{short(split)}' is not UTF-8; give it another name.")
    folder = images or (annotations if is_dir(annotations) else annotations.parent)
    if not is_dir(folder):
        raise DatasetError(f"There is no image folder {short(str(folder))}; say where the photos are with --images.")
    source = Source(annotations, folder, name, split)
    result = yield from read(source)
    parts = {part: len(samples) for part, samples in result.tables.items()}
    total = sum(parts.values())
    if not total:
        raise DatasetError(
            f"Nobody in {annotations} could be read ({_reasons(result.refused, folder) or 'it names nobody'}); nothing was "
            f"imported{_advice(result.refused)}."
        )
    has_joints = any(samples.joints is not None for samples in result.tables.values())
    if role == AUXILIARY and not has_joints:
        raise DatasetError(
            f"{annotations} holds no 3D joints, so it cannot be an auxiliary set; import it with --role target."
        )
    yield Progress("Writing samples", 0, total, "samples")
    info = DatasetInfo(
        name=source.name,
        reader=format,
        role=role or (AUXILIARY if has_joints else TARGET),
        image_root=source.name,
        sources={str(resolved(file)): file_hash(file) for file in result.files},
        parts=parts,
        refused=result.refused,
    )
    project.add(info, result.tables, folder)
    yield Progress("Writing samples", total, total, "samples")
    return _report(info, folder, result.notes)


def _report(info: DatasetInfo, folder: Path, notes: tuple[str, ...]) -> Table:
    lines = [*_counted(info)]
    lines += [f"Left out {refusal.id}: {refusal.reason}." for refusal in info.refused[:_NAMED]]
    if len(info.refused) > _NAMED:
        rest = _reasons(info.refused[_NAMED:], folder)
        all_named = f"all of them are named in datasets/{info.name}/dataset.json"
        lines += [f"... and {rest}; {all_named}{_advice(info.refused)}."]
    return sentences(*lines, *notes)


def _counted(info: DatasetInfo) -> Iterator[str]:
    """How many people came in, or hands where the data set is of hands; what of a person's is a sample of its own."""
    own = {part: count for part, count in info.parts.items() if part != "body"}
    if "body" in info.parts:
        came, lost, noun = info.parts["body"], sum("/" not in refusal.id for refusal in info.refused), "people"
    else:
        came, lost, noun = sum(own.values()), len(info.refused), "hands"
    yield f"Imported {came:,} of {came + lost:,} {noun} as '{info.name}' ({info.role})."
    if own and "body" in info.parts:
        yield f"Of these, {_listed(own)} {'is a sample' if sum(own.values()) == 1 else 'are samples'} of their own."
    elif len(own) > 1:
        yield f"They are {_listed(own)}."


def _listed(counts: Mapping[str, int]) -> str:
    words = [f"{count:,} {_PARTS[part][count != 1]}" for part, count in counts.items()]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _reasons(refused: Sequence[Refusal], folder: Path) -> str:
    """How many were left out for what; photos are not named, there may be thousands."""
    counts = Counter(f"the photo is not in {folder}" if refusal.photo else refusal.reason for refusal in refused)
    return ", ".join(f"{count:,} because {reason}" for reason, count in counts.most_common())


def _advice(refused: Sequence[Refusal]) -> str:
    return "; say where the photos are with --images" if any(refusal.photo for refusal in refused) else ""
