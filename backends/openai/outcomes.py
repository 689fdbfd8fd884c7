"""How an answer ended, in the words of many endpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvlm_ad.backend import Outcome

_COMPLETE = re.compile(
    "(?:stop|eos)(?:_(?:token|sequence|string))?(?:_found)?|end(?:_?of)?(?:_?(?:turn|text))?|finish(?:ed)?|completed?|normal"
)
"""The only words that say that the model ended its text itself."""

_PARTIAL: tuple[tuple[Outcome, re.Pattern[str]], ...] = (
    (
        "filtered",
        re.compile(
            r"^block|filter|safety|sensitive|inappropriate|moderat|guardrail|toxic|recitation|prohibited|spii"
            r"|model_?armor|jailbreak|data_?inspection|content_?policy|policy_?violation|risk_?detection"
        ),
    ),
    ("refused", re.compile("^refus")),
    ("truncated", re.compile("length|token|context|limit|truncat|^max")),
)
"""Outcomes of incomplete answers, and the words of endpoints for them."""

_REASONS = ("finish_reason", "finishReason", "stop_reason", "done_reason")
"""Fields that say how an answer ended; the first that is filled counts."""


def ending(choice: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[Outcome | None, str]:
    """Read how an answer ended.

    Args:
        choice: the choice that holds the answer.
        body: the whole reply.

    Returns:
        The outcome, None if it is unknown; and the endpoint's own word for it.

    Example:
        >>> ending({"finish_reason": "MAX_TOKENS"}, {}), ending({"finish_reason": "abort"}, {})
        (('truncated', 'MAX_TOKENS'), (None, 'abort'))
    """
    incomplete = body.get("incomplete_details")
    values = [
        *(part.get(name) for part in (choice, body) for name in _REASONS),
        choice.get("native_finish_reason"),
        incomplete.get("reason") if isinstance(incomplete, dict) else None,
    ]
    words = [word for word in values if isinstance(word, str) and word.strip()]
    for word in words:
        if (outcome := incomplete_outcome(word)) is not None:
            return outcome, word
    word = words[0] if words else ""
    return ("ok" if _COMPLETE.fullmatch(_plain(word)) else None), word


def incomplete_outcome(word: str) -> Outcome | None:
    """Return the outcome that a word for an incomplete answer means; None for every other word."""
    plain = _plain(word)
    if _COMPLETE.fullmatch(plain):
        return None
    return next((outcome for outcome, pattern in _PARTIAL if pattern.search(plain)), None)


def _plain(word: str) -> str:
    """Write a word in lower case with underscores, without the name of its type: FinishReason.STOP is stop."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", word[:200].strip().rpartition(".")[2])
    return re.sub("[^a-z]+", "_", spaced.lower()).removeprefix("finish_").removeprefix("reason_")
