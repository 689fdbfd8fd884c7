"""What the terminal says of a run's decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lvlm_ad.decisions import promise

if TYPE_CHECKING:
    from lvlm_ad.runs import Run


def decision_lines(run: Run) -> list[str]:
    """Return two or three lines about a run's decisions."""
    decisions = run.metrics.get("decisions")
    if decisions is None:
        return []
    head = f"{run.manifest.row_name} at --threshold {decisions['threshold']}"
    mean, limits = decisions["mean"], (one["threshold"] for one in decisions["categories"].values())
    known = [one for one in limits if one is not None]
    lines = [f"{head}: no decisions."]
    if any("tp" in one for one in decisions["categories"].values()):
        rates = f"recall {_rate(mean, 'recall')}, false alarms {_rate(mean, 'false_alarm')}"
        lines = [f"{head}: {rates}, balanced accuracy {_rate(mean, 'balanced_accuracy')}."]
    return [*lines, *(f"  {line}" for line in (*_about_thresholds(decisions, known), *_about_cost(decisions)))]


def _about_thresholds(decisions: Mapping[str, Any], known: list[float]) -> Iterator[str]:
    """Say which thresholds were chosen, what they guarantee, and where there is none."""
    categories = decisions["categories"]
    if known and decisions["kind"] != "fixed":
        low, high = min(known), max(known)
        values = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        promised = [(one["guarantee"], one["bound95"]) for one in categories.values() if "guarantee" in one]
        # What holds in every category.
        promises = f"; {promise(*map(max, zip(*promised, strict=True)))}" if promised else ""
        yield f"Thresholds by category: {values}{promises}."
    reasons = {one["reason"]: name for name, one in categories.items() if one.get("reason")}
    for reason, name in reasons.items():
        count = sum(one.get("reason") == reason for one in categories.values())
        where = name if count == 1 else f"{count} categories"
        yield f"{where}: {reason}."


def _about_cost(decisions: Mapping[str, Any]) -> Iterator[str]:
    costs = decisions.get("cost")
    if costs is None or costs["per_part"] is None:
        return
    low, high = costs["interval"]
    yield (
        f"Expected cost of a part: {costs['per_part']:.4g} ({low:.4g} to {high:.4g}); "
        f"pass all {costs['pass_all']:.4g}, scrap all {costs['scrap_all']:.4g}, inspect all {costs['inspect_all']:.4g}."
    )
    if costs["prices"]["model"] is None:
        yield "The price of the model's answers is unknown and not included."
    if "verdict" in costs:
        yield costs["verdict"]


def _rate(rates: Mapping[str, Any], name: str) -> str:
    if rates[name] is None:
        return "-"
    low, high = (f"{100 * end:.1f}" for end in rates["interval"][name])
    return f"{_percent(rates[name])} ({low} to {high})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"
