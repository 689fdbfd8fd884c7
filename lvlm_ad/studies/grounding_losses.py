"""Where a method with regions loses quality: by the division, by the regions that it names, by their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.metrics import count_cells
from lvlm_ad.metrics.bootstrap import CategoryImages
from lvlm_ad.metrics.differences import resampled_difference
from lvlm_ad.metrics.estimates import Estimate, estimate_category, estimate_mean
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms, histogram_of_cells
from lvlm_ad.studies.grounding_record import LossFigures, LossStep
from lvlm_ad.studies.record import Number
from lvlm_ad.text2seg import paint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.intervals import Interval
    from lvlm_ad.regions import Regions
    from lvlm_ad.runs import PredictionRecord
    from lvlm_ad.studies.maps import StudyMaps
    from lvlm_ad.studies.readings import Readings

__all__ = ["loss_figures", "loss_interval", "loss_maps", "loss_steps"]

Step = Literal["division", "naming", "score"]
Metric = Literal["pixel_ap", "pixel_aupro"]


def loss_maps(
    regions: Regions, mask: NDArray[np.bool_], named: Mapping[int, float], *, binary: bool = False
) -> dict[Step, NDArray[np.float64]]:
    """Return the maps between the ground truth and the answer.

    Args:
        regions: the division.
        mask: bool ``(H, W)``, the defects.
        named: region number -> score, as the answer gives it.
        binary: paint 1 for every named region.

    Returns:
        Step -> the score of each cell, float64 ``(n_cells,)`` in 0..1; what each step is, see ``LossStep``.

    Example:
        >>> from lvlm_ad.regions import Regions
        >>> regions = Regions.from_labels(np.array([[1, 1, 2, 2, 3, 3]]))
        >>> found = loss_maps(regions, np.array([[0, 1, 1, 1, 0, 0]]) > 0, {1: 0.9, 3: 0.4})
        >>> {name: scores.tolist() for name, scores in found.items()}
        {'division': [0.5, 1.0, 0.0], 'naming': [0.5, 0.0, 0.0], 'score': [0.9, 0.0, 0.4]}
    """
    true = dict(enumerate(regions.pool(mask.astype(np.float64)).tolist(), start=1)) if regions.count else {}
    chosen = {number: true[number] for number, score in named.items() if score > 0}
    return {
        "division": paint(true, regions).values,
        "naming": paint(chosen, regions).values,
        "score": paint(named, regions, binary=binary).values,
    }


@dataclass
class _Category:
    labels: list[bool] = field(default_factory=list)
    histograms: dict[Step, list[ScoreHistogram]] = field(default_factory=lambda: {one: [] for one in get_args(Step)})

    def estimates(self, name: str, step: Step, fpr_limit: float, resamples: int) -> dict[str, Estimate]:
        """Estimate pixel AP and AUPRO of a step; the resamples are the same for all steps."""
        histograms = ScoreHistograms.of(self.histograms[step])
        found = pixel_metrics_from_histograms(histograms, fpr_limit)
        labels = np.array(self.labels, dtype=np.bool_)
        images = CategoryImages(labels, np.zeros(labels.size), histograms, fpr_limit)
        return estimate_category(images, {"pixel_ap": found.ap, "pixel_aupro": found.aupro}, resamples, name)


def loss_figures(readings: Readings, maps: StudyMaps, column: int, method: str) -> list[LossFigures]:
    """Compute the losses of a condition whose answers name numbered regions.

    Args:
        readings: the answers.
        maps: the divisions.
        column: the condition.
        method: in words.

    Returns:
        Of pixel AP and of AUPRO; empty if answers name other things than regions, or no ground truth shows a defect.
    """
    records = readings.records[column]
    if maps.places[column] != "regions" or any(record.shapes for record in records):
        return []
    plan = readings.results[column].plan
    categories: dict[str, _Category] = {}
    for image, record in enumerate(records):
        mask = plan.dataset[image].mask if record.usable else None
        if mask is not None:
            regions = maps.regions(image, column)
            truth = resize_mask(mask, regions.shape)
            _add(
                categories.setdefault(record.category, _Category()), record, regions, truth, binary=plan.protocol.binary
            )
    config = plan.config
    steps: dict[Step, dict[str, dict[str, Estimate]]] = {
        step: {name: one.estimates(name, step, config.fpr_limit, config.resamples) for name, one in categories.items()}
        for step in get_args(Step)
    }
    images = sum(len(one.labels) for one in categories.values())
    figures = []
    for metric in get_args(Metric):
        estimates = {step: _of_metric(categories, metric) for step, categories in steps.items()}
        if estimates["division"]:
            condition = readings.conditions[column].name
            lost = loss_steps(metric, estimates)
            figures.append(LossFigures(condition=condition, method=method, metric=metric, images=images, steps=lost))
    return figures


def _of_metric(categories: Mapping[str, Mapping[str, Estimate]], metric: Metric) -> dict[str, Estimate]:
    """Return the estimates of one metric by category, of the categories where it is defined."""
    return {name: metrics[metric] for name, metrics in categories.items() if metric in metrics}


def _add(
    category: _Category, record: PredictionRecord, regions: Regions, truth: NDArray[np.bool_], *, binary: bool
) -> None:
    """Add an image's histogram of each step."""
    counts = count_cells(regions.cells, truth, regions.n_cells)
    category.labels.append(record.label)
    for step, scores in loss_maps(regions, truth, record.regions, binary=binary).items():
        category.histograms[step].append(histogram_of_cells(counts, scores))


def loss_steps(metric: Metric, estimates: Mapping[Step, Mapping[str, Estimate]]) -> list[LossStep]:
    """Return the ideal and each step with its loss."""
    steps = [LossStep(step="ideal", value=Number(value=1.0, interval=(1.0, 1.0)), lost=Number(value=0.0))]
    before: Mapping[str, Estimate] | None = None
    for step, of in estimates.items():
        mean = estimate_mean(metric, of)
        value = Number(value=mean.value, interval=mean.interval, reason=mean.reason)
        assert steps[-1].value.value is not None  # noqa: S101 - every step has a value
        lost = steps[-1].value.value - mean.value
        if before is None:
            # The ideal is 1 in every resample.
            ends, reason = mean.interval and (1 - mean.interval[1], 1 - mean.interval[0]), mean.reason
        else:
            ends, reason = loss_interval(metric, before, of)
        steps.append(LossStep(step=step, value=value, lost=Number(value=lost, interval=ends, reason=reason)))
        before = of
    return steps


def loss_interval(
    metric: Metric, before: Mapping[str, Estimate], after: Mapping[str, Estimate]
) -> tuple[Interval | None, str]:
    """Return the interval of a mean loss: that of a paired difference, for both steps share their resamples.

    It keeps to what a loss can be. A step gains only where scores happen to split regions, so never more than in some
    resample; it loses at most what there was before. If no resample loses anything, the interval is
    (0, 0).

    Args:
        metric: its name.
        before: category -> the metric of the step before.
        after: the same categories -> that of the step, from the same resamples.

    Returns:
        The 95 % interval; or None and the reason.
    """
    pairs = [(one.draws, after[name].draws) for name, one in before.items()]
    draws = [first - second for first, second in pairs if first is not None and second is not None]
    mean, left = estimate_mean(metric, before), estimate_mean(metric, after)
    lost = mean.value - left.value
    if draws and not lost and not any(each.any() for each in draws):
        return (0.0, 0.0), ""
    ends, reason = resampled_difference(metric, before, after)
    if ends is not None and mean.interval is not None:
        least = min(0.0, lost, *(float(np.nanmin(each)) for each in draws))
        ends = max(ends[0], least), max(min(ends[1], mean.interval[1]), lost)
    return ends, reason
