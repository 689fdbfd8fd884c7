"""Finds JSON objects in an answer and reads the scores in them, whichever of the usual shapes they have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.json_values import Array, Object, Scalar, read_object
from lvlm_ad.text2seg.labels import read_list, read_regions
from lvlm_ad.text2seg.numbers import Number, read_number
from lvlm_ad.text2seg.phrases import read_phrases
from lvlm_ad.text2seg.statements import Finding, Span
from lvlm_ad.text2seg.tokens import lex
from lvlm_ad.text2seg.traced import Traced
from lvlm_ad.text2seg.words import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal, TypeAlias

    from lvlm_ad.text2seg.json_values import Value

    Place: TypeAlias = Literal["top", "image", "regions", "other"]

__all__ = ["read_answer"]

_CUT = "A JSON object is damaged or cut off; what could be read of it is kept."
_NOT_KEY = re.compile(r"[^a-z0-9]+")
_IMAGE = r"(?:overall|whole|entire|global|full)?(?:image|picture|photo|img)?(?:level|wide)?"
_IMAGE_KEY = re.compile(
    rf"(?:the|final)?(?:(?=overall|whole|entire|global|full|image|picture|photo|img){_IMAGE}"
    r"(?:anomaly|anomalous|abnormality|defect)?(?:score|probability|likelihood|rating)?"
    r"|(?:anomaly|anomalous|abnormality)(?:score|probability|likelihood|rating))"
)
_REGION_KEY = re.compile(
    r"(?:region|section|segment|area|zone|cell)s?(?:id|ids|number|numbers|no|num|index|name|label)?"
)
_PLAIN_ID_KEYS = frozenset({"id", "number", "no", "num", "index", "name", "label"})
_SCORE_KEY = re.compile(
    r"(?:region|section)?(?:anomaly|anomalous|abnormality|defect)?(?:score|rating|probability|likelihood)"
)
_LOOSE_SCORE_KEYS = frozenset({"value", "anomaly"})
_REGIONS_KEY = re.compile(
    r"(?:anomalous|abnormal|defective|per|image)?(?:region|section|segment|area|zone|cell)s?(?:level)?(?:anomaly)?(?:scores?|list|map)?"
)
_ANSWER_KEYS = frozenset({"answer", "output", "response", "result", "results", "final", "finalanswer", "finalresult"})


def read_answer(source: Traced) -> list[Finding]:
    """Return the scores in an answer, in its order: in its JSON objects, and in the text around them.

    Args:
        source: plain text, see ``tokens.plain``.
    """
    text = source.text
    findings: list[Finding] = []
    read_to = position = 0
    while (start := text.find("{", position)) >= 0:
        value, position, closed = read_object(source, start)
        found = _findings(value)
        if found:
            findings += read_phrases(source.part(read_to, start))
            findings += found
            if not closed:
                findings.append(Finding(None, note=_CUT))
            read_to = position
    findings += read_phrases(source.part(read_to))
    return findings


def _findings(value: Object) -> list[Finding]:
    found = list(_walk(value, "top"))
    images = [finding for finding in found if not finding.regions]
    regions = [finding for finding in found if finding.regions]
    names_regions = bool(regions) or _has_regions_key(value)
    # The last image score is the object's; two would make two statements of one object.
    return [
        *(Finding(image.score, complete=names_regions) for image in images[-1:]),
        *(Finding(region.score, region.regions, complete=True) for region in regions),
    ]


def _has_regions_key(value: Object) -> bool:
    return any(_REGIONS_KEY.fullmatch(_compact(key)) and not isinstance(item, Scalar) for key, item in value.pairs)


def _compact(key: str) -> str:
    return _NOT_KEY.sub("", key[:60].lower())


def _walk(value: Value, place: Place) -> Iterator[Finding]:
    """Yield the scores in a value; the nesting is bounded by ``read_object``."""
    if isinstance(value, Array):
        for item in value.items:
            yield from _walk_item(item, place)
    elif isinstance(value, Object):
        entry = _entry(value, place)
        if entry is not None:
            yield entry
            return
        has_image = any(_IMAGE_KEY.fullmatch(_compact(key)) for key, _ in value.pairs)
        for key, item in value.pairs:
            yield from _walk_pair(key, item, place, numbered=place == "regions" or (place == "top" and has_image))


def _walk_item(item: Value, place: Place) -> Iterator[Finding]:
    if isinstance(item, Object):
        yield from _walk(item, place)
    elif place == "regions" and isinstance(item, Array):
        yield from _pair_of_scalars(item)
    elif place == "regions" and isinstance(item, Scalar):
        # A list of sentences in the text format.
        yield from read_phrases(item.text)


def _pair_of_scalars(item: Array) -> Iterator[Finding]:
    """Read [3, 0.7]."""
    match item.items:
        case [Scalar() as region, Scalar() as score]:
            regions, number = _regions(region), _number(score)
            if regions and number is not None:
                yield Finding(number, regions)


def _walk_pair(key: str, item: Value, place: Place, *, numbered: bool) -> Iterator[Finding]:
    compact = _compact(key)
    is_image = _IMAGE_KEY.fullmatch(compact) is not None or (compact == "score" and place in {"top", "image"})
    regions = _regions(Scalar(Traced.whole(key))) if numbered or not key.strip()[:1].isdecimal() else ()
    if regions:
        yield from _scored(regions, item)
    elif is_image and place != "regions":
        if not isinstance(item, Scalar):
            yield from _walk(item, "image")
        elif (number := _number(item)) is not None:
            yield Finding(number)
    elif isinstance(item, Scalar):
        return
    elif _REGIONS_KEY.fullmatch(compact):
        yield from _walk(item, "regions")
    else:
        yield from _walk(item, place if compact in _ANSWER_KEYS else "other")


def _scored(regions: tuple[Span, ...], item: Value) -> Iterator[Finding]:
    """Read the value of "region 3": a number or an object that holds one."""
    number = _number(item) if isinstance(item, Scalar) else _score_of(item) if isinstance(item, Object) else None
    if number is not None:
        yield Finding(number, regions)


def _entry(value: Object, place: Place) -> Finding | None:
    """Read {"region": 3, "score": 0.7}."""
    for key, item in value.pairs:
        compact = _compact(key)
        names = _REGION_KEY.fullmatch(compact) or (place == "regions" and compact in _PLAIN_ID_KEYS)
        if not names:
            continue
        items = item.items if isinstance(item, Array) else [item]
        regions = tuple(
            span for part in items if isinstance(part, Scalar) and not part.word for span in _regions(part) or ()
        )
        number = _score_of(value)
        if regions and number is not None:
            return Finding(number, regions)
    return None


def _score_of(value: Object) -> Number | None:
    """Return the number under the key that says "score"."""
    scores = [item for key, item in value.pairs if _SCORE_KEY.fullmatch(_compact(key))]
    scores += [item for key, item in value.pairs if _compact(key) in _LOOSE_SCORE_KEYS]
    for item in scores:
        if isinstance(item, Scalar) and (number := _number(item)) is not None:
            return number
    return None


def _regions(scalar: Scalar) -> tuple[Span, ...]:
    """Read 3, "3", "#3", "3, 5", "region 3", "region_3", "regions 3 and 5"; () if it is none of these."""
    tokens = lex(scalar.text)
    read = read_regions(tokens, 0) if tokens.is_word(0, REGION) else read_list(tokens, 0)
    return read[0] if read is not None and read[1] == len(tokens) else ()


def _number(scalar: Scalar) -> Number | None:
    """Read 0.7, "0.7", "70%", "7/10", "0.7 (a scratch)"."""
    if scalar.word:
        return None
    tokens = lex(scalar.text)
    number = read_number(tokens, 0)
    if number is None or not (number.end == len(tokens) or tokens.is_mark(number.end, "(,;-")):
        return None
    return number
