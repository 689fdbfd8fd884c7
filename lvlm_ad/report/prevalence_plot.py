"""The plot of what a part costs at other shares of defective parts and other prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lvlm_ad.decisions import Prices, relative_costs
from lvlm_ad.report.plots import DASHED, DEFECT, GOOD, INK, Plot, as_plot, new_axes

__all__ = ["prevalence_plot"]

_BASELINES = ("pass_all", "scrap_all", "inspect_all")

_PREVALENCES = np.geomspace(0.0005, 0.5, 121)
"""Shares of defective parts."""

_LOWEST = 0.05
"""A smaller cost is drawn as this much."""

_COLOURS = {0.1: GOOD, 1.0: INK, 10.0: DEFECT}
"""Multiples of the price of a missed defect, which is the hardest to know, and the colours of their lines."""


def prevalence_plot(decisions: Mapping[str, Any]) -> Plot | None:
    """Draw the cost of a part over the share of defective parts, relative to the cheapest way without a model.

    Args:
        decisions: "decisions" of metrics.json.

    Returns:
        The plot; None without prices, and where a way without a model costs nothing.
    """
    found = decisions.get("cost")
    counts = [one for one in decisions.get("categories", {}).values() if one.get("tp") is not None]
    if not found or found.get("per_part") is None or not min(found[name] for name in _BASELINES):
        return None
    prices = Prices(**found["prices"], prevalence=found["prevalence"])
    figure, axes = new_axes("defective parts, %", "relative cost of a part")
    own: list[float] = []
    for times, colour in _COLOURS.items():
        miss = times * prices.miss
        relative = relative_costs(counts, replace(prices, miss=miss), _PREVALENCES.tolist())
        label = f"a miss costs {miss:.6g}"
        axes.plot(100 * _PREVALENCES, np.maximum(relative, _LOWEST), color=colour, linewidth=1.5, label=label)
        own = relative if times == 1 else own
    axes.axhline(1, **DASHED)
    at = relative_costs(counts, prices, [prices.prevalence])
    axes.scatter([100 * prices.prevalence], np.maximum(at, _LOWEST), color=INK, zorder=3)
    axes.set(xscale="log", yscale="log")
    axes.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.set_yticks([0.1, 1, 10], ["0.1", "1", "10"])
    axes.minorticks_off()
    alt = (
        "Cost of a part at the run's threshold over the share of defective parts, divided by that of the cheapest way "
        "without a model: passing, scrapping or inspecting everything (dotted line at 1). Below the line the model "
        f"pays. {_where(own)} The dot is the run's share. The other lines change the price of a missed defect only."
    )
    return as_plot("cost", "Where the model pays", alt, figure)


def _where(relative: list[float]) -> str:
    """Say at which shares of defective parts the model is cheaper than the cheapest way without one."""
    pays = _PREVALENCES[np.array(relative) < 1]
    if not pays.size:
        return "At the run's price of a miss it pays nowhere."
    return f"At the run's price of a miss it pays from {100 * pays[0]:.2g} to {100 * pays[-1]:.2g} %."
