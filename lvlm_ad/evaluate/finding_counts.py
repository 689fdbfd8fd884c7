"""Counts the findings of a method other than "regions", for the marks of its rows in tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lvlm_ad.runs import PredictionRecord

__all__ = ["finding_counts"]

_HAD_PLACES = {"bad_shape", "degenerate", "not_convention", "swapped"}
"""Flags of answers that name places, even if none of these was used."""


def finding_counts(records: Iterable[PredictionRecord]) -> dict[str, int]:
    """Return "findings" of metrics.json.

    Returns:
        How many images have an image score ("usable"), one that is 0 or 1 ("binary"), a score from the probability of
        yes ("probability") or from the text of yes or no ("text"); how many answers name places ("with_places"), and
        how many of these cannot be of the model's convention ("not_convention").

    Example:
        >>> finding_counts([])["usable"]
        0
    """
    counts: Counter[str] = Counter()
    for record in records:
        flags = set(record.flags)
        counts["with_places"] += bool(record.regions or record.shapes or flags & _HAD_PLACES)
        counts["not_convention"] += "not_convention" in flags
        if record.image_score is None:
            continue
        counts["usable"] += 1
        counts["binary"] += record.image_score in {0, 1}
        if record.source:
            counts[record.source] += 1
    names = ("usable", "binary", "probability", "text", "with_places", "not_convention")
    return {name: counts[name] for name in names}
