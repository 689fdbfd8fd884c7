"""The stores of an output folder, opened together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lvlm_ad.asking import AnswerStore, BatchLedger, Locks
from lvlm_ad.datasets.hashing import FileHashes
from lvlm_ad.regions import DivisionStore
from lvlm_ad.store import open_answers, open_cache

__all__ = ["Stores", "open_stores"]


@dataclass(frozen=True)
class Stores:
    """What an output folder keeps from one run to the next.

    Attributes:
        answers: stored answers.
        locks: which questions are being asked, and by which command.
        batches: which questions were sent in batches.
        divisions: how images are divided.
        files: hashes of the data set's files.
    """

    answers: AnswerStore
    locks: Locks
    batches: BatchLedger
    divisions: DivisionStore
    files: FileHashes


@contextmanager
def open_stores(out: Path) -> Iterator[Stores]:
    """Open ``answers.sqlite`` and ``cache.sqlite`` of an output folder; close them at the end.

    Raises:
        StoreError: one of them cannot be opened.
    """
    with (
        closing(open_answers(out / "answers.sqlite")) as answers,
        closing(open_cache(out / "cache.sqlite")) as cache,
        closing(Locks(answers)) as locks,
    ):
        yield Stores(AnswerStore(answers), locks, BatchLedger(answers), DivisionStore(cache), FileHashes(cache))
