"""The session of a bench, which builds its models and their detectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.evaluate.bench_series import BenchSeries, engine_of
from lvlm_ad.evaluate.best_detector import BestDetector
from lvlm_ad.evaluate.chat_detector import ChatDetector
from lvlm_ad.evaluate.detectors import BaselineDetector
from lvlm_ad.evaluate.divide import divide_dataset
from lvlm_ad.evaluate.session import Session
from lvlm_ad.evaluate.sources import remember_place
from lvlm_ad.evaluate.threshold_images import about_threshold, about_validation, without_test_images
from lvlm_ad.log import Progress, event
from lvlm_ad.regions import DivisionStore

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.engines import Engine
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detectors import Detector
    from lvlm_ad.plugins import Model
    from lvlm_ad.workers import Workers

__all__ = ["BenchSession"]


class BenchSession(Session):
    """A session that builds its models and their detectors.

    Args:
        plan: what to measure.
        engine: divides images and runs models.
        progress: receives reports.
        series: the benches that this one belongs to, which have its models and its budget; None: it is alone.
    """

    def __init__(
        self, plan: Plan, engine: Engine, progress: Progress | None = None, series: BenchSeries | None = None
    ) -> None:
        super().__init__(plan, engine, progress)
        self._series = series

    def detector(self, model: Model) -> Detector[Any]:
        """Build a model, and let it make its detector."""
        plugin = self.engine.place(model) if self._series is None else self._series.place(model)
        try:
            detector: Detector[Any] = plugin.make_detector(self, model)
        except BaseException:
            self._release(plugin)
            raise
        return detector

    def start_budget(self, model: Model) -> None:
        """Start the next model's budget, which includes what all models before it have spent."""
        if self._series is None:
            super().start_budget(model)
        else:
            self.budget = self._series.start_budget(model, self.limit_for(model))

    def chat_detector(self, backend: Backend, model: Model) -> Detector[Any]:
        """Make the detector of a chat model; its backend calls this."""
        return ChatDetector(self, model, backend)

    def baseline_detector(self, baseline: Baseline, model: Model) -> Detector[Any]:
        """Make the detector of a baseline; the baseline calls this."""
        if baseline.through_method and self.plan.method_name != "regions":
            return BestDetector(self, model, baseline)
        return BaselineDetector(self, model, baseline)

    @classmethod
    @contextmanager
    def started(
        cls,
        plan: Plan,
        progress: Progress,
        workers: Workers | None = None,
        series: BenchSeries | None = None,
    ) -> Iterator[tuple[BenchSession, Iterator[Detector[Any]]]]:
        """Build every model, open the output folder and divide the images, in this order.

        So a mistake in a model or its questions is reported before anything is divided or paid.

        Args:
            plan: what to measure.
            progress: receives reports.
            workers: see ``bench``.
            series: as for ``BenchSession``; its engine is used.

        Yields:
            The session and its detectors; each is closed when the next one is taken.
        """
        config = plan.config
        with ExitStack() as stack:
            if series is None:
                engine = engine_of(config, workers, progress.note)
                stack.callback(engine.close)
            else:
                engine = series.engine
            session = cls(plan, engine, progress, series)
            detectors: deque[Detector[Any]] = deque()
            stack.callback(lambda: session._release(*(detector.plugin for detector in detectors)))
            detectors.extend(session.detector(model) for model in plan.models)
            session.open_stores(stack)
            dataset, others = session.plan.dataset, session.plan.threshold_images
            others = without_test_images(others, dataset, progress.note)
            normal = without_test_images(session.plan.validation_images, dataset, progress.note)
            for note in about_threshold(plan.choice, dataset, others):
                progress.note(note)
            if not plan.is_labelled:
                progress.note(
                    f"{dataset.name}, split {dataset.split}: the images have no labels, so there are no metrics. Each "
                    f"model predicts them and, for the threshold of its maps, {len(normal)} normal validation images."
                )
            elif normal:
                progress.note(about_validation(normal))
            session.plan = replace(session.plan, threshold_images=others, validation_images=normal)
            event(
                "bench",
                models=[detector.name for detector in detectors],
                dataset=dataset.name,
                fingerprint=dataset.fingerprint,
                images=len(dataset),
                versions=versions(),
            )
            store = DivisionStore(session.cache)
            session.divisions = divide_dataset(session.plan.divided, store, progress, engine)
            event("divided", method=session.plan.divided.protocol.division, hash=session.divisions.hash)
            sam = str(session.divisions.record.get("sam_model", ""))
            remember_place(config.out, dataset, config, sam)
            yield session, session._releasing(detectors)

    def _release(self, *plugins: Backend | Baseline) -> None:
        """Close models, unless the next bench of a series may ask them, too."""
        for plugin in plugins if self._series is None else ():
            plugin.close()

    def _releasing(self, detectors: deque[Detector[Any]]) -> Iterator[Detector[Any]]:
        """Yield each detector and release its model: the next one may need the memory."""
        while detectors:
            yield detectors[0]
            self._release(detectors.popleft().plugin)
