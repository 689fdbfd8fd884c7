"""Replies of chat completions, translated to an answer with its outcome and limits, or to the error that fits.

Endpoints send any JSON, whatever their documentation promises; nothing here trusts its shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from lvlm_ad.backend import Answer, Limits, Outcome, Token, Usage, number_tokens
from lvlm_ad.errors import FatalError, NotFoundError, RateLimitError, RejectedError, TransientError

_FILTERED = frozenset(
    {"content_filter", "content_policy_violation", "image_content_policy_violation", "moderation_blocked"}
)
"""Error codes of an endpoint's content filter."""
_EXHAUSTED = frozenset(
    {"account_deactivated", "billing_hard_limit_reached", "billing_not_active", "insufficient_quota", "quota_exceeded"}
)
"""Error codes of an empty account. With status 429 they look like a rate limit, but waiting does not help."""
_UNKNOWN_MODEL = frozenset({"model_not_found", "invalid_model", "DeploymentNotFound"})

_MALFORMED, _KEY_REFUSED, _PAY, _NOT_FOUND, _RATE_LIMIT = {400, 422}, {401, 403}, 402, 404, 429
_MODERATED, _ERRORS, _SERVER_ERRORS, _TRANSIENT = 403, 400, 500, {408, 409, 425}
"""HTTP statuses; ``_ERRORS`` and ``_SERVER_ERRORS`` are the first of their kind."""

_LONGEST = 5000
"""Most characters of a server's message that are processed."""

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e11
"""A number above these is a point in time, in seconds or milliseconds since 1970."""


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
            return failed_answer(_status_in(part), part, headers, seconds)
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


def failed_answer(status: int, body: Any, headers: Mapping[str, str], seconds: float, key_source: str = "") -> Answer:
    """Return the answer "filtered" if a content filter sent an error; raise the fitting BackendError for all others.

    Args:
        status: the HTTP status, or the one in the body.
        body: the reply's JSON; None if it is something else.
        headers: the reply's headers, names in lower case.
        seconds: the reply's time.
        key_source: sentence about the key, added if the key is refused.
    """
    error = _error_in(body)
    codes = {_text(error.get("code")), _text(error.get("type"))}
    metadata = error.get("metadata")
    # OpenRouter's moderation answers with status 403 and its reasons.
    moderated = status == _MODERATED and isinstance(metadata, dict) and "reasons" in metadata
    if moderated or codes & _FILTERED:
        return Answer("", "filtered", seconds=seconds, detail=min(codes & _FILTERED, default="moderation"))
    reason = _reason(error)
    detail = reason or f"status {status}"
    if status < _ERRORS:
        raise FatalError(f"the address redirects elsewhere; give the final one with --set base_url=URL: {detail}")
    if status in _KEY_REFUSED:
        raise FatalError(sentence(f"the key is refused: {detail}") + key_source)
    if status == _PAY or codes & _EXHAUSTED:
        raise FatalError(f"the account is exhausted: {detail}")
    wrong_model = codes & _UNKNOWN_MODEL or error.get("param") == "model"
    if status == _NOT_FOUND or (status in _MALFORMED and wrong_model):
        raise NotFoundError(f"not found: {detail}")
    if status == _RATE_LIMIT:
        delay = _retry_delay(error)
        raise RateLimitError(f"rate limit: {detail}", wait=wait_in(headers) if delay is None else delay)
    message = f"status {status}{': ' if reason else ''}{reason}"
    if status >= _SERVER_ERRORS or status in _TRANSIENT:
        raise TransientError(message, wait=wait_in(headers))
    if "response_format" in reason:
        message = f'{sentence(message)} If it supports no schema, remove "schema" from takes.'
    raise RejectedError(message)


def sentence(text: str) -> str:
    """End a text with a full stop."""
    return f"{text.rstrip('. ')}."


def _reason(error: Mapping[str, Any]) -> str:
    """Return the server's message in one line; empty if there is none."""
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        # FastAPI lists the problems of a request.
        detail = detail[0].get("msg")
    reason = _text(error.get("message")) or _text(detail) or _text(error.get("error"))
    # JSON can hold lone surrogates, which no file can.
    return " ".join(reason[:_LONGEST].encode("utf-8", "replace").decode("utf-8").split())


def _error_in(body: Any) -> dict[str, Any]:
    """Return the error in a body: OpenAI sends {"error": {...}}, Gemini a list of one, FastAPI {"detail": ...}."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else body


def _status_in(body: Any) -> int:
    """Return the status that an error with HTTP status 200 names; 500 if none."""
    code = str(_error_in(body).get("code"))[:_LONGEST]
    return int(code) if re.fullmatch("[45][0-9]{2}", code) else _SERVER_ERRORS


def _retry_delay(error: Mapping[str, Any]) -> float | None:
    """Return the waiting time that Gemini puts into an error's details."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return seconds_in(detail["retryDelay"])
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _content(content: Any) -> str:
    """Return a message's text; some endpoints send it in parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    return _text(content)


def _tokens(logprobs: Any, text: str) -> tuple[Token, ...]:
    """Return the tokens of the answer's numbers; empty if the log-probabilities are missing or malformed."""
    try:
        return number_tokens([_piece(entry) for entry in logprobs["content"]], text)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return ()


def _piece(entry: Any) -> tuple[str, list[tuple[str, float]]]:
    """Return a token's text and, if it may be part of a number, the tokens that could have stood there."""
    own = _token_text(entry)
    if not re.search("[0-9.]", own):
        return own, []
    value = float(entry["logprob"])
    likely = [(_token_text(other), float(other["logprob"])) for other in entry.get("top_logprobs") or []]
    return own, likely if any(text == own for text, _ in likely) else [*likely, (own, value)]


def _token_text(entry: Any) -> str:
    """Return a token's text. A part of a letter has only bytes: its "token" spells them in digits."""
    data = entry.get("bytes")
    return bytes(data).decode("utf-8", "replace") if isinstance(data, list) else str(entry["token"])


def _usage(usage: Any) -> Usage:
    def part(holder: Any, name: str) -> Any:
        return holder.get(name) if isinstance(holder, dict) else None

    def count(holder: Any, name: str) -> int | None:
        number = part(holder, name)
        # The answer store holds 64-bit integers.
        return number if type(number) is int and 0 <= number < 2**63 else None

    question, written, total = (count(usage, f"{name}_tokens") for name in ("prompt", "completion", "total"))
    reasoning = count(part(usage, "completion_tokens_details"), "reasoning_tokens")
    if question is not None and written is not None and reasoning and total == question + written + reasoning:
        # OpenAI counts reasoning as part of the completion; some endpoints do not, as their total shows.
        written += reasoning
    return Usage(question, count(part(usage, "prompt_tokens_details"), "cached_tokens"), written)


def seconds_in(value: str, now: datetime | None = None) -> float | None:
    """Read a waiting time in any usual format.

    Args:
        value: a number of seconds ("2", "0.5"), a duration ("1m30s", "17ms"), or a point in time (in the format of
            HTTP, of ISO 8601, or as seconds or milliseconds since 1970).
        now: the present, for points in time; None: the clock's time.

    Returns:
        Seconds, at least 0; None if the format is unknown.

    Example:
        >>> seconds_in("1m30s")
        90.0
    """
    text = value.strip()[:100]
    now = now or datetime.now(UTC)
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= _EPOCH_MILLISECONDS:
            number = number / 1000 - now.timestamp()
        elif number >= _EPOCH_SECONDS:
            number -= now.timestamp()
        return max(number, 0.0) if isfinite(number) else None
    parts = list(_PART.finditer(text))
    if parts and "".join(part.group() for part in parts) == text:
        return sum(float(part[1]) * _UNITS[part[2]] for part in parts)
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            time = parse(text)
            return max((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() - now.timestamp(), 0.0)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def wait_in(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read how long an endpoint asks to wait.

    ``retry-after-ms`` and ``retry-after`` come first. Without them, the longest reset of an exhausted limit counts; a
    limit without a remainder counts as exhausted.

    Args:
        headers: the reply's headers, names in lower case.
        now: as for ``seconds_in``.

    Returns:
        Seconds; None if there is no such header.

    Example:
        >>> wait_in({"retry-after": "7"})
        7.0
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return max(float(milliseconds) / 1000, 0.0)
    if (seconds := seconds_in(headers.get("retry-after", ""), now)) is not None:
        return seconds
    resets = []
    for name, value in headers.items():
        if "ratelimit" in name and "reset" in name:
            remaining = headers.get(name.replace("reset", "remaining"), "0").strip()
            if not _NUMBER.fullmatch(remaining) or float(remaining) <= 0:
                resets.append(seconds_in(value, now))
    return max((seconds for seconds in resets if seconds is not None), default=None)


def announced_limits(headers: Mapping[str, str]) -> Limits | None:
    """Read the limits per minute that OpenAI and Anthropic announce with each answer.

    Args:
        headers: the reply's headers, names in lower case.

    Returns:
        The limits; None if there are none.

    Example:
        >>> announced_limits({"x-ratelimit-limit-requests": "60"})
        Limits(requests_per_minute=60.0, tokens_per_minute=None)
    """

    def first(*names: str) -> float | None:
        for name in names:
            number = re.match(r"[0-9]{1,15}", headers.get(name, "").strip())
            if number and float(number[0]) > 0:
                return float(number[0])
        return None

    requests = first("x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit")
    tokens = first("x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit")
    return Limits(requests, tokens) if requests or tokens else None
