"""The files in the output folder that outlive a run: answers, claims, batches, divisions."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from lvlm_ad.asking import AnswerStore, BatchLedger, Locks
from lvlm_ad.datasets.hashing import FileHashes
from lvlm_ad.regions import DivisionStore

__all__ = ["Stores", "opened"]


@dataclass(frozen=True)
class Stores:
    """Opened files of one output folder.

    Attributes:
        answers: what was answered.
        claims: what is being asked, by whom.
        batches: what was sent off in batches.
        divisions: how images were cut.
        files: hashes of the data set's files.
    """

    answers: AnswerStore
    claims: Locks
    batches: BatchLedger
    divisions: DivisionStore
    files: FileHashes


def opened(out: Path, stack: ExitStack) -> Stores:
    """Open the files of an output folder and have them closed with the stack.

    Raises:
        StoreError: one of them cannot be opened.
    """
    return Stores(
        answers=stack.enter_context(closing(AnswerStore(out / "answers.sqlite"))),
        claims=stack.enter_context(closing(Locks(out / "claims.sqlite"))),
        batches=stack.enter_context(closing(BatchLedger(out / "batches.sqlite"))),
        divisions=stack.enter_context(closing(DivisionStore(out / "divisions.sqlite"))),
        files=stack.enter_context(closing(FileHashes(out / "files.sqlite"))),
    )
