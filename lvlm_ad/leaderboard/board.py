"""Puts runs that can be compared into one table, ranks them, and writes notes beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.leaderboard.decision_values import decision_figures
from lvlm_ad.presets import published_rows
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_NAMES, METRIC_TITLES, Manifest, Run
from lvlm_ad.text2seg import UNANSWERED

_USUAL_SIZE = 768
"""The image size of the paper; a table's title mentions any other."""
_VALUE_KEPT = 24
"""Characters of an option's value in a note; hashes are long."""

_HEADINGS = {"ranked": "", "apart": "not ranked", "frame": "reference rows", "published": "published"}
"""Kind of row -> heading of its section, in the order of the sections."""

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
        reason: why a row that is "apart" has no rank; the first of its notes.
        no_interval: why the ranking metric has a value but no interval; empty if it has an interval, or no value.
        notes: what a reader must know about the row.
        run: the run folder's name; empty for published rows.
        categories: category -> metric -> fraction in 0..1, or None.
        category_intervals: category -> metric -> lower and upper end of its 95 % interval.
        decisions: "decisions" of metrics.json without its curves; empty if the run has none.
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
    reason: str = ""
    no_interval: str = ""
    notes: tuple[str, ...] = ()
    run: str = ""
    categories: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    category_intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    decisions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """One table: rows that were measured under the same conditions.

    Attributes:
        title: the conditions in words.
        conditions: the conditions by name.
        entries: the rows, best first; reference rows after the others, published rows last.
    """

    title: str
    conditions: Mapping[str, Any]
    entries: tuple[Entry, ...]

    def sections(self) -> list[tuple[str, list[Entry]]]:
        """Return the rows in sections, each with its heading; the first section, of ranked rows, has none."""
        sections = groupby((entry for _, entry in self.rows()), key=lambda entry: entry.kind)
        return [(_HEADINGS[kind], list(entries)) for kind, entries in sections]

    def rows(self) -> list[tuple[int, Entry]]:
        """Return the rows in the order of the sections, each with its number in ``entries``."""
        return sorted(enumerate(self.entries), key=lambda row: list(_HEADINGS).index(row[1].kind))

    def notes(self) -> list[tuple[int, str, str]]:
        """Return the number, the name and the notes of each row that has notes."""
        return [(number, entry.name, "; ".join(entry.notes)) for number, entry in self.rows() if entry.notes]

    def place(self, entry: Entry, metric: str) -> Literal["best", "second", ""]:
        """Whether a row has the best or the second best value of the ranked rows; a row ranked alone has neither."""
        ranked = [one for one in self.entries if one.kind == "ranked"]
        if entry.kind != "ranked" or len(ranked) == 1 or metric not in METRIC_NAMES:
            return ""
        best = sorted({value for one in ranked if (value := one.metrics[metric]) is not None}, reverse=True)[:2]
        value = entry.metrics[metric]
        return "" if value not in best else "best" if value == best[0] else "second"


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    Attributes:
        groups: the tables, sorted by title.
        sort: the metric that ranks.
    """

    groups: tuple[Group, ...]
    sort: str = "image_auroc"


def make_board(runs: Sequence[Run], sort: str = "image_auroc", *, verified: bool = False) -> Board:
    """Group and rank runs.

    Runs share a table if they agree in data set, image size, division, painting, prompt and number of reference
    images. A baseline is asked nothing and is in the table of each prompt. Reference rows are in each table of their
    division, own maps in each table with as many reference images. Own maps, methods that are given the truth, and
    rows that do not cover all images are shown without a rank.

    Args:
        runs: the runs.
        sort: the metric that ranks. Pixel AUROC orders rows with equal values, but does not change ranks.
        verified: whether the runs were recomputed; rows that cannot be, such as expected scores, are then not ranked.

    Raises:
        ConfigError: there is no such metric.

    Example:
        >>> make_board([])
        Board(groups=(), sort='image_auroc')
    """
    if sort not in METRIC_NAMES:
        raise ConfigError(f"There is no metric {sort!r} to sort by.{nearest(sort, METRIC_NAMES)}")
    tables: list[tuple[dict[str, Any], list[Run]]] = []
    # Each run joins the tables that it fits, and begins one where there is none.
    for run in sorted(runs, key=_breadth):
        fitting = [members for conditions, members in tables if _fits(run, conditions)]
        if not fitting:
            fitting = [[]]
            tables.append((_conditions(run.manifest), fitting[0]))
        for members in fitting:
            members.append(run)
    groups = [_group(conditions, members, sort, verified=verified) for conditions, members in tables]
    titles = Counter(group.title for group in groups)
    for at, group in enumerate(groups):
        if titles[group.title] > 1:
            groups[at] = replace(group, title=f"{group.title} · images {group.conditions['dataset_fingerprint'][:8]}")
    return Board(tuple(sorted(groups, key=lambda group: group.title)), sort)


def _fits(run: Run, table: Mapping[str, Any]) -> bool:
    """Whether a run belongs in the table with the given conditions."""
    own, model = _conditions(run.manifest), run.manifest.model
    same = {name for name in own if own[name] == table[name]}
    if not {"dataset", "dataset_fingerprint", "image_size", "fpr_limit"} <= same:
        return False
    if model.row == "dense":
        return "shots" in same
    if not {"division_hash", "binary"} <= same:
        return False
    return model.frame or ("shots" in same and own["prompt_hash"] in {"", table["prompt_hash"]})


def _breadth(run: Run) -> int:
    """Order runs by how many tables they fit: chat models, baselines, reference rows, own maps."""
    model = run.manifest.model
    return 3 if model.row == "dense" else 2 if model.frame else 1 if not run.manifest.prompt.hash else 0


def _group(conditions: Mapping[str, Any], runs: Sequence[Run], sort: str, *, verified: bool) -> Group:
    manifest = runs[0].manifest  # of the run that began the table
    by_name: dict[str, list[Manifest]] = {}
    for run in runs:
        by_name.setdefault(run.manifest.row_name, []).append(run.manifest)
    entries = [_entry(run, by_name[run.manifest.row_name], sort, verified=verified) for run in runs]
    entries.sort(key=lambda entry: (entry.kind == "frame", -_value(entry, sort), -_value(entry, "pixel_auroc")))
    ranked = [entry for entry in entries if entry.kind == "ranked"]
    ranks = {id(entry): 1 + sum(_is_clearly_better(other, entry, sort) for other in ranked) for entry in ranked}
    measured = [replace(entry, rank=ranks.get(id(entry))) for entry in entries]
    # Published numbers cover the whole test split, with AUPRO up to 0.3.
    is_usual = manifest.dataset.whole and manifest.fpr_limit == DEFAULT_FPR_LIMIT
    published = [_published(row) for row in published_rows() if row["dataset"] == manifest.dataset.name]
    return Group(_title(manifest), conditions, (*measured, *(published if is_usual else [])))


def _is_clearly_better(entry: Entry, other: Entry, metric: str) -> bool:
    if metric in entry.intervals and metric in other.intervals:
        return entry.intervals[metric][0] > other.intervals[metric][1]
    return _value(entry, metric) > _value(other, metric)


def _value(entry: Entry, metric: str) -> float:
    value = entry.metrics[metric]
    return -1.0 if value is None else value


def _conditions(manifest: Manifest) -> dict[str, Any]:
    return {
        "dataset": manifest.dataset.name,
        "dataset_fingerprint": manifest.dataset.fingerprint,
        "n_images": manifest.dataset.n_images,
        "categories": manifest.dataset.categories,
        "whole_test_split": manifest.dataset.whole,
        "image_size": manifest.protocol.get("image_size"),
        "division": manifest.division.method,
        "division_hash": manifest.division.hash,
        "prompt": manifest.prompt.name,
        "prompt_hash": manifest.prompt.hash,
        "shots": manifest.protocol.get("shots", 0),
        "binary": manifest.protocol.get("binary", False),
        "fpr_limit": manifest.fpr_limit,
    }


def _title(manifest: Manifest) -> str:
    protocol, division = manifest.protocol, manifest.division
    size, shots = protocol.get("image_size"), protocol.get("shots", 0)
    unusual_size = f"{size} x {size} pixels" if size else "images in their own size"
    parts = [
        manifest.dataset.summary,
        f"{division.method or 'no'} division {division.hash[:8]}".strip(),
        "" if size == _USUAL_SIZE else unusual_size,
        f"prompt {manifest.prompt.name} {manifest.prompt.hash[:8]}" if manifest.prompt.hash else "",
        f"{shots} reference image{'s' if shots > 1 else ''}" if shots else "",
        "binary maps" if protocol.get("binary") else "",
        "" if manifest.fpr_limit == DEFAULT_FPR_LIMIT else f"PRO up to a false-positive rate of {manifest.fpr_limit:g}",
    ]
    return " · ".join(filter(None, parts))


def _entry(run: Run, namesakes: Sequence[Manifest], sort: str, *, verified: bool) -> Entry:
    """Return a run's row, without its rank; ``namesakes`` are the table's runs of the same name, with this one."""
    manifest, metrics = run.manifest, run.metrics
    mean, answers = metrics["mean"], metrics["answers"]
    why_apart = _why_apart(run, sort, verified=verified)
    cost = metrics["usage"]["cost_usd"]
    answered = answers["total"] - sum(answers.get(status, 0) for status in UNANSWERED)
    points = 100 * (mean.get("image_auroc") or 0.0) - _CHANCE
    reference_row = manifest.model.frame and manifest.model.row != "dense"
    notes = [why_apart] if why_apart and not reference_row else []
    copies = sum(one.config_hash == manifest.config_hash for one in namesakes)
    if copies > 1:
        notes.append(f"one of {copies} runs with the same configuration: {run.dir.name}")
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
        reason="" if reference_row else why_apart,
        no_interval=_no_interval(metrics, sort),
        notes=(*notes, *_model_notes(manifest, namesakes), *_result_notes(run)),
        run=run.dir.name,
        categories={
            name: {metric: of.get(metric) for metric in METRIC_NAMES} for name, of in metrics["categories"].items()
        },
        category_intervals={
            name: {metric: (low, high) for metric, (low, high) in of.get("interval", {}).items()}
            for name, of in metrics["categories"].items()
        },
        decisions=decision_figures(metrics),
    )


def _no_interval(metrics: Mapping[str, Any], metric: str) -> str:
    """Return why a metric that is defined has no interval; empty if it has one."""
    mean, categories = metrics["mean"], metrics["categories"].values()
    if mean.get(metric) is None or metric in mean.get("interval", {}):
        return ""
    if not metrics.get("intervals", {}).get("resamples"):
        return "measured with --resamples 0"
    if any("image_auroc" in category.get("interval", {}) for category in categories):
        return "too few images have defective pixels"
    return "no category has two good and two defective images"


def _published(row: Mapping[str, Any]) -> Entry:
    metrics = {name: row[name] / 100 if name in row else None for name in METRIC_NAMES}
    notes = (f"published, not measured here: {row['source']}",)
    return Entry(row["model"], "published", None, metrics, notes=notes)


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


def _why_apart(run: Run, sort: str, *, verified: bool) -> str:
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
        f"its {METRIC_TITLES[sort]} is undefined": mean.get(sort) is None,
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
    notes += undefined_notes(mean)
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
    """
    reasons: dict[str, list[str]] = {}
    for text in dict.fromkeys(mean.get("undefined", {}).values()):
        where, _, reason = text.rpartition(": ")
        reasons.setdefault(where, []).append(reason)
    notes = [f"{where}: {', '.join(texts)}" if where else ", ".join(texts) for where, texts in reasons.items()]
    if mean.get("n_with_truth") is not None:
        notes.append(f"pixel metrics of the {mean['n_with_truth']} images whose ground truth is known")
    return notes
