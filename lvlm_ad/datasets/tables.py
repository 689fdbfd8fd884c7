"""Tables as people and spreadsheets write them: CSV with commas, semicolons, tabs or bars, in UTF-8 or UTF-16."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import DataError

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])\r?\n")
"""A first line that names the separator, for Excel."""
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a CSV file."""

    table: Path  # the file
    where: str  # "file, line 7: ", for messages
    values: Mapping[str, str]  # column name in lower case -> text

    def __getitem__(self, column: str) -> str:
        """Return a column's text, stripped; "" if the file has no such column or the row no such field."""
        return self.values.get(column, "").strip()


@dataclass(frozen=True, slots=True)
class Table:
    """A table's columns and rows, and what is wrong in it."""

    columns: tuple[str, ...]  # in lower case
    rows: tuple[Row, ...]
    faults: tuple[str, ...]  # a sentence for each line with too many fields, which gives no row


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read a table whose first line names its columns, in any order and case.

    Args:
        path: the file.
        required: columns that it must have; if there are none, the separator is that which gives the first line most
            fields.
        optional: columns that it may have, for the message if one is missing.

    Raises:
        DataError: the file cannot be read, is not CSV in UTF-8 or UTF-16, or lacks a required column.
    """
    try:
        text = _decoded(path.read_bytes())
        stated = _SEPARATOR_LINE.match(text)
        body = text[stated.end() :] if stated else text
        separator = stated[1] if stated else _separator(body, required)
        lines = csv.reader(StringIO(body, newline=""), strict=True, delimiter=separator)
        columns = _columns(path, next(lines, []), required, optional)
        rows, faults = [], []
        for fields in lines:
            where = f"{shown(path)}, line {lines.line_num + bool(stated)}: "
            if len(fields) > len(columns):
                count = f"{len(fields)} fields, but {len(columns)} columns"
                faults.append(f"{where}{count}; quote fields that hold {_SEPARATORS[separator]}.")
            elif any(field.strip() for field in fields):
                rows.append(Row(path, where, dict(zip(columns, fields, strict=False))))
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    except UnicodeError as error:
        raise DataError(f"{shown(path)} is not in UTF-8; save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{shown(path)} is not a CSV file that can be read: {error}.") from error
    return Table(columns, tuple(rows), tuple(faults))


def _decoded(content: bytes) -> str:
    """Decode by the byte-order mark; Excel writes "Unicode text" in UTF-16 and "CSV UTF-8" with a mark."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding)


def _separator(text: str, required: Sequence[str]) -> str:
    """Return the separator with which the first line names the required columns; a comma if none does."""
    first = {one: _names(next(csv.reader(StringIO(text, newline=""), delimiter=one), [])) for one in _SEPARATORS}
    if not required:
        return max(first, key=lambda separator: len(first[separator]))
    return next((separator for separator, names in first.items() if set(required) <= set(names)), ",")


def _names(header: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in header)


def _columns(path: Path, header: list[str], required: Sequence[str], optional: Sequence[str]) -> tuple[str, ...]:
    columns = _names(header)
    missing = [name for name in required if name not in columns]
    twice = sorted({name for name in columns if required and name and columns.count(name) > 1})
    if missing or twice:
        what = f"has no column {', '.join(missing)}" if missing else f"has two columns {', '.join(twice)}"
        raise DataError(
            f"{shown(path)} {what}; its first line names {', '.join(map(repr, header)) or 'nothing'}. Required: "
            f"{', '.join(required)}; optional: {', '.join(optional) or 'none'}."
        )
    return columns


def decimal_points(numbers: Sequence[str]) -> Iterator[str]:
    """Yield numbers with points for their decimal commas; if any number has a point, commas are left as they are.

    Example:
        >>> list(decimal_points(["0,25", "1"])), list(decimal_points(["1,250", "0.5"]))
        (['0.25', '1'], ['1,250', '0.5'])
    """
    has_commas = not any("." in number for number in numbers)
    return (
        number.replace(",", ".") if has_commas and _DECIMAL_COMMA.fullmatch(number) else number for number in numbers
    )
