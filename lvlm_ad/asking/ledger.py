"""The ledger of batches: which questions were sent in which batch, written down before each step."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lvlm_ad.store import Database

__all__ = ["BatchLedger", "OpenBatch"]


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose answers have not been fetched yet.

    Attributes:
        label: our name for it; the endpoint keeps it with the batch.
        file_id: the endpoint's name for its file; empty: not uploaded, as far as we know.
        batch_id: the endpoint's name for it; empty: not started, as far as we know.
        begun: when, UTC, ISO 8601.
        keys: its questions.
    """

    label: str
    file_id: str
    batch_id: str
    begun: str
    keys: frozenset[str]


class BatchLedger:
    """Batches in ``answers.sqlite``; once a method has returned, what it wrote survives a power cut.

    Args:
        database: what ``store.open_answers`` returns.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, identity: Mapping[str, Any], keys: Sequence[str]) -> str:
        """Write down that questions are about to be sent; return the batch's label."""
        label = uuid.uuid4().hex
        begun = datetime.now(UTC).isoformat(timespec="microseconds")
        with self._database.transaction(durable=True) as database:
            database.execute("INSERT INTO batches VALUES (?, ?, '', '', '', ?)", (label, _model(identity), begun))
            database.executemany("INSERT INTO questions VALUES (?, ?)", [(label, key) for key in keys])
        return label

    def uploaded(self, label: str, file_id: str) -> None:
        """Write down the endpoint's name for a batch's file."""
        self._set("file_id", file_id, label)

    def started(self, label: str, batch_id: str) -> None:
        """Write down the endpoint's name for a batch."""
        self._set("batch_id", batch_id, label)

    def ended(self, label: str, outcome: str) -> None:
        """Write down that everything a batch answered is stored, or why it came to nothing."""
        self._set("outcome", outcome.encode("utf-8", "replace").decode("utf-8") or "ended", label)

    def open_batches(self, identity: Mapping[str, Any]) -> list[OpenBatch]:
        """Return a model's batches that have not ended, oldest first."""
        rows = self._database.read(
            "SELECT label, file_id, batch_id, begun FROM batches WHERE model = ? AND outcome = '' ORDER BY begun",
            (_model(identity),),
        )
        return [
            OpenBatch(label, file_id, batch_id, begun, frozenset(self._keys(label)))
            for label, file_id, batch_id, begun in rows
        ]

    def waits_in(self, identity: Mapping[str, Any], key: str) -> str | None:
        """Return the batch in which a question waits at the endpoint; None: in none."""
        rows = self._database.read(
            "SELECT batch_id FROM questions JOIN batches USING (label) "
            "WHERE key = ? AND model = ? AND outcome = '' AND file_id != ''",
            (key, _model(identity)),
        )
        return str(rows[0][0]) if rows else None

    def _keys(self, label: str) -> list[str]:
        return [key for (key,) in self._database.read("SELECT key FROM questions WHERE label = ?", (label,))]

    def _set(self, column: str, value: str, label: str) -> None:
        with self._database.transaction(durable=True) as database:
            database.execute(f"UPDATE batches SET {column} = ? WHERE label = ?", (value, label))  # nosec B608 # noqa: S608 - a column of ours


def _model(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
