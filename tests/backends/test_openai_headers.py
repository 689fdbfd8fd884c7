from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lvlm_ad_backends.openai.waits import announced_limits, seconds_in, wait_in

from lvlm_ad.backend import Limits

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("2", 2),
        ("0.25", 0.25),
        ("-5", 0),
        ("1m30s", 90),
        ("6m0s", 360),
        ("1h2m3.5s", 3723.5),
        ("17ms", 0.017),
        ("2d", 172800),
        ("Sun, 22 Nov 2026 12:01:30 GMT", 90),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("2026-11-22T12:00:10Z", 10),
        ("2026-11-22T13:00:10+01:00", 10),
        (str(int(NOW.timestamp()) + 30), 30),
        (str(int(NOW.timestamp() * 1000) + 2500), 2.5),
        ("soon", None),
        ("", None),
        ("1m30", None),
        ("nan", None),
        ("1e400", None),
    ],
)
def test_every_form_of_a_wait_is_read(value, seconds):
    """Seconds, durations, HTTP dates, ISO dates and epochs are read; the past is 0; anything else is None."""
    assert seconds_in(value, NOW) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


@given(st.text(max_size=200))
def test_no_header_breaks_the_reading(value):
    """Any text gives at least 0 seconds, or None."""
    assert (seconds_in(value, NOW) or 0) >= 0
    assert (wait_in({"retry-after": value, "x-ratelimit-reset": value}, NOW) or 0) >= 0
    announced_limits({"x-ratelimit-limit-requests": value})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "later", "x-ratelimit-reset-requests": "4s"}, 4),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "1000",
            },
            1,
        ),
        ({"anthropic-ratelimit-requests-reset": (NOW + timedelta(seconds=8)).isoformat()}, 8),
        ({"x-ratelimit-reset": str(int((NOW + timedelta(seconds=9)).timestamp() * 1000))}, 9),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "5"}, None),
    ],
)
def test_the_wait_asked_for_is_found(headers, seconds):
    """Milliseconds come before seconds, Retry-After before resets; the longest reset of exhausted limits counts."""
    assert wait_in(headers, NOW) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


def test_announced_limits_are_read():
    """The headers of OpenAI and Anthropic are read; only a positive number is a limit."""
    assert announced_limits({"x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "0"}) == Limits(60, None)
    assert announced_limits({"anthropic-ratelimit-tokens-limit": "40000"}) == Limits(None, 40000)
    assert announced_limits({"x-ratelimit-limit-requests": "many"}) is None
    assert announced_limits({}) is None
