"""Marks of rows whose image scores or places differ in kind from those of other rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lvlm_ad.runs import Manifest

__all__ = ["IN_DOUBT", "marks_of"]

IN_DOUBT = 0.05
"""A row is marked if at least this share of its answers cannot be of the convention."""


def marks_of(manifest: Manifest, metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the marks of a row, each with the sentence that explains it.

    Args:
        manifest: the run's manifest.
        metrics: the content of its metrics.json; "findings" counts what the marks depend on.

    Returns:
        "P(yes)", "P(yes), 3 of 20" or "words": where yes and no come from. "binary": every image score is 0 or 1.
        "convention in doubt": the model may write coordinates in another convention. Empty for the method "regions".
    """
    found: Mapping[str, int] = metrics.get("findings", {})
    marks = {}
    if yes := _yes_no(found):
        marks[yes[0]] = yes[1]
    elif found.get("usable") and found.get("binary") == found["usable"]:
        marks["binary"] = "binary: every image score is 0 or 1, so its image AUROC is a balanced accuracy"
    placed, wrong = found.get("with_places", 0), found.get("not_convention", 0)
    if placed and wrong >= IN_DOUBT * placed:
        convention = manifest.method.convention.get("name", "the run")
        marks["convention in doubt"] = (
            f"convention in doubt: {wrong} of {placed} answers with places cannot be of the convention {convention}, "
            "and their places are not used; 'lvlm-ad models NAME --check' looks for the right one"
        )
    return marks


def _yes_no(found: Mapping[str, int]) -> tuple[str, str] | None:
    """Return the mark of a row of the method "yes-no", and its sentence."""
    probability, words = found.get("probability", 0), found.get("text", 0)
    total = probability + words
    if not total:
        return None
    if not probability:
        return "words", "words: yes and no are read from the text, as 1 and 0, so its image AUROC is binary"
    if not words:
        return "P(yes)", "P(yes): image scores are the probability of yes among yes and no"
    mark = f"P(yes), {probability} of {total}"
    return mark, f"{mark}: the other {words} answers gave no probabilities and count 1 for yes, 0 for no"
