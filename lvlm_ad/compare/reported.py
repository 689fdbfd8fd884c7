"""How sure a run's metrics are, those included that its data set has of its own: what comparisons and ranks need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.evaluate.reported import ReportedImages, measure_reported
from lvlm_ad.metrics.estimates import Estimate, estimate_category
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.runs import is_reported, reported_of

if TYPE_CHECKING:
    from lvlm_ad.metrics.bootstrap import CategoryImages
    from lvlm_ad.runs import Run

__all__ = ["common_reported", "run_estimates"]


def common_reported(first: Run, second: Run) -> list[str]:
    """Return the metrics that the authors of the data set report, those of the seven included, where both have them."""
    theirs = reported_of(second.metrics)
    return [name for name in reported_of(first.metrics) if name in theirs]


def run_estimates(
    run: Run, category: str, indices: Sequence[int], images: CategoryImages, resamples: int
) -> dict[str, Estimate]:
    """Return the estimates of a category's metrics that have a value.

    Args:
        run: read with its predictions.
        category: its name.
        indices: where its measured images are among the predictions, one or more.
        images: these images, see ``measured_categories``.
        resamples: how many resamples are drawn.
    """
    metrics = run.metrics["categories"].get(category, {})
    estimates = estimate_category(images, metrics, resamples, category)
    names = [name for name in reported_of(run.metrics) if is_reported(name)]
    if not names:
        return estimates
    records = [run.predictions[index] for index in indices]
    channels = None if run.channels is None else ScoreHistograms.of(run.channels).take(indices)
    cuts = [record.cut for record in records]
    counts = None if None in cuts else np.array(cuts, dtype=np.int64)
    of = ReportedImages(images, [record.defect for record in records], channels, counts)
    found = measure_reported(names, of, resamples, category, metrics).estimates
    return estimates | {name: one for name, one in found.items() if metrics.get(name) is not None}
