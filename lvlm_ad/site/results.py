"""Results that may be listed elsewhere: ranked rows of the whole test split, nothing withheld, AUPRO limit 0.3."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lvlm_ad import escape
from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.leaderboard import COLUMNS, Board, Entry, Group
from lvlm_ad.leaderboard.choice_values import RANKING
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, Run, is_metric

if TYPE_CHECKING:
    from lvlm_ad.presets import ExportTargets
    from lvlm_ad.runs import Manifest

__all__ = ["Result", "check_metrics", "results_of", "utc"]

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")

_LOCAL = {"transformers", "vllm"}
"""Backends whose models are named as at the Hugging Face hub; an endpoint's names are its own."""

_LONGEST_SETUP = 1000
"""Characters of the text about a result's conditions."""

_COVERAGE = next(column for column in COLUMNS if column.name == "coverage")


@dataclass(frozen=True)
class Result:
    """A row of a leaderboard and what it was measured under.

    Attributes:
        group: its table.
        entry: the row.
        run: its run.
    """

    group: Group
    entry: Entry
    run: Run

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.run.manifest.dataset.name

    @property
    def metrics(self) -> dict[str, float | None]:
        """Metric -> fraction in 0..1, or None: the row's metrics of which a higher value is better."""
        return {name: value for name, value in self.entry.metrics.items() if is_metric(name) or name in RANKING}

    def percents(self, names: Mapping[str, str]) -> dict[str, float]:
        """Return the metrics that are defined, in percent with two decimals, by their names at the other site.

        Args:
            names: metric -> its name at the other site.
        """
        found = {name: self.metrics.get(metric) for metric, name in names.items()}
        return {name: round(100 * value, 2) for name, value in found.items() if value is not None}

    @property
    def hub_id(self) -> str:
        """The model's name at the Hugging Face hub, such as "org/name"; empty if it is not known to be there."""
        model = self.run.manifest.model
        name = str(model.identity.get("model", ""))
        return name if model.plugin in _LOCAL and _HUB_ID.fullmatch(name) else ""

    @property
    def setup(self) -> str:
        """The conditions in one line: method, division, prompt, reference images, coverage, notes and version."""
        manifest = self.run.manifest
        shots = manifest.protocol.get("shots", 0)
        method = manifest.method.name
        weights = manifest.model.identity.get("quantize", "none")
        parts = [
            self.group.title,
            "" if f"method {method}" in self.group.title else f"method {method}",
            "" if shots else "zero-shot",
            "" if weights == "none" else f"quantize {weights}",
            f"{_COVERAGE.text(self.entry)} of the images answered",
            *(note for note in self.entry.notes if note != self.hub_id),
            f"lvlm-ad {manifest.versions.get('lvlm-ad', '')}".rstrip(),
        ]
        text = escape.visible("; ".join(filter(None, parts)), "")
        return text if len(text) <= _LONGEST_SETUP else f"{text[: _LONGEST_SETUP - 3]}..."


def results_of(board: Board, runs: Sequence[Run]) -> list[Result]:
    """Return the results that may be listed elsewhere, in the order of the tables.

    Left out are rows that cannot be ranked (reference rows, own maps, runs with unanswered or left-out images), runs on
    a part of the test split, those that withhold something from the model, and those with another limit of AUPRO.
    """
    by_name = {run.dir.name: run for run in runs}
    return [
        Result(group, entry, run)
        for group in board.groups
        for entry in group.entries
        if entry.kind == "ranked" and (run := by_name.get(entry.run)) is not None and _is_comparable(run.manifest)
    ]


def _is_comparable(manifest: Manifest) -> bool:
    withheld = manifest.protocol.get("withhold")
    return manifest.dataset.whole and manifest.fpr_limit == DEFAULT_FPR_LIMIT and not withheld


def check_metrics(results: Sequence[Result], targets: ExportTargets) -> None:
    """Check the metrics that an owner states for a data set, if it has results.

    Raises:
        ConfigError: no result of the data set has such a metric.
    """
    for dataset, target in targets.datasets.items():
        known = {name for result in results if result.dataset == dataset for name in result.metrics}
        stated = {
            f"{dataset}.huggingface.tasks": target.huggingface.tasks if target.huggingface else {},
            f"{dataset}.paperswithcode.metrics": target.paperswithcode.metrics if target.paperswithcode else {},
        }
        for place, names in stated.items():
            for metric in names if known else ():
                if metric not in known:
                    suggestion = nearest(metric, sorted(known))
                    raise ConfigError(f"exports, datasets.{place}: no metric is called {metric!r:.80}.{suggestion}")


def utc(started: str) -> datetime:
    """Return the time at which a run was started; the year 1 for a time that UTC cannot express.

    Example:
        >>> utc("2026-01-01T01:00:00+02:00").isoformat()
        '2025-12-31T23:00:00+00:00'
    """
    try:
        return datetime.fromisoformat(started).astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
