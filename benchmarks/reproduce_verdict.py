"""Whether a run lies within the tolerance of published values, and what the difference may come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reproduce_step import Step, first_difference

from lvlm_ad.runs import METRIC_TITLES

if TYPE_CHECKING:
    from reproduce_recipes import Published

__all__ = ["Line", "compare", "conclusion", "print_lines", "print_steps", "sentence"]


@dataclass(frozen=True)
class Line:
    """A metric in percent: published, measured, and whether the difference is allowed."""

    metric: str
    published: float
    measured: float | None
    interval: tuple[float, float] | None
    tolerance: float

    @property
    def difference(self) -> float | None:
        """Measured minus published, in points; None where the metric is undefined."""
        return None if self.measured is None else self.measured - self.published

    @property
    def within(self) -> bool:
        """Whether the difference is within the tolerance; rounding of the difference itself does not count."""
        return self.difference is not None and abs(self.difference) <= self.tolerance + 1e-9


def compare(published: Published, metrics: Mapping[str, Any]) -> list[Line]:
    """Compare the published values with the means of metrics.json."""
    mean, lines = metrics["mean"], []
    for name in METRIC_TITLES:
        if name in published.values:
            value, ends = mean.get(name), mean.get("interval", {}).get(name)
            interval = None if ends is None else (100 * ends[0], 100 * ends[1])
            measured = None if value is None else 100 * value
            tolerance = published.target.tolerance_of(name)
            lines.append(Line(name, published.values[name], measured, interval, tolerance))
    return lines


def sentence(published: Published, lines: Sequence[Line]) -> str:
    """Say whether the result is within the tolerance of a published row.

    The words count the metrics, and name those outside.
    """
    outside = [line for line in lines if not line.within]
    if not outside:
        return f"Within the tolerance of {published.name}: {len(lines)} of {len(lines)} metrics."
    named = ", ".join(
        f"{METRIC_TITLES[line.metric]} undefined"
        if line.difference is None
        else f"{METRIC_TITLES[line.metric]} {line.difference:+.1f} (allowed {line.tolerance:g})"
        for line in outside
    )
    return f"Outside the tolerance of {published.name}: {named}."


def conclusion(steps: Sequence[Step], outside: Sequence[Published]) -> list[str]:
    """Say which step differs first, or where else the differences may come from.

    Args:
        steps: in the order of the method.
        outside: the published rows whose tolerance the result misses.
    """
    first = first_difference(list(steps))
    if first is not None:
        return [f"The first step that differs from the recipe: {first.name} ({first.detail})."]
    lines = ["No step that can be checked differs from the recipe."]
    unknown = [f"{step.name}: {step.detail}" for step in steps if step.state == "not checked"]
    unknown += dict.fromkeys(one for published in outside for one in published.target.open)
    if unknown:
        lines.append("These may explain a difference; they cannot be checked here, or are known to differ:")
        lines += [f"- {one}" for one in unknown]
    return lines


def print_steps(steps: Iterable[Step]) -> list[Step]:
    """Print the steps as a Markdown table, each as soon as it is checked, which may take minutes; return them."""
    printed: list[Step] = []
    for step in steps:
        if not printed:
            print("\n| step | result | detail |\n|---|---|---|")
        print(f"| {step.name} | {step.state} | {step.detail} |", flush=True)
        printed.append(step)
    return printed


def print_lines(published: Published, lines: Sequence[Line]) -> None:
    """Print published and measured values as a Markdown table, in percent and points."""
    print(f"\n{published.name}. Tolerances: {published.target.why}.\n")
    print("| metric | published | measured | 95 % interval | difference | tolerance | |\n|---|--:|--:|--:|--:|--:|---|")
    for line in lines:
        interval = "" if line.interval is None else f"{line.interval[0]:.1f} to {line.interval[1]:.1f}"
        measured = "undefined" if line.measured is None else f"{line.measured:.1f}"
        difference = "" if line.difference is None else f"{line.difference:+.1f}"
        print(
            f"| {METRIC_TITLES[line.metric]} | {line.published:.1f} | {measured} | {interval} | {difference} "
            f"| {line.tolerance:g} | {'within' if line.within else 'outside'} |"
        )
