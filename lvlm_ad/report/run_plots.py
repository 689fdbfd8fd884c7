"""The plots of a run's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.decisions import calibration
from lvlm_ad.report.plots import DASHED, DEFECT, GOOD, GRID, INK, Plot, as_plot, horizontal_bars, in_percent, new_axes
from lvlm_ad.report.prevalence_plot import prevalence_plot
from lvlm_ad.report.summary import naming_rates, times_of
from lvlm_ad.runs import DEFAULT_FPR_LIMIT, METRIC_TITLES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["category_plots", "mean_curve", "run_plots"]

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

_BARS = {name: (METRIC_TITLES[name], colour) for name, colour in (("image_auroc", GOOD), ("pixel_auroc", DEFECT))}
"""Metric -> title and colour of its bars by category."""

_MEAN_POINTS = 200

_HOVER_POINTS = 60
"""Points of the invisible line that shows a curve's name under the pointer."""


def run_plots(
    run: Run,
    curves: Mapping[str, Mapping[str, NDArray[np.float64]]],
    decisions: Mapping[str, Any] | None = None,
) -> list[Plot]:
    """Draw the plots of a run's page; a plot without data is left out.

    ``curves`` are those of ``curves_of``, ``decisions`` those of ``decisions_of``.
    """
    plots = [
        *(_curve_plot(name, curves, run.metrics["mean"]) for name in _CURVES),
        _score_plot(run.predictions, decisions or {}),
        _risk_plot((decisions or {}).get("abstention")),
        prevalence_plot(decisions or {}),
        _calibration_plot(run.predictions),
        _naming_plot(run.predictions),
        _time_plot(run.predictions),
    ]
    return [plot for plot in plots if plot is not None]


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


def _score_plot(records: Sequence[PredictionRecord], decisions: Mapping[str, Any]) -> Plot | None:
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
    limits = {one.get("threshold") for one in decisions.get("categories", {}).values()} - {None}
    for limit in limits if len(limits) == 1 else ():
        axes.axvline(limit, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"threshold, {limit:.3g}")
    means = ", ".join(
        f"{len(of)} {name} image{'' if len(of) == 1 else 's'}, mean {np.mean(of):.2f}"
        for name, of in (("good", scores[False]), ("defective", scores[True]))
        if of
    )
    missing = len(records) - len(scores[False]) - len(scores[True])
    rest = f"; {missing} without a score are not drawn" if missing else ""
    return as_plot("scores", "Image scores", f"Histogram of image scores: {means}{rest}.", figure)


def _calibration_plot(records: Sequence[PredictionRecord]) -> Plot | None:
    answered = [(record.label, record.image_score) for record in records if record.image_score is not None]
    found = calibration([label for label, _ in answered], [score for _, score in answered])
    if found is None:
        return None
    levels, fit = found["levels"], found["isotonic"]
    counts = Counter(score for _, score in answered)
    sizes = [10 + 60 * counts[level] / max(counts[one] for one in levels) for level in levels]
    figure, axes = new_axes("image score", "fraction that is defective")
    axes.plot([0, 1], [0, 1], **DASHED)
    axes.plot(levels, fit, color=GOOD, linewidth=1.2, drawstyle="steps-mid")
    axes.scatter(levels, fit, s=sizes, color=GOOD, zorder=3, clip_on=False, alpha=0.7)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    alt = (
        f"Fraction of defective images over the image score of {found['n']} images: the rising steps that fit best, "
        f"without bins (isotonic regression). Brier score {found['brier']:.3f}. Expected calibration error "
        f"{found['ece']:.3f} in ten bins; a perfectly calibrated model would have {found['ece_if_calibrated']:.3f} on "
        "so many images. All of it holds for the share of defective images here, not for that of a line."
    )
    return as_plot("reliability", "Are scores probabilities?", alt, figure)


def _risk_plot(abstention: Mapping[str, Any] | None) -> Plot | None:
    """Draw the share of wrong decisions over the share of accepted images; None without an accepted image."""
    if not abstention or not abstention["points"]:
        return None
    coverage, risk = np.array(abstention["points"], dtype=np.float64).T
    most = abstention["max_coverage"]
    figure, axes = new_axes("coverage: accepted images", "risk: wrong among them")
    axes.plot(np.append(0, coverage), np.append(risk[0], risk), color=GOOD, linewidth=1.5, drawstyle="steps-pre")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, max(0.1, 1.15 * risk.max())))
    silent = ""
    if most < 1:
        axes.axvspan(most, 1, color=GRID, label="no answer: a person decides")
        all_wrong = _share(abstention.get("risk_abstentions_wrong"))
        silent = (
            f" {100 * (1 - most):.1f} % of the images have no answer and are never accepted; if each of them counts as "
            f"a wrong decision, {all_wrong} of all images are wrong."
        )
    at = {name: _share(abstention["risk_at"].get(name)) for name in ("0.5", "0.8")}
    alt = (
        "Share of wrong decisions over the share of images accepted, those farthest from the threshold first: "
        f"{at['0.5']} at half of the images, {at['0.8']} at 80 % of them, {_share(float(risk[-1]))} among all with an "
        f"answer.{silent} Area below the steps: {abstention['area']:.3f}."
    )
    return as_plot("risk-coverage", "If only sure decisions are accepted", alt, figure)


def _share(value: float | None) -> str:
    return "not reached" if value is None else f"{100 * value:.1f} %"


def category_plots(metrics: Mapping[str, Any]) -> list[Plot]:
    """Draw image and pixel AUROC of each category with their intervals, for wide and for narrow screens.

    ``metrics`` are those of ``current_intervals``. A single category has no plot: the table says as much.
    """
    categories = metrics["categories"]
    bars = {name: bar for name, bar in _BARS.items() if any(one.get(name) for one in categories.values())}
    if len(categories) < 2 or not bars:  # noqa: PLR2004 - one category has nothing beside it
        return []
    words = [f"{title}: {in_percent(categories, name)}." for name, (title, _) in bars.items()]
    alt = f"{' '.join(words)} In percent."
    height = 1.1 + 0.36 * len(categories)
    return [
        as_plot(name, "AUROC by category", alt, horizontal_bars(categories, bars, "AUROC, %", (width, height)))
        for name, width in (("categories", 8.4), ("categories-narrow", 3.9))
    ]


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
