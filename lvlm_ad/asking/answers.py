"""Stored answers: one SQLite file, keyed by exactly what was asked; an answer is written before it is used."""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from lvlm_ad.backend import Answer, Outcome, Usage
from lvlm_ad.backend.probabilities import Token, sound_tokens
from lvlm_ad.errors import StoreError
from lvlm_ad.store import DATABASE_ERRORS, open_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lvlm_ad.backend import Request

__all__ = ["AnswerStore", "is_sound", "storable"]

_LONGEST_TEXT, _LONGEST_DETAIL = 1_000_000, 1000
"""Characters kept of an answer, and of what stands beside it."""

SCHEMA_VERSION = 3

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
    images TEXT NOT NULL,
    batch INTEGER NOT NULL DEFAULT 0,
    tokens TEXT NOT NULL DEFAULT '[]'
) WITHOUT ROWID
"""

_STEPS = {
    2: "ALTER TABLE answers ADD COLUMN batch INTEGER NOT NULL DEFAULT 0",
    3: "ALTER TABLE answers ADD COLUMN tokens TEXT NOT NULL DEFAULT '[]'",
}


@dataclass
class _Row:
    """An answer that waits to be written."""

    statement: str
    values: tuple[Any, ...]
    error: Exception | None = None


class AnswerStore:
    """Answers on disk; safe for several threads and several processes.

    Once ``put`` has returned, the answer survives the death of the process and of the machine. Beside each answer
    stands what was asked (text, options, the pictures' digests, the model's identity; never a key), so that the file is
    a record by itself.

    Args:
        path: the file; created if absent.

    Attributes:
        path: the file.

    Raises:
        StoreError: the file cannot be opened, is no such store, or was written by a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._write_lock, self._read_lock, self._waiting_lock = (threading.Lock() for _ in range(3))
        self._waiting: list[_Row] = []
        self._db, self._reading = (self._opened() for _ in range(2))

    def _opened(self) -> sqlite3.Connection:
        return open_database(
            self.path,
            schema=_SCHEMA,
            version=SCHEMA_VERSION,
            name="answer store",
            advice="It holds paid answers: move it away rather than delete it.",
            steps=_STEPS,
        )

    def __len__(self) -> int:
        return int(self._read("SELECT count(*) FROM answers")[0][0])

    def known(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that have a stored answer.

        Raises:
            StoreError: the file cannot be read.
        """
        wanted = list(keys)
        found: set[str] = set()
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            found |= {row[0] for row in self._read(f"SELECT key FROM answers WHERE key IN ({marks})", part)}  # nosec B608 # noqa: S608 - marks only
        return found

    def get(self, key: str, *, since: datetime | None = None) -> Answer | None:
        """Return the stored answer, or None.

        Args:
            key: what was asked.
            since: only an answer stored at this time or later.

        Raises:
            StoreError: the file cannot be read.
        """
        rows = self._read(
            "SELECT text, outcome, input_tokens, cached_tokens, output_tokens, seconds, model, detail, batch, tokens "
            "FROM answers WHERE key = ? AND answered_at >= ?",
            (key, "" if since is None else _time(since)),
        )
        if not rows:
            return None
        row = rows[0]
        if not is_sound(text=row[0], outcome=row[1], counts=row[2:5], seconds=row[5], beside=row[6:8]):
            raise StoreError(
                f"The answer store {self.path} is damaged at {key}; 'lvlm-ad doctor --repair' saves what can be read."
            )
        usage = Usage(input_tokens=row[2], cached_tokens=row[3], output_tokens=row[4])
        outcome = cast("Outcome", row[1])
        return Answer(
            row[0], outcome, usage, row[5], row[6], row[7], batch=bool(row[8]), tokens=_tokens(row[9], row[0])
        )

    def put(
        self, key: str, answer: Answer, *, request: Request, identity: Mapping[str, Any], replace: bool = False
    ) -> None:
        """Store an answer, one that is ``storable``, durably; the first to a question stays, unless to be replaced.

        Raises:
            StoreError: the file cannot be written.
        """
        row = (
            key,
            answer.outcome,
            answer.text,
            answer.detail,
            answer.model,
            answer.usage.input_tokens,
            answer.usage.cached_tokens,
            answer.usage.output_tokens,
            answer.seconds,
            _time(datetime.now(UTC)),
            json.dumps(dict(identity), sort_keys=True),
            request.text,
            json.dumps(dict(request.options), sort_keys=True),
            json.dumps([picture.digest for picture in request.images]),
            answer.batch,
            json.dumps(
                [(token.start, token.text, token.alternatives) for token in answer.tokens], separators=(",", ":")
            ),
        )
        verb = "REPLACE" if replace else "IGNORE"
        mine = _Row(f"INSERT OR {verb} INTO answers VALUES ({','.join('?' * len(row))})", row)  # noqa: S608 - marks only
        with self._waiting_lock:
            self._waiting.append(mine)
        with self._write_lock:
            # Whoever comes to write writes for all who wait: one synchronisation of the disk, not one for each.
            with self._waiting_lock:
                rows, self._waiting = self._waiting, []
            if rows:
                self._write(rows)
        if mine.error is not None:
            raise StoreError(f"The answer store {self.path} cannot be written: {mine.error}.") from mine.error

    def close(self) -> None:
        """Close the file, once no thread is in it: closed under a thread's hands, SQLite ends the process."""
        with self._read_lock:
            self._reading.close()
        with self._write_lock:
            self._db.close()

    def _write(self, rows: Sequence[_Row]) -> None:
        """Write rows in one transaction; if that fails, one by one, so that one bad row costs no other answer."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for row in rows:
                    self._db.execute(row.statement, row.values)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is, each writer must hear of it
            if len(rows) == 1:
                rows[0].error = error
                return
            for row in rows:
                self._write([row])

    def _read(self, query: str, values: Sequence[str] = ()) -> list[Any]:
        try:
            with self._read_lock:
                return self._reading.execute(query, values).fetchall()
        except DATABASE_ERRORS as error:
            raise StoreError(f"The answer store {self.path} cannot be read: {error}.") from error


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def storable(answer: Answer) -> Answer:
    """Return an answer as it is kept: at most a million characters ("truncated" if there were more), all of them UTF-8.

    A server's JSON can hold lone surrogates, which no file can, and megabytes of text whatever ``max_tokens`` said.
    """
    cut = len(answer.text) > _LONGEST_TEXT
    return replace(
        answer,
        text=_encodable(answer.text[:_LONGEST_TEXT]),
        outcome="truncated" if cut and answer.outcome == "ok" else answer.outcome,
        detail=_encodable(answer.detail[:_LONGEST_DETAIL]),
        model=_encodable(answer.model[:_LONGEST_DETAIL]),
        tokens=sound_tokens(answer.tokens, answer.text[:_LONGEST_TEXT]),
    )


def is_sound(*, text: Any, outcome: Any, counts: Sequence[Any], seconds: Any, beside: Sequence[Any]) -> bool:
    """Whether what was read can be an answer that ``put`` wrote: a damaged page may give anything.

    Args:
        text: the answer's.
        outcome: how it ended.
        counts: of tokens.
        seconds: how long it took.
        beside: the other texts.
    """
    texts = all(isinstance(value, str) for value in (text, *beside))
    whole = all(value is None or isinstance(value, int) for value in counts)
    return texts and whole and outcome in get_args(Outcome) and isinstance(seconds, float) and isfinite(seconds)


def _tokens(stored: str, text: str) -> tuple[Token, ...]:
    """Read the tokens of an answer as ``put`` wrote them; whatever else the file holds gives none."""
    try:
        tokens = [Token(start, spelled, tuple(map(tuple, likely))) for start, spelled, likely in json.loads(stored)]
    except (RecursionError, TypeError, ValueError):
        return ()
    return sound_tokens(tokens, text)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
