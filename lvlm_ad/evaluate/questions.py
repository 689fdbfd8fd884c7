"""All questions of one chat model at once: their forecast (``--dry-run``), and their batches (``--batch``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from lvlm_ad.asking import Batcher
from lvlm_ad.asking.cost import input_tokens, most_cost
from lvlm_ad.engines import in_order
from lvlm_ad.errors import ConfigError
from lvlm_ad.text2seg import read

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, BatchBackend, Capabilities, Request
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.bench import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import Regions

__all__ = ["forecast", "is_unusable", "run_batches"]

Write = Callable[["Sample", "Regions"], "Request"]
"""Writes the question about a sample."""

_USUAL_OUTPUT = 120
"""Tokens of an answer in the published format with some ten regions; reasoning would come on top."""
_FIRST_TOKEN, _TOKENS_A_SECOND = 2.0, 50.0
"""Seconds until an answer begins, and its speed: typical of hosted models."""


@contextmanager
def _all_requests(session: Session, write: Write) -> Iterator[Iterator[Request]]:
    """Write the question about each sample, several at a time but never many ahead, since they hold pictures."""

    def request(sample: Sample) -> Request:
        return write(sample, session.divisions.regions(sample))

    with closing(in_order(request, session.plan.dataset, os.cpu_count() or 1)) as requests:
        yield (question for _, question in requests)


def is_unusable(answer: Answer, n_regions: int) -> bool:
    """Return whether ``--retry-failed`` asks again: the answer gives no scores, or was cut off."""
    scores = read(answer, n_regions)
    return not scores.usable or scores.status == "truncated"


def forecast(session: Session, model: Model, backend: Backend, write: Write) -> dict[str, Any]:
    """Look up which questions are answered already, and estimate the cost of the others.

    Where the model has answered questions of this run before, their mean decides; else the rule and a usual answer.

    Returns:
        "model", "questions", "stored", "to_ask", "gathers" (whether the backend batches internally), "input_tokens",
        "output_tokens", "cost_usd", "at_most_usd" and "seconds" (None where unknown), and "basis": "stored answers",
        "rule" or "none".
    """
    config, progress, able = session.plan.config, session.progress, backend.capabilities
    price, identity = model.preset.price, backend.identity()
    progress.start(f"{model.preset.name}: looking for stored answers", len(session.plan.dataset))
    tokens: dict[str, int | None] = {}
    most: dict[str, float | None] = {}
    answers: dict[str, Answer] = {}
    with _all_requests(session, write) as requests:
        for request in requests:
            key = request.key(identity)
            answer = session.answers.get(key)
            if answer is None or (config.retry_failed and is_unusable(answer, request.options["n_regions"])):
                tokens[key] = input_tokens(price, able, request)
                most[key] = most_cost(price, able, request, batch=config.batch)
            else:
                answers[key] = answer
            progress.advance()
    progress.finish()
    by_rule = [one for one in tokens.values() if one is not None]
    used, written, seconds = _usual(able, answers.values())
    usual = used if used is not None else fmean(by_rule) if by_rule else None
    count = len(tokens)
    tokens_in = None if usual is None else round(count * usual)
    tokens_out = round(count * written)
    cost = None if tokens_in is None else price.cost(tokens_in, None, tokens_out, batch=config.batch)
    # Where a backend batches internally, the seconds of an answer are its share of a batch.
    at_once = 1 if able.batches_internally else min(config.concurrency, able.concurrency or config.concurrency)
    unknown = config.batch or (seconds is None and count > 0)
    return {
        "model": model.preset.name,
        "questions": count + len(answers),
        "stored": len(answers),
        "to_ask": count,
        "gathers": able.batches_internally,
        "input_tokens": tokens_in if count else 0,
        "output_tokens": tokens_out,
        "cost_usd": 0.0 if count == 0 or price.free else cost,
        "at_most_usd": None if None in most.values() else sum(one or 0.0 for one in most.values()),
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


def run_batches(session: Session, model: Model, backend: Backend, write: Write) -> Batcher:
    """Have all questions of a model answered in batches; the session's budget pays."""
    plan, budget, progress = session.plan, session.budget, session.progress
    name, price = model.preset.name, model.preset.price

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
        session.answers,
        session.batches,
        note=lambda text: progress.note(f"{name}: {text}"),
        locks=session.locks,
        most=most,
        allowance=None if budget.limit is None else budget.limit - budget.spent,
        stale=stale,
    )
    with ExitStack() as stack:

        def questions() -> Iterator[Request]:
            progress.start(f"{name}: writing questions", len(plan.dataset))
            for request in stack.enter_context(_all_requests(session, write)):
                yield request
                progress.advance()
            progress.finish()

        batcher.run(questions, lambda answered, total: progress.at(f"{name}: batches", answered, total))
    for key in batcher.answered:
        if (answer := session.answers.get(key)) is not None:
            usage = answer.usage
            cost = price.cost(usage.input_tokens, usage.cached_tokens, usage.output_tokens, batch=True)
            budget.spent += cost or 0.0
    return batcher
