"""Plots as SVG that takes its colours from the page's style, and the plots of a run's page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from lvlm_ad.escape import escaped, html
from lvlm_ad.files import own_folder
from lvlm_ad.report.summary import calibration_of, naming_rates, times_of
from lvlm_ad.runs import DEFAULT_FPR_LIMIT

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.runs import PredictionRecord, Run

# The colours of page.css; blue and orange differ for colour-blind readers, too.
INK, MUTED, GRID, GOOD, DEFECT, PAPER = "#1a1a1f", "#5b5b66", "#dedee5", "#0b5fb0", "#b84a05", "#ffffff"
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", GOOD: "good", DEFECT: "defect", PAPER: "paper"}

DASHED: Any = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 3))}
"""Lines that help to read a plot."""

_CURVES = {
    "image_roc": ("Images: ROC", "false-positive rate", "true-positive rate", "image_auroc", "AUROC"),
    "image_pr": ("Images: precision and recall", "recall", "precision", "image_ap", "AP"),
    "pixel_roc": ("Pixels: ROC", "false-positive rate", "true-positive rate", "pixel_auroc", "AUROC"),
    "pixel_pr": ("Pixels: precision and recall", "recall", "precision", "pixel_ap", "AP"),
    "pro": (
        "Region overlap (PRO)",
        "false-positive rate",
        "mean overlap of regions",
        "pixel_aupro",
        "AUPRO up to {limit:g}",
    ),
}
"""Curve -> title, labels of both axes, the metric that is the area below it, and the metric's short name."""

_MEAN_POINTS = 200

_HOVER_POINTS = 60
"""Points of the invisible line that shows a curve's name under the pointer."""


@dataclass(frozen=True)
class Plot:
    """A plot: its heading, what it shows in words, the ``svg`` element and the Matplotlib figure.

    ``name`` is the name of its files and the prefix of every id in the SVG; it is unique on a page.
    """

    name: str
    title: str
    alt: str
    svg: Markup
    figure: Any


FONT_SIZE = 10.8
"""In points: 12 pixels or more on the page, from a phone to a wide screen."""


def new_axes(x: str, y: str, size: tuple[float, float] = (4.0, 3.0)) -> tuple[Any, Any]:
    """Return a figure of a size in inches and its axes, whose labels are ``x`` and ``y``."""
    # Not pyplot, which would keep every figure and may need a display.
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.set_xlabel(x, color=MUTED, fontsize=FONT_SIZE)
    axes.set_ylabel(y, color=MUTED, fontsize=FONT_SIZE)
    axes.tick_params(which="both", colors=MUTED, labelsize=FONT_SIZE, length=0)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


@contextmanager
def any_script() -> Iterator[None]:
    """Draw names in any script without a warning: the browser has the letters that Matplotlib's font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing from font|Matplotlib currently does not support .* natively"
        )
        yield


def as_plot(name: str, title: str, alt: str, figure: Any, names: Mapping[str, str] | None = None) -> Plot:
    """Return a figure as a plot; ``names`` (gid of a line -> name) are shown when the pointer is on the line."""
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import

    if figure.axes[0].get_legend_handles_labels()[1]:
        # Above the axes: it covers no bar and no curve.
        figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=FONT_SIZE, labelcolor=INK)
    buffer = io.StringIO()
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "lvlm-ad", "font.family": "sans-serif"}
    with rc_context(style), any_script():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    svg = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    # The page decides font and size, and an id occurs once on a page.
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", svg)
    svg = re.sub(r"<style.*?</style>|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for gid, words in (names or {}).items():
        group = f'<g id="{name}-{gid}">'
        svg = svg.replace(group, f"{group}<title>{html(words)}</title>")
    return Plot(name, title, alt, Markup(svg), figure)  # nosec B704 # noqa: S704 - Matplotlib escapes what it writes


def plot_text(text: str) -> str:
    """Return a text that Matplotlib writes as it is; it reads text between dollar signs as mathematics."""
    return escaped(text).replace("$", r"\$")


def run_plots(run: Run, curves: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> list[Plot]:
    """Draw the plots of a run's page; a plot without data is left out. ``curves`` are those of ``curves_of``."""
    plots = [
        *(_curve_plot(name, curves, run.metrics["mean"]) for name in _CURVES),
        _score_plot(run.predictions),
        _calibration_plot(run.predictions),
        _naming_plot(run.predictions),
        _time_plot(run.predictions),
    ]
    return [plot for plot in plots if plot is not None]


def save_plots(plots: Sequence[Plot], folder: Path) -> None:
    """Write each plot as PDF and as PNG."""
    own_folder(folder)
    for plot in plots:
        for suffix in (".pdf", ".png"):
            plot.figure.savefig(folder / f"{plot.name}{suffix}", dpi=200, metadata={}, facecolor=PAPER)


def mean_curve(
    curves: Sequence[NDArray[np.float64]], x: NDArray[np.float64], *, steps: bool = False
) -> NDArray[np.float64]:
    """Return the mean at x ``(m,)`` of curves ``(2, n)``; precision over recall goes in steps, others straight."""
    values = [y[np.searchsorted(at, x)] for at, y in curves] if steps else [np.interp(x, at, y) for at, y in curves]
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)


def _curve_plot(
    name: str, curves: Mapping[str, Mapping[str, NDArray[np.float64]]], mean: Mapping[str, Any]
) -> Plot | None:
    title, x_label, y_label, metric, short = _CURVES[name]
    limit = mean.get("fpr_limit", DEFAULT_FPR_LIMIT)
    categories = {category: one[name] for category, one in curves.items() if name in one}
    drawn = list(categories.values())
    if not drawn:
        return None
    figure, axes = new_axes(x_label, y_label)
    # Average precision is the area below steps, the other metrics are areas below straight lines.
    steps = name.endswith("pr")
    style = {"color": GOOD, "drawstyle": "steps-pre" if steps else "default"}
    titles: dict[str, str] = {}
    for category, (x, y) in categories.items() if len(drawn) > 1 else ():
        axes.plot(x, y, linewidth=0.7, alpha=0.35, **style)
        # An invisible broad line over the thin one, which a pointer would hardly hit.
        at = np.linspace(0, x.size - 1, min(x.size, _HOVER_POINTS)).round().astype(int)
        gid = f"curve-{len(titles)}"
        axes.plot(x[at], y[at], linewidth=7, alpha=0, gid=gid, **style)
        titles[gid] = category
    x = np.linspace(0, 1, _MEAN_POINTS)
    gid = f"curve-{len(titles)}"
    axes.plot(x, mean_curve(drawn, x, steps=steps), color=GOOD, linewidth=1.8, gid=gid)
    titles[gid] = f"mean of {len(drawn)} categories" if len(drawn) > 1 else next(iter(categories))
    if not steps:
        axes.plot([0, 1], [0, 1], **DASHED)
    if name == "pro":
        axes.axvline(limit, **DASHED)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    value = mean.get(metric)
    area = "" if value is None else f" {short.format(limit=limit)}: {100 * value:.1f} %."
    of = f", mean of {len(drawn)} categories" if len(drawn) > 1 else ""
    alt = f"{y_label.capitalize()} over {x_label}{of}.{area}"
    return as_plot(name.replace("_", "-"), title, alt, figure, titles)


def _score_plot(records: Sequence[PredictionRecord]) -> Plot | None:
    scores: dict[bool, list[float]] = {False: [], True: []}
    for record in records:
        if record.image_score is not None:
            scores[record.label].append(record.image_score)
    if not any(scores.values()):
        return None
    figure, axes = new_axes("image score", "images")
    bins = np.linspace(0, 1, 21).tolist()
    axes.hist([scores[False], scores[True]], bins, color=[GOOD, DEFECT], label=["good", "defective"], rwidth=0.92)
    axes.yaxis.get_major_locator().set_params(integer=True)
    means = ", ".join(
        f"{len(of)} {name} image{'' if len(of) == 1 else 's'}, mean {np.mean(of):.2f}"
        for name, of in (("good", scores[False]), ("defective", scores[True]))
        if of
    )
    missing = len(records) - len(scores[False]) - len(scores[True])
    rest = f"; {missing} without a score are not drawn" if missing else ""
    return as_plot("scores", "Image scores", f"Histogram of image scores: {means}{rest}.", figure)


def _calibration_plot(records: Sequence[PredictionRecord]) -> Plot | None:
    calibration = calibration_of(records)
    if calibration is None:
        return None
    scores, rates, counts = calibration.scores, calibration.rates, calibration.counts
    figure, axes = new_axes("image score", "fraction that is defective")
    axes.plot([0, 1], [0, 1], **DASHED)
    sizes = 14 + 90 * np.array(counts) / max(counts)
    axes.plot(scores, rates, color=GOOD, linewidth=1.2)
    axes.scatter(scores, rates, s=sizes.tolist(), color=GOOD, zorder=3, clip_on=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    points = ", ".join(f"{score:.2f}: {rate:.2f} of {n}" for score, rate, n in zip(scores, rates, counts, strict=True))
    alt = (
        f"Fraction of defective images over the image score ({points}). "
        f"Expected calibration error {calibration.error:.3f}."
    )
    return as_plot("reliability", "Are scores probabilities?", alt, figure)


def _naming_plot(records: Sequence[PredictionRecord]) -> Plot | None:
    rates = naming_rates(records)
    # A method that scores every region, or none, shows nothing here.
    if not rates or min(rates.values()) == 1 or max(rates.values()) == 0:
        return None
    percent = [100 * rate for rate in rates.values()]
    mean = float(np.mean(percent))
    figure, axes = new_axes("region number", "named, % of images that have it")
    axes.bar(list(rates), percent, width=0.9, color=GOOD)
    axes.axhline(mean, color=DEFECT, linewidth=1, label=f"mean, {mean:.2g} %")
    axes.set_ylim(0, 1.25 * max(percent))
    count = f"each of {len(rates)} region numbers" if len(rates) > 1 else "the only region"
    alt = (
        f"How often {count} is given a score above 0: in {mean:.2g} % of images on average. Numbers start at the top "
        "left, so a number is also a place: uneven bars may come from where defects lie."
    )
    return as_plot("numbers", "How often each region is named", alt, figure)


def _time_plot(records: Sequence[PredictionRecord]) -> Plot | None:
    times = times_of(records)
    if times is None:
        return None
    median, p95 = times.text(times.median), times.text(times.p95)
    figure, axes = new_axes(f"time to answer, {times.unit}", "answers")
    axes.hist(times.values, bins=min(30, max(5, times.values.size // 4)), color=GOOD, rwidth=0.92)
    axes.set_xlim(left=0)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.axvline(times.median, color=DEFECT, linewidth=1, label=f"median, {median}")
    alt = f"Time to answer: half within {median}, 95 % within {p95}."
    return as_plot("latency", "How long answers took", alt, figure)
