"""Stored divisions: computed once for an image and its settings, reused by every model and every later run."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import StoreError
from lvlm_ad.files import read_arrays
from lvlm_ad.regions.regions import Regions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from lvlm_ad.store import Database

__all__ = ["DivisionStore", "StoredDivision"]

_AT_ONCE = 900
"""Keys in one query; no version of SQLite refuses so many."""


@dataclass(frozen=True, slots=True)
class StoredDivision:
    """One image's division and the pixel counts of its ground truth, packed for storage.

    Attributes:
        hash: ``Regions.hash``.
        n_regions: ``Regions.count``.
        regions: cells and membership as compressed npz bytes.
        counts: named count arrays as compressed npz bytes; None for an image without ground truth.
    """

    hash: str
    n_regions: int
    regions: bytes
    counts: bytes | None

    @classmethod
    def pack(cls, regions: Regions, counts: Mapping[str, NDArray[Any]] | None) -> StoredDivision:
        """Pack a division and its counts."""
        cells = regions.cells.astype(np.min_scalar_type(max(regions.n_cells - 1, 0)))
        return cls(
            hash=regions.hash,
            n_regions=regions.count,
            regions=_pack({"cells": cells, "membership": regions.membership}),
            counts=None if counts is None else _pack(counts),
        )


class DivisionStore:
    """Divisions in ``cache.sqlite``; each is written whole or not at all.

    Args:
        database: what ``store.open_cache`` returns.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, keys: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        """Yield (key, ``Regions.hash``, number of regions) for each key that is stored.

        Raises:
            StoreError: the file is damaged.
        """
        rest = iter(keys)
        while part := list(islice(rest, _AT_ONCE)):
            marks = ",".join("?" * len(part))
            # Left to itself, SQLite reads the rows, and their cells with them.
            query = f"SELECT key, hash, n_regions FROM divisions INDEXED BY known WHERE key IN ({marks})"  # nosec B608 # noqa: S608 - marks only
            yield from self._database.read(query, part)

    def regions(self, key: str) -> Regions:
        """Read one division.

        Raises:
            StoreError: it is not there or damaged.
        """
        arrays = self._arrays("regions", key)
        if arrays is None:
            raise StoreError(f"The cache {self._database.path} has no division {key}. Delete it: it is made again.")
        return Regions(cells=arrays["cells"].astype(np.int32), membership=arrays["membership"].astype(np.bool_))

    def counts(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Read the count arrays stored with a division; None where the image has no ground truth.

        Raises:
            StoreError: the file is damaged.
        """
        return self._arrays("counts", key)

    def put(self, key: str, division: StoredDivision) -> None:
        """Store a division; the first one under a key stays.

        Raises:
            StoreError: the file cannot be written.
        """
        row = (key, division.hash, division.n_regions, division.regions, division.counts)
        with self._database.transaction(durable=False) as database:
            database.execute("INSERT OR IGNORE INTO divisions VALUES (?, ?, ?, ?, ?)", row)

    def _arrays(self, column: str, key: str) -> dict[str, NDArray[Any]] | None:
        query = f"SELECT {column} FROM divisions WHERE key = ?"  # nosec B608 # noqa: S608 - the column is one of two constants
        rows = self._database.read(query, (key,))
        if not rows or rows[0][0] is None:
            return None
        try:
            return read_arrays(BytesIO(rows[0][0]))
        except (
            *(ValueError, TypeError, OSError, KeyError, EOFError, NotImplementedError),
            *(zipfile.BadZipFile, zlib.error),
        ) as error:
            raise self._database.kind.error(self._database.path, "read", error) from error


def _pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays as compressed npz bytes, without pickle."""
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()
