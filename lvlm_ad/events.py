"""What happens during a run, as lines of JSON for those who watch it: keys of questions, never what they hold."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lvlm_ad.errors import ConfigError

__all__ = ["event", "logged_to"]

_LOGGER = logging.getLogger("lvlm_ad")
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
def logged_to(path: Path | None) -> Iterator[None]:
    """Append what happens meanwhile to a file, a JSON object a line: "time" (UTC), "event" and its facts.

    Raises:
        ConfigError: the file cannot be written.
    """
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _Lines(path, encoding="utf-8")
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


class _Lines(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's name
        """Let the run go on where its log cannot be written any more."""


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = {name: _short(value) for name, value in getattr(record, "facts", {}).items()}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": time, "event": record.getMessage(), **facts}, ensure_ascii=True, default=str)


def _short(value: Any) -> Any:
    return value[:_LONGEST] if isinstance(value, str) else value
