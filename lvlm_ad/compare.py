"""Compares two runs on the same images: paired differences with intervals, and the images that differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.metrics.bootstrap import (
    BootstrapSamples,
    CategoryImages,
    bootstrap,
    mean_of,
    mean_of_resampled_categories,
)
from lvlm_ad.metrics.curves import DeLong, delong, mean_delong, placements
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.runs import METRIC_NAMES, Manifest, Run
from lvlm_ad.text2seg import UNANSWERED

__all__ = [
    "Comparison",
    "Difference",
    "ImageDifference",
    "compare_runs",
    "distinct_names",
    "measured_categories",
    "with_a_single_image",
]

_FEWEST_RESAMPLES = 50

_NAMED = 3
"""Categories that a note names; more are counted."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first run's metric minus the second's; fractions in 0..1.

    Attributes:
        first: the first run's metric; None if undefined.
        second: the second run's.
        difference: None if either is undefined.
        interval: 95 %, of a paired bootstrap over images; None where there is none.
        p_value: two-sided, that there is no difference; None without an interval.
        interval_over_categories: of a mean: the same where categories are drawn, too; otherwise None.
    """

    first: float | None
    second: float | None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    interval_over_categories: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """One image under two runs.

    Attributes:
        id: the sample.
        label: True if anomalous.
        scores: the image scores of both runs; None where an answer holds none.
        placements: for each run the fraction of the category's images of the other kind that this image is ranked
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
        mean: metric -> difference of the means over the categories in which both are defined.
        categories: category -> metric -> difference.
        delong: category -> DeLong's test of image AUROC, where it is defined.
        delong_mean: DeLong's test of the mean; None where no category has one.
        images: the images, those that are ranked most differently first.
    """

    names: tuple[str, ...]
    resamples: int
    notes: tuple[str, ...]
    mean: Mapping[str, Difference]
    categories: Mapping[str, Mapping[str, Difference]]
    delong: Mapping[str, DeLong]
    delong_mean: DeLong | None
    images: Sequence[ImageDifference]


@dataclass(frozen=True, eq=False)
class _Category:
    """A category of one run."""

    indices: list[int]
    """Where its measured images are among the run's predictions."""
    images: CategoryImages
    metrics: Mapping[str, Any]
    """Its entry in metrics.json."""
    samples: Mapping[str, BootstrapSamples]
    """Metric -> its values on resamples."""


def compare_runs(first: Run, second: Run, resamples: int = 1000, *, across_conditions: bool = False) -> Comparison:
    """Compare two runs, read with their predictions.

    Both are measured on the same resamples of the images, stratified by label within each category: an image that is
    hard for both runs does not make their difference uncertain.

    Args:
        first: a run.
        second: another run on the same images.
        resamples: how many bootstrap resamples are drawn, at least 50.
        across_conditions: whether runs of different models may also differ in prompt, division and so on.

    Raises:
        RunError: the runs are not comparable; the message says why.
        ConfigError: there are too few resamples.
    """
    if resamples < _FEWEST_RESAMPLES:
        raise ConfigError(f"A comparison needs {_FEWEST_RESAMPLES} resamples or more, not {resamples}.")
    notes = _check(first, second, across_conditions=across_conditions)
    if first.dir.resolve() == second.dir.resolve():
        notes.insert(0, "a run is compared with itself: every difference is 0")
    elif first.manifest == second.manifest and first.predictions == second.predictions:
        notes.insert(0, "the two folders are copies of one run: every difference is 0")
    if first.histograms is None or second.histograms is None:
        notes.append("one of the runs has no pixel counts, because an older version made it: run the same bench again")
    elif any(run.manifest.model.row == "dense" and any(run.histograms or ()) for run in (first, second)):
        notes.append("pixel intervals of a dense row come from counts at fixed thresholds")
    ours, theirs = _categories(first, resamples), _categories(second, resamples)
    if single := with_a_single_image({name: one.images for name, one in ours.items()}):
        notes.append(f"no interval for the mean and for {single}, with only one good or one defective image")
    categories = {
        name: {metric: _difference(metric, ours[name], theirs[name]) for metric in METRIC_NAMES} for name in ours
    }
    both_kinds = [name for name, one in ours.items() if one.images.labels.any() and not one.images.labels.all()]
    tests = {
        name: delong(ours[name].images.labels, ours[name].images.scores, theirs[name].images.scores)
        for name in both_kinds
    }
    images = [one for name in both_kinds for one in _image_differences(first, second, ours[name], theirs[name])]
    return Comparison(
        names=distinct_names((first, second)),
        resamples=resamples,
        notes=tuple(notes),
        mean={metric: _mean_difference(metric, ours, theirs, categories) for metric in METRIC_NAMES},
        categories=categories,
        delong=tests,
        delong_mean=mean_delong(list(tests.values())),
        images=sorted(images, key=lambda one: (-abs(one.placements[0] - one.placements[1]), one.id)),
    )


def distinct_names(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the runs' names, followed by the beginning of their hashes if two names are the same."""
    names = tuple(run.manifest.row_name for run in runs)
    if len(set(names)) == len(names):
        return names
    return tuple(f"{name} #{run.manifest.config_hash[:6]}" for name, run in zip(names, runs, strict=True))


def _check(first: Run, second: Run, *, across_conditions: bool) -> list[str]:
    """Return notes on the conditions in which two runs differ; refuse runs whose difference would mean nothing."""
    one, other = first.manifest, second.manifest
    for run in (first, second):
        n_images = run.manifest.dataset.n_images
        if len(run.predictions) != n_images:
            raise RunError(
                f"{run.dir}: {len(run.predictions)} predictions for {n_images} images; read the run with them."
            )
        if failed := sum(record.status in UNANSWERED for record in run.predictions):
            raise RunError(
                f"{run.dir}: {failed} of {n_images} questions were not answered, so a comparison would measure the "
                "connection, not the model. Run the same bench command again: it asks only these questions."
            )
    differ = _differing_conditions(one, other)
    other_model = one.model.name != other.model.name or one.model.identity != other.model.identity
    sizes = [manifest.protocol.get("image_size") for manifest in (one, other)]
    reason = ""
    if [(record.id, record.category, record.label) for record in first.predictions] != [
        (record.id, record.category, record.label) for record in second.predictions
    ] or one.dataset.fingerprint != other.dataset.fingerprint:
        measured = [f"{of.n_images} images of {of.name} ({of.fingerprint[:8]})" for of in (one.dataset, other.dataset)]
        reason = f"they did not measure the same images, but {' and '.join(measured)}"
    elif sizes[0] != sizes[1]:
        named = [f"{size} x {size} pixels" if size else "their own size" for size in sizes]
        reason = f"one measured images at {named[0]}, the other at {named[1]}"
    elif one.fpr_limit != other.fpr_limit:
        reason = (
            f"AUPRO goes up to a false-positive rate of {one.fpr_limit:g} in one, of {other.fpr_limit:g} in the other"
        )
    elif _left_out(first) != _left_out(second):
        reason = "they leave out different images without a usable answer. Run both with --on-failure zero"
    elif other_model and differ and not across_conditions:
        reason = (
            f"not only the model differs but also {', '.join(differ)}, so the cause of a difference would be unknown. "
            "Compare them anyway with --across-conditions"
        )
    if reason:
        raise RunError(f"The runs cannot be compared: {reason}.")
    return [f"they differ in {', '.join(differ)}"] if differ else []


def _differing_conditions(one: Manifest, other: Manifest) -> list[str]:
    """Name the conditions that differ; a baseline has no prompt and a dense row no division, which do not count."""
    pairs = {
        "row": (one.model.row, other.model.row),
        "division": (one.division.hash[:8], other.division.hash[:8]),
        "prompt": (one.prompt.hash[:8], other.prompt.hash[:8]),
        # A baseline without references does not mention shots.
        "shots": (one.protocol.get("shots") or 0, other.protocol.get("shots") or 0),
        **{
            name: (one.protocol.get(name), other.protocol.get(name))
            for name in ("binary", "scoring", "visual", "border_width", "number_size", "number_style")
        },
    }
    differ = []
    for name, values in pairs.items():
        absent = None in values or "" in values
        if values[0] != values[1] and not (absent and name != "scoring"):
            differ.append(f"{name} ({values[0]} and {values[1]})")
    return differ


def _left_out(run: Run) -> set[str]:
    """Return the images that the metrics leave out."""
    if run.manifest.on_failure == "zero":
        return set()
    return {record.id for record in run.predictions if record.image_score is None}


def measured_categories(run: Run) -> dict[str, tuple[list[int], CategoryImages]]:
    """Return each category's measured images, and where they are among the run's predictions."""
    left_out = _left_out(run)
    histograms = ScoreHistograms.of(run.histograms or [None] * len(run.predictions))
    indices: dict[str, list[int]] = {name: [] for name in run.manifest.dataset.categories}
    for index, record in enumerate(run.predictions):
        if record.id not in left_out:
            indices.setdefault(record.category, []).append(index)
    categories = {}
    for name, chosen in indices.items():
        pixels = histograms.take(chosen)
        images = CategoryImages(
            np.array([run.predictions[index].label for index in chosen], dtype=np.bool_),
            np.array([run.predictions[index].image_score or 0.0 for index in chosen]),
            pixels if pixels.measurable else None,
            run.manifest.fpr_limit,
        )
        categories[name] = (chosen, images)
    return categories


def with_a_single_image(categories: Mapping[str, CategoryImages]) -> str:
    """Name the categories whose metrics have no interval: one good or one defective image says nothing about others."""
    counts = {name: np.bincount(images.labels.astype(int), minlength=2) for name, images in categories.items()}
    names = [name for name, by_label in counts.items() if by_label.min() == 1]
    return ", ".join([*names[:_NAMED], *([f"{len(names) - _NAMED} more"] if len(names) > _NAMED else [])])


def _categories(run: Run, resamples: int) -> dict[str, _Category]:
    categories = {}
    for name, (indices, images) in measured_categories(run).items():
        metrics = run.metrics["categories"].get(name, {})
        samples = bootstrap(images, metrics, resamples, name) if indices else {}
        categories[name] = _Category(indices, images, metrics, samples)
    return categories


def _difference(metric: str, ours: _Category, theirs: _Category) -> Difference:
    first, second = ours.metrics.get(metric), theirs.metrics.get(metric)
    if first is None or second is None:
        return Difference(first, second)
    if metric not in ours.samples or metric not in theirs.samples:
        return Difference(first, second, first - second)
    samples = ours.samples[metric].minus(theirs.samples[metric])
    return Difference(first, second, first - second, samples.interval(), samples.p_value())


def _mean_difference(
    metric: str,
    ours: Mapping[str, _Category],
    theirs: Mapping[str, _Category],
    categories: Mapping[str, Mapping[str, Difference]],
) -> Difference:
    defined = {name: one[metric] for name, one in categories.items() if one[metric].difference is not None}
    if not defined:
        return Difference(None, None)
    first, second = (float(np.mean([getattr(one, side) for one in defined.values()])) for side in ("first", "second"))
    if any(one.interval is None for one in defined.values()):
        return Difference(first, second, first - second)
    samples = [ours[name].samples[metric].minus(theirs[name].samples[metric]) for name in defined]
    mean = mean_of(samples)
    wider = mean_of_resampled_categories(samples, categories).interval() if len(defined) > 1 else None
    return Difference(first, second, first - second, mean.interval(), mean.p_value(), wider)


def _image_differences(first: Run, second: Run, ours: _Category, theirs: _Category) -> list[ImageDifference]:
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
