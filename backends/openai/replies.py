"""Replies of chat completions, translated to an answer with its outcome and limits, or to the error that fits.

Endpoints send any JSON, whatever their documentation promises; nothing here trusts its shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lvlm_ad.backend import Answer, Outcome
from lvlm_ad.errors import TransientError

from .failures import FILTERED, failed_answer
from .reasons import status_in, text_of
from .usage import tokens_of, usage_of
from .waits import announced_limits


def parse_json(data: bytes) -> Any:
    """Parse a body as JSON; None if it is something else."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def answer_of(body: Any, headers: Mapping[str, str], seconds: float) -> Answer:
    """Translate the body of a reply with status 200; raise BackendError if it holds an error, or no message."""
    if not isinstance(body, dict):
        kind = headers.get("content-type", "no type").partition(";")[0]
        raise TransientError(
            f"an unreadable reply ({kind}, not a JSON object); if this happens every time, base_url may be wrong"
        )
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    for part in (body, choice):
        # A gateway may send status 200 with the error of the server behind it.
        if part.get("error") or part.get("finish_reason") == "error":
            return failed_answer(status_in(part), part, headers, seconds)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise TransientError("a reply without choices")
    reason = text_of(choice.get("finish_reason"))
    refusal = text_of(message.get("refusal"))
    text = _content(message.get("content"))
    outcome: Outcome = "ok"
    if reason in FILTERED:
        outcome = "filtered"
    elif refusal:
        outcome = "refused"
    elif reason == "length":
        outcome = "truncated"
    elif not text.strip():
        outcome = "empty"
    return Answer(
        text=text,
        outcome=outcome,
        usage=usage_of(body.get("usage")),
        seconds=seconds,
        model=text_of(body.get("model")),
        detail=refusal or reason,
        limits=announced_limits(headers),
        tokens=tokens_of(choice.get("logprobs"), text),
    )


def _content(content: Any) -> str:
    """Return a message's text; some endpoints send it in parts."""
    if isinstance(content, list):
        return "".join(text_of(part.get("text")) for part in content if isinstance(part, dict))
    return text_of(content)
