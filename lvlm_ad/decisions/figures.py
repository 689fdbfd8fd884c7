"""Right and wrong decisions: counts, rates and their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import betaincinv

from lvlm_ad.decisions.clusters import effective_images
from lvlm_ad.decisions.threshold import Threshold, as_scores, fixed
from lvlm_ad.metrics.intervals import Interval, mover_mean

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

COUNTS = ("tp", "fn", "fp", "tn", "abstain_defect", "abstain_good")
"""Defects that alarm and pass, good images that alarm and pass, and images of both classes without an answer."""

RATES = ("recall", "miss", "false_alarm", "precision", "balanced_accuracy")


def clopper_pearson(successes: float, n: float) -> Interval | None:
    """Return the exact 95 % interval of a proportion (Clopper and Pearson, Biometrika 26:404-413, 1934).

    Args:
        successes: how many.
        n: of how many trials; both may be fractions, of an effective number of trials.

    Returns:
        The interval; None for no trials.

    Example:
        >>> low, high = clopper_pearson(0, 10)
        >>> low, round(high, 3)
        (0.0, 0.308)
    """
    if not n:
        return None
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, 0.025))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 0.975))
    return low, high


def decision(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: Threshold | float,
    prevalence: float | None = None,
    objects: ArrayLike | None = None,
) -> dict[str, Any]:
    """Count right and wrong decisions.

    Images without an answer are neither alarm nor pass; they count in the denominators of all rates.

    Args:
        labels: bool ``(N,)``, True for a defect.
        scores: float ``(N,)``; None or NaN: no answer.
        threshold: which scores alarm; a number: this score and higher ones.
        prevalence: the share of defective parts on a line, in [0, 1].
        objects: int ``(N,)``, the number of each image's object, where several images show the same one; intervals then
            count ``effective_images``. None: each image shows another object.

    Returns:
        The counts ``COUNTS`` and what ``rates`` makes of them.

    Example:
        >>> figures = decision([True, True, False, False], [0.9, 0.2, None, 0.1], 0.5)
        >>> figures["recall"], figures["false_alarm"], figures["abstain_good"]
        (0.5, 0.0, 1)
    """
    defect, values = np.asarray(labels, dtype=np.bool_), as_scores(scores)
    rule = threshold if isinstance(threshold, Threshold) else fixed(threshold)
    alarm, silent = np.asarray(rule.alarms(values)), np.isnan(values)
    passed = ~alarm & ~silent
    kinds = (defect & alarm, defect & passed, ~defect & alarm, ~defect & passed, defect & silent, ~defect & silent)
    counts = {name: int(kind.sum()) for name, kind in zip(COUNTS, kinds, strict=True)}
    if objects is None:
        return rates(counts, prevalence)
    members = np.asarray(objects)
    shares = {
        "recall": (alarm, defect),
        "miss": (passed, defect),
        "false_alarm": (alarm, ~defect),
        "pass": (passed, ~defect),
        "precision": (defect, alarm),
    }
    effective = {name: effective_images(hits[among], members[among]) for name, (hits, among) in shares.items()}
    return rates(counts, prevalence, effective)


def rates(
    counts: Mapping[str, int], prevalence: float | None = None, effective: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Turn counts into rates with exact intervals.

    Recall, miss and false alarm are shares of all defects and of all good images; precision is the share of defects
    among the alarms. Balanced accuracy is the mean of recall and the share of good images that pass; its interval
    combines theirs by squaring and adding (Zou and Donner, Stat. Med. 27:1693-1702, 2008). Precision at a prevalence
    ``p`` is ``p r / (p r + (1 - p) f)`` with recall ``r`` and false alarms ``f``.

    Args:
        counts: ``COUNTS``.
        prevalence: the share of defective parts on a line, in [0, 1].
        effective: where several images show the same object, the effective number of images of "recall", "miss",
            "false_alarm", "pass" (good images that pass) and "precision"; see ``effective_images``.

    Returns:
        The counts, the rates (None where undefined), "precision_at_prevalence" if a prevalence is given, "interval":
        rate -> [low, high], and "effective" if it is given.
    """
    tp, fn, fp, tn, silent_bad, silent_good = (counts[name] for name in COUNTS)
    bad, good = tp + fn + silent_bad, fp + tn + silent_good
    shares = {"recall": (tp, bad), "miss": (fn, bad), "false_alarm": (fp, good), "precision": (tp, tp + fp)}
    values: dict[str, float | None] = {name: part / whole if whole else None for name, (part, whole) in shares.items()}
    trials: dict[str, tuple[float, float]] = {**shares, "pass": (tn, good)}
    if effective is not None:
        known = {name: share for name, share in trials.items() if share[1]}
        trials = {name: (part / whole * effective[name], effective[name]) for name, (part, whole) in known.items()}
    intervals = {name: exact for name, share in trials.items() if (exact := clopper_pearson(*share)) is not None}
    passes = intervals.pop("pass", None)
    values["balanced_accuracy"] = None
    if bad and passes is not None:
        halves, ends = (tp / bad, tn / good), (intervals["recall"], passes)
        values["balanced_accuracy"] = sum(halves) / 2
        intervals["balanced_accuracy"] = mover_mean(halves, ends)
    if prevalence is not None:
        values["precision_at_prevalence"] = _precision_at(prevalence, values["recall"], values["false_alarm"])
    ends_of = {"interval": {name: list(ends) for name, ends in intervals.items()}}
    return {**counts, **values, **ends_of, **({} if effective is None else {"effective": dict(effective)})}


def _precision_at(prevalence: float, recall: float | None, false_alarm: float | None) -> float | None:
    if recall is None or false_alarm is None:
        return None
    found = prevalence * recall
    alarms = found + (1 - prevalence) * false_alarm
    return found / alarms if alarms else None


def mean_decision(categories: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Average the rates over categories, each over those in which it is defined.

    Args:
        categories: what ``rates`` returns, for each category.

    Returns:
        The rates (None where no category has it) and "interval".
    """
    entries = list(categories)
    result: dict[str, Any] = {}
    intervals = {}
    for name in RATES:
        defined = [one for one in entries if one[name] is not None]
        points, ends = [one[name] for one in defined], [one["interval"][name] for one in defined]
        result[name] = sum(points) / len(points) if points else None
        if points:
            intervals[name] = list(mover_mean(points, ends))
    return {**result, "interval": intervals}
