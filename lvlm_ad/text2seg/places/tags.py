"""Find places in tags such as ``<box>``, and in round or angle brackets in prose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lvlm_ad.text2seg.places.written import NUMBER, Listing, Size, Written, numbers

if TYPE_CHECKING:
    from lvlm_ad.text2seg.lexer import Text

__all__ = ["bracket_listing", "tag_listing"]

_TAG = re.compile(
    r"""
      <(?:\|object_ref_start\||\|ref\||ref)> (?P<label>[^<]{0,200}+)
    | <(?:\|(?:box_start|det|point_start)\||b?box|det|point)>
      (?P<content> (?:[^<]|<(?=[\s0-9.+-]))*+ )
      (?P<end> <(?:\|(?:box_end|/det|point_end)\||/(?:b?box|det|point))> )?+
    """,
    re.VERBOSE | re.IGNORECASE,
)
_GROUP = re.compile(rf"[\[(<]\s*+({NUMBER}(?:[\s,;]++{NUMBER})*+)[\s,;]*+[\])>]")
_BRACKETS = str.maketrans("(<)>", "[[]]")
_PAIR = 2
_CORNER = rf"\(\s*+{NUMBER}\s*+,\s*+{NUMBER}\s*+\)"
_IN_PROSE = {
    2: re.compile(rf"[(<]\s*+{NUMBER}\s*+,\s*+{NUMBER}\s*+[)>]"),
    4: re.compile(rf"{_CORNER}[\s,;]*+{_CORNER} | [(<]\s*+{NUMBER}(?:[\s,]++{NUMBER}){{3}}\s*+[)>]", re.VERBOSE),
}


def tag_listing(source: Text, size: Size) -> Listing | None:
    """Return the places in the tags of a plain text; None if there are no tags."""
    listing, label = Listing(), ""
    for tag in _TAG.finditer(source.text):
        if tag["content"] is None:
            label = tag["label"]
            continue
        listing.spans.append(tag.span())
        found, complete = _in_tag(tag["content"], size, closed=tag["end"] is not None)
        listing.places += [Written(one, label=label) for one in found]
        listing.flags |= set() if complete and found else {"bad_shape"}
        content = tag["content"].translate(_BRACKETS)
        if content.count("[") > content.count("]") or (tag["end"] is None and "[" not in content):
            listing.flags.add("cut")
    return listing if listing.spans else None


def _in_tag(content: str, size: Size, *, closed: bool) -> tuple[list[tuple[float, ...]], bool]:
    """Return the places in a tag, and whether all its lists belong to one."""
    groups = [numbers(group[1]) for group in _GROUP.finditer(content)]
    if not groups:
        bare = numbers(content)
        return ([bare] if closed and len(bare) == size else []), True
    found: list[tuple[float, ...]] = []
    corner: tuple[float, ...] = ()
    complete = True
    for group in groups:
        if len(group) == size:
            found.append(group)
        elif len(group) == _PAIR and corner:
            found.append((*corner, *group))
            corner = ()
        elif len(group) == _PAIR and not corner:
            corner = group
        else:
            complete = False
    return found, complete and not corner


def bracket_listing(source: Text, size: Size) -> Listing | None:
    """Return the places in round or angle brackets in prose, such as ``(x1,y1),(x2,y2)``; None: there are none."""
    matches = list(_IN_PROSE[size].finditer(source.text))
    if not matches:
        return None
    return Listing([Written(numbers(match[0])) for match in matches], spans=[match.span() for match in matches])
