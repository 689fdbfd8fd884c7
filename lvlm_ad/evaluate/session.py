"""One bench in progress: what its models share, and the detectors that they make of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.asking import AnswerStore, BatchLedger, Budget, Locks
from lvlm_ad.engines import Engine, make_engine
from lvlm_ad.evaluate.baseline_detector import BaselineDetector
from lvlm_ad.evaluate.chat_detector import ChatDetector
from lvlm_ad.evaluate.divide import Divisions, divide_dataset
from lvlm_ad.evaluate.sources import remember_place
from lvlm_ad.log import Progress, event
from lvlm_ad.regions import DivisionStore
from lvlm_ad.store import open_answers, open_cache

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detector import Detector
    from lvlm_ad.plugins import Model
    from lvlm_ad.store import Database

__all__ = ["Session"]


@dataclass(frozen=True)
class Stores:
    """What an output folder keeps from one run to the next."""

    answers: AnswerStore
    locks: Locks
    """Which questions are being asked, and by which command."""
    batches: BatchLedger
    """Which questions were sent in batches."""
    divisions: DivisionStore
    cache: Database
    """Divisions, and hashes of the data set's files."""


@contextmanager
def open_stores(out: Path) -> Iterator[Stores]:
    """Open ``answers.sqlite`` and ``cache.sqlite`` of an output folder; close them at the end."""
    with (
        closing(open_answers(out / "answers.sqlite")) as answers,
        closing(open_cache(out / "cache.sqlite")) as cache,
        closing(Locks(answers)) as locks,
    ):
        yield Stores(AnswerStore(answers), locks, BatchLedger(answers), DivisionStore(cache), cache)


class Session:
    """One bench in progress.

    Attributes:
        plan: what to measure.
        engine: divides images and runs models.
        progress: receives reports.
        budget: the limit on money for the model that runs now.
        stores: the output folder's files; there after ``open_stores``.
        divisions: the regions of every image; there after ``divide``.
    """

    stores: Stores
    divisions: Divisions

    def __init__(self, plan: Plan, engine: Engine, progress: Progress | None = None) -> None:
        self.plan, self.engine, self.progress = plan, engine, progress or Progress()
        self.budget = Budget(None)

    def detector(self, model: Model) -> Detector[Any]:
        """Build a model, and let it make its detector."""
        plugin = self.engine.place(model)
        try:
            detector: Detector[Any] = plugin.make_detector(self, model)
        except BaseException:
            plugin.close()
            raise
        return detector

    def chat_detector(self, backend: Backend, model: Model) -> Detector[Any]:
        """Make the detector of a chat model; its backend calls this."""
        return ChatDetector(self, model, backend)

    def baseline_detector(self, baseline: Baseline, model: Model) -> Detector[Any]:
        """Make the detector of a baseline; the baseline calls this."""
        return BaselineDetector(self, model, baseline)

    def open_stores(self, stack: ExitStack) -> None:
        """Open the output folder's files; the stack closes them."""
        self.stores = stack.enter_context(open_stores(self.plan.config.out))
        # Without stored hashes every start would read the whole data set.
        self.plan = replace(self.plan, dataset=replace(self.plan.dataset, cache=self.stores.cache))

    def divide(self) -> None:
        """Divide the images that are not divided yet."""
        self.divisions = divide_dataset(self.plan, self.stores.divisions, self.progress, self.engine)

    def start_budget(self, *, free: bool) -> None:
        """Start the next model's budget, which includes what the models before it have spent."""
        self.budget = Budget(None if free else self.plan.config.max_cost, self.budget.spent)

    @classmethod
    @contextmanager
    def started(cls, plan: Plan, progress: Progress) -> Iterator[tuple[Session, Iterator[Detector[Any]]]]:
        """Build every model, open the output folder and divide the images, in this order.

        So a mistake in a model or its questions is reported before anything is divided or paid.

        Yields:
            The session and its detectors; each is closed when the next one is taken.
        """
        config = plan.config
        with ExitStack() as stack:
            engine = make_engine(
                config.engine,
                address=config.ray_address,
                settings=config.settings,
                concurrency=config.concurrency,
                note=progress.note,
            )
            stack.callback(engine.close)
            session = cls(plan, engine, progress)
            detectors: deque[Detector[Any]] = deque()
            stack.callback(lambda: [detector.plugin.close() for detector in detectors])
            detectors.extend(session.detector(model) for model in plan.models)
            session.open_stores(stack)
            dataset = session.plan.dataset
            event(
                "bench",
                models=[detector.name for detector in detectors],
                dataset=dataset.name,
                fingerprint=dataset.fingerprint,
                images=len(dataset),
                versions=versions(),
            )
            session.divide()
            event("divided", method=plan.protocol.division, hash=session.divisions.hash)
            sam = str(session.divisions.record.get("sam_model", ""))
            remember_place(config.out, dataset, config.mask_threshold, sam)
            yield session, _closing(detectors)


def _closing(detectors: deque[Detector[Any]]) -> Iterator[Detector[Any]]:
    """Yield each detector and close its model: the next one may need the memory."""
    while detectors:
        yield detectors[0]
        detectors.popleft().plugin.close()
