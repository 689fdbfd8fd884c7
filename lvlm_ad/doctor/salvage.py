"""Saves the answers that a damaged store still gives."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from lvlm_ad.calls import AnswerStore
from lvlm_ad.calls.store import is_sound
from lvlm_ad.storage import DATABASE_ERRORS

__all__ = ["salvage"]

_HEX = "0123456789abcdef"


def salvage(damaged: Path, target: Path) -> int:
    """Copy the rows that can be read into a new store.

    Keys are hashes, so they lie evenly over the file: it is read in 4,096 parts by their first three digits, each from
    both ends, and a damaged page costs the rows on it and few others.

    Args:
        damaged: the file that was put aside.
        target: the new store, which must not exist.

    Returns:
        How many answers were saved.

    Raises:
        StoreError: the new file cannot be written.
    """
    AnswerStore(target).close()
    saved = 0
    with (
        closing(sqlite3.connect(target, isolation_level=None)) as new,
        closing(sqlite3.connect(damaged, timeout=5)) as old,
    ):
        old.text_factory = lambda raw: raw.decode("utf-8", "replace")
        known = [row[1] for row in new.execute("PRAGMA table_info(answers)")]
        columns = [name for name in _columns(old) if name in known]
        if "key" not in columns:
            return 0
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        new.execute("BEGIN")
        for row in _rows(old, names):
            if _is_sound(dict(zip(columns, row, strict=True))):
                done = new.execute(f"INSERT OR IGNORE INTO answers ({names}) VALUES ({marks})", row)  # noqa: S608 - names of ours
                saved += done.rowcount
        new.execute("COMMIT")
    return saved


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
