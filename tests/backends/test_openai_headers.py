from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lvlm_ad_backends.openai.waits import announced_limits, is_used_up, seconds_in, wait_in

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
        ("1m30.5s", 90.5),
        ("26 seconds", 26),
        ("2 hours and 5 minutes", 7500),
        ("1 day, 3 hours", 97200),
        ("00:01:30", 90),
        ("2026-11-22 12:00:10 UTC", 10),
        ("20, 20", 20),
        ("20, 35", 35),
        ("Sun, 22 Nov 2026 12:01:30 GMT, Sun, 22 Nov 2026 12:01:30 GMT", 90),
        ("soon", None),
        ("", None),
        ("1m30", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e400", None),
        ("9" * 400, None),
        ("99999999", None),
        ("9999-12-31T23:59:59Z", None),
    ],
)
def test_every_form_of_a_wait_is_read(value, seconds):
    """Every usual form is read, doubled ones too; the past is 0; no number, infinity and years are None."""
    assert seconds_in(value, NOW) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


@given(st.text(max_size=200))
def test_no_header_breaks_the_reading(value):
    """Any text gives a number of seconds from 0 to a month, or None, wherever it stands."""
    body = {"error": {"message": f"Try again in {value}", "retryDelay": value, "details": [value, {"reset": value}]}}
    waits = [seconds_in(value, NOW), wait_in({"retry-after": value, "x-ratelimit-reset": value}, NOW)]
    waits += [wait_in({}, NOW, body=part) for part in (body, [body], value)]
    assert all(0 <= (wait or 0) <= 32 * 86400 for wait in waits)
    is_used_up(body)
    announced_limits({"x-ratelimit-limit-requests": value})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"x-ms-retry-after-ms": "6000"}, 6),
        ({"x-ms-retry-after-ms": "NaN", "retry-after": "3"}, 3),
        ({"retry-after": "12, 12"}, 12),
        ({"retry-after": "-1"}, 0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later", "x-ratelimit-reset-requests": "4s"}, 4),
        ({"ratelimitbysize-reset": "43"}, 43),
        (
            {
                "x-ratelimit-reset-requests-day": "33011.4",
                "x-ratelimit-remaining-requests-day": "812",
                "x-ratelimit-reset-tokens-minute": "11.4",
                "x-ratelimit-remaining-tokens-minute": "0",
            },
            11.4,
        ),
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


def error(message="", **fields):
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (error("Please try again in 7m12s. Visit https://x.test for more."), 432),
        (error("Please try again in 843ms."), 0.843),
        (error("Please retry after 26 seconds. Please go here: https://x.test/quotaincrease"), 26),
        (error("Please wait 38452 seconds before retrying."), 38452),
        (error("Out of call volume quota. Quota will be replenished in 08:12:33."), 29553),
        (error("Limit resets at: 2026-11-22 13:00:00 UTC"), 3600),
        (error("Please try again later. Logs are kept for 30 days."), None),
        (error("At most 5 minutes of video."), None),
        (error(metadata={"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795348805000"}}), 5),
        (error(metadata={"headers": {"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "1795348805000"}}), None),
        (error(metadata={"raw": '{"error": {"details": [{"retryDelay": "37s"}]}}'}), 37),
        (error("VertexAIException - {'retryDelay': '12s'}"), 12),
        ([error(details=[{"violations": []}, {"retryDelay": "37.5s"}])], 37.5),
        (error(details=[{"retryDelay": {"seconds": 37}}]), 37),
        (error(retry_after_ms=1500), 1.5),
        (error(retryAfter=2), 2),
        (error(resets_in_seconds=55), 55),
        (error(resetsAt="2026-11-23T00:00:00Z"), 43200),
        ({"error": "Model x is currently loading", "estimated_time": 20.5}, 20.5),
        (error(retry_after=True), None),
        (error(retry_after=float("nan")), None),
        ({"detail": [{"reset": [{"reset": [None, {}]}]}]}, None),
    ],
)
def test_a_wait_in_a_body_is_found(body, seconds):
    """Fields, headers and JSON in texts are read at any depth, and so are sentences; other times are no waits."""
    assert wait_in({}, NOW, body=body) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


@pytest.mark.parametrize(
    ("body", "used_up"),
    [
        (error("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day"), True),
        (error("quota", details=[{"violations": [{"quotaId": "RequestsPerDayPerProject-FreeTier"}]}]), True),
        (error("Rate limit reached for m on requests per day (RPD): Limit 200, Used 200."), True),
        (error("on tokens per day (TPD): Limit 500000"), True),
        (error("Rate limit of 150 per 86400s exceeded for UserByModelByDay."), True),
        ({"error": "you have reached your weekly usage limit"}, True),
        (error("This key is limited to 1000 API calls / month."), True),
        (error("已达到每日调用上限"), True),
        (error("Rate limit exceeded: free-models-per-min."), False),
        (error("quota", details=[{"violations": [{"quotaId": "RequestsPerMinutePerProject-FreeTier"}]}]), False),
        (error("Quota exceeded for tokens per min (TPM)"), False),
        (error("More than 20 requests per minute (daily limit: 200)"), False),
        (error("You exceeded your current quota, please check your plan and billing details."), False),
        (error("Have a nice day"), False),
        (None, False),
    ],
)
def test_a_limit_per_day_or_longer_is_told_from_a_shorter_one(body, used_up):
    """Only words for a day, a week or a month count, and not beside those for a minute; "quota" alone says nothing."""
    assert is_used_up(body) is used_up


def test_announced_limits_are_read():
    """The headers of OpenAI and Anthropic are read; only a positive number is a limit."""
    assert announced_limits({"x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "0"}) == Limits(60, None)
    assert announced_limits({"anthropic-ratelimit-tokens-limit": "40000"}) == Limits(None, 40000)
    assert announced_limits({"x-ratelimit-limit-requests": "many"}) is None
    assert announced_limits({}) is None
