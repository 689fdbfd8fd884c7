"""Metrics by name, with the limit or bounds as part of the name: "pixel_aupro@0.05"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lvlm_ad.metrics.checks import check_limit
from lvlm_ad.metrics.curves import Steps, aupro

__all__ = ["NamedMetrics", "at_limit", "mean_metric", "overlap_at_limits"]


@dataclass(frozen=True, slots=True)
class NamedMetrics:
    """Several metrics.

    Attributes:
        values: name -> metric, None where undefined.
        undefined: name -> why it is None.

    Example:
        >>> NamedMetrics.without(["segf1"], "no pixel is anomalous").values
        {'segf1': None}
    """

    values: Mapping[str, float | None]
    undefined: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def without(cls, names: Sequence[str], reason: str) -> NamedMetrics:
        """Return metrics that are undefined for one reason."""
        return cls(dict.fromkeys(names), dict.fromkeys(names, reason))

    def only(self, names: Sequence[str]) -> NamedMetrics:
        """Return those of some names.

        Example:
            >>> NamedMetrics({"one": 0.5, "other": 1.0}).only(["one"]).values
            {'one': 0.5}
        """
        return NamedMetrics(
            {name: self.values[name] for name in names},
            {name: self.undefined[name] for name in names if name in self.undefined},
        )

    def __or__(self, other: NamedMetrics) -> NamedMetrics:
        return NamedMetrics({**self.values, **other.values}, {**self.undefined, **other.undefined})


def at_limit(name: str, *limits: float) -> str:
    """Add a metric's limit, or its two bounds, to its name.

    Example:
        >>> at_limit("pixel_aupro", 0.05), at_limit("aupimo", 1e-5, 1e-4)
        ('pixel_aupro@0.05', 'aupimo@1e-05..0.0001')
    """
    return f"{name}@{'..'.join(format(limit, '.15g') for limit in limits)}"


def overlap_at_limits(name: str, steps: Steps, limits: Sequence[float]) -> NamedMetrics:
    """Compute the area under the mean overlap up to several false-positive rates, from one count of the thresholds.

    Args:
        name: what the metric is called without its limit.
        steps: the counts at each threshold, with overlap.
        limits: each in (0, 1].

    Returns:
        The metric at each limit, named as by ``at_limit``; None without an anomalous or without a normal pixel.

    Raises:
        MetricError: a limit is out of range.
    """
    for limit in limits:
        check_limit(limit)
    names = [at_limit(name, limit) for limit in limits]
    if not steps.n_positives or not steps.n_negatives:
        return NamedMetrics.without(names, f"no pixel is {'normal' if steps.n_positives else 'anomalous'}")
    areas = (float(aupro(steps, limit)) for limit in limits)
    return NamedMetrics(dict(zip(names, areas, strict=True)))


def mean_metric(name: str, parts: NamedMetrics) -> NamedMetrics:
    """Return the mean of several metrics under a new name; it is undefined if one of them is.

    Example:
        >>> mean_metric("both", NamedMetrics({"one": 0.5, "other": 1.0})).values
        {'both': 0.75}
    """
    values = [value for value in parts.values.values() if value is not None]
    if parts.undefined:
        return NamedMetrics.without([name], "; ".join(f"{one}: {why}" for one, why in parts.undefined.items()))
    if not values:
        return NamedMetrics.without([name], "there is no group of anomalous images")
    return NamedMetrics({name: sum(values) / len(values)})
