"""Checks that a run says what its own answers say: for leaderboards that take runs from others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from lvlm_ad.backend import Answer
from lvlm_ad.datasets.hashing import hash_rows
from lvlm_ad.datasets.sample import PUBLISHED_IMAGES
from lvlm_ad.evaluate.manifest import hash_of
from lvlm_ad.evaluate.measure import CategoryResult, Images, Scored, measure_category
from lvlm_ad.evaluate.summary import answer_counts, summary
from lvlm_ad.presets import Price
from lvlm_ad.runs import METRIC_NAMES, TEXT_KEPT, Manifest, PredictionRecord, Run
from lvlm_ad.text2seg import UNANSWERED, Scoring, read

if TYPE_CHECKING:
    from lvlm_ad.metrics.histograms import ScoreHistogram

__all__ = ["verify_run"]

_EXACT = 1e-9
"""Sums in another order may differ in the last digits."""

_COUNTED = 0.02
"""Pixel metrics of a dense row follow from counts at 256 thresholds to this much."""

_INTERVAL = 1e-4
"""Ends of intervals pass through quantiles and logarithms, which other versions of NumPy round otherwise."""

_MOST_RESAMPLES = 100_000

_NO_VALUES = np.empty(0)
"""A finished run's maps are gone."""

_FIGURES = 6
"""Decimals of the scores that a baseline writes."""


def verify_run(run: Run) -> list[str]:
    """Recompute what can be recomputed of a run, and say what does not agree.

    The hashes from the manifest and the predictions; the scores of each image from the text of its answer; every metric
    of ``metrics.json``, with intervals, ranges and what is undefined, from the predictions and ``pixels.npz``, whose
    counts must fit the predicted scores; tokens, costs and seconds. What cannot be known without the images and without
    asking again: whether the answers, the tokens and the prices are the model's, and whether labels and counts are the
    ground truth's.

    Args:
        run: read with its predictions.

    Returns:
        What is wrong, a sentence each; empty: everything agrees.
    """
    return [*_manifest(run), *_answers(run), *_counts(run), *_metrics(run), *_coverage(run), *_usage(run)]


def _manifest(run: Run) -> list[str]:
    """Hold the manifest against its hash and against the predictions."""
    manifest = run.manifest
    facts = manifest.model_dump(mode="json")
    for name in ("schema_version", "config_hash", "versions", "started", "seconds"):
        del facts[name]
    problems = []
    # What was not said about the question when the hash was made stands in the file with its default.
    asked = manifest.prompt.model_dump(mode="json")
    said = [{}, asked, {name: value for name, value in asked.items() if value is not None}]
    if all(hash_of({**facts, "prompt": prompt}) != manifest.config_hash for prompt in said):
        problems.append("run.json: the configuration is not the one that its hash was made of")
    if manifest.protocol.get("scoring", "text") not in get_args(Scoring):
        problems.append(f"run.json: there is no scoring {manifest.protocol['scoring']!r:.40}")
    if manifest.model.kind != "maps" and not manifest.protocol.get("image_size"):
        problems.append("run.json: images were measured at no size")
    published = PUBLISHED_IMAGES.get(manifest.dataset.name)
    if manifest.dataset.whole and published not in {None, len(run.predictions)}:
        problems.append(f"run.json: the whole of {manifest.dataset.name} has {published} images")
    return [*problems, *_images(run)]


def _images(run: Run) -> list[str]:
    """Hold what the manifest says of images and of the way to the model against the predictions."""
    manifest, problems = run.manifest, []
    ids = Counter(record.id for record in run.predictions)
    if len(ids) < len(run.predictions):
        problems.append(_first([name for name, count in ids.items() if count > 1], "predictions.jsonl: an image twice"))
    found = dict.fromkeys(record.category for record in run.predictions)
    if list(found) != manifest.dataset.categories:
        problems.append("run.json: the categories are not those of the predictions")
    if manifest.model.kind != "maps" and manifest.model.row == "regions":
        cut = hash_rows([record.id, record.division] for record in run.predictions)
        if cut != manifest.division.hash:
            problems.append("run.json: the division is not that of the predictions")
    if manifest.model.kind != "backend" and any(
        record.key or record.input_tokens is not None or record.output_tokens is not None for record in run.predictions
    ):
        problems.append("run.json: a model that was asked is called a baseline")
    return problems


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
    if run.histograms is None:
        return ["pixels.npz is missing: pixel metrics cannot be checked"]
    if len(run.histograms) != len(run.predictions):
        return [f"pixels.npz: {len(run.histograms)} images, but {len(run.predictions)} predictions"]
    side = run.manifest.protocol.get("image_size") or 0
    wrong = []
    for record, histogram in zip(run.predictions, run.histograms, strict=True):
        if histogram is not None and not _fits(run, record, histogram, side):
            wrong.append(record.id)
    return [_first(wrong, "pixels.npz: counts do not fit the predicted scores")] if wrong else []


def _fits(run: Run, record: PredictionRecord, histogram: ScoreHistogram, side: int) -> bool:
    anomalous = int(histogram.anomalous.sum())
    if side and int(histogram.normal.sum()) + anomalous != side * side:
        return False
    # A mask may vanish when it is brought to the size of measuring; a good image has none.
    if (anomalous and not record.label) or bool(anomalous) != bool(histogram.n_regions):
        return False
    if not math.isclose(float(histogram.overlap.sum()), histogram.n_regions, rel_tol=0, abs_tol=1e-6):
        return False
    if run.manifest.model.row == "dense":
        return True
    binary = bool(run.manifest.protocol.get("binary"))
    values = [float(score > 0) if binary else score for score in record.regions.values()]
    known = np.array([0.0, *values])
    return bool(np.isclose(histogram.scores[:, None], known[None], rtol=0, atol=_EXACT).any(axis=1).all())


def _metrics(run: Run) -> list[str]:
    """Measure each category again, and the mean."""
    histograms = run.histograms or [None] * len(run.predictions)
    dense = run.manifest.model.row == "dense"
    resamples = _resamples(run)
    if resamples is None:
        return ["metrics.json: the number of resamples is none"]
    if not resamples:
        return ["metrics.json: there are no intervals, without which nobody's rank is fair; bench --resamples 1000"]
    if len(histograms) != len(run.predictions):
        return []
    problems = []
    images = {category: Images() for category in run.manifest.dataset.categories}
    for record, histogram in zip(run.predictions, histograms, strict=True):
        of_category = images.setdefault(record.category, Images())
        of_category.add(Scored(record.label, record.image_score, _NO_VALUES, histogram))
    again: dict[str, CategoryResult] = {}
    for category, scored in images.items():
        said = run.metrics["categories"].get(category, {})
        # Pixels of a dense row were measured exactly; its counts only tell how sure that is, and whether it can be.
        exact = {name: said.get(name) for name in METRIC_NAMES if name.startswith("pixel")} if dense else {}
        again[category] = measure_category(scored, run.manifest.on_failure, category, resamples, _numbers(exact))
        problems += _compared(_checked(scored, again[category].metrics, run), said, category, dense=dense)
    if again.keys() != run.metrics["categories"].keys():
        problems.append("metrics.json: the categories are not those of the predictions")
    problems += _compared(_known(summary(again), run), run.metrics["mean"], "the mean", dense=dense)
    return problems


def _coverage(run: Run) -> list[str]:
    """Count the answers again."""
    problems = []
    statuses = Counter(record.status for record in run.predictions)
    usable = sum(record.image_score is not None for record in run.predictions)
    if run.metrics["answers"] != answer_counts(statuses, usable):
        problems.append("metrics.json: the counts of answers are not those of the predictions")
    if run.manifest.model.kind == "backend":
        outcomes = Counter(record.outcome for record in run.predictions if record.status not in UNANSWERED)
        if run.metrics.get("outcomes") != outcomes:
            problems.append("metrics.json: the outcomes are not those of the predictions")
    if not _same(run.metrics.get("coverage"), usable / len(run.predictions)):
        problems.append("metrics.json: the coverage is not that of the predictions")
    return problems


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what can be a metric's value of what a stranger's file gives."""
    return {
        name: value
        for name, value in metrics.items()
        if value is None or (isinstance(value, float) and 0 <= value <= 1)
    }


def _checked(images: Images, again: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Return a category's metrics as far as they can be recomputed; of a dense row's pixels from the counts alone."""
    found = _known(again, run)
    if run.manifest.model.row == "dense":
        counted = measure_category(images, run.manifest.on_failure).metrics
        found |= {name: counted[name] for name in METRIC_NAMES}
    return found


def _known(again: Mapping[str, Any], run: Run) -> dict[str, Any]:
    """Leave out what does not follow from the files of a run."""
    found = dict(again)
    if run.manifest.model.row == "dense":
        for name in ("pixel_aupro_rescaled", "pixels_at_lowest_score"):
            found.pop(name, None)
    if run.manifest.on_failure == "exclude" and "range" in found:
        # Of images that are left out no counts are kept.
        found["range"] = {name: ends for name, ends in found["range"].items() if name.startswith("image")}
    return found


def _resamples(run: Run) -> int | None:
    """Return how often images were drawn anew for the intervals; None where what is said of it cannot be."""
    said = run.metrics.get("intervals", {"resamples": 0})
    count = said.get("resamples") if isinstance(said, dict) else None
    return count if isinstance(count, int) and 0 <= count <= _MOST_RESAMPLES else None


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
    problems = []
    if negative or any(not _near(found[name], said.get(name)) for name in found):
        problems.append("metrics.json: tokens, cost or seconds are not those of the predictions")
    total, spent = found["cost_usd"], said.get("spent_usd")
    if spent is not None and not (total is not None and 0 <= spent <= total + _EXACT):
        problems.append("metrics.json: more was spent than the answers cost")
    if wrong := [record.id for record in answered if not _is_priced(record, run.manifest)]:
        problems.append(_first(wrong, "predictions.jsonl: the cost is not that of the tokens at the run's own price"))
    return problems


def _is_priced(record: PredictionRecord, manifest: Manifest) -> bool:
    """Whether a cost can be that of the tokens: how many of them were cached, or asked in a batch, is not recorded."""
    if manifest.model.kind != "backend" or record.input_tokens is None or record.output_tokens is None:
        return True
    price = Price.model_validate(manifest.model.price)
    most = price.cost(record.input_tokens, 0, record.output_tokens)
    least = price.cost(record.input_tokens, record.input_tokens, record.output_tokens, batch=True)
    if most is None or least is None:
        return record.cost_usd is None
    return record.cost_usd is not None and min(most, least) - _EXACT <= record.cost_usd <= max(most, least) + _EXACT


def _near(one: float | None, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return isinstance(other, int | float) and math.isclose(one, other, rel_tol=1e-9, abs_tol=_EXACT)


def _compared(found: Mapping[str, Any], said: Mapping[str, Any], place: str, *, dense: bool) -> list[str]:
    """Compare what was measured again with what a run says."""
    problems = []
    for name, value in found.items():
        told = said.get(name)
        if name in {"interval", "interval_over_categories"}:
            if not _agree(value, told, _INTERVAL):
                problems.append(f"metrics.json: the intervals of {place} are not those of the predictions")
        elif name in {"range", "undefined"}:
            # Where only a part can be recomputed, that part must be there.
            part = {key: told[key] for key in value if key in told} if isinstance(told, dict) else told
            whole = told if name == "undefined" else part
            if not _agree(value, whole, _EXACT):
                problems.append(f"metrics.json: what is {name} in {place} is not what the predictions give")
        elif not _agree(value, told, _COUNTED if dense and name.startswith("pixel") else _EXACT):
            problems.append(f"metrics.json: {name} of {place} is {told!r:.40}, the predictions give {value!r:.40}")
    shown = {"interval", "interval_over_categories", "range", "undefined", *METRIC_NAMES}
    if unfounded := sorted((said.keys() & shown) - found.keys()):
        problems.append(f"metrics.json: {unfounded[0]} of {place} does not follow from the predictions")
    return problems


def _agree(found: Any, said: Any, within: float) -> bool:
    """Whether two values from JSON are the same but for rounding."""
    if isinstance(found, dict):
        return (
            isinstance(said, dict)
            and found.keys() == said.keys()
            and all(_agree(value, said[name], within) for name, value in found.items())
        )
    if isinstance(found, list):
        return (
            isinstance(said, list)
            and len(found) == len(said)
            and all(_agree(one, other, within) for one, other in zip(found, said, strict=True))
        )
    if isinstance(found, float) and isinstance(said, float | int):
        return abs(found - said) <= within
    return bool(found == said)


def _first(ids: list[str], what: str) -> str:
    return f"{what}: {ids[0]}" + (f" and {len(ids) - 1} more" if len(ids) > 1 else "")
