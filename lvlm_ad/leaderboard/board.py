"""Puts runs that can be compared into one table, and ranks them within it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.leaderboard.entries import Entry, entry_of, published_entries
from lvlm_ad.runs import METRIC_NAMES, Manifest, Run

__all__ = ["Board", "Group", "make_board"]

_USUAL_SIZE = 768
"""The image size of the paper; a table's title mentions any other."""


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
        """Return the rows in sections, each with its heading; the first section, of measured rows, has none."""
        headings = {"frame": "reference rows", "published": "published"}
        by_heading: dict[str, list[Entry]] = {"": [], "reference rows": [], "published": []}
        for entry in self.entries:
            by_heading[headings.get(entry.kind, "")].append(entry)
        return [(heading, entries) for heading, entries in by_heading.items() if entries]

    def lacks_interval(self, metric: str) -> bool:
        """Whether a measured row has a value but no interval for a metric."""
        return any(one.run and one.metrics[metric] is not None and metric not in one.intervals for one in self.entries)

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
    if not {"dataset", "dataset_fingerprint", "image_size"} <= same:
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
    entries = [entry_of(run, by_name[run.manifest.row_name], verified=verified) for run in runs]
    entries.sort(key=lambda entry: (entry.kind == "frame", -_value(entry, sort), -_value(entry, "pixel_auroc")))
    ranked = [entry for entry in entries if entry.kind == "ranked" and entry.metrics[sort] is not None]
    ranks = {id(entry): 1 + sum(_is_clearly_better(other, entry, sort) for other in ranked) for entry in ranked}
    measured = [replace(entry, rank=ranks.get(id(entry))) for entry in entries]
    # Published numbers are of the whole test split.
    published = published_entries(manifest.dataset.name) if manifest.dataset.whole else []
    return Group(_title(manifest), conditions, (*measured, *published))


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
    ]
    return " · ".join(filter(None, parts))
