"""The expected value of a written score, from the probabilities of the tokens that spell it.

The tokens "0", ".", "7" spell 0.7. Each token comes with the probabilities of what could have stood in its place, its
alternatives. At each place:

1. Only alternatives that continue the number so far to a number in [0, 1] count; their probabilities are renormalised
   to 1.
2. If an alternative agrees with the beginning of what was written ("0" for "0.7"), it counts as what was written.
3. If an alternative ends at the same decimal place as the written token, its digits replace those of the token, and
   the digits written after the token are kept. No value exceeds 1.
4. If an alternative ends at another decimal place, it counts as the number that it completes.

The expected value at the first token is the score. For tokens of one character, where d is a digit of the decimals:

    E = P(1) + P(0) (sum_d P(d1 = d) d / 10 + sum_d P(d2 = d) d / 100 + ...)

if the number begins with 0. Nobody knows what the model would have written after an alternative, so what it wrote after
the chosen token is used. The number of decimals does not change. If the model wrote 1, the alternative 0 counts as 0.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.backend import Token
    from lvlm_ad.text2seg.numbers import Number

_SCORE = re.compile(r"0|0?\.[0-9]{1,16}|1(?:\.0{0,16})?")
"""A number in [0, 1] as digits and a point."""


class Expected:
    """The expected values of the numbers in one answer, from the tokens that spell them, in their order."""

    def __init__(self, tokens: Sequence[Token] = ()) -> None:
        self._tokens = tokens
        self._starts = [token.start for token in tokens]

    @property
    def known(self) -> bool:
        """Whether any token is known; without one every number counts as written."""
        return bool(self._tokens)

    def __call__(self, number: Number) -> float | None:
        """Return a number's expected value in [0, 1]; without alternatives that is its value exactly.

        None where the number counts as written: it is no plain decimal such as 0.7, .75 or 1, or a token that spells
        it, or the token's probability, is not known.
        """
        written = number.written
        plain = not number.rescaled and _SCORE.fullmatch(written)
        tokens = self._spelling(number.at, written) if plain else ()
        change: float | None = 0.0
        for token in reversed(tokens):
            if change is not None:
                change = _change(written, token.start - number.at, token, change)
        if not tokens or change is None:
            return None
        return min(max(float(written) + change, 0.0), 1.0)

    def _spelling(self, start: int, written: str) -> Sequence[Token]:
        """Return the successive tokens from ``start`` on that spell a number; none if they do not."""
        first = last = bisect_left(self._starts, start)
        spelled = ""
        while len(spelled) < len(written) and self._starts[last : last + 1] == [start + len(spelled)]:
            spelled += self._tokens[last].text
            last += 1
        return self._tokens[first:last] if spelled == written else ()


def _change(written: str, at: int, token: Token, after: float) -> float | None:
    """Return how much the alternatives of a token change a number's expected value; None if its own are not known.

    The token begins ``at`` this place in the written number; the tokens after it make the change ``after``.
    """
    before, rest = written[:at], written[at:]
    value, so_far = float(written), before + token.text
    changes: list[tuple[float, float]] = []
    known = False
    for text, log_probability in token.alternatives:
        # Within a number a space would end it.
        part = text.rstrip() if before else text.strip()
        known |= part == token.text
        if rest.startswith(part):
            changes.append((log_probability, after))
        elif _SCORE.fullmatch(before + part):
            change = float(before + part) - value
            if _decimals(before + part) == _decimals(so_far):
                # A beginning such as "0." or "0.7" is a number by itself; "." is 0.
                change = min(float(before + part) - float(f"0{so_far}") + after, 1.0 - value)
            changes.append((log_probability, change))
    if not known:
        return None
    # Relative to the likeliest alternative, so that not all weights underflow.
    most = max(log_probability for log_probability, _ in changes)
    weighted = [(math.exp(log_probability - most), change) for log_probability, change in changes]
    return sum(weight * change for weight, change in weighted) / sum(weight for weight, _ in weighted)


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])
