"""One row of a leaderboard: what it takes from a run, whether it is ranked, and the notes beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lvlm_ad.presets import published_rows
from lvlm_ad.runs import METRIC_NAMES, Manifest, Run
from lvlm_ad.text2seg import UNANSWERED

__all__ = ["Entry", "entry_of", "outcomes", "published_entries"]

_VALUE_KEPT = 24
"""Characters of an option's value in a note; hashes are long."""

_CHANCE = 50
"""Image AUROC of guessing, in percent."""


@dataclass(frozen=True)
class Entry:
    """One row of a leaderboard.

    Attributes:
        name: the model.
        kind: "ranked"; "frame" (a reference row: chance, contrast, oracle); "apart" (not comparable with the ranked
            rows; the notes say why); "published" (its authors' number, not measured here).
        rank: 1 + the number of ranked rows that are better by more than their uncertainty: whose interval lies above
            this row's, or, without intervals, whose value does. None for rows that are not ranked.
        metrics: metric -> fraction in 0..1, or None.
        intervals: metric -> lower and upper end of its 95 % interval; metrics without an interval are missing.
        coverage: the fraction of images with a usable answer; None for published rows.
        cost_usd: cost of all answers; None if unknown.
        usd_per_image: cost of one answered image.
        usd_per_point: cost of each percent of image AUROC above 50, which is chance; None at chance or below, and
            where some images were not answered.
        notes: what a reader must know about the row.
        run: the run folder's name; empty for published rows.
        categories: category -> metric -> fraction in 0..1, or None.
    """

    name: str
    kind: Literal["ranked", "frame", "apart", "published"]
    rank: int | None
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    coverage: float | None = None
    cost_usd: float | None = None
    usd_per_image: float | None = None
    usd_per_point: float | None = None
    notes: tuple[str, ...] = ()
    run: str = ""
    categories: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)


def entry_of(run: Run, namesakes: Sequence[Manifest], *, verified: bool) -> Entry:
    """Return a run's row, without its rank.

    Args:
        run: the run.
        namesakes: the manifests of the table's runs with the same name, this run's among them.
        verified: whether runs were recomputed.
    """
    manifest, metrics = run.manifest, run.metrics
    mean, answers = metrics["mean"], metrics["answers"]
    why_apart = _why_apart(run, verified=verified)
    cost = metrics["usage"]["cost_usd"]
    answered = answers["total"] - sum(answers.get(status, 0) for status in UNANSWERED)
    points = 100 * (mean.get("image_auroc") or 0.0) - _CHANCE
    reference_row = manifest.model.frame and manifest.model.row != "dense"
    notes = [why_apart] if why_apart and not reference_row else []
    copies = sum(one.config_hash == manifest.config_hash for one in namesakes)
    if copies > 1:
        notes.insert(0, f"one of {copies} runs with the same configuration: {run.dir.name}")
    return Entry(
        name=f"{manifest.row_name} #{manifest.config_hash[:6]}" if len(namesakes) > 1 else manifest.row_name,
        kind="frame" if reference_row else "apart" if why_apart else "ranked",
        rank=None,
        metrics={metric: mean.get(metric) for metric in METRIC_NAMES},
        intervals={metric: (low, high) for metric, (low, high) in mean.get("interval", {}).items()},
        coverage=metrics.get("coverage"),
        cost_usd=cost,
        usd_per_image=None if cost is None or not answered else cost / answered,
        usd_per_point=None if cost is None or points <= 0 or answered < answers["total"] else cost / points,
        notes=(*notes, *_model_notes(manifest, namesakes), *_result_notes(run)),
        run=run.dir.name,
        categories={
            name: {metric: of.get(metric) for metric in METRIC_NAMES} for name, of in metrics["categories"].items()
        },
    )


def published_entries(dataset: str) -> list[Entry]:
    """Return the published numbers on a data set, in the order of ``published.toml``."""
    return [
        Entry(
            name=row["model"],
            kind="published",
            rank=None,
            metrics={name: row[name] / 100 if name in row else None for name in METRIC_NAMES},
            notes=(f"published, not measured here: {row['source']}",),
        )
        for row in published_rows()
        if row["dataset"] == dataset
    ]


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


def _why_apart(run: Run, *, verified: bool) -> str:
    """Return why a row cannot be ranked; empty if it can."""
    manifest, mean = run.manifest, run.metrics["mean"]
    if manifest.model.row == "dense":
        return "maps from files" if manifest.model.kind == "maps" else "own anomaly map, not scored by region"
    excluded = manifest.on_failure == "exclude" and mean["n_measured"] < mean["n_images"]
    expected = manifest.protocol.get("scoring") == "expected"
    reasons = {
        "the method is given the ground truth": manifest.model.sees_truth,
        "no answer is usable": run.metrics.get("coverage") == 0,
        "some images were not answered; run the same command again to ask for them": any(
            run.metrics["answers"].get(status) for status in UNANSWERED
        ),
        "expected scores cannot be verified: a run does not store probabilities": verified and expected,
        f"measured on {mean['n_measured']} of {mean['n_images']} images; failed images were left out": excluded,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _model_notes(manifest: Manifest, namesakes: Sequence[Manifest]) -> list[str]:
    """Return what was asked, and the options in which the row differs from its namesakes."""
    identity = manifest.model.identity
    notes = []
    if "model" in identity:
        notes.append(" at ".join(str(identity[key]) for key in ("model", "base_url") if key in identity))
    options = sorted({key for one in namesakes for key in one.model.identity} - {"model", "base_url"})
    differing = [
        f"{key} {str(identity.get(key, 'not set'))[:_VALUE_KEPT]}"
        for key in options
        if any(one.model.identity.get(key) != namesakes[0].model.identity.get(key) for one in namesakes)
    ]
    if differing:
        notes.append(", ".join(differing))
    notes += manifest.model.notes
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
    if words := outcomes(metrics["answers"]):
        notes.append(words)
    notes += dict.fromkeys(mean.get("undefined", {}).values())
    if mean.get("image_auroc") is not None and "image_auroc" in mean.get("range", {}):
        low, high = mean["range"]["image_auroc"]
        notes.append(f"image AUROC between {100 * low:.1f} and {100 * high:.1f}, depending on the missing answers")
    return notes
