"""``--batch``: all questions of one chat model, sent in files that the endpoint answers within a day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from lvlm_ad.asking import Batcher, Question
from lvlm_ad.asking.cost import most_cost
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.questions import all_requests, is_unusable

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, BatchBackend, Request
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.prompts import Questioner

__all__ = ["run_batches"]


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
    identity, name, price = backend.identity(), model.preset.name, model.preset.price

    def questions() -> Iterator[Question]:
        progress.start(f"{name}: writing questions", len(plan.dataset))
        for request in all_requests(session, questioner):
            yield Question(request.key(identity), request)
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
