"""Locks on questions: of several processes on one output folder, one asks and the others wait for its answer."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from lvlm_ad.errors import StoreError
from lvlm_ad.store import DATABASE_ERRORS, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Locks"]

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS owners (
    owner TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    seen REAL NOT NULL
) WITHOUT ROWID
"""

_BEAT = 5.0
"""Seconds between two signs of life."""
EXPIRY = 30.0
"""Seconds without a sign of life after which an owner is taken for dead; at once if its process is gone."""


class Locks:
    """Locks on disk, beside the answers; safe for several threads and several processes.

    A claim holds while its owner lives: while its process exists, if that can be told, and has given a sign of life in
    the last 30 seconds. Locks need not survive a power cut, so they have a file of their own that is not synchronised.

    Args:
        path: the file; created if absent.

    Raises:
        StoreError: the file cannot be opened or is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owner = uuid.uuid4().hex
        self._host = socket.gethostname()
        self._lock = threading.Lock()
        self._db = open_database(
            path,
            schema=_SCHEMA,
            version=SCHEMA_VERSION,
            name="file of claims",
            advice="Delete it: it holds no answers.",
        )
        self._write("PRAGMA synchronous=OFF")
        # What a process that was killed has left.
        for owner, host, pid, seen in self._write("SELECT owner, host, pid, seen FROM owners"):
            if not self._alive(host, pid, seen):
                self._forget(owner)
        self._write("INSERT INTO owners VALUES (?, ?, ?, ?)", (self._owner, self._host, os.getpid(), time.time()))
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lvlm-ad claims", daemon=True)
        self._heart.start()

    def take(self, key: str) -> bool:
        """Claim a question.

        Returns:
            Whether it is ours now; False while another lives who has claimed it.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._transaction():
            row = self._db.execute(
                "SELECT host, pid, seen FROM claims JOIN owners USING (owner) WHERE key = ? AND owner != ?",
                (key, self._owner),
            ).fetchone()
            if row is not None and self._alive(*row):
                return False
            self._db.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, self._owner))
            return True

    def release(self, key: str) -> None:
        """Give a claim up.

        Raises:
            StoreError: the file cannot be written.
        """
        self._write("DELETE FROM claims WHERE key = ? AND owner = ?", (key, self._owner))

    def others(self) -> int:
        """Count the other living owners.

        Raises:
            StoreError: the file cannot be read.
        """
        rows = self._write("SELECT owner, host, pid, seen FROM owners")
        return sum(owner != self._owner and self._alive(host, pid, seen) for owner, host, pid, seen in rows)

    def close(self) -> None:
        """Give all claims up and close the file. Where it cannot be written, they end with this process."""
        self._closed.set()
        self._heart.join()
        with suppress(StoreError):
            self._forget(self._owner)
        with self._lock:
            self._db.close()

    def _forget(self, owner: str) -> None:
        self._write("DELETE FROM claims WHERE owner = ?", (owner,))
        self._write("DELETE FROM owners WHERE owner = ?", (owner,))

    def _alive(self, host: str, pid: int, seen: float) -> bool:
        # A clock set back makes a sign of life come from the future; that is a sign of life too.
        if time.time() - seen > EXPIRY:
            return False
        return host != self._host or os.name != "posix" or _runs(pid)

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT):
            try:
                # Written anew if it is gone: a process that was suspended for long was taken for dead.
                self._write(
                    "INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)",
                    (self._owner, self._host, os.getpid(), time.time()),
                )
            except StoreError:
                # The next beat may succeed; if the disk is gone, storing an answer says so.
                continue

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                finally:
                    self._db.execute("COMMIT")
            except DATABASE_ERRORS as error:
                raise StoreError(f"{self._path} cannot be written: {error}.") from error

    def _write(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[str, str, int, float]]:
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchall()
        except DATABASE_ERRORS as error:
            raise StoreError(f"{self._path} cannot be written: {error}.") from error


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It runs and belongs to somebody else.
        return True
    return True
