"""Checks that a run says what its own answers say: for leaderboards that take runs from others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.backend import Answer
from lvlm_ad.evaluate.facts import hash_of
from lvlm_ad.evaluate.scoring import answer_counts
from lvlm_ad.metrics.uncertainty import CategoryImages, draws_of, mean_intervals, measured
from lvlm_ad.records import TEXT_KEPT
from lvlm_ad.runs import METRIC_NAMES, Manifest, PredictionRecord, Run
from lvlm_ad.text2seg import UNANSWERED, read

if TYPE_CHECKING:
    from lvlm_ad.metrics.draws import Draws
    from lvlm_ad.metrics.tallies import PixelTally

__all__ = ["verify_run"]

_EXACT = 1e-9
"""Sums in another order may differ in the last digits."""

_COUNTED = 0.02
"""Pixel metrics of a dense row follow from counts at 256 thresholds to this much."""

_INTERVAL = 1e-4
"""Ends of intervals pass through quantiles and logarithms, which other versions of NumPy round otherwise."""

_MOST_RESAMPLES = 100_000

_FIGURES = 6
"""Decimals of the scores that a baseline writes."""


def verify_run(run: Run) -> list[str]:
    """Recompute what can be recomputed of a run, and say what does not agree.

    The hash of the configuration from the manifest; the scores of each image from the text of its answer; image
    metrics, counts and coverage from the predictions; pixel metrics from ``pixels.npz``, whose counts must fit the
    predicted scores; the intervals; tokens, costs and seconds. What cannot be known without the images and without
    asking again: whether the answers are the model's, and whether labels and counts are the ground truth's.

    Args:
        run: read with its predictions.

    Returns:
        What is wrong, a sentence each; empty: everything agrees.
    """
    return [*_manifest(run.manifest), *_answers(run), *_counts(run), *_metrics(run), *_usage(run)]


def _manifest(manifest: Manifest) -> list[str]:
    facts = manifest.model_dump(mode="json")
    for name in ("schema_version", "config_hash", "versions", "started", "seconds"):
        del facts[name]
    # What was not said about the question when the hash was made stands in the file with its default.
    asked = manifest.prompt.model_dump(mode="json")
    said = [{}, asked, {name: value for name, value in asked.items() if value is not None}]
    if all(hash_of({**facts, "prompt": prompt}) != manifest.config_hash for prompt in said):
        return ["run.json: the configuration is not the one that its hash was made of"]
    return []


def _answers(run: Run) -> list[str]:
    """Read the answers again."""
    if run.manifest.model.row == "dense" or run.manifest.protocol.get("scoring", "text") != "text":
        return []
    wrong, cut = [], []
    for record in run.predictions:
        if len(record.text) >= TEXT_KEPT:
            # What is left of a cut answer need not give its scores; that it gives none can be believed.
            if record.image_score is not None or record.regions:
                cut.append(record.id)
            continue
        found = read(Answer(record.text, record.outcome), record.n_regions)
        agree = _same(found.image, record.image_score) and _same_regions(found.regions, record.regions)
        if not agree or record.status not in {*UNANSWERED, found.status}:
            wrong.append(record.id)
    return [
        *([_first(wrong, "predictions.jsonl: scores or status are not those of the answer's text")] if wrong else []),
        *([_first(cut, "predictions.jsonl: the answer is cut, so its scores cannot be checked")] if cut else []),
    ]


def _same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=0, abs_tol=0.5 * 10**-_FIGURES)


def _same_regions(one: Mapping[int, float], other: Mapping[int, float]) -> bool:
    return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)


def _counts(run: Run) -> list[str]:
    """Hold the pixel counts against the predicted scores and the size of images."""
    if run.tallies is None:
        return ["pixels.npz is missing: pixel metrics cannot be checked"]
    if len(run.tallies) != len(run.predictions):
        return [f"pixels.npz: {len(run.tallies)} images, but {len(run.predictions)} predictions"]
    side = run.manifest.protocol.get("image_size") or 0
    wrong = []
    for record, tally in zip(run.predictions, run.tallies, strict=True):
        if tally is not None and not _fits(run, record, tally, side):
            wrong.append(record.id)
    return [_first(wrong, "pixels.npz: counts do not fit the predicted scores")] if wrong else []


def _fits(run: Run, record: PredictionRecord, tally: PixelTally, side: int) -> bool:
    anomalous = int(tally.anomalous.sum())
    if side and int(tally.normal.sum()) + anomalous != side * side:
        return False
    # A mask may vanish when it is brought to the size of measuring; a good image has none.
    if (anomalous and not record.label) or bool(anomalous) != bool(tally.n_regions):
        return False
    if not math.isclose(float(tally.overlap.sum()), tally.n_regions, rel_tol=0, abs_tol=1e-6):
        return False
    if run.manifest.model.row == "dense":
        return True
    binary = bool(run.manifest.protocol.get("binary"))
    values = [float(score > 0) if binary else score for score in record.regions.values()]
    known = np.array([0.0, *values])
    return bool(np.isclose(tally.scores[:, None], known[None], rtol=0, atol=_EXACT).any(axis=1).all())


def _metrics(run: Run) -> list[str]:
    """Compute the metrics of each category, and the mean, again."""
    problems: list[str] = []
    keep = run.manifest.on_failure == "zero"
    tallies = run.tallies or [None] * len(run.predictions)
    dense = run.manifest.model.row == "dense"
    again: dict[str, dict[str, float | None]] = {}
    resamples = _resamples(run)
    if resamples is None:
        return ["metrics.json: the number of resamples is none"]
    draws: dict[str, Mapping[str, Draws]] = {}
    if len(tallies) != len(run.predictions):
        return []
    for category in run.manifest.dataset.categories:
        chosen = [
            at
            for at, record in enumerate(run.predictions)
            if record.category == category and (keep or record.image_score is not None)
        ]
        pixels = [tally for at in chosen if (tally := tallies[at]) is not None]
        tested = CategoryImages(
            np.array([run.predictions[at].label for at in chosen], dtype=np.bool_),
            np.array([run.predictions[at].image_score or 0.0 for at in chosen]),
            pixels if pixels and len(pixels) == len(chosen) else None,
        )
        again[category] = {**dict.fromkeys(METRIC_NAMES), **(measured(tested) if chosen else {})}
        said = run.metrics["categories"].get(category, {})
        problems += _compared(again[category], said, category, dense=dense)
        # Pixels of a dense row were measured exactly; its counts only say how sure that is.
        centre = {
            name: said.get(name) if dense and name.startswith("pixel") else again[category][name]
            for name in again[category]
        }
        draws[category] = draws_of(tested, centre, resamples, category) if chosen and resamples else {}
        ends = {name: list(end) for name, one in draws[category].items() if (end := one.interval()) is not None}
        problems += _intervals(ends, said.get("interval", {}), category)
    mean: dict[str, float | None] = {}
    for name in METRIC_NAMES:
        defined = [value for one in again.values() if (value := one[name]) is not None]
        mean[name] = float(np.mean(defined)) if defined else None
    problems += _compared(mean, run.metrics["mean"], "the mean", dense=dense)
    of_mean = mean_intervals(draws) if resamples else {}
    for name in ("interval", "interval_over_categories"):
        problems += _intervals(of_mean.get(name, {}), run.metrics["mean"].get(name, {}), "the mean")
    usable = sum(record.image_score is not None for record in run.predictions)
    if run.metrics["answers"] != answer_counts(Counter(record.status for record in run.predictions), usable):
        problems.append("metrics.json: the counts of answers are not those of the predictions")
    if not _same(run.metrics.get("coverage"), usable / len(run.predictions)):
        problems.append("metrics.json: the coverage is not that of the predictions")
    return problems


def _resamples(run: Run) -> int | None:
    """Return how often images were drawn anew for the intervals; None where what is said of it cannot be."""
    said = run.metrics.get("intervals", {"resamples": 0})
    count = said.get("resamples") if isinstance(said, dict) else None
    return count if isinstance(count, int) and 0 <= count <= _MOST_RESAMPLES else None


def _intervals(found: Mapping[str, Any], said: Any, place: str) -> list[str]:
    """Compare intervals; resamples are drawn alike everywhere, so they agree but for rounding."""
    ends = {name: [float(end) for end in ends] for name, ends in found.items()}
    try:
        agree = said.keys() == ends.keys() and all(
            np.allclose(np.asarray(said[name], dtype=float), ends[name], rtol=0, atol=_INTERVAL) for name in ends
        )
    except (AttributeError, TypeError, ValueError):
        agree = False
    return [] if agree else [f"metrics.json: the intervals of {place} are not those of the predictions"]


def _usage(run: Run) -> list[str]:
    """Add up tokens, costs and seconds."""
    said, answered = run.metrics["usage"], [one for one in run.predictions if one.status not in UNANSWERED]
    found: dict[str, float | None] = {"seconds": sum(record.seconds for record in run.predictions)}
    for name in ("input_tokens", "output_tokens", "cost_usd"):
        values = [getattr(record, name) for record in answered]
        found[name] = None if None in values else sum(values)
    if run.manifest.model.kind == "baseline":
        found["cost_usd"] = 0.0
    elif not answered:
        found["cost_usd"] = None
    negative = any((getattr(record, name) or 0) < 0 for record in run.predictions for name in found)
    if negative or any(not _near(found[name], said.get(name)) for name in found):
        return ["metrics.json: tokens, cost or seconds are not those of the predictions"]
    return []


def _near(one: float | None, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return isinstance(other, int | float) and math.isclose(one, other, rel_tol=1e-9, abs_tol=_EXACT)


def _compared(found: Mapping[str, float | None], said: Mapping[str, Any], place: str, *, dense: bool) -> list[str]:
    problems = []
    for name in METRIC_NAMES:
        one, other = found[name], said.get(name)
        within = _COUNTED if dense and name.startswith("pixel") else _EXACT
        if (one is None) != (other is None) or (one is not None and other is not None and abs(one - other) > within):
            problems.append(f"metrics.json: {name} of {place} is {other}, the predictions give {one}")
    return problems


def _first(ids: list[str], what: str) -> str:
    return f"{what}: {ids[0]}" + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
