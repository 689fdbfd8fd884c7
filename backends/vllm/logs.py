"""What vLLM's log says: where it is while it starts, and why it ended."""

from __future__ import annotations

import os
import re
from itertools import takewhile
from pathlib import Path

__all__ = ["last_line", "reason"]

_ESCAPE = re.compile(
    r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
"""Colours, cursor movements and window titles of a terminal, and control characters other than tab and line end."""
_HEAD = re.compile(
    r"^(?:\([\w. ]+pid=\d+\)\s*)*(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) \S+ \S+ \[[^\]]*\]\s?)?"
)
"""``(EngineCore pid=7) ERROR 11-29 10:00:00 [core.py:99] ``: process, level, time and place of a line."""
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Exit|Interrupt))(?:$|: (.*))")
_USAGE = re.compile(r"^vllm serve: error: (.+)|^(?:api_server\.py: )?error: (.+)")
_FOLLOWS = re.compile(
    r"See root cause above|Engine core initialization failed|EngineCore encountered an issue|EngineDead"
)
"""What a process raises because another one failed."""
_TAIL = 400_000
"""Bytes at the end of a log in which the reason is looked for."""
_SHOWN, _WIDTH = 400, 60
"""Most characters of a reason, and of a log's last line."""


def last_line(log: Path) -> str:
    """Return the last line of a log without its head and without escapes, at most 60 characters; empty: none yet."""
    lines = [text for line in re.split(r"[\r\n]", _end_of(log, 8000)) if (text := _text_of(line)).strip(" -=|")]
    return lines[-1][:_WIDTH] if lines else ""


def reason(log: Path) -> str:
    """Return in one line why the server ended, as far as its log says; empty: it does not."""
    lines = [_text_of(line) for line in _end_of(log, _TAIL).splitlines()]
    raised = [at for at, line in enumerate(lines) if _RAISED.match(line) or _USAGE.match(line)]
    causes = [at for at in raised if not _FOLLOWS.search(lines[at])] or raised
    if causes:
        at = causes[-1]
        if usage := _USAGE.match(lines[at]):
            return str(usage[1] or usage[2])[:_SHOWN]
        found = _RAISED.match(lines[at])
        text = ": ".join(filter(None, found.groups())) if found else lines[at]
        if "validation error" in text and at + 1 < len(lines):
            # Pydantic says what is wrong in the next line.
            text = lines[at + 1].strip().removeprefix("Value error, ")
        if text.endswith(":"):
            # What is wrong stands in the lines below it.
            text = " ".join([text, *(line.strip() for line in takewhile(str.strip, lines[at + 1 :]))])
        return text[:_SHOWN].rstrip(" .")
    errors = [line for line in _end_of(log, _TAIL).splitlines() if " ERROR " in line]
    return _text_of(errors[-1])[:_SHOWN].rstrip(" .") if errors else ""


def _text_of(line: str) -> str:
    """Return a line without escapes and without its head."""
    return _HEAD.sub("", _ESCAPE.sub("", line)).rstrip()


def _end_of(log: Path, size: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
