"""All figures of an efficiency study, from its answers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.plugins.own import title_of
from lvlm_ad.studies.costs import costs_of
from lvlm_ad.studies.efficiency_fronts import front_figures
from lvlm_ad.studies.efficiency_gains import vote_gains, zoom_figures
from lvlm_ad.studies.efficiency_record import EfficiencyFigures, RowFigures
from lvlm_ad.studies.efficiency_rows import IMAGE, PIXEL, Quality
from lvlm_ad.studies.efficiency_verdict import verdict
from lvlm_ad.studies.record import LeftOut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from lvlm_ad.studies.costs import Costs
    from lvlm_ad.studies.efficiency_design import Combination, EfficiencyDesign
    from lvlm_ad.studies.efficiency_record import Cost
    from lvlm_ad.studies.readings import Readings

__all__ = ["efficiency_figures"]

_COSTS: tuple[Cost, ...] = ("usd", "seconds", "tokens")

_SLOW = 0.95
"""The quantile of times that is shown beside the median."""


def efficiency_figures(
    readings: Readings, design: EfficiencyDesign, resamples: int = 1000
) -> tuple[EfficiencyFigures, str]:
    """Compute the figures of the conditions that have a run, and the verdict.

    Args:
        readings: the answers.
        design: what each condition measures.
        resamples: resamples for intervals of pixel metrics; 0: they have none.

    Returns:
        What ``study.json`` holds, and the verdict as a sentence.

    Raises:
        ConfigError: the method asked the same question in each repeat.

    Example, with the results of a study::

        figures, sentence = efficiency_figures(Readings.of(run_study(design.study)), design)
    """
    names = [one.name for one in readings.conditions]
    combinations = {at: design.combinations[name] for at, name in enumerate(names) if name in design.combinations}
    quality = Quality(readings, list(combinations), resamples)
    costs = costs_of(readings)
    rows = {at: _row(readings, quality, costs, at, one) for at, one in combinations.items()}
    compared = {metric: quality.compared(metric) for metric in (IMAGE, PIXEL)}
    fronts = [
        front_figures(names, quality, compared[metric], metric, cost, costs[cost])
        for metric, cost in product(compared, _COSTS)
        if compared[metric].columns
    ]
    figures = EfficiencyFigures(
        images=quality.images.size,
        rows=list(rows.values()),
        fronts=fronts,
        zoom=zoom_figures(readings, quality, costs["usd"], combinations),
        votes=vote_gains(readings, quality, costs["usd"], design.repeats),
        not_compared=[LeftOut(what=names[at], reason=reason) for at in combinations if (reason := quality.why_not(at))],
    )
    return figures, verdict(rows, compared[IMAGE])


def _row(
    readings: Readings, quality: Quality, costs: Mapping[str, Costs], column: int, combination: Combination
) -> RowFigures:
    missing = int(readings.missing[column])
    return RowFigures(
        condition=readings.conditions[column].name,
        words=combination.words,
        model=combination.title,
        method=title_of(combination.method),
        image_size=readings.results[column].plan.protocol.image_size,
        votes=combination.votes,
        answered=len(readings.ids) - missing,
        missing=missing,
        image_auroc=quality.of(column, IMAGE),
        pixel_ap=quality.of(column, PIXEL),
        usd_per_image=costs["usd"].mean(column),
        seconds=costs["seconds"].mean(column),
        median_seconds=costs["seconds"].quantile(column, 0.5),
        p95_seconds=costs["seconds"].quantile(column, _SLOW),
        input_tokens=_mean(readings.input_tokens[:, column]),
        output_tokens=_mean(readings.output_tokens[:, column]),
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of what is known; None if nothing is."""
    return None if np.isnan(values).all() else float(np.nanmean(values))
