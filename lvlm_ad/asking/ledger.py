"""Which questions were sent in which batch, written down before each step, so that the same command can go on."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lvlm_ad.store import Database

__all__ = ["BatchLedger", "OpenBatch", "model_hash"]


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
            database.execute("INSERT INTO batches VALUES (?, ?, '', '', '', ?)", (label, model_hash(identity), begun))
            database.executemany("INSERT INTO questions VALUES (?, ?)", [(label, key) for key in keys])
        return label

    def record(self, label: str, column: Literal["file_id", "batch_id", "outcome"], value: str) -> None:
        """Write down the endpoint's name for a batch or its file, or how the batch ended."""
        with self._database.transaction(durable=True) as database:
            database.execute(f"UPDATE batches SET {column} = ? WHERE label = ?", (value, label))  # nosec B608 # noqa: S608 - a column of ours

    def ended(self, label: str, outcome: str) -> None:
        """Write down that everything a batch answered is stored, or why it came to nothing."""
        self.record(label, "outcome", outcome.encode("utf-8", "replace").decode("utf-8") or "ended")

    def open_batches(self, identity: Mapping[str, Any]) -> list[OpenBatch]:
        """Return a model's batches that have not ended, oldest first."""
        rows = self._database.read(
            "SELECT label, file_id, batch_id, begun FROM batches WHERE model = ? AND outcome = '' ORDER BY begun",
            (model_hash(identity),),
        )
        batches = []
        for label, file_id, batch_id, begun in rows:
            keys = self._database.read("SELECT key FROM questions WHERE label = ?", (label,))
            batches.append(OpenBatch(label, file_id, batch_id, begun, frozenset(key for (key,) in keys)))
        return batches

    def waits_in(self, identity: Mapping[str, Any], key: str) -> str | None:
        """Return the batch in which a question waits at the endpoint; None: in none."""
        rows = self._database.read(
            "SELECT batch_id FROM questions JOIN batches USING (label) "
            "WHERE key = ? AND model = ? AND outcome = '' AND file_id != ''",
            (key, model_hash(identity)),
        )
        return str(rows[0][0]) if rows else None


def model_hash(identity: Mapping[str, Any]) -> str:
    """Return the SHA-256 (hex) of a model's identity, by which the ledger knows it."""
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()
