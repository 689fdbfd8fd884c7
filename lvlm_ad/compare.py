"""Two runs on the same images: by how much their metrics differ, how sure that is, and on which images they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.metrics.delong import DeLong, delong, placements, two_sided_p_value
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.metrics.intervals import (
    BootstrapSamples,
    CategoryImages,
    bootstrap,
    mean_of,
    mean_of_resampled_categories,
)
from lvlm_ad.runs import METRIC_NAMES, Manifest, PredictionRecord, Run
from lvlm_ad.text2seg import UNANSWERED

__all__ = ["Comparison", "Difference", "ImageDifference", "compare_runs"]

_FEWEST = 50
"""Resamples; from fewer no interval can be told."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first run's metric minus the second's; fractions in 0..1.

    Attributes:
        first: the first run's; None if undefined.
        second: the second run's.
        difference: None if either is undefined.
        interval: 95 %, of a paired bootstrap over images; None without one.
        p_value: two-sided, that there is no difference; None without an interval.
        interval_over_categories: of a mean: the same where categories are drawn too; None elsewhere.
    """

    first: float | None
    second: float | None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    interval_over_categories: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """An image that two runs see differently.

    Attributes:
        id: the sample.
        label: True if anomalous.
        scores: the image scores of both runs; None where an answer holds none.
        placements: for each run the fraction of the category's images of the other kind on whose right side it stands.
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
        resamples: of the images, the same for both runs.
        notes: what a reader must know.
        mean: metric -> difference of the means over categories in which both are defined.
        categories: category -> metric -> difference.
        delong: category -> DeLong's test of image AUROC, where it is defined.
        delong_mean: the same of the mean; None where no category has one.
        images: where image scores rank most differently, most first.
    """

    names: tuple[str, str]
    resamples: int
    notes: tuple[str, ...]
    mean: Mapping[str, Difference]
    categories: Mapping[str, Mapping[str, Difference]]
    delong: Mapping[str, DeLong]
    delong_mean: DeLong | None
    images: Sequence[ImageDifference]


@dataclass(frozen=True, eq=False)
class _Category:
    """A category of one run.

    Attributes:
        tested: the images that were measured.
        metrics: its entry in metrics.json.
        samples: metric -> its values on resamples.
    """

    tested: CategoryImages
    metrics: Mapping[str, Any]
    samples: Mapping[str, BootstrapSamples]


def compare_runs(first: Run, second: Run, resamples: int = 1000, *, across_conditions: bool = False) -> Comparison:
    """Compare two runs, read with their predictions.

    Both are measured on the same resamples of the images, stratified by label within each category, so that what makes
    an image hard for both does not count as doubt.

    Args:
        first: a run.
        second: another one on the same images.
        resamples: how many times the images are drawn anew, at least 50.
        across_conditions: whether runs of different models may differ in how they were measured, too.

    Raises:
        RunError: the runs are not comparable; the message says why.
        ConfigError: there are too few resamples.
    """
    if resamples < _FEWEST:
        raise ConfigError(f"A comparison takes {_FEWEST} resamples or more, not {resamples}.")
    notes = _checked(first, second, across_conditions=across_conditions)
    if first.dir.resolve() == second.dir.resolve():
        notes.insert(0, "a run is compared with itself: every difference is 0")
    both = (_categories(first, resamples), _categories(second, resamples))
    categories = {
        name: {metric: _difference(metric, [side[name] for side in both]) for metric in METRIC_NAMES}
        for name in both[0]
    }
    tests = {}
    for name, one in both[0].items():
        labels = one.tested.labels
        if labels.any() and not labels.all():
            tests[name] = delong(labels, one.tested.scores, both[1][name].tested.scores)
    if any(run.histograms is None for run in (first, second)):
        notes.append("a run was made by an older version and holds no pixel counts: run the same bench again for them")
    elif any(run.manifest.model.row == "dense" and any(run.histograms or ()) for run in (first, second)):
        notes.append("intervals of a dense row's pixel metrics come from counts at fixed thresholds")
    return Comparison(
        names=_names(first, second),
        resamples=resamples,
        notes=tuple(notes),
        mean={metric: _mean_difference(metric, both, categories) for metric in METRIC_NAMES},
        categories=categories,
        delong=tests,
        delong_mean=_mean_delong(list(tests.values())),
        images=_images(first, second),
    )


def _names(first: Run, second: Run) -> tuple[str, str]:
    one, other = first.manifest, second.manifest
    if one.row_name != other.row_name:
        return one.row_name, other.row_name
    return f"{one.row_name} #{one.config_hash[:6]}", f"{other.row_name} #{other.config_hash[:6]}"


def _checked(first: Run, second: Run, *, across_conditions: bool) -> list[str]:
    """Return in which conditions two runs differ.

    Raises:
        RunError: a difference between them would mean nothing.
    """
    one, other = first.manifest, second.manifest
    for run in (first, second):
        if len(run.predictions) != run.manifest.dataset.n_images:
            raise RunError(
                f"{run.dir}: {len(run.predictions)} predictions for {run.manifest.dataset.n_images} images; "
                "read it with them."
            )
        failed = sum(record.status in UNANSWERED for record in run.predictions)
        if failed:
            raise RunError(
                f"{run.dir}: {failed} of {len(run.predictions)} questions were not answered, so a difference would "
                "measure the way to the endpoint. The same bench command asks for the others."
            )
    if one.dataset.fingerprint != other.dataset.fingerprint or _order(first) != _order(second):
        raise RunError(
            f"The runs cannot be compared: {first.dir.name} was measured on {_images_of(one)}, {second.dir.name} on "
            f"{_images_of(other)}, and the images are not the same."
        )
    sizes = [manifest.protocol.get("image_size") for manifest in (one, other)]
    if sizes[0] != sizes[1]:
        named = [f"{size} x {size} pixels" if size else "their own size" for size in sizes]
        raise RunError(f"The runs cannot be compared: images measured at {named[0]} and at {named[1]}.")
    if _left_out(first) != _left_out(second):
        raise RunError(
            "The runs cannot be compared: they leave out different images without a usable answer. Run both with "
            "--on-failure zero."
        )
    differ = _conditions(one, other)
    model = one.model.name != other.model.name or one.model.identity != other.model.identity
    if model and differ and not across_conditions:
        raise RunError(
            f"The runs cannot be compared: not only the model differs but also {', '.join(differ)}, so a difference "
            "could not be put down to either. --across-conditions compares them all the same."
        )
    return [f"they differ in {', '.join(differ)}"] if differ else []


def _conditions(one: Manifest, other: Manifest) -> list[str]:
    """Say in which conditions two runs differ; a baseline is asked nothing, and a dense row is not divided."""
    pairs = {
        "row": (one.model.row, other.model.row),
        "division": (one.division.hash[:8], other.division.hash[:8]),
        "prompt": (one.prompt.hash[:8], other.prompt.hash[:8]),
        # A baseline that takes no references says nothing of shots; a model that is shown none says 0.
        "shots": (one.protocol.get("shots") or 0, other.protocol.get("shots") or 0),
        **{
            name: (one.protocol.get(name), other.protocol.get(name))
            for name in ("binary", "scoring", "visual", "border_width", "number_size", "number_style")
        },
    }
    found = []
    for name, values in pairs.items():
        absent = None in values or "" in values
        if values[0] != values[1] and not (absent and name != "scoring"):
            found.append(f"{name} ({values[0]} and {values[1]})")
    return found


def _order(run: Run) -> list[tuple[str, bool]]:
    return [(record.id, record.label) for record in run.predictions]


def _images_of(manifest: Manifest) -> str:
    dataset = manifest.dataset
    return f"{dataset.n_images} images of {dataset.name} ({dataset.fingerprint[:8]})"


def _left_out(run: Run) -> set[str]:
    if run.manifest.on_failure == "zero":
        return set()
    return {record.id for record in run.predictions if record.image_score is None}


def _categories(run: Run, resamples: int) -> dict[str, _Category]:
    """Take a run apart by category, and draw the metrics of its resamples."""
    left_out = _left_out(run)
    histograms = ScoreHistograms.of(run.histograms or [None] * len(run.predictions))
    if len(histograms) != len(run.predictions):
        raise RunError(
            f"{run.dir} is damaged: {len(histograms)} images in pixels.npz, {len(run.predictions)} predicted."
        )
    found: dict[str, _Category] = {}
    for name in run.manifest.dataset.categories:
        chosen = [
            at for at, record in enumerate(run.predictions) if record.category == name and record.id not in left_out
        ]
        pixels = histograms.take(chosen)
        tested = CategoryImages(
            np.array([run.predictions[at].label for at in chosen], dtype=np.bool_),
            np.array([run.predictions[at].image_score or 0.0 for at in chosen]),
            pixels if pixels.complete else None,
        )
        metrics = run.metrics["categories"].get(name, {})
        samples = bootstrap(tested, metrics, resamples, name) if chosen else {}
        found[name] = _Category(tested, metrics, samples)
    return found


def _difference(metric: str, sides: Sequence[_Category]) -> Difference:
    first, second = (side.metrics.get(metric) for side in sides)
    if first is None or second is None:
        return Difference(first, second)
    if any(metric not in side.samples for side in sides):
        return Difference(first, second, first - second)
    draws = sides[0].samples[metric].minus(sides[1].samples[metric])
    return Difference(first, second, first - second, draws.interval(), draws.p_value())


def _mean_difference(
    metric: str, both: Sequence[Mapping[str, _Category]], categories: Mapping[str, Mapping[str, Difference]]
) -> Difference:
    chosen = {name: found[metric] for name, found in categories.items() if found[metric].difference is not None}
    if not chosen:
        return Difference(None, None)
    first, second = (float(np.mean([getattr(one, side) for one in chosen.values()])) for side in ("first", "second"))
    if any(one.interval is None for one in chosen.values()):
        return Difference(first, second, first - second)
    table = [both[0][name].samples[metric].minus(both[1][name].samples[metric]) for name in chosen]
    fixed = mean_of(table)
    wider = mean_of_resampled_categories(table, categories).interval() if len(chosen) > 1 else None
    return Difference(first, second, first - second, fixed.interval(), fixed.p_value(), wider)


def _mean_delong(tests: Sequence[DeLong]) -> DeLong | None:
    """Test the mean over categories, whose images are independent."""
    if not tests:
        return None
    difference = float(np.mean([one.difference for one in tests]))
    variances = [one.variance for one in tests]
    if None in variances:
        return DeLong(difference, None, None)
    variance = math.fsum(one for one in variances if one is not None) / len(tests) ** 2
    return DeLong(difference, variance, two_sided_p_value(difference, variance))


def _images(first: Run, second: Run) -> list[ImageDifference]:
    """Order the images by how differently they are ranked within their category."""
    found = []
    by_category: dict[str, list[tuple[PredictionRecord, PredictionRecord]]] = {}
    left_out = _left_out(first)
    for pair in zip(first.predictions, second.predictions, strict=True):
        if pair[0].id not in left_out:
            by_category.setdefault(pair[0].category, []).append(pair)
    for pairs in by_category.values():
        labels = np.array([one.label for one, _ in pairs])
        if labels.all() or not labels.any():
            continue
        placed = [placements(labels, np.array([pair[side].image_score or 0.0 for pair in pairs])) for side in (0, 1)]
        found += [
            ImageDifference(one.id, one.label, (one.image_score, other.image_score), (float(at[0]), float(at[1])))
            for (one, other), *at in zip(pairs, *placed, strict=True)
        ]
    return sorted(found, key=lambda one: (-abs(one.placements[0] - one.placements[1]), one.id))
