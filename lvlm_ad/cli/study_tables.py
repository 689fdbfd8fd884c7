"""Studies in the terminal: the verdict first, then a short table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from lvlm_ad.cli import shell
from lvlm_ad.escape import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rich.table import Table

    from lvlm_ad.studies import Number, Study

__all__ = [
    "NONE",
    "ends",
    "exit_if_incomplete",
    "missing_lines",
    "number",
    "percent",
    "show_price",
    "show_study",
    "table",
]

NONE = "-"
"""Stands for a number that is not there."""


def show_price(price: Mapping[str, Any], *, json: bool) -> None:
    """Print what a study would ask, what that would cost, and how precise it would be if that is known."""
    if json:
        shell.print_json(price)
        return
    cost = "cost unknown" if price["cost_usd"] is None else f"about {price['cost_usd']:.4f} USD"
    if price["at_most_usd"] is not None:
        cost += f", at most about {price['at_most_usd']:.4f} USD"
    left = f"{price['to_ask']} to ask; {cost}" if price["to_ask"] else "nothing to ask"
    shared = f"{price['shared']} shared with another condition, " if price["shared"] else ""
    shell.show(
        f"{price['study']}: {price['images']} images under {len(price['conditions'])} conditions; "
        f"{price['questions']} questions, {price['stored']} already answered, {shared}{left}."
    )
    for model, reason in price["unpriced"].items():
        shell.show(f"The cost of {model} is unknown: {reason}.")
    if expected := price.get("precision"):
        shell.show(
            f"Expected precision: ±{100 * expected['flip_rate_half_width']:.1f} points (95 % interval) for a flip rate "
            f"of 10 %; a standard error of {100 * expected['sd_relative_error']:.0f} % for the SD of the score."
        )
    counts = ["questions", "stored", *(["shared"] if price["shared"] else []), "to_ask"]
    shown = table("condition", "level", *(name.replace("_", " ") for name in counts), "USD")
    for one in price["conditions"]:
        usd = NONE if one["cost_usd"] is None else f"{one['cost_usd']:.4f}"
        shown.add_row(*map(escaped, (one["name"], one["level"], *(str(one[name]) for name in counts), usd)))
    shell.table_console(shell.BOARD_WIDTH).print(shown)
    for line in _left_out([(one["what"], one["reason"]) for one in price["left_out"]]):
        shell.show(line)


def show_study(found: Study, folder: Path, parts: Iterable[Table | str], *, json: bool) -> None:
    """Print the verdict of a study, what else it found, and then tables and lines.

    Args:
        found: the study.
        folder: where it is.
        parts: what follows them.
        json: whether to print ``study.json`` with its folder on stdout.
    """
    console = shell.table_console(shell.BOARD_WIDTH)
    # In a file or a pipe a sentence is one line.
    whole = not console.is_terminal
    for sentence in (found.verdict, *(f"- {finding}" for finding in found.findings), ""):
        console.print(escaped(sentence), soft_wrap=whole)
    for part in parts:
        if isinstance(part, str):
            console.print(escaped(part), soft_wrap=whole)
        else:
            console.print(part)
    shell.say(f"study: {folder}")
    if json:
        shell.print_json({"dir": str(folder), **found.model_dump(mode="json")})


def missing_lines(found: Study) -> list[str]:
    """Say what a study has no answers of, and why."""
    lines = []
    for one in found.conditions:
        if one.run is None:
            lines.append(f"{one.name}: no answers ({one.problem}).")
        else:
            lines += [f"{one.name}: {gap}." for gap in one.gaps]
    if any(one.failed for one in found.conditions):
        lines.append("The same command asks failed questions again.")
    if found.state == "capped":
        lines.append("--max-cost ended the study early; the same command with a higher limit continues.")
    return [*lines, *_left_out([(one.what, one.reason) for one in found.left_out])]


def _left_out(parts: Iterable[tuple[str, str]]) -> list[str]:
    """Say what is not asked and why, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for what, reason in parts:
        by_reason.setdefault(reason, []).append(what)
    return [f"Not asked: {', '.join(whats)} ({reason})." for reason, whats in by_reason.items()]


def exit_if_incomplete(found: Study) -> None:
    """End with the exit status of a study that has not everything."""
    if found.state == "interrupted":
        raise KeyboardInterrupt
    if found.state != "complete":
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def table(*heads: str) -> Table:
    """Return a table without lines; the first column is aligned left."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        found.add_column(head, justify="right" if place else "left", overflow="fold")
    return found


def ends(one: Number, factor: float = 1.0, digits: int = 1) -> str:
    """Write an interval in brackets, times a factor; empty if there is none, or if both ends are written alike."""
    from lvlm_ad.studies.wording import bracketed

    low, high = (f"{factor * end:z.{digits}f}" for end in one.interval or (0.0, 0.0))
    return "" if low == high else bracketed(one.interval, digits, factor=factor)


def percent(one: Number) -> str:
    """Write a fraction in percent, with its interval."""
    return NONE if one.value is None else f"{100 * one.value:z.1f} %{ends(one, 100)}"


def number(one: Number, digits: int = 3) -> str:
    """Write a number with its interval."""
    return NONE if one.value is None else f"{one.value:z.{digits}f}{ends(one, 1.0, digits)}"
