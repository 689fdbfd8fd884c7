"""Stored answers, keyed by exactly what was asked, and locks on the questions that are being asked.

An answer is on the disk before anything else is done with it. Of several commands on one output folder, one asks a
question and the others wait for its answer.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args

from lvlm_ad.backend import Answer, FirstToken, Outcome, Token, Usage
from lvlm_ad.backend.tokens import sound_first, sound_tokens
from lvlm_ad.errors import StoreError
from lvlm_ad.limits import ANSWER_CHARACTERS, ANSWER_SECONDS, ANSWER_TOKENS, DETAIL_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lvlm_ad.backend import Request
    from lvlm_ad.store import Database

__all__ = ["COLUMNS", "AnswerStore", "Locks", "invalid_columns", "is_alive", "repaired", "storable"]

_COUNTS = ("input_tokens", "cached_tokens", "output_tokens")
COLUMNS = ("key", "text", "outcome", *_COUNTS, "seconds", "model", "detail", "answered_at", "batch", "tokens", "first")
"""Columns that are read; the others tell what was asked."""


def _is_text(value: Any, longest: int = DETAIL_CHARACTERS) -> bool:
    return isinstance(value, str) and len(value) <= longest


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= ANSWER_TOKENS)


def _is_duration(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= ANSWER_SECONDS


_CHECKS: Mapping[str, tuple[Callable[[Any], bool], Any]] = {
    "key": (_is_text, None),
    "text": (partial(_is_text, longest=ANSWER_CHARACTERS), None),
    "outcome": (lambda value: value in get_args(Outcome), None),
    **dict.fromkeys(_COUNTS, (_is_count, None)),
    "seconds": (_is_duration, 0.0),
    **dict.fromkeys(("model", "detail", "answered_at"), (_is_text, "")),
}
"""Column -> a check of its values, and what replaces a value that fails it. Storing, reading, ``lvlm-ad doctor`` and
its repair all use these checks."""

_BEAT = 5.0
"""Seconds between two signs of life."""
_EXPIRY = 30.0
"""Seconds without a sign of life after which an owner counts as dead; it does at once if its process is gone."""

_Row = tuple[str, tuple[Any, ...], Future[None]]
"""A statement and its values that wait to be written, and the result for the thread that waits."""


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
        self._turn = threading.Lock()
        self._waiting: deque[_Row] = deque()

    def __len__(self) -> int:
        return int(self._database.read("SELECT count(*) FROM answers")[0][0])

    def get(self, key: str, *, since: datetime | None = None) -> Answer | None:
        """Return the stored answer, or None.

        Args:
            key: what was asked.
            since: only an answer stored at this time or later.

        Raises:
            StoreError: the file cannot be read.
        """
        rows = self._database.read(
            f"SELECT {', '.join(COLUMNS)} FROM answers WHERE key = ?",  # nosec B608 # noqa: S608 - names of ours
            (key,),
        )
        if not rows:
            return None
        row = dict(zip(COLUMNS, rows[0], strict=True))
        if wrong := invalid_columns(row):
            path = self._database.path
            raise StoreError(
                f"The answer store {path} holds an impossible value ({', '.join(wrong)}) in the answer {key}. "
                f"'lvlm-ad doctor --out {path.parent} --repair' repairs it and loses no text."
            )
        if since is not None and row["answered_at"] < _time(since):
            return None
        return Answer(
            row["text"],
            cast("Outcome", row["outcome"]),
            Usage(*(row[name] for name in _COUNTS)),
            row["seconds"],
            row["model"],
            row["detail"],
            batch=bool(row["batch"]),
            tokens=_tokens(row["tokens"], row["text"]),
            first=_first(row["first"]),
        )

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
        first = None if answer.first is None else json.dumps((answer.first.text, answer.first.alternatives))
        values = (
            *(key, answer.outcome, answer.text, answer.detail, answer.model),
            *(usage.input_tokens, usage.cached_tokens, usage.output_tokens, answer.seconds, _time(datetime.now(UTC))),
            *(json.dumps(dict(identity), sort_keys=True), request.text),
            json.dumps(dict(request.options), sort_keys=True),
            json.dumps([picture.digest for picture in request.images]),
            *(answer.batch, json.dumps(tokens, separators=(",", ":")), first),
        )
        verb, marks = "REPLACE" if replace else "IGNORE", ",".join("?" * len(values))
        written: Future[None] = Future()
        self._waiting.append((f"INSERT OR {verb} INTO answers VALUES ({marks})", values, written))  # noqa: S608 - marks only
        with self._turn:
            # The thread whose turn it is writes the rows of all that wait.
            if rows := [self._waiting.popleft() for _ in range(len(self._waiting))]:
                self._write(rows)
        written.result()

    def _write(self, rows: Sequence[_Row]) -> None:
        """Write rows in one transaction; if that fails, one by one, so that one bad row costs no other answer."""
        try:
            with self._database.transaction(durable=True) as database:
                for statement, values, _ in rows:
                    database.execute(statement, values)
                    # Nobody asks a question whose answer is stored.
                    database.execute("DELETE FROM locks WHERE key = ?", values[:1])
        except BaseException as error:  # noqa: BLE001 - each of the waiting threads must get an error, whatever it is
            if len(rows) == 1:
                rows[0][2].set_exception(error)
                return
            for row in rows:
                self._write([row])
        else:
            for _, _, written in rows:
                written.set_result(None)


def storable(answer: Answer) -> Answer:
    """Return an answer as it is stored: in UTF-8, with at most a million characters ("truncated" if there were more).

    A server's JSON can contain lone surrogates, which no file can, megabytes of text whatever ``max_tokens`` says, and
    impossible token counts; those become unknown.
    """
    text, usage = answer.text[:ANSWER_CHARACTERS], answer.usage
    cut = len(answer.text) > ANSWER_CHARACTERS
    return replace(
        answer,
        text=_encodable(text),
        outcome="truncated" if cut and answer.outcome == "ok" else answer.outcome,
        usage=Usage(*(_valid_or_default(name, getattr(usage, name)) for name in _COUNTS)),
        seconds=float(_valid_or_default("seconds", answer.seconds)),
        detail=_encodable(str(answer.detail or "")[:DETAIL_CHARACTERS]),
        model=_encodable(str(answer.model or "")[:DETAIL_CHARACTERS]),
        tokens=sound_tokens(answer.tokens, text),
        first=sound_first(answer.first),
    )


def invalid_columns(row: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row whose values no answer can have; a damaged page of the file may hold anything."""
    return [name for name, (is_valid, _) in _CHECKS.items() if not is_valid(row.get(name))]


def repaired(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a row with its impossible values replaced; None if its key, text or outcome is damaged."""
    text, outcome = row.get("text"), row.get("outcome")
    if isinstance(text, str) and len(text) > ANSWER_CHARACTERS:
        outcome = "truncated" if outcome == "ok" else outcome
        row = {**row, "text": text[:ANSWER_CHARACTERS], "outcome": outcome}
    row = {**row, **{name: _CHECKS[name][1] for name in invalid_columns(row)}}
    return None if invalid_columns(row) else row


def _valid_or_default(column: str, value: Any) -> Any:
    is_valid, default = _CHECKS[column]
    return value if is_valid(value) else default


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="microseconds")


def _tokens(stored: str, text: str) -> tuple[Token, ...]:
    """Read the tokens of an answer as ``put`` writes them; anything else gives none."""
    try:
        tokens = [Token(start, spelled, tuple(map(tuple, likely))) for start, spelled, likely in json.loads(stored)]
    except (RecursionError, TypeError, ValueError):
        return ()
    return sound_tokens(tokens, text)


def _first(stored: str | None) -> FirstToken | None:
    """Read the first token of an answer as ``put`` writes it; anything else gives none."""
    try:
        text, likely = json.loads(stored or "")
        return sound_first(FirstToken(text, tuple(map(tuple, likely))))
    except (RecursionError, TypeError, ValueError):
        return None


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


class Locks:
    """Locks in ``answers.sqlite``; safe for several threads and several processes.

    A lock lasts while its owner lives: while its process exists, if this can be seen from here, and has given a sign of
    life in the last 30 seconds. Locks need not survive a power cut, so that taking one never waits for the disk.

    Args:
        database: what ``store.open_answers`` returns; to be closed after this.

    Raises:
        StoreError: the file cannot be read or written; ``take`` and ``release`` raise it too.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner = uuid.uuid4().hex
        # What a killed process left behind.
        for owner, host, pid, seen in self._database.read("SELECT owner, host, pid, seen FROM owners"):
            if not is_alive(host, pid, seen):
                self._forget(owner)
        self._sign()
        self._closed = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lvlm-ad locks", daemon=True)
        self._heart.start()

    def take(self, key: str) -> bool:
        """Lock a question; return False while another living command has the lock."""
        query = "SELECT host, pid, seen FROM locks JOIN owners USING (owner) WHERE key = ? AND owner != ?"
        # Many threads may wait for answers of another command; they must not keep it from writing.
        if any(is_alive(*other) for other in self._database.read(query, (key, self._owner))):
            return False
        with self._database.transaction(durable=False) as database:
            if any(is_alive(*other) for other in database.execute(query, (key, self._owner))):
                return False
            database.execute("INSERT OR REPLACE INTO locks VALUES (?, ?)", (key, self._owner))
            return True

    def release(self, key: str) -> None:
        """Give a lock back; storing the answer has done so already."""
        if not self._database.read("SELECT 1 FROM locks WHERE key = ? AND owner = ?", (key, self._owner)):
            return
        with self._database.transaction(durable=False) as database:
            database.execute("DELETE FROM locks WHERE key = ? AND owner = ?", (key, self._owner))

    def close(self) -> None:
        """Give all locks back. Where the file cannot be written, they end with this process."""
        self._closed.set()
        self._heart.join()
        with suppress(StoreError):
            self._forget(self._owner)

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


def is_alive(host: str, pid: Any, seen: Any) -> bool:
    """Return whether a process that gave its last sign of life at the time ``seen`` is alive."""
    if not isinstance(seen, int | float) or not isinstance(pid, int) or abs(pid) >= 1 << 31:
        return False
    # After a clock was set back, a sign of life seems to come from the future; it counts all the same.
    if time.time() - seen > _EXPIRY:
        return False
    if host == socket.gethostname() and os.name == "posix":
        try:
            os.kill(pid, 0)
        except OSError as error:
            # A process of another user runs, though it may not be signalled.
            return not isinstance(error, ProcessLookupError)
    return True
