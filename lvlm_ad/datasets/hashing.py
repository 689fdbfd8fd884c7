"""Hashes of files, kept beside the runs: a file that is as it was is not read again.

A data set may have a million files, so hashes pass by a few hundred at a time and are held as bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import DataError, StoreError
from lvlm_ad.store import DATABASE_ERRORS, open_database

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import File

__all__ = ["FileDigests", "FileHashes", "hash_files", "hash_rows", "is_digest"]

SCHEMA_VERSION = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS trees (first TEXT PRIMARY KEY, state BLOB NOT NULL, hashes BLOB NOT NULL)
"""
# A tree is all files of a data set, by the path of the first: as long as all are as they were, one look is enough.

_FRESH = 2.0
"""Seconds since its last change for which a file's hash is not kept: it could change again within a clock's tick."""

_AT_ONCE = 900
"""Files in hand at a time; no SQLite refuses so many values in one statement."""

_BYTES = 32
"""Of a SHA-256."""

_NONE = "0" * 2 * _BYTES
"""Stands for no file."""


class FileDigests(Mapping[str, tuple[str, str]]):
    """Sample id -> SHA-256 (hex) of its image file and of its mask file ("" without one); 64 bytes a sample.

    Args:
        places: sample id -> its place.
        masked: whether each sample has a mask, in that order.
        digests: of each sample's image and, where it has one, of its mask, in the same order.
    """

    def __init__(self, places: Mapping[str, int], masked: Iterable[bool], digests: Iterable[bytes]) -> None:
        self._places = places
        found = iter(digests)
        held = bytearray()
        for has_mask in masked:
            held += next(found)
            held += next(found) if has_mask else bytes(_BYTES)
        self._held = bytes(held)

    def __getitem__(self, sample_id: str) -> tuple[str, str]:
        start = 2 * _BYTES * self._places[sample_id]
        both = self._held[start : start + 2 * _BYTES].hex()
        image, mask = both[: 2 * _BYTES], both[2 * _BYTES :]
        return image, "" if mask == _NONE else mask

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class FileHashes:
    """SHA-256 of files by path, size, times and inode. It is a convenience: without it every file is read.

    Args:
        path: an SQLite file; created if absent.
    """

    def __init__(self, path: Path) -> None:
        self._db: sqlite3.Connection | None = None
        try:
            self._db = open_database(
                path, schema=_SCHEMA, version=SCHEMA_VERSION, name="hashes", advice="Delete it to start anew."
            )
            # What a power cut takes is read again.
            self._db.execute("PRAGMA synchronous=NORMAL")
        except StoreError:
            # Damaged, newer, or in a folder that cannot be written: where it matters, other stores say so.
            return

    def of(self, files: Iterable[File]) -> Iterator[bytes]:
        """Give the hash of each file, 32 bytes, in order.

        Raises:
            DataError: a file cannot be read.
        """
        absolute = cache(os.path.abspath)
        rest = iter(files)
        with ThreadPoolExecutor() as pool:
            while part := list(islice(rest, _AT_ONCE)):
                places = [f"{absolute(folder)}/{name}" for folder, name in part]
                states = [_state(place) for place in places]
                known = self._known(places)
                changed = [at for at, place in enumerate(places) if known.get(place, ("",))[0] != states[at]]
                now = time.time()
                read = dict(zip(changed, pool.map(_sha256, (places[at] for at in changed)), strict=True))
                settled = [at for at in changed if _is_settled(states[at], now)]
                self._keep([(places[at], states[at], read[at].hex()) for at in settled])
                for at, place in enumerate(places):
                    yield read[at] if at in read else bytes.fromhex(known[place][1])

    def of_all(self, files: Callable[[], Iterable[File]]) -> Iterator[bytes]:
        """Give what ``of`` gives; at one look, where no file has changed since this was last asked of the same files.

        Args:
            files: gives them, as often as it is called.

        Raises:
            DataError: a file cannot be read.
        """
        absolute = cache(os.path.abspath)
        digest, newest, count, first = hashlib.sha256(), 0, 0, ""
        for folder, name in files():
            place = f"{absolute(folder)}/{name}"
            state = _state(place)
            newest = max(newest, _changed(state))
            digest.update(f"{place}\n{state}\n".encode(errors="surrogateescape"))
            first, count = first or place, count + 1
        known = self._tree(first, digest.digest())
        if known is None or len(known) != _BYTES * count:
            known = b"".join(self.of(files()))
            # While a file could change within a clock's tick, this look is not the last.
            if time.time() - newest / 1e9 > _FRESH:
                self._keep_tree(first, digest.digest(), known)
        return (known[at : at + _BYTES] for at in range(0, len(known), _BYTES))

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()

    def _known(self, places: list[str]) -> dict[str, tuple[str, str]]:
        if self._db is None:
            return {}
        marks = ",".join("?" * len(places))
        # A damaged page may give anything for a hash.
        sound = f"typeof(hash) = 'text' AND length(hash) = {2 * _BYTES} AND hash NOT GLOB '*[^0-9a-f]*'"
        query = f"SELECT path, state, hash FROM files WHERE path IN ({marks}) AND {sound}"  # nosec B608 # noqa: S608 - marks only
        try:
            return {path: (state, digest) for path, state, digest in self._db.execute(query, places)}
        except (*DATABASE_ERRORS, UnicodeEncodeError):
            return {}

    def _tree(self, first: str, state: bytes) -> bytes | None:
        if self._db is None:
            return None
        try:
            query = "SELECT hashes FROM trees WHERE first = ? AND state = ? AND typeof(hashes) = 'blob'"
            row = self._db.execute(query, (first, state)).fetchone()
        except (*DATABASE_ERRORS, UnicodeEncodeError):
            return None
        return None if row is None else bytes(row[0])

    def _keep_tree(self, first: str, state: bytes, hashes: bytes) -> None:
        if self._db is not None:
            with contextlib.suppress(*DATABASE_ERRORS, UnicodeEncodeError):
                self._db.execute("INSERT OR REPLACE INTO trees VALUES (?, ?, ?)", (first, state, hashes))

    def _keep(self, rows: list[tuple[str, str, str]]) -> None:
        if self._db is None or not rows:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except (*DATABASE_ERRORS, UnicodeEncodeError):
            # A disk that is full, or a name that is no text: these files are read again.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def hash_files(files: Iterable[File]) -> Iterator[bytes]:
    """Read files and give the SHA-256 of each, 32 bytes, in order.

    Raises:
        DataError: a file cannot be read.
    """
    rest = iter(files)
    with ThreadPoolExecutor() as pool:
        while part := list(islice(rest, _AT_ONCE)):
            yield from pool.map(_sha256, map(str, part))


def hash_rows(rows: Iterable[list[Any]]) -> str:
    """Return the SHA-256 (hex) of rows as one JSON list, of which only a part is held."""
    digest, first, rest = hashlib.sha256(b"["), True, iter(rows)
    while part := list(islice(rest, _AT_ONCE)):
        digest.update(("" if first else ", ").encode() + json.dumps(part)[1:-1].encode())
        first = False
    digest.update(b"]")
    return digest.hexdigest()


def _state(path: str) -> str:
    """What changes when a file does: size, inode, and the times of the last change of content and of entry."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - a Path takes ten times as long
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    return f"{stat.st_ctime_ns} {stat.st_mtime_ns} {stat.st_size} {stat.st_ino} {stat.st_dev}"


def _is_settled(state: str, now: float) -> bool:
    """Whether a file's last change is long enough past; of one in the future nothing can be said."""
    return now - _changed(state) / 1e9 > _FRESH


def _changed(state: str) -> int:
    """Return when a file last changed, nanoseconds."""
    content, entry, _ = state.split(" ", 2)
    return max(int(content), int(entry))


def is_digest(text: Any) -> bool:
    """Whether what was read from a file is a SHA-256 (hex): a damaged page may give anything."""
    try:
        return len(bytes.fromhex(text)) == _BYTES
    except (TypeError, ValueError):
        return False


def _sha256(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
