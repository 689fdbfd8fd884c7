"""From numbers as written to places in the picture as sent."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.places.conclude import Statement, conclude, read_score, relevant_text, without_copies
from lvlm_ad.text2seg.places.entries import json_listing
from lvlm_ad.text2seg.places.nothing import is_negated
from lvlm_ad.text2seg.places.tags import bracket_listing, tag_listing
from lvlm_ad.text2seg.places.tokens import OWN_FORMS, has_foreign_tokens, token_listing
from lvlm_ad.text2seg.places.written import Listing, Size, Written
from lvlm_ad.text2seg.read import without_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvlm_ad.backend import Answer
    from lvlm_ad.conventions import Convention
    from lvlm_ad.text2seg.lexer import Text
    from lvlm_ad.text2seg.places.conclude import Place

__all__ = ["Placed", "Placing"]

_BEYOND = 0.1
"""How far outside its range a number may lie, as a share of the range, before it cannot be of the convention."""
_CLOSE = 1e-6
"""Differences in pixels that are only rounding."""
_WHOLE = 0.95
_PATCHES = 32
_FOUR = r"[0-9]{1,4}+(?:,[0-9]{1,4}+){3}+"
_SEVERAL = re.compile(rf"\[\[{_FOUR}(?:;{_FOUR})++\]\]")
"""Several boxes as CogVLM writes them (THUDM/CogVLM, utils/utils/grounding_parser.py): ``[[086,540,400,760;...]]``."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A place in the picture as sent, cut at its edges; in pixels.

    Attributes:
        written: how it is written.
        corners: left, upper, right and lower side; of a point, x and y.
        uncut: the same before it was cut.
    """

    written: Written
    corners: tuple[float, ...]
    uncut: tuple[float, ...]


@dataclass(slots=True)
class Placing:
    """Finds the places in answers of one convention.

    Attributes:
        convention: the model's.
        sent: width and height of the picture as sent.
        size: 2 for points, 4 for boxes.
        more: further points of a place, such as corners of its mask, as (x, y); they must be of the convention, too.
    """

    convention: Convention
    sent: tuple[int, int]
    size: Size
    more: Callable[[Written], tuple[tuple[float, float], ...]] = field(default=lambda _: ())

    def read(self, answer: Answer, shape: Callable[[Placed, set[str]], Place], *, scored: bool) -> Finding:
        """Return what an answer finds.

        Args:
            answer: what the model answered.
            shape: makes a shape, without a score, of a place; it may add a flag.
            scored: whether the question asked for scores.
        """
        if (without := without_text(answer)) is not None:
            return Finding.of(without)
        source = relevant_text(answer).replaced(_SEVERAL, lambda match: match[0].replace(";", "],["))
        listing = self._listing(source)
        stated = Statement(around=source.text)
        if listing is not None:
            stated.around, stated.named = _around(source.text, listing.spans), True
            stated.flags |= listing.flags - ({"cut"} if answer.outcome == "truncated" else set())
            self._fill(stated, listing, shape)
        return conclude(answer, stated, scored=scored)

    def _listing(self, source: Text) -> Listing | None:
        """Find the places where models of this convention write them."""
        own = [form for form in self.convention.forms if form in OWN_FORMS]
        listing: Listing | None = None
        for form in own:
            listing = listing or token_listing(source, form, self.size)
        if not own and (listing := tag_listing(source, self.size)) is None:
            listing, spans = json_listing(source, self.size)
            listing = listing or bracket_listing(source, self.size)
            if listing is not None:
                listing.spans += spans
        if listing is None and has_foreign_tokens(source):
            return Listing(flags={"not_convention"})
        return listing

    def _fill(self, stated: Statement, listing: Listing, shape: Callable[[Placed, set[str]], Place]) -> None:
        stated.image, bad = read_score(listing.image)
        stated.flags |= {"bad_score"} if bad else set()
        denied = [_denies(written) for written in listing.places]
        stated.flags |= set(filter(None, denied))
        places = [written for written, flag in zip(listing.places, denied, strict=True) if not flag]
        if not self._are_of_convention(places):
            stated.flags.add("not_convention")
            places = []
        placed = [one for written in places if (one := self._placed(written, stated.flags)) is not None]
        scores = [read_score(one.written.score) for one in placed]
        stated.flags |= {"bad_score"} if any(bad for _, bad in scores) else set()
        identified = [
            (tuple(round(value / _CLOSE) for value in one.corners), one, score)
            for one, (score, _) in zip(placed, scores, strict=True)
        ]
        kept = without_copies(identified, stated.flags)
        stated.places = [(shape(one, stated.flags), score) for one, score in kept]
        only_empty = listing.empty and not listing.places and not listing.flags & {"bad_shape", "cut"}
        stated.nothing = not stated.places and (only_empty or any(denied))

    def _are_of_convention(self, places: list[Written]) -> bool:
        """Tell whether all numbers can be of the convention; if one cannot, all are doubtful."""
        across, down = self.convention.sides(self.sent)
        for written in places:
            values = self._ordered(written)
            points = [*zip(values[::2], values[1::2], strict=True), *self.more(written)]
            if not all(_is_near(x, across) and _is_near(y, down) for x, y in points):
                return False
        if not places or self.convention.range == 1 or self.convention.order == "patches":
            return True
        return any(value > 1 for written in places for value in written.numbers)

    def _ordered(self, written: Written) -> tuple[float, ...]:
        """Return the numbers of a place as x, y or x1, y1, x2, y2, in the convention's units."""
        if self.size == 2:  # noqa: PLR2004 - a point
            order = written.order or self.convention.points or self.convention.order[:2]
            x, y = written.numbers if order != "yx" else written.numbers[::-1]
            return x, y
        if self.convention.order == "patches" and not written.order:
            return _between_patches(int(written.numbers[0]), int(written.numbers[1]))
        a, b, c, d = written.numbers
        match written.order or self.convention.order:
            case "yxyx":
                return b, a, d, c
            case "xywh":
                return a, b, a + c, b + d
            case "cxcywh":
                return a - c / 2, b - d / 2, a + c / 2, b + d / 2
            case _:
                return a, b, c, d

    def _placed(self, written: Written, flags: set[str]) -> Placed | None:
        """Put a place into the picture; None if it cannot be used."""
        values = self._ordered(written)
        points = zip(values[::2], values[1::2], strict=True)
        uncut = tuple(value for x, y in points for value in self.convention.to_pixels(x, y, self.sent))
        width, height = self.sent
        corners = tuple(min(max(value, 0.0), float((width, height)[axis % 2])) for axis, value in enumerate(uncut))
        if len(corners) > 2:  # noqa: PLR2004 - a box
            if uncut[0] > uncut[2] or uncut[1] > uncut[3]:
                flags.add("swapped")
                return None
            if corners[0] >= corners[2] or corners[1] >= corners[3]:
                flags.add("degenerate")
                return None
            if (corners[2] - corners[0]) * (corners[3] - corners[1]) >= _WHOLE * width * height:
                flags.add("whole_image")
        if any(abs(cut - value) > _CLOSE for cut, value in zip(corners, uncut, strict=True)):
            flags.add("clipped")
        return Placed(written, corners, uncut)


def _is_near(value: float, side: float) -> bool:
    return math.isfinite(value) and -_BEYOND * side <= value <= (1 + _BEYOND) * side


def _denies(written: Written) -> str:
    """Return the flag of a place that says that there is no defect; empty if it does not."""
    if len(written.numbers) > 2 and not any(written.numbers):  # noqa: PLR2004 - a box
        return "zero_box"
    return "negated" if is_negated(written.label) else ""


def _between_patches(first: int, last: int) -> tuple[float, ...]:
    """Return the box of two patches of Kosmos-2, in patches.

    From the first patch's outer corner to the last one's if they share a row or a column; else from centre to centre.
    As in huggingface/transformers, processing_kosmos2.py.
    """
    top, left = divmod(first, _PATCHES)
    bottom, right = divmod(last, _PATCHES)
    if left == right or top == bottom:
        return float(left), float(top), right + 1.0, bottom + 1.0
    return left + 0.5, top + 0.5, right + 0.5, bottom + 0.5


def _around(text: str, spans: list[tuple[int, int]]) -> str:
    """Return a text without some parts of it."""
    parts, end = [], 0
    for start, after in sorted(spans):
        parts.append(text[end : max(start, end)])
        end = max(end, after)
    return " ".join([*parts, text[end:]])
