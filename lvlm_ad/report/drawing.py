"""How plots are drawn: axes in the page's colours, and SVG that takes them from its style."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["DEFECT", "GOOD", "INK", "MUTED", "PAPER", "Plot", "finished", "label", "legend", "new_axes"]

# Each colour is one of page.css; blue and orange stay apart without colour vision.
INK, MUTED, GRID, GOOD, DEFECT, PAPER = "#1a1a1f", "#5b5b66", "#dedee5", "#0b5fb0", "#b84a05", "#ffffff"
_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", GOOD: "good", DEFECT: "defect", PAPER: "paper"}

_SIZE = (4.0, 3.0)


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


def new_axes(x: str, y: str, size: tuple[float, float] = _SIZE) -> tuple[Any, Any]:
    """Return a figure, ``size`` inches large, and its axes.

    Args:
        x: what the abscissa is.
        y: what the ordinate is.
        size: width and height in inches.
    """
    # The object interface alone: pyplot would hold every figure, and may want a display.
    from matplotlib.figure import Figure  # noqa: PLC0415 - half a second

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


def legend(axes: Any) -> None:
    """Add the legend of what has a label."""
    axes.legend(frameon=False, fontsize=8, labelcolor=INK)


def label(name: str) -> str:
    """Names are a stranger's: no control characters, and no mathematics, which matplotlib reads between dollars."""
    printable = "".join(character if character.isprintable() else " " for character in name[:60])
    return printable.replace("$", r"\$")


def finished(name: str, title: str, alt: str, figure: Any) -> Plot:
    """Return a figure as a plot.

    Args:
        name: of its files.
        title: what stands above it.
        alt: what it shows, in words.
        figure: what was drawn.
    """
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
        figure.savefig(path, dpi=200, metadata={}, facecolor=PAPER)

    return Plot(name, title, alt, Markup(svg), save)  # nosec B704 # noqa: S704 - matplotlib escapes what it writes
