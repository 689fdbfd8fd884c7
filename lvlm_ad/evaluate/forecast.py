"""What questions will cost, before one is asked: tokens by the model family's rule or by what earlier answers used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lvlm_ad.asking import image_tokens, text_tokens

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, Request
    from lvlm_ad.plugins import Model

__all__ = ["Planned", "forecast", "input_tokens", "most_cost"]

_USUAL_OUTPUT = 120
"""Tokens of an answer in the published format with some ten regions; reasoning comes on top and is not foreseen."""
_FIRST_TOKEN, _TOKENS_A_SECOND = 2.0, 50.0
"""Seconds until an answer begins, and its speed: what hosted models of this kind do, roughly."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A question of a dry run.

    Attributes:
        key: the hash of what would be asked.
        tokens: its input tokens by the rule; None where the preset has none.
        most: what it may cost at most by that estimate, in USD; None if unknown.
    """

    key: str
    tokens: int | None
    most: float | None


def input_tokens(model: Model, backend: Backend, request: Request) -> int | None:
    """Estimate the input tokens of a question; None where the model's preset has no rule for pictures."""
    rule = model.preset.price.image_tokens
    sizes = [picture.size for picture in request.images]
    if not rule or None in sizes:
        return None
    pictures = (image_tokens(rule, *size, backend.capabilities.detail) for size in sizes if size is not None)
    return sum(pictures) + text_tokens(request.text)


def most_cost(model: Model, backend: Backend, request: Request, *, batch: bool = True) -> float | None:
    """Bound the cost of a question in USD: its input as estimated, and an answer as long as it may be."""
    if model.preset.price.free:
        return 0.0
    tokens, longest = input_tokens(model, backend, request), backend.capabilities.max_output_tokens
    if tokens is None or longest is None:
        return None
    return model.preset.price.cost(tokens, None, longest, batch=batch)


def forecast(
    model: Model,
    backend: Backend,
    questions: Sequence[Planned],
    answers: Iterable[Answer],
    *,
    concurrency: int,
    batch: bool,
) -> dict[str, Any]:
    """Sum up what a bench would ask.

    Where the model has answered questions of this run before, their mean decides; else the rule and a usual answer do.

    Args:
        model: the model.
        backend: its backend.
        questions: the questions without a stored answer.
        answers: the stored answers to the others.
        concurrency: questions under way at once.
        batch: whether they would go in a batch.

    Returns:
        "input_tokens", "output_tokens", "cost_usd", "at_most_usd" and "seconds", None where unknown, and "basis":
        "stored answers", "rule" or "none".
    """
    count = len(questions)
    used = [
        (one.usage.input_tokens, one.usage.output_tokens, one.seconds)
        for one in answers
        if one.usage.input_tokens is not None and one.usage.output_tokens is not None
    ]
    fresh: float | None = None
    longest = backend.capabilities.max_output_tokens
    written, basis = float(min(_USUAL_OUTPUT, longest or _USUAL_OUTPUT)), "none"
    by_rule = [one.tokens for one in questions if one.tokens is not None]
    if used:
        fresh, written, basis = fmean(one[0] for one in used), fmean(one[1] for one in used), "stored answers"
    elif by_rule:
        fresh, basis = fmean(by_rule), "rule"
    timed = [seconds for _, _, seconds in used if seconds > 0]
    # Nothing is known of a model's speed on this machine.
    usual = None if backend.capabilities.batches_internally else _FIRST_TOKEN + written / _TOKENS_A_SECOND
    seconds = fmean(timed) if timed else usual
    input_total = None if fresh is None else round(count * fresh)
    output_total = round(count * written)
    most = [one.most for one in questions]
    nothing = 0.0 if count == 0 or model.preset.price.free else None
    return {
        "input_tokens": input_total if count else 0,
        "output_tokens": output_total,
        "cost_usd": nothing
        if input_total is None or nothing is not None
        else model.preset.price.cost(input_total, None, output_total, batch=batch),
        "at_most_usd": None if None in most else sum(cost or 0.0 for cost in most),
        "seconds": None if batch or (seconds is None and count) else ceil(count / concurrency) * (seconds or 0.0),
        "basis": basis,
    }
