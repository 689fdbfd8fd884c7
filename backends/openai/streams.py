"""Read a reply's body as JSON, and its fields, even if an endpoint streams although it was asked not to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

_KEPT = ("model", "usage")
"""Fields of a stream's pieces that belong to the whole reply; the last one that is filled counts."""

_MAX_PIECES = 300_000
"""How many pieces of a stream are read at most; a piece is one token or more."""
_DAMAGED: dict[str, Any] = {}
"""Stands for a piece that is no JSON; the text in it is lost."""
_LONGEST_NUMBER = 20
"""Whole numbers with this many digits or more are read as floats."""
_DEEPEST, _MAX_FIELDS = 12, 200
"""How many levels and fields of a body are searched at most; servers send fewer."""


def body_of(content: bytes) -> Any:
    """Read a reply's body.

    Returns:
        The JSON value; of a stream, the reply that its pieces make up; anything else as text.

    Example:
        >>> body_of(b'data: {"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]}')["choices"]
        [{'message': {'content': [{'text': 'Yes.'}]}, 'finish_reason': 'stop'}]
        >>> body_of(b"Bad Gateway")
        'Bad Gateway'
    """
    value = parse_json(content)
    if value is not None:
        return value
    text = content.decode("utf-8-sig", "replace")
    return _joined(islice(_pieces(text), _MAX_PIECES)) or text


def parse_json(data: bytes | str) -> Any:
    """Parse JSON; None if it is not JSON. A damaged character or a huge number does not spoil the rest."""
    try:
        text = data.decode(json.detect_encoding(data), "replace") if isinstance(data, bytes) else data
        return json.loads(text.removeprefix("\ufeff"), parse_int=_number)
    except (ValueError, RecursionError):
        return None


def fields_in(body: Any) -> Iterator[tuple[str, str]]:
    """Yield the numbers and texts in a body under their paths; a text may itself be JSON.

    Example:
        >>> list(fields_in({"error": {"code": 429, "details": ['{"reset": "7s"}']}}))
        [('error.code', '429'), ('error.details.0.reset', '7s')]
    """
    return islice(_fields(body, "", _DEEPEST), _MAX_FIELDS)


def _fields(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        value = parse_json(value) or value
    if isinstance(value, dict | list) and depth:
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _fields(part, f"{path}.{name}".removeprefix("."), depth - 1)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield path, str(value)[:5000]


def _number(digits: str) -> int | float:
    """Read a whole number; Python refuses to read one of thousands of digits."""
    return int(digits) if len(digits) < _LONGEST_NUMBER else float(digits)


def _pieces(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a stream: server-sent events, or one object a line."""
    for event in re.split(r"\n\n+", re.sub(r"\r\n?", "\n", text)):
        lines = [line.removeprefix("data:").strip() for line in event.split("\n") if line.startswith(("data:", "{"))]
        if not any(line.startswith("{") for line in lines):
            continue
        whole = parse_json("\n".join(lines))
        if isinstance(whole, dict):
            yield whole
            continue
        for line in lines:
            value = parse_json(line)
            if isinstance(value, dict):
                yield value
            elif line.startswith("{"):
                yield _DAMAGED


def _joined(pieces: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the reply that a stream's pieces make up, its first choice only; None if they do not belong to a chat."""
    body: dict[str, Any] = {}
    choice: dict[str, Any] = {"message": {}}
    damaged = False
    for piece in pieces:
        damaged |= piece is _DAMAGED
        if piece.get("error") or piece.get("type") == "error":
            return piece if piece.get("error") else {"error": piece}
        body |= {name: piece[name] for name in _KEPT if piece.get(name)}
        choices = piece.get("choices")
        for part in choices if isinstance(choices, list) else []:
            if isinstance(part, dict) and part.get("index") in {None, 0}:
                body["choices"] = [choice]
                _add(choice, part)
    if damaged:  # nobody knows whether the answer is complete
        choice["finish_reason"] = "damaged stream"
        choice.pop("native_finish_reason", None)
    return body if "choices" in body else None


def _add(choice: dict[str, Any], part: dict[str, Any]) -> None:
    """Add a piece to a choice: texts are appended, all other values are replaced."""
    message, delta, logprobs = choice["message"], part.get("delta"), part.get("logprobs")
    if isinstance(delta, dict):
        for name, value in delta.items():
            if name == "content":
                more = value if isinstance(value, list) else [{"text": value}] if isinstance(value, str) else []
                message.setdefault(name, []).extend(more)
            elif isinstance(value, str):
                message[name] = message.get(name, "") + value
    elif isinstance(part.get("message"), dict):
        choice["message"] = part["message"]
    if isinstance(logprobs, dict) and isinstance(logprobs.get("content"), list):
        choice.setdefault("logprobs", {"content": []})["content"].extend(logprobs["content"])
    choice |= {name: value for name, value in part.items() if value and name not in {"delta", "message", "logprobs"}}
