"""Figures of the factors: what each level changes against the base, components of variance, and numbers of regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.methods import numbers_of
from lvlm_ad.metrics.stability import one_factor, position_bias, repeats, variance_components
from lvlm_ad.studies.aurocs import auroc_change
from lvlm_ad.studies.record import Number
from lvlm_ad.studies.stability_levels import CROSSED
from lvlm_ad.studies.stability_record import ComponentFigures, FactorFigures, LevelFigures, PositionFigures
from lvlm_ad.studies.stability_repeats import answering_figures, metric_spreads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.studies.maps import MapDifferences
    from lvlm_ad.studies.readings import Readings

__all__ = ["answer_groups", "component_figures", "factor_figures", "position_figures"]

_ONE_NUMBERING = "no image was answered under two numberings"


def factor_figures(
    readings: Readings, differences: MapDifferences, factor: str, repeated: list[int], threshold: float
) -> FactorFigures:
    """Compare the levels of a factor with the base.

    Args:
        readings: the answers.
        differences: how far maps differ.
        factor: its name.
        repeated: the columns of the base and its repeats.
        threshold: an image is called anomalous if its score is at least this.

    Returns:
        Variances and shifts as ``lvlm_ad.metrics.stability.one_factor`` computes them, the figures of each level in the
        order of the conditions, and the spread of each metric over base and levels.
    """
    columns = readings.columns(factor)
    base, levels = readings.scores[:, repeated], readings.scores[:, columns]
    found = one_factor(base, levels)
    by_label = [one_factor(base[rows], levels[rows]).shifts for rows in (~readings.labels, readings.labels)]
    figures = []
    for at, column in enumerate(columns):
        condition = readings.conditions[column]
        both = readings.scores[:, [0, column]]
        change = auroc_change(readings, column)
        figures.append(
            LevelFigures(
                condition=condition.name,
                level=condition.level,
                images=int(len(readings.ids) - readings.missing[column]),
                missing=int(readings.missing[column]),
                shift=Number.of(found.shifts[at]),
                shift_good=Number.of(by_label[0][at]),
                shift_anomalous=Number.of(by_label[1][at]),
                flip_rate=Number.of(repeats(both, threshold).flip_rate),
                map_difference=differences.between([0, column]),
                auroc_change=change.value,
                auroc_difference=change,
                answering=answering_figures(readings, [0, column]),
            )
        )
    return FactorFigures(
        factor=factor,
        total=Number.of(found.total),
        excess=Number.of(found.excess),
        share=Number.of(found.share),
        shift_variance=found.shift_variance,
        levels=figures,
        metrics=metric_spreads(readings, [0, *columns]),
    )


def answer_groups(readings: Readings, cross: str, repeated: list[int]) -> list[list[int]]:
    """Return the columns that ask the same question again: those of the base, and of each level of a crossed factor.

    Args:
        readings: the answers.
        cross: the crossed factor; "" for none.
        repeated: the columns of the base and its repeats.

    Returns:
        ``repeated`` first, then the columns of each level and its repeats.
    """
    if not cross:
        return [repeated]
    again = readings.columns(CROSSED[cross])
    groups = [repeated]
    for column in readings.columns(cross):
        settings = readings.conditions[column].settings
        own = [one for one in again if {**settings, "repeat": 0} == {**readings.conditions[one].settings, "repeat": 0}]
        groups.append([column, *own])
    return groups


def component_figures(readings: Readings, factor: str, groups: list[list[int]]) -> ComponentFigures | None:
    """Compute the components of variance of a factor whose levels were asked again.

    Args:
        readings: the answers.
        factor: the factor.
        groups: what ``answer_groups`` returns.

    Returns:
        None if no level has as many answers as the base.
    """
    answers = len(groups[0])
    complete = [group for group in groups if len(group) == answers]
    if len(complete) < 2:  # noqa: PLR2004 - one condition has no other to differ from
        return None
    found = variance_components(readings.scores[:, complete])
    return ComponentFigures(
        factor=factor,
        images=found.images,
        answers=answers,
        image=Number.of(found.image),
        condition=Number.of(found.condition),
        interaction=Number.of(found.interaction),
        repeat=Number.of(found.repeat),
    )


def position_figures(readings: Readings, seed: int) -> PositionFigures:
    """Compute how often regions are named by their number, over the base and its other numberings.

    Args:
        readings: the answers; the base is the first column.
        seed: of the shuffles of the p-values.

    Returns:
        See ``lvlm_ad.metrics.stability.position_bias``; effects and range are the adjusted ones.

    Raises:
        MetricError: there is no other numbering, or no image has an answer under two of them.
    """
    others = readings.columns("numbering")
    if not others:
        raise MetricError("the numbers of the regions were never changed")
    columns = [one for one in (0, *others) if readings.missing[one] < len(readings.ids)]
    if len(columns) < 2:  # noqa: PLR2004 - one numbering has no other to differ from
        raise MetricError(_ONE_NUMBERING)
    numbers: list[NDArray[np.int64]] = []
    named: list[NDArray[np.float64]] = []
    indexes = [readings.results[column].plan.protocol.numbering for column in columns]
    for image, record in enumerate(readings.records[0]):
        if not record.n_regions:
            continue
        usual = tuple(range(1, record.n_regions + 1))
        orders = [numbers_of(record.division, record.n_regions, index) or usual for index in indexes]
        # ``numbers_of`` lists the region of each number, so its argsort is the number of each region, from 0.
        answers = np.array([_named(readings, image, column, record.n_regions) for column in columns]).T
        # An image with one answer cannot compare numbers, and would bias every effect towards 0.
        if np.count_nonzero(~np.isnan(answers[0])) > 1:
            numbers.append(np.argsort(np.array(orders), axis=1).T + 1)
            named.append(answers)
    if not numbers:
        raise MetricError(_ONE_NUMBERING)
    found = position_bias(numbers, named, seed=seed)
    return PositionFigures(
        images=found.images,
        numberings=len(columns),
        numbers=list(found.numbers),
        frequency=list(found.frequency),
        effect=[Number.of(one) for one in found.adjusted],
        range=Number.of(found.adjusted_range),
        slope=Number.of(found.slope),
        p_value=found.p_value,
        adjusted_p_value=found.adjusted_p_value,
    )


def _named(readings: Readings, image: int, column: int, count: int) -> NDArray[np.float64]:
    """Return for each region whether an answer names it; NaN without an answer."""
    record = readings.records[column][image]
    if record.image_score is None:
        return np.full(count, np.nan)
    return np.array([float(record.regions.get(number, 0.0) > 0) for number in range(1, count + 1)])
