"""Which defects are hard: the part of a run's page on sizes and kinds of defects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lvlm_ad.evaluate.groups import GROUP_METRICS
from lvlm_ad.report.plots import DASHED, DEFECT, GOOD, INK, Plot, as_plot, new_axes
from lvlm_ad.runs import METRIC_TITLES

__all__ = ["group_tables"]

_BARS = {"image_auroc": ("Image AUROC", GOOD), "recall": ("Found at the threshold", DEFECT)}


def group_tables(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``groups.html`` shows of a run's metrics; older runs have neither sizes nor kinds."""
    sizes, kinds = metrics.get("sizes", {}), metrics.get("kinds", {})
    rows = [(category, kind, entry) for category, group in kinds.items() for kind, entry in group.items()]
    entries = [*sizes.values(), *(entry for *_, entry in rows)]
    recall = any("recall" in entry for entry in entries)
    return {
        "sizes": sizes,
        "kinds": rows,
        "titles": {name: METRIC_TITLES[name] for name in GROUP_METRICS},
        "recall": recall,
        "note": _note(metrics, entries, recall=recall),
        "plot": _plot(sizes) if sizes else None,
    }


def _note(metrics: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], *, recall: bool) -> str:
    pixels = metrics.get("intervals", {}).get("pixels", "")
    threshold = f" ({metrics['decisions']['threshold']})" if "decisions" in metrics else ""
    missing = any(entry.get("no_interval") for entry in entries)
    reasons = sorted({reason for entry in entries for reason in entry.get("undefined", {}).values()})
    return " ".join(
        [
            "In percent. Each row measures its defects against all good images of the same category.",
            "A size is averaged over the categories that have such defects, so sizes may cover different categories.",
            *([f"Found: defective images that alarm at the run's threshold{threshold}."] if recall else []),
            *(["No interval: a category has too few such defects; metrics.json says which."] if missing else []),
            *([f"No value: {'; '.join(reasons)}."] if reasons else []),
            *([f"Pixels are counted at {pixels}."] if pixels not in {"", "exact"} else []),
        ]
    )


def _plot(sizes: Mapping[str, Any]) -> Plot:
    """Draw image AUROC and recall by size."""
    shown = [name for name in _BARS if any(entry.get(name) is not None for entry in sizes.values())]
    figure, axes = new_axes("%", "", size=(4.4, 1.1 + 0.42 * len(sizes)))
    for at, name in enumerate(shown):
        title, colour = _BARS[name]
        places = [row + (at - (len(shown) - 1) / 2) * 0.4 for row in range(len(sizes))]
        values = [100 * (entry.get(name) or 0.0) for entry in sizes.values()]
        axes.barh(places, values, height=0.36, color=colour, alpha=0.55, label=title)
        for place, entry in zip(places, sizes.values(), strict=True):
            if ends := entry.get("interval", {}).get(name):
                axes.plot([100 * end for end in ends], [place] * 2, color=INK, linewidth=1.4, solid_capstyle="butt")
    axes.axvline(50, **DASHED)
    axes.set(xlim=(0, 101), ylim=(len(sizes) - 0.4, -0.6))
    axes.set_yticks(range(len(sizes)), list(sizes))
    words = [
        f"{_BARS[name][0]}: "
        + ", ".join(f"{size} {100 * entry[name]:.1f}" for size, entry in sizes.items() if entry.get(name) is not None)
        for name in shown
    ]
    return as_plot("sizes", "By size of defect", f"{'. '.join(words)}. In percent.", figure)
