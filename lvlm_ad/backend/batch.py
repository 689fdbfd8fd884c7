"""Backends that also take many questions in one file, to be answered within a day at a lower price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from lvlm_ad.backend.contract import Backend

if TYPE_CHECKING:
    from lvlm_ad.backend.messages import Answer, Request
    from lvlm_ad.errors import BackendError

__all__ = ["Batch", "BatchBackend"]


@dataclass(frozen=True, slots=True)
class Batch:
    """How a batch stands at the endpoint.

    Attributes:
        id: the endpoint's name of it.
        state: "waiting" (for the endpoint), "done" (its answers can be fetched, whether all or some), "failed" (it
            never ran).
        answered: questions answered so far.
        total: questions in it.
        detail: the endpoint's words for the state, and why it failed.
    """

    id: str
    state: Literal["waiting", "done", "failed"]
    answered: int = 0
    total: int = 0
    detail: str = ""


class BatchBackend(Backend):
    """A backend that also takes many questions in one file, to be answered within a day.

    A batch is sent in two steps, upload and start, so that each id can be written down before the next step.

    Attributes:
        max_batch_requests: the most questions in one file.
        max_batch_bytes: the most bytes in one file.
    """

    max_batch_requests: ClassVar[int] = 50_000
    max_batch_bytes: ClassVar[int] = 200_000_000

    def check_batch(self) -> None:
        """Say whether the endpoint takes batches.

        Raises:
            ConfigError: it does not.
        """

    def batch_line(self, key: str, request: Request) -> bytes:
        """Return one question as a line of a batch file, line break included; ``key`` comes back with the answer."""
        raise NotImplementedError

    def upload_batch(self, file: Path) -> str:
        """Upload a batch file and return the endpoint's name of the file. Raises as ``answer`` does."""
        raise NotImplementedError

    def start_batch(self, file_id: str, label: str) -> str:
        """Start a batch and return the endpoint's name of it. Raises as ``answer`` does.

        Args:
            file_id: what ``upload_batch`` returned.
            label: kept with the batch at the endpoint, so that it can be found again.
        """
        raise NotImplementedError

    def find_batch(self, label: str) -> str | None:
        """Return the name of the batch that was started with this label, None if there is none."""
        raise NotImplementedError

    def batch(self, batch_id: str) -> Batch:
        """Say how a batch stands. Raises as ``answer`` does."""
        raise NotImplementedError

    def batch_answers(self, batch_id: str) -> Iterator[tuple[str, Answer | BackendError]]:
        """Yield each question's key with its answer or what went wrong. Raises as ``answer`` does."""
        raise NotImplementedError
