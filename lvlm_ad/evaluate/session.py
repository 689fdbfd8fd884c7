"""One bench in progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from lvlm_ad.engines import make_engine
from lvlm_ad.evaluate.baseline_detector import BaselineDetector
from lvlm_ad.evaluate.chat_detector import ChatDetector
from lvlm_ad.evaluate.places import remember_place
from lvlm_ad.evaluate.workspace import Workspace
from lvlm_ad.log import event
from lvlm_ad.versions import versions

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detector import Detector
    from lvlm_ad.plugins import Model
    from lvlm_ad.progress import Progress

__all__ = ["Session"]


class Session(Workspace):
    """One bench in progress: the workspace, and the detectors that backends and baselines make from it."""

    def detector(self, model: Model) -> Detector:
        """Build a model and have it make its detector.

        Raises:
            ConfigError: an option, the prompt or the scoring does not fit the model.
            PluginError: it cannot be built.
        """
        plugin = self.engine.place(model)
        try:
            detector: Detector = plugin.make_detector(self, model)
        except BaseException:
            plugin.close()
            raise
        return detector

    def chat_detector(self, backend: Backend, model: Model) -> Detector:
        """Make the detector of a chat model; its backend calls this."""
        return ChatDetector(self, model, backend)

    def baseline_detector(self, baseline: Baseline, model: Model) -> Detector:
        """Make the detector of a baseline; the baseline calls this."""
        return BaselineDetector(self, model, baseline)

    @classmethod
    @contextmanager
    def started(cls, plan: Plan, progress: Progress) -> Iterator[tuple[Session, Iterator[Detector]]]:
        """Build every model, open the output folder and divide the images, in this order.

        So a mistake in a model or its questions is reported before anything is divided or paid.

        Yields:
            The session and its detectors; each is closed when the next one is taken.

        Raises:
            LvlmAdError: as ``bench`` raises.
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
            detectors: deque[Detector] = deque()
            stack.callback(lambda: [detector.plugin.close() for detector in detectors])
            detectors.extend(session.detector(model) for model in plan.models)
            session.open_stores(stack)
            event(
                "bench",
                models=[detector.model.preset.name for detector in detectors],
                dataset=session.plan.dataset.name,
                fingerprint=session.plan.dataset.fingerprint,
                images=len(session.plan.dataset),
                versions=versions(),
            )
            session.divide()
            event("divided", method=plan.protocol.division, hash=session.divisions.hash)
            sam = str(session.divisions.record.get("sam_model", ""))
            remember_place(config.out, session.plan.dataset, config.mask_threshold, sam)
            yield session, _closing(detectors)


def _closing(detectors: deque[Detector]) -> Iterator[Detector]:
    """Yield each detector and close its model: the next one may need the memory."""
    while detectors:
        yield detectors[0]
        detectors.popleft().plugin.close()
