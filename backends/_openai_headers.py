"""Reads from a reply's headers how long an endpoint wants to be left alone, and what limits it announces."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING

from lvlm_ad.backend import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["announced_limits", "asked_wait", "seconds_in"]

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|d|h|m|s)")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_EPOCH_SECONDS, _EPOCH_MILLISECONDS = 1e9, 1e11
"""A plain number above these is a point in time, in seconds or milliseconds since 1970."""


def seconds_in(value: str, now: datetime | None = None) -> float | None:
    """Read a wait in any of the forms in use.

    Args:
        value: a number of seconds ("2", "0.5"), a duration ("1m30s", "17ms"), a point in time (as HTTP
            writes it, as ISO 8601 writes it, or in seconds or milliseconds since 1970).
        now: the time from which points in time are counted; None: the clock's.

    Returns:
        Seconds, at least 0; None if it is none of these.
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
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            when = read(text)
            return max((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now.timestamp(), 0.0)
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def asked_wait(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read how long an endpoint wants to be left alone.

    ``retry-after-ms`` and ``retry-after`` say it; without them, the reset of each limit that is used up does, and the
    longest counts. A limit whose remainder is not told counts as used up.

    Args:
        headers: the reply's headers, names in lower case.
        now: as for ``seconds_in``.

    Returns:
        Seconds, None if it does not say.
    """
    if (milliseconds := headers.get("retry-after-ms")) is not None and _NUMBER.fullmatch(milliseconds.strip()):
        return max(float(milliseconds) / 1000, 0.0)
    if (after := headers.get("retry-after")) is not None and (seconds := seconds_in(after, now)) is not None:
        return seconds
    resets = []
    for name, value in headers.items():
        if "ratelimit" in name and "reset" in name:
            remaining = headers.get(name.replace("reset", "remaining"), "0").strip()
            if not _NUMBER.fullmatch(remaining) or float(remaining) <= 0:
                resets.append(seconds_in(value, now))
    return max((seconds for seconds in resets if seconds is not None), default=None)


def announced_limits(headers: Mapping[str, str]) -> Limits | None:
    """Read the limits a minute that an endpoint announces with each answer.

    Args:
        headers: the reply's headers, names in lower case.

    Returns:
        The limits, None if there are none.
    """

    def of(*names: str) -> float | None:
        for name in names:
            found = re.match(r"[0-9]{1,15}", headers.get(name, "").strip())
            if found and float(found[0]) > 0:
                return float(found[0])
        return None

    requests = of("x-ratelimit-limit-requests", "anthropic-ratelimit-requests-limit")
    tokens = of("x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit")
    return Limits(requests, tokens) if requests or tokens else None
