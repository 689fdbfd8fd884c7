"""Saves the answers that a damaged store still gives."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from lvlm_ad.calls.store import is_sound
from lvlm_ad.errors import StoreError
from lvlm_ad.storage import DATABASE_ERRORS

__all__ = ["missing_from", "salvage"]

_HEX = "0123456789abcdef"


def salvage(damaged: Path, target: Path) -> int:
    """Copy the rows that can be read into a store.

    Keys are hashes, so they lie evenly over the file: it is read in 4,096 parts by their first three digits, each from
    both ends, and a damaged page costs the rows on it and few others.

    Args:
        damaged: the damaged file.
        target: a sound store; what it holds stays.

    Returns:
        How many answers were saved.

    Raises:
        StoreError: the store cannot be written; then nothing is saved.
    """
    saved = 0
    try:
        with closing(sqlite3.connect(target, isolation_level=None)) as new, closing(_reading(damaged)) as old:
            columns = _shared(old, new)
            if "key" not in columns:
                return 0
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            new.execute("BEGIN IMMEDIATE")
            for row in _sound_rows(old, columns):
                done = new.execute(f"INSERT OR IGNORE INTO answers ({names}) VALUES ({marks})", row)  # noqa: S608 - names of ours
                saved += done.rowcount
            new.execute("COMMIT")
    except DATABASE_ERRORS as error:
        raise StoreError(f"The answers of {damaged} cannot be saved: {error}. Nothing was changed.") from error
    return saved


def missing_from(damaged: Path, target: Path) -> int:
    """Count the answers that can be read of a damaged file and are not in a store, which may be absent."""
    known: set[str] = set()
    try:
        if target.is_file():
            with closing(sqlite3.connect(f"{target.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as store:
                known = {row[0] for row in store.execute("SELECT key FROM answers")}
        with closing(_reading(damaged)) as old:
            columns = _columns(old)
            if "key" not in columns:
                return 0
            return len({row[columns.index("key")] for row in _sound_rows(old, columns)} - known)
    except DATABASE_ERRORS:
        # A store that cannot be read is told of by itself.
        return 0


def _reading(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=5)
    database.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return database


def _shared(old: sqlite3.Connection, new: sqlite3.Connection) -> list[str]:
    known = _columns(new)
    return [name for name in _columns(old) if name in known]


def _sound_rows(database: sqlite3.Connection, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for row in _rows(database, ", ".join(columns)):
        if _is_sound(dict(zip(columns, row, strict=True))):
            yield row


def _columns(database: sqlite3.Connection) -> list[str]:
    try:
        return [row[1] for row in database.execute("PRAGMA table_info(answers)")]
    except DATABASE_ERRORS:
        return []


def _rows(database: sqlite3.Connection, names: str) -> Iterator[tuple[Any, ...]]:
    for digits in product(_HEX, repeat=3):
        start = "".join(digits)
        for order in ("ASC", "DESC"):
            query = f"SELECT {names} FROM answers WHERE key >= ? AND key < ? ORDER BY key {order}"  # nosec B608 # noqa: S608 - names of ours
            try:
                yield from database.execute(query, (start, start + "g"))
            except DATABASE_ERRORS:
                continue
            break


def _is_sound(row: dict[str, Any]) -> bool:
    """Whether a row can be an answer: a damaged page may give anything. Columns of later versions may be absent."""
    key = row.get("key")
    hashes = isinstance(key, str) and len(key) == 64 and set(key) <= set(_HEX)  # noqa: PLR2004 - SHA-256
    return hashes and is_sound(
        text=row.get("text"),
        outcome=row.get("outcome"),
        counts=[row.get(name) for name in ("input_tokens", "cached_tokens", "output_tokens")],
        seconds=row.get("seconds"),
        beside=[row.get("model"), row.get("detail")],
    )
