"""All on this machine: images are cut in a process for each processor, models run in this process."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from lvlm_ad.engines.cutting import cut
from lvlm_ad.plugins import build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.datasets import Sample
    from lvlm_ad.engines.cutting import Cutting
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import StoredDivision

__all__ = ["LocalEngine"]

_WORTH_PROCESSES = 4
"""Below so many images, starting processes takes longer than dividing."""

_AHEAD = 16
"""Images under way for each process."""


_LOOKS = 1.0
"""Seconds between a worker's looks at whether its parent lives."""


class LocalEngine:
    """This machine; see ``Engine``."""

    def divide(
        self, samples: Sequence[Sample], cutting: Cutting, done: Callable[[Sample], bool]
    ) -> Iterator[tuple[Sample, StoredDivision | str | None]]:
        """Cut images, in parallel where the method allows it and there are enough of them."""
        if cutting.in_one_process or len(samples) < _WORTH_PROCESSES:
            for sample in samples:
                yield sample, None if done(sample) else cutting.cut(sample)
            return
        # loky's processes need no `if __name__ == "__main__"` in a caller's script.
        from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415 - where images are divided

        # One thread each: there are as many processes as processors.
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        workers = min(len(samples), os.cpu_count() or 1)
        processes = ProcessPoolExecutor(
            max_workers=workers, env=single, initializer=_end_with_parent, initargs=(os.getpid(),)
        )
        try:
            # A result is a compressed image: no more are under way than keep the processes busy.
            ahead: deque[tuple[Sample, Future[StoredDivision | str]]] = deque()
            for sample in samples:
                ahead.append((sample, processes.submit(cut, sample, cutting.method, cutting.options, cutting.side)))
                if len(ahead) > _AHEAD * workers:
                    yield _first(ahead)
            while ahead:
                yield _first(ahead)
        finally:
            # They would be kept for later; a bench divides once and may then wait for answers for hours.
            processes.shutdown(wait=True, kill_workers=True)

    def placed(self, model: Model) -> Backend | Baseline:
        """Build a model in this process."""
        plugin: Backend | Baseline = build(model)
        return plugin


def _end_with_parent(parent: int) -> None:
    """Have this process end with the one that started it: killed, that one cannot see to it, and loky never does."""

    def watch() -> None:
        # An orphan gets another parent, but for Windows, where this ends nothing.
        while os.getppid() == parent:
            time.sleep(_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch the parent").start()


def _first(ahead: deque[tuple[Sample, Future[StoredDivision | str]]]) -> tuple[Sample, StoredDivision | str]:
    sample, future = ahead.popleft()
    return sample, future.result()
