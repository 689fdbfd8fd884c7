"""The reason in an error's body, wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LONGEST = 5000
"""Most characters of a server's message that are processed."""

_NO_STATUS = 500
"""The status of an error that names none."""


def sentence(text: str) -> str:
    """End a text with a full stop."""
    return f"{text.rstrip('. ')}."


def reason_in(error: Mapping[str, Any]) -> str:
    """Return the server's message in one line; empty if there is none."""
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        # FastAPI lists the problems of a request.
        detail = detail[0].get("msg")
    reason = text_of(error.get("message")) or text_of(detail) or text_of(error.get("error"))
    # JSON can hold lone surrogates, which no file can.
    return " ".join(reason[:_LONGEST].encode("utf-8", "replace").decode("utf-8").split())


def error_in(body: Any) -> dict[str, Any]:
    """Return the error in a body: OpenAI sends {"error": {...}}, Gemini a list of one, FastAPI {"detail": ...}."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else body


def status_in(body: Any) -> int:
    """Return the status that an error with HTTP status 200 names; 500 if none."""
    code = str(error_in(body).get("code"))[:_LONGEST]
    return int(code) if re.fullmatch("[45][0-9]{2}", code) else _NO_STATUS


def text_of(value: Any) -> str:
    """Return a text, empty if the value is something else."""
    return value if isinstance(value, str) else ""
