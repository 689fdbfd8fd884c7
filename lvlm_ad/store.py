"""Writes files whole or not at all, and opens the SQLite files that lvlm-ad keeps, each with a version."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from lvlm_ad.errors import StoreError

__all__ = ["DATABASE_ERRORS", "open_database", "own_folder", "write_file"]

DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)
"""What a damaged file, or one that cannot be written, makes sqlite3 raise."""

_OPENING = 30.0
"""Seconds for which a file that another program holds, or others are just creating, is tried to be opened."""
_WAIT = 60.0
"""Seconds for which one statement waits for others that write."""


def open_database(
    path: Path, *, schema: str, version: int, name: str, advice: str, steps: Mapping[int, str] | None = None
) -> sqlite3.Connection:
    """Open or create a database that several threads and processes may use.

    Write-ahead logging lets readers and one writer work at once; full synchronisation makes each committed row survive
    a power cut. The connection may be shared between threads that take turns.

    Args:
        path: the file; its folder is created.
        schema: the statements that make the newest version: ``CREATE TABLE IF NOT EXISTS ...;``.
        version: the schema's version, kept in ``user_version``.
        name: what the file is, for messages.
        advice: what to do when it cannot be opened, one sentence.
        steps: version -> the statements that make it from the version before.

    Raises:
        StoreError: the file cannot be opened, is no such database, was written by a newer version or holds triggers.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder {path.parent} cannot be made: {error.strerror}. Give another --out.") from error
    try:
        database = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False, isolation_level=None)
    except DATABASE_ERRORS as error:
        raise StoreError(f"The {name} {path} cannot be opened: {error}. {_advice(error, path, advice)}") from error
    try:
        found = _prepared(database)
        wrong = _wrong(database, found, version, advice)
        if not wrong and found < version:
            _upgrade(database, schema, version, steps or {})
    except DATABASE_ERRORS as error:
        database.close()
        raise StoreError(f"The {name} {path} cannot be opened: {error}. {_advice(error, path, advice)}") from error
    if wrong:
        database.close()
        raise StoreError(f"The {name} {path} {wrong}")
    return database


def _prepared(database: sqlite3.Connection) -> int:
    """Set how the file is written and return its version.

    Two processes that open a new file at once get in each other's way here, and SQLite does not wait by itself.
    """
    deadline = time.monotonic() + _OPENING
    while True:
        try:
            database.execute("PRAGMA busy_timeout=0")
            found = int(database.execute("PRAGMA user_version").fetchone()[0])
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            # A file from elsewhere may hold views; they call nothing.
            database.execute("PRAGMA trusted_schema=OFF")
            database.execute(f"PRAGMA busy_timeout={int(1000 * _WAIT)}")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return found


def _wrong(database: sqlite3.Connection, found: int, version: int, advice: str) -> str:
    """Say why a database is not to be written to; empty: it may be."""
    if found > version:
        return f"was written by a newer lvlm-ad (version {found}); upgrade to read it."
    trigger = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchone()
    if trigger is None:
        return ""
    return f"holds a trigger, {trigger[0]!r:.80}, which changes what is written to it: somebody else made it. {advice}"


def _advice(error: Exception, path: Path, advice: str) -> str:
    """Say what to do where the reason lies outside of the file."""
    if "locked" in str(error):
        return "Another program holds it; end that one first."
    if "full" in str(error) or "disk I/O" in str(error):
        return "Make room on its disk."
    if "readonly" in str(error) or "unable to open" in str(error):
        where = path.parent if path.parent.is_dir() else path
        return f"{where} may be read-only, or {path.name} no file; give another --out."
    return advice


def _upgrade(database: sqlite3.Connection, schema: str, version: int, steps: Mapping[int, str]) -> None:
    """Bring a database to the newest version, whole or not at all; another process may be doing the same."""
    database.execute("BEGIN IMMEDIATE")
    try:
        found = database.execute("PRAGMA user_version").fetchone()[0]
        pending = [steps.get(step, "") for step in range(found + 1, version + 1)] if found else []
        for statement in ";".join([*pending, schema]).split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA user_version={version}")
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise


def own_folder(path: Path) -> None:
    """Make a folder whose files are written in place, unless something in it would lead the writing elsewhere.

    Raises:
        OSError: it is a link, holds links or pipes, or cannot be made.
    """
    path.mkdir(parents=True, exist_ok=True)
    inside = () if path.is_symlink() else path.iterdir()
    for one in (path, *inside):
        if one.is_symlink() or not (one.is_file() or one.is_dir()):
            raise OSError(errno.ELOOP, f"{one} is a link or no plain file; remove it", str(one))


def write_file(path: Path, content: str | bytes | Iterable[bytes], *, through: bool = False) -> None:
    """Write a file under another name and move it into place: it is there whole, or as it was before.

    A link or a pipe that is there is replaced, not followed: who gave a folder may have put it there.

    Args:
        path: the file.
        content: text is written as UTF-8; what cannot be, as "?". Parts are written one after the other.
        through: the user named it: what is there and is no plain file, such as /dev/stdout, is written to as it is.

    Raises:
        OSError: it cannot be written.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", errors="replace")
    parts = [content] if isinstance(content, bytes) else content
    if through and path.exists() and not path.is_file():
        with path.open("wb") as file:
            file.writelines(parts)
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        # Nobody asked for a file of the other name.
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        # As any new file: mkstemp's own mode shuts others out.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
