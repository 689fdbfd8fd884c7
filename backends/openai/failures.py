"""Translate a reply that is an error: to the answer "filtered", or to the fitting error.

An error may have a cause that holds for every question: the account, the key, the model, a setting. The status alone
does not tell these apart: 400 means a wrong key at Gemini, an empty account at Anthropic, an unknown model at DeepSeek.
If in doubt, only the question is blamed, since others may be accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from lvlm_ad.backend import Answer
from lvlm_ad.errors import FatalError, NotFoundError, RateLimitError, RejectedError, TransientError, sentence

from .reasons import error_in, filtered_by, is_page, one_line, reason_in, status_in, text_of
from .waits import is_limit, is_loading, is_short, is_used_up, wait_in

_FORBIDDEN, _RATE_LIMIT, _ERRORS, _SERVER_ERRORS, _TRANSIENT, _PROXY_LOGIN = 403, 429, 400, 500, {408, 409, 425}, 407
_BAD_REQUEST, _UNAUTHORIZED, _PAY, _NOT_FOUND, _KEY_STATUSES = 400, 401, 402, 404, {401, 403}
"""HTTP statuses; ``_ERRORS`` and ``_SERVER_ERRORS`` are the lowest of their kinds."""

_Cause = Literal["account", "key", "model", "request"]

_EXHAUSTED = frozenset(
    {"account_deactivated", "billing_hard_limit_reached", "billing_not_active", "insufficient_quota", "quota_exceeded"}
)
"""Error codes of an empty account. With status 429 they look like a rate limit, but waiting does not help."""
_UNKNOWN_MODEL = frozenset({"model_not_found", "model_not_available", "invalid_model", "DeploymentNotFound"})

_ABOUT_A_QUESTION = {400, 413, 415, 422, 451}
"""The 4xx statuses that can be about one question; any other is about the address, the account or the time."""

_ACCOUNT = re.compile(
    r"credit balance|(?:insufficient|not enough|no|any|out of|used all(?: available)?|exceeded\D{0,40}included) "
    r"(?:account )?(?:balance|credit|fund)|spending limit|\barrear|account\b.{0,60}\b(?:suspended|not active)"
    r"|余额不足|欠费",
    re.IGNORECASE,
)
_KEY = re.compile(r"api[ _-]?key|authenticat|unauthori[sz]ed|API密钥", re.IGNORECASE)
_MODEL = re.compile(
    r"\bmodels?\b(?: (?:name|id))?[\s:=]{0,3}\S{0,120}?['\"`]?,? "
    r"(?:(?:(?:do|does|is|was|has|could|can) ?)?(?:not|n't|no longer)"
    r" (?:a |currently |be |been )*(?:exist|found|available|valid|known|supported|deployed)\b"
    r"|(?:is|was|has been) (?:deprecated|retired|removed|decommissioned|invalid|unknown)\b)"
    r"|\b(?:invalid|unknown|no such|unsupported|not a valid) model\b|模型不存在",
    re.IGNORECASE,
)
_PICTURES = r"(?:image_url|images|image (?:input|content|url|part)s?|vision|visual|multi-?modal\w*|pictures)"
_SETTINGS = (
    r"(?:temperature|seed|max_(?:completion_)?tokens|reasoning_effort|(?:top_)?logprobs|response_format|json_schema)"
)
_REQUEST = re.compile(
    rf"(?:not|n't|only) (?:\w+ ){{0,3}}(?:support|accept|allow|have|enable)\w* (?:\w+ ){{0,2}}?{_PICTURES}"
    rf"(?: (?:input|content|part|capabilit|modalit)\w*)*\s*(?:[^\s\w]|$)"
    rf"|{_PICTURES}['\"`]?,? (?:input |content )?(?:is|are) (?:not|only) (?:support|accept|allow|enable)"
    rf"|not a (?:multi-?modal|vision)|at most 0 image|unknown variant .?image_url"
    rf"|(?:unsupported|unrecogni[sz]ed|unknown|unexpected|extra|invalid)\b.{{0,60}}\b{_SETTINGS}\b"
    rf"|\b{_SETTINGS}\b.{{0,60}}\b(?:(?:not|n't) (?:be )?(?:support|permit|allow|accept|available)"
    r"|unsupported|deprecated|extra inputs|unexpected)",
    re.IGNORECASE,
)
"""Messages that a model takes no pictures, or that an endpoint does not support a setting that every question has."""

_ABOUT_KEY = re.compile("key|auth|token|credential", re.IGNORECASE)
"""What a message about a key contains."""
_HINTS = {
    "response_format": 'If it supports no schema, remove "schema" from takes.',
    "temperature": "To leave it out, use --set temperature=none.",
    "max_completion_tokens": "If the endpoint calls it max_tokens, use --set token_parameter=max_tokens.",
}
"""What a server refuses -> the setting to change."""

_SHORT_WAIT = 900.0
"""Seconds; if the wait is longer, the framework ends the run and says when the wait is over."""


def failed_answer(
    status: int, body: Any, headers: Mapping[str, str], seconds: float, key_source: str = "", proxy_hint: str = ""
) -> Answer:
    """Return the answer "filtered" if a content filter sent an error; otherwise raise the fitting BackendError.

    Args:
        status: the HTTP status, or the one in the body.
        body: the reply's JSON, or its text.
        headers: the reply's headers, names in lower case.
        seconds: the reply's time.
        key_source: sentence about the key, added if the key is refused.
        proxy_hint: sentence about the proxy in use, added if the reply may be the proxy's.
    """
    if filtered := filtered_by(body, status):
        return Answer("", "filtered", seconds=seconds, detail=filtered)
    error, reason = error_in(body), reason_in(body)
    # Text and web pages come from a gateway or a proxy, whose words mean little without the status.
    from_endpoint = isinstance(body, dict | list)
    message = f"status {status}{': ' if reason else ''}{reason}"
    detail = reason if from_endpoint and reason else message
    proxy_hint = "" if from_endpoint else proxy_hint
    if refused := _intercepted(status, body, detail, headers):
        raise FatalError(refused + proxy_hint)
    wait = wait_in(headers, body=body)
    cause = _cause_in(status, error, reason, wait)
    if cause == "account":
        raise FatalError(f"the account is exhausted: {detail}")
    if status == _RATE_LIMIT or (status == _FORBIDDEN and is_limit(reason)):
        if is_used_up(body) and (wait is None or wait <= _SHORT_WAIT):
            # The wait in the reply holds for a shorter limit, or for one question only.
            asks = "" if wait is None else f" The endpoint asks to wait {wait:.0f} s."
            later = "Run the same command when the limit is renewed; answers are kept."
            raise FatalError(f"a limit per day or longer is used up: {sentence(detail)}{asks} {later}")
        raise RateLimitError(f"rate limit: {detail}", wait=wait)
    if cause == "key":
        what = "the key" if status == _UNAUTHORIZED or _ABOUT_KEY.search(detail) else "access"
        raise FatalError(sentence(f"{what} is refused: {detail}") + key_source)
    if cause == "model":
        raise NotFoundError(f"not found: {detail}")
    if status >= _SERVER_ERRORS or status in _TRANSIENT:
        raise TransientError(
            sentence(message) + proxy_hint if proxy_hint else message, wait=wait, starting=is_loading(error, reason)
        )
    if hint := next((hint for field, hint in _HINTS.items() if field in reason), ""):
        message = f"{sentence(message)} {hint}"
    raise RejectedError(message, shared=cause == "request")


def status_of(body: Any) -> int | None:
    """Return the status of an error that came with status 200: the one it names, or the one its words imply."""
    reason = reason_in(body)
    if (status := status_in(body)) is not None:
        return status
    if is_limit(reason) and "context" not in reason:
        return _RATE_LIMIT
    shared = _cause_in(_BAD_REQUEST, error_in(body), reason, None) in {"account", "key", "model"}
    return _BAD_REQUEST if shared else None


def _intercepted(status: int, body: Any, detail: str, headers: Mapping[str, str]) -> str:
    """Return why a question did not reach the endpoint: a redirect, a gateway or a proxy; empty if it did."""
    if status < _ERRORS:
        # A query may hold secrets.
        target = one_line(headers.get("location", "").partition("?")[0])
        base, path, _ = target.partition("/chat/completions")
        url = base if path and base.startswith(("http:", "https:")) else "URL"
        to = f", to {target}" if target else ""
        return f"the address redirects elsewhere{to}; give the final one with --set base_url={url}."
    if status in _KEY_STATUSES and (is_page(body) or (isinstance(body, str) and body and not _ABOUT_KEY.search(body))):
        return (
            f"a gateway in front of the endpoint refuses the question ({detail}), so the key may be right. Check "
            "base_url, and whether the gateway lets this machine pass."
        )
    return sentence(f"a proxy asks for a login: {detail}") if status == _PROXY_LOGIN else ""


def _cause_in(status: int, error: Mapping[str, Any], reason: str, wait: float | None) -> _Cause | None:
    """Return the cause that holds for every question; None: the question itself, a limit, or a passing failure."""
    codes = {text_of(error.get(name)) for name in ("code", "type")}
    words = " ".join([*codes, reason])
    # A quota that is renewed soon is a limit.
    exhausted = codes & (_EXHAUSTED if wait is None else _EXHAUSTED - {"quota_exceeded"}) and not is_short(reason)
    if status == _PAY or exhausted or (status < _SERVER_ERRORS and _ACCOUNT.search(words)):
        return "account"
    if status in _KEY_STATUSES or (status in _ABOUT_A_QUESTION and _KEY.search(words)):
        return "key"
    wrong_model = codes & _UNKNOWN_MODEL or error.get("param") == "model" or _MODEL.search(reason)
    if status == _NOT_FOUND or (status in _ABOUT_A_QUESTION and wrong_model):
        return "model"
    setting = re.match(_SETTINGS + r"\b", text_of(error.get("param"))) and "context" not in reason
    return "request" if status not in _ABOUT_A_QUESTION or setting or _REQUEST.search(reason) else None
