"""The plots of an efficiency study's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.report.plots import DASHED, DEFECT, FONT_SIZE, GOOD, INK, MUTED, as_plot, new_axes
from lvlm_ad.report.study_plots import SERIES, Bar, Explained, bars, in_words, no_intervals, points
from lvlm_ad.runs import metric_title
from lvlm_ad.studies.efficiency_tables import numbered

if TYPE_CHECKING:
    from lvlm_ad.studies import EfficiencyFigures
    from lvlm_ad.studies.efficiency_record import FrontFigures, FrontRow, PairFigures, RowFigures, VoteGains

__all__ = ["efficiency_plots"]

_AXES = {"usd": "USD per image", "seconds": "seconds per image", "tokens": "tokens per image"}

_COLOURS = {"on": GOOD, "open": INK, "off": MUTED, None: MUTED}
"""Standing on the front -> colour of the point."""

_MOST_LABELS = 8
"""Points of a plot that have a number."""

_CLOSE = 0.05
"""Points whose costs differ by less than this part, and whose qualities by this part of the axis, share a number."""


def efficiency_plots(figures: EfficiencyFigures) -> list[Explained]:
    """Draw the plots of an efficiency study; a plot without data is left out."""
    rows = {one.condition: one for one in numbered(figures.rows).values()}
    plots = [
        *(_front(one, rows) for one in figures.fronts if one.cost != "tokens"),
        *(_probabilities(one, rows) for one in figures.fronts if one.cost == "usd"),
        *(_point_prices(one, rows) for one in figures.fronts if one.cost == "usd"),
        *(_closer_looks(one, place, rows) for place, one in enumerate(figures.zoom, start=1)),
        _votes(figures.votes, rows),
    ]
    return [one for one in plots if one is not None]


def _front(front: FrontFigures, rows: Mapping[str, RowFigures]) -> Explained | None:
    """Draw quality with its interval over cost, and a line along the front as it was observed."""
    drawn = [(one, one.cost) for one in front.rows if one.cost is not None]
    if not drawn:
        return None
    quality, cost = metric_title(front.metric), _AXES[front.cost]
    figure, axes = new_axes(cost, f"{quality}, %", size=(4.0, 3.4))
    labelled = _labelled([one for one, _ in drawn])
    labels: list[tuple[float, float, str]] = []
    for one, at in drawn:
        value, colour = 100 * one.quality, _COLOURS[one.standing]
        if (interval := _interval(rows.get(one.condition), front.metric)) is not None:
            axes.plot([at] * 2, interval, color=colour, linewidth=1.2, solid_capstyle="butt")
        # Hollow: nobody knows whether it is on the front.
        face = "none" if one.standing is None else colour
        axes.scatter([at], [value], edgecolors=colour, facecolors=face, s=26, zorder=3)
        if one in labelled:
            labels.append((at, value, str(_number(rows, one.condition))))
    _scale(axes, [at for _, at in drawn])
    _write_numbers(axes, labels)
    on_front = sorted((at, 100 * one.quality) for one, at in drawn if one.on_front)
    if on_front:
        costs, values = zip(*on_front, strict=True)
        axes.step([*costs, axes.get_xlim()[1]], [*values, values[-1]], where="post", color=DEFECT, linewidth=1.1)
    words = (
        "Up is better, left is cheaper. The orange line is the front: below it, something is as good and costs no "
        "more. Grey: on the front in fewer than 5 % of bootstrap samples of the images; hollow: unknown."
    )
    said = "; ".join(
        f"{_words(rows, one.condition)} {100 * one.quality:.1f} % at {at:.3g}, {_standing(one)}" for one, at in drawn
    )
    name = f"front-{front.metric}-{front.cost}".replace("_", "-")
    plot = as_plot(name, f"{quality} against {cost.split()[0]}", f"{quality} over {cost}: {said}.", figure)
    key = {_number(rows, one.condition): f"{_words(rows, one.condition)}: {_standing(one)}" for one in labelled}
    return Explained(plot, words, key)


def _labelled(rows: Sequence[FrontRow]) -> list[FrontRow]:
    """Return the rows that have a number: the most probable of those that may be on the front, the cheapest first."""
    likely = sorted((one for one in rows if one.standing != "off"), key=lambda one: -(one.probability or 0.0))
    return [one for one in rows if one in likely[:_MOST_LABELS]]


def _write_numbers(axes: Any, labels: Sequence[tuple[float, float, str]]) -> None:
    """Write numbers beside points; points that nearly coincide share a place."""
    close = _CLOSE * (axes.get_ylim()[1] - axes.get_ylim()[0])
    places: dict[tuple[float, float], list[str]] = {}
    for x, y, text in labels:
        near = next((one for one in places if abs(one[0] - x) <= _CLOSE * x and abs(one[1] - y) < close), (x, y))
        places.setdefault(near, []).append(text)
    for place, texts in places.items():
        style = {"fontsize": FONT_SIZE, "color": INK, "zorder": 4}
        axes.annotate(", ".join(texts), place, xytext=(5, 4), textcoords="offset points", **style)


def _interval(row: RowFigures | None, metric: str) -> tuple[float, float] | None:
    ends = None if row is None else (row.image_auroc if metric == "image_auroc" else row.pixel_ap).interval
    return None if ends is None else (100 * ends[0], 100 * ends[1])


def _standing(one: FrontRow) -> str:
    if one.probability is None:
        return "on the front as observed" if one.on_front else "not on the front as observed"
    known = {"on": "on the front", "open": "perhaps on the front", "off": "not on the front", None: "unknown"}
    return f"{known[one.standing]}, probability {100 * one.probability:.0f} %"


def _scale(axes: Any, costs: Sequence[float]) -> None:
    """Make the axis of costs logarithmic where they differ much."""
    if min(costs) > 0 and max(costs) > 5 * min(costs):
        axes.set_xscale("log")
        axes.set_xlim(min(costs) / 1.6, 1.9 * max(costs))
        axes.xaxis.set_major_formatter(lambda cost, _: f"{cost:g}")
        axes.xaxis.set_minor_formatter(lambda cost, _: "")  # noqa: ARG005 - Matplotlib gives both
    else:
        axes.set_xlim(0, 1.15 * max(costs) or 1.0)
        axes.xaxis.get_major_locator().set_params(nbins=5)


def _probabilities(front: FrontFigures, rows: Mapping[str, RowFigures]) -> Explained | None:
    entries = {
        _number(rows, one.condition): Bar(
            _words(rows, one.condition), 100 * one.probability, colour=_COLOURS[one.standing]
        )
        for one in _labelled(front.rows)
        if one.probability is not None
    }
    if len(front.rows) < 2 or not entries:  # noqa: PLR2004 - one combination is always on the front
        return None
    quality = metric_title(front.metric)
    figure, axes = bars(_with_numbers(entries), "bootstrap samples, %")
    axes.set_xlim(0, 101)
    words = (
        f"In how many bootstrap samples of the images a combination is on the front of {quality} and USD, costs held "
        f"fixed. Blue: above 95 %. Not drawn: below 5 %, and all but the {_MOST_LABELS} most frequent."
    )
    alt = f"Probability of being on the front of {quality} and USD, in percent: {in_words([*entries.values()], 0)}."
    name = f"probability-{front.metric}".replace("_", "-")
    title = f"Worth its price? {quality}"
    return Explained(as_plot(name, title, alt, figure), words, {number: one.name for number, one in entries.items()})


def _with_numbers(entries: Mapping[int, Bar]) -> list[Bar]:
    """Name bars by their numbers: names of combinations are long and often begin alike."""
    return [replace(one, name=str(number)) for number, one in entries.items()]


def _point_prices(front: FrontFigures, rows: Mapping[str, RowFigures]) -> Explained | None:
    entries = {
        _number(rows, one.condition): bar
        for one in front.steps
        if (bar := Bar.of(f"to {_words(rows, one.condition)}", one.cost_per_point, 1.0)) is not None
    }
    if not entries:
        return None
    quality = metric_title(front.metric)
    figure, axes = bars(_with_numbers(entries), "USD of a point, an image")
    axes.set_xlim(left=0)
    axes.xaxis.get_major_locator().set_params(nbins=3)
    axes.xaxis.set_major_formatter(lambda cost, _: f"{cost:g}")
    words = (
        f"What each further point of {quality} costs along the front, an image. The first step begins at chance. Steps "
        "whose gain is not sure have no price and no bar."
    )
    alt = f"USD of a point of {quality}: {in_words([*entries.values()], 6)}."
    name = f"price-{front.metric}".replace("_", "-")
    title = f"What one more point costs: {quality}"
    return Explained(as_plot(name, title, alt, figure), words, {number: one.name for number, one in entries.items()})


def _closer_looks(pair: PairFigures, place: int, rows: Mapping[str, RowFigures]) -> Explained | None:
    names = {"all": "all images", "size": "defects of {}", "category": "{}"}
    entries = [
        bar for one in pair.groups if (bar := Bar.of(names[one.kind].format(one.name), one.image_auroc)) is not None
    ]
    if not entries:
        return None
    figure, axes = bars(entries, "gain of image AUROC, points")
    axes.axvline(0, **DASHED)
    words = (
        f"What closer looks gain over one look at the whole image, for all images and by group "
        f"({_words(rows, pair.first)}). An interval that contains 0 is no sure gain; of 20 groups without a gain, one "
        "interval excludes 0 by chance."
    )
    alt = f"Gain of image AUROC by closer looks, in points: {in_words(entries)}."
    return Explained(as_plot(f"zoom-{place}", "Gains of closer looks", alt, figure), words)


def _votes(gains: Sequence[VoteGains], rows: Mapping[str, RowFigures]) -> Explained | None:
    figure, axes = new_axes("answers about an image", "gain of image AUROC, points")
    said: list[Bar] = []
    key: dict[int, str] = {}
    for place, of in enumerate(gains):
        drawn = [
            (one.k, bar)
            for one in of.votes
            if one.how == "mean" and (bar := Bar.of(f"{_words(rows, of.condition)}, {one.k} answers", one.gain))
        ]
        if len(drawn) > 1 and len(key) < len(SERIES):
            shift = 0.05 * (place - (len(gains) - 1) / 2)
            number = _number(rows, of.condition)
            key[number] = _words(rows, of.condition)
            points(axes, drawn, SERIES[len(key) - 1], str(number), shift)
            said += [bar for k, bar in drawn if k > 1]
    if not said:
        return None
    axes.axhline(0, **DASHED)
    axes.xaxis.get_major_locator().set_params(integer=True)
    words = (
        f"What the mean of several answers gains over one answer. The price grows with the answers.{no_intervals(said)}"
    )
    alt = f"Gain of image AUROC over one answer, in points: {in_words(said)}."
    return Explained(as_plot("votes", "What several answers give", alt, figure), words, key)


def _number(rows: Mapping[str, RowFigures], condition: str) -> int:
    """Return the number that a combination has in all plots and tables of the page: its place in ``rows``, from 1."""
    return next((number for number, one in enumerate(rows, start=1) if one == condition), 0)


def _words(rows: Mapping[str, RowFigures], condition: str) -> str:
    return rows[condition].words if condition in rows else condition
