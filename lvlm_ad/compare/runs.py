"""Compares two runs on the same images: paired differences with intervals, and the images that differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lvlm_ad.compare.choices import ChoiceDifferences, adjusted_choices, choice_differences
from lvlm_ad.compare.conditions import check_conditions, distinct_names, measured_categories, same_run
from lvlm_ad.compare.differences import Difference, MeasuredCategory, difference_of
from lvlm_ad.compare.reported import common_reported, run_estimates
from lvlm_ad.compare.shapes import common_metrics, shape_difference_of, shape_estimates
from lvlm_ad.errors import ConfigError, listed
from lvlm_ad.metrics.curves import placements
from lvlm_ad.metrics.differences import holm
from lvlm_ad.metrics.estimates import FEW_CATEGORIES
from lvlm_ad.metrics.shapes import POINT_METRICS, SHAPE_METRICS
from lvlm_ad.runs import METRIC_NAMES, METRIC_TITLES, Run, metric_title, titles_of

__all__ = ["SIGNIFICANT", "Comparison", "ImageDifference", "adjusted", "compare_runs"]

SIGNIFICANT = 0.05
"""A difference is marked if its adjusted p-value is smaller."""

_FEWEST_RESAMPLES = 50


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """One image under two runs.

    Attributes:
        id: the sample.
        label: True if anomalous.
        scores: the image scores of both runs; None where an answer holds none.
        placements: for each run the fraction of the category's images of the other class that this image is ranked
            correctly against.
    """

    id: str
    label: bool
    scores: tuple[float | None, float | None]
    placements: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two runs, compared.

    Attributes:
        names: of both.
        resamples: bootstrap resamples of the images, the same for both runs.
        notes: what a reader must know.
        mean: metric -> difference of the means over the categories in which both are defined. The metrics are the
            seven, those that the data set has of its own and, if both runs name places, those of shapes.
        categories: category -> metric -> difference.
        images: the images, those that are ranked most differently first.
        choices: of runs that asked the data set's questions the differences of their accuracies; else empty.
    """

    names: tuple[str, ...]
    resamples: int
    notes: tuple[str, ...]
    mean: Mapping[str, Difference]
    categories: Mapping[str, Mapping[str, Difference]]
    images: Sequence[ImageDifference]
    choices: ChoiceDifferences = field(default_factory=dict)


def compare_runs(first: Run, second: Run, resamples: int = 1000, *, across_conditions: bool = False) -> Comparison:
    """Compare two runs, read with their predictions.

    Both are measured on the same images, and on the same resamples of them: an image that is hard for both runs does
    not make their difference uncertain.

    Args:
        first: a run.
        second: another run on the same images.
        resamples: how many bootstrap resamples are drawn, at least 50; image AUROC needs none.
        across_conditions: whether runs of different models may also differ in prompt, division and so on.

    Raises:
        RunError: the runs are not comparable; the message says why.
        ConfigError: there are too few resamples.
    """
    if resamples < _FEWEST_RESAMPLES:
        raise ConfigError(f"A comparison needs {_FEWEST_RESAMPLES} resamples or more, not {resamples}.")
    notes = check_conditions(first, second, across_conditions=across_conditions)
    same = same_run(first, second)
    notes = [*([same] if same else []), *notes]
    if first.histograms is None or second.histograms is None:
        notes.append("one of the runs has no pixel counts, because an older version made it: run the same bench again")
    elif any(run.manifest.model.row == "dense" and any(run.histograms or ()) for run in (first, second)):
        notes.append("pixel intervals of a dense row come from counts at fixed thresholds")
    shapes = common_metrics(first, second)
    pair = _categories(first, resamples), _categories(second, resamples)
    names = list(pair[0])
    known = dict.fromkeys((*common_reported(first, second), *METRIC_NAMES))
    compared = {**dict.fromkeys(known, difference_of), **dict.fromkeys(shapes, shape_difference_of)}
    categories = {name: {one: find(one, pair, [name], same) for one, find in compared.items()} for name in names}
    mean = {one: find(one, pair, names, same) for one, find in compared.items()}
    both_kinds = [name for name, one in pair[0].items() if one.images.labels.any() and not one.images.labels.all()]
    images = [one for name in both_kinds for one in _image_differences(first, second, pair[0][name], pair[1][name])]
    comparison = Comparison(
        names=distinct_names((first, second)),
        resamples=resamples,
        notes=(*notes, *_undefined_notes(first, second, shapes), *([] if same else _interval_notes(mean, pair[0]))),
        mean=mean,
        categories=categories,
        images=sorted(images, key=lambda one: (-abs(one.placements[0] - one.placements[1]), one.id)),
        choices=choice_differences(first, second, same),
    )
    return adjusted([comparison])[0]


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Adjust the p-values of each metric for all comparisons shown together, by Holm's method.

    The means are one family of tests; all categories are another.
    """
    means, tables = [dict(one.mean) for one in comparisons], [_copied(one.categories) for one in comparisons]
    for metric in dict.fromkeys(metric for of in means for metric in of):
        for family in (means, [differences for table in tables for differences in table.values()]):
            tested = [of for of in family if metric in of and of[metric].p_value is not None]
            for of, value in zip(tested, holm([of[metric].p_value or 0.0 for of in tested]), strict=True):
                of[metric] = replace(of[metric], p_adjusted=float(value))
    choices = adjusted_choices([one.choices for one in comparisons])
    return [
        replace(one, mean=mean, categories=table, choices=chosen)
        for one, mean, table, chosen in zip(comparisons, means, tables, choices, strict=True)
    ]


def _copied(categories: Mapping[str, Mapping[str, Difference]]) -> dict[str, dict[str, Difference]]:
    return {name: dict(differences) for name, differences in categories.items()}


def _categories(run: Run, resamples: int) -> dict[str, MeasuredCategory]:
    categories = {}
    for name, (indices, images) in measured_categories(run).items():
        metrics = run.metrics["categories"].get(name, {})
        estimates = run_estimates(run, name, indices, images, resamples) if indices else {}
        categories[name] = MeasuredCategory(indices, images, metrics, estimates, shape_estimates(run, indices))
    return categories


def _undefined_notes(first: Run, second: Run, shapes: Sequence[str]) -> Iterator[str]:
    """Say where metrics have no value, and why."""
    means = [run.metrics["mean"] for run in (second, first)]
    reasons = {name: reason for mean in means for name, reason in mean.get("undefined", {}).items()}
    of_shapes = [mean.get("shapes", {}).get("undefined", {}) for mean in means]
    reasons |= {name: mean[name] for mean in of_shapes for name in shapes if name in mean}
    missing: dict[str, list[str]] = {}
    for metric, title in {**titles_of([first.metrics]), **SHAPE_METRICS, **POINT_METRICS}.items():
        if metric in reasons:
            missing.setdefault(reasons[metric], []).append(title)
    for reason, titles in missing.items():
        yield f"{_joined(titles)}: {reason}"


def _joined(titles: Sequence[str]) -> str:
    return "all metrics" if list(titles) == list(METRIC_TITLES.values()) else ", ".join(titles)


def _interval_notes(mean: Mapping[str, Difference], categories: Mapping[str, MeasuredCategory]) -> Iterator[str]:
    """Say which differences have no interval and why, and where images are few."""
    missing: dict[str, list[str]] = {}
    for metric, one in mean.items():
        if one.difference is not None and one.interval is None:
            missing.setdefault(one.reason, []).append(metric_title(metric))
    for reason, titles in missing.items():
        yield f"{_joined(titles)}: {reason if reason.startswith('no ') else f'no interval: {reason}'}"
    if len(categories) < FEW_CATEGORIES and any(one.interval_over_categories for one in mean.values()):
        yield "few categories: the interval over categories is itself uncertain"
    few = [name for name, of in categories.items() if any(one.few_images for one in of.estimates.values())]
    if few:
        yield f"few images in {listed(few)}: even a perfect value does not exclude chance there"


def _image_differences(
    first: Run, second: Run, ours: MeasuredCategory, theirs: MeasuredCategory
) -> list[ImageDifference]:
    places = [placements(one.images.labels, one.images.scores).tolist() for one in (ours, theirs)]
    return [
        ImageDifference(
            id=first.predictions[index].id,
            label=first.predictions[index].label,
            scores=(first.predictions[index].image_score, second.predictions[index].image_score),
            placements=(place, other_place),
        )
        for index, place, other_place in zip(ours.indices, *places, strict=True)
    ]
