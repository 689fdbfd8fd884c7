"""Find places in the JSON of an answer, and in lists in its prose."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.json_values import Object, Scalar, Value, read_value
from lvlm_ad.text2seg.places.written import Listing, Order, Size, Written, number, numbers, plain_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lvlm_ad.text2seg.lexer import Text

__all__ = ["json_listing"]

_START = re.compile(r"\[(?!\ \]\ \w)|\{(?!\s*+[{\[(}])")
"""A bracket that may begin a value; "[ ] scratch" is a box to tick."""
# Keys, with only their letters and digits; the first that an entry has counts.
_BOX_KEYS = ("bbox2d", "box2d", "bbox", "box", "boundingbox", "bboxes", "position", "coordinates")
_KEYS: dict[Size, tuple[str, ...]] = {2: ("point2d", "point", *_BOX_KEYS), 4: (*_BOX_KEYS, "point2d", "point")}
_NAMED: dict[Size, tuple[tuple[tuple[str, ...], Order], ...]] = {
    2: ((("x", "y"), "xy"),),
    4: (
        (("xmin", "ymin", "xmax", "ymax"), "xyxy"),
        (("x1", "y1", "x2", "y2"), "xyxy"),
        (("left", "top", "right", "bottom"), "xyxy"),
        (("x", "y", "width", "height"), "xywh"),
        (("x", "y", "w", "h"), "xywh"),
        (("left", "top", "width", "height"), "xywh"),
    ),
}
_SCORE_KEYS = ("score", "confidence", "conf", "anomalyscore", "probability")
_OF_PLACES_BELOW = tuple(key for key in _SCORE_KEYS if key != "anomalyscore")
_LABEL_KEYS = ("label", "class", "name", "description", "defect")
_IMAGE_KEYS = ("imageanomalyscore", "imagescore")
_FORM = re.compile(r"[xy](?:_?(?:[0-3]|min|max))?|width|height|w|h|left|top|right|bottom", re.IGNORECASE)
"""What stands for a number where a question shows the form of an answer."""
_PAIR = 2


def json_listing(source: Text, size: Size) -> tuple[Listing | None, list[tuple[int, int]]]:
    """Return the last statement of places in a plain text's JSON and bracketed lists, and where all of them stand.

    A list or a wrapping object is a statement; so are entries, or lists of numbers, that follow each other.
    """
    items = [item for item in _items(source, size) if item.kind]
    kinds = {item.kind for item in items}
    counted = next((kind for kind in ("strong", "weak", "form") if kind in kinds), "")
    listing, joins = None, False
    for item in (item for item in items if item.kind == counted):
        if listing is not None and joins and item.loose:
            listing.join(item.listing)
        else:
            listing = item.listing
        # What follows a damaged list may have stood in it.
        joins = item.loose or "cut" in listing.flags
    if listing is None:
        return None, []
    if listing.image is None:
        listing.image = next((item.listing.image for item in reversed(items) if item.kind == "image"), None)
    return listing, [item.span for item in items if item.kind in {counted, "form", "image"}]


@dataclass(slots=True)
class _Item:
    """A JSON value or a bracketed list at the top of a text."""

    span: tuple[int, int]
    listing: Listing
    kind: str
    """"strong": it states places; "weak": it may, and counts only if no other does; "form": it repeats the form of the
    question; "image": it only scores the image; "": none of these."""
    loose: bool  # it is one entry, or one list of numbers


def _items(source: Text, size: Size) -> Iterable[_Item]:
    closing = max(source.text.rfind("]"), source.text.rfind("}"))
    end, last = 0, len(source.text.rstrip())
    while start := _START.search(source.text, end):
        value, end, unclosed = read_value(source, start.start())
        walk = _Walk(size, unclosed, half=end >= last)
        loose = walk.top(value)
        listing = walk.listing
        kind = ""
        if walk.form and not listing.places:
            kind, listing = "form", Listing(flags={"bad_shape"})
        elif listing.places or listing.empty or walk.keyed or (unclosed and end > closing and _may_list(value)):
            kind = "strong"
        elif listing.flags:
            kind = "weak"
        elif listing.image is not None and not unclosed:
            kind = "image"
        if unclosed:
            listing.flags.add("cut")
        yield _Item((start.start(), end), listing, kind, loose)


def _may_list(value: Value) -> bool:
    """Tell whether a value that the end of the text cuts off may be the beginning of a statement of places."""
    match value:
        case Object():
            return any(not isinstance(item, Scalar) for _, item in value.pairs)
        case list():
            first = value[0] if value else None
            return not isinstance(first, Scalar) or number(first.text.text) is not None
    return False


@dataclass(slots=True)
class _Walk:
    """Collects the places in one value."""

    size: Size
    unclosed: list[Value]
    half: bool  # whether the text ends with the value, perhaps in the middle of a number
    listing: Listing = field(default_factory=Listing)
    keyed: bool = False  # whether an object has a key for a place
    form: bool = False  # whether a place is written as a question asks for it: [x1, y1, x2, y2]

    def top(self, value: Value) -> bool:
        """Collect from the outermost value; returns whether it is a single entry or only numbers."""
        if isinstance(value, Object):
            self._object(value, listed=False, outer=Written(()))
            return self.keyed and not any(isinstance(item, list) and _has_objects(item) for _, item in value.pairs)
        if isinstance(value, list):
            self._list(value, keyed=False, outer=Written(()))
            return bool(value) and not _has_objects(value)
        return False

    def _is_open(self, value: Value) -> bool:
        return any(value is one for one in self.unclosed)

    def _object(self, value: Object, *, listed: bool, outer: Written) -> None:
        fields = {plain_key(key): item for key, item in value.pairs}
        for key in _IMAGE_KEYS:
            self._image(fields, key)
        entry = _described(fields, outer)
        named = next((each for each in _NAMED[self.size] if set(each[0]) <= fields.keys()), None)
        place = next((fields[key] for key in _KEYS[self.size] if _may_be_place(fields.get(key))), None)
        has_key = any(key in fields for key in _KEYS[self.size])
        self.keyed |= has_key or named is not None
        if named is not None or place is not None:
            if self._is_open(value):
                return
            if place is None and named is not None:
                self._add(entry, tuple(_value(fields[key]) for key in named[0]), named[1])
            elif place is not None:
                self._place(place, entry)
            return
        # Beside a label, it is the score of what the label names.
        image_keys = _IMAGE_KEYS if listed and entry.label else (*_IMAGE_KEYS, "anomalyscore")
        self._image(fields, image_keys[-1])
        # Label and score of an object around all places belong to none of them.
        outer = _described(fields, outer, *_OF_PLACES_BELOW) if listed else outer
        before = len(self.listing.places), self.listing.empty, self.listing.image
        for item in fields.values():
            if isinstance(item, Object):
                self._object(item, listed=False, outer=outer)
            elif isinstance(item, list):
                self._list(item, keyed=True, outer=outer)
        after = len(self.listing.places), self.listing.empty, self.listing.image
        scores_image = any(key in fields for key in image_keys)
        if before == after and (listed or has_key) and not scores_image and not self._is_open(value):
            self.listing.flags.add("bad_shape")

    def _image(self, fields: dict[str, Value], key: str) -> None:
        stated = fields.get(key)
        if not isinstance(stated, Scalar):
            return
        # The text may end within the number.
        is_last = self.half and bool(self.unclosed) and next(reversed(fields)) == key
        if not is_last or "." in stated.text.text:
            self.listing.image = stated

    def _place(self, value: Value, entry: Written) -> None:
        """Add what stands under a key for a place."""
        match value:
            case Object():
                self._object(value, listed=True, outer=entry)
            case Scalar():
                self._add(entry, numbers(value.text.text))
            case []:
                self.listing.empty = True
            case list():
                if _are_numbers(value) or self._is_two_corners(value):
                    self._add(entry, _flat(value))
                else:
                    before = len(self.listing.places)
                    self._list(value, keyed=True, outer=entry)
                    self.form |= _is_form(value)
                    if len(self.listing.places) == before:
                        self.listing.flags.add("bad_shape")

    def _list(self, value: list[Value], *, keyed: bool, outer: Written) -> None:
        """Add the places in a list; ``keyed``: it is in an object, so that every list of numbers in it is a place."""
        if not value:
            self.listing.empty |= not self._is_open(value)
        elif _are_numbers(value):
            if len(value) == self.size and not self._is_open(value):
                self._add(outer, _flat(value))
            return
        before, wrong = len(self.listing.places), False
        for item in value:
            if isinstance(item, Object):
                self._object(item, listed=True, outer=outer)
            elif isinstance(item, list) and not self._is_open(item) and self._is_two_corners(item):
                self._add(outer, _flat(item))
            elif isinstance(item, list):
                wrong |= len(item) != self.size and _are_numbers(item) and not self._is_open(item)
                self._list(item, keyed=keyed, outer=outer)
        if wrong and (keyed or len(self.listing.places) > before):
            self.listing.flags.add("bad_shape")

    def _is_two_corners(self, value: list[Value]) -> bool:
        pairs = [item for item in value if isinstance(item, list) and len(item) == _PAIR and _are_numbers(item)]
        return self.size > _PAIR and len(value) == len(pairs) == _PAIR

    def _add(self, entry: Written, found: tuple[float | None, ...], order: Order = "") -> None:
        known = tuple(one for one in found if one is not None)
        if len(known) == len(found) == self.size:
            self.listing.places.append(Written(known, order, entry.label, entry.score, entry.mask))
        else:
            self.listing.flags.add("bad_shape")


def _described(fields: dict[str, Value], outer: Written, *score_keys: str) -> Written:
    """Return label, score and mask that an object gives for its places, or else those of the object around it."""
    labels = [fields[key] for key in _LABEL_KEYS if isinstance(fields.get(key), Scalar)]
    label = labels[0].text.text if labels and isinstance(labels[0], Scalar) else outer.label
    score = next((fields[key] for key in score_keys or _SCORE_KEYS if key in fields), outer.score)
    return Written((), "", label, score, fields.get("mask", outer.mask))


def _may_be_place(value: Value | None) -> bool:
    """Tell whether a value may hold coordinates; "upper left" does not."""
    return value is not None and not (isinstance(value, Scalar) and not numbers(value.text.text))


def _value(value: Value) -> float | None:
    return number(value.text.text) if isinstance(value, Scalar) else None


def _are_numbers(value: list[Value]) -> bool:
    return bool(value) and all(_value(item) is not None for item in value)


def _flat(value: list[Value]) -> tuple[float | None, ...]:
    return tuple(one for item in value for one in (_flat(item) if isinstance(item, list) else (_value(item),)))


def _is_form(value: list[Value]) -> bool:
    return all(isinstance(item, Scalar) and _FORM.fullmatch(item.text.text) for item in value)


def _has_objects(value: list[Value]) -> bool:
    return any(isinstance(item, Object) or (isinstance(item, list) and _has_objects(item)) for item in value)
