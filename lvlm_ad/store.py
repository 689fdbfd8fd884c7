"""The two SQLite files of an output folder: opened, brought up to date, read and written by threads and processes.

``answers.sqlite`` holds what costs money: answers, locks on questions under way, and batches. ``cache.sqlite`` holds
divisions of images, and hashes of files and of drawn pictures; it may be deleted at any time.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lvlm_ad.errors import CacheError, StoreError
from lvlm_ad.limits import ANSWER_BYTES

__all__ = [
    "ANSWERS",
    "CACHE",
    "DATABASE_ERRORS",
    "Database",
    "Kind",
    "check_not_emptied",
    "is_damage",
    "open_answers",
    "open_cache",
    "put_aside",
]

DATABASE_ERRORS = (sqlite3.Error, UnicodeError, OverflowError)
"""What sqlite3 raises for a file that is damaged or cannot be written, and for values that no file can hold."""

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR)
"""SQLite's error codes for a damaged file or schema; others, such as that of a full disk, have other causes."""

_OPENING = 30.0
"""Seconds to keep trying to open a file that another program uses or is just creating."""
_WAIT = 60.0
"""Seconds that one statement waits for another process to finish writing."""


@dataclass(frozen=True)
class Kind:
    """One of the two files.

    Attributes:
        name: what the file is, for messages.
        advice: what to do when it is damaged, one sentence.
        version: the schema's version, kept in ``user_version``.
        schema: the statements that create the newest version: ``CREATE TABLE IF NOT EXISTS ...;``.
        steps: version -> the statements that lead to it from the version before.
    """

    name: str
    advice: str
    version: int
    schema: str
    steps: Mapping[int, str] = field(default_factory=dict)

    def error(self, path: Path, action: str, error: Exception) -> StoreError:
        """Say what cannot be done ("opened", "read", "written"), why, and what to do."""
        advice = self.advice
        if "locked" in str(error):
            advice = "Another program is using it; end that program first."
        elif "full" in str(error) or "disk I/O" in str(error):
            advice = "Free some space on its disk."
        elif "readonly" in str(error) or "unable to open" in str(error):
            where = path.parent if path.parent.is_dir() else path
            advice = f"{where} may be read-only, or {path.name} may not be a file; give another --out."
        kind = CacheError if self.name == "cache" and is_damage(error) else StoreError
        return kind(f"The {self.name} {path} cannot be {action}: {error}. {advice}")


ANSWERS = Kind(
    name="answer store",
    advice="It holds paid answers: keep it; 'lvlm-ad doctor --repair' saves every intact answer.",
    version=5,
    schema="""
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,
    outcome TEXT NOT NULL,
    text TEXT NOT NULL,
    detail TEXT NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER,
    cached_tokens INTEGER,
    output_tokens INTEGER,
    seconds REAL NOT NULL,
    answered_at TEXT NOT NULL,
    identity TEXT NOT NULL,
    question TEXT NOT NULL,
    options TEXT NOT NULL,
    images TEXT NOT NULL,
    batch INTEGER NOT NULL DEFAULT 0,
    tokens TEXT NOT NULL DEFAULT '[]',
    first TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS locks (key TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    owner TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    seen REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    label TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    file_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    begun TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS questions (label TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (key, label)) WITHOUT ROWID
""",
    steps={
        2: "ALTER TABLE answers ADD COLUMN batch INTEGER NOT NULL DEFAULT 0",
        3: "ALTER TABLE answers ADD COLUMN tokens TEXT NOT NULL DEFAULT '[]'",
        5: "ALTER TABLE answers ADD COLUMN first TEXT",
    },
)

CACHE = Kind(
    name="cache",
    advice="Delete it; lvlm-ad makes it again.",
    version=2,
    # The index finds images that are divided without reading their cells, which may take a gigabyte.
    schema="""
CREATE TABLE IF NOT EXISTS divisions (
    key TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    n_regions INTEGER NOT NULL,
    regions BLOB NOT NULL,
    counts BLOB
);
CREATE INDEX IF NOT EXISTS known ON divisions (key, hash, n_regions);
CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, state TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS drawings (
    key TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (digest TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID
""",
)


def open_answers(path: Path) -> Database:
    """Open or create ``answers.sqlite``; older versions are brought up to date.

    ``batches.sqlite``, in which version 0.1 kept its batches, is copied into it once and then renamed.

    Raises:
        StoreError: the file cannot be opened, is damaged or was emptied, comes from a newer version, or contains
            triggers.
    """
    check_not_emptied(path)
    database = Database(path, ANSWERS)
    try:
        _take_over_batches(database, path.with_name("batches.sqlite"))
    except BaseException:
        database.close()
        raise
    return database


def open_cache(path: Path, note: Callable[[str], None] = lambda _: None) -> Database:
    """Open or create ``cache.sqlite``; a damaged one is renamed and made again.

    Args:
        path: the file.
        note: called with a message if the file was damaged.

    Raises:
        StoreError: the file cannot be opened, comes from a newer version, or contains triggers.
    """
    try:
        return Database(path, CACHE)
    except CacheError as error:
        note(f"The cache {path} is damaged ({error.__cause__}): {put_aside(path)}, and a new one is made.")
        return Database(path, CACHE)


def check_not_emptied(path: Path) -> None:
    """Raise ``StoreError`` if a file is empty although it held the answers of earlier runs."""
    log = path.with_name(f"{path.name}-wal")
    if path.is_file() and not path.stat().st_size and not log.exists() and any(path.parent.glob("*/run.json")):
        raise StoreError(
            f"The answer store {path} is empty, although there are runs beside it: its answers are lost. Put a copy "
            "back, or delete the file to ask and pay for every question again."
        )


def is_damage(error: BaseException | None) -> bool:
    """Return whether an error says that a file itself is damaged; text that is not UTF-8 is a sign of damage."""
    if isinstance(error, sqlite3.OperationalError) and "decode to UTF-8" in str(error):
        return True
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
    return error is not None and not isinstance(error, OSError | MemoryError)


def put_aside(path: Path) -> str:
    """Rename a damaged file, and what SQLite keeps beside it; return what was done."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return f"{path.name} is renamed to {aside.name}"


class Database:
    """An open SQLite file that several threads and several processes may use.

    Write-ahead logging lets readers go on while one process writes. A connection of its own serves the readers of this
    process, so that they never wait for the disk.

    Args:
        path: the file; it and its folder are created if absent.
        kind: which of the two files it is.

    Raises:
        StoreError: see ``open_answers``.
    """

    def __init__(self, path: Path, kind: Kind) -> None:
        # To open a pipe would wait without end.
        if path.exists() and not path.is_file():
            raise StoreError(f"{path} is not a file; move it away.")
        self.path = path
        self.kind = kind
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._writer = _connect(path, kind)
        self._reader = _connect(path, kind)

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            with self._reading:
                return self._reader.execute(query, values).fetchall()
        except DATABASE_ERRORS as error:
            raise self.kind.error(self.path, "read", error) from error

    @contextmanager
    def transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        """Write in one transaction: everything or, after an error, nothing.

        Args:
            durable: whether what is written must survive a power cut. If not, nothing waits for the disk; the file
                stays whole all the same, and the death of the process loses nothing.

        Raises:
            StoreError: the file cannot be written.
        """
        try:
            with self._writing:
                self._writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                with _whole_or_not_at_all(self._writer):
                    yield self._writer
        except DATABASE_ERRORS as error:
            raise self.kind.error(self.path, "written", error) from error

    def close(self) -> None:
        """Close the file once no thread uses it: SQLite crashes when a connection is closed during a query."""
        with self._reading:
            self._reader.close()
        with self._writing:
            self._writer.close()


@contextmanager
def _whole_or_not_at_all(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back by itself.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _connect(path: Path, kind: Kind) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"The folder {path.parent} cannot be created: {error.strerror}. Give another --out."
        raise StoreError(message) from error
    database = None
    try:
        database = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False, isolation_level=None)
        if kind is ANSWERS:
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ANSWER_BYTES)
        version = _configure(database)
        _check(database, version, f"The {kind.name} {path}", kind)
        if version < kind.version:
            _upgrade(database, kind)
    except BaseException as error:
        if database is not None:
            database.close()
        if isinstance(error, DATABASE_ERRORS):
            raise kind.error(path, "opened", error) from error
        raise
    return database


def _configure(database: sqlite3.Connection) -> int:
    """Set how the file is written and return its version."""
    deadline = time.monotonic() + _OPENING
    # Two processes that open a new file at once collide here, and SQLite does not wait by itself.
    while True:
        try:
            database.execute("PRAGMA busy_timeout=0")
            version = int(database.execute("PRAGMA user_version").fetchone()[0])
            database.execute("PRAGMA journal_mode=WAL")
            # A file of unknown origin may contain views; they may call no functions.
            database.execute("PRAGMA trusted_schema=OFF")
            database.execute(f"PRAGMA busy_timeout={int(1000 * _WAIT)}")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return version


def _check(database: sqlite3.Connection, version: int, name: str, kind: Kind) -> None:
    """Refuse a file that must not be written to."""
    if version > kind.version:
        raise StoreError(f"{name} was written by a newer lvlm-ad (version {version}); upgrade to read it.")
    trigger = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchone()
    if trigger is not None:
        raise StoreError(
            f"{name} contains a trigger, {trigger[0]!r:.80}, which could change or delete what is written: lvlm-ad "
            "makes none. Move the file away."
        )


def _upgrade(database: sqlite3.Connection, kind: Kind) -> None:
    """Bring a file to the newest version; another process may be doing the same."""
    with _whole_or_not_at_all(database):
        version = database.execute("PRAGMA user_version").fetchone()[0]
        pending = [kind.steps.get(step, "") for step in range(version + 1, kind.version + 1)] if version else []
        for statement in ";".join([*pending, kind.schema]).split(";"):
            database.execute(statement)
        database.execute(f"PRAGMA user_version={kind.version}")


def _take_over_batches(database: Database, old: Path) -> None:
    """Copy the batches of version 0.1, which are paid for, and rename their file."""
    if not old.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{old.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT)) as source:
            tables = {row[0] for row in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            known = {"batches", "questions"} <= tables
            every_batch = "SELECT label, model, file_id, batch_id, outcome, begun FROM batches"
            batches = source.execute(every_batch).fetchall() if known else []
            questions = source.execute("SELECT label, key FROM questions").fetchall() if known else []
    except DATABASE_ERRORS as error:
        raise StoreError(
            f"{old}, the batches of version 0.1, cannot be read: {error}. Move it away; batches under way are then "
            "looked for at the endpoint."
        ) from error
    with database.transaction(durable=True) as new:
        new.executemany("INSERT OR IGNORE INTO batches VALUES (?, ?, ?, ?, ?, ?)", batches)
        new.executemany("INSERT OR IGNORE INTO questions VALUES (?, ?)", questions)
    # Another command may have done the same just now.
    with suppress(FileNotFoundError):
        old.rename(old.with_name("batches.sqlite.copied"))
