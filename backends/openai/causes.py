"""Causes of an error that hold for every question: the account, the key, the model, a setting.

The status alone does not tell them apart: 400 means a wrong key at Gemini, an empty account at Anthropic, an unknown
model at DeepSeek. If in doubt, only the question is blamed, since others may be accepted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from .reasons import text_of
from .waits import is_short

Cause = Literal["account", "key", "model", "request"]

_EXHAUSTED = frozenset(
    {"account_deactivated", "billing_hard_limit_reached", "billing_not_active", "insufficient_quota", "quota_exceeded"}
)
"""Error codes of an empty account. With status 429 they look like a rate limit, but waiting does not help."""
_UNKNOWN_MODEL = frozenset({"model_not_found", "model_not_available", "invalid_model", "DeploymentNotFound"})

_PAY, _KEY_REFUSED, _NOT_FOUND, _SERVER_ERRORS = 402, {401, 403}, 404, 500
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


def cause_in(status: int, error: Mapping[str, Any], reason: str, wait: float | None) -> Cause | None:
    """Return the cause that holds for every question; None if the cause is the question, a limit or temporary.

    Args:
        status: of the reply.
        error: the error's JSON.
        reason: the server's message.
        wait: seconds that the endpoint asks to wait.
    """
    codes = {text_of(error.get(name)) for name in ("code", "type")}
    words = " ".join([*codes, reason])
    # A quota that is renewed soon is a limit.
    exhausted = codes & (_EXHAUSTED if wait is None else _EXHAUSTED - {"quota_exceeded"}) and not is_short(reason)
    if status == _PAY or exhausted or (status < _SERVER_ERRORS and _ACCOUNT.search(words)):
        return "account"
    if status in _KEY_REFUSED or (status in _ABOUT_A_QUESTION and _KEY.search(words)):
        return "key"
    wrong_model = codes & _UNKNOWN_MODEL or error.get("param") == "model" or _MODEL.search(reason)
    if status == _NOT_FOUND or (status in _ABOUT_A_QUESTION and wrong_model):
        return "model"
    setting = re.match(_SETTINGS + r"\b", text_of(error.get("param"))) and "context" not in reason
    return "request" if status not in _ABOUT_A_QUESTION or setting or _REQUEST.search(reason) else None
