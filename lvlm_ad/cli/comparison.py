"""BootstrapSamples the comparison of two runs in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from lvlm_ad.leaderboard import printable
from lvlm_ad.runs import METRIC_NAMES

if TYPE_CHECKING:
    from rich.console import Console

    from lvlm_ad.compare import Comparison, Difference, ImageDifference

__all__ = ["print_comparison"]

_SURE = 0.05
"""A difference with a smaller p-value is marked."""


def print_comparison(found: Comparison, console: Console, images: int) -> None:
    """Print the mean's differences, each category's, and the images that are ranked most differently.

    Args:
        found: the comparison.
        console: where to.
        images: how many images to name.
    """
    console.print(_mean(found))
    if found.delong_mean is not None and found.delong_mean.p_value is not None:
        console.print(Text(f"  image_auroc by DeLong's test: p {_p(found.delong_mean.p_value)}", style="dim"))
    for note in found.notes:
        console.print(Text(f"  {printable(note)}", style="dim"))
    console.print()
    if len(found.categories) > 1:
        console.print(_categories(found))
        console.print()
    differing = [one for one in found.images if one.placements[0] != one.placements[1]][:images]
    if differing:
        console.print(_images(found, differing))


def _mean(found: Comparison) -> Table:
    first, second = (printable(name) for name in found.names)
    several = len(found.categories) > 1
    of = f"mean of {len(found.categories)} categories" if several else printable("".join(found.categories))
    table = _table(f"{first} minus {second}: {of}, percent")
    heads = ["", first, second, "difference", "95 % interval", "p", *(["categories drawn, too"] if several else [])]
    for head in heads:
        table.add_column(Text(head), justify="left" if not head else "right", overflow="fold")
    for name in METRIC_NAMES:
        one = found.mean[name]
        row = [name, _share(one.first), _share(one.second), _signed(one.difference), _ends(one.interval)]
        wider = [_ends(one.interval_over_categories)] if several else []
        table.add_row(*row, _p(one.p_value), *wider)
    return table


def _categories(found: Comparison) -> Table:
    table = _table(f"difference in each category, percent; * where p < {_SURE}")
    for head in ("", *(name.replace("_", "\n", 1) for name in METRIC_NAMES)):
        table.add_column(head, justify="right" if head else "left")
    for category, metrics in found.categories.items():
        table.add_row(Text(printable(category)), *(_marked(metrics[name]) for name in METRIC_NAMES))
    return table


def _images(found: Comparison, chosen: Sequence[ImageDifference]) -> Table:
    table = _table("images ranked most differently: share of the other kind's images on whose right side each is")
    for head in ("", "", *(printable(name) for name in found.names)):
        table.add_column(Text(head), justify="right" if head else "left", overflow="fold")
    for image in chosen:
        kind = "defect" if image.label else "good"
        table.add_row(Text(printable(image.id)), kind, *(f"{100 * share:.0f} %" for share in image.placements))
    return table


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    # A difference that rounds to nothing has no sign.
    return "-" if value is None else f"{100 * value:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")


def _ends(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{_signed(interval[0])} to {_signed(interval[1])}"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"  # noqa: PLR2004 - three digits


def _marked(one: Difference) -> str:
    sure = one.p_value is not None and one.p_value < _SURE
    return f"{_signed(one.difference)}{'*' if sure else ' '}"
