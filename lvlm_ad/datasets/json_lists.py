"""Lists of images in JSON: entries whose errors name the list, the entry and the field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Entry", "entries_in", "read_json"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a list.

    Attributes:
        values: the fields.
        place: the list, such as "meta.json, test".
        number: its place in the list, from 1.

    Example:
        >>> entry = Entry({"img_path": "a.png", "mask_path": None}, "meta.json, test", 3)
        >>> entry.text("img_path"), entry.path("mask_path")
        ('a.png', '')
        >>> entry.text("cls_name")
        Traceback (most recent call last):
        ...
        lvlm_ad.errors.DataError: meta.json, test, entry 3: the field 'cls_name' is missing; restore the list.
    """

    values: Mapping[str, Any]
    place: str
    number: int

    @property
    def where(self) -> str:
        """The beginning of a message."""
        return f"{self.place}, entry {self.number}: "

    def value(self, name: str) -> Any:
        """Return a field.

        Raises:
            DataError: it is missing.
        """
        if name not in self.values:
            raise DataError(f"{self.where}the field {name!r} is missing; restore the list.")
        return self.values[name]

    def text(self, name: str) -> str:
        """Return a field that must be text.

        Raises:
            DataError: it is missing, or is not text.
        """
        value = self.value(name)
        if not isinstance(value, str):
            raise DataError(f"{self.where}{name} must be text, not {value!r:.80}; restore the list.")
        return value

    def path(self, name: str) -> str:
        """Return a field that must be text if it is there; "" where it is missing or null.

        Raises:
            DataError: it is something other than text.
        """
        return "" if self.values.get(name) is None else self.text(name)


def entries_in(items: Any, place: str) -> Iterator[Entry]:
    """Yield the entries of a list.

    Args:
        items: the list as read from JSON.
        place: the list's name in messages, such as "meta.json, test".

    Raises:
        DataError: it is not a list of objects.
    """
    if not isinstance(items, list):
        raise DataError(f"{place} must be a list of images, not {items!r:.80}; restore the list.")
    for number, values in enumerate(items, start=1):
        if not isinstance(values, dict):
            raise DataError(f"{place}, entry {number} must be an object, not {values!r:.80}; restore the list.")
        yield Entry(values, place, number)


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's fields; of two of one name, JSON would drop the first without a word."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the field {twice!r:.80} stands twice in one object")
    return fields


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: it cannot be read, is not valid, or has an object with two fields of one name.
    """
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_fields)
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{shown(path)} is not valid JSON ({error}); restore it.") from None
