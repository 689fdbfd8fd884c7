"""Locks on questions: of several commands on one output folder, one asks and the others wait for its answer."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from lvlm_ad.errors import StoreError

if TYPE_CHECKING:
    from lvlm_ad.store import Database

__all__ = ["Locks", "is_alive"]

_BEAT = 5.0
"""Seconds between two signs of life."""
_EXPIRY = 30.0
"""Seconds without a sign of life after which an owner counts as dead; it does at once if its process is gone."""


class Locks:
    """Locks in ``answers.sqlite``; safe for several threads and several processes.

    A lock lasts while its owner lives: while its process exists, if this can be seen from here, and has given a sign of
    life in the last 30 seconds. Locks need not survive a power cut, so that taking one never waits for the disk.

    Args:
        database: what ``store.open_answers`` returns; to be closed after this.

    Raises:
        StoreError: the file cannot be written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = uuid.uuid4().hex
        # What a killed process left behind.
        for owner, host, pid, seen in self._owners():
            if not is_alive(host, pid, seen):
                self._forget(owner)
        self._sign()
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lvlm-ad locks", daemon=True)
        self._heart.start()

    def take(self, key: str) -> bool:
        """Lock a question.

        Returns:
            Whether the lock is ours now; False while another living command has it.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._database.transaction(durable=False) as database:
            other = database.execute(
                "SELECT host, pid, seen FROM locks JOIN owners USING (owner) WHERE key = ? AND owner != ?",
                (key, self._owner),
            ).fetchone()
            if other is not None and is_alive(*other):
                return False
            database.execute("INSERT OR REPLACE INTO locks VALUES (?, ?)", (key, self._owner))
            return True

    def release(self, key: str) -> None:
        """Give a lock back.

        Raises:
            StoreError: the file cannot be written.
        """
        with self._database.transaction(durable=False) as database:
            database.execute("DELETE FROM locks WHERE key = ? AND owner = ?", (key, self._owner))

    def close(self) -> None:
        """Give all locks back. Where the file cannot be written, they end with this process."""
        self._closed.set()
        self._heart.join()
        with suppress(StoreError):
            self._forget(self._owner)

    def _owners(self) -> list[tuple[str, str, int, float]]:
        return self._database.read("SELECT owner, host, pid, seen FROM owners")

    def _forget(self, owner: str) -> None:
        with self._database.transaction(durable=False) as database:
            database.execute("DELETE FROM locks WHERE owner = ?", (owner,))
            database.execute("DELETE FROM owners WHERE owner = ?", (owner,))

    def _sign(self) -> None:
        """Give a sign of life; the row is gone if this process was suspended for so long that it counted as dead."""
        row = (self._owner, socket.gethostname(), os.getpid(), time.time())
        with self._database.transaction(durable=False) as database:
            database.execute("INSERT OR REPLACE INTO owners VALUES (?, ?, ?, ?)", row)

    def _beat(self) -> None:
        while not self._closed.wait(_BEAT):
            # The next beat may succeed; if the disk is gone, storing an answer says so.
            with suppress(StoreError):
                self._sign()


def is_alive(host: str, pid: int, seen: float) -> bool:
    """Return whether the owner of a lock lives.

    Args:
        host: the name of its machine.
        pid: its process.
        seen: the time of its last sign of life.
    """
    # After a clock was set back, a sign of life seems to come from the future; it counts all the same.
    if time.time() - seen > _EXPIRY:
        return False
    return host != socket.gethostname() or os.name != "posix" or _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # It runs and belongs to another user.
        return True
    return True
