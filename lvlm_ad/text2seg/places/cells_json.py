"""Find the cells in the JSON of an answer, in any of its usual shapes."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.json_values import Object, Scalar, read_value
from lvlm_ad.text2seg.lexer import Text
from lvlm_ad.text2seg.places.conclude import read_score
from lvlm_ad.text2seg.places.nothing import is_negated
from lvlm_ad.text2seg.places.written import plain_key

if TYPE_CHECKING:
    from lvlm_ad.text2seg.json_values import Value
    from lvlm_ad.text2seg.places.cell_names import CellNames, Span

__all__ = ["CellStatement", "cells_in_json"]

_JSON = re.compile(r"\{|\[(?=\s*+(?:[\"'\[{(]|\]))")
_BETWEEN = re.compile(r"[\s,;]*")
_IMAGE_KEYS = ("imageanomalyscore", "imagescore", "overallanomalyscore", "overallscore", "anomalyscore")
_ONLY_OF_IMAGE = _IMAGE_KEYS[:2]
"""Keys of the image score that are never the score of an entry."""
_CELL_KEYS = ("cell", "cells", "cellname", "cellid", "name", "id", "position", "location", "coordinates", "region")
_SCORE_KEYS = ("score", "anomalyscore", "confidence", "conf", "probability")
_LABEL_KEYS = ("label", "class", "description", "defect", "name")


@dataclass(slots=True)
class CellStatement:
    """What an answer, or a JSON value in it, states about cells."""

    cells: list[tuple[Span, float | None]] = field(default_factory=list)
    image: float | None = None
    empty: bool = False
    flags: set[str] = field(default_factory=set)

    def add(self, spans: list[Span], value: Value | None) -> None:
        """Add cells with the score that stands beside them, if any."""
        score, wrong = read_score(value)
        self.flags |= {"bad_score"} if wrong else set()
        self.cells += [(span, score) for span in spans]

    @property
    def says_anything(self) -> bool:
        """Whether there is anything about cells or an image score."""
        return bool(self.cells or self.flags or self.empty or self.image is not None)


def cells_in_json(text: Text, names: CellNames, *, truncated: bool) -> tuple[CellStatement, str]:
    """Read the cells of the last JSON value in a text; values that follow each other are one.

    Args:
        text: the text.
        names: reads the names of cells.
        truncated: whether the answer was cut off, so that JSON without an end is no flaw.

    Returns:
        What the value says, and the text without JSON.
    """
    last, around, end = CellStatement(), [""], 0
    while start := _JSON.search(text.text, end):
        between = text.text[end : start.start()]
        value, end, unclosed = read_value(text, start.start())
        found = last if last.says_anything and _BETWEEN.fullmatch(between) else CellStatement()
        around.append(between)
        _gather(value, found, names, {id(one) for one in unclosed})
        if unclosed and not truncated and found.says_anything:
            found.flags.add("cut")
        last = found if found.says_anything else last
    return last, " ".join([*around, text.text[end:]])


def _gather(value: Value, found: CellStatement, names: CellNames, unclosed: Container[int]) -> None:
    """Add what a JSON value says; an entry that is not closed is not used."""
    if isinstance(value, Object):
        _gather_object(value, found, names, unclosed)
        return
    closed = id(value) not in unclosed
    found.empty |= value == [] and closed
    if closed and not _holds_objects(value) and (spans := names.in_value(value)):
        found.add(spans, None)
    elif closed and isinstance(value, list) and (scored := _with_score(value, names)):
        found.add(*scored)
    elif isinstance(value, list):
        for one in value:
            _gather(one, found, names, unclosed)


def _with_score(value: list[Value], names: CellNames) -> tuple[list[Span], Value] | None:
    """Read a list of a cell and its score, such as ["B3", 0.8] or [3, 2, 0.8]; None if it is none."""
    if len(value) < 2 or read_score(value[-1])[0] is None:  # noqa: PLR2004 - a cell and its score
        return None
    spans = names.in_value(value[:-1])
    return (spans, value[-1]) if spans and len(spans) == 1 else None


def _gather_object(value: Object, found: CellStatement, names: CellNames, unclosed: Container[int]) -> None:
    pairs = {plain_key(key): one for key, one in value.pairs}
    named = [pairs[key] for key in _CELL_KEYS if key in pairs and not _holds_objects(pairs[key])]
    spans = next((spans for one in [*named, value] if (spans := names.in_value(one))), None)
    image = _first(pairs, _ONLY_OF_IMAGE if spans and "cells" not in pairs else _IMAGE_KEYS)
    score, wrong = read_score(image)
    found.image = found.image if score is None else score
    found.flags |= {"bad_score"} if wrong else set()
    if spans or ("cells" not in pairs and not pairs.keys().isdisjoint(("score", "cell"))):
        if id(value) not in unclosed:
            _add_entry(spans, pairs, found)
        return
    for key, one in value.pairs:
        if by_key := names.in_value(Scalar(Text.of(key))):
            inner = {plain_key(name): value for name, value in one.pairs} if isinstance(one, Object) else None
            found.add(by_key, one if inner is None else _first(inner, _SCORE_KEYS))
        elif not isinstance(one, Scalar):
            _gather(one, found, names, unclosed)
        elif plain_key(key) == "cells":
            found.empty |= one.text.text.lower() == "null" or is_negated(one.text.text)


def _add_entry(spans: list[Span] | None, pairs: dict[str, Value], found: CellStatement) -> None:
    label = _first(pairs, _LABEL_KEYS)
    if isinstance(label, Scalar) and is_negated(label.text.text):
        found.flags.add("negated")
        found.empty = True
    elif not spans:
        found.flags.add("bad_shape")
    else:
        found.add(spans, _first(pairs, _SCORE_KEYS))


def _holds_objects(value: Value) -> bool:
    return isinstance(value, Object) or (isinstance(value, list) and any(isinstance(one, Object) for one in value))


def _first(pairs: dict[str, Value], keys: tuple[str, ...]) -> Value | None:
    return next((pairs[key] for key in keys if key in pairs), None)
