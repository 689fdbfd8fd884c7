"""Columns of the metrics of shapes: how well boxes, points, cells or masks fit the defects."""

from __future__ import annotations

from collections.abc import Mapping

from lvlm_ad.leaderboard.columns import percent
from lvlm_ad.leaderboard.metric_columns import MetricColumn
from lvlm_ad.metrics.shapes import POINT_METRICS, SHAPE_METRICS

__all__ = ["SHAPES"]

_BOX = "mean IoU of the union of all places with the union of the boxes around the defects, over defective images"


def _accuracy(of: str, percents: int) -> tuple[str, str]:
    """Return the heading in the terminal, and what the column is, of ACC@IoU for unions of "boxes" or "masks"."""
    about = f"share of defective images with an IoU ({of}) of {percents / 100:g} or more"
    return f"ACC@.{percents // 10}\n{of}", about


_ABOUT: Mapping[str, tuple[str, str]] = {
    "miou_box": ("mIoU\nboxes", _BOX),
    "miou_mask": ("mIoU\nmasks", "the same with the defects themselves"),
    **{f"acc_box_{percents}": _accuracy("boxes", percents) for percents in (10, 30, 50)},
    **{f"acc_mask_{percents}": _accuracy("masks", percents) for percents in (10, 30, 50)},
    "false_alarms": ("false\nalarms", "share of good images in which a place is named"),
    "point_hit": ("point\nhits", "share of points that lie in a defect"),
    "found": ("defects\nfound", "share of defects in which a point lies"),
}
"""Heading in the terminal, and what the metric is."""

_KEPT = ("found", "point_hit", "miou_box", "acc_box_50", "false_alarms", "miou_mask", "acc_box_30", "acc_box_10")
"""In the order in which a narrow terminal keeps them, the longest first."""

SHAPES: Mapping[str, MetricColumn] = {
    name: MetricColumn(
        name,
        title,
        _ABOUT[name][0],
        percent,
        drop=10 - _KEPT.index(name) if name in _KEPT else 1,
        about=_ABOUT[name][1],
        usual=not name.startswith("acc_mask"),
    )
    for name, title in {**SHAPE_METRICS, **POINT_METRICS}.items()
}
"""Columns of the metrics of shapes by name."""
