"""Find places in the tokens and tags that only some families have: location tokens, patches, Molmo's points."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.places.written import NUMBER, Listing, Size, Written, numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lvlm_ad.text2seg.lexer import Text

__all__ = ["OWN_FORMS", "has_foreign_tokens", "token_listing"]

_LOC = re.compile(r"(?P<run>(?:<loc[0-9]{4}>\s*+)++)(?P<label>[^<;]{0,100}+)")
_LOC_ = re.compile(r"(?P<label>(?:(?<=>)|\A)[^<>]{0,100}+)?+(?P<run>(?:<loc_[0-9]{1,6}>\s*+)++)")
_PATCH = re.compile(
    r"<phrase>(?P<label>[^<]{0,200}+)</phrase> | (?P<run>(?:<patch_index_[0-9]{1,6}>\s*+)++)", re.VERBOSE
)
_MOLMO = re.compile(r"<points?\s(?P<run>(?=[^<>]{0,200}?\bx[0-9]*+\s*=)[^<>]*+)>(?P<label>[^<]{0,200}+)")
_MOLMO2 = re.compile(
    r"""<points?\s[^<>]{0,200}?\bcoords\s*=\s*["'](?P<run>[^"'<>]*+)["'][^<>]*+>(?P<label>[^<]{0,200}+)"""
)
OWN_FORMS = {"loc": _LOC, "loc_": _LOC_, "patch": _PATCH, "molmo": _MOLMO, "molmo2": _MOLMO2}
"""Forms in which a model writes nothing but its own numbers -> what they look like."""
_ONLY: dict[str, Size] = {"patch": 4, "molmo": 2, "molmo2": 2}
"""Forms that only boxes, or only points, have."""

_TOKEN_NUMBER = re.compile("[0-9]+(?=>)")
_ATTRIBUTE = re.compile(rf"\b([xy])([0-9]{{0,6}})\s*+=\s*+[\"']?({NUMBER})")
_ALT = re.compile(r"""\balt\s*=\s*["']([^"']{0,200}+)["']""")


def has_foreign_tokens(source: Text) -> bool:
    """Tell whether a plain text has location tokens of any family."""
    return any(match["run"] for form in OWN_FORMS.values() for match in form.finditer(source.text))


def token_listing(source: Text, form: str, size: Size) -> Listing | None:
    """Return the places in one of ``OWN_FORMS`` in a plain text; None if there are none."""
    if _ONLY.get(form, size) != size:
        return None
    listing, phrase = Listing(), ""
    read = _READERS.get(form, _in_tokens)
    for match in OWN_FORMS[form].finditer(source.text):
        if not match["run"]:
            phrase = match["label"]
            continue
        label = match["label"] or phrase
        found, complete = read(match["run"], 2 if form == "patch" else size)
        alt = _ALT.search(match["run"]) if form == "molmo" else None
        listing.places += [Written(one, label=alt[1] if alt else label) for one in found]
        listing.flags |= set() if complete else {"bad_shape"}
        listing.spans.append(match.span())
    return listing if listing.spans else None


def _in_tokens(run: str, size: int) -> tuple[list[tuple[float, ...]], bool]:
    values = [float(one) for one in _TOKEN_NUMBER.findall(run)]
    return _chunks(values, size)


def _chunks(values: Sequence[float], size: int) -> tuple[list[tuple[float, ...]], bool]:
    whole = len(values) - len(values) % size
    return [tuple(values[at : at + size]) for at in range(0, whole, size)], whole == len(values)


def _in_attributes(run: str, size: int) -> tuple[list[tuple[float, ...]], bool]:
    """Read ``x1="25.0" y1="12.5" x2=..``."""
    points: dict[str, dict[str, float]] = {}
    for axis, index, value in _ATTRIBUTE.findall(_ALT.sub("", run)):
        points.setdefault(index, {})[axis] = float(value)
    found = [(point["x"], point["y"]) for point in points.values() if len(point) == size]
    return [*found], len(found) == len(points) > 0


def _in_coords(run: str, size: int) -> tuple[list[tuple[float, ...]], bool]:
    """Read ``picture id x y id x y``; of several pictures, the last one is under inspection."""
    pictures = [values for part in re.split("[;:,]", run) if (values := numbers(part))]
    if not pictures:
        return [], False
    values = max(reversed(pictures), key=lambda one: one[0])
    points, complete = _chunks(values[1:], 1 + size)
    return [point[1:] for point in points], complete and bool(points)


_READERS: dict[str, Callable[[str, int], tuple[list[tuple[float, ...]], bool]]] = {
    "molmo": _in_attributes,
    "molmo2": _in_coords,
}
