"""What a leaderboard keeps of a run's decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lvlm_ad.decisions.figures import RATES


def decision_figures(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the columns need of "decisions" in metrics.json, without its curves; empty if it has none.

    Example:
        >>> decision_figures({"decisions": {"kind": "fixed", "abstention": {"max_coverage": 0.5, "points": []}}})
        {'kind': 'fixed', 'abstention': {'max_coverage': 0.5}}
    """
    found: Mapping[str, Any] = metrics.get("decisions") or {}
    parts: dict[str, Any] = {
        name: found[name] for name in ("threshold", "kind", "prevalence", "mean", "pooled", "cost") if name in found
    }
    for name, keys in (("calibration", ("brier", "ece")), ("abstention", ("max_coverage",))):
        if found.get(name):
            parts[name] = {key: found[name].get(key) for key in keys}
    if found.get("categories"):
        of_each = found["categories"].items()
        parts["categories"] = {category: {rate: of.get(rate) for rate in RATES} for category, of in of_each}
    return parts
