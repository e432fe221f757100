"""Which samples a run is over, and which run is meant where nobody named one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from annotator.annotators import LEARNS
from annotator.annotators.fitted import kinds
from annotator.bodies.files import BodyModelData, load_body_model
from annotator.errors import BodyModelError, RunError, UnknownNameError
from annotator.fit import Fits
from annotator.outside import is_file, short
from annotator.part import HANDS
from annotator.project import TARGET, Project
from annotator.runs import FINISHED, Run

_NAMED = 10


def chosen_datasets(project: Project, names: Iterable[str]) -> tuple[str, ...]:
    """The data sets named, or all of the project.

    Raises:
        UnknownNameError: there is none of that name.
    """
    known = project.datasets()
    for name in names:
        if name not in known:
            raise UnknownNameError("data set", short(name), known)
    return tuple(names) or tuple(known)


def chosen_samples(
    project: Project,
    data: tuple[str, ...],
    samples: str,
    *,
    need_target: bool = True,
    tables: tuple[str, ...] = ("body",),
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Data sets and sample keys that a run is over; no keys where it is over all samples of those data sets.

    A data set of which no sample is named takes no part.

    Args:
        need_target: whether one of them must be a target set: one that learns annotates nothing else.
        tables: parts of the samples that one which optimises is over.

    Raises:
        RunError: a sample is unknown or not in `data`, or nothing is left to annotate.
    """
    datasets = chosen_datasets(project, data) if need_target else _with_any(project, data, tables)
    keys = named_samples(project, samples) if samples else ()
    part = next((key for key in keys if key.count("/") > 1 and key.rpartition("/")[2] not in tables), "")
    if part and not need_target:
        raise RunError(
            f"--samples names {part}, and this run is over {kinds(tables)}; name its person, {part.rpartition('/')[0]}."
        )
    of_keys = {key.split("/", 1)[0] for key in keys}
    if beside := sorted(of_keys - set(datasets)):
        raise RunError(
            f"--samples names people of {', '.join(beside)}, which --data leaves out; name that data set too."
        )
    chosen = tuple(name for name in datasets if not keys or name in of_keys)
    known = project.datasets()
    if not chosen and not need_target:
        raise RunError(f"{project.path} has no data set with {kinds(tables)} to annotate; import one first.")
    if need_target and not any(known[name].role == TARGET for name in chosen):
        if keys:
            raise RunError("--samples names nobody of a target data set, so there is nothing to annotate; add some.")
        raise RunError(
            f"{project.path} has no target data set to annotate; import one with `import ... --role target`."
        )
    return chosen, keys


def _with_any(project: Project, names: tuple[str, ...], tables: tuple[str, ...]) -> tuple[str, ...]:
    """The data sets named, or all that have such samples: a data set of hands takes no part where bodies are fitted."""
    known = project.datasets()
    chosen = chosen_datasets(project, names)
    lacking = [name for name in chosen if not any(known[name].parts.get(table) for table in tables)]
    if names and lacking:
        words = kinds(tables)
        raise RunError(
            f"The data set {lacking[0]} has no {words.replace(' and ', ' or ')}, and this run is over {words}; leave it out."
        )
    return tuple(name for name in chosen if name not in lacking)


def named_samples(project: Project, words: str) -> tuple[str, ...]:
    """The keys in `words` (with commas) or in the file of that name (one a line, # begins a comment), each once.

    Raises:
        RunError: one is not in the project, or the file cannot be read.
    """
    if is_file(Path(words)):
        try:
            text = Path(words).read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise RunError(
                f"The list of samples {words} cannot be read; give a text file with one key a line."
            ) from error
        named = [line.partition("#")[0].strip() for line in text.splitlines()]
    else:
        named = [word.strip() for word in words.split(",")]
    keys = tuple(dict.fromkeys(key for key in named if key))
    known: set[str] = set()
    for name, info in project.datasets().items():
        for part in info.parts:
            known.update(project.samples(name, part).keys)
    if unknown := [key for key in keys if key not in known]:
        some = ", ".join(short(key) for key in unknown[:_NAMED])
        more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
        raise RunError(
            f"The project has no samples called {some}{more}; a sample is named by its data set and id, as in coco/442619."
        )
    if not keys:
        raise RunError(f"--samples {short(words)} names nobody; leave it out to use all samples.")
    return keys


def chain_of(project: Project, source: str) -> Iterator[Run]:
    """The run of that id, that from which it came, and so on to the first; none for an empty id.

    Raises:
        RunError: one of them is not there any more.
    """
    seen: set[str] = set()
    while source and source not in seen:
        seen.add(source)
        run = project.run(source)
        yield run
        source = run.info.source


def covering_run(project: Project, data: Iterable[str] = ()) -> Run:
    """The newest finished `neuralannot` run that has a fit for every target sample (of the data sets named).

    Raises:
        RunError: there is none.
    """
    known = project.datasets()
    targets = [name for name, info in known.items() if info.role == TARGET and (not data or name in set(data))]
    tables = [(name, part) for name in targets for part, count in known[name].parts.items() if count]
    tables = [table for table in tables if table[1] == "body"] or tables  # without bodies: hands and faces
    wanted = {table: project.samples(*table).index_of.keys() for table in tables}
    for run in reversed(project.runs()):
        if run.info.annotator != LEARNS or run.state != FINISHED:
            continue
        if wanted and all(covers(run, name, keys, part) for (name, part), keys in wanted.items()):
            return run
    damaged = "".join(f" {sentence}" for _, sentence in project.damaged_runs()[:1])
    raise RunError(
        f"{project.path} has no finished neuralannot run that covers every target sample; start one with `run`, or name one "
        f"with --run.{damaged}"
    )


def covers(run: Run, dataset: str, keys: Collection[str], part: str = "body") -> bool:
    """Whether a run has a fit of every sample of a part."""
    fits = best_fits(run, dataset) if part == "body" else run.fits(dataset, part)
    return fits is not None and fits.index_of.keys() >= set(keys)


def body_of(project: Project, run: Run, fits: Fits) -> BodyModelData:
    """The body model that fits belong to.

    Raises:
        BodyModelError: the project has another one, or none.
    """
    family = fits.header.family
    own = HANDS.models[fits.header.part] if family == HANDS.family else family
    body = load_body_model(project.body_model_root(family), own)
    if body.hash != fits.header.body_hash:
        raise BodyModelError(
            f"The fits of {run.id} belong to another {family} body model ({fits.header.body_hash}) than the project has "
            f"({body.hash}); relink the files they belong to with `relink {project.path} body_models=PATH`."
        )
    return body


def best_fits(run: Run, dataset: str) -> Fits | None:
    """The fits that stand for a data set's people."""
    part = run.person_part(dataset)
    return run.fits(dataset, part) if part else None
