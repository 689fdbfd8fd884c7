"""Translates the replies of chat completions: into an answer with its outcome, or into an error of its kind."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Answer, Outcome, Token, Usage, number_tokens
from lvlm_ad.errors import BackendError, FatalError, NotFoundError, RateLimitError, RejectedError, TransientError

from ._openai_headers import announced_limits, asked_wait, seconds_in

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_ENTRY", "answer_of", "failure_of", "parsed", "reason_of"]

_FILTERED = frozenset(
    {"content_filter", "content_policy_violation", "image_content_policy_violation", "moderation_blocked"}
)
"""Error codes by which an endpoint's filter declines a question."""
_EXHAUSTED = frozenset(
    {"account_deactivated", "billing_hard_limit_reached", "billing_not_active", "insufficient_quota", "quota_exceeded"}
)
"""Error codes of status 429 that no waiting mends."""
_UNKNOWN_MODEL = frozenset({"model_not_found", "invalid_model", "DeploymentNotFound"})

NO_ENTRY = frozenset({401, 403})
"""Statuses of a key that is refused."""

_WRONG, _PAY, _NOT_FOUND, _TOO_MANY, _SERVERS_OWN = {400, 422}, 402, 404, 429, 500
_WRONG_FROM = 400
_TRANSIENT_STATUS = frozenset({408, 409, 425})
"""HTTP statuses; from 500 on the server is at fault."""

_LONGEST = 5000
"""Characters of a server's reason that are looked at; fewer are shown."""


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
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    for failed in (body, choice):
        # A gateway may answer 200 and say what went wrong behind it in the body, or in the choice.
        if failed.get("error") or failed.get("finish_reason") == "error":
            failure = failure_of(_code_in(failed), failed, headers, seconds)
            if isinstance(failure, Answer):
                return failure
            raise failure
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
        tokens=_tokens(choice.get("logprobs"), text),
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
    codes = {_text(error.get("code")), _text(error.get("type"))}
    metadata = error.get("metadata")
    # OpenRouter answers 403 with the reasons of its moderation.
    moderated = status == 403 and isinstance(metadata, dict) and "reasons" in metadata  # noqa: PLR2004
    if moderated or codes & _FILTERED:
        return Answer("", "filtered", seconds=seconds, detail=min(codes & _FILTERED, default="moderation"))
    reason = reason_of(body)
    if (fatal := _fatal(status, codes, error)) is not None:
        kind, what = fatal
        return kind(f"{what}: {reason or f'status {status}'}")
    if status == _TOO_MANY:
        return RateLimitError(
            f"rate limit: {reason or 'status 429'}", wait=_first(_retry_delay(error), asked_wait(headers))
        )
    said = f"status {status}{': ' if reason else ''}{reason}"
    if status >= _SERVERS_OWN or status in _TRANSIENT_STATUS:
        return TransientError(said, wait=asked_wait(headers))
    if "response_format" in reason:
        said = f'{said.rstrip(". ")}. If it takes no schema, leave "schema" out of takes.'
    return RejectedError(said)


def _fatal(status: int, codes: set[str], error: Mapping[str, Any]) -> tuple[type[FatalError], str] | None:
    """Name the kind of a failure after which no question can succeed; None if it is not of that kind."""
    if status < _WRONG_FROM:
        return FatalError, "the address redirects elsewhere; give the final one with --set base_url=URL"
    if status in NO_ENTRY:
        return FatalError, "the key is refused"
    if status == _PAY or codes & _EXHAUSTED:
        return FatalError, "the account is exhausted"
    wrong_model = codes & _UNKNOWN_MODEL or error.get("param") == "model"
    if status == _NOT_FOUND or (status in _WRONG and wrong_model):
        return NotFoundError, "not found"
    return None


def reason_of(body: Any) -> str:
    """Return the server's own reason, one line; empty if it gives none."""
    error = _error_in(body)
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        # FastAPI lists what is wrong with a request.
        detail = detail[0].get("msg")
    reason = _text(error.get("message")) or _text(detail) or _text(error.get("error"))
    # Lone surrogates, which JSON can hold, could not be written to a file.
    return " ".join(reason[:_LONGEST].encode("utf-8", "replace").decode("utf-8").split())


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
    """Return the status that an error inside a success names, else that of a failure of the server."""
    code = str(_error_in(body).get("code"))[:_LONGEST]
    return int(code) if re.fullmatch("[45][0-9]{2}", code) else _SERVERS_OWN


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


def _tokens(logprobs: Any, text: str) -> tuple[Token, ...]:
    """Read the probabilities of an answer's tokens; empty where there are none, or anything else."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list):
        return ()
    try:
        return number_tokens([_piece(entry) for entry in content], text)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return ()


def _piece(entry: Any) -> tuple[str, list[tuple[str, float]]]:
    """Return a token's text and, if it may be part of a number, what could have stood there.

    Raises one of several errors if the entry is malformed.
    """
    own = _spelled(entry)
    if not re.search("[0-9.]", own):
        return own, []
    value = float(entry["logprob"])
    likely = [(_spelled(other), float(other["logprob"])) for other in entry.get("top_logprobs") or []]
    return own, likely if any(text == own for text, _ in likely) else [*likely, (own, value)]


def _spelled(entry: Any) -> str:
    """Return a token's text. A token that is part of a letter has only bytes; its text spells them in digits."""
    data = entry.get("bytes")
    return bytes(data).decode("utf-8", "replace") if isinstance(data, list) else str(entry["token"])


def _usage(usage: Any) -> Usage:
    def count(holder: Any, name: str) -> int | None:
        found = holder.get(name) if isinstance(holder, dict) else None
        if not isinstance(found, int) or isinstance(found, bool):
            return None
        # SQLite holds 64-bit integers; more tokens than that are no count.
        return found if 0 <= found < 2**63 else None

    def details(name: str) -> Any:
        return usage.get(name) if isinstance(usage, dict) else None

    read, written, total = (count(usage, f"{name}_tokens") for name in ("prompt", "completion", "total"))
    thought = count(details("completion_tokens_details"), "reasoning_tokens")
    if read is not None and written is not None and thought and total == read + written + thought:
        # OpenAI counts reasoning among the completion; some others beside it, which the total then shows.
        written += thought
    return Usage(read, count(details("prompt_tokens_details"), "cached_tokens"), written)
