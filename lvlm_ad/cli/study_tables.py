"""Studies in the terminal: the verdict first, then a short table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lvlm_ad.cli import shell
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.table import Table

    from lvlm_ad.studies import FactorFigures, Number, StabilityFigures, Study

_NONE = "-"


def show_price(price: Mapping[str, Any], *, json: bool) -> None:
    """Print what a study would ask, what that would cost, and how precise it would be."""
    if json:
        shell.print_json(price)
        return
    expected = price["precision"]
    cost = "unknown" if price["cost_usd"] is None else f"about {price['cost_usd']:.4f} USD"
    if price["at_most_usd"] is not None:
        cost += f", at most about {price['at_most_usd']:.4f} USD"
    shell.show(
        f"{price['study']}: {price['images']} images under {len(price['conditions'])} conditions; "
        f"{price['questions']} questions, {price['stored']} already answered, {price['to_ask']} to ask; {cost}."
    )
    shell.show(
        f"Expected precision: flip rate of 10 % to ±{100 * expected['flip_rate_half_width']:.1f} points; SD of the "
        f"score to ±{100 * expected['sd_relative_error']:.0f} % (standard error)."
    )
    table = _table("condition", "level", "questions", "stored", "to ask", "USD")
    for one in price["conditions"]:
        usd = _NONE if one["cost_usd"] is None else f"{one['cost_usd']:.4f}"
        row = (one["name"], one["level"], str(one["questions"]), str(one["stored"]), str(one["to_ask"]), usd)
        table.add_row(*map(escaped, row))
    shell.table_console(shell.BOARD_WIDTH).print(table)
    for one in price["left_out"]:
        shell.show(f"Not varied: {one['what']} ({one['reason']}).")


def show_stability(found: Study, folder: Path, *, json: bool) -> None:
    """Print the verdict and the figures of a stability study."""
    from lvlm_ad.studies import StabilityFigures

    figures = StabilityFigures.model_validate(found.figures)
    shell.table_console(shell.BOARD_WIDTH).print(escaped(found.verdict))
    shell.table_console(shell.BOARD_WIDTH).print()
    shell.table_console(shell.BOARD_WIDTH).print(_stability_table(figures))
    lines = [*_other_figures(figures), *_left_out(found, figures)]
    for line in lines:
        shell.table_console(shell.BOARD_WIDTH).print(escaped(line))
    shell.say(f"study: {folder}")
    if json:
        shell.print_json({"dir": str(folder), **found.model_dump(mode="json")})


def _stability_table(figures: StabilityFigures) -> Table:
    """Return a row for asking again and one for each factor."""
    table = _table("varied", "flip rate", "SD of score", "share of variance", "map difference", "image AUROC")
    again, noise = figures.repeats["all"], figures.auroc
    table.add_row(
        "asking again",
        _percent(again.flip_rate),
        _NONE if again.within_sd is None else f"{again.within_sd:.3f}",
        "",
        _number(figures.map_test_retest),
        _NONE if noise.asking is None else f"±{100 * noise.asking:.1f}",
    )
    for one in figures.factors:
        table.add_row(*_factor_row(one))
    return table


def _factor_row(one: FactorFigures) -> tuple[str, ...]:
    flips = [level.flip_rate for level in one.levels if level.flip_rate.value is not None]
    maps = [level.map_difference for level in one.levels if level.map_difference.value is not None]
    changes = [level.auroc_change for level in one.levels if level.auroc_change is not None]
    total = one.total.value
    return (
        f"{one.factor}, {len(one.levels)} level{'' if len(one.levels) == 1 else 's'}",
        _percent(max(flips, key=lambda flip: flip.value or 0.0)) if flips else _NONE,
        _NONE if total is None else f"{max(total, 0.0) ** 0.5:.3f}",
        _percent(one.share),
        _number(max(maps, key=lambda level: level.value or 0.0)) if maps else _NONE,
        f"{100 * min(changes):+.1f} to {100 * max(changes):+.1f}" if changes else _NONE,
    )


def _other_figures(figures: StabilityFigures) -> list[str]:
    """Say what has no row: image scores, votes, numbers of regions."""
    again = figures.repeats["all"]
    changed = _NONE if again.unstable_fraction is None else f"{100 * again.unstable_fraction:.1f} %"
    sides = f"{changed} fell on both sides of the threshold {figures.threshold:g}"
    lines = [
        "Of a factor: the most flips and the largest map difference of a level against the base; change of AUROC.",
        f"Of {again.images} images asked {again.answers} times, {sides}; ICC {_number(again.icc)}.",
    ]
    most = [one for one in figures.votes if one.how == "mean" and one.k > 1]
    if most:
        vote = most[-1]
        gain = "unknown" if vote.gain.value is None else f"{100 * vote.gain.value:+.1f} points{_ends(vote.gain, 100)}"
        lines.append(f"The mean of {vote.k} answers changes image AUROC by {gain}, at {vote.k} times the price.")
    if (place := figures.positions) is not None:
        p = "" if place.p_value is None else f", p = {place.p_value:.3f}"
        lines.append(
            f"Numbers: with the same pixels, naming differs by {_percent(place.range)} between the numbers that are "
            f"named most and least for what they are{p}."
        )
    if (parts := figures.components) is not None:
        shown = {
            "images": parts.image,
            parts.factor: parts.condition,
            "both": parts.interaction,
            "asking": parts.repeat,
        }
        text = ", ".join(f"{name} {_number(one, 5)}" for name, one in shown.items())
        lines.append(f"Components of the variance of scores: {text}.")
    return lines


def _left_out(found: Study, figures: StabilityFigures) -> list[str]:
    """Say what is missing, and why."""
    lines = []
    for one in found.conditions:
        if one.run is None:
            lines.append(f"{one.name}: no answers ({one.problem}).")
        elif one.missing:
            lines.append(f"{one.name}: {one.missing} of {one.missing + one.answered} images have no usable answer.")
    if found.state == "capped":
        lines.append("--max-cost ended the study early; the same command with a higher limit continues.")
    lines += [f"Not varied: {one.what} ({one.reason})." for one in found.left_out]
    return [*lines, *(f"Undefined: {one.what} ({one.reason})." for one in figures.undefined)]


def _table(*heads: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", overflow="fold")
    return table


def _ends(one: Number, factor: float = 1.0, digits: int = 1) -> str:
    return (
        ""
        if one.interval is None
        else " [{0:.{2}f}, {1:.{2}f}]".format(*(factor * end for end in one.interval), digits)
    )


def _percent(one: Number) -> str:
    return _NONE if one.value is None else f"{100 * one.value:.1f} %{_ends(one, 100)}"


def _number(one: Number, digits: int = 3) -> str:
    return _NONE if one.value is None else f"{one.value:.{digits}f}{_ends(one, 1.0, digits)}"
