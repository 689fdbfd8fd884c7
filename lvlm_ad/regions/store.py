"""Divisions on disk: computed once for an image and its settings, reused by every model and every later run."""

from __future__ import annotations

import sqlite3
import threading
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.arrays import read_arrays
from lvlm_ad.errors import StoreError
from lvlm_ad.regions.regions import Regions
from lvlm_ad.store import DATABASE_ERRORS, open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["DivisionStore", "StoredDivision"]

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS divisions (
    key TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    n_regions INTEGER NOT NULL,
    regions BLOB NOT NULL,
    counts BLOB
);
CREATE INDEX IF NOT EXISTS known ON divisions (key, hash, n_regions);
CREATE TABLE IF NOT EXISTS sets (key TEXT PRIMARY KEY, hashes BLOB NOT NULL, empty INTEGER NOT NULL)
"""
# The index answers which images are cut, and how, without a look at a gigabyte of cells. A set is all images of a data
# set, once all are cut: nothing is ever taken out of the file, so one look tells that all are there.

_AT_ONCE = 900
"""Keys in one statement; no SQLite refuses so many."""


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
    """Divisions by key in one SQLite file; each is written whole or not at all.

    Args:
        path: the file; created if absent.

    Raises:
        StoreError: the file cannot be opened, is no such store, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(
            path, schema=_SCHEMA, version=SCHEMA_VERSION, name="division store", advice="Delete it to start anew."
        )

    def known(self, keys: Iterable[str]) -> Iterator[tuple[str, str, int]]:
        """Give (key, ``Regions.hash``, number of regions) for those of the keys that are stored.

        Raises:
            StoreError: the file is damaged.
        """
        rest = iter(keys)
        while part := list(islice(rest, _AT_ONCE)):
            marks = ",".join("?" * len(part))
            # SQLite would rather look the rows up, among their cells.
            query = f"SELECT key, hash, n_regions FROM divisions INDEXED BY known WHERE key IN ({marks})"  # nosec B608 # noqa: S608 - marks only
            yield from self._read(partial(_rows, query, part))

    def whole(self, key: str) -> tuple[bytes, int] | None:
        """Return what ``put_whole`` stored, or None.

        Raises:
            StoreError: the file is damaged.
        """
        query = "SELECT hashes, empty FROM sets WHERE key = ? AND typeof(hashes) = 'blob' AND typeof(empty) = 'integer'"
        rows = self._read(partial(_rows, query, [key]))
        return (bytes(rows[0][0]), int(rows[0][1])) if rows else None

    def put_whole(self, key: str, hashes: bytes, empty: int) -> None:
        """Note that all images of a data set are cut.

        Args:
            key: what decides the divisions of all of them.
            hashes: of each image's division, 32 bytes.
            empty: how many have no region.

        Raises:
            StoreError: the file cannot be written.
        """
        self._write("INSERT OR REPLACE INTO sets VALUES (?, ?, ?)", (key, hashes, empty))

    def regions(self, key: str) -> Regions:
        """Read one division.

        Raises:
            StoreError: it is not there or damaged.
        """
        arrays = self._arrays("regions", key)
        if arrays is None:
            raise StoreError(f"The division store {self._path} has no division {key}. Delete it to start anew.")
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
        self._write("INSERT OR IGNORE INTO divisions VALUES (?, ?, ?, ?, ?)", row)

    def _write(self, statement: str, row: Sequence[Any]) -> None:
        try:
            with self._lock:
                self._db.execute(statement, row)
        except DATABASE_ERRORS as error:
            raise StoreError(f"The division store {self._path} cannot be written: {error}.") from error

    def close(self) -> None:
        """Close the file, once no thread is in it: closed under a thread's hands, SQLite ends the process."""
        with self._lock:
            self._db.close()

    def _arrays(self, column: str, key: str) -> dict[str, NDArray[Any]] | None:
        query = f"SELECT {column} FROM divisions WHERE key = ?"  # nosec B608 # noqa: S608 - the column is one of two constants
        row = self._read(lambda db: db.execute(query, (key,)).fetchone())
        if row is None or row[0] is None:
            return None
        try:
            return _unpack(row[0])
        except (ValueError, OSError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise self.damaged(error) from error

    def _read(self, query: Callable[[sqlite3.Connection], Any]) -> Any:
        try:
            with self._lock:
                return query(self._db)
        except DATABASE_ERRORS as error:
            raise self.damaged(error) from error

    def damaged(self, error: Exception) -> StoreError:
        """Return the error that says what is wrong with the file."""
        return StoreError(f"The division store {self._path} is damaged: {error}. Delete it to start anew.")


def _rows(query: str, values: Sequence[str], db: sqlite3.Connection) -> list[Any]:
    return db.execute(query, values).fetchall()


def _pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays as compressed npz bytes, without pickle."""
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def _unpack(data: bytes) -> dict[str, NDArray[Any]]:
    return read_arrays(BytesIO(data))
