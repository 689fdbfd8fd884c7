"""The expected cost of a part, beside what it costs to pass, scrap or inspect everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lvlm_ad.decisions.figures import clopper_pearson

_SEED = 20_311  # resamples must be the same for whoever recomputes the run
_RESAMPLES = 2_000

_RATES = (("recall", "miss"), ("false_alarm", "pass"))
"""Rates of defective and of good images."""


@dataclass(frozen=True)
class Prices:
    """What a part costs, in one currency.

    Attributes:
        miss: a defect that passes.
        false_alarm: a good part that is rejected; if rejects are inspected again, the price of that inspection.
        check: a part that a person inspects because the model gave no answer.
        prevalence: the share of defective parts on the line, in [0, 1].
        model: one answer of the model; None: unknown, left out.
    """

    miss: float
    false_alarm: float
    check: float
    prevalence: float
    model: float | None = None


def cost(counts: Mapping[str, int], prices: Prices) -> float | None:
    """Return the expected cost of a part.

    With prevalence ``p``, shares of missed defects ``e``, false alarms ``f`` and unanswered defective and good images
    ``a``, ``b``: ``p e miss + (1 - p) f false_alarm + (p a + (1 - p) b) check + model`` (as the expected
    misclassification cost of Drummond and Holte, Mach. Learn. 65:95-130, 2006).

    Args:
        counts: as ``lvlm_ad.decisions.decision`` returns them.
        prices: the prices.

    Returns:
        The cost; None without good or without defective images.

    Example:
        >>> counts = {"tp": 9, "fn": 1, "fp": 2, "tn": 8, "abstain_defect": 0, "abstain_good": 0}
        >>> round(cost(counts, Prices(miss=100, false_alarm=5, check=1, prevalence=0.02)), 2)
        1.18
    """
    bad, good = _kinds(counts)
    if not bad.sum() or not good.sum():
        return None
    per_bad, per_good, model = _weights(prices)
    return float(per_bad @ bad / bad.sum() + per_good @ good / good.sum() + model)


def cost_interval(categories: Sequence[Mapping[str, Any]], prices: Prices) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean cost over categories.

    The good and the defective images of each category are resampled. A rate of 0 or 1 does not vary between resamples,
    though it is not certain; so the distance to the end of its exact interval (Clopper and Pearson, Biometrika
    26:404-413, 1934) is added: several distances as the root of the sum of their squares. Where several images show the
    same object, as many images are drawn as the rates are worth, see ``effective_images``.

    Args:
        categories: counts as ``lvlm_ad.decisions.decision`` returns them; each has good and defective images.
        prices: the prices.

    Returns:
        The interval; None without a category.
    """
    if not categories:
        return None
    rng, n = np.random.default_rng(_SEED), len(categories)
    per_kind, model = _weights(prices)[:2], _weights(prices)[2]
    total = np.full(_RESAMPLES, model)
    squares = np.zeros(2)
    for counts in categories:
        effective = counts.get("effective", {})
        for weights, kind, names in zip(per_kind, _kinds(counts), _RATES, strict=True):
            size = int(kind.sum())
            drawn = max(1, round(min((effective[name] for name in names if name in effective), default=size)))
            total += rng.multinomial(drawn, kind / size, _RESAMPLES) @ weights / (drawn * n)
            share = kind[0] / size
            low, high = clopper_pearson(share * drawn, drawn) or (0.0, 1.0)
            if share in {0, 1}:
                squares += (weights[0] / n * np.array([share - low, high - share])) ** 2
    below, above = np.sqrt(squares)
    low, high = np.quantile(total, [0.025, 0.975])
    return max(0.0, float(low - below)), float(high + above)


def baselines(prices: Prices) -> dict[str, float]:
    """Return the cost of a part without a model: pass all, scrap all and inspect all.

    Example:
        >>> baselines(Prices(miss=100, false_alarm=5, check=1, prevalence=0.02))
        {'pass_all': 2.0, 'scrap_all': 4.9, 'inspect_all': 1}
    """
    return {
        "pass_all": prices.prevalence * prices.miss,
        "scrap_all": (1 - prices.prevalence) * prices.false_alarm,
        "inspect_all": prices.check,
    }


def relative_costs(
    categories: Sequence[Mapping[str, int]], prices: Prices, prevalences: Sequence[float]
) -> list[float]:
    """Return the mean cost of a part at each share of defective parts, divided by that of the cheapest baseline.

    Below 1 the model pays. The thresholds stay as they are. Categories without images of both kinds are left out.

    Args:
        categories: counts as ``lvlm_ad.decisions.decision`` returns them; one or more with images of both kinds.
        prices: the prices, none of the baselines free; their prevalence is replaced.
        prevalences: shares of defective parts, above 0 and below 1.

    Example:
        >>> counts = {"tp": 9, "fn": 1, "fp": 2, "tn": 8, "abstain_defect": 0, "abstain_good": 0}
        >>> prices = Prices(miss=100, false_alarm=5, check=1, prevalence=0.02)
        >>> [round(one, 2) for one in relative_costs([counts], prices, [0.001, 0.02, 0.5])]
        [10.09, 1.18, 5.5]
    """
    relative = []
    for prevalence in prevalences:
        at = replace(prices, prevalence=prevalence)
        costs = [one for counts in categories if (one := cost(counts, at)) is not None]
        relative.append(sum(costs) / len(costs) / min(baselines(at).values()))
    return relative


def mean_cost(categories: Sequence[Mapping[str, int]], prices: Prices) -> dict[str, Any]:
    """Return the mean cost of a part over categories with good and defective images, its interval and the baselines.

    "verdict" is a sentence if the model is dearer than the cheapest baseline.
    """
    costs = [(counts, one) for counts in categories if (one := cost(counts, prices)) is not None]
    without = baselines(prices)
    per_part = sum(one for _, one in costs) / len(costs) if costs else None
    interval = cost_interval([counts for counts, _ in costs], prices)
    listed = asdict(prices)
    result = {
        "per_part": per_part,
        "interval": None if interval is None else list(interval),
        **without,
        "prevalence": listed.pop("prevalence"),
        "prices": listed,
    }
    name, least = min(without.items(), key=lambda item: item[1])
    if per_part is None:
        result["reason"] = "no category has both good and defective images"
    elif per_part > least:
        result["verdict"] = (
            f"At these prices the model is of no use: a part costs {per_part:.4g} with it, and {least:.4g} if you "
            f"{name.removesuffix('_all')} everything."
        )
    return result


def _kinds(counts: Mapping[str, int]) -> tuple[np.ndarray[Any, np.dtype[np.int64]], ...]:
    """Return wrong, unanswered and right images: of the defective ones, and of the good ones."""
    bad = np.array([counts[name] for name in ("fn", "abstain_defect", "tp")])
    good = np.array([counts[name] for name in ("fp", "abstain_good", "tn")])
    return bad, good


def _weights(prices: Prices) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, Any], float]:
    """Return the cost of a wrong, unanswered and right image of each class, times its share, and the model's."""
    share = prices.prevalence
    bad = share * np.array([prices.miss, prices.check, 0.0])
    good = (1 - share) * np.array([prices.false_alarm, prices.check, 0.0])
    return bad, good, prices.model or 0.0
