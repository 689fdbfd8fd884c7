"""Decisions of a run as its page shows them: the figures of the run's threshold, and what decisions.js needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lvlm_ad.decisions import KINDS, parse_threshold, promise
from lvlm_ad.errors import listed
from lvlm_ad.evaluate.decide import DecisionSettings, decide, judged_images
from lvlm_ad.runs import usd_per_image

if TYPE_CHECKING:
    from lvlm_ad.runs import Run

__all__ = ["decision_panel", "decisions_of"]

_RATES = {
    "recall": "Recall",
    "miss": "Miss",
    "false_alarm": "False alarm",
    "precision": "Precision",
    "balanced_accuracy": "Balanced accuracy",
}

_COUNTS = {
    "tp": "Found",
    "fn": "Missed",
    "abstain_defect": "No answer, defective",
    "fp": "False alarms",
    "tn": "Passed",
    "abstain_good": "No answer, good",
}

_DEFAULT = "0.5"


def decisions_of(run: Run) -> dict[str, Any]:
    """Return a run's decisions as in metrics.json; for a run of an older version, those of the threshold 0.5."""
    stored = run.metrics.get("decisions")
    return dict(stored) if stored else decide(DecisionSettings(parse_threshold(_DEFAULT)), run.predictions)


def decision_panel(run: Run, decisions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``decisions.html`` shows and what ``decisions.js`` needs; ``decisions`` are those of the run."""
    categories = decisions["categories"]
    none: dict[str, Any] = {**dict.fromkeys(_RATES), "interval": {}}
    thresholds = {name: _threshold(one) for name, one in categories.items()}
    prices, left_out = decisions.get("cost"), _left_out(run)
    several = len({one["value"] for one in thresholds.values()}) > 1
    return {
        "rule": _rule(run, decisions, several=several),
        "start": _start(run, several=several),
        "notes": _notes(run, decisions, left_out),
        "counts": _COUNTS,
        "rates": _RATES,
        "rows": [(name, {**none, **one}, thresholds[name]["text"]) for name, one in categories.items()],
        "mean": {**none, **decisions["mean"]},
        "pooled": {**none, **decisions["pooled"]},
        "cost": _cost(prices),
        "data": {
            "thresholds": thresholds,
            "rates": _RATES,
            "stored": bool(run.metrics.get("decisions")),
            "left_out": left_out,
            "prices": {"prevalence": (prices or decisions).get("prevalence"), **(prices or {}).get("prices", {})},
            "model_cost": usd_per_image(run.metrics),
        },
    }


def _left_out(run: Run) -> list[int]:
    """Return the positions of the images that set the thresholds, and so are not judged by them."""
    if not run.metrics.get("decisions"):
        return []
    judged = judged_images(run.metrics, run.predictions)
    return [at for at, record in enumerate(run.predictions) if record.id not in judged]


def _threshold(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a category's threshold for the page; without counts nothing is decided."""
    value = one.get("threshold")
    undecided = one.get("tp") is None
    text = "none" if undecided else "never alarms" if value is None else f"{value:.4g}"
    return {"value": value, "strict": bool(one.get("strict")), "text": text, "undecided": undecided}


def _rule(run: Run, decisions: Mapping[str, Any], *, several: bool) -> str:
    strict = any(one.get("strict") for one in decisions["categories"].values())
    rule = f"An image alarms if its score is {'above' if strict else 'at or above'} its threshold."
    if not run.metrics.get("decisions"):
        return f"{rule} The run has no threshold, because an older version made it; this page begins with {_DEFAULT}."
    kind = KINDS.get(decisions["kind"], decisions["kind"])
    return f"{rule} The run's {'thresholds' if several else 'threshold'}: {decisions['threshold']}, {kind}."


def _start(run: Run, *, several: bool) -> str:
    """Name what the page begins with."""
    whose = "the run's" if run.metrics.get("decisions") else "the first"
    return f"{whose} threshold{'s' if several else ''}"


def _notes(run: Run, decisions: Mapping[str, Any], left_out: Sequence[int]) -> list[str]:
    judged = [record for at, record in enumerate(run.predictions) if at not in set(left_out)]
    silent = sum(record.image_score is None for record in judged)
    notes = []
    if left_out:
        notes.append(f"{len(left_out)} images set the thresholds; the figures are those of the other {len(judged)}.")
    if (spread := decisions.get("splits")) and any(spread["sd"].values()):
        known = {head: spread["sd"].get(name) for name, head in _RATES.items()}
        sd = [f"{head} {100 * value:.1f}" for head, value in known.items() if value is not None]
        notes.append(
            f"Another random split gives other figures. Their standard deviation over {spread['n']} splits, in "
            f"percentage points: {', '.join(sd)}."
        )
    if silent:
        notes.append(
            f"{silent} of {len(judged)} images have no score. A person must decide about them: they neither alarm nor "
            "pass, and count in the denominators of the rates."
        )
    grouped: dict[str, list[str]] = {}
    for name, one in decisions["categories"].items():
        if note := _threshold_note(one):
            grouped.setdefault(note, []).append(name)
    return notes + [f"{listed(names)}: {note}." for note, names in grouped.items()]


def _threshold_note(one: Mapping[str, Any]) -> str:
    """Say why a category has no threshold, or what its threshold guarantees; empty if there is nothing to say."""
    if one.get("threshold") is None:
        return f"{'no threshold' if one.get('tp') is None else 'never an alarm'}, because {one.get('reason') or '?'}"
    guarantee, bound = one.get("guarantee"), one.get("bound95")
    return "" if guarantee is None or bound is None else promise(guarantee, bound)


def _cost(cost: Mapping[str, Any] | None) -> str:
    """Say what a part costs at the run's threshold and prices; empty without prices."""
    if not cost:
        return ""
    listed = ", ".join(f"to {name.replace('_all', '')} everything {cost[name]:.4g}" for name in _BASELINES)
    if cost["per_part"] is None:
        return f"No cost: {cost.get('reason', 'both good and defective images are needed')}. Without a model: {listed}."
    ends = cost.get("interval")
    interval = f" (95 % interval {ends[0]:.4g} to {ends[1]:.4g})" if ends else ""
    verdict = f" {cost['verdict']}" if cost.get("verdict") else ""
    return (
        f"At the run's threshold and prices, with {100 * cost['prevalence']:g} % of the parts defective, a part costs "
        f"{cost['per_part']:.4g}{interval}. Without a model: {listed}.{verdict}"
    )


_BASELINES = ("pass_all", "scrap_all", "inspect_all")
