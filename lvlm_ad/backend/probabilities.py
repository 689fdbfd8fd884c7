"""What else a model could have written: the tokens that spell an answer's numbers, and their alternatives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Token", "number_tokens", "sound_tokens"]

_LONGEST, _MOST_ALTERNATIVES, _MOST_TOKENS = 24, 64, 20_000
"""Characters of an alternative; alternatives of a token; tokens of an answer. What is beyond comes from no model."""
_ROUNDING = 1e-3
"""A log-probability may be so far above 0, where a server computed it in a short type."""
_IN_NUMBER = re.compile(r"[0-9.]")
_SPELLS = re.compile(r"[0-9.]+")
_COULD_SPELL = re.compile(r"\s*+[0-9.]++\s*+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer that consists of digits and points.

    Attributes:
        start: index in the answer's text where it begins, in characters.
        text: what it says, without spaces around it.
        alternatives: (text, natural-log probability) of the tokens that could have stood there and consist of digits
            and points, perhaps with spaces around them; the written one included, if its probability is known.
    """

    start: int
    text: str
    alternatives: tuple[tuple[str, float], ...]


def number_tokens(
    pieces: Iterable[tuple[str, Sequence[tuple[str, float]]]], text: str | None = None
) -> tuple[Token, ...]:
    """Choose from all tokens of an answer those that spell numbers.

    Args:
        pieces: each token's own text, and (text, natural-log probability) of what could have stood there, the token
            itself included.
        text: the answer's text; None: the pieces in a row. It may differ from them in everything but digits and points,
            and may lack their beginning, as where a server takes reasoning off.

    Returns:
        The tokens in their order; none where the digits and points of the text are not those of the last pieces.
    """
    listed = list(pieces)
    if text is None:
        text = "".join(piece for piece, _ in listed)
    found: list[Token] = []
    end = len(text)
    for piece, likely in reversed(listed):
        core = piece.strip()
        if not _IN_NUMBER.search(core):
            continue
        start = text.rfind(core, 0, end)
        if start < 0 or _IN_NUMBER.search(text, start + len(core), end):
            break
        end = start
        if _SPELLS.fullmatch(core) and (alternatives := _alternatives(likely)):
            found.append(Token(start, core, alternatives))
    # Digits that are left over belong to no piece: then nothing is known of where the others are.
    return () if _IN_NUMBER.search(text, 0, end) else tuple(reversed(found))


def sound_tokens(tokens: Sequence[Token], text: str) -> tuple[Token, ...]:
    """Return the tokens that stand in a text where they say, one after the other, as they are stored.

    Args:
        tokens: as a backend gave them or a file holds them; what is none is left out.
        text: the answer's text.
    """
    kept: list[Token] = []
    end = 0
    for token in tokens[:_MOST_TOKENS]:
        try:
            stands = token.start >= end and _SPELLS.fullmatch(token.text) and text.startswith(token.text, token.start)
            alternatives = _alternatives(token.alternatives) if stands else ()
        except (AttributeError, TypeError, ValueError):
            continue
        if alternatives:
            kept.append(Token(token.start, token.text, alternatives))
            end = token.start + len(token.text)
    return tuple(kept)


def _alternatives(likely: Sequence[tuple[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Return those that could be part of a number; none at all where one has no log-probability.

    Rounding to six decimals, a millionth of the probability, keeps what is stored short.
    """
    if not all(isinstance(value, int | float) and value <= _ROUNDING for _, value in likely):
        return ()
    parts = [(text, value) for text, value in likely if len(text) <= _LONGEST and _COULD_SPELL.fullmatch(text)]
    finite = [(text, round(min(value, 0.0), 6)) for text, value in parts if value > float("-inf")]
    return tuple(finite[:_MOST_ALTERNATIVES])
