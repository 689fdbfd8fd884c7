"""Plots as SVG that takes its colours from the page's style."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from lvlm_ad.escape import escaped, html
from lvlm_ad.files import own_folder
from lvlm_ad.leaderboard.columns import shortened

if TYPE_CHECKING:
    from pathlib import Path

# The colours of page.css; blue and orange differ for colour-blind readers, too.
INK, MUTED, GRID, GOOD, DEFECT, PAPER = "#1a1a1f", "#5b5b66", "#dedee5", "#0b5fb0", "#b84a05", "#ffffff"
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", GOOD: "good", DEFECT: "defect", PAPER: "paper"}

DASHED: Any = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 3))}
"""Lines that help to read a plot."""


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


_NAME_KEPT = 20
"""Characters of a name beside its bars."""

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


def horizontal_bars(
    entries: Mapping[str, Mapping[str, Any]], bars: Mapping[str, tuple[str, str]], axis: str, size: tuple[float, float]
) -> Any:
    """Draw fractions as bars in percent, each with its 95 % interval, and return the figure; the first entry is on top.

    ``entries`` are measures by name, with their "interval" as in metrics.json. ``bars`` are the measures to draw side
    by side, each with its title and colour.
    """
    figure, axes = new_axes(axis, "", size=size)
    for at, (name, (title, colour)) in enumerate(bars.items()):
        places = [row + (at - (len(bars) - 1) / 2) * 0.4 for row in range(len(entries))]
        values = [100 * (entry.get(name) or 0.0) for entry in entries.values()]
        axes.barh(places, values, height=0.36, color=colour, alpha=0.55, label=title)
        for place, entry in zip(places, entries.values(), strict=True):
            if ends := entry.get("interval", {}).get(name):
                axes.plot([100 * end for end in ends], [place] * 2, color=INK, linewidth=1.4, solid_capstyle="butt")
    axes.axvline(50, **DASHED)
    axes.set(xlim=(0, 101), ylim=(len(entries) - 0.4, -0.6))
    axes.set_yticks(range(len(entries)), [plot_text(shortened(name, _NAME_KEPT)) for name in entries])
    return figure


def in_percent(entries: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """List a measure of entries, such as "bolt 97.5, nut 80.0"; entries without a value are left out."""
    known = ((entry, of[name]) for entry, of in entries.items() if of.get(name) is not None)
    return ", ".join(f"{entry} {100 * value:.1f}" for entry, value in known)


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
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415 - as above

    if figure.axes[0].get_legend_handles_labels()[1]:
        # Above the axes: it covers no bar and no curve.
        figure.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=FONT_SIZE, labelcolor=INK)
    buffer = io.StringIO()
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "lvlm-ad", "font.family": "sans-serif"}
    with rc_context(style), any_script():
        # A figure without a layout engine is drawn once; with one, savefig would draw it twice.
        FigureCanvasSVG(figure)
        figure.get_layout_engine().execute(figure)
        figure.set_layout_engine(None)
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


def save_plots(plots: Sequence[Plot], folder: Path) -> None:
    """Write each plot as PDF and as PNG."""
    own_folder(folder)
    for plot in plots:
        for suffix in (".pdf", ".png"):
            plot.figure.savefig(folder / f"{plot.name}{suffix}", dpi=200, metadata={}, facecolor=PAPER)
