"""What a reply that is an error means: the answer "filtered", or the error that fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvlm_ad.backend import Answer
from lvlm_ad.errors import FatalError, NotFoundError, RateLimitError, RejectedError, TransientError

from .causes import cause_in
from .reasons import error_in, filtered_by, is_page, one_line, reason_in, sentence
from .waits import is_limit, is_loading, is_used_up, wait_in

_FORBIDDEN, _RATE_LIMIT, _ERRORS, _SERVER_ERRORS, _TRANSIENT, _PROXY_LOGIN = 403, 429, 400, 500, {408, 409, 425}, 407
"""HTTP statuses; ``_ERRORS`` and ``_SERVER_ERRORS`` are the first of their kind."""
_KEY_STATUSES, _OF_USER = {401, 403}, {401, 402, 404, _PROXY_LOGIN, _RATE_LIMIT}
"""Statuses of a refused key, and statuses that never speak of a question's content."""

_HINTS = {
    "response_format": 'If it supports no schema, remove "schema" from takes.',
    "max_completion_tokens": "If it calls this limit max_tokens: --set token_parameter=max_tokens.",
}
"""What a server refuses -> the setting to change."""

_HOUR = 3600.0
_LATER = "Run the same command when it is renewed; answers are kept."


def failed_answer(
    status: int, body: Any, headers: Mapping[str, str], seconds: float, key_source: str = "", route: str = ""
) -> Answer:
    """Return the answer "filtered" if a content filter sent an error; raise the fitting BackendError for all others.

    Args:
        status: the HTTP status, or the one in the body.
        body: the reply's JSON, or its text.
        headers: the reply's headers, names in lower case.
        seconds: the reply's time.
        key_source: sentence about the key, added if the key is refused.
        route: sentence about the proxy on the way, added if the reply may be the proxy's.
    """
    error = error_in(body)
    metadata = error.get("metadata")
    # OpenRouter's moderation answers with status 403 and its reasons.
    moderated = status == _FORBIDDEN and isinstance(metadata, dict) and "reasons" in metadata
    if moderated or (filtered := filtered_by(body, words=status not in _OF_USER)):
        return Answer("", "filtered", seconds=seconds, detail="moderation" if moderated else filtered)
    reason = reason_in(body)
    if isinstance(field := error.get("param"), str) and field not in reason:
        reason += f" (field {one_line(field)})"
    # Text and web pages come from a gateway or a proxy, whose words mean little without the status.
    detail = reason if isinstance(body, dict | list) and reason else f"status {status}{': ' if reason else ''}{reason}"
    route = "" if isinstance(body, dict | list) else route
    if refused := _on_the_way(status, body, detail, headers):
        raise FatalError((refused if refused.endswith("?") else sentence(refused)) + route)
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
    if route:
        message = sentence(message) + route
    if status >= _SERVER_ERRORS or status in _TRANSIENT:
        raise TransientError(message, wait=wait, starting=is_loading(error, reason))
    if hint := next((hint for field, hint in _HINTS.items() if field in reason), ""):
        message = f"{sentence(message)} {hint}"
    raise RejectedError(message, shared=cause == "request")


def _on_the_way(status: int, body: Any, detail: str, headers: Mapping[str, str]) -> str:
    """Say what kept a question from the endpoint: a redirect, a gateway or a proxy; empty if nothing did."""
    if status < _ERRORS:
        # A query may hold secrets.
        target = one_line(headers.get("location", "").partition("?")[0])
        base, path, _ = target.partition("/chat/completions")
        url = base if path and base.startswith(("http:", "https:")) else "URL"
        return f"the address redirects elsewhere, to {target or detail}; give the final one with --set base_url={url}"
    if status in _KEY_STATUSES and is_page(body):
        return (
            f"a gateway before the endpoint refuses the question (a web page, {detail}), so this says nothing about the "
            "key. Is base_url right, and does the gateway let this machine pass?"
        )
    return f"a proxy asks for a login: {detail}" if status == _PROXY_LOGIN else ""
