"""Makes a finding of the places in an answer and of the text around them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from lvlm_ad.text2seg.answer_part import answer_part
from lvlm_ad.text2seg.drafts import without_struck
from lvlm_ad.text2seg.finding import Finding
from lvlm_ad.text2seg.json_values import Scalar
from lvlm_ad.text2seg.lexer import LONGEST, Text, plain, tail
from lvlm_ad.text2seg.places.flags import FLAGS, HARMLESS
from lvlm_ad.text2seg.places.image_score import stated_image_score
from lvlm_ad.text2seg.places.nothing import says_nothing
from lvlm_ad.text2seg.places.written import NUMBER
from lvlm_ad.text2seg.read import TOO_LONG
from lvlm_ad.text2seg.refusals import is_refusal

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from lvlm_ad.backend import Answer
    from lvlm_ad.regions.shapes import Box, Cell, Mask, Point, Polygon
    from lvlm_ad.text2seg.json_values import Value
    from lvlm_ad.text2seg.scores import Status

    Place: TypeAlias = "Box | Point | Cell | Polygon | Mask"

__all__ = ["Statement", "conclude", "read_score", "relevant_text", "without_copies"]

T = TypeVar("T")

_MOST_PLACES = 100
_MOST_COPIES = 10
_ONLY_SCORE = "The answer gives an image score, but no place."
_DECORATION = re.compile(r"<\|(?:begin|end)_of_box\|>", re.IGNORECASE)
_ECHO = re.compile(
    r"""
    (?: you\ inspect\ industrial\ products\ for\ defects\b .{0,4000}? )?
    \bif\ (?: nothing\ is\ anomalous | there\ (?:are\ none|is\ nothing|are\ no\ \w{1,20}) ) [^.\n\[\]]{0,40}
    \b(?:answer|reply|respond|return)\b [^.\n\[\]]{0,40} (?: \[\ *\] | : \ *(?:none|there\ are\ none|nothing)\b )
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
"""A repeated question, up to what it asks for where there is no defect: "answer with an empty list: []"."""
_SCORE = re.compile(rf"({NUMBER})\s{{0,3}}(%?)")
_NOT_GIVEN = frozenset({"", "null", "none", "n/a", "-"})


@dataclass(slots=True)
class Statement:
    """What an answer states about places.

    Attributes:
        places: each with its score; None: it has none. The scores in the shapes do not count.
        image: the image score that stands beside them; None: none does.
        nothing: whether it states that there is no defect, for example by an empty list.
        flags: what was wrong with places that were left out or changed.
        around: the text around the places.
        named: whether only a score that is called the image's counts in ``around``.
    """

    places: list[tuple[Place, float | None]] = field(default_factory=list)
    image: float | None = None
    nothing: bool = False
    flags: set[str] = field(default_factory=set)
    around: str = ""
    named: bool = False


def relevant_text(answer: Answer) -> Text:
    """Return the text of an answer in plain characters, without reasoning, repeated questions and struck-out parts."""
    text = plain(tail(answer.text)).replaced(_ECHO, lambda _: "\n")
    text = answer_part(without_struck(text))
    return text.replaced(_DECORATION, lambda _: " ")


def read_score(value: Value | None) -> tuple[float | None, bool]:
    """Read a score such as 0.7, "0,7", 1e-05 or "40 %".

    Returns:
        The score in [0, 1], None if there is none; and whether something stands there that is no score.
    """
    if value is None or (isinstance(value, Scalar) and value.text.text.strip().lower() in _NOT_GIVEN):
        return None, False
    match = _SCORE.fullmatch(value.text.text.strip().replace(",", ".")) if isinstance(value, Scalar) else None
    score = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    return (abs(score), False) if 0 <= score <= 1 else (None, True)


def without_copies(places: Sequence[tuple[Hashable, T, float | None]], flags: set[str]) -> list[tuple[T, float | None]]:
    """Return each place once, with its highest score, and only the first 100.

    Args:
        places: what identifies a place, the place, and its score.
        flags: gets ``duplicate``, ``looped`` and ``too_many`` where they apply.
    """
    kept: dict[Hashable, tuple[T, float | None]] = {}
    for identity, place, score in places:
        before = kept.get(identity, (place, None))
        scores = [one for one in (before[1], score) if one is not None]
        kept[identity] = before[0], max(scores, default=None)
    copies = len(places) - len(kept)
    flags |= {"duplicate"} if copies else set()
    flags |= {"looped"} if copies > _MOST_COPIES else set()
    flags |= {"too_many"} if len(kept) > _MOST_PLACES else set()
    return list(kept.values())[:_MOST_PLACES]


def conclude(answer: Answer, stated: Statement, *, scored: bool) -> Finding:
    """Make a finding of what an answer states.

    The image score is the one that the answer states; else the highest score of a place; else 0 if the answer says that
    there is no defect. A place without a score gets the stated image score, or 1 if there is none.

    Args:
        answer: what the model answered.
        stated: what it states about places; if it names none, its words decide whether it finds nothing.
        scored: whether the question asked for scores.
    """
    flags = set(stated.flags)
    truncated = answer.outcome == "truncated"
    image = stated.image
    if image is None:
        image = stated_image_score(stated.around, truncated=truncated, named=stated.named)
    if scored and any(score is None for _, score in stated.places):
        flags.add("no_score")
    otherwise = 1.0 if image is None else image
    shapes = tuple(replace(place, score=otherwise if score is None else score) for place, score in stated.places)
    refuses = not shapes and is_refusal(stated.around)
    nothing = stated.nothing
    if not (nothing or shapes or flags or truncated or refuses):
        nothing = says_nothing(stated.around)
    if image is None:
        image = max((shape.score for shape in shapes), default=0.0 if nothing else None)
        flags |= {"no_image_score"} if scored else set()
    notes = [FLAGS[flag] for flag in sorted(flags)]
    if image is not None and not shapes and not nothing and not flags:
        notes.append(_ONLY_SCORE)
    if len(answer.text.strip()) > LONGEST:
        notes.append(TOO_LONG)
    status: Status = "ok"
    if truncated:
        status = "truncated"
        notes.append("The answer was cut off.")
    elif image is None:
        status = "refused" if refuses else "unparsable"
    elif len(notes) > len(flags & HARMLESS):
        status = "partial"
    return Finding(image, shapes, status, tuple(notes), tuple(sorted(flags)))
