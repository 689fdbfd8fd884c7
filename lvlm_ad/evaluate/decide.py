"""The decisions of a run: thresholds, right and wrong decisions, their cost; the "decisions" of metrics.json."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.decisions import (
    Choice,
    Prices,
    Threshold,
    calibration,
    choose_threshold,
    cost,
    decision,
    mean_cost,
    mean_decision,
    parse_threshold,
    rates,
    risk_coverage,
)
from lvlm_ad.decisions.figures import COUNTS, RATES
from lvlm_ad.metrics.groups import numbers_of_parts
from lvlm_ad.runs import usd_per_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.evaluate.config import RunConfig
    from lvlm_ad.runs import PredictionRecord

__all__ = ["DecisionSettings", "alarms_of", "decide", "judged_images"]

_SPLITS = 20
"""Random splits into calibration and test images; the first one's result counts, all say how much it depends on it."""

_POINTS = 200
"""Points of a risk-coverage curve that metrics.json keeps."""

_CALIBRATION = ("brier", "ece", "ece_if_calibrated", "reliability", "resolution", "uncertainty", "miscalibration")

Records = Sequence["PredictionRecord"]


@dataclass(frozen=True)
class DecisionSettings:
    """What decisions depend on besides the predictions.

    Attributes:
        choice: how thresholds are chosen.
        seed: of the split into calibration and test images.
        prevalence: the share of defective parts on the line; None: unknown.
        prices: the cost of a part; None: not asked for.
    """

    choice: Choice
    seed: int = 0
    prevalence: float | None = None
    prices: Prices | None = None

    @classmethod
    def of(cls, config: RunConfig, choice: Choice, metrics: Mapping[str, Any]) -> DecisionSettings:
        """Take the settings from a configuration, and the price of an answer from the content of metrics.json."""
        miss, false_alarm, check = config.cost_miss, config.cost_false_alarm, config.cost_check
        prices = None
        if config.prevalence is not None and miss is not None and false_alarm is not None and check is not None:
            prices = Prices(miss, false_alarm, check, config.prevalence, usd_per_image(metrics))
        return cls(choice, config.seed, config.prevalence, prices)

    @classmethod
    def recorded(cls, metrics: Mapping[str, Any]) -> DecisionSettings:
        """Take the settings from the content of a metrics.json with "decisions"."""
        decisions = metrics["decisions"]
        costs = decisions.get("cost")
        prices = None
        if costs is not None:
            prices = Prices(**{**costs["prices"], "model": usd_per_image(metrics)}, prevalence=costs["prevalence"])
        choice = parse_threshold(decisions["threshold"])
        return cls(choice, decisions.get("seed", 0), decisions.get("prevalence"), prices)


def decide(settings: DecisionSettings, records: Records, threshold_records: Records = ()) -> dict[str, Any]:
    """Choose a threshold for each category, and judge the test images by it.

    Images without a score are abstentions, whatever the reason. With ``calibration:FRACTION`` the thresholds are chosen
    on a part of the test images, stratified by label, and the others are judged.

    Args:
        settings: how.
        records: predictions of the test images.
        threshold_records: predictions of the other images that the thresholds are chosen from.

    Returns:
        The "decisions" of metrics.json, as docs/decisions.md describes them.
    """
    choice = settings.choice
    judged, thresholds = _judge(settings, records, threshold_records, 0)
    categories = {name: _category(settings, judged[name], one) for name, one in thresholds.items()}
    entries = [one for one in categories.values() if "tp" in one]
    splits = choice.kind == "calibration" and choice.folder is None
    result: dict[str, Any] = {
        "threshold": choice.record,
        "kind": choice.kind,
        **({"seed": settings.seed} if splits else {}),
        **({} if settings.prevalence is None else {"prevalence": settings.prevalence}),
        "mean": mean_decision(entries),
        "pooled": _pooled(entries, settings.prevalence),
        "categories": categories,
        "calibration": _calibration(records),
        "abstention": _abstention(judged, thresholds),
    }
    if threshold_records:
        scored = sum(record.image_score is not None for record in threshold_records)
        result["asked"] = {"images": len(threshold_records), "usable": scored}
    if splits:
        result["splits"] = _spread(settings, records)
    if settings.prices is not None:
        result["cost"] = mean_cost(entries, settings.prices)
    return result


def judged_images(metrics: Mapping[str, Any], records: Records) -> set[str]:
    """Return the ids of the judged images: with ``calibration:FRACTION`` not of those that set the thresholds.

    ``metrics`` is the content of a metrics.json with "decisions", ``records`` are the run's predictions.
    """
    settings = DecisionSettings.recorded(metrics)
    if settings.choice.kind != "calibration" or settings.choice.folder is not None:
        return {record.id for record in records}
    groups = _by_category(records).items()
    return {one.id for name, group in groups for one in _split(group, settings, f"{settings.seed}/{name}/0")[1]}


def alarms_of(settings: DecisionSettings, records: Records, threshold_records: Records = ()) -> dict[str, bool]:
    """Return image id -> whether it alarms, for each image that ``decide`` judges; the arguments are the same."""
    judged, thresholds = _judge(settings, records, threshold_records, 0)
    return {
        record.id: thresholds[name].alarms(record.image_score)
        for name, group in judged.items()
        if thresholds[name].value is not None
        for record in group
    }


def _judge(
    settings: DecisionSettings, records: Records, threshold_records: Records, split: int
) -> tuple[dict[str, Records], dict[str, Threshold]]:
    """Return the judged images and the threshold of each category."""
    judged = _by_category(records)
    chosen_from: dict[str, Records] = {
        name: [one for one in threshold_records if one.category == name] for name in judged
    }
    if settings.choice.kind == "calibration" and settings.choice.folder is None:
        for name, group in judged.items():
            chosen_from[name], judged[name] = _split(group, settings, f"{settings.seed}/{name}/{split}")
    prices = settings.prices
    costs = (
        {}
        if prices is None
        else {"prevalence": prices.prevalence, "miss": prices.miss, "false_alarm": prices.false_alarm}
    )
    thresholds = {name: choose_threshold(settings.choice, *_arrays(chosen_from[name]), **costs) for name in judged}
    return judged, thresholds


def _by_category(records: Records) -> dict[str, Records]:
    groups: dict[str, list[PredictionRecord]] = {}
    for record in records:
        groups.setdefault(record.category, []).append(record)
    return dict(groups)


def _split(records: Records, settings: DecisionSettings, seed: str) -> tuple[Records, Records]:
    """Divide a category's images into those to choose on and those to judge, good and defective ones apart."""
    chosen: set[str] = set()
    for label in (False, True):
        names = sorted(record.id for record in records if record.label == label)
        # One image of a class is left to be judged at least.
        count = min(max(round((settings.choice.value or 0) * len(names)), 1), len(names) - 1)
        chosen |= set(random.Random(f"{seed}/{label}").sample(names, max(count, 0)))  # noqa: S311 - reproducible, not secret
    return [one for one in records if one.id in chosen], [one for one in records if one.id not in chosen]


def _arrays(records: Records) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return labels, and scores with NaN for no score."""
    scores = [math.nan if record.image_score is None else record.image_score for record in records]
    return np.array([record.label for record in records], dtype=np.bool_), np.array(scores, dtype=np.float64)


def _pooled(entries: Sequence[Mapping[str, Any]], prevalence: float | None) -> dict[str, Any]:
    """Add up the counts of categories, and the effective numbers of images where they have some."""
    counts = {name: sum(one[name] for one in entries) for name in COUNTS}
    known = [one["effective"] for one in entries if "effective" in one]
    if not known:
        return rates(counts, prevalence)
    whole = [one.get("effective") or _all_images(one) for one in entries]
    return rates(counts, prevalence, {name: sum(one[name] for one in whole) for name in known[0]})


def _all_images(entry: Mapping[str, Any]) -> dict[str, int]:
    """Return the numbers of images of the rates of a category whose images all show different objects."""
    bad = entry["tp"] + entry["fn"] + entry["abstain_defect"]
    good = entry["fp"] + entry["tn"] + entry["abstain_good"]
    alarms = entry["tp"] + entry["fp"]
    return {"recall": bad, "miss": bad, "false_alarm": good, "pass": good, "precision": alarms}


def _category(settings: DecisionSettings, records: Records, threshold: Threshold) -> dict[str, Any]:
    """Return a category's entry: its threshold, and what comes of it; without a threshold the reason."""
    entry = threshold.record()
    if threshold.value is None:
        return entry
    objects = numbers_of_parts([record.part for record in records])
    entry |= decision(*_arrays(records), threshold, settings.prevalence, objects)
    if settings.prices is not None:
        entry["cost_per_part"] = cost(entry, settings.prices)
    return entry


def _calibration(records: Records) -> dict[str, Any] | None:
    found = calibration(*_arrays(records))
    return None if found is None else {name: found[name] for name in (*_CALIBRATION, "discrimination", "n")}


def _abstention(judged: Mapping[str, Records], thresholds: Mapping[str, Threshold]) -> dict[str, Any] | None:
    """Return the risk-coverage curve over all categories; confidence is the distance of a score from the threshold."""
    columns: list[tuple[NDArray[Any], ...]] = []
    for name, threshold in thresholds.items():
        if threshold.value is not None:
            labels, scores = _arrays(judged[name])
            columns.append((labels, np.asarray(threshold.alarms(scores)), np.abs(scores - threshold.value)))
    if not columns:
        return None
    found = risk_coverage(*(np.concatenate(column) for column in zip(*columns, strict=True)))
    points = found["points"]
    kept = np.unique(np.linspace(0, len(points) - 1, min(len(points), _POINTS)).round().astype(int))
    return {**found, "points": [points[index] for index in kept]}


def _spread(settings: DecisionSettings, records: Records) -> dict[str, Any]:
    """Return how much the mean rates vary with the random split: their SD over splits (divisor n - 1)."""
    means = [mean_decision(_entries(settings, records, split)) for split in range(_SPLITS)]
    known = {name: [one[name] for one in means if one[name] is not None] for name in RATES}
    sd = {name: float(np.std(values, ddof=1)) if len(values) > 1 else None for name, values in known.items()}
    return {"n": _SPLITS, "sd": sd}


def _entries(settings: DecisionSettings, records: Records, split: int) -> Iterator[dict[str, Any]]:
    judged, thresholds = _judge(settings, records, (), split)
    for name, threshold in thresholds.items():
        if threshold.value is not None:
            yield decision(*_arrays(judged[name]), threshold)
