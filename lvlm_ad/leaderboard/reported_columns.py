"""Columns of the metrics that data sets have of their own."""

from __future__ import annotations

from lvlm_ad.leaderboard.columns import percent
from lvlm_ad.leaderboard.metric_columns import MetricColumn

__all__ = ["reported_column"]

_METRICS = {
    "pixel_aupro": ("PRO", "AUPRO up to a false-positive rate of {limit}"),
    "au_spro": (
        "AU-sPRO",
        "like AUPRO up to a false-positive rate of {limit}, but a part of a defect can be enough; at full picture size",
    ),
    "image_auroc": ("I-AUROC", "image AUROC of one group of anomalies against all good images; groups: their mean"),
    "sample_auroc": ("S-AUROC", "image AUROC of objects, each with the highest label and score of its views"),
    "segf1": (
        "SegF1",
        "F1 of all pixels; a score above mean + 3 standard deviations of normal validation maps is positive",
    ),
    "classf1": ("ClassF1", "F1 of images; an image with a pixel above the threshold of SegF1 is positive"),
}
"""How the name of a metric begins -> its heading without group and limit, and what it is."""


def reported_column(name: str) -> MetricColumn:
    r"""Return the column of a metric that ``lvlm_ad.runs.is_reported`` knows.

    Example:
        >>> column = reported_column("au_spro_logical@0.05")
        >>> column.head, column.terminal_head
        ('AU-sPRO@0.05 (logical)', 'AU-sPRO\nlogical')
    """
    plain, at, limit = name.partition("@")
    metric = next(one for one in _METRICS if plain.startswith(one))
    title, about = _METRICS[metric]
    group = plain[len(metric) + 1 :]
    head = f"{title}{at}{limit}{f' ({group})' if group else ''}"
    below = group.replace("structural", "struct.") or f"{at}{limit}"
    # A narrow terminal leaves out the groups, but not their mean.
    drop = 10 if group and group != "groups" else 0
    return MetricColumn(name, head, f"{title}\n{below}".rstrip(), percent, drop, about=about.format(limit=limit))
