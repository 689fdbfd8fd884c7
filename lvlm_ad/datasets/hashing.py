"""SHA-256 of files and of rows; the hashes of files are kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.store import Database

__all__ = ["hash_files", "hash_rows"]

_FRESH = 2.0
"""Seconds since a file's last change during which its hash is not kept: within a clock's tick it could change again."""
_AT_ONCE = 900
"""Files in one query; no version of SQLite refuses so many."""
_TOGETHER = 16
"""Files that a thread reads in one go; for small files, handing over each of them takes longer than reading it."""


def hash_files(files: Iterable[Path], cache: Database | None = None) -> list[str]:
    """Return the SHA-256 (hex) of each file, in order.

    Of files in the cache, only those are read whose size, times or inode have changed; without a cache, all are.

    Raises:
        DataError: a file cannot be read.
    """
    paths = [os.fsencode(os.path.abspath(file)) for file in files]  # noqa: PTH100 - a Path takes ten times as long
    with ThreadPoolExecutor() as pool:
        if cache is None:
            return _sha256_of(paths, pool)
        known: dict[bytes, str] = {}
        for start in range(0, len(paths), _AT_ONCE):
            part = paths[start : start + _AT_ONCE]
            changed, states = time.time() - _FRESH, {path: _state(path) for path in part}
            marks = ",".join("?" * len(part))
            rows = cache.read(f"SELECT path, state, hash FROM files WHERE path IN ({marks})", part)  # nosec B608 # noqa: S608 - marks only
            known |= {
                path: digest for path, state, digest in rows if state == states[path][1] and isinstance(digest, str)
            }
            unknown = [path for path in states if path not in known]
            new = dict(zip(unknown, _sha256_of(unknown, pool), strict=True))
            known |= new
            kept = [(path, states[path][1], digest) for path, digest in new.items() if states[path][0] < changed]
            if kept:
                with cache.transaction(durable=False) as database:
                    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", kept)
        return [known[path] for path in paths]


def hash_rows(rows: Iterable[list[Any]]) -> str:
    """Return the SHA-256 (hex) of rows written as one JSON list.

    Example:
        >>> hash_rows([["bolt/good/000", "ab"]])[:8]
        '88a6fcca'
    """
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()


def _state(path: bytes) -> tuple[float, str]:
    """Return when a file last changed, in seconds, and everything that changes with it."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - a Path takes ten times as long
    except OSError as error:
        raise _unreadable(path, error) from error
    changed = max(stat.st_ctime, stat.st_mtime)
    return changed, f"{stat.st_ctime_ns} {stat.st_mtime_ns} {stat.st_size} {stat.st_ino} {stat.st_dev}"


def _sha256_of(paths: Sequence[bytes], pool: Executor) -> list[str]:
    parts = [paths[start : start + _TOGETHER] for start in range(0, len(paths), _TOGETHER)]
    return [digest for digests in pool.map(lambda part: list(map(_sha256, part)), parts) for digest in digests]


def _sha256(path: bytes) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: bytes, error: OSError) -> DataError:
    return DataError(f"{shown(os.fsdecode(path))} cannot be read: {error.strerror}.")
