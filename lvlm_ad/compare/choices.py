"""Differences of two runs' accuracies on the same multiple-choice questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lvlm_ad.compare.differences import Difference
from lvlm_ad.evaluate.choices import AVERAGE, choices_of, in_order
from lvlm_ad.metrics.choices import count_choices
from lvlm_ad.metrics.dataset_estimates import estimate_choices
from lvlm_ad.metrics.differences import holm, p_value
from lvlm_ad.metrics.shapes import shape_difference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.metrics.shapes import ShapeEstimate
    from lvlm_ad.runs import Run

__all__ = ["ChoiceDifferences", "adjusted_choices", "choice_differences"]

ChoiceDifferences = Mapping[str, Mapping[str, Difference]]
"""Source -> subtask or "Average" -> difference; the source "Average" is the mean over sources."""


def choice_differences(first: Run, second: Run, same: str = "") -> ChoiceDifferences:
    """Compare the accuracies of two runs, in which an answer without a choice is wrong.

    The difference is paired: both runs answered the same questions about the same images, and the questions of an image
    are taken together.

    Args:
        first: a run, read with its predictions.
        second: another run on the same images.
        same: not empty if the runs are one and the same; then there is no doubt that the difference is 0.

    Returns:
        A difference for each number that both have; empty unless both runs have choices.
    """
    ours, theirs = (_estimates(run) for run in (first, second))
    return {
        source: {
            name: _difference(row[name], theirs[source][name], same) for name in in_order(row) if name in theirs[source]
        }
        for source, row in ours.items()
        if source in theirs
    }


def adjusted_choices(tables: Sequence[ChoiceDifferences]) -> list[ChoiceDifferences]:
    """Adjust p-values by Holm's method: those of the overall average together, and all others together."""
    result = [{source: dict(row) for source, row in table.items()} for table in tables]
    places = [(table, source, name) for table in result for source, row in table.items() for name in row]
    for is_overall in (True, False):
        family = [
            place
            for place in places
            if ((place[1], place[2]) == (AVERAGE, AVERAGE)) == is_overall
            and place[0][place[1]][place[2]].p_value is not None
        ]
        values = holm([table[source][name].p_value or 0.0 for table, source, name in family])
        for (table, source, name), value in zip(family, values, strict=True):
            table[source][name] = replace(table[source][name], p_adjusted=float(value))
    return list(result)


def _estimates(run: Run) -> Mapping[str, Mapping[str, ShapeEstimate]]:
    choices = choices_of(run.predictions)
    return estimate_choices(count_choices(choices), "wrong") if choices else {}


def _difference(one: ShapeEstimate, other: ShapeEstimate, same: str) -> Difference:
    if same:
        return Difference(one.value, other.value, 0.0, (0.0, 0.0), p_value=1.0)
    difference, interval = shape_difference([one], [other])
    return Difference(one.value, other.value, difference, interval, "", p_value(difference, interval))
