"""The plots of a stability study's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lvlm_ad.report.plots import DASHED, DEFECT, GOOD, INK, MUTED, as_plot, new_axes
from lvlm_ad.report.study_plots import Bar, Explained, bars, in_words, no_intervals, points, tick
from lvlm_ad.studies.stability_verdict import WANTED, difference_half_width

if TYPE_CHECKING:
    from lvlm_ad.studies import Number, StabilityFigures
    from lvlm_ad.studies.stability_record import PositionFigures, VoteFigures

__all__ = ["stability_plots"]

_REPEATED = "asking again"
_IMAGES = "choice of images"

_POINTS = 100 * WANTED


def stability_plots(figures: StabilityFigures) -> list[Explained]:
    """Draw the plots of a stability study; a plot without data is left out."""
    plots = [
        _margins(figures),
        _aurocs(figures),
        _variances(figures),
        _flips(figures),
        _positions(figures.positions),
        _votes(figures.votes),
    ]
    return [one for one in plots if one is not None]


def _margins(figures: StabilityFigures) -> Explained | None:
    noise = figures.auroc
    sizes = [(_REPEATED, noise.asking)]
    for one in figures.factors:
        changes = [abs(level.auroc_change) for level in one.levels if level.auroc_change is not None]
        sizes.append((one.factor, max(changes, default=None)))
    sizes.append((_IMAGES, difference_half_width(noise)))
    known = [
        Bar(name, 100 * size, colour=DEFECT if size >= WANTED else GOOD) for name, size in sizes if size is not None
    ]
    if not known:
        return None
    figure, axes = bars(known, "image AUROC, points")
    axes.axvline(_POINTS, **DASHED)
    axes.set_xlim(0, 1.08 * max(_POINTS, *(one.value for one in known)))
    alt = f"How many points of image AUROC each reason can change, against {_POINTS:g} points: {in_words(known)}."
    words = (
        "By how much image AUROC of two versions may differ for another reason than the version. Asking again, and "
        "other images for each version: 95 % of such differences are smaller. Other ways of asking: the largest change "
        f"that was seen, which chance makes larger. The dotted line is at {_POINTS:g} points; orange bars reach it."
    )
    return Explained(as_plot("margins", "Other causes of a difference", alt, figure), words)


def _aurocs(figures: StabilityFigures) -> Explained | None:
    groups = {_REPEATED: figures.metrics.get("image_auroc")}
    groups |= {one.factor: one.metrics.get("image_auroc") for one in figures.factors}
    # The first of each is the base itself, which the dotted line shows.
    values = {
        name: [100 * value for value in spread.each[name != _REPEATED :] if value is not None]
        for name, spread in groups.items()
        if spread
    }
    if not values.get(_REPEATED):
        return None
    figure, axes = new_axes("", "image AUROC, %")
    for at, (name, each) in enumerate(values.items()):
        axes.scatter([at] * len(each), each, color=GOOD if name == _REPEATED else MUTED, s=22, zorder=3)
    base, half = values[_REPEATED][0], figures.auroc.sampling
    axes.axhline(base, **DASHED)
    names = [*values]
    if half is not None:
        ends = max(0.0, base - 100 * half), min(100.0, base + 100 * half)
        axes.plot([len(names)] * 2, ends, color=INK, linewidth=1.6)
        names.append(_IMAGES)
    axes.set_xticks(range(len(names)), [tick(name) for name in names], rotation=35)
    axes.set_xlim(-0.5, len(names) - 0.5)
    shown = "; ".join(f"{name} {', '.join(f'{one:.1f}' for one in each)}" for name, each in values.items())
    interval = "" if half is None else f"; 95 % interval over the choice of images ±{100 * half:.1f}"
    line = "" if half is None else " The line at the right is the 95 % interval of the base over the choice of images."
    words = (
        "Each dot is image AUROC, measured once: asked again (blue), and asked in other ways (grey). The dotted line "
        f"is the base, against which all others are compared.{line}"
    )
    return Explained(
        as_plot("aurocs", "Image AUROC each time", f"Image AUROC, in percent: {shown}{interval}.", figure), words
    )


def _variances(figures: StabilityFigures) -> Explained | None:
    again = figures.repeats["all"].within_sd if "all" in figures.repeats else None
    entries = [] if again is None else [Bar(_REPEATED, again)]
    entries += [bar for one in figures.factors if (bar := _root(one.factor, one.excess)) is not None]
    if (parts := figures.components) is not None:
        both = f"{parts.factor} by image"
        entries += [bar for bar in [_root(both, parts.interaction)] if bar is not None]
    if not entries:
        return None
    figure, axes = bars(entries, "SD of score, 0 to 1")
    axes.set_xlim(left=0)
    words = (
        "How far the score of one and the same image moves (standard deviation) when the question is asked again, and "
        "how much each other way of asking adds to that."
    )
    alt = f"Standard deviation of an image's score by its source: {in_words(entries, 3)}."
    return Explained(as_plot("variances", "What moves an image's score", alt, figure), words)


def _root(name: str, variance: Number) -> Bar | None:
    """Return a variance as a standard deviation: the root of its value and of both ends; one below 0 is shown as 0."""
    if variance.value is None:
        return None
    ends = None if variance.interval is None else tuple(max(0.0, end) ** 0.5 for end in variance.interval)
    return Bar(name, max(0.0, variance.value) ** 0.5, None if ends is None else (ends[0], ends[1]))


def _flips(figures: StabilityFigures) -> Explained | None:
    groups = [(f"again, {name}", one.flip_rate) for name, one in figures.repeats.items()]
    for one in figures.factors:
        known = [level.flip_rate for level in one.levels if level.flip_rate.value is not None]
        if known:
            groups.append((one.factor, max(known, key=lambda rate: rate.value or 0.0)))
    entries = [bar for name, rate in groups if (bar := Bar.of(name, rate)) is not None]
    if not entries:
        return None
    figure, axes = bars(entries, "flip rate, %")
    axes.set_xlim(left=0)
    words = (
        f"How often two answers about an image disagree on whether it is anomalous (score of {figures.threshold:g} or "
        "more). Of a factor, the level with the highest rate against the base is shown."
    )
    alt = f"Flip rates, in percent: {in_words(entries)}."
    return Explained(as_plot("flips", "Flip rates", alt, figure), words)


def _positions(place: PositionFigures | None) -> Explained | None:
    if place is None or not place.numbers or place.range.value is None:
        return None
    drawn = [
        (number, bar)
        for number, effect in zip(place.numbers, place.effect, strict=True)
        if (bar := Bar.of(str(number), effect)) is not None
    ]
    if not drawn:
        return None
    figure, axes = new_axes("number on the region", "named more often, points")
    axes.axhline(0, **DASHED)
    points(axes, drawn)
    axes.xaxis.get_major_locator().set_params(integer=True)
    chance = (
        place.chance and f" If numbers did not matter, such differences would have a probability of {place.chance}."
    )
    most = max((bar for _, bar in drawn), key=lambda bar: bar.value)
    words = (
        "The regions are the same, only their numbers were exchanged. A model that ignores numbers is at 0 but for "
        "chance: one interval in 20 excludes 0. Above 0: regions are named more often with this number."
        f"{chance}"
    )
    alt = (
        f"How much more often a region is named than on average, by its number, in points: most for number "
        f"{in_words([most])}.{chance}"
    )
    return Explained(as_plot("positions", "Does the number decide?", alt, figure), words)


def _votes(votes: Sequence[VoteFigures]) -> Explained | None:
    figure, axes = new_axes("answers about an image", "gain of image AUROC, points")
    said = []
    for how, colour, shift in (("mean", GOOD, -0.06), ("median", DEFECT, 0.06)):
        drawn = [
            (one.k, bar)
            for one in votes
            if one.how == how and (bar := Bar.of(f"{how} of {one.k}", one.gain)) is not None
        ]
        if len(drawn) > 1:
            points(axes, drawn, colour, how, shift)
            said += [bar for k, bar in drawn if k > 1]
    if not said:
        return None
    axes.axhline(0, **DASHED)
    axes.xaxis.get_major_locator().set_params(integer=True)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, -0.5), max(high, 0.5))
    words = (
        "Asking several times and taking the mean or the median of the scores: what is gained over one answer. The "
        f"price grows with the answers.{no_intervals(said)}"
    )
    alt = f"Gain of image AUROC over one answer, in points: {in_words(said)}."
    return Explained(as_plot("votes", "What several answers give", alt, figure), words)
