"""Which defects are hard: the part of a run's page on sizes and kinds of defects, and on tags of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lvlm_ad.evaluate.groups import GROUP_METRICS
from lvlm_ad.report.plots import DEFECT, GOOD, Plot, as_plot, horizontal_bars, in_percent
from lvlm_ad.runs import is_reported, metric_title

__all__ = ["group_tables"]

_BARS = {"image_auroc": ("Image AUROC", GOOD), "recall": ("Found at the threshold", DEFECT)}


def group_tables(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``groups.html`` shows of a run's metrics; older runs have neither sizes nor kinds."""
    sizes, kinds = metrics.get("sizes", {}), metrics.get("kinds", {})
    rows = [(category, kind, entry) for category, group in kinds.items() for kind, entry in group.items()]
    tags = {tag: _tag_rows(of) for tag, of in metrics.get("tags", {}).items()}
    entries = [*sizes.values(), *(entry for *_, entry in (*rows, *(row for of in tags.values() for row in of)))]
    further = dict.fromkeys(name for entry in entries for name in entry if is_reported(name))
    recall = any("recall" in entry for entry in entries)
    return {
        "sizes": sizes,
        "kinds": rows,
        "tags": tags,
        "titles": {name: metric_title(name) for name in (*further, *GROUP_METRICS)},
        "recall": recall,
        "note": _note(metrics, entries, recall=recall, tags=bool(tags)),
        "plot": _plot(sizes) if sizes else None,
    }


def _tag_rows(values: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return value, category and entry of each row: of several categories first the mean."""
    rows = []
    for value, entry in values.items():
        several = entry.get("by_category", {})
        rows.append((value, "mean" if several else ", ".join(entry.get("categories", ())), entry))
        rows += [(value, category, one) for category, one in several.items()]
    return rows


def _note(metrics: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], *, recall: bool, tags: bool) -> str:
    pixels = metrics.get("intervals", {}).get("pixels", "")
    threshold = f" ({metrics['decisions']['threshold']})" if "decisions" in metrics else ""
    missing = any(entry.get("no_interval") for entry in entries)
    reasons = sorted({reason for entry in entries for reason in entry.get("undefined", {}).values()})
    return " ".join(
        [
            "In percent. A row of a size or kind measures these defects against all good images of the same category.",
            *(
                ["A row of a tag, such as a lighting, measures only the good and the defective images with this tag."]
                * tags
            ),
            "A size is averaged over the categories that have such defects, so sizes may cover different categories.",
            *([f"Found: defective images that alarm at the run's threshold{threshold}."] if recall else []),
            *(["No interval: a category has too few such defects; metrics.json says which."] if missing else []),
            *([f"No value: {'; '.join(reasons)}."] if reasons else []),
            *([f"Pixels are counted at {pixels}."] if pixels not in {"", "exact"} else []),
        ]
    )


def _plot(sizes: Mapping[str, Any]) -> Plot:
    """Draw image AUROC and recall by size."""
    bars = {name: bar for name, bar in _BARS.items() if any(entry.get(name) is not None for entry in sizes.values())}
    figure = horizontal_bars(sizes, bars, "%", (4.4, 1.1 + 0.42 * len(sizes)))
    words = [f"{title}: {in_percent(sizes, name)}" for name, (title, _) in bars.items()]
    return as_plot("sizes", "By size of defect", f"{'. '.join(words)}. In percent.", figure)
