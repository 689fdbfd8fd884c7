"""What came with an answer's text: token counts, and the probabilities of its numbers and its first token."""

from __future__ import annotations

import re
from typing import Any

from lvlm_ad.backend import FirstToken, Token, Usage, number_tokens
from lvlm_ad.backend.tokens import first_index, sound_first
from lvlm_ad.limits import ANSWER_TOKENS

_MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What malformed log-probabilities raise when they are read."""


def usage_of(usage: Any) -> Usage:
    """Return the token counts of a reply; None where they are missing or malformed.

    Example:
        >>> usage_of({"prompt_tokens": 900.0, "completion_tokens": 20})
        Usage(input_tokens=900, cached_tokens=None, output_tokens=20)
    """
    question = _count(usage, "prompt_tokens", "input_tokens")
    written = _count(usage, "completion_tokens", "output_tokens")
    reasoning = _count(_part(usage, "completion_tokens_details"), "reasoning_tokens")
    if question is not None and written is not None and reasoning:
        # OpenAI counts reasoning as part of the completion; some endpoints do not, as their total shows.
        written += reasoning if _count(usage, "total_tokens") == question + written + reasoning else 0
    return Usage(question, _count(_part(usage, "prompt_tokens_details"), "cached_tokens"), written)


def _part(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else None


def _count(holder: Any, *names: str) -> int | None:
    """Return the first of the fields that is a count; some gateways write counts as floats or texts."""
    for name in names:
        number = _part(holder, name)
        if isinstance(number, str) and re.fullmatch("[0-9]{1,15}", number):
            number = int(number)
        if type(number) in {int, float} and 0 <= number <= ANSWER_TOKENS and number == int(number):
            return int(number)
    return None


def tokens_of(logprobs: Any, text: str) -> tuple[Token, ...]:
    """Return the tokens of the answer's numbers; empty if the log-probabilities are missing or malformed."""
    try:
        pieces = [(entry, _token_text(entry)) for entry in logprobs["content"]]
        likely = ((piece, _likely(entry, piece) if re.search("[0-9.]", piece) else []) for entry, piece in pieces)
        return number_tokens(likely, text)
    except _MALFORMED:
        return ()


def first_of(logprobs: Any, text: str) -> FirstToken | None:
    """Return the token with which the answer begins; None if the log-probabilities are missing or malformed."""
    try:
        pieces = [_token_text(entry) for entry in logprobs["content"]]
        at = first_index(pieces, text)
        likely = () if at is None else tuple(_likely(logprobs["content"][at], pieces[at]))
    except _MALFORMED:
        return None
    return None if at is None else sound_first(FirstToken(pieces[at], likely))


def _likely(entry: Any, token: str) -> list[tuple[str, float]]:
    """Return the tokens that could have stood in a token's place, itself included."""
    value = float(entry["logprob"])
    likely = [(_token_text(other), float(other["logprob"])) for other in entry.get("top_logprobs") or []]
    return likely if any(text == token for text, _ in likely) else [*likely, (token, value)]


def _token_text(entry: Any) -> str:
    """Return a token's text. A part of a character has only bytes, which its "token" writes in digits."""
    data = entry.get("bytes")
    return bytes(data).decode("utf-8", "replace") if isinstance(data, list) else str(entry["token"])
