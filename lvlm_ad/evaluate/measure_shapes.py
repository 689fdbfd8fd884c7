"""The entry "shapes" of a category in metrics.json: metrics of the places that answers name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.metrics.shapes import POINT_METRICS, SHAPE_METRICS, ShapeEstimate, shape_metrics

if TYPE_CHECKING:
    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics.intervals import Interval

__all__ = ["category_shapes", "metrics_of_places", "shape_entry"]


def metrics_of_places(places: Places) -> tuple[str, ...]:
    """Return the metrics of shapes that a method has; none if it answers in regions or says nothing about places."""
    if places in {"regions", ""}:
        return ()
    return (*SHAPE_METRICS, *(POINT_METRICS if places == "points" else ()))


def category_shapes(
    measures: Sequence[Mapping[str, float]], missing: Sequence[bool], places: Places, *, leave_out: bool
) -> tuple[dict[str, Any], Mapping[str, ShapeEstimate]]:
    """Measure the shapes of a category.

    Args:
        measures: of each image what ``shape_measures`` returned; empty where the ground truth is unknown.
        missing: whether an image has no usable answer; its measures are those of an answer that names nothing.
        places: the kind of place that the method answers with.
        leave_out: whether such images are left out.

    Returns:
        The entry: each metric (None if undefined), "interval" (metric -> [low, high], 95 %), "undefined" (metric ->
        reason), and where answers are missing "range" (metric -> [low, high] over all that they could have been). And
        each metric's estimate.
    """
    names, points = metrics_of_places(places), places == "points"
    kept = [one for one, absent in zip(measures, missing, strict=True) if not (absent and leave_out)]
    if kept:
        found = shape_metrics(kept, points=points)
        estimates, undefined = found.estimates, dict(found.undefined)
    else:
        estimates, undefined = {}, dict.fromkeys(names, "no image has a usable answer")
    entry = shape_entry(names, {name: (one.value, one.interval) for name, one in estimates.items()}, undefined)
    if any(missing) and estimates:
        entry["range"] = _range(measures, missing, estimates, points=points)
    return entry, estimates


def shape_entry(
    names: Sequence[str], values: Mapping[str, tuple[float, Interval]], undefined: Mapping[str, str]
) -> dict[str, Any]:
    """Return metrics, each with its interval, in the form of metrics.json."""
    return {
        **{name: values[name][0] if name in values else None for name in names},
        "interval": {name: list(values[name][1]) for name in names if name in values},
        **({"undefined": dict(undefined)} if undefined else {}),
    }


def _range(
    measures: Sequence[Mapping[str, float]],
    missing: Sequence[bool],
    estimates: Mapping[str, ShapeEstimate],
    *,
    points: bool,
) -> dict[str, list[float]]:
    """Bound the metrics: every missing answer names nothing that is right, and everything that is right."""
    ends = []
    for right in (False, True):
        filled = [_certain(one, right=right) if out else one for one, out in zip(measures, missing, strict=True)]
        ends.append(shape_metrics(filled, points=points).estimates)
    # How many points a missing answer would have had is unknown.
    return {name: sorted(end[name].value for end in ends) for name in estimates if name != "point_hit"}


def _certain(measures: Mapping[str, float], *, right: bool) -> dict[str, float]:
    certain = {"iou_box": float(right), "iou_mask": float(right), "found": float(right), "false_alarm": 1.0 - right}
    return {name: certain.get(name, value) for name, value in measures.items()}
