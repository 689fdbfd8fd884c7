"""Names of files for names of unknown origin."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["slugs"]

_LONGEST = 60
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)|index$")
"""Names that Windows keeps for devices, whatever follows their first dot, and that of the first page."""


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Return name -> a name for its file: lower-case ASCII letters, digits, hyphens; each only once.

    A name that is already a valid file name keeps it. Of names with the same slug, the alphabetically first gets it
    without a number.

    Example:
        >>> slugs(["gpt-4o", "GPT-4o", "../../etc", "con", "nul.html"])
        {'con': 'con-2', 'gpt-4o': 'gpt-4o', 'nul.html': 'nul-2.html', '../../etc': 'etc', 'GPT-4o': 'gpt-4o-2'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(set(names), key=lambda one: (_slug(one) != one, one)):
        slug = _slug(name)
        reserved = bool(_RESERVED.match(slug))
        # Of "nul.html", Windows reserves "nul", so the number stands before the dot.
        stem, dot, rest = slug.partition(".") if reserved else (slug, "", "")
        number = 2 if reserved or slug in taken else 1
        while (own := f"{stem}-{number}{dot}{rest}" if number > 1 else slug) in taken:
            number += 1
        taken.add(own)
        found[name] = own
    return found


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    parts = re.sub(r"[^a-z0-9.]+", "-", re.sub(r"\.+", ".", plain))
    return parts.strip("-.")[:_LONGEST].strip("-.") or "x"
