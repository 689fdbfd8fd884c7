"""Hashes of files, kept beside the runs: a file that is as it was is not read again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import DataError, StoreError
from lvlm_ad.storage import DATABASE_ERRORS, open_database

__all__ = ["FileHashes", "hash_files"]

SCHEMA_VERSION = 1

_SCHEMA = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, state TEXT NOT NULL, hash TEXT NOT NULL)"

_FRESH = 2.0
"""Seconds since its last change for which a file's hash is not kept: it could change again within a clock's tick."""


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
        except StoreError:
            # Damaged, newer, or in a folder that cannot be written: where it matters, other stores say so.
            return

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the hash of each file, lower-case hex.

        Raises:
            DataError: a file cannot be read.
        """
        known = self._known()
        found: dict[Path, str] = {}
        changed: dict[Path, tuple[str, str]] = {}
        for path in dict.fromkeys(paths):
            place, state = os.path.abspath(path), _state(path)  # noqa: PTH100 - resolve() asks for every folder
            stored = known.get(place)
            if stored is not None and stored[0] == state:
                found[path] = stored[1]
            else:
                changed[path] = (place, state)
        now = time.time()
        found |= hash_files(changed)
        self._keep([(*changed[path], found[path]) for path in changed if _is_settled(changed[path][1], now)])
        return found

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()

    def _known(self) -> dict[str, tuple[str, str]]:
        if self._db is None:
            return {}
        try:
            rows = self._db.execute("SELECT path, state, hash FROM files")
            return {path: (state, digest) for path, state, digest in rows}
        except DATABASE_ERRORS:
            return {}

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


def hash_files(paths: Iterable[Path]) -> dict[Path, str]:
    """Read files and return the SHA-256 of each, lower-case hex.

    Raises:
        DataError: a file cannot be read.
    """
    wanted = list(paths)
    with ThreadPoolExecutor() as pool:
        return dict(zip(wanted, pool.map(_sha256, wanted), strict=True))


def _state(path: Path) -> str:
    """What changes when a file does: size, inode, and the times of the last change of content and of entry."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - a hundred thousand files
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    return f"{stat.st_ctime_ns} {stat.st_mtime_ns} {stat.st_size} {stat.st_ino} {stat.st_dev}"


def _is_settled(state: str, now: float) -> bool:
    """Whether a file's last change is long enough past; of one in the future nothing can be said."""
    changed = max(int(part) for part in state.split()[:2]) / 1e9
    return now - changed > _FRESH


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
