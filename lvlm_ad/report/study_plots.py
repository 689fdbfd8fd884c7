"""Kinds of plots that studies share: bars and points with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lvlm_ad.leaderboard.columns import shortened
from lvlm_ad.metrics.stability.measured import ALIKE
from lvlm_ad.report.plots import GOOD, INK, new_axes, plot_text

if TYPE_CHECKING:
    from lvlm_ad.report.plots import Plot
    from lvlm_ad.studies import Number

__all__ = ["SERIES", "Bar", "Explained", "bars", "in_words", "no_intervals", "points", "tick"]

_NAME_KEPT = 22
"""Characters of a name beside its bar."""


@dataclass(frozen=True)
class Explained:
    """A plot with one plain sentence on what it says.

    Attributes:
        plot: the plot.
        words: the sentence.
        key: number in the plot -> what it stands for; empty if it has none.
    """

    plot: Plot
    words: str
    key: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """A value with its interval, in the units of the plot.

    Attributes:
        name: what it is.
        value: its length.
        interval: its 95 % interval; None without one.
        colour: of the bar.
        alike: whether it has no interval because it is the same for all images.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    colour: str = GOOD
    alike: bool = False

    @classmethod
    def of(cls, name: str, number: Number, scale: float = 100.0, colour: str = GOOD) -> Bar | None:
        """Make a bar of a number of ``study.json``; None if it is undefined."""
        if number.value is None:
            return None
        ends = None if number.interval is None else (scale * number.interval[0], scale * number.interval[1])
        return cls(name, scale * number.value, ends, colour, alike=ends is None and number.reason == ALIKE)


def bars(entries: Sequence[Bar], axis: str) -> tuple[Any, Any]:
    """Draw horizontal bars, each with its interval, the first on top; return the figure and its axes."""
    figure, axes = new_axes(axis, "", size=(4.0, 0.9 + 0.34 * len(entries)))
    rows = range(len(entries))
    axes.barh(rows, [one.value for one in entries], height=0.62, color=[one.colour for one in entries], alpha=0.55)
    for row, one in zip(rows, entries, strict=True):
        if one.interval is not None:
            axes.plot(one.interval, [row] * 2, color=INK, linewidth=1.4, solid_capstyle="butt")
    axes.set_ylim(len(entries) - 0.4, -0.6)
    axes.set_yticks(rows, [tick(one.name) for one in entries])
    axes.grid(visible=False, axis="y")
    return figure, axes


SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
"""Colours that colour-blind readers can tell apart, on white and on black (Okabe and Ito, 2008).

There are as many as methods that name places."""


def points(
    axes: Any, drawn: Sequence[tuple[float, Bar]], colour: str = GOOD, label: str = "", shift: float = 0.0
) -> None:
    """Draw values over x with their intervals, joined by a line; ``shift`` moves them aside from other series."""
    x, values = [at + shift for at, _ in drawn], [one.value for _, one in drawn]
    if len(x) > 1:
        axes.plot(x, values, color=colour, linewidth=1.0, alpha=0.6)
    axes.scatter(x, values, color=colour, s=20, zorder=3, label=label or None)
    for at, (_, one) in zip(x, drawn, strict=True):
        if one.interval is not None:
            axes.plot([at] * 2, one.interval, color=colour, linewidth=1.4, solid_capstyle="butt")


def tick(name: str) -> str:
    """Return a name as it stands at an axis; it may be a stranger's."""
    return plot_text(shortened(name, _NAME_KEPT))


def in_words(entries: Sequence[Bar] | Mapping[str, float], digits: int = 1) -> str:
    """List values for readers who do not see the plot, such as "marks 3.6 (1.0 to 6.1), numbering 0.4"."""
    if isinstance(entries, Mapping):
        entries = [Bar(name, value) for name, value in entries.items()]
    return ", ".join(f"{one.name} {one.value:z.{digits}f}{_ends(one, digits)}" for one in entries)


def no_intervals(entries: Sequence[Bar]) -> str:
    """Return a sentence that says why no value has an interval; empty if one has an interval."""
    if any(one.interval for one in entries):
        return ""
    if all(one.alike for one in entries):
        return " There are no intervals: the values are the same for all images."
    return " There are too few images for intervals."


def _ends(one: Bar, digits: int) -> str:
    low, high = (f"{end:z.{digits}f}" for end in one.interval or (0.0, 0.0))
    return "" if low == high else f" ({low} to {high})"
