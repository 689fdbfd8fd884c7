"""From the cases in shared/cases to the functions that compute what they expect.

``statistic(quantity, inputs)`` is for statistics.json and returns a dict in the form of the case's ``expected``: plain
floats, lists and None. ``grounding(case)`` is for grounding_cases.json and returns a dict in the form of ``expect``.
``grounding_metrics(masks, shapes)`` is for grounding_metrics_*.npz and returns their numbers.
``dataset_metric(case, arrays, config)`` is for dataset_metrics.json and returns a dict in the form of ``expected``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

QUANTITIES: dict[str, Callable[..., dict[str, Any]]] = {}


def statistic(quantity: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Compute a quantity.

    Args:
        quantity: its name in the cases.
        inputs: as in the case; arrays are lists or numpy arrays.

    Raises:
        KeyError: there is no such quantity.
    """
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
    from lvlm_ad.metrics import resampled_intervals

    interval, optimism = resampled_intervals.smoothed_interval(metric, point, smoothed, plain, defective)
    return {"interval": interval, "optimism": optimism}


@quantity
def mover_mean(points, intervals):
    from lvlm_ad.metrics.intervals import mover_mean

    return {"mean": np.mean(points), "interval": mover_mean(points, intervals)}


@quantity
def pixel_interval(point, draws, weights):
    from lvlm_ad.metrics import resampled_intervals

    n_effective, interval = resampled_intervals.pixel_interval(point, draws, weights)
    return {"n_effective": n_effective, "interval": interval}


@quantity
def pixel_mean(points, draws, n_effective):
    from lvlm_ad.metrics import resampled_intervals

    interval, df = resampled_intervals.pixel_mean(points, draws, n_effective)
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


@quantity
def repeats(scores, threshold):
    from lvlm_ad.metrics import stability

    found = stability.repeats(scores, threshold)
    result = {
        "flip_rate": found.flip_rate.value,
        "interval": found.flip_rate.interval,
        "unstable_fraction": found.unstable_fraction,
        "n": found.images,
        "within_sd": found.within_sd,
    }
    if "different numbers of answers" in found.icc.reason:
        return result  # the cases leave it out
    return {**result, "icc": {"icc": found.icc.value, "interval": found.icc.interval}}


@quantity
def map_disagreement(maps):
    from lvlm_ad.metrics import stability

    return {"mean": stability.mean_map_disagreement(maps).value}


@quantity
def auroc_spread(labels, scores):
    from lvlm_ad.metrics import stability

    found = stability.auroc_spread(labels, scores)
    return {"each": found.each, "sd": found.sd, "range": found.range}


@quantity
def votes(labels, scores, how):
    from lvlm_ad.metrics import stability

    # The cases round means but not medians, so that the medians of 0.1 and 0.2 and of 0.0 and 0.3 do not tie there.
    found = stability.votes(labels, scores, how, digits=12 if how == "mean" else None)
    return {"auroc": [one.auroc for one in found]}


@quantity
def variance_components(y):
    from lvlm_ad.metrics import stability

    found = stability.variance_components(y)
    names = ("image", "condition", "interaction", "repeat", "interaction_and_repeat")
    values = {name: getattr(found, name).value for name in names}
    return {name: value for name, value in values.items() if value is not None}


@quantity
def one_factor(base_repeats, levels):
    from lvlm_ad.metrics import stability

    found = stability.one_factor(base_repeats, levels)
    return {
        "repeat_variance": found.repeat.value,
        "factor_total": found.total.value,
        "factor_excess": found.excess.value,
        "level_means": found.level_means,
        "shift_variance": found.shift_variance,
    }


@quantity
def position_bias(numbers, named):
    from lvlm_ad.metrics import stability

    found = stability.position_bias(numbers, named)
    return {
        "frequency": found.frequency,
        "effect": [one.value for one in found.effect],
        "range": found.range.value,
        "slope": found.slope.value,
    }


@quantity
def marks(marked, plain):
    from lvlm_ad.metrics import stability

    found = stability.paired_shift(marked, plain)
    return {"mean": found.value, "interval": found.interval}


@quantity
def design(between, within, cost_image, cost_answer, half_width):
    from lvlm_ad.metrics import stability

    found = stability.design(between, within, cost_image, cost_answer, half_width)
    return {
        "best_repeats": found.best_repeats,
        "images_with_one": found.images_with_one,
        "relative_se_within_sd_n50_k2": stability.within_sd_relative_error(50, 2),
    }


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


LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)
"""The limits of the cases, where a case does not name its own."""


def dataset_metric(case, arrays, config):
    """Compute a metric of data sets.

    Args:
        case: as in dataset_metrics.json: "kind", "expected" (its limits, bounds and thresholds are read, never its
            values), and for "mmad" the "answers".
        arrays: the case's arrays, by their names in the case.
        config: the entries of a defects_config.json, for "spro".

    Returns:
        A dict in the form of "expected".
    """
    return plain_types(DATASET_METRICS[case["kind"]](case, arrays, config))


def _limits(values):
    return [float(one) for one in values] or LIMITS


def _aupro(case, arrays, config):  # noqa: ARG001 - all kinds are called alike
    from lvlm_ad.metrics import pixel_metrics

    limits = _limits(case.get("expected", ()))
    found = pixel_metrics(arrays["masks"], arrays["maps"], limits=limits).aupro_at
    return {str(limit): value for limit, value in zip(limits, found.values(), strict=True)}


def _spro(case, arrays, config):
    from lvlm_ad.datasets.channels import Saturation
    from lvlm_ad.metrics.spro import Channels, au_spro, spro_at

    expected, maps = case.get("expected", {}), arrays["maps"]
    types = Saturation(
        {one["pixel_value"]: (one["saturation_threshold"], one["relative_saturation"]) for one in config}
    )
    channels = []
    for image in range(len(maps)):
        own = np.flatnonzero(arrays["owner"] == image)
        areas = [types.area(int(arrays["pixel_value"][at]), np.count_nonzero(arrays["gt"][at])) for at in own]
        channels.append(Channels.of(arrays["gt"][own], areas, size=maps[image].shape))
    # The channels of the case are in any order, those of the images one after the other.
    order = np.argsort(np.concatenate([np.flatnonzero(arrays["owner"] == image) for image in range(len(maps))]))

    def by_channel(values):
        return np.concatenate([np.asarray(one) for one in values])[order]

    limits = _limits(expected.get("au_spro", ()))
    found = au_spro(maps, channels, limits).values
    return {
        "saturation_areas": by_channel(one.saturations for one in channels),
        "spro_at": {
            at: by_channel(spro_at(one, truth, float(at)) for one, truth in zip(maps, channels, strict=True))
            for at in expected.get("spro_at", ())
        },
        "au_spro": {str(limit): value for limit, value in zip(limits, found.values(), strict=True)},
    }


def _image_groups(case, arrays, config):  # noqa: ARG001 - all kinds are called alike
    from lvlm_ad.metrics import image_metrics
    from lvlm_ad.metrics.groups import image_auroc_by_group

    names = ["logical", "structural"]
    groups = [name if name in names else None for name in ("good", *names) for _ in arrays[name]]
    scores = np.concatenate([arrays[name] for name in ("good", *names)])
    found = image_auroc_by_group(scores, groups, names).values
    return {
        **{name: found[f"image_auroc_{name}"] for name in names},
        "mean": found["image_auroc_groups"],
        "pooled": image_metrics([one is not None for one in groups], scores).auroc,
    }


def _aupimo(case, arrays, config):  # noqa: ARG001 - all kinds are called alike
    from lvlm_ad.metrics.pimo import AUPIMO_BOUNDS, aupimo

    bounds = tuple(case.get("expected", {}).get("bounds", AUPIMO_BOUNDS))
    return {"bounds": bounds, "per_image": aupimo(arrays["masks"], arrays["maps"], bounds).per_image}


def _segf1(case, arrays, config):  # noqa: ARG001 - all kinds are called alike
    from lvlm_ad.metrics.binary import NormalScores, binary_metrics, count_binary

    predicted, threshold = arrays["pred"], None
    if "validation" in arrays:
        normal = NormalScores()
        for one in arrays["validation"]:
            normal.add(one)
        threshold = normal.threshold()
        predicted = threshold.above(arrays["scores"])
    counts = [count_binary(*one) for one in zip(arrays["truth"], predicted, strict=True)]
    found = binary_metrics(arrays["labels"], counts)
    values = {"segf1": found.segf1, "classf1": found.classf1}
    return values if threshold is None else {**values, "threshold": threshold.value}


def _f1_grid(case, arrays, config):  # noqa: ARG001 - all kinds are called alike
    from lvlm_ad.metrics import pixel_metrics
    from lvlm_ad.metrics.grid import f1_grid

    exact = pixel_metrics(arrays["truth"], arrays["scores"]).f1_max
    return {"f1_max_exact": exact, "f1_max_grid21": f1_grid(arrays["truth"], arrays["scores"]).values["f1_grid21"]}


def _views(case, arrays, config):  # noqa: ARG001 - all kinds are called alike
    from lvlm_ad.metrics import image_metrics
    from lvlm_ad.metrics.groups import object_metrics

    labels, scores = (arrays[name] for name in ("labels", "scores"))
    objects = np.repeat(np.arange(len(labels)), labels.shape[1]).tolist()
    return {
        "image": image_metrics(labels.ravel(), scores.ravel()).auroc,
        "sample": object_metrics(labels.ravel(), scores.ravel(), objects).auroc,
    }


def mmad_choices(answers):
    """Read the records of MMAD's answers file; what is no letter from A to E is no answer."""
    from pathlib import PurePosixPath

    from lvlm_ad.metrics.choices import Choice

    return [
        Choice(
            image=one["image"],
            source=one["image"].partition("/")[0],
            type=one["question_type"],
            normal=PurePosixPath(one["image"]).parent.name == "good",
            correct=one["correct_answer"],
            answer=one["gpt_answer"] if one["gpt_answer"] in tuple("ABCDE") else None,
        )
        for one in answers
    ]


def _mmad(case, arrays, config):  # noqa: ARG001 - all kinds are called alike
    from lvlm_ad.metrics.choices import choice_accuracy, count_choices

    counts = count_choices(mmad_choices(case["answers"]))
    tables = {}
    for way in ("left_out", "wrong"):
        rows = choice_accuracy(counts, way)
        tables[f"unparsed_{way}"] = {
            source: {name: None if value is None else 100 * value for name, value in row.items() if name not in _OURS}
            for source, row in rows.items()
            if source != "Average"
        }
    return {"unparsed": counts.n_unparsed, **tables}


_OURS = {"Average", "f1"}
"""Numbers that the cases of MMAD do not have."""

DATASET_METRICS = {
    "aupro": _aupro,
    "spro": _spro,
    "image_groups": _image_groups,
    "aupimo": _aupimo,
    "segf1": _segf1,
    "f1_grid": _f1_grid,
    "views": _views,
    "mmad": _mmad,
}
