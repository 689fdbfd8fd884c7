"""Differences of two runs' metrics of shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.compare.differences import Difference
from lvlm_ad.evaluate.measure_shapes import metrics_of_places
from lvlm_ad.metrics.differences import difference_over_categories, p_value
from lvlm_ad.metrics.shapes import mean_of_shapes, shape_difference, shape_metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvlm_ad.compare.differences import Pair
    from lvlm_ad.metrics.shapes import ShapeEstimate
    from lvlm_ad.runs import Run

__all__ = ["common_metrics", "shape_difference_of", "shape_estimates"]


def common_metrics(first: Run, second: Run) -> list[str]:
    """Return the metrics of shapes that both runs have."""
    ours, theirs = (metrics_of_places(run.manifest.method.places) for run in (first, second))
    return [name for name in ours if name in theirs]


def shape_estimates(run: Run, indices: Sequence[int]) -> Mapping[str, ShapeEstimate]:
    """Return the metrics of shapes of some of a run's images, where they are defined."""
    if not indices:
        return {}
    points = run.manifest.method.places == "points"
    return shape_metrics([run.predictions[index].measures for index in indices], points=points).estimates


def shape_difference_of(metric: str, pair: Pair, names: Sequence[str], same: str) -> Difference:
    """Compare a metric of shapes, as ``difference_of`` compares the others.

    Args:
        metric: its name, "miou_box" and so on.
        pair: the categories of both runs.
        names: the categories to average; one: compare its own values.
        same: not empty if the runs are one and the same.
    """
    both = [name for name in names if all(metric in of[name].shapes for of in pair)]
    if not both:
        alone = [of[names[0]].shapes.get(metric) if len(names) == 1 else None for of in pair]
        first, second = (None if one is None else one.value for one in alone)
        return Difference(first, second)
    ours, theirs = ([of[name].shapes[metric] for name in both] for of in pair)
    (one, _), (other, _) = mean_of_shapes(ours), mean_of_shapes(theirs)
    if same:
        return Difference(one, other, 0.0, (0.0, 0.0), p_value=1.0)
    difference, interval = shape_difference(ours, theirs)
    wider = difference_over_categories(
        np.subtract([of.value for of in ours], [of.value for of in theirs]).tolist(), interval
    )
    value = p_value(difference, interval)
    return Difference(one, other, difference, interval, "", value, interval_over_categories=wider)
