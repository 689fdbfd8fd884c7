"""Asks many questions in files that the endpoint answers within a day, at a batch's price.

Whatever happens in between, the same command goes on: what was sent off is in the ledger, what came back in the store.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lvlm_ad.asking.answers import storable
from lvlm_ad.asking.budget import BudgetSpentError
from lvlm_ad.backend import Answer, Picture, Request
from lvlm_ad.errors import FatalError, LvlmAdError, NotFoundError, RejectedError, TransientError, UnaskedError

if TYPE_CHECKING:
    from lvlm_ad.asking.answers import AnswerStore
    from lvlm_ad.asking.ledger import BatchLedger, OpenBatch
    from lvlm_ad.asking.locks import Locks
    from lvlm_ad.backend import Batch, BatchBackend

__all__ = ["Batcher", "Question"]

_ROUNDS = 3
"""How often questions are sent off: an expired batch leaves some unanswered, and they go into the next."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two looks at a batch: at first, half as much again each time, and at most."""
_TRIES = 8
"""How often the endpoint is called before it is taken to be out of reach."""
_DAY = 86400.0
_ELSEWHERE = Request((), "(asked in a batch of another run)")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its key.

    Attributes:
        key: the hash of what is asked.
        request: the question, pictures included.
    """

    key: str
    request: Request


@dataclass
class _File:
    """A batch file while it is written."""

    file: IO[bytes]
    keys: list[str] = field(default_factory=list)
    size: int = 0


class OutOfReachError(FatalError):
    """The endpoint gave no answer to any try; what was sent to it may have arrived."""


class Batcher:
    """Sends questions off in batches and stores the answers.

    Args:
        backend: whom to ask.
        store: where answers are kept.
        ledger: where batches are written down.
        note: is told what the user should know.
        locks: what other processes are asking.
        most: from a question to what it may cost at most, in USD.
        allowance: USD that the questions sent off may cost together; None: no limit.
        stale: from a question and its stored answer to whether it is to be asked anew; None: none is.
        sleep: waits between two looks at a batch; for tests.

    Attributes:
        answered: keys of the questions whose answers came in a batch now.
        reasons: key -> the error that says why there is no answer.
    """

    def __init__(
        self,
        backend: BatchBackend,
        store: AnswerStore,
        ledger: BatchLedger,
        *,
        locks: Locks,
        note: Callable[[str], None],
        most: Callable[[Request], float] = lambda _: 0.0,
        allowance: float | None = None,
        stale: Callable[[Request, Answer], bool] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._backend = backend
        self._identity = backend.identity()
        self._store = store
        self._ledger = ledger
        self._note = note
        self._locks = locks
        self._most, self._allowance, self._planned = most, allowance, 0.0
        self._stale = stale or (lambda _request, _answer: False)
        self._sleep = sleep
        self._asked: dict[str, Request] = {}
        self._refused: dict[str, LvlmAdError] = {}
        self.answered: set[str] = set()
        self.reasons: dict[str, LvlmAdError] = {}

    def run(self, questions: Callable[[], Iterable[Question]], progress: Callable[[int, int], None]) -> None:
        """Have every question answered that has no stored answer.

        Args:
            questions: gives the questions, each time anew: their pictures are not kept.
            progress: hears how many questions of how many under way are answered.

        Raises:
            FatalError: the endpoint refuses the batch, or the account is exhausted.
            StoreError: the store or the ledger cannot be used.
        """
        self._backend.check_batch()
        name = f"batches of {hashlib.sha256(repr(sorted(self._identity.items())).encode()).hexdigest()}"
        said = False
        # One process at a time: what another is just sending off must not be taken for what a killed one left.
        while not self._locks.take(name):
            if not said:
                self._note("Another process is at this model's batches; waiting for it.")
                said = True
            self._sleep(_SHORTEST_PAUSE)
        try:
            self._rounds(questions, progress)
        finally:
            self._locks.release(name)

    def _rounds(self, questions: Callable[[], Iterable[Question]], progress: Callable[[int, int], None]) -> None:
        for _ in range(_ROUNDS):
            waiting = self._recovered()
            sent = self._send_off(questions(), {key for batch in waiting for key in batch.keys})
            waiting = self._recovered() if sent else waiting
            if not waiting:
                break
            if not self._collect(waiting, progress):
                break

    def _recovered(self) -> list[OpenBatch]:
        """Return the batches under way; one that broke off while it was sent is finished or forgotten."""
        found = []
        for batch in self._ledger.open_batches(self._identity):
            batch_id = batch.batch_id
            try:
                batch_id = batch_id or self._called(partial(self._backend.find_batch, batch.label))
                if not batch_id and batch.file_id:
                    batch_id = self._started(batch.file_id, batch.label)
            except (NotFoundError, RejectedError) as error:
                self._note(f"A batch that was broken off cannot be taken up: {error}")
            if not batch_id:
                self._ledger.ended(batch.label, "never sent")
                continue
            if not batch.batch_id:
                self._ledger.started(batch.label, batch_id)
            found.append(replace(batch, batch_id=batch_id))
        return found

    def _send_off(self, questions: Iterable[Question], waiting: set[str]) -> int:
        """Write the questions that have no answer into files within the endpoint's limits, and send each off."""
        self._asked, self.reasons, self._planned = {}, {}, 0.0
        sent, current = 0, None
        _clear(self._store.folder)
        with tempfile.TemporaryDirectory(dir=self._store.folder, prefix=".batch-") as folder:
            for question in questions:
                key = question.key
                if key in self._asked:
                    continue
                # Answers are stored with what was asked; the pictures' digests are enough of the pictures for that.
                pictures = tuple(Picture(b"", one.media_type, one.digest) for one in question.request.images)
                self._asked[key] = replace(question.request, images=pictures)
                if not self._to_send(question, waiting):
                    continue
                line = self._backend.batch_line(key, question.request)
                if current and (
                    len(current.keys) >= self._backend.max_batch_requests
                    or current.size + len(line) > self._backend.max_batch_bytes
                ):
                    sent += self._send(current)
                    current = None
                if current is None:
                    current = _File((Path(folder) / f"{sent}.jsonl").open("wb"))
                current.file.write(line)
                current.keys.append(key)
                current.size += len(line)
            if current:
                sent += self._send(current)
        return sent

    def _to_send(self, question: Question, waiting: set[str]) -> bool:
        """Say whether a question goes into a file now; it is then claimed, and its cost is planned."""
        key = question.key
        if key in waiting or key in self.answered:
            # Paid for by this command or by one that was interrupted: the limit holds for both together.
            self._planned += self._most(question.request)
            return False
        if self._is_answered(question):
            return False
        if key in self._refused:
            self.reasons[key] = self._refused[key]
            return False
        most = self._most(question.request)
        if self._allowance is not None and self._planned + most > self._allowance:
            self.reasons[key] = BudgetSpentError("not asked: it could exceed the limit on what may be spent")
            return False
        if not self._locks.take(key):
            self.reasons[key] = UnaskedError("not asked: another process is asking it; the same command goes on")
            return False
        self._planned += most
        return True

    def _is_answered(self, question: Question) -> bool:
        stored = self._store.get(question.key)
        if stored is None:
            return False
        return not self._stale(question.request, stored)

    def _send(self, batch: _File) -> int:
        """Send one file off, each step written down before the next; returns how many questions it holds."""
        batch.file.close()
        path = Path(batch.file.name)
        label = self._ledger.begin(self._identity, batch.keys)
        try:
            file_id = self._called(lambda: self._backend.upload_batch(path))
            self._ledger.uploaded(label, file_id)
            batch_id = self._started(file_id, label)
        except (FatalError, RejectedError) as error:
            # Refused, it waits for nothing; out of reach, it may: then the next run looks for it.
            if not isinstance(error, OutOfReachError):
                self._ledger.ended(label, str(error))
            raise FatalError(f"The batch was not taken: {error}") from error
        finally:
            path.unlink()
            for key in batch.keys:
                self._locks.release(key)
        self._ledger.started(label, batch_id)
        self._note(f"Batch {batch_id}: {len(batch.keys)} questions sent off; answers come within a day.")
        return len(batch.keys)

    def _started(self, file_id: str, label: str) -> str:
        """Start a batch. After a lost reply it may be there already: then it is not started twice."""
        for attempt in range(1, _TRIES + 1):
            try:
                return self._backend.start_batch(file_id, label)
            except TransientError as error:
                if attempt == _TRIES:
                    raise OutOfReachError(f"The endpoint cannot be reached: {error}") from error
                self._sleep(_pause(error, attempt))
            found: str | None = self._called(partial(self._backend.find_batch, label))
            if found:
                return found
        raise AssertionError  # the loop returns or raises

    def _collect(self, waiting: list[OpenBatch], progress: Callable[[int, int], None]) -> bool:
        """Wait for batches and store what they answered; returns whether that is anything."""
        self._note(
            "Waiting for batches. They go on at the endpoint without this program: interrupt it as you like, the same "
            "command picks them up."
        )
        total = sum(len(batch.keys) for batch in waiting)
        open_ones = {batch.label: batch for batch in waiting}
        counts = dict.fromkeys(open_ones, 0)
        before = len(self.answered)
        pause = _SHORTEST_PAUSE
        while open_ones:
            for label, batch in list(open_ones.items()):
                try:
                    found: Batch = self._called(partial(self._backend.batch, batch.batch_id))
                    counts[label] = found.answered
                    if found.state == "waiting":
                        continue
                    del open_ones[label]
                    if found.state == "failed":
                        self._ledger.ended(label, found.detail)
                        raise FatalError(f"Batch {batch.batch_id} was refused by the endpoint: {found.detail}")
                    self._store_answers(batch, found)
                except NotFoundError as error:
                    open_ones.pop(label, None)
                    self._ledger.ended(label, str(error))
                    self._note(f"Batch {batch.batch_id} is gone, its questions are asked anew next time: {error}")
                counts[label] = len(batch.keys)
            progress(sum(counts.values()), total)
            if open_ones:
                self._sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
        return len(self.answered) > before

    def _store_answers(self, batch: OpenBatch, found: Batch) -> None:
        answered: set[str] = set()
        for key, answer in self._called(lambda: list(self._backend.batch_answers(batch.batch_id))):
            if key not in batch.keys:
                continue
            if not isinstance(answer, Answer):
                self.reasons[key] = answer
                if not isinstance(answer, TransientError):
                    self._refused[key] = answer
                continue
            # One that is no question of this run (another selection of images) is kept all the same: it is paid for.
            request = self._asked.get(key, _ELSEWHERE)
            # What was stored before the batch began was to be replaced, or it would not have been in it.
            older = self._store.get(key, since=datetime.fromisoformat(batch.begun)) is None
            self._store.put(key, storable(answer), request=request, identity=self._identity, replace=older)
            self.reasons.pop(key, None)
            answered.add(key)
        self.answered |= answered
        self._ledger.ended(batch.label, found.detail)
        missing = len(batch.keys) - len(answered)
        if missing:
            self._note(
                f"Batch {batch.batch_id} ({found.detail}) left {missing} of {len(batch.keys)} questions unanswered."
            )
            for key in batch.keys - answered:
                lost = TransientError(f"not answered in batch {batch.batch_id}: {found.detail}")
                self.reasons.setdefault(key, lost)

    def _called(self, call: Callable[[], Any]) -> Any:
        """Call the endpoint, again after a failure that may pass: a batch is not given up for a lost connection."""
        for attempt in range(1, _TRIES + 1):
            try:
                return call()
            except TransientError as error:
                if attempt == _TRIES:
                    raise OutOfReachError(f"The endpoint cannot be reached: {error}") from error
                self._sleep(_pause(error, attempt))
        raise AssertionError  # the loop returns or raises


def _clear(folder: Path) -> None:
    """Remove the files of processes that were killed while they wrote them; what is a day old is nobody's any more."""
    for left in folder.glob(".batch-*"):
        if time.time() - left.stat().st_mtime > _DAY:
            shutil.rmtree(left, ignore_errors=True)


def _pause(error: TransientError, attempt: int) -> float:
    return float(min(max(error.wait or 0.0, _SHORTEST_PAUSE * 2**attempt), _LONGEST_PAUSE * 15))
