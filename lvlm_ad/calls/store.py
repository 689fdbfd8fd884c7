"""Stored answers: one SQLite file, keyed by exactly what was asked; an answer is written before it is used."""

from __future__ import annotations

import json
import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lvlm_ad.backend import Answer, Outcome, Usage
from lvlm_ad.errors import StoreError
from lvlm_ad.storage import open_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lvlm_ad.backend import Request

__all__ = ["AnswerStore"]

SCHEMA_VERSION = 1

_SCHEMA = """
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
    images TEXT NOT NULL
) WITHOUT ROWID
"""


class AnswerStore:
    """Answers on disk; safe for several threads and several processes.

    Once ``put`` has returned, the answer survives the death of the process and of the machine. Beside each answer
    stands what was asked (text, options, the pictures' digests, the model's identity; never a key), so that the file is
    a record by itself.

    Args:
        path: the file; created if absent.

    Raises:
        StoreError: the file cannot be opened, is no such store, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = open_database(
            path,
            schema=_SCHEMA,
            version=SCHEMA_VERSION,
            name="answer store",
            advice="It holds paid answers: move it away rather than delete it.",
        )

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def known(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that have a stored answer."""
        wanted = list(keys)
        found: set[str] = set()
        with self._lock:
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                rows = self._db.execute(f"SELECT key FROM answers WHERE key IN ({marks})", part)  # noqa: S608 - marks only
                found |= {row[0] for row in rows}
        return found

    def get(self, key: str) -> Answer | None:
        """Return the stored answer, or None.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            with self._lock:
                row = self._db.execute(
                    "SELECT text, outcome, input_tokens, cached_tokens, output_tokens, seconds, model, detail "
                    "FROM answers WHERE key = ?",
                    (key,),
                ).fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"The answer store {self._path} cannot be read: {error}.") from error
        if row is None:
            return None
        usage = Usage(input_tokens=row[2], cached_tokens=row[3], output_tokens=row[4])
        return Answer(row[0], cast("Outcome", row[1]), usage, row[5], row[6], row[7])

    def put(self, key: str, answer: Answer, *, request: Request, identity: Mapping[str, Any]) -> None:
        """Store an answer durably; the first answer to a question stays.

        Raises:
            StoreError: the file cannot be written.
        """
        row = (
            key,
            answer.outcome,
            _storable(answer.text),
            _storable(answer.detail),
            _storable(answer.model),
            answer.usage.input_tokens,
            answer.usage.cached_tokens,
            answer.usage.output_tokens,
            answer.seconds,
            datetime.now(UTC).isoformat(timespec="seconds"),
            json.dumps(dict(identity), sort_keys=True),
            request.text,
            json.dumps(dict(request.options), sort_keys=True),
            json.dumps([picture.digest for picture in request.images]),
        )
        try:
            with self._lock:
                self._db.execute(f"INSERT OR IGNORE INTO answers VALUES ({','.join('?' * len(row))})", row)  # noqa: S608
        except sqlite3.Error as error:
            raise StoreError(f"The answer store {self._path} cannot be written: {error}.") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _storable(text: str) -> str:
    """Replace lone surrogates, which a server's JSON can hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")
