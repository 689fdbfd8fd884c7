"""Probabilities of an answer's numbers: the tokens that spell them, and the tokens that could have stood there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Token", "number_tokens", "sound_tokens"]

_MAX_LENGTH, _MAX_ALTERNATIVES, _MAX_TOKENS = 24, 64, 20_000
"""Characters of an alternative, alternatives of a token, tokens of an answer; no model sends more."""
_ROUNDING = 1e-3
"""Log-probabilities up to this are accepted: servers compute them with few bits."""
_IN_NUMBER = re.compile(r"[0-9.]")
_NUMBER = re.compile(r"[0-9.]+")
_SPACED_NUMBER = re.compile(r"\s*+[0-9.]++\s*+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer that consists of digits and points.

    Attributes:
        start: index of its first character in the answer's text.
        text: its text, without surrounding spaces.
        alternatives: (text, natural-log probability) of the tokens that could have stood there and consist of digits
            and points, with or without surrounding spaces. Includes the token itself, if its probability is known.
    """

    start: int
    text: str
    alternatives: tuple[tuple[str, float], ...]


def number_tokens(
    pieces: Iterable[tuple[str, Sequence[tuple[str, float]]]], text: str | None = None
) -> tuple[Token, ...]:
    """Select the tokens of an answer that spell numbers.

    Args:
        pieces: for every token its text, and (text, natural-log probability) of the tokens that could have stood there,
            itself included.
        text: the answer's text; None: the pieces joined. It may differ from them in everything but digits and points,
            and their beginning may be missing in it, as some servers remove the reasoning.

    Returns:
        The tokens in order; none if the digits and points of the text are not those of the last pieces.

    Example:
        >>> number_tokens([("score: ", ()), ("0.9", [("0.9", -0.1), ("0.8", -2.3)])])
        (Token(start=7, text='0.9', alternatives=(('0.9', -0.1), ('0.8', -2.3))),)
    """
    pieces = list(pieces)
    if text is None:
        text = "".join(piece for piece, _ in pieces)
    tokens: list[Token] = []
    end = len(text)
    for piece, likely in reversed(pieces):
        core = piece.strip()
        if not _IN_NUMBER.search(core):
            continue
        start = text.rfind(core, 0, end)
        if start < 0 or _IN_NUMBER.search(text, start + len(core), end):
            break
        end = start
        if _NUMBER.fullmatch(core) and (alternatives := _alternatives(likely)):
            tokens.append(Token(start, core, alternatives))
    # Digits that belong to no piece: the positions of all others are uncertain.
    return () if _IN_NUMBER.search(text, 0, end) else tuple(reversed(tokens))


def sound_tokens(tokens: Sequence[Token], text: str) -> tuple[Token, ...]:
    """Return the tokens that the text really has at their positions, in order.

    Args:
        tokens: as a backend or a file gave them; anything else than a token is dropped.
        text: the answer's text.
    """
    kept: list[Token] = []
    end = 0
    for token in tokens[:_MAX_TOKENS]:
        try:
            fits = token.start >= end and _NUMBER.fullmatch(token.text) and text.startswith(token.text, token.start)
            alternatives = _alternatives(token.alternatives) if fits else ()
        except (AttributeError, TypeError, ValueError):
            continue
        if alternatives:
            kept.append(Token(token.start, token.text, alternatives))
            end = token.start + len(token.text)
    return tuple(kept)


def _alternatives(likely: Sequence[tuple[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Select those that could be part of a number; none if any log-probability is invalid.

    Six decimals, a millionth of the probability, keep the stored answer short.
    """
    if not all(isinstance(value, int | float) and value <= _ROUNDING for _, value in likely):
        return ()
    parts = [(text, value) for text, value in likely if len(text) <= _MAX_LENGTH and _SPACED_NUMBER.fullmatch(text)]
    finite = [(text, round(min(value, 0.0), 6)) for text, value in parts if value > float("-inf")]
    return tuple(finite[:_MAX_ALTERNATIVES])
