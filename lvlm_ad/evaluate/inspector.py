"""Ask one model about pictures as they come: each is divided, asked about, and handed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from lvlm_ad.engines import LocalEngine
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.evaluate.bench_session import BenchSession
from lvlm_ad.evaluate.divide import Divisions
from lvlm_ad.metrics.cut import Cut
from lvlm_ad.regions import DivisionStore

if TYPE_CHECKING:
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detectors import Detector, Prediction
    from lvlm_ad.log import Progress
    from lvlm_ad.regions import StoredDivision

__all__ = ["Inspector", "Outcome"]

Outcome: TypeAlias = "Prediction | DataError"
"""What came of a picture: a prediction, or why its file cannot be used."""

_CHUNK = 64
"""Pictures whose hashes and divisions are looked up together."""

_PAUSE = 0.5
"""Seconds after which ``idle`` is called at the latest while answers are waited for."""


@dataclass(frozen=True)
class _CutIfMissing(Cut):
    """Divide a picture unless its division is stored; an item is a sample and whether it is missing."""

    def load(self, item: tuple[Sample, bool]) -> Any:  # type: ignore[override]
        sample, is_missing = item
        return super().load(sample) if is_missing else None

    def run(self, loaded: Any) -> StoredDivision | None:  # type: ignore[override]
        return None if loaded is None else super().run(loaded)


class Inspector:
    """A model, its stores and its budget, open for any number of pictures.

    Attributes:
        session: what the detector knows of the command.
        detector: the model.
    """

    def __init__(self, session: BenchSession, detector: Detector[Any]) -> None:
        self.session, self.detector = session, detector
        self._divisions = DivisionStore(session.cache)

    @classmethod
    @contextmanager
    def started(cls, plan: Plan, progress: Progress) -> Iterator[Inspector]:
        """Build the plan's only model and open the stores.

        Raises:
            ConfigError: the model needs the ground truth, or a setting is wrong.
        """
        with ExitStack() as stack:
            engine = stack.enter_context(closing(LocalEngine()))
            session = BenchSession(plan, engine, progress)
            detector = session.detector(plan.models[0])
            stack.callback(detector.plugin.close)
            stack.callback(plan.division.release)
            if detector.sees_truth:
                raise ConfigError(f"{detector.name} answers with the ground truth, which these pictures do not have.")
            session.open_stores(stack)
            yield cls(session, detector)

    def gather(self, pictures: Iterable[Sample]) -> None:
        """Divide pictures and make them the session's: for a forecast or a batch, which need all at once."""
        session = self.session
        usable = tuple(sample for sample, divided in self._divided(pictures) if not isinstance(divided, DataError))
        session.plan = replace(session.plan, dataset=replace(session.plan.dataset, samples=usable))
        session.divisions = Divisions(session.plan.divided, self._divisions)

    def run(
        self,
        pictures: Iterable[Sample],
        take: Callable[[Sample, Outcome], None],
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        """Ask about pictures in a pool of threads, started in their order.

        After an error or Ctrl-C no further question is started; those under way are waited for, because they are paid
        for.

        Pictures are taken one by one, as there is room. ``take`` gets each picture and its outcome, by several threads
        and in any order; this thread calls ``idle`` now and then.
        """
        self.session.kept_pictures.trim()
        divided: Iterable[tuple[Sample, Divisions | DataError]] = self._divided(pictures)
        if self.session.plan.divided.division.in_one_process:
            # Its model and the one that answers need not fit into the memory together.
            divided = list(divided)
            self.session.plan.division.release()
        pool = ThreadPoolExecutor(self.detector.workers)
        under_way: set[Future[None]] = set()
        try:
            for sample, divisions in divided:
                under_way.add(pool.submit(self._inspect, sample, divisions, take))
                under_way = _settled(under_way, 2 * self.detector.workers, idle)
            _settled(under_way, 1, idle)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and any(call.running() for call in under_way):
                self.session.progress.note(
                    "Stopping: waiting for the answers under way. Press Ctrl-C again to leave them."
                )
            self.detector.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _inspect(
        self, sample: Sample, divisions: Divisions | DataError, take: Callable[[Sample, Outcome], None]
    ) -> None:
        outcome: Outcome
        if isinstance(divisions, DataError):
            outcome = divisions
        else:
            try:
                outcome = self.detector.detect(sample, divisions.regions(sample))
            except DataError as error:
                # The file was there when it was divided.
                outcome = error
        take(sample, outcome)

    def _divided(self, pictures: Iterable[Sample]) -> Iterator[tuple[Sample, Divisions | DataError]]:
        """Yield each picture with where its division is stored, or why it has none; in their order."""
        plan = self.session.plan.divided
        places: deque[Divisions | DataError] = deque()

        def items() -> Iterator[tuple[Sample, bool]]:
            rest = iter(pictures)
            while chunk := list(islice(rest, _CHUNK)):
                for place, samples in self._located(chunk):
                    missing = set() if isinstance(place, DataError) else {one.id for one in place.missing(samples)}
                    places.extend([place] * len(samples))
                    yield from ((sample, sample.id in missing) for sample in samples)

        cut = _CutIfMissing(plan.protocol.division, plan.division.model_dump(), plan.protocol.image_size)
        with closing(self.session.engine.map(cut, items(), holds_model=plan.division.in_one_process)) as results:
            for (sample, _), result in results:
                place = places.popleft()
                if isinstance(result, DataError):
                    yield sample, result
                    continue
                if result is not None and isinstance(place, Divisions):
                    place.put(sample, result)
                yield sample, place

    def _located(self, samples: Sequence[Sample]) -> Iterator[tuple[Divisions | DataError, Sequence[Sample]]]:
        """Say where the divisions of pictures are stored, by the hashes of their files; a file may be gone."""
        plan = self.session.plan.divided
        try:
            yield (
                Divisions(replace(plan, dataset=replace(plan.dataset, samples=tuple(samples))), self._divisions),
                samples,
            )
        except DataError as error:
            if len(samples) == 1:
                yield error, samples
                return
            for sample in samples:
                yield from self._located([sample])


def _settled(under_way: set[Future[None]], most: int, idle: Callable[[], None]) -> set[Future[None]]:
    """Wait until fewer than ``most`` calls are under way, and return those.

    Raises:
        Exception: what a call raised.
    """
    while True:
        pause = _PAUSE if len(under_way) >= most else 0
        done, under_way = wait(under_way, timeout=pause, return_when=FIRST_COMPLETED)
        for call in done:
            call.result()
        idle()
        if len(under_way) < most:
            return set(under_way)
