"""Find the image score in the text around the places of an answer."""

from __future__ import annotations

import re

from lvlm_ad.backend import Answer
from lvlm_ad.text2seg.lexer import Text, lex
from lvlm_ad.text2seg.read import read

__all__ = ["stated_image_score"]

_REACH = 4
"""How many tokens may lie between a word for the image and a word for its score: "score of this test image"."""
_CLAUSE = re.compile(r"[\n;]|[.!?]\s")


def stated_image_score(text: str, *, truncated: bool, named: bool) -> float | None:
    """Return the image score that a text states.

    Args:
        text: an answer's text without its places.
        truncated: whether the answer was cut off, perhaps within a number.
        named: whether a score counts only where it is called the image's. Beside a place, "score: 0.7" is not.
    """
    text = _about_image(text) if named else text
    if not any(character.isdecimal() for character in text):
        return None
    return read(Answer(text, "truncated" if truncated else "ok"), 0).image


def _about_image(text: str) -> str:
    """Return the clauses in which a score is called the image's; one without a number goes on in the next."""
    kept: list[str] = []
    goes_on = False
    for clause in _CLAUSE.split(text):
        if goes_on or _names_image_score(clause):
            kept.append(clause)
            goes_on = not any(character.isdecimal() for character in clause)
    return "\n".join(kept)


def _names_image_score(clause: str) -> bool:
    tokens = lex(Text.of(clause))
    near = -_REACH - 1, -_REACH - 1  # the last word for the image and the last for a score
    for at in range(len(tokens)):
        near = at if tokens.has(at, "image") else near[0], at if tokens.has(at, "score") else near[1]
        if min(near) >= 0 and abs(near[0] - near[1]) <= _REACH:
            return True
    return False
