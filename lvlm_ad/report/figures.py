"""The plots of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.files import own_folder
from lvlm_ad.report.drawing import DEFECT, GOOD, MUTED, Plot, finished, legend, new_axes
from lvlm_ad.report.summary import Curves, Reliability, named_regions, reliability_of, times_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["mean_curve", "run_plots", "save_plots"]

_AREAS = {
    "image_roc": ("image_auroc", "AUROC"),
    "image_pr": ("image_ap", "AP"),
    "pixel_roc": ("pixel_auroc", "AUROC"),
    "pixel_pr": ("pixel_ap", "AP"),
    "pro": ("pixel_aupro", "AUPRO up to 0.3"),
}
"""Curve -> the metric that is its area, and what it is called."""

_MANY = 200


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
    own_folder(folder)
    for plot in plots:
        for suffix in (".pdf", ".png"):
            plot.save(folder / f"{plot.name}{suffix}")


def _curve_plot(
    name: str, title: str, heads: tuple[str, str], curves: Mapping[str, Curves], mean: Mapping[str, Any]
) -> Plot | None:
    field = name.replace("-", "_")
    drawn = {category: found for category, one in curves.items() if (found := getattr(one, field)) is not None}
    if not drawn:
        return None
    figure, axes = new_axes(*heads)
    at = np.linspace(0, 1, _MANY)
    # Average precision is the area under steps, not under lines between the points.
    steps = "steps-pre" if field.endswith("pr") else "default"
    if len(drawn) > 1:
        for x, y in drawn.values():
            axes.plot(x, y, color=GOOD, linewidth=0.7, alpha=0.35, drawstyle=steps)
    axes.plot(at, mean_curve(list(drawn.values()), at, steps=field.endswith("pr")), color=GOOD, linewidth=1.8)
    if field.endswith("roc") or field == "pro":
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    if field == "pro":
        axes.axvline(0.3, color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    metric, label = _AREAS[field]
    value = mean.get(metric)
    area = "" if value is None else f" {label}: {100 * value:.1f} %."
    of = f", mean of {len(drawn)} categories" if len(drawn) > 1 else ""
    return finished(name, title, f"{heads[1].capitalize()} over {heads[0]}{of}.{area}", figure)


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
    figure, axes = new_axes("image score", "images")
    axes.hist(
        [scores[False], scores[True]],
        bins=np.linspace(0, 1, 21).tolist(),
        color=[GOOD, DEFECT],
        label=["good", "defective"],
        rwidth=0.92,
    )
    axes.yaxis.get_major_locator().set_params(integer=True)
    legend(axes)
    means = ", ".join(
        f"{len(of)} {name} image{'' if len(of) == 1 else 's'}, mean {np.mean(of):.2f}"
        for name, of in (("good", scores[False]), ("defective", scores[True]))
        if of
    )
    without = len(records) - len(scores[False]) - len(scores[True])
    rest = f"; {without} without a score are not drawn" if without else ""
    return finished("scores", "Image scores", f"Histogram of image scores: {means}{rest}.", figure)


def _calibration(found: Reliability | None) -> Plot | None:
    if found is None:
        return None
    figure, axes = new_axes("image score", "fraction that is defective")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    sizes = 14 + 90 * np.array(found.counts) / max(found.counts)
    axes.plot(found.scores, found.rates, color=GOOD, linewidth=1.2)
    axes.scatter(found.scores, found.rates, s=sizes.tolist(), color=GOOD, zorder=3, clip_on=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    points = ", ".join(
        f"{score:.2f}: {rate:.2f} of {count}"
        for score, rate, count in zip(found.scores, found.rates, found.counts, strict=True)
    )
    return finished(
        "reliability",
        "Is 0.9 really 0.9?",
        f"Fraction of defective images over the image score ({points}). Expected calibration error {found.error:.3f}.",
        figure,
    )


def _numbers(records: Sequence[PredictionRecord]) -> Plot | None:
    numbers, shares = named_regions(records)
    # A method that scores every region has no habit to show, nor has one that names none.
    if not numbers or min(shares) == 1 or max(shares) == 0:
        return None
    percent = [100 * share for share in shares]
    mean = float(np.mean(percent))
    figure, axes = new_axes("region number", "named, % of images that have it")
    axes.bar(numbers, percent, width=0.9, color=GOOD)
    axes.axhline(mean, color=DEFECT, linewidth=1, label=f"mean, {mean:.2g} %")
    axes.set_ylim(0, 1.25 * max(percent))
    legend(axes)
    count = f"each of {len(numbers)} region numbers" if len(numbers) > 1 else "the only region"
    alt = f"How often {count} is given a score above 0: in {mean:.2g} % of images on average."
    return finished("numbers", "Which regions are named", alt, figure)


def _latency(records: Sequence[PredictionRecord]) -> Plot | None:
    times = times_of(records)
    if times is None:
        return None
    figure, axes = new_axes(f"time to answer, {times.unit}", "answers")
    axes.hist(times.values, bins=min(30, max(5, times.values.size // 4)), color=GOOD, rwidth=0.92)
    axes.set_xlim(left=0)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.axvline(times.median, color=DEFECT, linewidth=1, label=f"median, {times.text(times.median)}")
    legend(axes)
    alt = f"Time to answer: half within {times.text(times.median)}, 95 % within {times.text(times.late)}."
    return finished("latency", "How long answers took", alt, figure)
