"""Saves the answers that a damaged store still gives."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain, product
from pathlib import Path
from typing import Any

from lvlm_ad.asking.answers import is_sound
from lvlm_ad.errors import StoreError
from lvlm_ad.store import DATABASE_ERRORS

__all__ = ["missing_from", "salvage"]

_HEX = "0123456789abcdef"

_LONGEST = 1 << 40
"""Bytes; no store is longer."""


def salvage(damaged: Path, target: Path) -> int:
    """Copy the rows that can be read into a store.

    Keys are hashes, so they lie evenly over the file: it is read in 4,096 parts by their first three digits, each from
    both ends. A row between two damaged pages is reached by its key alone, and keys are looked for in the bytes of the
    file. So a damaged page costs the rows on it.

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
        with closing(sqlite3.connect(target, isolation_level=None)) as new, _reading(damaged) as old:
            columns = _shared(old, new)
            if "key" not in columns:
                return 0
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            new.execute("BEGIN IMMEDIATE")
            for row in _sound_rows(old, columns, damaged):
                done = new.execute(f"INSERT OR IGNORE INTO answers ({names}) VALUES ({marks})", row)  # noqa: S608 - names of ours
                saved += done.rowcount
            new.execute("COMMIT")
    except (*DATABASE_ERRORS, OSError) as error:
        raise StoreError(f"The answers of {damaged} cannot be saved: {error}. Nothing was changed.") from error
    return saved


def missing_from(damaged: Path, target: Path) -> int:
    """Count the answers that can be read of a damaged file and are not in a store, which may be absent.

    Raises:
        OSError: there is no room for what it takes to look.
    """
    known: set[str] = set()
    try:
        if target.is_file():
            with closing(sqlite3.connect(f"{target.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as store:
                known = {row[0] for row in store.execute("SELECT key FROM answers")}
        with _reading(damaged) as old:
            columns = _columns(old)
            if "key" not in columns:
                return 0
            return len({row[columns.index("key")] for row in _sound_rows(old, columns, damaged)} - known)
    except DATABASE_ERRORS:
        # A store that cannot be read is told of by itself.
        return 0


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a damaged file; of one that was cut off, a copy as long as it was, since SQLite reads no other."""
    with ExitStack() as stack:
        length = _length_by_header(path)
        if length > path.stat().st_size:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / path.name
            for suffix in ("", "-wal"):
                if path.with_name(path.name + suffix).is_file():
                    shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
            # Zeros, which take no room; a page of zeros is a damaged one.
            os.truncate(copy, length)
            path = copy
        database = stack.enter_context(closing(sqlite3.connect(path, timeout=5)))
        database.text_factory = lambda raw: raw.decode("utf-8", "replace")
        yield database


def _length_by_header(path: Path) -> int:
    """Return how many bytes a database says it has: https://www.sqlite.org/fileformat.html, 1.3. 0: it says nothing."""
    with path.open("rb") as file:
        head = file.read(32)
    if len(head) < 32 or not head.startswith(b"SQLite format 3\0"):  # noqa: PLR2004 - up to its size in pages
        return 0
    page = int.from_bytes(head[16:18], "big")
    # No page is longer than 65,536 bytes, which two bytes do not hold; a damaged head may claim any number of pages.
    return min((65536 if page == 1 else page) * int.from_bytes(head[28:32], "big"), _LONGEST)


def _shared(old: sqlite3.Connection, new: sqlite3.Connection) -> list[str]:
    known = _columns(new)
    return [name for name in _columns(old) if name in known]


def _sound_rows(database: sqlite3.Connection, columns: Sequence[str], path: Path) -> Iterator[tuple[Any, ...]]:
    names, at = ", ".join(columns), columns.index("key")
    seen: set[str] = set()
    for row in chain(_rows(database, names), _rows_by_key(database, names, path, seen)):
        if _is_sound(dict(zip(columns, row, strict=True))):
            seen.add(row[at])
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


def _rows_by_key(database: sqlite3.Connection, names: str, path: Path, seen: set[str]) -> Iterator[tuple[Any, ...]]:
    """Give the rows of all keys that stand anywhere in the file and were not seen."""
    asked: set[str] = set()
    for place in (path, path.with_name(f"{path.name}-wal")):
        if not place.is_file() or not place.stat().st_size:
            continue
        with place.open("rb") as file:
            # Not closed by hand: a search that ends early still holds it.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        for found in re.finditer(rb"(?=([0-9a-f]{64}))", content):
            key = found[1].decode()
            if key in seen or key in asked:
                continue
            asked.add(key)
            with suppress(*DATABASE_ERRORS):
                yield from database.execute(f"SELECT {names} FROM answers WHERE key = ?", (key,))  # nosec B608 # noqa: S608 - names of ours


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
