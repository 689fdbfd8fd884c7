"""How many images were answered, and what the answers used: "answers", "coverage" and "usage" of metrics.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from lvlm_ad.evaluate.detectors import added
from lvlm_ad.evaluate.finding_counts import finding_counts
from lvlm_ad.text2seg import UNANSWERED, Status

if TYPE_CHECKING:
    from lvlm_ad.runs import PredictionRecord

__all__ = ["answer_metrics"]


def answer_metrics(records: Sequence[PredictionRecord], *, paid: bool, by_regions: bool = True) -> dict[str, Any]:
    """Return "answers", "outcomes", "coverage", "usage" and "findings" of metrics.json, without "spent_usd".

    Args:
        records: all predictions of a run.
        paid: whether the answers may cost money.
        by_regions: whether the method is regions, which asks one question about each image.
    """
    answered = [record for record in records if record.status not in UNANSWERED]
    # A conversation that failed was answered in part.
    billed = [record for record in records if record.status not in UNANSWERED or record.steps]
    usable = sum(record.usable for record in records)
    statuses = Counter(record.status for record in records)
    counts = {status: statuses[status] for status in get_args(Status)}
    cost = added(record.cost_usd for record in billed) if paid else 0.0
    questions = sum(len(record.steps) or record.status not in UNANSWERED for record in records)
    return {
        "answers": {"total": len(records), **counts, "usable": usable},
        "outcomes": dict(sorted(Counter(record.outcome for record in answered).items())) if paid else {},
        "coverage": usable / len(records),
        "usage": {
            "input_tokens": added(record.input_tokens for record in billed),
            "output_tokens": added(record.output_tokens for record in billed),
            # Where nothing was answered, what failed may have been billed all the same.
            "cost_usd": cost if billed or not paid else None,
            "seconds": sum(record.seconds for record in records),
            **({} if by_regions or not paid else {"questions": questions}),
        },
        **({} if by_regions or not paid else {"findings": finding_counts(records)}),
    }
