"""The ledger of batches: which questions were sent off in which batch, written down before each step."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import StoreError
from lvlm_ad.store import DATABASE_ERRORS, open_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["BatchLedger", "OpenBatch"]

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    label TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    file_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    begun TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS questions (
    label TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (key, label)
) WITHOUT ROWID
"""

_WAITS = (
    "SELECT batch_id FROM questions JOIN batches USING (label) "
    "WHERE key = ? AND model = ? AND outcome = '' AND file_id != ''"
)
_QUESTIONS = "SELECT key FROM questions WHERE label = ?"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose answers were not fetched yet.

    Attributes:
        label: our name of it, kept with it at the endpoint too.
        file_id: the endpoint's name of its file; empty: not uploaded, as far as we know.
        batch_id: the endpoint's name of it; empty: not started, as far as we know.
        begun: when, UTC, ISO 8601.
        keys: its questions.
    """

    label: str
    file_id: str
    batch_id: str
    begun: str
    keys: frozenset[str]


class BatchLedger:
    """Batches on disk. Each line survives the death of the process and of the machine once its method has returned.

    Args:
        path: the file; created if absent.

    Raises:
        StoreError: the file cannot be opened, is no such ledger, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(
            path,
            schema=_SCHEMA,
            version=SCHEMA_VERSION,
            name="ledger of batches",
            advice="It knows which paid batches are under way: move it away rather than delete it.",
        )

    def begin(self, identity: Mapping[str, Any], keys: Sequence[str]) -> str:
        """Write down that questions are about to be sent off; return the batch's label."""
        label = uuid.uuid4().hex
        begun = datetime.now(UTC).isoformat(timespec="microseconds")
        with self._transaction() as db:
            db.execute("INSERT INTO batches VALUES (?, ?, '', '', '', ?)", (label, _model(identity), begun))
            db.executemany("INSERT INTO questions VALUES (?, ?)", [(label, key) for key in keys])
        return label

    def uploaded(self, label: str, file_id: str) -> None:
        """Write down the endpoint's name of a batch's file."""
        with self._transaction() as db:
            db.execute("UPDATE batches SET file_id = ? WHERE label = ?", (file_id, label))

    def started(self, label: str, batch_id: str) -> None:
        """Write down the endpoint's name of a batch."""
        with self._transaction() as db:
            db.execute("UPDATE batches SET batch_id = ? WHERE label = ?", (batch_id, label))

    def ended(self, label: str, outcome: str) -> None:
        """Write down that all there is to fetch of a batch is stored, or that it came to nothing."""
        readable = outcome.encode("utf-8", "replace").decode("utf-8")
        with self._transaction() as db:
            db.execute("UPDATE batches SET outcome = ? WHERE label = ?", (readable or "ended", label))

    def open_batches(self, identity: Mapping[str, Any]) -> list[OpenBatch]:
        """Return a model's batches that have not ended, oldest first."""
        with self._transaction() as db:
            rows = db.execute(
                "SELECT label, file_id, batch_id, begun FROM batches WHERE model = ? AND outcome = '' ORDER BY begun",
                (_model(identity),),
            ).fetchall()
            return [
                OpenBatch(
                    label, file_id, batch_id, begun, frozenset(key for (key,) in db.execute(_QUESTIONS, (label,)))
                )
                for label, file_id, batch_id, begun in rows
            ]

    def waits_in(self, identity: Mapping[str, Any], key: str) -> str | None:
        """Return the batch in which a question waits at the endpoint, None if it waits in none."""
        with self._transaction() as db:
            row = db.execute(_WAITS, (key, _model(identity))).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Close the file, once no thread is in it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
        except DATABASE_ERRORS as error:
            raise StoreError(f"The ledger of batches {self._path} cannot be used: {error}.") from error


def _model(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
