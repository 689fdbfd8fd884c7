"""Asks many questions in files that the endpoint answers within a day, at a batch's price.

Whatever happens meanwhile, the same command continues: the ledger knows which questions were sent in which batch,
written down before each step, and the store which were answered.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.asking.answers import storable
from lvlm_ad.asking.cost import BudgetSpentError
from lvlm_ad.asking.ledger import model_hash
from lvlm_ad.asking.retries import PATIENCE, too_long
from lvlm_ad.backend import Answer, Picture, Request
from lvlm_ad.errors import (
    FatalError,
    LvlmAdError,
    NotFoundError,
    RejectedError,
    TransientError,
    UnaskedError,
    UnusableReplyError,
)

if TYPE_CHECKING:
    from lvlm_ad.asking.answers import AnswerStore, Locks
    from lvlm_ad.asking.ledger import BatchLedger, OpenBatch
    from lvlm_ad.backend import Batch, BatchBackend

__all__ = ["Batcher"]

_TIMES = 3
"""A question goes into at most this many batches; one that stays unanswered goes into the next."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two looks at a batch: at first, half as much again each time, and at most."""
_TRIES = 8
"""How often the endpoint is called before it counts as unreachable."""
_ELSEWHERE = Request((), "(asked in a batch of another run)")


class UnreachableError(FatalError):
    """The endpoint answered no call; what was sent to it may have arrived."""


class Batcher:
    """Sends questions in batches and stores the answers.

    Args:
        backend: the model.
        store: where answers are kept.
        ledger: where batches are written down.
        locks: which questions other commands are asking.
        note: receives what the user should know.
        most: returns the most that a question may cost, in USD.
        allowance: USD that the questions sent may cost together; None: no limit.
        stale: returns whether a question is asked again, although an answer to it is stored.
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
        stale: Callable[[Request, Answer], bool] = lambda _request, _answer: False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._backend, self._identity = backend, backend.identity()
        self._store, self._ledger, self._locks = store, ledger, locks
        self._note, self._sleep = note, sleep
        self._most, self._allowance, self._planned = most, allowance, 0.0
        self._stale = stale
        self._asked: dict[str, Request] = {}
        self._refused: dict[str, LvlmAdError] = {}
        # Questions to send once more because their answers may be cut off, and questions already sent again.
        self._doubtful, self._repeated = set[str](), set[str]()
        self._times: Counter[str] = Counter()
        self.answered: set[str] = set()
        self.reasons: dict[str, LvlmAdError] = {}

    def run(self, questions: Callable[[], Iterable[Request]], progress: Callable[[int, int], None]) -> None:
        """Have every question answered that has no stored answer.

        Args:
            questions: returns the questions; called again after each batch, since pictures are not kept and answers
                may lead to further questions.
            progress: is called with the number of questions answered and of all under way.

        Raises:
            FatalError: the endpoint refuses the batch, or the account is exhausted.
            StoreError: the store cannot be used.
        """
        self._backend.check_batch()
        name = f"batches of {model_hash(self._identity)}"
        if not self._locks.take(name):
            # What another command is just sending must not pass for what a killed one left.
            self._note("Another command is sending batches for this model; waiting for it.")
            while not self._locks.take(name):
                self._sleep(_SHORTEST_PAUSE)
        try:
            while True:
                waiting = self._under_way()
                sent = self._send_all(questions(), {key for batch in waiting for key in batch.keys})
                waiting = self._under_way() if sent else waiting
                if not waiting or not self._collect(waiting, progress):
                    break
        finally:
            self._locks.release(name)

    def _under_way(self) -> list[OpenBatch]:
        """Return the batches under way; one whose sending was interrupted is completed or written off."""
        batches = []
        for batch in self._ledger.open_batches(self._identity):
            batch_id = batch.batch_id
            try:
                batch_id = batch_id or self._call(partial(self._backend.find_batch, batch.label))
                if not batch_id and batch.file_id:
                    batch_id = self._start(batch.file_id, batch.label)
            except (NotFoundError, RejectedError) as error:
                self._note(f"An interrupted batch cannot be continued: {error}")
            if not batch_id:
                self._ledger.ended(batch.label, "never sent")
                continue
            if not batch.batch_id:
                self._ledger.record(batch.label, "batch_id", batch_id)
            batches.append(replace(batch, batch_id=batch_id))
        return batches

    def _send_all(self, questions: Iterable[Request], waiting: set[str]) -> int:
        """Send the questions that have no answer, in files within the endpoint's limits; return how many."""
        self._asked, self._planned = {}, 0.0
        sent, size = 0, 0
        keys: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "batch.jsonl"
            for request in questions:
                key = request.key(self._identity)
                if key in self._asked:
                    continue
                # An answer is stored with its question, of whose pictures the digests are enough.
                pictures = tuple(Picture(b"", one.media_type, one.digest) for one in request.images)
                self._asked[key] = replace(request, images=pictures)
                if not self._should_send(key, request, waiting):
                    continue
                line = self._backend.batch_line(key, request)
                full = len(keys) >= self._backend.max_batch_requests or size + len(line) > self._backend.max_batch_bytes
                if keys and full:
                    self._send(path, keys)
                    sent, size, keys = sent + len(keys), 0, []
                with path.open("ab") as file:
                    file.write(line)
                size += len(line)
                keys.append(key)
            if keys:
                self._send(path, keys)
        return sent + len(keys)

    def _should_send(self, key: str, request: Request, waiting: set[str]) -> bool:
        """Return whether a question goes into a file now; it is then locked, and its cost is planned."""
        most, reason = self._most(request), self.reasons.pop(key, None)
        if key in waiting or key in self.answered:
            # This command, or one that was interrupted, has paid for it; the limit covers both.
            self._planned += most
        stored = self._store.get(key)
        answered = key in self.answered or (stored is not None and not self._stale(request, stored))
        if key in waiting or (answered and key not in self._doubtful):
            return False
        if key in self._refused:
            self.reasons[key] = self._refused[key]
        elif self._times[key] >= _TIMES:
            self.reasons[key] = reason or TransientError(f"not answered in {_TIMES} batches")
        elif self._allowance is not None and self._planned + most > self._allowance:
            self.reasons[key] = BudgetSpentError("not asked: it could exceed the limit on what may be spent")
        elif not self._locks.take(key):
            self.reasons[key] = UnaskedError("not asked: another command is asking it; run this command again")
        else:
            self._planned += most
            self._times[key] += 1
            self._repeated |= self._doubtful & {key}
            self._doubtful.discard(key)
            return True
        return False

    def _send(self, path: Path, keys: list[str]) -> None:
        """Send one file; each step is written down before the next."""
        label = self._ledger.begin(self._identity, keys)
        try:
            file_id = self._call(lambda: self._backend.upload_batch(path))
            self._ledger.record(label, "file_id", file_id)
            batch_id = self._start(file_id, label)
        except (FatalError, RejectedError) as error:
            # A refused batch is over; an unreachable endpoint may have it, so the next run looks for it.
            if not isinstance(error, UnreachableError):
                self._ledger.ended(label, str(error))
            raise FatalError(f"The endpoint did not accept the batch: {error}") from error
        finally:
            path.unlink()
            for key in keys:
                self._locks.release(key)
        self._ledger.record(label, "batch_id", batch_id)
        self._note(f"Batch {batch_id}: {len(keys)} questions sent; answers come within a day.")

    def _start(self, file_id: str, label: str) -> str:
        """Start a batch, once: a start whose reply was lost may have worked, so the batch is looked for first."""
        tried = False

        def start() -> str:
            nonlocal tried
            batch_id = self._backend.find_batch(label) if tried else None
            tried = True
            return batch_id or self._backend.start_batch(file_id, label)

        return str(self._call(start))

    def _collect(self, waiting: list[OpenBatch], progress: Callable[[int, int], None]) -> bool:
        """Wait for batches and store what they answered; return whether that is anything."""
        self._note(
            "Waiting for batches. The endpoint works on them even if you interrupt this command; run it again to "
            "continue."
        )
        total = sum(len(batch.keys) for batch in waiting)
        counts = {batch.label: 0 for batch in waiting}
        before, pause = len(self.answered), _SHORTEST_PAUSE
        while waiting:
            waiting = [batch for batch in waiting if not self._is_done(batch, counts)]
            progress(sum(counts.values()), total)
            if waiting:
                self._sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
        return len(self.answered) > before

    def _is_done(self, batch: OpenBatch, counts: dict[str, int]) -> bool:
        """Look at a batch once; if it is done, store its answers."""
        try:
            state: Batch = self._call(partial(self._backend.batch, batch.batch_id))
            counts[batch.label] = state.answered
            if state.state == "waiting":
                return False
            if state.state == "failed":
                self._ledger.ended(batch.label, state.detail)
                raise FatalError(f"Batch {batch.batch_id} was refused by the endpoint: {state.detail}")
            self._store_answers(batch, state)
        except NotFoundError as error:
            self._ledger.ended(batch.label, str(error))
            self._note(f"Batch {batch.batch_id} is gone; its questions are asked again next time: {error}")
        counts[batch.label] = len(batch.keys)
        return True

    def _store_answers(self, batch: OpenBatch, state: Batch) -> None:
        answered: set[str] = set()
        for key, result in self._call(lambda: list(self._backend.batch_answers(batch.batch_id))):
            if key not in batch.keys:
                continue
            answer = result
            if isinstance(result, UnusableReplyError):
                # The reply is stored; one more batch may give a better answer.
                answer = result.answer or result
                self._doubtful |= {key} - self._repeated
            if not isinstance(answer, Answer):
                self.reasons[key] = answer
                if not isinstance(answer, TransientError) or key in self._repeated:
                    self._refused[key] = answer
                continue
            # An answer to a question that this run does not ask is stored too: it is paid for.
            request = self._asked.get(key, _ELSEWHERE)
            # An answer stored before the batch began was to be replaced: otherwise it would not have been asked.
            older = self._store.get(key, since=datetime.fromisoformat(batch.begun)) is None
            self._store.put(key, storable(answer), request=request, identity=self._identity, replace=older)
            self.reasons.pop(key, None)
            answered.add(key)
        self.answered |= answered
        self._ledger.ended(batch.label, state.detail)
        if missing := batch.keys - answered:
            name = f"Batch {batch.batch_id} ({state.detail})"
            self._note(f"{name} left {len(missing)} of {len(batch.keys)} questions unanswered.")
        for key in missing:
            self.reasons.setdefault(key, TransientError(f"not answered in batch {batch.batch_id}: {state.detail}"))

    def _call(self, call: Callable[[], Any]) -> Any:
        """Call the endpoint, again after a transient failure: a lost connection must not cost a batch."""
        for attempt in range(1, _TRIES + 1):
            try:
                return call()
            except TransientError as error:
                if (error.wait or 0.0) > PATIENCE:
                    raise UnreachableError(str(too_long(error))) from error
                if attempt == _TRIES:
                    raise UnreachableError(f"The endpoint cannot be reached: {error}") from error
                wait = max(error.wait or 0.0, _SHORTEST_PAUSE * 2**attempt)
                self._sleep(min(wait, PATIENCE))
        raise AssertionError  # the loop returns or raises
