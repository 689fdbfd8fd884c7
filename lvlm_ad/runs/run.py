"""A run in memory, as pandas frames, and as tables in notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, nearest
from lvlm_ad.runs.records import METRIC_NAMES, METRIC_TITLES, Manifest, PredictionRecord

if TYPE_CHECKING:
    import pandas as pd

    from lvlm_ad.metrics.histograms import ScoreHistogram

__all__ = ["Run", "Runs"]


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run.

    Attributes:
        dir: its folder.
        manifest: everything that the numbers depend on.
        metrics: the content of metrics.json.
        predictions: one record per image, in the data set's order; empty if the run was read without them.
        histograms: each image's score histogram, in the same order; None if the run has none or was read without them.
    """

    dir: Path
    manifest: Manifest
    metrics: Mapping[str, Any]
    predictions: Sequence[PredictionRecord]
    histograms: Sequence[ScoreHistogram | None] | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return the predictions as a pandas frame: one row per image, one column per field of ``PredictionRecord``.

        Raises:
            ConfigError: pandas is not installed.
        """
        return _frame([record.model_dump() for record in self.predictions], list(PredictionRecord.model_fields))

    def __repr__(self) -> str:
        name, dataset = self.manifest.row_name, self.manifest.dataset.name
        return f"<Run {name} on {dataset}: {len(self.predictions)} images, in {self.dir}>"

    def _repr_html_(self) -> str:
        rows = [*self.metrics["categories"].items(), ("mean", self.metrics["mean"])]
        dataset = self.manifest.dataset
        return _table("Category", rows, f"{self.manifest.row_name} on {dataset.name}: {dataset.n_images} images")


class Runs(list[Run]):
    """A list of runs. Notebooks show it as a table.

    Example:
        >>> Runs().named("contrast")
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: There is no run of 'contrast'.
    """

    def named(self, name: str) -> Run:
        """Return the run of a model, such as "contrast" or "contrast (dense)".

        Raises:
            ConfigError: no run has this name; the message suggests the nearest names.
        """
        by_name = {run.manifest.row_name: run for run in self}
        if name not in by_name:
            raise ConfigError(f"There is no run of {name!r}.{nearest(name, by_name)}")
        return by_name[name]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame with one row per run: model, data set, metrics in 0..1, coverage, cost and folder.

        Raises:
            ConfigError: pandas is not installed.
        """
        columns = ["model", "dataset", "images", *METRIC_NAMES, "coverage", "cost_usd", "dir"]
        rows = [
            {
                "model": run.manifest.row_name,
                "dataset": run.manifest.dataset.name,
                "images": run.manifest.dataset.n_images,
                **{name: run.metrics["mean"].get(name) for name in METRIC_NAMES},
                "coverage": run.metrics.get("coverage"),
                "cost_usd": run.metrics["usage"]["cost_usd"],
                "dir": str(run.dir),
            }
            for run in self
        ]
        return _frame(rows, columns)

    def _repr_html_(self) -> str:
        return _table("Model", [(run.manifest.row_name, run.metrics["mean"]) for run in self])


def _frame(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    try:
        import pandas as pd  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise ConfigError("to_frame() needs pandas, which is not installed: pip install pandas.") from error
    return pd.DataFrame(rows, columns=columns)


def _table(first: str, rows: Iterable[tuple[str, Mapping[str, Any]]], caption: str = "") -> str:
    """Return rows of metrics as an HTML table, in percent. Names may be a stranger's and are escaped."""
    heads = "".join(f"<th>{head}</th>" for head in (first, *METRIC_TITLES.values()))
    lines = []
    for name, metrics in rows:
        values = [metrics.get(metric) for metric in METRIC_NAMES]
        cells = "".join(f"<td>{'-' if value is None else f'{100 * value:.1f}'}</td>" for value in values)
        lines.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
