"""Names of the metrics that data sets have of their own, beside the seven: "reported" of metrics.json lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lvlm_ad.runs.records import METRIC_NAMES, METRIC_TITLES

__all__ = ["is_metric", "is_reported", "limit_of", "metric_title", "reported_of", "titles_of"]

_LIMIT = r"@(1|0\.\d{1,15})"

_NAMES = re.compile(rf"pixel_aupro{_LIMIT}|au_spro(_[a-z]+)?{_LIMIT}|image_auroc_[a-z]+|sample_auroc|segf1|classf1")

_TITLES = {"sample_auroc": "Sample AUROC", "segf1": "SegF1", "classf1": "ClassF1"}


def is_reported(name: str) -> bool:
    """Whether a name is that of a metric that only some data sets have.

    Example:
        >>> [is_reported(name) for name in ("au_spro_logical@0.05", "pixel_aupro@0.3", "image_auroc", "pixel_aupro@2")]
        [True, True, False, False]
    """
    return _NAMES.fullmatch(name) is not None and name not in METRIC_NAMES


def is_metric(name: str) -> bool:
    """Whether a name is that of a metric: of the seven, or of those that only some data sets have."""
    return name in METRIC_NAMES or is_reported(name)


def limit_of(name: str) -> float | None:
    """Return the false-positive rate that stands in a metric's name; None without one.

    Example:
        >>> limit_of("pixel_aupro@0.05"), limit_of("segf1")
        (0.05, None)
    """
    _, at, limit = name.partition("@")
    return float(limit) if at else None


def metric_title(name: str) -> str:
    """Return what pages call a metric.

    Example:
        >>> [metric_title(name) for name in ("pixel_ap", "pixel_aupro@0.05", "au_spro_logical@0.05")]
        ['Pixel AP', 'PRO@0.05', 'AU-sPRO@0.05 (logical)']
        >>> metric_title("image_auroc_groups"), metric_title("image_auroc_logical")
        ('Image AUROC (mean of groups)', 'Image AUROC (logical)')
    """
    known = {**METRIC_TITLES, **_TITLES}
    plain, at, limit = name.partition("@")
    for start, title in (("au_spro", "AU-sPRO"), ("image_auroc", "Image AUROC"), ("pixel_aupro", "PRO")):
        if is_reported(name) and plain.startswith(start):
            group = plain[len(start) + 1 :].replace("groups", "mean of groups")
            return f"{title}{at}{limit}{f' ({group})' if group else ''}"
    return known.get(name, name)


def reported_of(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the metrics that the authors of a run's data set report; tables show them first.

    Args:
        metrics: the content of metrics.json.
    """
    return tuple(name for name in metrics.get("reported", ()) if is_metric(name))


def titles_of(metrics: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return metric -> title: those that authors report, in their order, then the others of the seven.

    Args:
        metrics: the content of metrics.json of each run.

    Example:
        >>> [*titles_of([{"reported": ["segf1", "image_ap"]}])][:3]
        ['segf1', 'image_ap', 'image_auroc']
    """
    first = dict.fromkeys(name for one in metrics for name in reported_of(one))
    return {name: metric_title(name) for name in (*first, *METRIC_NAMES)}
