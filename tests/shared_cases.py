"""From the cases in shared/cases to the functions that compute what they expect.

``statistic(quantity, inputs)`` is for statistics.json and returns a dict in the form of the case's ``expected``: plain
floats, lists and None. ``grounding(case)`` is for grounding_cases.json and returns a dict in the form of ``expect``.
``grounding_metrics(masks, shapes)`` is for grounding_metrics_*.npz and returns their numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

STABILITY = {
    *("auroc_spread", "design", "map_disagreement", "marks", "one_factor"),
    *("position_bias", "repeats", "variance_components", "votes"),
}
"""Quantities about the stability of a model, which nothing computes yet."""

QUANTITIES: dict[str, Callable[..., dict[str, Any]]] = {}


def statistic(quantity: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Compute a quantity.

    Args:
        quantity: its name in the cases.
        inputs: as in the case; arrays are lists or numpy arrays.

    Raises:
        NotImplementedError: it is about the stability of a model.
        KeyError: there is no such quantity.
    """
    if quantity in STABILITY:
        raise NotImplementedError(f"{quantity}: the stability of a model is not measured yet")
    return plain_types(QUANTITIES[quantity](**inputs))


def plain_types(value: Any) -> Any:
    """Turn arrays and tuples into lists, and numbers of NumPy into Python's."""
    if isinstance(value, Mapping):
        return {name: plain_types(one) for name, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain_types(value.tolist())
    if isinstance(value, list | tuple):
        return [plain_types(one) for one in value]
    return value


def quantity(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Enter a function into the table under its own name."""
    QUANTITIES[function.__name__] = function
    return function


@quantity
def auroc_interval(labels, scores):
    from lvlm_ad.metrics import intervals

    found = intervals.auroc_interval(labels, scores)
    return {
        "auroc": found.auroc,
        "v5": found.v5,
        "delong_variance": found.delong_variance,
        "factor": found.factor,
        "interval": found.interval,
        "exact_bound_at_extreme": found.bound_at_extreme,
    }


@quantity
def mean_auroc_interval(auroc, defective, good, factor):
    from lvlm_ad.metrics import intervals

    return {"mean": np.mean(auroc), "interval": intervals.mean_auroc_interval(auroc, defective, good, factor)}


@quantity
def over_categories(values, edge):
    from lvlm_ad.metrics import intervals

    return {"interval": intervals.over_categories(values, edge)}


@quantity
def smoothed_interval(metric, point, smoothed, plain, defective):
    from lvlm_ad.metrics import intervals

    interval, optimism = intervals.smoothed_interval(metric, point, smoothed, plain, defective)
    return {"interval": interval, "optimism": optimism}


@quantity
def mover_mean(points, intervals):
    from lvlm_ad.metrics.intervals import mover_mean

    return {"mean": np.mean(points), "interval": mover_mean(points, intervals)}


@quantity
def pixel_interval(point, draws, weights):
    from lvlm_ad.metrics import intervals

    n_effective, interval = intervals.pixel_interval(point, draws, weights)
    return {"n_effective": n_effective, "interval": interval}


@quantity
def pixel_mean(points, draws, n_effective):
    from lvlm_ad.metrics import intervals

    interval, df = intervals.pixel_mean(points, draws, n_effective)
    return {"interval": interval, "df": df}


@quantity
def difference_interval(labels, first, second):
    from lvlm_ad.metrics.differences import mean_auroc_difference

    found = mean_auroc_difference([np.asarray(labels, bool)], [first], [second])
    return {"difference": found.difference, "correlation": found.correlation, "interval": found.interval}


@quantity
def conformal(references, alpha, new):
    from lvlm_ad import decisions

    found = decisions.conformal(references, alpha)
    return {
        "k": None if found.value is None else round((1 - found.guarantee) * (found.n + 1)),
        "threshold": found.value,
        "guarantee": found.guarantee,
        "bound95": found.bound95,
        "p_values": decisions.conformal_p_values(references, new),
    }


@quantity
def clopper_pearson(successes, n):
    from lvlm_ad import decisions

    return {"interval": decisions.clopper_pearson(successes, n)}


@quantity
def decision(labels, scores, threshold, prevalence=None):
    from lvlm_ad import decisions

    found = decisions.decision(labels, scores, threshold, prevalence)
    interval = found.pop("interval")
    found |= {f"{name}_interval": ends for name, ends in interval.items()}
    for theirs, ours in {"escape": "miss", "overkill": "false_alarm"}.items():
        found[theirs] = found.pop(ours)
        found[f"{theirs}_interval"] = found.pop(f"{ours}_interval", None)
    good = found["fp"] + found["tn"] + found["abstain_good"]
    return {**found, "pass_good": found["tn"] / good if good else None}


@quantity
def best_threshold(labels, scores, prevalence=None, escape=0, overkill=0):
    from lvlm_ad import decisions

    found, value = decisions.best_threshold(labels, scores, prevalence=prevalence, miss=escape, false_alarm=overkill)
    return {"threshold": found, "value": value}


@quantity
def risk_coverage(labels, scores, confidence, threshold=0.5):
    from lvlm_ad import decisions

    found = decisions.risk_coverage(labels, decisions.fixed(threshold).alarms(scores), confidence)
    return {name: found[name] for name in ("points", "area", "max_coverage")}


@quantity
def cost(labels, scores, threshold, prevalence, escape, overkill, inspect, model=0):
    from lvlm_ad import decisions

    prices = decisions.Prices(escape, overkill, inspect, prevalence, model)
    found = decisions.cost(decisions.decision(labels, scores, threshold), prices)
    return {"cost": found, **decisions.baselines(prices)}


@quantity
def calibration(labels, scores):
    from lvlm_ad import decisions

    found = decisions.calibration(labels, scores)
    return {name: value for name, value in found.items() if name not in {"n", "ece_if_calibrated"}}


@quantity
def pairs_and_ranks(critical, **categories):
    from scipy.stats import norm

    from lvlm_ad.metrics import differences, ranks

    numbers = range(len(categories) // 2)
    rows = ranks.auroc_rows(
        [(np.array(categories[f"labels{k}"], bool), np.array(categories[f"scores{k}"])) for k in numbers]
    )
    pairs = ranks.compare_pairs(rows)
    upper = np.abs(pairs.z[np.triu_indices(len(pairs.z), 1)])
    return {
        "difference": pairs.difference,
        "variance": pairs.variance,
        "z": pairs.z,
        "z0": pairs.z0,
        "z0_max": ranks.z0_max(rows.sizes),
        "rank_ranges": ranks.rank_ranges(ranks.better_than(pairs, critical)),
        "holm_adjusted_p": differences.holm(2 * norm.sf(upper)),
    }


@quantity
def max_t_critical(rows, covariance, note=""):  # noqa: ARG001 - says how the case was made
    from lvlm_ad.metrics import ranks

    root = np.eye(rows) if covariance == "identity" else np.linalg.cholesky(covariance)
    draws = root @ np.random.default_rng(0).standard_normal((rows, 20_000))
    _, variance = ranks.difference_and_variance(np.zeros(rows), root)
    return {"critical": ranks.max_t_critical(draws.astype(np.float32), variance)}


@quantity
def z0_max(sizes):
    from lvlm_ad.metrics import intervals, ranks

    highest = ranks.z0_max(sizes)
    return {"z0_max": highest, "rankable": highest > intervals.Z}


@quantity
def front(quality, costs):
    from lvlm_ad.metrics import front as fronts

    return {
        "on_front": fronts.front(quality, costs),
        "on_front_first_cost": fronts.front(quality, [one[0] for one in costs]),
    }


@quantity
def front_probability(draws, cost):
    from lvlm_ad.metrics import front as fronts

    return {"probability": fronts.front_probability(draws, cost)}


def grounding(case):
    """Read the answer of a case.

    Args:
        case: "method" (boxes, points, masks, cells, yesno, score), "text", "convention" and "sent_size"; perhaps
            "scored", "outcome", "grid" and "tokens".

    Returns:
        "status", "image", "shapes" and "flags"; for "yesno" also "source".
    """
    from lvlm_ad.backend import Answer, first_token

    tokens = case.get("tokens") or []
    first = first_token([(token["text"], token["top"]) for token in tokens])
    answer = Answer(case["text"], case.get("outcome", "ok"), first=first)
    finding = _READERS[case["method"]](answer, case)
    found = {
        "status": finding.status,
        "image": finding.image,
        "shapes": [_as_in_cases(shape, case["sent_size"]) for shape in finding.shapes],
        "flags": list(finding.flags),
    }
    if case["method"] == "masks":
        # The pixels of a mask do not tell its box; as a box, the same entry does.
        boxes = _boxes(answer, case).shapes if finding.shapes else ()
        found["shapes"] = [
            {**_as_in_cases(box, case["sent_size"]), **mask} for box, mask in zip(boxes, found["shapes"], strict=True)
        ]
    return {**found, "source": finding.source} if case["method"] == "yesno" else found


def _boxes(answer, case):
    from lvlm_ad.conventions import load_convention
    from lvlm_ad.text2seg.places import read_boxes

    where = load_convention(case["convention"]), tuple(case["sent_size"])
    return read_boxes(answer, *where, scored=case.get("scored", False))


def _points(answer, case):
    from lvlm_ad.conventions import load_convention
    from lvlm_ad.text2seg.places import read_points

    where = load_convention(case["convention"]), tuple(case["sent_size"])
    return read_points(answer, *where, scored=case.get("scored", False))


def _masks(answer, case):
    from lvlm_ad.conventions import load_convention
    from lvlm_ad.text2seg.places import read_masks

    where = load_convention(case["convention"]), tuple(case["sent_size"])
    return read_masks(answer, *where, scored=case.get("scored", False))


def _cells(answer, case):
    from lvlm_ad.text2seg.places import read_cells

    naming = case["convention"].removeprefix("cells_")
    return read_cells(answer, *case["grid"], naming, scored=case.get("scored", False))


def _yes_no(answer, case):  # noqa: ARG001 - the readers are called alike
    from lvlm_ad.text2seg.yes_no import read_yes_no

    return read_yes_no(answer)


def _score(answer, case):  # noqa: ARG001 - the readers are called alike
    from lvlm_ad.text2seg import read
    from lvlm_ad.text2seg.finding import Finding

    return Finding.of(read(answer, 0))


_READERS = {
    "boxes": _boxes,
    "points": _points,
    "masks": _masks,
    "cells": _cells,
    "yesno": _yes_no,
    "score": _score,
}


def _as_in_cases(shape, sent):
    """Write a shape as the cases do; a mask by how many pixels it has."""
    from lvlm_ad.regions.shapes import Cell, Mask, shape_to_json

    if isinstance(shape, Mask):
        return {"pixels": int(shape.pixels.sum()), "score": shape.score}
    written = shape_to_json(shape)
    if isinstance(shape, Cell):
        window = shape.window(sent[1], sent[0])
        written["box"] = [window.columns.start, window.rows.start, window.columns.stop, window.rows.stop]
    return {name: value for name, value in written.items() if name not in {"grid", "radius"}}


def grounding_metrics(masks, shapes):
    """Measure boxes against masks.

    Args:
        masks: ``(n, H, W)``, anomalous where not 0.
        shapes: ``(m, 6)``, rows of image, x1, y1, x2, y2 and score.

    Returns:
        "iou_box" and "iou_mask" of each image, NaN of normal ones; "miou_box", "miou_mask", "acc_box" and "acc_mask"
        (at 0.1, 0.3 and 0.5), "false_alarms" and the pixel metrics, NaN where undefined.
    """
    from lvlm_ad.metrics import count_cells, pixel_metrics_from_counts, shape_measures, shape_metrics
    from lvlm_ad.regions.shapes import Box
    from lvlm_ad.text2seg import paint_shapes

    rows = np.asarray(shapes, dtype=np.float64).reshape(-1, 6).tolist()
    boxes = [[Box(*numbers) for image, *numbers in rows if image == at] for at in range(len(masks))]
    maps = [paint_shapes(one, masks[0].shape) for one in boxes]
    measures = [shape_measures(one.dense() > 0, mask) for one, mask in zip(maps, masks, strict=True)]
    found = {name: one.value for name, one in shape_metrics(measures).estimates.items()}
    counts = [count_cells(one.regions.cells, mask) for one, mask in zip(maps, masks, strict=True)]
    pixels = pixel_metrics_from_counts(counts, [one.values for one in maps])
    values = {name: getattr(pixels, name) for name in ("auroc", "ap", "f1_max", "aupro")}
    return {
        **{name: np.array([one.get(name, np.nan) for one in measures]) for name in ("iou_box", "iou_mask")},
        **{name: found.get(name, np.nan) for name in ("miou_box", "miou_mask", "false_alarms")},
        **{
            f"acc_{kind}": np.array([found.get(f"acc_{kind}_{percent}", np.nan) for percent in (10, 30, 50)])
            for kind in ("box", "mask")
        },
        **{name: np.nan if value is None else value for name, value in values.items()},
    }
