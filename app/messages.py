"""The one mouth: what went wrong or well, to the person and to the log."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

from PySide6.QtCore import QObject, Signal

from annotator.errors import NeuralAnnotError

_log = logging.getLogger("neuralannot.desk")


class Messages(QObject):
    """Notes, warnings and errors, one sentence each.

    Signals:
        said: level (note, warning, error) and the sentence.
    """

    said = Signal(str, str)

    def note(self, sentence: str) -> None:
        """Something went well or is worth knowing."""
        _log.info(sentence)
        self.said.emit("note", sentence)

    def warn(self, sentence: str) -> None:
        """Something lacks, and work goes on."""
        _log.warning(sentence)
        self.said.emit("warning", sentence)

    def error(self, sentence: str) -> None:
        """Something was not done."""
        _log.error(sentence)
        self.said.emit("error", sentence)

    def install(self) -> None:
        """Catches what nobody caught: a person's mistake is told as its sentence, ours with its kind; both are logged."""
        sys.excepthook = self._uncaught

    def _uncaught(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        elif isinstance(error, NeuralAnnotError):
            self.error(str(error))
        else:
            _log.error("".join(traceback.format_exception(kind, error, trace)))
            self.error(f"Something unexpected happened ({kind.__name__}: {error}); nothing that was saved is lost.")
