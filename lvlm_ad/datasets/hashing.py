"""SHA-256 of a data set's files, kept in the cache: a file that has not changed is not read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.store import Database

__all__ = ["hash_files", "hash_rows"]

_FRESH = 2.0
"""Seconds since a file's last change during which its hash is not kept: within a clock's tick it could change again."""

_AT_ONCE = 900
"""Files in one query; no version of SQLite refuses so many."""


def hash_files(files: Iterable[Path], cache: Database | None = None) -> Iterator[str]:
    """Yield the SHA-256 (hex) of each file, in order.

    Args:
        files: the files.
        cache: what ``store.open_cache`` returns: a file whose size, times and inode are unchanged is not read again.
            None: every file is read.

    Raises:
        DataError: a file cannot be read.
        StoreError: the cache cannot be read or written.
    """
    rest = iter(files)
    with ThreadPoolExecutor() as pool:
        while part := list(islice(rest, _AT_ONCE)):
            paths = [os.fsencode(os.path.abspath(file)) for file in part]  # noqa: PTH100 - a Path takes ten times as long
            if cache is None:
                yield from pool.map(_sha256, paths)
                continue
            states = [_state(path) for path in paths]
            marks = ",".join("?" * len(paths))
            rows = cache.read(f"SELECT path, state, hash FROM files WHERE path IN ({marks})", paths)  # nosec B608 # noqa: S608 - marks only
            known = {path: (state, digest) for path, state, digest in rows}
            fresh = time.time() - _FRESH
            unknown = [at for at, path in enumerate(paths) if known.get(path, ("",))[0] != states[at][1]]
            for at, digest in zip(unknown, pool.map(_sha256, [paths[at] for at in unknown]), strict=True):
                known[paths[at]] = (states[at][1], digest)
            new = [(paths[at], *known[paths[at]]) for at in unknown if states[at][0] < fresh]
            if new:
                with cache.transaction(durable=False) as database:
                    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", new)
            yield from (known[path][1] for path in paths)


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
        raise DataError(f"{shown(os.fsdecode(path))} cannot be read: {error.strerror}.") from error
    changed = max(stat.st_ctime, stat.st_mtime)
    return changed, f"{stat.st_ctime_ns} {stat.st_mtime_ns} {stat.st_size} {stat.st_ino} {stat.st_dev}"


def _sha256(path: bytes) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{shown(os.fsdecode(path))} cannot be read: {error.strerror}.") from error
