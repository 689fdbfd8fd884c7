"""Thresholds, none of which uses the labels of the images that it judges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from scipy.special import betaincinv

from lvlm_ad.errors import MetricError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from lvlm_ad.decisions.choice import Choice, Kind


@dataclass(frozen=True)
class Threshold:
    """A threshold and what is known about it.

    Attributes:
        kind: how it was chosen, see ``Choice``.
        value: an image alarms at this score and above; infinity: never; None: there is no threshold.
        strict: whether only scores above the value alarm; otherwise the value itself alarms too.
        reason: why there is no threshold, or why it never alarms.
        guarantee: at most this share of good images alarms, on average over references and images; None: no guarantee.
        bound95: with 95 % confidence, these references keep the share of false alarms at or below this; None: unknown.
        n: the images that it was chosen from.
    """

    kind: Kind
    value: float | None
    strict: bool = False
    reason: str = ""
    guarantee: float | None = None
    bound95: float | None = None
    n: int = 0

    @overload
    def alarms(self, scores: float | None) -> bool: ...
    @overload
    def alarms(self, scores: ArrayLike) -> NDArray[np.bool_] | bool: ...
    def alarms(self, scores: ArrayLike | None) -> NDArray[np.bool_] | bool:
        """Say which scores alarm; no answer (None or NaN) never does, and nothing does without a threshold.

        Example:
            >>> fixed(0.5).alarms([0.4, 0.5, None])
            array([False,  True, False])
            >>> fixed(0.5).alarms(0.7)
            True
        """
        values = as_scores(scores)
        limit = math.nan if self.value is None else self.value
        found = values > limit if self.strict else values >= limit
        return found if values.ndim else bool(found)

    def record(self) -> dict[str, Any]:
        """Return the threshold as JSON holds it; one that never alarms has the value None and a reason."""
        finite = self.value is not None and math.isfinite(self.value)
        promises = {} if self.value is None else {"guarantee": self.guarantee, "bound95": self.bound95}
        facts = {**promises, "reason": self.reason or None}
        known = {name: value for name, value in facts.items() if value is not None}
        return {"threshold": self.value if finite else None, "strict": self.strict, "n_chosen_from": self.n, **known}


def promise(guarantee: float, bound95: float) -> str:
    """Say what a conformal threshold guarantees about false alarms: the rest of a sentence."""
    return (
        f"on average over references at most {100 * guarantee:.1f} % of the good images alarm; with these references "
        f"at most {100 * bound95:.1f} %, with 95 % confidence"
    )


def as_scores(scores: ArrayLike | None) -> NDArray[np.float64]:
    """Return scores as float64; None becomes NaN."""
    return np.asarray(scores, dtype=np.float64)


def choose_threshold(
    choice: Choice,
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    prevalence: float | None = None,
    miss: float = 0,
    false_alarm: float = 0,
) -> Threshold:
    """Choose the threshold of one category.

    Args:
        choice: how.
        labels: bool ``(N,)``, of the images that it is chosen from; True for a defect.
        scores: float ``(N,)``, theirs; None or NaN: no answer.
        prevalence: with "calibration", the cheapest threshold at this share of defective parts is chosen; None: that of
            the highest balanced accuracy.
        miss: the price of a missed defect.
        false_alarm: the price of a false alarm.

    Example:
        >>> from lvlm_ad.decisions import parse_threshold
        >>> choose_threshold(parse_threshold("conformal:0.25"), [False] * 3, [0.1, 0.2, 0.6]).value
        0.6
    """
    value = 0.0 if choice.value is None else choice.value
    if choice.kind == "fixed":
        return fixed(value)
    defect, values = np.asarray(labels, dtype=np.bool_), as_scores(scores)
    if choice.kind == "conformal":
        return conformal(values[~defect], value)
    if choice.kind == "reference":
        return reference_quantile(values[~defect], value)
    known = defect[~np.isnan(values)]
    if known.all() or not known.any():
        return Threshold(
            "calibration", None, reason="the calibration images need both good and defective ones", n=known.size
        )
    best, _ = best_threshold(defect, values, prevalence=prevalence, miss=miss, false_alarm=false_alarm)
    if best is None:
        return Threshold(
            "calibration", math.inf, reason="on the calibration images it is best never to alarm", n=known.size
        )
    return Threshold("calibration", best, n=known.size)


def fixed(value: float) -> Threshold:
    """Return a threshold that the user gave; a score of that value alarms."""
    return Threshold("fixed", value)


def conformal(references: ArrayLike, alpha: float) -> Threshold:
    """Choose the threshold above which at most a share ``alpha`` of good images alarms.

    With ``j = floor(alpha (n + 1))`` it is the ``(n + 1 - j)``-th smallest score of ``n`` good references. A new good
    image that is exchangeable with them lies above it with probability ``j / (n + 1)`` at most, on average over
    references and image (Vovk, ACML 2012). For the references at hand the share of false alarms has the distribution
    Beta(j, n + 1 - j), whose 95 % quantile is ``bound95`` (Bates et al., Ann. Stat. 51:149-178, 2023).

    Args:
        references: float ``(N,)``, scores of good images; those without an answer are left out.
        alpha: the share of false alarms, in (0, 1).

    Example:
        >>> conformal([0.0] * 18 + [0.4], 0.05).value
        0.4
        >>> conformal([0.0] * 10, 0.05).reason
        'alpha 0.05 needs 19 good references; 10 have a score'
    """
    scores = np.sort(_answered(references))
    n = len(scores)
    above = math.floor(alpha * (n + 1) + 1e-9)
    if not above:
        needed = math.ceil(1 / alpha - 1 - 1e-9)
        reason = f"alpha {alpha:g} needs {needed} good references; {n} have a score"
        return Threshold("conformal", None, strict=True, reason=reason, guarantee=0.0, bound95=0.0, n=n)
    k = n + 1 - above
    bound = float(betaincinv(above, k, 0.95))
    return Threshold("conformal", float(scores[k - 1]), strict=True, guarantee=above / (n + 1), bound95=bound, n=n)


def conformal_p_values(references: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Return the share of references that are at least as anomalous: (1 + #{reference >= score}) / (n + 1).

    ``p <= alpha`` is the rule of ``conformal`` (Vovk, ACML 2012).

    Example:
        >>> conformal_p_values([0.1, 0.2, 0.3], [0.2, 0.9])
        array([0.75, 0.25])
    """
    known = np.sort(_answered(references))
    at_least = len(known) - np.searchsorted(known, as_scores(scores), side="left")
    return np.asarray((1 + at_least) / (len(known) + 1), dtype=np.float64)


def reference_quantile(references: ArrayLike, quantile: float) -> Threshold:
    """Choose a quantile of good references; scores above it alarm. It guarantees nothing about new images.

    It is the smallest reference score that a share ``quantile`` of the references does not exceed. Fewer than
    ``1 / (1 - quantile)`` references give none: the quantile would be the highest score, whatever it is.

    Example:
        >>> reference_quantile([0.0, 0.1, 0.2, 0.9], 0.75).value
        0.2
    """
    scores = _answered(references)
    n, needed = len(scores), math.ceil(1 / (1 - quantile) - 1e-9)
    if n < needed:
        reason = f"quantile {quantile:g} needs {needed} good references; {n} have a score"
        return Threshold("reference", None, strict=True, reason=reason, n=n)
    return Threshold("reference", float(np.quantile(scores, quantile, method="inverted_cdf")), strict=True, n=n)


def best_threshold(
    labels: ArrayLike, scores: ArrayLike, *, prevalence: float | None = None, miss: float = 0, false_alarm: float = 0
) -> tuple[float | None, float]:
    """Find the best threshold on labelled images, to judge other images by.

    Best is the highest balanced accuracy or, with a prevalence, the lowest expected cost of wrong decisions per part.
    Of equally good thresholds the highest is taken; "never alarm" only if it is strictly better than every score.

    Args:
        labels: bool ``(N,)``, True for a defect; both classes must occur.
        scores: float ``(N,)``; None or NaN: an image that neither alarms nor passes, but counts.
        prevalence: the share of defective parts.
        miss: the price of a missed defect.
        false_alarm: the price of a false alarm.

    Raises:
        MetricError: one class is missing.

    Returns:
        The threshold (None: never alarm), and its balanced accuracy or cost.

    Example:
        >>> best_threshold([True, True, False, False], [0.9, 0.6, 0.3, 0.6])
        (0.9, 0.75)
    """
    defect, values = np.asarray(labels, dtype=np.bool_), as_scores(scores)
    if defect.all() or not defect.any():
        raise MetricError("a threshold is chosen from good and defective images; one class is missing")
    bad, good = np.sort(values[defect & ~np.isnan(values)]), np.sort(values[~defect & ~np.isnan(values)])
    levels = np.append(np.unique(values[~np.isnan(values)])[::-1], np.inf)
    n_bad, n_good = int(defect.sum()), int((~defect).sum())
    missed, passed = np.searchsorted(bad, levels), np.searchsorted(good, levels)
    if prevalence is None:
        value = ((len(bad) - missed) / n_bad + passed / n_good) / 2
        gain = value
    else:
        alarms = len(good) - passed
        value = prevalence * missed / n_bad * miss + (1 - prevalence) * alarms / n_good * false_alarm
        gain = -value
    # Rounded: equal fractions must not differ by how they were added.
    best = int(np.argmax(np.round(gain, 12)))
    limit = float(levels[best])
    return (None if math.isinf(limit) else limit), float(value[best])


def _answered(scores: ArrayLike) -> NDArray[np.float64]:
    values = as_scores(scores)
    return values[~np.isnan(values)]
