"""Find the scale of an answer's scores: from 0 to 1 as asked, or another one.

A score may state its own scale ("70%", "7/10"). All others are on one scale: the one that the answer states anywhere,
in a sentence ("on a scale from 1 to 10"), in a table's head ("Score (%)") or in a key ("score_percent", "max": 10), or
else that of the scores which state their own. A range from ``low`` to ``high`` is mapped onto [0, 1] linearly (min-max
normalisation):

    score = (x - low) / (high - low)

So a 1 on a scale from 1 to 10 becomes 0, and a 1 out of 10 becomes 0.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lvlm_ad.text2seg.lexer import Text, form, lex
from lvlm_ad.text2seg.numbers import Number, read_integer


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of scores."""

    low: int
    high: int
    # False: only a "%" in a table's head states the scale, which often stands above fractions.
    sure: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return f"[{self.low}, {self.high}]"

    def __call__(self, value: float) -> float:
        """Return where in the range a value lies: 0 at its low end, 1 at its high end."""
        return (value - self.low) / (self.high - self.low)


UNIT = Scale(0, 1)

_LOWS = (0, 1)
_HIGHS = frozenset([1, 3, 4, 5, 7, 9, 10, 20, 50, 100, 255, 1000])
"""The ends that scales have. Other numbers in their place count or name something else."""

_COMMENT = "(?: '([' (?: (?! {number|line} | ')]' ) . ){1,6}+ ')]' )?+"  # 1 "(normal)" to 10
_STATED = form(
    """
      {scale|score} (?: (?! {line|number|region} ) . ){0,8}?
        (?P<low> {integer} ) COMMENT {range|and} (?P<high> {integer} )
    | {scale} ':=' '[' (?P<low_listed> {integer} ) ',' (?P<high_listed> {integer} )
    | {score} (?P<low_key> {integer} ) (?P<high_key> {integer} )
    | (?P<low_first> {integer} ) {range} (?P<high_first> {integer} ) (?: '-' | {points} )*+ {scale}
    | (?<! {number|region} ) (?P<low_means> {integer} ) {means} (?: (?! {number|region} ) . ){1,12}?
        (?P<high_means> {integer} ) {means}
    | (?: {max} {score|points}?+ | {score} {max} | {scale} {of} | (?<! {number} ) {out} {of} | {score} '(['?+ '/' )
        (?: ':=' | {is} )?+ (?P<top> {integer} ) (?! {region|percent} )
    | (?P<points> {integer} ) '-'?+ {points} '-'?+ {scale}
    | (?P<percent> {score|measure|anomaly} '(['?+ {percent} (?= '|:=)]' | {line} )
      | (?: {in_or_as} {indefinite}?+ | {score} {verb} {indefinite}?+ | {unit_of} ':=' ) {percent} )
    """.replace("COMMENT", _COMMENT)
)
_CAMEL_CASE = re.compile("(?<=[a-z])(?=[A-Z])")


def stated_scales(answer: Text) -> tuple[Scale, ...]:
    """Return the scales that a plain text states, each once."""
    tokens = lex(answer.replaced(_CAMEL_CASE, lambda _: " "))
    scales: dict[Scale, None] = {}
    for stated in _STATED.finditer(tokens.shape):
        if stated["percent"]:
            low, high = 0, 100
        else:
            ends = [read_integer(tokens, stated.start(name)) for name, found in stated.groupdict().items() if found]
            low, high = (0, *ends)[-2:]
        if low in _LOWS and high in _HIGHS and low < high:
            scales[Scale(low, high, sure=not stated["percent"])] = None
    return tuple(scales)


def scale_of(numbers: Sequence[Number], stated: Sequence[Scale]) -> tuple[Scale | None, str]:
    """Return the scale of the scores in one verdict that state none, and a note if it is doubtful.

    Decimals between 0 and 1 show that the scores are on the scale asked for, and that a larger one among them is a
    slip; so does a "1.0" beside "7/10". None if they are on another scale, which is unknown.
    """
    bare = [number for number in numbers if number.total is None]
    too_large = [number for number in bare if number.value > 1]
    fractions = sum(0 < number.value < 1 for number in bare)
    as_asked = not too_large and any(number.value > 0 and not number.plain for number in bare)
    explicit = [scale for scale in stated if scale != UNIT]
    candidates = explicit or ([] if as_asked else _brought(numbers))
    scales = [scale for scale in candidates if all(number.value <= scale.high for number in bare)]
    if len(scales) == 1 and (not fractions or (too_large and (explicit or len(too_large) > fractions))):
        return scales[0], ""
    if len(too_large) > fractions:
        return None, ""
    doubtful = bare and not too_large and explicit and explicit[0].sure and UNIT not in stated
    return UNIT, f"The scores are read as they are, not on the scale {explicit[0]} that is stated." if doubtful else ""


def _brought(numbers: Sequence[Number]) -> list[Scale]:
    """Return the scale that some scores state ("7/10"); that of percentages only where most scores are percentages."""
    totals = {number.total for number in numbers if number.total is not None and not number.percent}
    percentages = sum(number.percent for number in numbers)
    if not totals and 2 * percentages > len(numbers):
        totals = {100}
    return [Scale(0, int(total)) for total in totals if total in _HIGHS]
