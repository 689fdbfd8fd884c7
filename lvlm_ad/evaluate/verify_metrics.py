"""``leaderboard --verify``: the metrics of a run, computed again from its predictions and pixel counts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.evaluate.decide import DecisionSettings, alarms_of
from lvlm_ad.evaluate.groups import BINARY_METRICS, group_entries, group_metrics
from lvlm_ad.evaluate.images import Images
from lvlm_ad.evaluate.measure import CategoryResult, measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.limits import RESAMPLES
from lvlm_ad.metrics.binary import MapThreshold
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.runs import INTERVAL_RULE, METRIC_NAMES, Manifest, PredictionRecord, Run, reported_of

if TYPE_CHECKING:
    from lvlm_ad.metrics.histograms import ScoreHistogram

__all__ = ["EXACT", "RANDOM", "close", "differences", "interval_rule", "metric_differences"]

EXACT, RANDOM, _COUNTED = 1e-9, 1e-4, 0.02
"""Tolerances: of sums in another order; of what random draws decide, which other versions of NumPy round differently;
of an own map's pixel metrics, recomputed at 256 thresholds."""

_Both = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What is computed, and what is recorded."""

_OF_PIXELS = ("pixel", "au_spro")
"""How the names of metrics begin that are computed from the pixels by score."""


def metric_differences(run: Run, pairs: Sequence[tuple[PredictionRecord, ScoreHistogram | None]]) -> Iterator[str]:
    """Compute every metric again, with intervals, ranges and reasons, and say what differs.

    ``pairs`` are the run's predictions, each with the pixels of its image by score.
    """
    manifest, recorded = run.manifest, run.metrics["categories"]
    # Intervals of an older rule are not checked: no table uses them.
    checked = interval_rule(run) == INTERVAL_RULE
    resamples = run.metrics["intervals"].get("resamples", 0) if checked else 0
    if resamples > RESAMPLES:
        yield f"metrics.json: {resamples} resamples are more than any bench draws, {RESAMPLES}"
        return
    if recorded.keys() != set(manifest.dataset.categories):
        yield "metrics.json: the categories are not those of the predictions"
        return
    reported, cuts = reported_of(run.metrics), run.metrics.get("map_thresholds", {})
    by_pixels = [name for name in dict.fromkeys((*METRIC_NAMES, *reported)) if name.startswith(_OF_PIXELS)]
    # Version 0.1.0 measured no pixels in a category with an unknown mask, and wrote no count.
    images = {
        category: Images(
            fpr_limit=manifest.fpr_limit,
            needs_all_masks="n_with_truth" not in recorded[category],
            places=manifest.method.places,
            reported=reported,
            map_threshold=MapThreshold(cuts[category]["value"], "", "") if category in cuts else None,
        )
        for category in manifest.dataset.categories
    }
    channels = run.channels or [None] * len(pairs)
    for (record, histogram), of_channels in zip(pairs, channels, strict=True):
        images[record.category].add(
            record.label,
            record.image_score,
            histogram,
            measures=record.measures,
            kind=record.defect,
            part=record.part,
            channels=of_channels,
            cut=record.cut,
            has_score=record.has_score,
        )
    results: dict[str, CategoryResult] = {}
    for category, scored in images.items():
        exact = None
        if manifest.model.row == "dense":
            # Pixels of an own map were measured exactly; their counts say how sure that is, and whether it can be.
            exact = {name: recorded[category].get(name) for name in by_pixels}
            counted = measure_category(scored, manifest.on_failure).metrics
            for name in by_pixels:
                yield from differences(counted.get(name), exact[name], f"{name} of {category}", _COUNTED)
        results[category] = measure_category(scored, manifest.on_failure, category, resamples, exact)
    places: dict[str, _Both] = {"the mean": (summary(results), run.metrics["mean"])}
    places |= {category: (one.metrics, recorded[category]) for category, one in results.items()}
    places |= _groups(run, resamples)
    for place, both in places.items():
        expected, written = (_recomputable(metrics, manifest, intervals=checked) for metrics in both)
        for name in dict.fromkeys([*expected, *written]):
            tolerance = RANDOM if name.startswith("interval") else EXACT
            yield from differences(expected.get(name), written.get(name), f"{name} of {place}", tolerance)


def _groups(run: Run, resamples: int) -> dict[str, _Both]:
    """Measure kinds and sizes of defects again; returns place -> computed and recorded. Older runs have none."""
    recorded = group_entries(run.metrics)
    if not recorded or run.histograms is None:
        return {}
    alarms = {}
    if "decisions" in run.metrics:
        alarms = alarms_of(DecisionSettings.recorded(run.metrics), run.predictions, run.threshold_records)
    # Older runs have no SegF1 and ClassF1 of tags.
    absent = {name for name in BINARY_METRICS if not any(name in entry for entry in recorded.values())}
    reported = [name for name in reported_of(run.metrics) if name not in absent]
    counted, places = (run.manifest.on_failure, run.manifest.fpr_limit, resamples), run.manifest.method.places
    expected = group_entries(
        group_metrics(
            run.predictions,
            ScoreHistograms.of(run.histograms),
            *counted,
            alarms,
            places,
            reported=reported,
            channels=None if run.channels is None else ScoreHistograms.of(run.channels),
        )
    )
    return {place: (expected.get(place, {}), recorded.get(place, {})) for place in {**expected, **recorded}}


def interval_rule(run: Run) -> Any:
    """Return how the run's intervals were computed; see ``INTERVAL_RULE``."""
    return run.metrics.get("intervals", {}).get("rule", 1)


def _recomputable(metrics: Mapping[str, Any], manifest: Manifest, *, intervals: bool) -> dict[str, Any]:
    """Leave out what does not follow from the files of a run."""
    out = {"pixel_aupro_rescaled", "pixels_at_lowest_score"} if manifest.model.row == "dense" else set()
    if not intervals:
        out |= {"interval", "interval_over_categories", "no_interval", "few_images", "bound_at_extreme"}
    kept = {name: value for name, value in metrics.items() if name not in out}
    if manifest.on_failure == "exclude" and isinstance(kept.get("range"), dict):
        # Of images that are left out no pixel counts are kept.
        kept["range"] = {name: ends for name, ends in kept["range"].items() if name.startswith("image")}
    return kept


def differences(expected: Any, recorded: Any, place: str, tolerance: float = EXACT) -> Iterator[str]:
    """Give a sentence if a recorded value is not the expected one."""
    if not close(expected, recorded, tolerance):
        yield f"metrics.json: {place} is {recorded!r:.60}, the predictions give {expected!r:.60}"


def close(one: Any, other: Any, tolerance: float) -> bool:
    """Return whether two JSON values are the same, numbers within a tolerance."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(close(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(close(*pair, tolerance) for pair in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=0, abs_tol=tolerance)
    return bool(one == other)
