"""A step of a recipe, and how it compares with a reference computation of the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

__all__ = ["Step", "as_array", "compared", "first_difference"]


@dataclass(frozen=True)
class Step:
    """What was found about a step.

    Attributes:
        name: the step.
        state: "agrees" or "differs"; "not checked": it cannot be checked, or is known to be another than the published
            one.
        detail: what was compared, and how far it is apart; or why it is not checked.
    """

    name: str
    state: Literal["agrees", "differs", "not checked"]
    detail: str


def as_array(values: Any) -> np.ndarray:
    """Return a tensor or an array as float64."""
    return np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values, dtype=np.float64)


def compared(name: str, what: str, pairs: list[tuple[Any, Any]], allowed: float) -> Step:
    """Compare pairs of arrays, ours and the reference's; all must agree.

    Args:
        name: the step.
        what: what the arrays are.
        pairs: of arrays or tensors.
        allowed: the largest absolute difference that still agrees.
    """
    largest = 0.0
    for first, second in pairs:
        ours, reference = as_array(first), as_array(second)
        if ours.shape != reference.shape:
            return Step(name, "differs", f"{what}: {ours.shape} here, {reference.shape} in the reference")
        # Unlike max(), np.maximum() keeps a NaN, which is no agreement.
        largest = float(np.maximum(largest, np.abs(ours - reference).max(initial=0.0)))
    state: Literal["agrees", "differs"] = "agrees" if largest <= allowed else "differs"
    return Step(name, state, f"{what}: largest difference {largest:.2g}, allowed {allowed:g}")


def first_difference(steps: list[Step]) -> Step | None:
    """Return the first step that differs; None if none does."""
    return next((step for step in steps if step.state == "differs"), None)
