"""All questions of one chat model at once: their forecast (``--dry-run``), and their batches (``--batch``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from lvlm_ad.asking import Batcher
from lvlm_ad.asking.cost import input_tokens, most_cost
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.engines import in_order
from lvlm_ad.errors import ConfigError
from lvlm_ad.text2seg import read

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, BatchBackend, Request
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.prompts import Questioner

__all__ = ["forecast", "is_unusable", "run_batches"]

_USUAL_OUTPUT = 120
"""Tokens of an answer in the published format with some ten regions; reasoning would come on top."""
_FIRST_TOKEN, _TOKENS_A_SECOND = 2.0, 50.0
"""Seconds until an answer begins, and its speed: typical of hosted models."""


def _all_requests(session: Session, questioner: Questioner) -> Iterator[Request]:
    """Write the question about each sample, several at a time but never many ahead, since they hold pictures."""
    side = session.plan.protocol.image_size

    def request(sample: Sample) -> Request:
        image = resize_image(sample.image, (side, side))
        return questioner.request(sample, image, session.divisions.regions(sample))

    with closing(in_order(request, session.plan.dataset, os.cpu_count() or 1)) as written:
        for _, question in written:
            yield question


def is_unusable(answer: Answer, n_regions: int) -> bool:
    """Return whether ``--retry-failed`` asks again: the answer gives no scores, or was cut off."""
    scores = read(answer, n_regions)
    return not scores.usable or scores.status == "truncated"


@dataclass(frozen=True, slots=True)
class _Estimate:
    """Input tokens of a question, and the most it may cost in USD; None where unknown."""

    tokens: int | None
    most: float | None


def forecast(session: Session, model: Model, backend: Backend, questioner: Questioner) -> dict[str, Any]:
    """Look up which questions are answered already, and estimate the cost of the others.

    Where the model has answered questions of this run before, their mean decides; else the rule and a usual answer.

    Args:
        session: plan, stores and divisions.
        model: the model.
        backend: its backend.
        questioner: writes the questions.

    Returns:
        "model", "questions", "stored", "to_ask", "gathers" (whether the backend batches internally), "input_tokens",
        "output_tokens", "cost_usd", "at_most_usd" and "seconds" (None where unknown), and "basis": "stored answers",
        "rule" or "none".
    """
    config, progress, identity = session.plan.config, session.progress, backend.identity()
    price = model.preset.price
    progress.start(f"{model.preset.name}: looking for stored answers", len(session.plan.dataset))
    to_ask: dict[str, _Estimate] = {}
    answers: dict[str, Answer] = {}
    for request in _all_requests(session, questioner):
        key = request.key(identity)
        answer = session.stores.answers.get(key)
        if answer is None or (config.retry_failed and is_unusable(answer, request.options["n_regions"])):
            at_most = most_cost(price, backend.capabilities, request, batch=config.batch)
            to_ask[key] = _Estimate(input_tokens(price, backend.capabilities, request), at_most)
        else:
            answers[key] = answer
        progress.advance()
    progress.finish()
    own_batches, count = backend.capabilities.batches_internally, len(to_ask)
    usual = _usual(backend, list(to_ask.values()), list(answers.values()))
    tokens_in = None if usual.input_tokens is None else round(count * usual.input_tokens)
    tokens_out = round(count * usual.output_tokens)
    free = count == 0 or price.free
    cost = None if tokens_in is None else price.cost(tokens_in, None, tokens_out, batch=config.batch)
    most = [one.most for one in to_ask.values()]
    # Where a backend batches internally, the seconds of an answer are its share of a batch.
    at_once = 1 if own_batches else min(config.concurrency, backend.capabilities.concurrency or config.concurrency)
    unknown = config.batch or (usual.seconds is None and count > 0)
    return {
        "model": model.preset.name,
        "questions": count + len(answers),
        "stored": len(answers),
        "to_ask": count,
        "gathers": own_batches,
        "input_tokens": tokens_in if count else 0,
        "output_tokens": tokens_out,
        "cost_usd": 0.0 if free else cost,
        "at_most_usd": None if None in most else sum(one or 0.0 for one in most),
        "seconds": None if unknown else ceil(count / at_once) * (usual.seconds or 0.0),
        "basis": usual.basis,
    }


@dataclass(frozen=True, slots=True)
class _Usual:
    """What one question uses; None where unknown."""

    input_tokens: float | None
    output_tokens: float
    seconds: float | None
    basis: str


def _usual(backend: Backend, to_ask: Sequence[_Estimate], answers: Sequence[Answer]) -> _Usual:
    """Estimate what one question uses: as the stored answers, else by the rule."""
    used = [
        (one.usage.input_tokens, one.usage.output_tokens, one.seconds)
        for one in answers
        if one.usage.input_tokens is not None and one.usage.output_tokens is not None
    ]
    by_rule = [one.tokens for one in to_ask if one.tokens is not None]
    longest = backend.capabilities.max_output_tokens
    written = fmean(one[1] for one in used) if used else float(min(_USUAL_OUTPUT, longest or _USUAL_OUTPUT))
    # The speed of a model on this machine is unknown until it has answered.
    seconds = None if backend.capabilities.batches_internally else _FIRST_TOKEN + written / _TOKENS_A_SECOND
    timed = [one[2] for one in used if one[2] > 0]
    seconds = fmean(timed) if timed else seconds
    if used:
        return _Usual(fmean(one[0] for one in used), written, seconds, "stored answers")
    return _Usual(fmean(by_rule) if by_rule else None, written, seconds, "rule" if by_rule else "none")


def run_batches(session: Session, model: Model, backend: Backend, questioner: Questioner) -> Batcher:
    """Have all questions of a model answered in batches; the session's budget pays.

    Args:
        session: plan, stores, divisions and budget.
        model: the model.
        backend: its backend, whose ``check_batch`` has passed.
        questioner: writes the questions.

    Raises:
        ConfigError: a limit in money is set and the cost of a question cannot be bounded.
        FatalError: the endpoint refuses the batch.
    """
    plan, stores, budget, progress = session.plan, session.stores, session.budget, session.progress
    name, price = model.preset.name, model.preset.price

    def questions() -> Iterator[Request]:
        progress.start(f"{name}: writing questions", len(plan.dataset))
        for request in _all_requests(session, questioner):
            yield request
            progress.advance()
        progress.finish()

    def most(request: Request) -> float:
        if budget.limit is None:
            return 0.0
        cost = most_cost(price, backend.capabilities, request, batch=True)
        if cost is None:
            raise ConfigError(
                "--max-cost with --batch needs to know what a question costs at most; set image_tokens=RULE as "
                "docs/models.md says."
            )
        return cost

    def stale(request: Request, answer: Answer) -> bool:
        return plan.config.retry_failed and is_unusable(answer, int(request.options["n_regions"]))

    batcher = Batcher(
        cast("BatchBackend", backend),
        stores.answers,
        stores.batches,
        note=lambda text: progress.note(f"{name}: {text}"),
        locks=stores.locks,
        most=most,
        allowance=None if budget.limit is None else budget.limit - budget.spent,
        stale=stale,
    )
    batcher.run(questions, lambda answered, total: progress.at(f"{name}: batches", answered, total))
    for key in batcher.answered:
        if (answer := stores.answers.get(key)) is not None:
            usage = answer.usage
            cost = price.cost(usage.input_tokens, usage.cached_tokens, usage.output_tokens, batch=True)
            budget.spent += cost or 0.0
    return batcher
