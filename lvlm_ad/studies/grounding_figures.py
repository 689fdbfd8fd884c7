"""All figures of a grounding study, from its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.metrics.stability import paired_shift
from lvlm_ad.studies.aurocs import auroc_change, auroc_contrast, metric_of
from lvlm_ad.studies.corruptions import CORRUPTIONS, SEVERITIES
from lvlm_ad.studies.grounding_design import copies_name
from lvlm_ad.studies.grounding_hits import StudyHits
from lvlm_ad.studies.grounding_losses import loss_figures
from lvlm_ad.studies.grounding_record import (
    ContaminationFigures,
    CorruptionFigures,
    GroundingFigures,
    MarkFigures,
    MethodFigures,
    PointFigures,
)
from lvlm_ad.studies.record import LeftOut, Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.studies.maps import StudyMaps
    from lvlm_ad.studies.readings import Readings

__all__ = ["grounding_figures"]


def grounding_figures(readings: Readings, maps: StudyMaps, parts: Sequence[str]) -> GroundingFigures:
    """Compute the figures of the conditions that have a run.

    Args:
        readings: the answers; the base is the first column.
        maps: the maps.
        parts: what the study measures, of ``PARTS``.

    Returns:
        Conditions without a run are left out; figures that could not be computed are in ``undefined`` with the reason.

    Example, with the results of a study::

        readings = Readings.of(run_study(design.with_copies()))
        with StudyMaps.opened(readings) as maps:
            grounding_figures(readings, maps, PARTS).methods[0].hits
    """
    hits = StudyHits(readings, maps)
    methods = [0, *readings.columns("method")]
    losses = [one for column in methods for one in loss_figures(readings, maps, column, _level(readings, column))]
    undefined = []
    if "losses" in parts and not losses:
        undefined.append(LeftOut(what="losses", reason="no answer names numbered regions of an image with a mask"))
    corruptions = [one for kind in CORRUPTIONS if (one := _corruption(readings, hits, kind)) is not None]
    return GroundingFigures(
        methods=[_method(readings, hits, column) for column in methods],
        marks=_marks(readings, methods),
        losses=losses if "losses" in parts else [],
        resolution=_resolution(readings, hits),
        corruptions=corruptions,
        worst_corruption=_worst(corruptions),
        contamination=[_contamination(readings, column) for column in readings.columns("contamination")],
        undefined=undefined,
    )


def _method(readings: Readings, hits: StudyHits, column: int) -> MethodFigures:
    run, missing = readings.runs[column], int(readings.missing[column])
    return MethodFigures(
        condition=readings.conditions[column].name,
        method=_level(readings, column),
        images=len(readings.ids) - missing,
        missing=missing,
        auroc=metric_of(run, "image_auroc"),
        pixel_ap=metric_of(run, "pixel_ap"),
        pixel_aupro=metric_of(run, "pixel_aupro"),
        hits=hits.rates(column),
        false_share=hits.false_share(column),
        usd_per_image=_usd(readings, column),
        seconds=_seconds(readings, column),
    )


def _marks(readings: Readings, methods: Sequence[int]) -> list[MarkFigures]:
    """Compare each marked picture of numbered regions with the score alone, and with the unmarked picture."""
    plans = {column: readings.results[column].plan for column in methods}
    regions = {column: plan.protocol.visual for column, plan in plans.items() if plan.method_name == "regions"}
    plain = [column for column, visual in regions.items() if visual == "image"]
    score = [column for column, plan in plans.items() if plan.method_name == "score"]
    figures = []
    for column, visual in regions.items():
        if visual == "image":
            continue
        for other in (*score, *plain):
            shifts = [
                paired_shift(readings.scores[rows, column], readings.scores[rows, other])
                for rows in (~readings.labels, readings.labels)
            ]
            figures.append(
                MarkFigures(
                    condition=readings.conditions[column].name,
                    against=readings.conditions[other].name,
                    good=Number.of(shifts[0]),
                    anomalous=Number.of(shifts[1]),
                    auroc=auroc_change(readings, column, other),
                )
            )
    return figures


def _resolution(readings: Readings, hits: StudyHits) -> list[PointFigures]:
    columns = readings.columns("resolution")
    if not columns:
        return []
    sizes = {column: readings.results[column].plan.protocol.image_size for column in (0, *columns)}
    return [_point(readings, hits, column, sizes[column]) for column in sorted(sizes, key=lambda one: sizes[one])]


def _corruption(readings: Readings, hits: StudyHits, kind: str) -> CorruptionFigures | None:
    """Return the curve of a corruption; None if it was not asked."""
    names = {one.name: column for column, one in enumerate(readings.conditions)}
    severities = {severity: names.get(copies_name(kind, severity)) for severity in SEVERITIES}
    levels = {0: 0} | {severity: column for severity, column in severities.items() if column is not None}
    if len(levels) == 1:
        return None
    points = [_point(readings, hits, column, level) for level, column in sorted(levels.items())]
    # A severity that is mostly unasked, because of --max-cost, would leave too few common images.
    enough = [point for point in points if 2 * point.images >= points[0].images > 0]
    x = np.array([point.level for point in enough], dtype=np.float64)
    columns = [levels[point.level] for point in enough]
    if x.size < 2:  # noqa: PLR2004 - no curve
        nothing = Number(value=None, reason="no severity is answered")
        return CorruptionFigures(kind=kind, points=points, slope=nothing, drop=nothing)
    deviations = x - x.mean()
    against_base = [1.0, *[-1.0 / (x.size - 1)] * (x.size - 1)]
    return CorruptionFigures(
        kind=kind,
        points=points,
        slope=auroc_contrast(readings, columns, (deviations / (deviations @ deviations)).tolist()),
        drop=auroc_contrast(readings, columns, against_base),
    )


def _worst(corruptions: Sequence[CorruptionFigures]) -> str:
    drops = [(one.drop.value, one.kind) for one in corruptions if one.drop.value is not None]
    largest, kind = max(drops, default=(0.0, ""))
    return kind if largest > 0 else ""


def _point(readings: Readings, hits: StudyHits, column: int, level: int) -> PointFigures:
    missing = int(readings.missing[column])
    return PointFigures(
        condition=readings.conditions[column].name,
        level=level,
        images=len(readings.ids) - missing,
        missing=missing,
        auroc=metric_of(readings.runs[column], "image_auroc"),
        change=auroc_change(readings, column) if column else Number(value=0.0, interval=(0.0, 0.0)),
        pixel_ap=metric_of(readings.runs[column], "pixel_ap"),
        hits=hits.rates(column),
        usd_per_image=_usd(readings, column),
        seconds=_seconds(readings, column),
    )


def _contamination(readings: Readings, column: int) -> ContaminationFigures:
    name, missing = readings.conditions[column].name, int(readings.missing[column])
    auroc, change = metric_of(readings.runs[column], "image_auroc"), auroc_change(readings, column)
    suspicious: bool | None = None
    if name == "without-image" and auroc.interval:
        suspicious = not auroc.interval[0] <= 0.5 <= auroc.interval[1]  # noqa: PLR2004 - chance
    elif name == "mirrored" and change.interval:
        suspicious = change.interval[1] < 0
    return ContaminationFigures(
        condition=name,
        images=len(readings.ids) - missing,
        missing=missing,
        auroc=auroc,
        change=change,
        suspicious=suspicious,
    )


def _level(readings: Readings, column: int) -> str:
    return readings.conditions[column].level


def _usd(readings: Readings, column: int) -> float | None:
    """Return the mean cost of an image that was answered; None if one is unknown."""
    costs = readings.costs[~np.isnan(readings.scores[:, column]), column]
    return float(costs.mean()) if costs.size and not np.isnan(costs).any() else None


def _seconds(readings: Readings, column: int) -> float | None:
    times = readings.seconds[:, column]
    return float(np.nanmedian(times)) if not np.isnan(times).all() else None
