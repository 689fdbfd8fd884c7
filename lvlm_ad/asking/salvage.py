"""Copies answers and batches out of a damaged ``answers.sqlite``."""

from __future__ import annotations

import mmap
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from lvlm_ad.asking.answers import COLUMNS, invalid_columns, repaired
from lvlm_ad.errors import StoreError
from lvlm_ad.limits import ANSWER_BYTES, is_utf8
from lvlm_ad.store import ANSWERS, DATABASE_ERRORS, Database

__all__ = ["salvage", "unreadable"]

_KEY = re.compile(rb"(?=([0-9a-f]{64}))")
_PAGE = 4096
"""Bytes of a page of our stores, SQLite's default."""
_WHOLE = ("key", "text", "outcome")
"""Columns without which an answer is lost. What is unreadable in others is replaced."""
_EVERY_ANSWER = f"SELECT {', '.join(COLUMNS)} FROM answers"  # nosec B608 # noqa: S608 - names of ours
_BATCHES = {"batches": ("label", "model", "file_id", "batch_id", "outcome", "begun"), "questions": ("key", "label")}
"""Table -> its columns, in the first of which it is sorted."""


def unreadable(path: Path) -> int:
    """Count the answers and batches that a bench could not read, in a store whose pages are intact.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        with closing(_connect(path)) as database:
            rows = (_decoded(COLUMNS, row, whole=COLUMNS) for row in database.execute(_EVERY_ANSWER))
            damaged = sum(row is None or bool(invalid_columns(row)) for row in rows)
            for table, columns in _BATCHES.items():
                query = f"SELECT {', '.join(columns)} FROM {table}"  # nosec B608 # noqa: S608 - names of ours
                damaged += sum(not all(map(_is_sound_text, row)) for row in database.execute(query))
            return damaged
    except DATABASE_ERRORS as error:
        raise ANSWERS.error(path, "read", error) from error


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
    with (
        closing(Database(target, ANSWERS)) as new,
        new.transaction(durable=True) as database,
        tempfile.TemporaryDirectory(dir=target.parent) as workshop,
    ):
        for source in sources:
            try:
                for readable in _readable(source, Path(workshop)):
                    for row in _whole_answers(readable):
                        saved += _insert(database, "answers", row)
                    for table, row in _batches(readable):
                        _insert(database, table, row)
            except OSError as error:
                raise StoreError(f"{source} cannot be examined: {error.strerror}. Nothing was changed.") from error
    return saved


def _readable(damaged: Path, workshop: Path) -> Iterator[Path]:
    """Yield the file and, if its first page is damaged, a copy with the first page of a new store.

    That page names the tables, their columns, and the page at which each begins: in all our stores the same.
    """
    yield damaged
    with closing(_connect(damaged)) as database:
        if any(_rows(database, _EVERY_ANSWER)):
            return
    empty, copy = workshop / "empty.sqlite", workshop / damaged.name
    Database(empty, ANSWERS).close()
    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{damaged}{suffix}", f"{copy}{suffix}")
    with copy.open("r+b") as file:
        file.write(empty.read_bytes()[:_PAGE])
        # The header's number of pages.
        file.seek(28)
        file.write((copy.stat().st_size // _PAGE).to_bytes(4, "big"))
    yield copy


def _whole_answers(damaged: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole answers of a damaged store as column -> value.

    Every key that stands anywhere in the file is looked up by itself, so that a damaged page costs its own rows alone.
    """
    with closing(sqlite3.connect(":memory:")) as empty, closing(_connect(damaged)) as database:
        empty.executescript(ANSWERS.schema)
        there = {row[1] for row in _rows(database, "PRAGMA table_info(answers)")}
        names = [row[1] for row in _rows(empty, "PRAGMA table_info(answers)") if row[1] in there]
        if "key" not in names:
            return
        query = f"SELECT {', '.join(names)} FROM answers WHERE key = ?"  # nosec B608 # noqa: S608 - names of ours
        for key in _keys_in(damaged):
            for values in _rows(database, query, key):
                row = _decoded(names, values, whole=_WHOLE)
                if row is not None and (answer := repaired(row)) is not None:
                    yield answer


def _decoded(names: Sequence[str], values: Sequence[Any], *, whole: Sequence[str]) -> dict[str, Any] | None:
    """Return a row as column -> value, with texts in UTF-8; None if a text in the columns ``whole`` is not UTF-8."""
    row = dict(zip(names, values, strict=True))
    for name, value in row.items():
        if isinstance(value, str) and not is_utf8(value):
            if name in whole:
                return None
            row[name] = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return row


def _is_sound_text(value: Any) -> bool:
    return isinstance(value, str) and is_utf8(value)


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
                    if all(map(_is_sound_text, row)):
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
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ANSWER_BYTES)
    # Without it, SQLite refuses to read what is left of a file that was cut off.
    database.execute("PRAGMA writable_schema=ON")
    # One damaged character must not hide a whole row.
    database.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return database
