"""What happens during a run: progress, which the command line shows, and the events of ``--log``, as lines of JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lvlm_ad.errors import ConfigError
from lvlm_ad.escape import escaped

__all__ = ["Progress", "event", "logged_to"]

_LOGGER = logging.getLogger("lvlm_ad")
_LONGEST = 500
"""Characters of a text: an error's message may quote a server at length."""


class Progress:
    """Receives reports on how far a bench has come, and ignores them; a subclass shows them."""

    def start(self, stage: str, total: int) -> None:
        """Start a stage of ``total`` steps."""

    def advance(self, steps: int = 1, *, failed: bool = False, stored: bool = False, cost: float | None = 0.0) -> None:
        """Count finished steps.

        Args:
            steps: how many.
            failed: they gave no usable answer.
            stored: their answers were stored before.
            cost: USD they cost now; None: unknown.
        """

    def finish(self) -> None:
        """End the stage."""

    def at(self, stage: str, done: int, total: int) -> None:
        """Show the state of work done elsewhere: a batch at an endpoint."""

    def doing(self, what: str, text: str) -> None:
        """Show in one line the state of something whose steps cannot be counted; an empty text removes the line."""

    def note(self, text: str) -> None:
        """Show a note for the user."""


def event(name: str, **facts: Any) -> None:
    """Log an event, by the logger "lvlm_ad" at level INFO. Questions appear by their keys, never by their content.

    Args:
        name: the event, in a word.
        **facts: JSON values; never pictures, questions or answers.

    Example:
        >>> event("stored", key="3f9a", outcome="ok")
    """
    _LOGGER.info(name, extra={"facts": facts})


@contextmanager
def logged_to(path: Path | None, note: Callable[[str], None] | None = None) -> Iterator[None]:
    """Append events to a file, one JSON object a line: "time" (UTC), "event" and its facts.

    The run continues if the file can no longer be written.

    Args:
        path: the file; None: nothing is written.
        note: receives one note if the log is incomplete; None: the note is printed on stderr.

    Raises:
        ConfigError: the file cannot be opened.
    """
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _JsonLines(path, note or (lambda text: print(escaped(text), file=sys.stderr)))  # noqa: T201 - a warning
    except OSError as error:
        raise ConfigError(f"The log {path} cannot be written: {error.strerror}.") from error
    level = _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    except BaseException as error:
        event("ended", error=type(error).__name__, message=str(error))
        raise
    else:
        event("ended")
    finally:
        _LOGGER.setLevel(level)
        _LOGGER.removeHandler(handler)
        # Some disks report only now that they are full.
        with suppress(OSError):
            handler.close()


class _JsonLines(logging.FileHandler):
    """Appends one JSON object a line."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        super().__init__(path, encoding="utf-8")
        self._note: Callable[[str], None] | None = note

    def format(self, record: logging.LogRecord) -> str:
        """Return the event as JSON."""
        facts = {
            name: value[:_LONGEST] if isinstance(value, str) else value
            for name, value in getattr(record, "facts", {}).items()
        }
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": time, "event": record.getMessage(), **facts}, default=str)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's own name
        """Say once that the log is incomplete."""
        if self._note is not None:
            error = sys.exception()
            self._note(f"The log {self.baseFilename} is incomplete: {getattr(error, 'strerror', None) or error}.")
            self._note = None
