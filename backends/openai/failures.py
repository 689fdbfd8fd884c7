"""What a reply that is an error means: the answer "filtered", or the error that fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvlm_ad.backend import Answer
from lvlm_ad.errors import FatalError, NotFoundError, RateLimitError, RejectedError, TransientError

from .reasons import error_in, reason_in, sentence, text_of
from .waits import retry_delay, wait_in

FILTERED = frozenset(
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
    moderated = status == _MODERATED and isinstance(metadata, dict) and "reasons" in metadata
    if moderated or codes & FILTERED:
        return Answer("", "filtered", seconds=seconds, detail=min(codes & FILTERED, default="moderation"))
    reason = reason_in(error)
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
        delay = retry_delay(error)
        raise RateLimitError(f"rate limit: {detail}", wait=wait_in(headers) if delay is None else delay)
    message = f"status {status}{': ' if reason else ''}{reason}"
    if status >= _SERVER_ERRORS or status in _TRANSIENT:
        raise TransientError(message, wait=wait_in(headers))
    if "response_format" in reason:
        message = f'{sentence(message)} If it supports no schema, remove "schema" from takes.'
    raise RejectedError(message)
