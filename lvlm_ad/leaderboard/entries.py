"""The rows of a leaderboard: what a run's files say about its method, and the notes that a reader needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lvlm_ad.decisions.figures import RATES
from lvlm_ad.leaderboard.choice_values import (
    RANKING,
    accuracy_title,
    choice_intervals,
    choice_note,
    choice_values,
    values_by_source,
)
from lvlm_ad.leaderboard.marks import marks_of
from lvlm_ad.metrics.front import usd_per_point
from lvlm_ad.metrics.shapes import POINT_METRICS, SHAPE_METRICS
from lvlm_ad.runs import METRIC_NAMES, Manifest, Run, is_reported, metric_title, reported_of, usd_per_image
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.leaderboard.evidence import Evidence

__all__ = [
    "ALL_SHAPE_METRICS",
    "LOWER_IS_BETTER",
    "Entry",
    "make_entry",
    "model_in_words",
    "outcomes",
    "undefined_notes",
]

ALL_SHAPE_METRICS = (*SHAPE_METRICS, *POINT_METRICS)
"""The metrics of shapes, as in "shapes" of metrics.json, in the order of tables."""

LOWER_IS_BETTER = {"false_alarms", "choice_unread"}
"""Metrics of which a lower value is better."""

_VALUE_KEPT = 24
"""Characters of an option's value in a note; hashes are long."""


@dataclass(frozen=True)
class Entry:
    """One row of a leaderboard.

    Attributes:
        name: the model and its method, with marks in square brackets; see ``marks_of``.
        kind: "ranked"; "frame" (a reference row: chance, contrast, oracle); "apart" (it cannot be ranked with the
            others, for ``reason``); "published" (its authors' number, not measured here).
        rank: the lowest and the highest rank that the row may have among the ranked rows of its table, with 95 %
            confidence for all rows together. None for rows that are not ranked, and where images are too few to rank.
        metrics: metric -> fraction in 0..1, or None; with the metrics of shapes and of questions, if the run has them.
        intervals: metric -> lower and upper end of its 95 % interval; metrics without an interval are missing.
        coverage: the fraction of images with a usable answer; None for published rows.
        cost_usd: cost of all answers; None if unknown.
        usd_per_image: cost of one image that was asked about, whether or not it was answered.
        usd_per_point: cost of each percent of image AUROC above 50, which is chance; None where the interval of image
            AUROC does not lie above chance, and where some images were not answered.
        difference: the metric that ranks minus that of the best row that can be ranked, at most 0; None for that row.
        difference_interval: its 95 % interval.
        may_be_on_front: whether no ranked row is surely better in image AUROC and costs no more; None without a
            cost.
        front_probability: the probability that the row is on the front with other images; None without a cost, and for
            a row that is ranked alone.
        reason: why a row that is "apart" has no rank; the first of its notes.
        notes: what a reader must know about the row.
        run: the run folder's name; empty for published rows.
        categories: category -> metric -> fraction in 0..1, or None.
        sources: source of multiple-choice questions -> accuracy -> fraction in 0..1, or None.
        category_intervals: category -> metric -> lower and upper end of its 95 % interval.
        decisions: "decisions" of metrics.json without its curves; empty if the run has none.
        reported: the metrics that the data set's authors report, in their order.
        conditions: of rows in a table of published results, and of published rows: trained_on, shots, method, source.
    """

    name: str
    kind: Literal["ranked", "frame", "apart", "published"]
    rank: tuple[int, int] | None
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    coverage: float | None = None
    cost_usd: float | None = None
    usd_per_image: float | None = None
    usd_per_point: float | None = None
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    may_be_on_front: bool | None = None
    front_probability: float | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    run: str = ""
    categories: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    category_intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    decisions: Mapping[str, Any] = field(default_factory=dict)
    reported: tuple[str, ...] = ()
    conditions: Mapping[str, Any] = field(default_factory=dict)


def make_entry(
    run: Run,
    namesakes: Sequence[Manifest],
    sort: str,
    evidence: Evidence,
    *,
    verified: bool,
    unchecked: bool = False,
) -> Entry:
    """Return a run's row, without its rank.

    Args:
        run: the run.
        namesakes: the table's runs of the same name, with this one.
        sort: the metric that ranks.
        evidence: reads what ranks need of runs.
        verified: whether the run was recomputed.
        unchecked: whether to note that labels and pixel counts were not compared with the data set.
    """
    manifest, metrics = run.manifest, evidence.metrics(run)
    mean = metrics["mean"]
    why_apart = _why_apart(run, metrics, sort, verified=verified)
    reference_row = manifest.model.frame and manifest.model.row != "dense"
    notes = [why_apart] if why_apart and not reference_row else []
    copies = sum(one.config_hash == manifest.config_hash for one in namesakes)
    if copies > 1:
        notes.append(f"one of {copies} runs with the same configuration: {run.dir.name}")
    if unchecked:
        notes.append("labels and pixel counts were not compared with the images and masks")
    marks = {} if reference_row else marks_of(manifest, metrics)
    name = f"{manifest.row_name} #{manifest.config_hash[:6]}" if len(namesakes) > 1 else manifest.row_name
    return Entry(
        name=f"{name} [{', '.join(marks)}]" if marks else name,
        kind="frame" if reference_row else "apart" if why_apart else "ranked",
        rank=None,
        metrics={**_values(mean), **choice_values(metrics)},
        intervals={**_intervals(mean), **choice_intervals(metrics)},
        coverage=metrics.get("coverage"),
        cost_usd=metrics["usage"]["cost_usd"],
        usd_per_image=usd_per_image(metrics),
        usd_per_point=_usd_per_point(metrics),
        reason="" if reference_row else why_apart,
        notes=(*notes, *_model_notes(manifest, namesakes), *marks.values(), *_result_notes(run)),
        run=run.dir.name,
        categories={name: _values(of) for name, of in metrics["categories"].items()},
        sources=values_by_source(metrics),
        category_intervals={name: _intervals(of) for name, of in metrics["categories"].items()},
        decisions=_decisions(metrics),
        reported=reported_of(metrics),
    )


def _values(measures: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the metrics that the data set has of its own, the seven, and those of shapes if there are any."""
    own = {name: value for name, value in measures.items() if is_reported(name)}
    places = {name: value for name, value in measures.get("shapes", {}).items() if name in ALL_SHAPE_METRICS}
    return {**own, **{metric: measures.get(metric) for metric in METRIC_NAMES}, **places}


def _intervals(measures: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    intervals = {**measures.get("interval", {}), **measures.get("shapes", {}).get("interval", {})}
    return {metric: (low, high) for metric, (low, high) in intervals.items()}


def _usd_per_point(metrics: Mapping[str, Any]) -> float | None:
    mean, answers, cost = metrics["mean"], metrics["answers"], metrics["usage"]["cost_usd"]
    if any(answers.get(status) for status in UNANSWERED):
        return None
    return usd_per_point(cost, mean.get("image_auroc"), mean.get("interval", {}).get("image_auroc"))


def _decisions(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the columns need of "decisions" in metrics.json, without its curves; empty if it has none."""
    found: Mapping[str, Any] = metrics.get("decisions") or {}
    parts: dict[str, Any] = {
        name: found[name] for name in ("threshold", "kind", "prevalence", "mean", "pooled", "cost") if name in found
    }
    for name, keys in (("calibration", ("brier", "ece")), ("abstention", ("max_coverage",))):
        if found.get(name):
            parts[name] = {key: found[name].get(key) for key in keys}
    if found.get("categories"):
        of_each = found["categories"].items()
        parts["categories"] = {category: {rate: of.get(rate) for rate in RATES} for category, of in of_each}
    return parts


def outcomes(answers: Mapping[str, int]) -> str:
    """Describe how many images have no usable answer and why; empty if every answer ended well.

    Args:
        answers: "answers" of metrics.json.

    Example:
        >>> outcomes({"total": 10, "usable": 6, "ok": 2, "refused": 3, "truncated": 5})
        '4 of 10 images have no usable answer: 3 refused, 5 truncated (4 of these 8 have a score)'
    """
    statuses = ("refused", "unparsable", "truncated", *UNANSWERED)
    counts = ", ".join(f"{answers[status]} {status}" for status in statuses if answers.get(status))
    missing = answers["total"] - answers["usable"]
    affected = sum(answers.get(status, 0) for status in statuses)
    if not counts:
        return ""
    if not missing:
        return f"{counts}, but with a score"
    # An answer that was cut off may contain its score already.
    scored = affected - missing
    rest = f" ({scored} of these {affected} {'has' if scored == 1 else 'have'} a score)" if scored > 0 else ""
    return f"{missing} of {answers['total']} images have no usable answer: {counts}{rest}"


def _why_apart(run: Run, metrics: Mapping[str, Any], sort: str, *, verified: bool) -> str:
    """Return why a row cannot be ranked; empty if it can."""
    manifest, mean = run.manifest, metrics["mean"]
    title, value, intervals = metric_title(sort), mean.get(sort), mean.get("interval", {})
    if sort in RANKING:
        title, value, intervals = accuracy_title(sort), choice_values(metrics).get(sort), choice_intervals(metrics)
    no_interval = mean.get("no_interval", {}).get(sort, "too few images")
    if not no_interval.startswith("no "):
        no_interval = f"no interval: {no_interval}"
    if manifest.model.row == "dense":
        return "maps from files" if manifest.model.kind == "maps" else "own anomaly map, not scored by region"
    excluded = manifest.on_failure == "exclude" and sort not in RANKING and mean["n_measured"] < mean["n_images"]
    expected = manifest.protocol.get("scoring") == "expected"
    by_probability = bool(metrics.get("findings", {}).get("probability"))
    reasons = {
        "it is given the ground truth": manifest.model.sees_truth,
        "no answer is usable": run.metrics.get("coverage") == 0,
        "some images were not answered; run the same command again to ask for them": any(
            run.metrics["answers"].get(status) for status in UNANSWERED
        ),
        "expected scores cannot be verified: a run does not store probabilities": verified and expected,
        "P(yes) cannot be verified: a run does not store probabilities": verified and by_probability,
        f"its {title} is undefined": value is None,
        f"measured on {mean['n_measured']} of {mean['n_images']} images; failed images were left out": excluded,
        f"{title}: {no_interval}": sort not in intervals,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def model_in_words(identity: Mapping[str, Any]) -> str:
    """Return which model was asked, and at which address; empty for what has no model.

    Example:
        >>> model_in_words({"model": "gpt-4o", "base_url": "https://api.openai.com/v1"}), model_in_words({"seed": 0})
        ('gpt-4o at https://api.openai.com/v1', '')
    """
    if "model" not in identity:
        return ""
    return " at ".join(str(identity[key]) for key in ("model", "base_url") if key in identity)


def _model_notes(manifest: Manifest, namesakes: Sequence[Manifest]) -> list[str]:
    """Return what was asked, and the options in which the row differs from its namesakes."""
    identity = manifest.model.identity
    notes = []
    if "model" in identity:
        notes.append(model_in_words(identity))
    options = sorted({key for one in namesakes for key in one.model.identity} - {"model", "base_url"})
    differing = [
        f"{key} {str(identity.get(key, 'not set'))[:_VALUE_KEPT]}"
        for key in options
        if any(one.model.identity.get(key) != namesakes[0].model.identity.get(key) for one in namesakes)
    ]
    if differing:
        notes.append(", ".join(differing))
    notes += manifest.model.notes
    if manifest.prompt.own:
        convention = manifest.method.convention.get("name", "?")
        notes.append(f"asked with the prompt {manifest.prompt.name}; coordinates read as {convention}")
    if manifest.prompt.with_schema is False:
        notes.append("the endpoint was not given the JSON schema")
    if not manifest.prompt.zero_knowledge:
        notes.append("not zero-knowledge: the prompt names the kinds of defect")
    return notes


def _result_notes(run: Run) -> list[str]:
    """Return what must be known about the scores, the answers and the metrics."""
    metrics, mean = run.metrics, run.metrics["mean"]
    notes: list[str] = []
    if run.manifest.protocol.get("scoring") == "expected":
        scores: Mapping[str, Any] = metrics.get("scores", {})
        expected, total = scores.get("expected"), scores.get("total")
        others = "" if expected == total else f" ({expected} of {total}; the others as written)"
        notes.append(f"scores are expected values{others}")
    notes += filter(None, [outcomes(metrics["answers"]), choice_note(metrics)])
    notes += undefined_notes(mean)
    notes += undefined_notes({"undefined": mean.get("shapes", {}).get("undefined", {})})
    if mean.get("image_auroc") is not None and "image_auroc" in mean.get("range", {}):
        low, high = mean["range"]["image_auroc"]
        notes.append(f"image AUROC between {100 * low:.1f} and {100 * high:.1f}, depending on the missing answers")
    return notes


def undefined_notes(mean: Mapping[str, Any]) -> list[str]:
    """Say which metrics are undefined and why, and whether pixel metrics cover only some images.

    Reasons for the same categories share one note.

    Args:
        mean: "mean" of metrics.json.

    Example:
        >>> where = "undefined in 1 of 1 categories (nut)"
        >>> undefined_notes({"undefined": {"image_ap": f"{where}: no image is anomalous", "pixel_ap": f"{where}: x"}})
        ['undefined in 1 of 1 categories (nut): no image is anomalous, x']
        >>> undefined_notes({"undefined": {"pixel_ap": f"{where}: x"}})
        ['pixel metrics: undefined in 1 of 1 categories (nut): x']
    """
    reasons: dict[str, dict[str, None]] = {}
    metrics: dict[str, list[str]] = {}
    for metric, text in mean.get("undefined", {}).items():
        where, _, reason = text.rpartition(": ")
        reasons.setdefault(where, {})[reason] = None
        metrics.setdefault(where, []).append(metric)
    notes = []
    for where, texts in reasons.items():
        subject = []
        if where and all(metric.startswith("pixel_") for metric in metrics[where]):
            subject = ["pixel metrics"]
        elif all(is_reported(metric) for metric in metrics[where]):
            subject = [", ".join(map(metric_title, metrics[where]))]
        notes.append(": ".join([*subject, *filter(None, [where]), ", ".join(texts)]))
    if mean.get("n_with_truth") is not None:
        notes.append(f"pixel metrics of the {mean['n_with_truth']} images whose ground truth is known")
    return notes
