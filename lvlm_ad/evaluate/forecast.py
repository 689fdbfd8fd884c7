"""What a bench would ask, and what that would cost, by the answers that are stored."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lvlm_ad.asking.cost import input_tokens, most_cost

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Capabilities
    from lvlm_ad.evaluate.conversation import Replayed
    from lvlm_ad.evaluate.detectors import Detector

__all__ = ["forecast"]

_USUAL_OUTPUT = 120
"""Tokens of an answer in the published format with some ten regions; reasoning would come on top."""
_FIRST_TOKEN, _TOKENS_A_SECOND = 2.0, 50.0
"""Seconds until an answer begins, and its speed: typical of hosted models."""


def forecast(detector: Detector[Any], conversations: Iterable[Replayed]) -> dict[str, Any]:
    """Estimate the cost of the questions that have no stored answer.

    Where the model has answered questions of this run before, their mean decides; else the rule and a usual answer.
    The next questions of each image are known. Later ones, which depend on answers, are counted by
    ``Method.most_questions``, at the price of the next ones.

    Args:
        detector: the chat model.
        conversations: of each image.

    Returns:
        "model", "questions", "stored", "to_ask", "later" (those of "to_ask" that are a bound), "gathers" (whether the
        backend batches internally), "input_tokens", "output_tokens", "cost_usd", "at_most_usd" and "seconds" (None
        where unknown), and "basis": "stored answers", "rule" or "none".
    """
    price, able, config = detector.model.preset.price, detector.plugin.capabilities, detector.session.plan.config
    identity = detector.plugin.identity()
    tokens: dict[str, int | None] = {}
    most: dict[str, float | None] = {}
    answers: dict[str, Answer] = {}
    later, most_later = 0, 0.0
    for one in conversations:
        answers |= {request.key(identity): answer for request, answer in one.answered}
        bounds: list[float | None] = []
        for request in one.pending:
            key = request.key(identity)
            tokens[key] = input_tokens(price, able, request)
            bounds.append(most_cost(price, able, request, batch=config.batch))
            most[key] = bounds[-1]
        later += one.later
        most_later += one.later * fmean(bound or 0.0 for bound in bounds) if one.later else 0.0
    by_rule = [one for one in tokens.values() if one is not None]
    used, written, seconds = _usual(able, answers.values())
    usual = used if used is not None else fmean(by_rule) if by_rule else None
    count = len(tokens) + later
    tokens_in = None if usual is None else round(count * usual)
    tokens_out = round(count * written)
    # Where a backend batches internally, the seconds of an answer are its share of a batch.
    at_once = 1 if able.batches_internally else min(config.concurrency, able.concurrency or config.concurrency)
    unknown = config.batch or (seconds is None and count > 0)
    cost: float | None = None
    if not (price.price_per_hour and seconds is None):
        cost = price.cost(tokens_in, None, tokens_out, seconds=count * (seconds or 0.0), batch=config.batch)
    return {
        "model": detector.name,
        "questions": count + len(answers),
        "stored": len(answers),
        "to_ask": count,
        "later": later,
        "gathers": able.batches_internally,
        "input_tokens": tokens_in if count else 0,
        "output_tokens": tokens_out,
        "cost_usd": 0.0 if count == 0 or price.free else cost,
        "at_most_usd": None if None in most.values() else sum(one or 0.0 for one in most.values()) + most_later,
        "seconds": None if unknown else ceil(count / at_once) * (seconds or 0.0),
        "basis": "stored answers" if used is not None else "rule" if by_rule else "none",
    }


def _usual(able: Capabilities, answers: Iterable[Answer]) -> tuple[float | None, float, float | None]:
    """Return what a question uses: input tokens by the stored answers, output tokens, seconds; None where unknown."""
    used = [
        (one.usage.input_tokens, one.usage.output_tokens, one.seconds)
        for one in answers
        if one.usage.input_tokens is not None and one.usage.output_tokens is not None
    ]
    longest = able.max_output_tokens or _USUAL_OUTPUT
    written = fmean(one[1] for one in used) if used else float(min(_USUAL_OUTPUT, longest))
    timed = [one[2] for one in used if one[2] > 0]
    if timed:
        seconds: float | None = fmean(timed)
    else:
        # The speed of a model on this machine is unknown until it has answered.
        seconds = None if able.batches_internally else _FIRST_TOKEN + written / _TOKENS_A_SECOND
    return fmean(one[0] for one in used) if used else None, written, seconds
