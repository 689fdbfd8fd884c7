"""Stored answers, keyed by exactly what was asked; an answer is on the disk before anything else is done with it."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from lvlm_ad.backend import Answer, Outcome, Usage
from lvlm_ad.backend.probabilities import Token, sound_tokens
from lvlm_ad.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lvlm_ad.backend import Request
    from lvlm_ad.store import Database

__all__ = ["AnswerStore", "is_sound", "storable"]

_LONGEST_TEXT, _LONGEST_DETAIL = 1_000_000, 1000
"""Characters kept of an answer's text, and of its model and detail."""
_AT_ONCE = 500
"""Keys in one query."""


@dataclass
class _Row:
    """An answer that waits to be written."""

    statement: str
    values: tuple[Any, ...]
    error: Exception | None = None


class AnswerStore:
    """Answers in ``answers.sqlite``; safe for several threads and several processes.

    Once ``put`` has returned, the answer survives the death of the process and of the machine. The question (text,
    options, digests of the pictures, the model's identity; never a key) is stored beside its answer, so that the file
    is a record by itself.

    Args:
        database: what ``store.open_answers`` returns.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from lvlm_ad.backend import Answer, Request
        >>> from lvlm_ad.store import open_answers
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     database = open_answers(Path(folder) / "answers.sqlite")
        ...     answers, request = AnswerStore(database), Request((), "Is it broken?")
        ...     answers.put(request.key({}), Answer("No."), request=request, identity={})
        ...     print(answers.get(request.key({})).text)
        ...     database.close()
        No.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn, self._waiting_lock = threading.Lock(), threading.Lock()
        self._waiting: list[_Row] = []

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self._database.path.parent

    def __len__(self) -> int:
        return int(self._database.read("SELECT count(*) FROM answers")[0][0])

    def known(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that have a stored answer.

        Raises:
            StoreError: the file cannot be read.
        """
        wanted = list(keys)
        stored: set[str] = set()
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._database.read(f"SELECT key FROM answers WHERE key IN ({marks})", part)  # nosec B608 # noqa: S608 - marks only
            stored |= {row[0] for row in rows}
        return stored

    def get(self, key: str, *, since: datetime | None = None) -> Answer | None:
        """Return the stored answer, or None.

        Args:
            key: what was asked.
            since: only an answer stored at this time or later.

        Raises:
            StoreError: the file cannot be read.
        """
        rows = self._database.read(
            "SELECT text, outcome, input_tokens, cached_tokens, output_tokens, seconds, model, detail, batch, tokens "
            "FROM answers WHERE key = ? AND answered_at >= ?",
            (key, "" if since is None else _time(since)),
        )
        if not rows:
            return None
        text, outcome, *counts, seconds, model, detail, batch, tokens = rows[0]
        if not is_sound(text=text, outcome=outcome, counts=counts, seconds=seconds, beside=(model, detail)):
            raise StoreError(
                f"The answer store {self._database.path} is damaged at {key}; 'lvlm-ad doctor --repair' saves what can "
                "be read."
            )
        usage = Usage(*counts)
        read = _tokens(tokens, text)
        return Answer(text, cast("Outcome", outcome), usage, seconds, model, detail, batch=bool(batch), tokens=read)

    def put(
        self, key: str, answer: Answer, *, request: Request, identity: Mapping[str, Any], replace: bool = False
    ) -> None:
        """Store an answer durably.

        Threads that store at the same time share one transaction, so that they wait for the disk once together.

        Args:
            key: what was asked.
            answer: the answer, ``storable``.
            request: the question.
            identity: the model's identity.
            replace: take the place of an answer that is stored already; otherwise the first one stays.

        Raises:
            StoreError: the file cannot be written.
        """
        usage = answer.usage
        tokens = [(token.start, token.text, token.alternatives) for token in answer.tokens]
        values = (
            *(key, answer.outcome, answer.text, answer.detail, answer.model),
            *(usage.input_tokens, usage.cached_tokens, usage.output_tokens, answer.seconds, _time(datetime.now(UTC))),
            *(json.dumps(dict(identity), sort_keys=True), request.text),
            json.dumps(dict(request.options), sort_keys=True),
            json.dumps([picture.digest for picture in request.images]),
            *(answer.batch, json.dumps(tokens, separators=(",", ":"))),
        )
        verb, marks = "REPLACE" if replace else "IGNORE", ",".join("?" * len(values))
        mine = _Row(f"INSERT OR {verb} INTO answers VALUES ({marks})", values)  # noqa: S608 - marks only
        with self._waiting_lock:
            self._waiting.append(mine)
        with self._turn:
            # The thread whose turn it is writes the rows of all that wait.
            with self._waiting_lock:
                rows, self._waiting = self._waiting, []
            if rows:
                self._write(rows)
        if mine.error is not None:
            raise mine.error

    def _write(self, rows: Sequence[_Row]) -> None:
        """Write rows in one transaction; if that fails, one by one, so that one bad row costs no other answer."""
        try:
            with self._database.transaction(durable=True) as database:
                for row in rows:
                    database.execute(row.statement, row.values)
        except Exception as error:  # noqa: BLE001 - each of the waiting threads must get an error, whatever it is
            if len(rows) == 1:
                rows[0].error = error
                return
            for row in rows:
                self._write([row])


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def storable(answer: Answer) -> Answer:
    """Return an answer as it is kept: at most a million characters ("truncated" if there were more), all of them UTF-8.

    A server's JSON can contain lone surrogates, which no file can, and megabytes of text whatever ``max_tokens`` says.
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
    """Whether a stored row can be an answer: reading a damaged page may give anything.

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
    """Read the tokens of an answer as ``put`` writes them; anything else gives none."""
    try:
        tokens = [Token(start, spelled, tuple(map(tuple, likely))) for start, spelled, likely in json.loads(stored)]
    except (RecursionError, TypeError, ValueError):
        return ()
    return sound_tokens(tokens, text)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
