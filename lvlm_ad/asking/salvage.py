"""Copies every whole answer and every batch out of damaged stores."""

from __future__ import annotations

import mmap
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from lvlm_ad.asking.answers import is_sound
from lvlm_ad.errors import StoreError
from lvlm_ad.store import ANSWERS, DATABASE_ERRORS, Database

__all__ = ["salvage", "whole_answers"]

_KEY = re.compile(rb"(?=([0-9a-f]{64}))")
_BATCHES = {"batches": ("label", "model", "file_id", "batch_id", "outcome", "begun"), "questions": ("key", "label")}
"""Table -> its columns, in the first of which it is sorted."""


def salvage(sources: Sequence[Path], target: Path) -> int:
    """Copy every whole answer and every batch out of damaged stores.

    Args:
        sources: the damaged files.
        target: a sound store, created if absent; what it contains stays.

    Returns:
        How many answers the target did not have.

    Raises:
        StoreError: the target cannot be written, or a source cannot be read; then nothing is copied.
    """
    saved = 0
    with closing(Database(target, ANSWERS)) as new, new.transaction(durable=True) as database:
        for source in sources:
            try:
                for row in whole_answers(source):
                    saved += _insert(database, "answers", row)
                for table, row in _batches(source):
                    _insert(database, table, row)
            except OSError as error:
                raise StoreError(f"{source} cannot be examined: {error.strerror}. Nothing was changed.") from error
    return saved


def whole_answers(damaged: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole answers of a damaged store as column -> value.

    Every key that stands anywhere in the file is looked up by itself, so that a damaged page costs its own rows alone.

    Raises:
        OSError: the file cannot be read.
    """
    with closing(sqlite3.connect(":memory:")) as empty, closing(_connect(damaged)) as database:
        empty.executescript(ANSWERS.schema)
        there = [row[1] for row in _rows(database, "PRAGMA table_info(answers)")]
        names = [row[1] for row in _rows(empty, "PRAGMA table_info(answers)") if row[1] in there]
        if "key" not in names:
            return
        query = f"SELECT {', '.join(names)} FROM answers WHERE key = ?"  # nosec B608 # noqa: S608 - names of ours
        for key in _keys_in(damaged):
            for values in _rows(database, query, key):
                row = dict(zip(names, values, strict=True))
                if is_sound(row):
                    yield row


def _insert(database: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    """Insert a row that is not there yet; return how many rows that adds."""
    query = f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608 - names of ours
    return database.execute(query, tuple(row.values())).rowcount


def _batches(damaged: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield table and row; read from both ends, so that a damaged page costs its own rows alone."""
    with closing(_connect(damaged)) as database:
        for table, columns in _BATCHES.items():
            for order in ("ASC", "DESC"):
                query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[0]} {order}"  # nosec B608 # noqa: S608 - names of ours
                for row in _rows(database, query):
                    if all(isinstance(one, str) for one in row):
                        yield table, dict(zip(columns, row, strict=True))


def _rows(database: sqlite3.Connection, query: str, *values: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows up to the first that cannot be read."""
    with suppress(*DATABASE_ERRORS):
        yield from database.execute(query, values)


def _keys_in(damaged: Path) -> Iterator[str]:
    """Yield everything in the file, or in what SQLite keeps beside it, that may be a key; each once."""
    seen: set[bytes] = set()
    for path in (damaged, damaged.with_name(f"{damaged.name}-wal")):
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                # Not closed by hand: a caller that ends early still uses it.
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            for match in _KEY.finditer(content):
                if match[1] not in seen:
                    seen.add(match[1])
                    yield match[1].decode()


def _connect(damaged: Path) -> sqlite3.Connection:
    database = sqlite3.connect(damaged, timeout=5)
    # Without it, SQLite refuses to read what is left of a file that was cut off.
    database.execute("PRAGMA writable_schema=ON")
    return database
