"""Plots, as SVG that takes the page's colours and as PDF or PNG for papers."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from lvlm_ad.report.summary import Curves, Reliability, named_regions, reliability_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.leaderboard import Entry
    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["Plot", "cost_plot", "mean_curve", "run_plots", "save_plots"]

# Each colour is one of page.css; blue and orange stay apart without colour vision.
_INK, _MUTED, _GRID, _GOOD, _DEFECT, _PAPER = "#1a1a1f", "#5b5b66", "#dedee5", "#0b5fb0", "#b84a05", "#ffffff"
_VARIABLES = {_INK: "ink", _MUTED: "muted", _GRID: "grid", _GOOD: "good", _DEFECT: "defect", _PAPER: "paper"}

_AREAS = {
    "image_roc": ("image_auroc", "AUROC"),
    "image_pr": ("image_ap", "AP"),
    "pixel_roc": ("pixel_auroc", "AUROC"),
    "pixel_pr": ("pixel_ap", "AP"),
    "pro": ("pixel_aupro", "AUPRO up to 0.3"),
}
"""Curve -> the metric that is its area, and what it is called."""

_SIZE = (4.0, 3.0)
_MANY = 200
_LABELLED = 12
"""Points of the cost plot that can all have a name without lying on each other."""


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: of its files.
        title: what stands above it.
        alt: what it shows, in words, for those who do not see it.
        svg: an ``svg`` element.
        save: writes it to a file, of the kind that the suffix names.
    """

    name: str
    title: str
    alt: str
    svg: Markup
    save: Callable[[Path], None]


def run_plots(run: Run, curves: Mapping[str, Curves]) -> list[Plot]:
    """Draw what a run's page shows; plots without anything to show are left out.

    Args:
        run: read with its predictions.
        curves: of each category.
    """
    mean = run.metrics["mean"]
    found = [
        _curve_plot("image-roc", "Images: ROC", ("false-positive rate", "true-positive rate"), curves, mean),
        _curve_plot("image-pr", "Images: precision and recall", ("recall", "precision"), curves, mean),
        _curve_plot("pixel-roc", "Pixels: ROC", ("false-positive rate", "true-positive rate"), curves, mean),
        _curve_plot("pixel-pr", "Pixels: precision and recall", ("recall", "precision"), curves, mean),
        _curve_plot("pro", "Region overlap (PRO)", ("false-positive rate", "mean overlap of regions"), curves, mean),
        _histogram(run.predictions),
        _calibration(reliability_of(run.predictions)),
        _numbers(run.predictions),
        _latency(run.predictions),
    ]
    return [plot for plot in found if plot is not None]


def save_plots(plots: Sequence[Plot], folder: Path) -> None:
    """Write each plot as PDF and as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        for suffix in (".pdf", ".png"):
            plot.save(folder / f"{plot.name}{suffix}")


def cost_plot(entries: Sequence[Entry]) -> Plot | None:
    """Draw image AUROC over the cost of an image, with the front that no row beats in both.

    Frame rows are levels, not points: chance and contrast cost nothing, and the oracle is no method.

    Returns:
        None where no row was paid for.
    """
    rows: dict[tuple[float, float], list[str]] = {}
    levels = {}
    for entry in entries:
        cost, auroc = entry.usd_per_image, entry.metrics["image_auroc"]
        if auroc is None:
            continue
        if entry.kind == "frame":
            levels[entry.name] = 100 * auroc
        elif cost is not None:
            rows.setdefault((cost, 100 * auroc), []).append(entry.name)
    if not any(cost > 0 for cost, _ in rows):
        return None
    figure, axes = _axes("cost of an image, USD", "image AUROC, %", size=(7.0, 3.6))
    places = sorted(rows, key=lambda place: (place[0], -place[1]))
    best = np.maximum.accumulate([auroc for _, auroc in places])
    least = min(cost for cost, _ in places if cost > 0)
    free = places[0][0] == 0
    if free:
        axes.set_xscale("symlog", linthresh=least)
        axes.set_xlim(-0.3 * least, 4 * places[-1][0])
    else:
        axes.set_xscale("log")
        axes.set_xlim(least / 2.5, 4 * places[-1][0])
    axes.step(
        [*(cost for cost, _ in places), axes.get_xlim()[1]], [*best, best[-1]], where="post", color=_DEFECT, lw=1.2
    )
    axes.scatter(*np.transpose(places), color=_GOOD, s=28, zorder=3)
    behind = {"facecolor": _PAPER, "edgecolor": "none", "pad": 0.6}
    front = {place for place, most in zip(places, best, strict=True) if place[1] == most}
    for (cost, auroc), names in rows.items():
        # Of many rows only those on the front are named; the table has the others.
        if len(rows) > _LABELLED and (cost, auroc) not in front:
            continue
        text = _label(", ".join(names))
        axes.annotate(
            text, (cost, auroc), xytext=(6, 4), textcoords="offset points", fontsize=9, color=_INK, bbox=behind
        )
    for name, auroc in levels.items():
        axes.axhline(auroc, color=_MUTED, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        across = axes.get_yaxis_transform()
        text = _label(name)
        axes.text(0.99, auroc, text, transform=across, ha="right", va="center", fontsize=8, color=_MUTED, bbox=behind)
    axes.margins(y=0.12)
    told = [f"{', '.join(names)} {auroc:.1f} % at {cost:.3g} USD" for (cost, auroc), names in sorted(rows.items())]
    told += [f"{name} {auroc:.1f} %" for name, auroc in levels.items()]
    return _plot("cost", "Accuracy against cost", f"Image AUROC over the cost of an image: {'; '.join(told)}.", figure)


def _curve_plot(
    name: str, title: str, heads: tuple[str, str], curves: Mapping[str, Curves], mean: Mapping[str, Any]
) -> Plot | None:
    field = name.replace("-", "_")
    drawn = {category: found for category, one in curves.items() if (found := getattr(one, field)) is not None}
    if not drawn:
        return None
    figure, axes = _axes(*heads)
    at = np.linspace(0, 1, _MANY)
    # Average precision is the area under steps, not under lines between the points.
    steps = "steps-pre" if field.endswith("pr") else "default"
    if len(drawn) > 1:
        for x, y in drawn.values():
            axes.plot(x, y, color=_GOOD, linewidth=0.7, alpha=0.35, drawstyle=steps)
    axes.plot(at, mean_curve(list(drawn.values()), at, steps=field.endswith("pr")), color=_GOOD, linewidth=1.8)
    if field.endswith("roc") or field == "pro":
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    if field == "pro":
        axes.axvline(0.3, color=_MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    metric, label = _AREAS[field]
    value = mean.get(metric)
    area = "" if value is None else f" {label}: {100 * value:.1f} %."
    of = f", mean of {len(drawn)} categories" if len(drawn) > 1 else ""
    return _plot(name, title, f"{heads[1].capitalize()} over {heads[0]}{of}.{area}", figure)


def mean_curve(
    curves: Sequence[NDArray[np.float64]], at: NDArray[np.float64], *, steps: bool = False
) -> NDArray[np.float64]:
    """Return the mean of curves, each ``(2, n)`` with rising abscissas, at the abscissas ``at``.

    Args:
        curves: abscissas and ordinates.
        at: ``(m,)``, within the curves.
        steps: whether a curve holds an ordinate up to its abscissa, or goes straight from point to point.
    """
    values = [y[np.searchsorted(x, at)] for x, y in curves] if steps else [np.interp(at, x, y) for x, y in curves]
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)


def _histogram(records: Sequence[PredictionRecord]) -> Plot | None:
    scores: dict[bool, list[float]] = {False: [], True: []}
    for record in records:
        if record.image_score is not None:
            scores[record.label].append(record.image_score)
    if not any(scores.values()):
        return None
    figure, axes = _axes("image score", "images")
    axes.hist(
        [scores[False], scores[True]],
        bins=np.linspace(0, 1, 21).tolist(),
        color=[_GOOD, _DEFECT],
        label=["good", "defective"],
        rwidth=0.92,
    )
    axes.yaxis.get_major_locator().set_params(integer=True)
    _legend(axes)
    means = ", ".join(
        f"{len(of)} {name} images, mean {np.mean(of):.2f}"
        for name, of in (("good", scores[False]), ("defective", scores[True]))
        if of
    )
    without = len(records) - len(scores[False]) - len(scores[True])
    rest = f"; {without} without a score are not drawn" if without else ""
    return _plot("scores", "Image scores", f"Histogram of image scores: {means}{rest}.", figure)


def _calibration(found: Reliability | None) -> Plot | None:
    if found is None:
        return None
    figure, axes = _axes("image score", "fraction that is defective")
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    sizes = 14 + 90 * np.array(found.counts) / max(found.counts)
    axes.plot(found.scores, found.rates, color=_GOOD, linewidth=1.2)
    axes.scatter(found.scores, found.rates, s=sizes.tolist(), color=_GOOD, zorder=3, clip_on=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    points = ", ".join(
        f"{score:.2f}: {rate:.2f} of {count}"
        for score, rate, count in zip(found.scores, found.rates, found.counts, strict=True)
    )
    return _plot(
        "reliability",
        "Is 0.9 really 0.9?",
        f"Fraction of defective images over the image score ({points}). Expected calibration error {found.error:.3f}.",
        figure,
    )


def _numbers(records: Sequence[PredictionRecord]) -> Plot | None:
    numbers, shares = named_regions(records)
    # A method that scores every region has no habit to show.
    if not numbers or min(shares) == 1:
        return None
    figure, axes = _axes("region number", "named, where an image has it")
    axes.bar(numbers, shares, width=0.9, color=_GOOD)
    axes.axhline(float(np.mean(shares)), color=_DEFECT, linewidth=1)
    axes.set_ylim(0, max(0.05, 1.08 * max(shares)))
    alt = f"How often each of {len(numbers)} region numbers is given a score above 0: on average {np.mean(shares):.2f}."
    return _plot("numbers", "Which regions are named", alt, figure)


def _latency(records: Sequence[PredictionRecord]) -> Plot | None:
    seconds = [one.seconds for one in records if one.key and one.seconds > 0]
    if not seconds:
        return None
    figure, axes = _axes("seconds to answer", "answers")
    axes.hist(seconds, bins=min(30, max(5, len(seconds) // 4)), color=_GOOD, rwidth=0.92)
    axes.set_xlim(left=0)
    axes.yaxis.get_major_locator().set_params(integer=True)
    middle, late = np.quantile(seconds, [0.5, 0.95])
    axes.axvline(float(middle), color=_DEFECT, linewidth=1)
    alt = f"Seconds to answer: half within {middle:.1f}, 95 % within {late:.1f}."
    return _plot("latency", "How long answers took", alt, figure)


def _axes(x: str, y: str, size: tuple[float, float] = _SIZE) -> tuple[Any, Any]:
    # The object interface alone: pyplot would hold every figure, and may want a display.
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second

    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.set_xlabel(x, color=_MUTED, fontsize=9)
    axes.set_ylabel(y, color=_MUTED, fontsize=9)
    axes.tick_params(which="both", colors=_MUTED, labelsize=8, length=0)
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def _legend(axes: Any) -> None:
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _label(name: str) -> str:
    """Names are a stranger's: no control characters, and no mathematics, which matplotlib reads between dollars."""
    printable = "".join(character if character.isprintable() else " " for character in name[:60])
    return printable.replace("$", r"\$")


def _plot(name: str, title: str, alt: str, figure: Any) -> Plot:
    from matplotlib import rc_context  # noqa: PLC0415 - half a second

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    whole = buffer.getvalue()
    svg = whole[whole.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    # The page's own font and size; identifiers are kept apart from other plots' by the salt and the name.
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", svg)
    svg = re.sub(r"<style.*?</style>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    svg = re.sub(r'id="(?=figure|axes|text|patch|line|matplotlib|xtick|ytick|legend|Path)', f'id="{name}-', svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)

    def save(path: Path) -> None:
        figure.savefig(path, dpi=200, metadata={}, facecolor=_PAPER)

    return Plot(name, title, alt, Markup(svg), save)  # nosec B704 # noqa: S704 - matplotlib escapes what it writes
