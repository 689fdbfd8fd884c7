"""Batches as OpenAI's Batch API has them: lines of the files, and the state of a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from lvlm_ad.backend import Answer, Batch
from lvlm_ad.errors import BackendError, TransientError

from .replies import answer_of, failed_answer

if TYPE_CHECKING:
    from openai.types import Batch as OpenAIBatch

__all__ = ["LABEL", "PATH", "batch_of", "line_of", "result_of"]

PATH: Final = "/v1/chat/completions"
"""What the questions of a batch are sent to."""
LABEL: Final = "lvlm-ad"
"""Name of our label in a batch's metadata."""

_STATES: dict[str, Literal["done", "failed"]] = {
    "completed": "done",
    "expired": "done",
    "cancelled": "done",
    "failed": "failed",
}
_OK, _SERVER_ERROR = 200, 500


def line_of(key: str, body: bytes) -> bytes:
    """Return one question as a line of a batch file."""
    return f'{{"custom_id":"{key}","method":"POST","url":"{PATH}","body":'.encode() + body + b"}\n"


def batch_of(batch: OpenAIBatch) -> Batch:
    """Translate a batch's state."""
    counts = batch.request_counts
    reasons = [str(error.message) for error in (batch.errors.data or [])] if batch.errors else []
    detail = f"{batch.status}{': ' if reasons else ''}{'; '.join(reasons)}"
    answered, total = (counts.completed + counts.failed, counts.total) if counts else (0, 0)
    return Batch(batch.id, _STATES.get(batch.status, "waiting"), answered, total, detail)


def result_of(line: Any) -> tuple[str, Answer | BackendError] | None:
    """Translate one line of a batch's result files.

    Args:
        line: its JSON.

    Returns:
        The question's key, and its answer or its error; None if the line names no question.
    """
    if not isinstance(line, dict) or not isinstance(line.get("custom_id"), str):
        return None
    key, response = line["custom_id"], line.get("response")
    try:
        if not isinstance(response, dict):
            error = line.get("error")
            reason = error.get("message") if isinstance(error, dict) else None
            raise TransientError(f"not answered in the batch: {reason or 'no reason is given'}")
        status = response.get("status_code")
        if status == _OK:
            answer = answer_of(response.get("body"), {}, 0.0)
        else:
            answer = failed_answer(status if isinstance(status, int) else _SERVER_ERROR, response.get("body"), {}, 0.0)
    except BackendError as error:
        return key, error
    return key, replace(answer, batch=True)
