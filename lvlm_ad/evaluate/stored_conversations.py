"""The conversations about all images, as far as stored answers go: for ``--dry-run`` and ``--batch``."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any, cast

from lvlm_ad.asking import Batcher
from lvlm_ad.asking.cost import most_cost
from lvlm_ad.engines import in_order
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.conversation import Replayed, look_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvlm_ad.backend import Answer, BatchBackend, Request
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.detectors import Detector
    from lvlm_ad.evaluate.views import Views
    from lvlm_ad.methods import View

__all__ = ["StoredConversations"]


class StoredConversations:
    """The conversations about the images of a plan.

    Args:
        detector: the chat model.
        views: what the method sees of an image.
        is_stale: whether a stored answer is to be asked for again.
    """

    def __init__(self, detector: Detector[Any], views: Views, is_stale: Callable[[Answer, View], bool]) -> None:
        self._detector, self._session, self._views, self._is_stale = detector, detector.session, views, is_stale
        self._identity = detector.plugin.identity()
        self._stale: set[str] = set()

    @contextmanager
    def followed(self, doing: str, renewed: Container[str] = frozenset()) -> Iterator[Iterator[Replayed]]:
        """Follow each image's conversation, several at a time, but only a few ahead because their pictures need memory.

        Args:
            doing: what is done, for the progress report.
            renewed: keys of answers that were asked for again, and so are not stale.
        """
        session, progress = self._session, self._session.progress

        def follow(sample: Sample) -> Replayed:
            view = self._views.view(sample, session.divisions.regions(sample))

            def known(request: Request) -> Answer | None:
                key = request.key(self._identity)
                answer = session.answers.get(key)
                if answer is None or key in renewed or not self._is_stale(answer, view):
                    return answer
                self._stale.add(key)
                return None

            return look_up(session.plan.method, view, known)

        def counted() -> Iterator[Replayed]:
            for _, one in conversations:
                yield one
                progress.advance()
            progress.finish()

        progress.start(f"{self._detector.name}: {doing}", len(session.plan.asked))
        with closing(in_order(follow, session.plan.asked, os.cpu_count() or 1)) as conversations:
            yield counted()

    def in_batches(self, note: Callable[[str], None]) -> Batcher:
        """Have all questions answered in batches; the session's budget pays.

        Questions that depend on answers go into later batches: for each batch, all conversations begin anew.
        """
        session, price = self._session, self._detector.model.preset.price
        budget, progress = session.budget, session.progress
        batcher = Batcher(
            cast("BatchBackend", self._detector.plugin),
            session.answers,
            session.batches,
            note=note,
            locks=session.locks,
            most=self._most,
            allowance=None if budget.limit is None else budget.limit - budget.spent,
            stale=lambda request, _: request.key(self._identity) in self._stale,
        )
        with ExitStack() as stack:

            def questions() -> Iterator[Request]:
                for one in stack.enter_context(self.followed("writing questions", batcher.answered)):
                    yield from (request for request, _ in one.answered)
                    yield from one.pending

            name = f"{self._detector.name}: batches"
            batcher.run(questions, lambda answered, total: progress.at(name, answered, total))
        for key in batcher.answered:
            if (answer := session.answers.get(key)) is not None:
                usage = answer.usage
                cost = price.cost(usage.input_tokens, usage.cached_tokens, usage.output_tokens, batch=True)
                budget.spent += cost or 0.0
        return batcher

    def _most(self, request: Request) -> float:
        """Return what a question costs in a batch at most; 0 without a limit."""
        if self._session.budget.limit is None:
            return 0.0
        detector = self._detector
        cost = most_cost(detector.model.preset.price, detector.plugin.capabilities, request, batch=True)
        if cost is None:
            raise ConfigError(
                "--max-cost with --batch needs to know what a question costs at most; set image_tokens=RULE as "
                "docs/models.md says."
            )
        return cost
