"""What happens during a run, as lines of JSON for those who watch it: keys of questions, never what they hold."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lvlm_ad.errors import ConfigError

__all__ = ["event", "logged_to"]

_LOGGER = logging.getLogger("lvlm_ad")
_STREAMS = ("/dev/stdout", "/dev/stderr")
"""Pipes that somebody reads, if they are pipes."""
_LONGEST = 500
"""Characters of a text: an error's message may quote what a server sent."""


def event(name: str, **facts: Any) -> None:
    """Tell what happened, by the logger "lvlm_ad" at level INFO.

    Args:
        name: what happened, in a word.
        **facts: JSON values. Neither pictures nor questions nor answers are among them.
    """
    # Most runs are not watched, and then this costs next to nothing.
    if _LOGGER.isEnabledFor(logging.INFO):
        _LOGGER.info(name, extra={"facts": facts})


@contextmanager
def logged_to(path: Path | None, note: Callable[[str], None] | None = None) -> Iterator[None]:
    """Append what happens meanwhile to a file, a JSON object a line: "time" (UTC), "event" and its facts.

    What happens goes on where the file cannot be written any more.

    Args:
        path: the file; a terminal, "/dev/stdout" and "/dev/stderr" are others. None: nothing is written.
        note: is told, once, that the log is incomplete; None: that is a line on stderr.

    Raises:
        ConfigError: the file cannot be written, or is none.
    """
    if path is None:
        yield
        return
    try:
        _check_plain(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Lines(path, note or _told)
    except OSError as error:
        raise ConfigError(f"The log {path} cannot be written: {error.strerror}.") from error
    handler.setFormatter(_JsonLines())
    before = _LOGGER.level
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
        _LOGGER.setLevel(before)
        _LOGGER.removeHandler(handler)
        handler.close()


def _check_plain(path: Path) -> None:
    """Refuse a pipe, whose reader a run would wait for.

    Raises:
        ConfigError: it is one, or another thing that is no file.
        OSError: it cannot be looked at.
    """
    if str(path) in _STREAMS:
        return
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    # A folder has a better message of its own, when it is opened.
    if not (stat.S_ISREG(mode) or stat.S_ISCHR(mode) or stat.S_ISDIR(mode)):
        raise ConfigError(f"The log {path} is no plain file; give the name of one, or {' or '.join(_STREAMS)}.")


def _told(text: str) -> None:
    sys.stderr.write(f"{text}\n")


class _Lines(logging.Handler):
    """Appends lines to a file, each by one call of the system and as a whole as far as that can be.

    Args:
        path: the file.
        note: is told, once, that a line could not be written.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        super().__init__()
        self._path, self._note, self._incomplete = path, note, False
        self._cut = _is_cut(path)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; one that another left without its end, such as a killed command, is ended before."""
        try:
            left = b"\n" * self._cut + self.format(record).encode() + b"\n"
            while left:
                written = os.write(self._file, left)
                self._cut, left = left[written - 1 : written] != b"\n", left[written:]
        except (OSError, TypeError, ValueError) as error:
            self._tell(error)

    def close(self) -> None:
        """Close the file; some disks say only now that they had no room."""
        super().close()
        # The end of the process closes every handler once more.
        file, self._file = self._file, -1
        try:
            if file != -1:
                os.close(file)
        except OSError as error:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if not self._incomplete:
            self._incomplete = True
            # What tells may be on the same disk.
            with suppress(OSError):
                self._note(f"The log {self._path} is incomplete: {getattr(error, 'strerror', None) or error}.")


def _is_cut(path: Path) -> bool:
    """Whether a file ends amid a line. One that cannot be read is taken to be whole."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            return file.read() not in {b"", b"\n"}
    except OSError:
        return False


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = {name: _short(value) for name, value in getattr(record, "facts", {}).items()}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": time, "event": record.getMessage(), **facts}, ensure_ascii=True, default=str)


def _short(value: Any) -> Any:
    return value[:_LONGEST] if isinstance(value, str) else value
