"""Puts runs into groups that can be compared, and ranks within each group."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.leaderboard.outcomes import outcomes
from lvlm_ad.presets import published_rows
from lvlm_ad.runs import METRIC_NAMES, Manifest, Run
from lvlm_ad.text2seg import UNANSWERED

__all__ = ["Board", "Entry", "Group", "make_board"]

_USUAL_SIZE = 768
"""The published image size; a table's title names another one."""

_VALUE_KEPT = 24
"""Characters of an option's value in a note; hashes are long."""

EntryKind = Literal["ranked", "frame", "apart", "published"]


@dataclass(frozen=True)
class Entry:
    """One row of a leaderboard.

    Attributes:
        name: the model.
        kind: "ranked"; "frame" (chance, contrast, oracle); "apart" (measured under other conditions, see notes);
            "published" (its authors' number, not measured here).
        rank: 1 + the number of rows that are surely better: whose interval lies above this one's, or where one has no
            interval, whose value does. Rows share a rank where intervals overlap. None for all that is not ranked.
        metrics: metric -> fraction in 0..1, or None.
        intervals: metric -> its 95 % interval over images, low and high; none of a metric without one.
        coverage: the fraction of images with a usable answer; None for published rows.
        cost_usd: what the answers cost; None if unknown.
        usd_per_image: the same for one image that was answered.
        usd_per_point: the same for one point (percent) of image AUROC above chance, which is 50; None at chance or
            below, and where not all images were answered.
        notes: what a reader must know about the row.
        run: the run folder's name; empty for published rows.
        categories: category -> metric -> fraction in 0..1, or None.
    """

    name: str
    kind: EntryKind
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


@dataclass(frozen=True)
class Group:
    """Rows that were measured under the same conditions.

    Attributes:
        title: the conditions in words.
        conditions: the conditions by name.
        entries: the rows, best first; the frame after the others, published rows last.
    """

    title: str
    conditions: Mapping[str, Any]
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Board:
    """A leaderboard: groups, each ranked by itself.

    Attributes:
        groups: the groups, in the order of their titles.
        sort: the metric that ranks.
    """

    groups: tuple[Group, ...]
    sort: str = "image_auroc"


@dataclass
class _Conditions:
    """The runs of one data set at one size."""

    divided: dict[tuple[str, bool], list[Run]] = field(default_factory=dict)
    dense: list[Run] = field(default_factory=list)


def make_board(runs: Sequence[Run], sort: str = "image_auroc", *, verified: bool = False) -> Board:
    """Group and rank runs.

    Runs are ranked together only if data set, division, prompt, way of painting and measured images agree. Frame rows
    stand in every group of their data set and division. Dense rows, rows that are given the truth, rows with failed
    questions and rows that leave images out stand apart, unranked.

    Args:
        runs: the runs.
        sort: the metric that ranks; ties are broken by pixel AUROC for the order, not for the rank.
        verified: the runs were recomputed: what cannot be, such as expected scores, stands apart.

    Raises:
        ConfigError: there is no such metric.
    """
    if sort not in METRIC_NAMES:
        raise ConfigError(f"There is no metric {sort!r} to sort by.{nearest(sort, METRIC_NAMES)}")
    places: dict[tuple[str, str, int], _Conditions] = {}
    for run in runs:
        manifest = run.manifest
        # The name decides which published rows stand beside it.
        data = (manifest.dataset.name, manifest.dataset.fingerprint)
        place = places.setdefault((*data, manifest.protocol.get("image_size", 0)), _Conditions())
        if manifest.model.row == "dense":
            place.dense.append(run)
        else:
            key = (manifest.division.hash, bool(manifest.protocol.get("binary", False)))
            place.divided.setdefault(key, []).append(run)
    groups: list[Group] = []
    for place in places.values():
        shown: set[int] = set()
        for divided in place.divided.values():
            made = _groups(divided, place.dense, sort, verified=verified)
            shown |= {shots for shots, _ in made}
            groups += [group for _, group in made]
        # Maps with as many reference images as no row through the regions had.
        for shots in sorted({_shots(run) for run in place.dense} - shown):
            dense = [run for run in place.dense if _shots(run) == shots]
            groups.append(_group(dense, [], sort, verified=verified))
    titles = Counter(group.title for group in groups)
    groups = [replace(group, title=_full(group)) if titles[group.title] > 1 else group for group in groups]
    return Board(tuple(sorted(groups, key=lambda group: group.title)), sort)


def _full(group: Group) -> str:
    """Return a title that others do not have too, though they say the same of other images."""
    return f"{group.title} · images {group.conditions['dataset_fingerprint'][:8]}"


def _shots(run: Run) -> int:
    return int(run.manifest.protocol.get("shots", 0))


def _groups(divided: Sequence[Run], dense: Sequence[Run], sort: str, *, verified: bool) -> list[tuple[int, Group]]:
    """Split the runs of one division by what was asked and shown, and return how many references each group had.

    A baseline is asked nothing and joins each prompt.
    """
    frames = [run for run in divided if run.manifest.model.frame]
    asked: dict[tuple[str, int], list[Run]] = {}
    unasked: dict[int, list[Run]] = {}
    for run in divided:
        shots = _shots(run)
        if run.manifest.prompt.hash:
            asked.setdefault((run.manifest.prompt.hash, shots), []).append(run)
        elif not run.manifest.model.frame:
            unasked.setdefault(shots, []).append(run)
    for shots, baselines in unasked.items():
        joined = [runs for (_, of), runs in asked.items() if of == shots]
        for together in joined:
            together.extend(baselines)
        if not joined:
            asked["", shots] = list(baselines)
    found = [(shots, [*runs, *frames]) for (_, shots), runs in asked.items()] or [(0, frames)]
    fitting = {shots: [run for run in dense if _shots(run) == shots] for shots, _ in found}
    return [(shots, _group(runs, fitting[shots], sort, verified=verified)) for shots, runs in found]


def _group(runs: Sequence[Run], dense: Sequence[Run], sort: str, *, verified: bool) -> Group:
    shown = _latest([*runs, *dense])
    named: dict[str, list[Run]] = {}
    for run, _ in shown:
        named.setdefault(run.manifest.row_name, []).append(run)
    entries = [_entry(run, copies, named[run.manifest.row_name], verified=verified) for run, copies in shown]
    entries.sort(key=lambda entry: (entry.kind == "frame", *(-_value(entry, name) for name in (sort, "pixel_auroc"))))
    asked = next((run.manifest for run in runs if run.manifest.prompt.hash), (*runs, *dense)[0].manifest)
    conditions = _conditions(asked)
    # Of a part of the images nothing was published.
    published = [_published(row) for row in published_rows() if row["dataset"] == asked.dataset.name]
    published = published if asked.dataset.whole else []
    return Group(_title(asked), conditions, (*_ranked(entries, sort), *published))


def _latest(runs: Sequence[Run]) -> list[tuple[Run, int]]:
    """Keep the newest of runs that differ only in when and with which versions they were made, and count them.

    Runs of one configuration that found something else stay side by side: none may displace another.
    """
    newest: dict[tuple[str, str], tuple[Run, int]] = {}
    for run in sorted(runs, key=lambda run: run.manifest.started):
        mean = {name: round(value, 6) for name in METRIC_NAMES if (value := run.metrics["mean"].get(name)) is not None}
        result = json.dumps([mean, run.metrics["answers"]], sort_keys=True)
        _, count = newest.get((run.manifest.config_hash, result), (run, 0))
        newest[run.manifest.config_hash, result] = (run, count + 1)
    return list(newest.values())


def _entry(run: Run, copies: int, same_name: Sequence[Run], *, verified: bool) -> Entry:
    manifest, metrics = run.manifest, run.metrics
    mean, answers = metrics["mean"], metrics["answers"]
    notes: list[str] = [] if copies == 1 else [f"the newest of {copies} runs of one configuration, {run.dir.name}"]
    kind, why = _standing(run, verified=verified)
    notes += why
    if "model" in manifest.model.identity:
        asked = " at ".join(
            str(manifest.model.identity[key]) for key in ("model", "base_url") if key in manifest.model.identity
        )
        notes.append(asked)
    notes += [
        *_told_apart(manifest, [one.manifest for one in same_name]),
        *manifest.model.notes,
        *_prompt_notes(manifest),
    ]
    notes += _scoring(run)
    notes += [words for words in [outcomes(answers)] if words]
    notes += dict.fromkeys(mean.get("undefined", {}).values())
    if "image_auroc" in mean.get("range", {}):
        low, high = mean["range"]["image_auroc"]
        notes.append(f"image AUROC {100 * low:.1f} to {100 * high:.1f} whatever the missing answers were")
    name = manifest.row_name
    twins = [one for one in same_name if one.manifest.config_hash == manifest.config_hash]
    if len(twins) > 1:
        notes.insert(0, f"one of {len(twins)} runs of one configuration that differ, {run.dir.name}")
    cost = metrics["usage"]["cost_usd"]
    answered = answers["total"] - sum(answers.get(name, 0) for name in UNANSWERED)
    points = 100 * (mean.get("image_auroc") or 0.0) - 50
    return Entry(
        name=f"{name} #{manifest.config_hash[:6]}" if len(same_name) > 1 else name,
        kind=kind,
        rank=None,
        metrics={metric: mean.get(metric) for metric in METRIC_NAMES},
        intervals={metric: (low, high) for metric, (low, high) in mean.get("interval", {}).items()},
        coverage=metrics.get("coverage"),
        cost_usd=cost,
        usd_per_image=None if cost is None or not answered else cost / answered,
        usd_per_point=None if cost is None or points <= 0 or answered < answers["total"] else cost / points,
        notes=tuple(notes),
        run=run.dir.name,
        categories={
            name: {metric: of.get(metric) for metric in METRIC_NAMES} for name, of in metrics["categories"].items()
        },
    )


def _standing(run: Run, *, verified: bool) -> tuple[EntryKind, list[str]]:
    """Say whether a row is ranked, and why not."""
    manifest, metrics = run.manifest, run.metrics
    mean = metrics["mean"]
    if manifest.model.row == "dense":
        from_files = manifest.model.kind == "maps"
        return "apart", ["maps from files" if from_files else "its own map, not through the regions"]
    if manifest.model.frame:
        return "frame", []
    reasons = {
        "is given the ground truth": manifest.model.sees_truth,
        "gave no usable answer at all": metrics.get("coverage") == 0,
        "not all images were answered; the same command asks for the others": any(
            metrics["answers"].get(name) for name in UNANSWERED
        ),
        "its scores cannot be recomputed: a run holds no probabilities": (
            verified and manifest.protocol.get("scoring") == "expected"
        ),
        f"measured on {mean['n_measured']} of {mean['n_images']} images, the failed ones left out": (
            manifest.on_failure == "exclude" and mean["n_measured"] < mean["n_images"]
        ),
    }
    why = next((reason for reason, holds in reasons.items() if holds), None)
    return ("ranked", []) if why is None else ("apart", [why])


def _told_apart(manifest: Manifest, same_name: Sequence[Manifest]) -> list[str]:
    """Say in which of its options a row differs from others of its name."""
    found = []
    for key in sorted({key for one in same_name for key in one.model.identity} - {"model", "base_url"}):
        values = [one.model.identity.get(key) for one in same_name]
        if any(value != values[0] for value in values):
            found.append(f"{key} {str(manifest.model.identity.get(key, 'not set'))[:_VALUE_KEPT]}")
    return [", ".join(found)] if found else []


def _scoring(run: Run) -> list[str]:
    """Say of a row whose scores are not as written what they are."""
    if run.manifest.protocol.get("scoring") != "expected":
        return []
    scores = run.metrics.get("scores", {})
    expected, total = scores.get("expected"), scores.get("total")
    others = "" if expected == total else f" ({expected} of {total}; the others as written)"
    return [f"scores are expected values{others}"]


def _prompt_notes(manifest: Manifest) -> list[str]:
    """Say what sets a question apart from the same question to others."""
    notes = []
    if manifest.prompt.with_schema is False:
        notes.append("the endpoint was not told the schema of the JSON object")
    if not manifest.prompt.zero_knowledge:
        notes.append("not zero-knowledge: told the kinds of defect")
    return notes


def _ranked(entries: Sequence[Entry], sort: str) -> list[Entry]:
    """Give ranks to what is ranked, by the sorting metric alone."""
    contest = [entry for entry in entries if entry.kind == "ranked" and entry.metrics[sort] is not None]
    ranks = {id(entry): 1 + sum(_surely_better(other, entry, sort) for other in contest) for entry in contest}
    return [replace(entry, rank=ranks.get(id(entry))) for entry in entries]


def _surely_better(entry: Entry, other: Entry, metric: str) -> bool:
    if metric in entry.intervals and metric in other.intervals:
        return entry.intervals[metric][0] > other.intervals[metric][1]
    return _value(entry, metric) > _value(other, metric)


def _value(entry: Entry, metric: str) -> float:
    value = entry.metrics[metric]
    return -1.0 if value is None else value


def _published(row: Mapping[str, Any]) -> Entry:
    metrics = {name: row[name] / 100 if name in row else None for name in METRIC_NAMES}
    return Entry(row["model"], "published", None, metrics, notes=(f"published, not measured here: {row['source']}",))


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
    }


def _title(manifest: Manifest) -> str:
    dataset = manifest.dataset
    many = len(dataset.categories) > 1
    parts = [
        f"{dataset.name}{'' if dataset.whole else ' (part)'}: {dataset.n_images} images"
        + (f", {len(dataset.categories)} categories" if many else f" of {dataset.categories[0]}"),
        f"{manifest.division.method or 'no'} division {manifest.division.hash[:8]}".strip(),
    ]
    size = manifest.protocol.get("image_size")
    if size != _USUAL_SIZE:
        parts.append(f"{size} x {size} pixels" if size else "images in their own size")
    if manifest.prompt.hash:
        parts.append(f"prompt {manifest.prompt.name} {manifest.prompt.hash[:8]}")
    shots = manifest.protocol.get("shots", 0)
    if shots:
        parts.append(f"{shots} reference image{'s' if shots > 1 else ''}")
    if manifest.protocol.get("binary"):
        parts.append("binary maps")
    return " · ".join(parts)
