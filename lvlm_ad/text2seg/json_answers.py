"""Read the JSON objects in an answer, whichever of the usual shapes they have, and the scores in them.

Models write trailing commas, single quotes, comments and bare words, and are cut off in the middle. The standard parser
refuses all of these, is stopped by deep nesting, and does not tell how far it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from lvlm_ad.text2seg.lexer import Text, lex
from lvlm_ad.text2seg.numbers import Number, Span, read_list, read_number, read_regions
from lvlm_ad.text2seg.prose import read_prose
from lvlm_ad.text2seg.scores import Statement

_CUT = Statement(None, note="A JSON object is damaged or cut off; what could be read of it is kept.")
_DEEPEST = 32

# The keys that matter, written without what is neither letter nor digit.
_ANOMALY = "(?:anomaly|anomalous|abnormality|defect)"
_UNIT = "(?:(?:in)?(?:percent|percentage|pct)|(?:outof|[01]to|[01])?(?:1|5|10|100))?"  # score_percent, score_0_100
_SCORE = f"(?:score|probability|likelihood|rating){_UNIT}"
_REGION = "(?:region|section|segment|area|zone|cell)s?"
_WHOLE = "(?:overall|whole|entire|global|full)"
_PICTURE = "(?:image|picture|photo|img)"
_KEYS = {
    name: re.compile(pattern)
    for name, pattern in {
        "image": rf"(?:the|final)?(?:(?={_WHOLE}|{_PICTURE}){_WHOLE}?{_PICTURE}?(?:level|wide)?{_ANOMALY}?{_SCORE}?"
        rf"|(?:anomaly|anomalous|abnormality){_SCORE})",
        "region": rf"{_REGION}(?:id|ids|number|numbers|no|num|index|name|label)?",
        "id": r"id|number|no|num|index|name|label",
        "score": rf"(?:region|section)?{_ANOMALY}?{_SCORE}",
        "bare_score": f"score{_UNIT}",
        "loose_score": r"value|anomaly",
        "regions": rf"(?:anomalous|abnormal|defective|per|image)?{_REGION}(?:level)?(?:anomaly)?(?:scores?|list|map)?",
        "answer": r"answer|output|response|results?|final(?:answer|result)?",
    }.items()
}
_NOT_IN_KEY = re.compile(r"[^a-z0-9]+")

Place: TypeAlias = Literal["top", "image", "regions", "other"]
"""Where in an object a value stands: at its top, under a key for the image or for regions, or elsewhere."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, a number, or a bare word such as ``true``; a string without its quotation marks."""

    text: Text
    word: bool = False


@dataclass(slots=True)
class Object:
    """A JSON object; a key may occur more than once."""

    pairs: list[tuple[str, Value]] = field(default_factory=list)


Value: TypeAlias = "Scalar | list[Value] | Object"


def json_statements(source: Text) -> Iterator[tuple[int, int, list[Statement]]]:
    """Yield where each JSON object in a plain text begins and ends, if it has scores, and its statements."""
    end = 0
    while (start := source.text.find("{", end)) >= 0:
        value, end, closed = _read_object(source, start)
        statements = _statements(value)
        if statements:
            yield start, end, statements if closed else [*statements, _CUT]


def _statements(value: Object) -> list[Statement]:
    stated = list(_walk(value, "top"))
    regions = [statement for statement in stated if statement.regions]
    images = [statement for statement in stated if not statement.regions]
    complete = bool(regions) or any(_is(key, "regions") and not isinstance(item, Scalar) for key, item in value.pairs)
    # The last image score is the object's; two would make two verdicts of one object.
    return [
        *(Statement(image.score, complete=complete) for image in images[-1:]),
        *(Statement(region.score, region.regions, complete=True) for region in regions),
    ]


def _is(key: str, *names: str) -> bool:
    """Tell whether a key is one of those that ``_KEYS`` names so."""
    letters = _NOT_IN_KEY.sub("", key[:60].lower())
    return any(_KEYS[name].fullmatch(letters) for name in names)


def _walk(value: Value, place: Place) -> Iterator[Statement]:
    """Yield the scores in a value; ``_read_object`` bounds the nesting."""
    match value:
        case Object():
            entry = _entry(value, place)
            if entry is not None:
                yield entry
                return
            numbered = place == "regions" or (place == "top" and any(_is(key, "image") for key, _ in value.pairs))
            for key, item in value.pairs:
                yield from _pair(key, item, place, numbered=numbered)
        case list():
            for item in value:
                yield from _item(item, place)


def _item(item: Value, place: Place) -> Iterator[Statement]:
    """Read an item of an array: an object, [3, 0.7], or a sentence in the text format."""
    match item:
        case Object():
            yield from _walk(item, place)
        case [Scalar() as region, Scalar() as score] if place == "regions":
            regions, number = _regions(region.text), _number(score)
            if regions and number is not None:
                yield Statement(number, regions)
        case Scalar() if place == "regions":
            yield from read_prose(item.text)


def _pair(key: str, item: Value, place: Place, *, numbered: bool) -> Iterator[Statement]:
    """Read a pair of an object; a bare number as key is a region's where ``numbered``."""
    of_image = _is(key, "image") or (place in {"top", "image"} and _is(key, "bare_score"))
    regions = _regions(Text.of(key)) if numbered or not key.strip()[:1].isdecimal() else ()
    if regions:
        number = _number(item) or _score_of(item)
        if number is not None:
            yield Statement(number, regions)
    elif of_image and place != "regions":
        number = _number(item)
        if number is not None:
            yield Statement(number)
        yield from _walk(item, "image")
    else:
        yield from _walk(item, "regions" if _is(key, "regions") else place if _is(key, "answer") else "other")


def _entry(value: Object, place: Place) -> Statement | None:
    """Read {"region": 3, "score": 0.7}."""
    for key, item in value.pairs:
        if not (_is(key, "region") or (place == "regions" and _is(key, "id"))):
            continue
        named = item if isinstance(item, list) else [item]
        scalars = [part for part in named if isinstance(part, Scalar) and not part.word]
        regions = tuple(span for part in scalars for span in _regions(part.text))
        number = _score_of(value)
        if regions and number is not None:
            return Statement(number, regions)
    return None


def _score_of(value: Value) -> Number | None:
    """Return the number under an object's key for a score."""
    pairs = value.pairs if isinstance(value, Object) else []
    scores = [item for name in ("score", "loose_score") for key, item in pairs if _is(key, name)]
    return next((number for number in map(_number, scores) if number is not None), None)


def _regions(text: Text) -> tuple[Span, ...]:
    """Read 3, "3", "#3", "3, 5", "region 3", "region_3", "regions 3 and 5"; () if it is none of these."""
    tokens = lex(text)
    read = read_regions(tokens, 0) if tokens.has(0, "region") else read_list(tokens, 0)
    return read[0] if read is not None and read[1] == len(tokens) else ()


def _number(value: Value) -> Number | None:
    """Read 0.7, "0.7", "70%", "7/10", "0.7 (a scratch)"."""
    if not isinstance(value, Scalar) or value.word:
        return None
    tokens = lex(value.text)
    number = read_number(tokens, 0)
    if number is None or not (number.end == len(tokens) or tokens.is_mark(number.end, "(,;-")):
        return None
    return number


_SKIPPED = re.compile(r"(?:[\s,;]++|//[^\n]*+\n)*+")
_COLON = re.compile(r"\s*+(?::|=>|=)\s*+")
_SCALAR = re.compile(
    r"""
      "(?P<double> (?:[^"\\\n]|\\.)*+ )"
    | '(?P<single> (?:[^'\\\n]|\\.)*+ )'
    | (?P<number> [-+]?(?:[0-9]++(?:\.[0-9]++)*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+%?+(?![\w.]) )
    | (?P<word> [^\W0-9][\w\ \#-]{0,40}+ )
    """,
    re.VERBOSE,
)


def _read_object(source: Text, start: int) -> tuple[Object, int, bool]:
    """Read the object at a "{"; returns what could be read, where reading ended, and whether the object was closed."""
    text = source.text
    root = Object()
    unclosed: list[Object | list[Value]] = [root]
    position = start + 1
    while True:
        skipped = _SKIPPED.match(text, position)
        position = skipped.end() if skipped else position
        inner = unclosed[-1]
        if text.startswith("}" if isinstance(inner, Object) else "]", position):
            position += 1
            unclosed.pop()
            if not unclosed:
                return root, position, True
            continue
        key = ""
        if isinstance(inner, Object):
            named = _read_scalar(source, position)
            colon = _COLON.match(text, named[1]) if named else None
            if named is None or colon is None:
                return root, position, False
            key, position = named[0].text.text, colon.end()
        value: Value
        if text[position : position + 1] in {"{", "["}:
            if len(unclosed) == _DEEPEST:
                return root, position, False
            value = nested = Object() if text[position] == "{" else list[Value]()
            unclosed.append(nested)
            position += 1
        else:
            read = _read_scalar(source, position)
            if read is None:
                return root, position, False
            value, position = read
        if isinstance(inner, Object):
            inner.pairs.append((key, value))
        else:
            inner.append(value)


def _read_scalar(source: Text, position: int) -> tuple[Scalar, int] | None:
    match = _SCALAR.match(source.text, position)
    if match is None:
        return None
    kind = str(match.lastgroup)
    start, end = match.span(kind)
    if kind == "word":
        end = start + len(match[0].rstrip())
    return Scalar(source.part(start, end), word=kind == "word"), match.end()
