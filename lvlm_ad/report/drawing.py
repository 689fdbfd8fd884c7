"""How plots are drawn: axes in the page's colours, and SVG that takes its colours from the page's style."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DASHED", "DEFECT", "GOOD", "INK", "MUTED", "PAPER", "Plot", "as_plot", "as_text", "new_axes"]

# The colours of page.css; blue and orange differ for colour-blind readers, too.
INK, MUTED, GRID, GOOD, DEFECT, PAPER = "#1a1a1f", "#5b5b66", "#dedee5", "#0b5fb0", "#b84a05", "#ffffff"
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", GOOD: "good", DEFECT: "defect", PAPER: "paper"}

DASHED: Any = {"color": MUTED, "linewidth": 0.8, "linestyle": (0, (2, 3))}
"""Lines that help to read a plot."""

_LONGEST_NAME = 60


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: the name of its files, and the prefix of every id in the SVG; unique on a page.
        title: the heading above it.
        alt: what it shows, in words.
        svg: an ``svg`` element.
        figure: the Matplotlib figure.
    """

    name: str
    title: str
    alt: str
    svg: Markup
    figure: Any

    def save(self, path: Path) -> None:
        """Write the plot to a file; its suffix decides the format."""
        self.figure.savefig(path, dpi=200, metadata={}, facecolor=PAPER)


def new_axes(x: str, y: str, size: tuple[float, float] = (4.0, 3.0)) -> tuple[Any, Any]:
    """Return a figure and its axes.

    Args:
        x: label of the horizontal axis.
        y: label of the vertical axis.
        size: width and height in inches.
    """
    # Not pyplot, which would keep every figure and may need a display.
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.set_xlabel(x, color=MUTED, fontsize=9)
    axes.set_ylabel(y, color=MUTED, fontsize=9)
    axes.tick_params(which="both", colors=MUTED, labelsize=8, length=0)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure, axes


def as_text(name: str) -> str:
    """Return a name that Matplotlib writes as it is: it would read text between dollars as mathematics."""
    printable = "".join(character if character.isprintable() else " " for character in name[:_LONGEST_NAME])
    return printable.replace("$", r"\$")


def as_plot(name: str, title: str, alt: str, figure: Any) -> Plot:
    """Return a figure as a plot; the arguments are the plot's attributes."""
    from matplotlib import rc_context  # noqa: PLC0415 - slow to import

    if figure.axes[0].get_legend_handles_labels()[1]:
        figure.axes[0].legend(frameon=False, fontsize=8, labelcolor=INK)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "lvlm-ad", "font.family": "sans-serif"}):
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
    return Plot(name, title, alt, Markup(svg), figure)  # nosec B704 # noqa: S704 - Matplotlib escapes what it writes
