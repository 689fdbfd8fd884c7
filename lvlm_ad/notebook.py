"""What notebooks show of runs: pandas frames, and tables as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError
from lvlm_ad.records import METRIC_NAMES, Manifest, PredictionRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["category_table", "prediction_frame", "row_frame", "row_table"]

_HEADS = ("Image AUROC", "Image AP", "Image F1", "Pixel AUROC", "Pixel AP", "Pixel F1", "PRO")


def prediction_frame(records: Sequence[PredictionRecord]) -> pd.DataFrame:
    """Return predictions as a frame, a row an image, the fields of ``PredictionRecord`` as columns.

    Raises:
        ConfigError: pandas is not installed.
    """
    return _frame([record.model_dump() for record in records], list(PredictionRecord.model_fields))


def row_frame(rows: Iterable[tuple[Manifest, Mapping[str, Any], str]]) -> pd.DataFrame:
    """Return runs as a frame, a row each: model, data set, the seven metrics in 0..1, coverage, cost, folder.

    Args:
        rows: manifest, metrics and folder of each.

    Raises:
        ConfigError: pandas is not installed.
    """
    columns = ["model", "dataset", "images", *METRIC_NAMES, "coverage", "cost_usd", "dir"]
    return _frame(
        [
            {
                "model": manifest.row_name,
                "dataset": manifest.dataset.name,
                "images": manifest.dataset.n_images,
                **{name: metrics["mean"].get(name) for name in METRIC_NAMES},
                "coverage": metrics.get("coverage"),
                "cost_usd": metrics["usage"]["cost_usd"],
                "dir": folder,
            }
            for manifest, metrics, folder in rows
        ],
        columns,
    )


def row_table(rows: Iterable[tuple[Manifest, Mapping[str, Any], str]]) -> str:
    """Return runs as an HTML table, a row each; percent."""
    found = [(manifest.row_name, _percents(metrics["mean"])) for manifest, metrics, _ in rows]
    return _table("Model", found)


def category_table(manifest: Manifest, metrics: Mapping[str, Any]) -> str:
    """Return a run as an HTML table, a row a category and the mean below; percent."""
    rows = [(name, _percents(of)) for name, of in metrics["categories"].items()]
    caption = f"{manifest.row_name} on {manifest.dataset.name}: {manifest.dataset.n_images} images"
    return _table("Category", [*rows, ("mean", _percents(metrics["mean"]))], caption)


def _frame(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    try:
        import pandas as pd  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise ConfigError("A frame takes pandas, which is not installed; pip install pandas.") from error
    return pd.DataFrame(rows, columns=columns)


def _percents(of: Mapping[str, Any]) -> list[str]:
    values = [of.get(name) for name in METRIC_NAMES]
    return ["-" if value is None else f"{100 * value:.1f}" for value in values]


def _table(first: str, rows: Iterable[tuple[str, list[str]]], caption: str = "") -> str:
    # A name may be a stranger's.
    heads = "".join(f"<th>{head}</th>" for head in (first, *_HEADS))
    lines = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>" for name, values in rows
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
