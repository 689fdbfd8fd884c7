"""Find the scores in the JSON of an answer, in any of its usual shapes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Literal, TypeAlias

from lvlm_ad.text2seg.json_values import Object, Scalar, Value, read_value
from lvlm_ad.text2seg.lexer import Text, Tokens, form, lex
from lvlm_ad.text2seg.numbers import Number, Span, read_list, read_number, read_regions
from lvlm_ad.text2seg.prose import read_prose
from lvlm_ad.text2seg.scores import Statement, quoted

_CUT = Statement(None, note="A JSON object is damaged or cut off; what could be read of it is kept.")

# The relevant keys, with only their letters and digits.
_ANOMALY = "(?:anomaly|anomalous|abnormality|defect)"
_UNIT = "(?:(?:in)?(?:percent|percentage|pct)|(?:outof|[01]to|[01])?(?:1|5|10|100))?"  # score_percent, score_0_100
_SCORE = f"(?:(?:score|probability|likelihood|rating){_UNIT})"
_REGION = "(?:region|section|segment|area|zone|cell)s?"
_WHOLE = "(?:overall|whole|entire|global|full)"
_PICTURE = "(?:image|picture|photo|img)"
_INSPECTED = "(?:the|final|test|query|target|inspected|input)"
_KEYS = {
    name: re.compile(pattern)
    for name, pattern in {
        "image": rf"{_INSPECTED}?(?={_WHOLE}|{_PICTURE}){_WHOLE}?{_PICTURE}?(?:level|wide)?{_ANOMALY}?{_SCORE}?",
        "picture_only": _PICTURE,
        "anomaly_score": rf"{_INSPECTED}?(?:anomaly|anomalous|abnormality){_SCORE}",
        "bare_score": f"score{_UNIT}",
        "picture": rf"{_PICTURE}[0-9]{{1,3}}(?:{_ANOMALY}?{_SCORE})?",
        "reference": rf"(?:reference|ref|normal|golden|good|flawless|template)(?:{_PICTURE}|{_ANOMALY}|{_SCORE})*",
        "region": rf"{_REGION}(?:id|ids|number|numbers|no|num|index|name|label)?",
        "id": r"id|ids|number|no|num|index|name|label",
        "score": rf"(?:region|section)?{_ANOMALY}?{_SCORE}",
        "scores": rf"(?:{_REGION})?{_ANOMALY}?(?:scores?|probabilities|likelihoods|ratings?){_UNIT}",
        "loose_score": r"value|anomaly",
        "regions": rf"(?:anomalous|abnormal|defective|per|image)?{_REGION}(?:level)?(?:anomaly)?(?:scores?|list|map)?",
        "answer": r"answer|output|response|results?|final(?:answer|result)?",
        "box": r"(?:bounding)?b?box(?:es)?(?:2d|xyxy|xywh)?|polygon|points?(?:2d)?|coord(?:inate)?s?",
        "label": r"label|class|classname|category|object|type|name",
    }.items()
}
_OF_SCORE = form("(?: {anomaly}?+ {score} )?+")  # region_3 "_anomaly_score"
_NOT_IN_KEY = re.compile(r"[\W_]+")
_START = re.compile(r"\{|\[(?=\s*+[\[{(])")
_LABEL = re.compile(r"([a-z][a-z _-]{0,40})[\"'*`]{0,3}\s{0,3}[:=]\s{0,8}[\"'*`]{0,3}\Z", re.IGNORECASE)

Place: TypeAlias = Literal["top", "image", "regions", "listed", "other"]
"""Where a value stands: at the top, under a key for the image or for regions, among other objects, or elsewhere."""


def json_statements(source: Text) -> Iterator[tuple[int, int, list[Statement]]]:
    """Yield where each JSON value with scores begins and ends in a plain text, and its statements."""
    end = 0
    while start := _START.search(source.text, end):
        value, end, unclosed = read_value(source, start.start())
        label = _LABEL.search(source.text, max(start.start() - 60, 0), start.start())
        of_regions = label is not None and _is(label[1], "regions")
        statements = _statements(value, "regions" if of_regions else "top")
        scored = any(statement.score is not None for statement in statements)
        if scored or (statements and (not unclosed or not isinstance(value, Object))):
            yield start.start(), end, [*statements, _CUT] if unclosed else statements


_VERSION = re.compile(
    "(?P<final>final|revised|corrected|updated)?(?P<draft>draft|initial|preliminary|original)?(?P<name>.*)"
)


_REASONING_KEY = re.compile(
    "(?:chainof|inner)?(?:think|thinking|thought|reasoning|reflection|rationale|scratchpad|draft|example)s?"
)


def _without_drafts(value: Object) -> Object:
    """Leave out reasoning, and pairs that others replace: "score" and "initial_score" beside "final_score"."""
    versions = [(_VERSION.fullmatch(_NOT_IN_KEY.sub("", key.lower())), key, item) for key, item in value.pairs]
    finals = {version["name"] for version, _, _ in versions if version and version["final"]}
    pairs: list[tuple[str, Value]] = []
    for version, key, item in versions:
        if version and version["final"]:
            pairs.append((version["name"] or key, item))
        elif not (version and (version["name"] in finals or _REASONING_KEY.fullmatch(version[0]))):
            pairs.append((key, item))
    return Object(pairs)


def _is_verdict(value: Value) -> bool:
    pairs = value.pairs if isinstance(value, Object) else []
    scored = any(_is(key, "image") and _number(item) is not None for key, item in pairs)
    return scored and any(_is(key, "regions") for key, _ in pairs)


def _statements(value: Value, place: Place) -> list[Statement]:
    if isinstance(value, list) and len(value) > 1 and all(map(_is_verdict, value)):
        value = value[-1]  # drafts and the final verdict
    if isinstance(value, Object):
        value = _without_drafts(value)
    stated = list(_walk(value, place))
    regions = [statement for statement in stated if statement.regions]
    images = [statement for statement in stated if statement.score is not None and not statement.regions]
    ours = [statement for statement in images if statement.picture is None]
    pairs = value.pairs if isinstance(value, Object) else []
    complete = bool(regions) or any(_is(key, "regions") and not isinstance(item, Scalar) for key, item in pairs)
    # The last image score is the object's; two would make two verdicts of one object.
    return [
        *(Statement(image.score, picture=image.picture) for image in images if image.picture is not None),
        *(Statement(image.score, complete=complete and place == "top") for image in ours[-1:]),
        *(Statement(region.score, region.regions, complete=place == "top") for region in regions),
        *(statement for statement in stated if statement.score is None),
    ]


@lru_cache(1024)
def _letters(key: str) -> tuple[str, str]:
    """Return a key's letters and digits: as written, and with words of other languages in English."""
    tokens = lex(Text.of(key[:60]))
    classes = ("region", "image", "anomaly", "score", "id", "of")
    words = [next((name for name in classes if tokens.has(at, name)), tokens[at].text) for at in range(len(tokens))]
    return _NOT_IN_KEY.sub("", key[:60].lower()), _NOT_IN_KEY.sub("", "".join(words).replace("of", ""))


# A model's answers use few keys, each of which is looked at many times.
@lru_cache(4096)
def _is(key: str, *names: str) -> bool:
    """Return whether a key matches one of these patterns of ``_KEYS``."""
    return any(_KEYS[name].fullmatch(letters) for name in names for letters in _letters(key))


def _walk(value: Value, place: Place, key: str = "") -> Iterator[Statement]:
    """Yield the scores in a value, and notes on scores that belong neither to a region nor to the image."""
    match value:
        case Object():
            yield from _object(value, place)
        case list():
            several = place != "regions" and len(value) > 1
            for item in value:
                yield from _item(item, "listed" if several else place, key)
        case Scalar():
            yield from _unread(key, value)


def _object(value: Object, place: Place) -> Iterator[Statement]:
    value = _without_drafts(value)
    columns, read = _columns(value, place)
    entry = [] if read else _entry(value, place)
    if entry:
        yield from entry
        return
    yield from columns
    pairs = [(key, item) for key, item in value.pairs if key not in read]
    keys = [key for key, _ in pairs]
    named = any(isinstance(item, Scalar) and _names_region(key, place) for key, item in pairs)
    numbered = place == "regions" or (place == "top" and any(_is(key, "image", "anomaly_score") for key in keys))
    labelled = place == "top" and any(_is(key, "label") for key in keys)
    if any(_is(key, "box") for key in keys) or (labelled and not any(_is(key, "regions") for key in keys)):
        place = "listed"
    several = sum(_is(key, "image", "anomaly_score", "bare_score") for key in keys) > 1
    for key, item in pairs:
        # {"image": 2, "score": 0.7}: the number of a picture.
        number = _number(item) if several and _is(key, "picture_only") else None
        if number is None or not number.plain:
            yield from _pair(key, item, place, numbered=numbered, beside_region=named)


def _names_region(key: str, place: Place) -> bool:
    return _is(key, "region") or (place == "regions" and _is(key, "id"))


def _item(item: Value, place: Place, key: str) -> Iterator[Statement]:
    """Read an item of an array: an object, [3, 0.7], or a sentence in the text format."""
    match item:
        case [Scalar() as region, Scalar() as score] if place == "regions":
            regions, number = _regions(lex(region.text)), _number(score)
            yield from [Statement(number, regions)] if regions and number else _unread(key, score)
        case Scalar() if place == "regions" and not item.word:
            # "3: 0.7, 5: 0.4" lists regions too.
            label = [Text("regions: ", [-1] * 9)] if item.text.text[:1].isdecimal() else []
            stated = read_prose(Text.joined([*label, item.text]))
            if any(statement.score for statement in stated):
                yield from (replace(statement, unread=False) for statement in stated)
            else:
                yield from _unread(key, item)
        case _:
            yield from _walk(item, place, key)


def _pair(key: str, item: Value, place: Place, *, numbered: bool, beside_region: bool) -> Iterator[Statement]:
    """Read a pair of an object; a bare number as key is a region's where ``numbered``."""
    regions = _named_regions(key) if numbered or not key.strip()[:1].isdecimal() else ()
    if _is(key, "reference"):
        return
    if regions:
        number = _number(item) or _score_of(item)
        yield from [Statement(number, regions)] if number else _unread(key, item)
    elif _is(key, "picture"):
        yield from _of_picture(key, item)
    elif place != "regions" and _is_image_score(key, place):
        number = _number(item)
        if number is not None:
            yield Statement(number)
        elif not isinstance(item, Scalar):
            yield from _walk(item, "image", key)
    elif isinstance(item, Scalar) and _is(key, "regions"):
        yield from _item(item, "regions", key)
    elif isinstance(item, Scalar):
        yield from _unread(key, item, beside_region=beside_region)
    else:
        inner: Place = "regions" if _is(key, "regions") else place if _is(key, "answer") else "other"
        yield from _walk(item, inner, key)


def _is_image_score(key: str, place: Place) -> bool:
    """Return whether a key names the image's score; "score" and "anomaly_score" do where nothing else has a score."""
    generic = _is(key, "anomaly_score") and place != "listed"
    return _is(key, "image") or generic or (_is(key, "bare_score") and place in {"top", "image"})


def _of_picture(key: str, item: Value) -> Iterator[Statement]:
    """Read "image_2": 0.9, or an object under such a key."""
    picture = int(re.sub("[^0-9]", "", _letters(key)[0].partition("score")[0])[:3])
    number = _number(item)
    stated = [Statement(number)] if number is not None else _walk(item, "image", key)
    for statement in stated:
        yield Statement(statement.score, statement.regions, note=statement.note, picture=picture)


def _entry(value: Object, place: Place) -> list[Statement]:
    """Read {"region": 3, "score": 0.7}."""
    for key, item in value.pairs:
        if not _names_region(key, place):
            continue
        if isinstance(item, list) and place == "top" and _letters(key)[0].endswith("s"):
            # A score beside "regions": [3, 5] at the top is the image's.
            continue
        named = item if isinstance(item, list) else [item]
        scalars = [part for part in named if isinstance(part, Scalar) and not part.word]
        regions = tuple(span for part in scalars for span in _regions(lex(part.text)))
        number = _score_of(value)
        if regions and number is not None:
            return [Statement(number, regions)]
    return []


def _columns(value: Object, place: Place) -> tuple[list[Statement], set[str]]:
    """Read {"regions": [3, 5], "scores": [0.7, 0.4]}; returns the statements, and the keys that were read."""
    lists = [(key, item) for key, item in value.pairs if isinstance(item, list) and item]
    scores = [(key, item) for key, item in lists if _is(key, "scores") and all(_number(each) for each in item)]
    names = [
        (key, [_regions(lex(each.text)) if isinstance(each, Scalar) and not each.word else () for each in item])
        for key, item in lists
        if (_is(key, "regions") and not _is(key, "scores")) or _names_region(key, place)
    ]
    names = [(key, named) for key, named in names if all(named)]
    if len(scores) != 1 or len(names) != 1:
        return [], set()
    (name_key, named), (score_key, listed) = names[0], scores[0]
    if len(named) != len(listed):
        note = f"{len(named)} regions and {len(listed)} scores are listed; none of them is read."
        return [Statement(None, note=note)], {name_key, score_key}
    numbers = [number for number in map(_number, listed) if number is not None]
    return [Statement(*each) for each in zip(numbers, named, strict=True)], {name_key, score_key}


def _unread(key: str, item: Value, *, beside_region: bool = False) -> Iterator[Statement]:
    """Note a number that may be a score and was not read, because of its key or because a region is named beside it."""
    number = _number(item)
    if number is None:
        return
    words = lex(Text.of(key))
    names = words.contain(0, len(words), "region|image|score") and not words.contain(0, len(words), "quantity")
    names |= beside_region and not (
        words.contain(0, len(words), "quantity") > words.contain(0, len(words), "not_anomaly")
    )
    if _is(key, "score", "scores") or _regions(words) or (names and not number.plain and number.in_range):
        yield Statement(None, note=f"{quoted(f'{key}: {number.written}')} was not read.")


def _score_of(value: Value) -> Number | None:
    """Return the number under an object's key for a score, which may be an object itself."""
    pairs = value.pairs if isinstance(value, Object) else []
    scores = [item for name in ("score", "loose_score") for key, item in pairs if _is(key, name)]
    return next((number for item in scores if (number := _number(item) or _score_of(item)) is not None), None)


@lru_cache(1024)
def _named_regions(key: str) -> tuple[Span, ...]:
    """Read the regions that a key names; () if it names none."""
    return _regions(lex(Text.of(key)))


def _regions(tokens: Tokens) -> tuple[Span, ...]:
    """Read 3, "3", "#3", "3, 5", "region_3", "region_3_score", "Region 3 (top left)"; () if it is none of these."""
    short = tokens[0].text == "r" and tokens.has(1, "integer")
    read = read_regions(tokens, 0) if tokens.has(0, "region") else read_list(tokens, int(short))
    end = tokens.skip(_OF_SCORE, read[1]) if read else 0
    if read is None or not (end == len(tokens) or tokens.is_mark(end, "(,;:-")):
        return ()
    return () if tokens.contain(end, len(tokens), "number") else read[0]


def _number(value: Value) -> Number | None:
    """Read 0.7, "0.7", "70%", "7/10", "0.7 (a scratch)"."""
    if not isinstance(value, Scalar) or value.word:
        return None
    tokens = lex(value.text)
    number = read_number(tokens, 0)
    if number is None or not (number.end == len(tokens) or tokens.is_mark(number.end, "(,;-")):
        return None
    return number
