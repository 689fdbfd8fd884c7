"""How long an endpoint asks to wait, and the limits that it announces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from lvlm_ad.backend import Limits

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e11
"""A number above these is a point in time, in seconds or milliseconds since 1970."""


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


def retry_delay(error: Mapping[str, Any]) -> float | None:
    """Return the waiting time that Gemini puts into an error's details."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return seconds_in(detail["retryDelay"])
    return None
