"""The rows of a data set's table, with what is wrong in it reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lvlm_ad.datasets import tables
from lvlm_ad.datasets.images import shown

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.tables import Row

__all__ = ["read_table"]


def read_table(path: Path, listing: Listing, required: Sequence[str], optional: Sequence[str] = ()) -> Sequence[Row]:
    """Return the rows of a CSV file; report lines with too many fields, and note unknown columns.

    Raises:
        DataError: the file cannot be read, is not CSV in UTF-8 or UTF-16, or lacks a required column.
    """
    table = tables.read_table(path, required, optional)
    unknown = [name for name in table.columns if name not in {"", *required, *optional}]
    if unknown:
        listing.notes.append(f"Ignored columns of {shown(path.name)}: {', '.join(map(repr, unknown))}.")
    for fault in table.faults:
        listing.report(path, fault)
    return table.rows
