"""Translates the replies of chat completions: into an answer with its outcome, or into an error of its kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Answer, Outcome, Usage
from lvlm_ad.calls.waits import announced_limits, asked_wait, seconds_in
from lvlm_ad.errors import BackendError, FatalError, RateLimitError, RejectedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["answer_of", "failure_of", "parsed", "reason_of"]

_FILTERED = frozenset(
    {"content_filter", "content_policy_violation", "image_content_policy_violation", "moderation_blocked"}
)
"""Error codes by which an endpoint's filter declines a question."""
_EXHAUSTED = frozenset(
    {"account_deactivated", "billing_hard_limit_reached", "billing_not_active", "insufficient_quota", "quota_exceeded"}
)
"""Error codes of status 429 that no waiting mends."""
_UNKNOWN_MODEL = frozenset({"model_not_found", "invalid_model", "DeploymentNotFound"})

_NO_ENTRY, _PAY, _NOT_FOUND, _TOO_MANY, _SERVERS_OWN = frozenset({401, 403}), 402, 404, 429, 500
_TRANSIENT_STATUS = frozenset({408, 409, 425})
"""HTTP statuses; from 500 on the server is at fault."""


def parsed(data: bytes) -> Any:
    """Read a body as JSON; None if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def answer_of(body: Any, headers: Mapping[str, str], seconds: float) -> Answer:
    """Translate the body of a successful reply; an endpoint may send any JSON, whatever its documents promise.

    Raises:
        BackendError: it holds an error, or no choice with a message.
    """
    if not isinstance(body, dict):
        kind = headers.get("content-type", "no type").partition(";")[0]
        raise TransientError(f"an unreadable reply ({kind}, no JSON object); if every reply is, base_url may be wrong")
    if body.get("error") and not body.get("choices"):
        failure = failure_of(_code_in(body), body, headers, seconds)
        if isinstance(failure, Answer):
            return failure
        raise failure
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if not isinstance(message, dict):
        raise TransientError("a reply without choices")
    reason = _text(choice.get("finish_reason"))
    refusal = _text(message.get("refusal"))
    text = _content(message.get("content"))
    outcome: Outcome = "ok"
    if reason in _FILTERED:
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
        usage=_usage(body.get("usage")),
        seconds=seconds,
        model=_text(body.get("model")),
        detail=refusal or reason,
        limits=announced_limits(headers),
    )


def failure_of(status: int, body: Any, headers: Mapping[str, str], seconds: float) -> BackendError | Answer:
    """Tell what a reply that is no success means.

    Args:
        status: the HTTP status, or the one that the body names.
        body: the reply's JSON, None if it is none.
        headers: the reply's headers, names in lower case.
        seconds: how long it took.

    Returns:
        The error of its kind, or the answer "filtered".
    """
    error = _error_in(body)
    code = _text(error.get("code")) or _text(error.get("type"))
    metadata = error.get("metadata")
    # OpenRouter answers 403 with the reasons of its moderation.
    moderated = status == 403 and isinstance(metadata, dict) and "reasons" in metadata  # noqa: PLR2004
    if code in _FILTERED or moderated:
        return Answer("", "filtered", seconds=seconds, detail=code or "moderation")
    reason = reason_of(body) or f"status {status}"
    if (fatal := _fatal(status, code, error)) is not None:
        return FatalError(f"{fatal}: {reason}")
    if status == _TOO_MANY:
        return RateLimitError(f"rate limit: {reason}", wait=_first(asked_wait(headers), _retry_delay(error)))
    if status >= _SERVERS_OWN or status in _TRANSIENT_STATUS:
        return TransientError(f"status {status}: {reason}", wait=asked_wait(headers))
    hint = ' If it takes no schema, leave "schema" out of takes.' if "response_format" in reason else ""
    return RejectedError(f"status {status}: {reason}{hint}")


def _fatal(status: int, code: str, error: Mapping[str, Any]) -> str | None:
    """Name the kind of a failure after which no question can succeed; None if it is not of that kind."""
    if status in _NO_ENTRY:
        return "the key is refused"
    if status == _PAY or code in _EXHAUSTED:
        return "the account is exhausted"
    if status == _NOT_FOUND or code in _UNKNOWN_MODEL or "model" in _text(error.get("param")):
        return "not found"
    return None


def reason_of(body: Any) -> str:
    """Return the server's own reason, one line, shortened; empty if it gives none."""
    error = _error_in(body)
    reason = _text(error.get("message")) or _text(error.get("detail")) or _text(error.get("error"))
    return " ".join(reason.split())[:300]


def _error_in(body: Any) -> dict[str, Any]:
    """Find the error in a body: OpenAI's {"error": {...}}, Gemini's list of one, FastAPI's {"detail": ...}."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else body


def _code_in(body: Any) -> int:
    code = _error_in(body).get("code")
    number = int(code) if isinstance(code, int) or (isinstance(code, str) and code[:4].isdecimal()) else 0
    # An error inside a success: the status that it names, else a failure of the server.
    return number if 400 <= number < 600 else 500  # noqa: PLR2004 - the range of HTTP errors


def _retry_delay(error: Mapping[str, Any]) -> float | None:
    """Read the wait that Gemini puts among an error's details."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return seconds_in(detail["retryDelay"])
    return None


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _content(content: Any) -> str:
    """Return a message's text; some endpoints send a list of parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return _text(content)


def _usage(usage: Any) -> Usage:
    def count(holder: Any, name: str) -> int | None:
        found = holder.get(name) if isinstance(holder, dict) else None
        if not isinstance(found, int) or isinstance(found, bool):
            return None
        # SQLite holds 64-bit integers; more tokens than that are no count.
        return found if 0 <= found < 2**63 else None

    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return Usage(
        input_tokens=count(usage, "prompt_tokens"),
        cached_tokens=count(details, "cached_tokens"),
        output_tokens=count(usage, "completion_tokens"),
    )
