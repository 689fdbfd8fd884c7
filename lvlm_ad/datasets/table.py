"""Read data sets that a CSV file lists. No path in it may leave the data set's folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets.listing import Listing

__all__ = ["Row", "Table"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its place ("file, line 7: ", for messages) and column name in lower case -> text, stripped."""

    where: str
    values: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """Return a column's text; "" if the table has no such column or the row no such field."""
        return self.values.get(column, "")


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file and the folder its paths are relative to.

    Args:
        path: the file.
        listing: collects problems; no path may leave its root.
        required: the columns that the file must have.
        optional: the columns that it may have; others are noted as ignored.
    """

    path: Path
    listing: Listing
    required: Sequence[str]
    optional: Sequence[str] = ()

    def rows(self) -> Iterator[Row]:
        """Yield the rows; report and leave out those with too many fields.

        Raises:
            DataError: the file cannot be read, is not CSV in UTF-8, or lacks a required column.
        """
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                columns = self._columns(next(reader, []))
                for fields in reader:
                    where = f"{shown(self.path)}, line {reader.line_num}: "
                    if len(fields) > len(columns):
                        self.listing.report(
                            self.path,
                            f"{where}{len(fields)} fields, but {len(columns)} columns; quote fields that hold commas.",
                        )
                    elif any(field.strip() for field in fields):
                        yield Row(where, dict(zip(columns, (field.strip() for field in fields), strict=False)))
        except OSError as error:
            raise DataError(f"{shown(self.path)} cannot be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{shown(self.path)} is not in UTF-8; save it as CSV UTF-8.") from error
        except csv.Error as error:
            raise DataError(f"{shown(self.path)} is not a CSV file that can be read: {error}.") from error

    def _columns(self, header: Sequence[str]) -> list[str]:
        columns = [name.strip().lower() for name in header]
        missing = [name for name in self.required if name not in columns]
        twice = sorted({name for name in columns if columns.count(name) > 1})
        if missing or twice:
            what = f"has no column {', '.join(missing)}" if missing else f"has two columns {', '.join(twice)}"
            raise DataError(
                f"{shown(self.path)} {what}; its first line names {', '.join(map(repr, header)) or 'nothing'}, "
                f"expected are {', '.join(self.required)}; optional are {', '.join(self.optional) or 'none'}."
            )
        unknown = [name for name in columns if name not in {*self.required, *self.optional}]
        if unknown:
            self.listing.notes.append(f"Ignored columns of {shown(self.path.name)}: {', '.join(map(repr, unknown))}.")
        return columns

    def files(self, row: Row) -> tuple[Path, Path | None] | None:
        """Return the image and the mask that a row names; report what cannot be used and return None."""
        image = self._file(row, "image")
        mask = self._file(row, "mask") if row["mask"] else None
        return None if image is None or (row["mask"] and mask is None) else (image, mask)

    def _file(self, row: Row, column: str) -> Path | None:
        """Return the image file that a row names; report it and return None if it cannot be used.

        A path is relative to the listing's root, must stay in it also after links are followed, and name an image.
        """
        path = self.listing.root / row[column]
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            self.listing.report(
                self.path, f"{row.where}{row[column]!r} is not an image; its name must end in {endings}."
            )
        elif self.listing.is_usable(path, row.where):
            return path
        return None
