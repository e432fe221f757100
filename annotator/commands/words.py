"""From the words of a command line to a command and its exit status: options that every command has, groups, refusals.

Which commands there are, and with which options, is in `main.py`.
"""

from __future__ import annotations

import errno
import inspect
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import cyclopts
from cyclopts import App, Group, Parameter

from annotator.commands.drive import Said, Show, tell
from annotator.errors import NeuralAnnotError
from annotator.outside import short

ProgressOption = Annotated[Show, Parameter(name="--progress", help="bar, json (one object a line on stdout) or none.")]
JobOption = Annotated[Path | None, Parameter(name="--job", show=False)]
_ON_EVERY_COMMAND = (("progress", ProgressOption, Show.BAR), ("job", JobOption, None))


class WrongUsageError(Exception):
    """Words that the parser let through and the command cannot understand; what the parser refuses it tells itself."""


def parser(text: str) -> App:
    """The parser of `main.py`, without commands.

    Args:
        text: what its help says first.
    """
    return App(
        name="main.py",
        help=text,
        version_flags=(),
        default_parameter=Parameter(negative_iterable=()),
        group_parameters=Group("Options"),
    )


def group_of(app: App, name: str, text: str) -> App:
    """A command that has commands of its own; by itself it prints its help."""
    group = App(name=name, help=text)
    app.command(group)
    group.default(partial(_lacks_command, app, name))
    return group


def _lacks_command(app: App, group: str, *words: str) -> int:
    if words:
        raise WrongUsageError(
            f"There is no command '{group} {short(words[0])}'; `main.py {group} --help` lists those there are."
        )
    app.help_print([group])
    return 2


def command(group: App, name: str = "") -> Callable[[Callable[..., Said]], Callable[..., Said]]:
    """Registers a function that returns work to drive or a table to print, with the options that every command has."""

    def register(function: Callable[..., Said]) -> Callable[..., Said]:
        def told(*words: Any, progress: Show = Show.BAR, job: Path | None = None, **options: Any) -> int:
            return tell(function(*words, **options), progress, job=job)

        hints, signature = get_type_hints(function, include_extras=True), inspect.signature(function)
        more = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, _, d in _ON_EVERY_COMMAND]
        told.__doc__ = function.__doc__
        told.__annotations__ = {**hints, **{n: hint for n, hint, _ in _ON_EVERY_COMMAND}, "return": int}
        vars(told)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), *more])
        group.command(told, name=name or function.__name__)
        return function

    return register


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def carry_out(app: App, words: list[str]) -> int:
    """Runs one command: 0 = done, 1 = a person can mend it (one sentence on stderr), 2 = wrong usage."""
    try:
        result: Any = app(_completed(words), exit_on_error=False, print_error=True, result_action="return_value")
        sys.stdout.flush()
    except cyclopts.CycloptsError:
        return 2
    except WrongUsageError as error:
        print(error, file=sys.stderr)
        return 2
    except NeuralAnnotError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read what we print has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        print(f"The path {short(str(error.filename))} leads nowhere: {error.strerror}; give another.", file=sys.stderr)
        return 1
    return result if isinstance(result, int) else 0


def _completed(words: list[str]) -> list[str]:
    # `run P --resume` alone means the newest; the parser needs a value there.
    out = list(words)
    if "run" in out[:1]:
        for place, word in enumerate(out):
            if word == "--resume" and (place + 1 == len(out) or out[place + 1].startswith("-")):
                out.insert(place + 1, "newest")
                break
    return out
