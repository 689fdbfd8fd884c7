"""How long an endpoint asks to wait, which limit is used up, and the limits that it announces.

Endpoints say this in headers, in fields of an error's JSON, or in its message; all are read by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from lvlm_ad.backend import Limits

from .streams import fields_in

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_UNIT = r"(?:ms|us|µs|ns|milliseconds?|d(?:ays?)?|h(?:(?:ou)?rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)"
_PART = re.compile(rf"([0-9]+(?:\.[0-9]+)?)\s*({_UNIT})(?![a-zµ])(?:\s*,|\s+and\b)?\s*", re.IGNORECASE)
_CLOCK = re.compile(r"([0-9]{1,3}):([0-5][0-9]):([0-5][0-9](?:\.[0-9]+)?)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e11
"""A number above these is a point in time, in seconds or milliseconds since 1970."""
_LONGEST = 32 * 86400.0
"""No limit lasts longer than a month; a longer wait is a mistake."""

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(?:\s?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?"
_SENTENCE = re.compile(
    r"(?:again|retry(?:ing)?|retry[-_]?(?:after|delay)|wait(?:ing)?|resets?|renewed|replenished|until)"
    r"""(?:\s+(?:in|after|at|for|until|is|on|about|another|least|request|time))*["'\s:~]*"""
    rf"({_DATE}|{_CLOCK.pattern}|(?:[0-9]+(?:\.[0-9]+)?\s*{_UNIT}(?![a-z])(?:\s*,|\s+and\b)?\s*)+)",
    re.IGNORECASE,
)
"""A wait in words, such as "Please try again in 1m30.5s" or "resets at 2026-11-29 00:00:00 UTC"."""
_RETRY_FIELD = re.compile(
    r"(?:retry(?:after|delay|in)|estimatedtime|wait(?:time|for)?)\.?(ms|millis\w*|s|secs?|seconds|at|time|date)?$"
)
_RESET_FIELD = re.compile(r"reset[^.]*?(ms|millis\w*)?$")

_LONG = re.compile(
    r"(?:per|by|/|a|each|every|this)[ _-]?(?:day|week|month)|\b[rt]pd\b|per 24 ?h|每[日天]|今[日天]|当[日天]"
    r"|(?:daily|weekly|monthly)\W+(?:\w+\W+){0,2}?(?:limit|quota|usage|allowance|allocation|request|token|credit)",
    re.IGNORECASE,
)
_SHORT = re.compile(r"(?:per|by|/|a|each|every)[ _-]?(?:sec|min|hour)|\b[rt]p[sm]\b", re.IGNORECASE)
"""Words for limits of a day or longer, and for shorter ones."""

_LIMIT = re.compile(
    r"rate.?limit|too many requests|limit.?exceeded|\blimit reached|throttl"
    r"|(?:exceed\w*|out of|reached)\W+(?:\w+\W+){0,5}?quota"
    r"|quota\W+(?:\w+\W+){0,4}?(?:exceed|exhaust|reached)|quota_?exceeded",
    re.IGNORECASE,
)

_LOADING = re.compile(
    r"\b(?:loading|starting|initiali[sz]ing|warming)(?: up)? (?:the )?(?:model|server|weights|engine)|cold start"
    r"|^loading|\b(?:model|server|weights|engine|endpoint|service|instance|container|runner)\b.{0,60}?\b(?:"
    r"loading(?! (?:an? |the )?(?:image|picture|file))|starting|warming|initiali[sz]ing|scaling|scaled to zero|waking"
    r"|deploying"
    r"|(?:not|n't) (?:yet |been |be )*(?:ready|loaded|started))",
    re.IGNORECASE,
)


def seconds_in(value: str, now: datetime | None = None) -> float | None:
    """Read a waiting time in any usual format.

    Args:
        value: a number of seconds ("2", "0.5"), a duration ("1m30s", "17ms", "2 hours and 5 minutes", "00:01:30"), or a
            point in time (in the format of HTTP, of ISO 8601, or as seconds or milliseconds since 1970). If a proxy has
            merged several headers, separated by commas, the longest wait counts.
        now: the present, for points in time; None: the clock's time.

    Returns:
        Seconds, from 0 to a month; None if the format is unknown or the wait is longer.

    Example:
        >>> seconds_in("1m30s"), seconds_in("20, 20"), seconds_in("soon")
        (90.0, 20.0, None)
    """
    text = value.strip()[:100]
    now = now or datetime.now(UTC)
    seconds = None
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if seconds >= _EPOCH_SECONDS:
            seconds = seconds / (1000 if seconds >= _EPOCH_MILLISECONDS else 1) - now.timestamp()
    elif clock := _CLOCK.fullmatch(text):
        seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
    elif text and not _PART.sub("", text):
        seconds = sum(float(part[1]) * _seconds_of(part[2].lower()) for part in _PART.finditer(text))
    else:
        for parse in (parsedate_to_datetime, datetime.fromisoformat):
            with suppress(ValueError, TypeError, OverflowError, IndexError):
                time = parse(re.sub(r"\s?(?:UTC|GMT)$", "+00:00", text) if parse == datetime.fromisoformat else text)
                seconds = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() - now.timestamp()
                break
        else:
            merged = [seconds_in(part, now) for part in text.split(",")] if "," in text else []
            seconds = max((one for one in merged if one is not None), default=None)
    return None if seconds is None or not seconds <= _LONGEST else max(seconds, 0.0)


def wait_in(headers: Mapping[str, str], now: datetime | None = None, *, body: Any = None) -> float | None:
    """Read how long an endpoint asks to wait.

    A field such as ``retry-after-ms``, ``x-ms-retry-after-ms``, ``retry-after`` or ``retryDelay`` comes first, then a
    sentence, then the longest reset of an exhausted limit; a limit that names no remainder counts as exhausted.

    Args:
        headers: the reply's headers, names in lower case.
        now: as for ``seconds_in``.
        body: the reply's JSON, in which the same fields and headers may stand at any depth.

    Returns:
        Seconds; None if the reply names no wait.

    Example:
        >>> wait_in({"retry-after": "7"})
        7.0
        >>> wait_in({}, body={"error": {"message": "Too many requests. Please try again in 1m2s."}})
        62.0
    """
    in_body = list(fields_in(body))
    fields = {re.sub("[-_ ]", "", name.lower()): value for name, value in [*in_body, *fields_in(dict(headers))]}
    retries, in_milliseconds, resets = list[float | None](), list[float | None](), list[float | None]()
    for name, value in fields.items():
        if field := _RETRY_FIELD.search(name):
            milliseconds = (field[1] or "").startswith("m")
            (in_milliseconds if milliseconds else retries).append(_field_seconds(value, now, milliseconds=milliseconds))
        elif field := _RESET_FIELD.search(name):
            remaining = fields.get(name.replace("reset", "remaining"), "0").strip()
            if not _NUMBER.fullmatch(remaining) or float(remaining) <= 0:
                resets.append(_field_seconds(value, now, milliseconds=bool(field[1])))
    sentences = [seconds_in(match[1], now) for _, value in in_body for match in _SENTENCE.finditer(value)]
    for waits in (in_milliseconds, retries, sentences, resets):
        if (wait := max((one for one in waits if one is not None), default=None)) is not None:
            return wait
    return None


def is_used_up(body: Any) -> bool:
    """Return whether an error says that a limit per day or longer is used up; a shorter one is worth waiting for.

    Example:
        >>> is_used_up({"message": "Limit: free-models-per-day"}), is_used_up({"message": "Limit: 10 per minute"})
        (True, False)
    """
    return any(_LONG.search(text) and not _SHORT.search(text) for _, text in fields_in(body))


def is_limit(text: str) -> bool:
    """Return whether a text is about a limit on the number of questions or tokens."""
    return bool(_LIMIT.search(text))


def is_short(text: str) -> bool:
    """Return whether a text is about a limit per minute or another short time."""
    return bool(_SHORT.search(text))


def is_loading(error: Mapping[str, Any], reason: str) -> bool:
    """Return whether an error says that the server still loads its model."""
    return "estimated_time" in error or bool(_LOADING.search(reason))


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


def _seconds_of(unit: str) -> float:
    """Return the seconds of a unit, abbreviated or in full."""
    return _UNITS["ms"] if unit.startswith("milli") else _UNITS.get(unit) or _UNITS[unit[0]]


def _field_seconds(value: str, now: datetime | None, *, milliseconds: bool) -> float | None:
    """Read a field's value; a plain number is in milliseconds where the field's name says so."""
    number = float(value) if milliseconds and _NUMBER.fullmatch(value.strip()) else _EPOCH_SECONDS
    return seconds_in(str(number / 1000) if number < _EPOCH_SECONDS else value, now)
