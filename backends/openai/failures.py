"""What a reply that is an error means: the answer "filtered", or the error that fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvlm_ad.backend import Answer
from lvlm_ad.errors import FatalError, NotFoundError, RateLimitError, RejectedError, TransientError

from .causes import cause_in
from .reasons import error_in, reason_in, sentence, text_of
from .waits import is_limit, is_loading, is_used_up, wait_in

FILTERED = frozenset(
    {"content_filter", "content_policy_violation", "image_content_policy_violation", "moderation_blocked"}
)
"""Error codes of an endpoint's content filter."""

_FORBIDDEN, _RATE_LIMIT, _ERRORS, _SERVER_ERRORS, _TRANSIENT = 403, 429, 400, 500, {408, 409, 425}
"""HTTP statuses; ``_ERRORS`` and ``_SERVER_ERRORS`` are the first of their kind."""

_HOUR = 3600.0
_LATER = "Run the same command when it is renewed; answers are kept."


def failed_answer(status: int, body: Any, headers: Mapping[str, str], seconds: float, key_source: str = "") -> Answer:
    """Return the answer "filtered" if a content filter sent an error; raise the fitting BackendError for all others.

    Args:
        status: the HTTP status, or the one in the body.
        body: the reply's JSON; None if it is something else.
        headers: the reply's headers, names in lower case.
        seconds: the reply's time.
        key_source: sentence about the key, added if the key is refused.
    """
    error = error_in(body)
    codes = {text_of(error.get("code")), text_of(error.get("type"))}
    metadata = error.get("metadata")
    # OpenRouter's moderation answers with status 403 and its reasons.
    moderated = status == _FORBIDDEN and isinstance(metadata, dict) and "reasons" in metadata
    if moderated or codes & FILTERED:
        return Answer("", "filtered", seconds=seconds, detail=min(codes & FILTERED, default="moderation"))
    reason = reason_in(error)
    detail = reason or f"status {status}"
    if status < _ERRORS:
        raise FatalError(f"the address redirects elsewhere; give the final one with --set base_url=URL: {detail}")
    wait = wait_in(headers, body=body)
    cause = cause_in(status, error, reason, wait)
    if cause == "account":
        raise FatalError(f"the account is exhausted: {detail}")
    if status == _RATE_LIMIT or (status == _FORBIDDEN and is_limit(reason)):
        if is_used_up(body) and (wait is None or wait < _HOUR):
            # The wait that comes with it holds for the shorter limits, or for one question.
            raise FatalError(f"a limit per day or longer is used up: {sentence(detail)} {_LATER}")
        raise RateLimitError(f"rate limit: {detail}", wait=wait)
    if cause == "key":
        raise FatalError(sentence(f"the key is refused: {detail}") + key_source)
    if cause == "model":
        raise NotFoundError(f"not found: {detail}")
    message = f"status {status}{': ' if reason else ''}{reason}"
    if status >= _SERVER_ERRORS or status in _TRANSIENT:
        raise TransientError(message, wait=wait, starting=is_loading(error, reason))
    if "response_format" in reason:
        message = f'{sentence(message)} If it supports no schema, remove "schema" from takes.'
    raise RejectedError(message, shared=cause == "request")
