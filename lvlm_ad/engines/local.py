"""What an engine does, and the engine of this machine: tasks in one process per processor, models in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lvlm_ad.plugins import build
from lvlm_ad.tasks import Task, result_of
from lvlm_ad.workers import Workers

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.plugins import Model

__all__ = ["Engine", "LocalEngine", "Task", "in_order"]

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """Where work is done. An engine writes no files: whoever asked stores the results.

    Attributes:
        workers: processes of this machine, which draw pictures.
    """

    workers: Workers

    def map(self, task: Task, items: Iterable[T], *, holds_model: bool = False) -> Generator[tuple[T, Any], None, None]:
        """Do a task for each item, several at a time.

        Args:
            task: what to do.
            items: taken one by one, shortly before their turn.
            holds_model: the task loads a model, so few processes do it and each does many items.

        Yields:
            Each item with its result, or with the ImageError that ``load`` raised; in the order of the items.

        Raises:
            ConfigError: the task cannot be done, for instance because a model is missing.
        """

    def place(self, model: Model) -> Backend | Baseline:
        """Build a model where it will run.

        Raises:
            ConfigError: an option is wrong, or the model cannot run there.
            PluginError: it cannot be built.
        """

    def close(self) -> None:
        """Release what the engine holds."""


def in_order(
    function: Callable[[T], R], items: Iterable[T], threads: int, stop: Callable[[], None] = lambda: None
) -> Generator[tuple[T, R], None, None]:
    """Call a function for each item from several threads, and yield items with results in order.

    At most four results per thread wait for their turn, since each may be large.

    Args:
        function: what to call.
        items: taken one by one.
        threads: number of threads.
        stop: called at the end, also after an error: makes calls under way return.

    Example:
        >>> list(in_order(str.upper, ["a", "b"], threads=2))
        [('a', 'A'), ('b', 'B')]
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) > 4 * threads:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        stop()
        pool.shutdown()


class LocalEngine:
    """The engine of this machine; see ``Engine``.

    Args:
        workers: worker processes, which the caller closes; None: the engine's own, which ``close`` ends.
    """

    def __init__(self, workers: Workers | None = None) -> None:
        self.workers, self._own = workers or Workers(), workers is None

    def map(self, task: Task, items: Iterable[T], *, holds_model: bool = False) -> Generator[tuple[T, Any], None, None]:
        """Do a task for each item: in several processes, unless there is little to do or the task holds a model."""
        rest, group = iter(items), object()
        for item in rest:
            if not (holds_model or self.workers.here):
                rest = chain([item], rest)
                break
            yield item, result_of(task, item) if holds_model else self.workers.call(result_of, task, item)
        else:
            return

        def elsewhere(item: T) -> Any:
            return self.workers.call(result_of, task, item, group=group)

        with closing(in_order(elsewhere, rest, self.workers.most, stop=lambda: self.workers.end(group))) as results:
            yield from results

    def place(self, model: Model) -> Backend | Baseline:
        """Build a model in this process."""
        plugin: Backend | Baseline = build(model)
        return plugin

    def close(self) -> None:
        """End the worker processes, unless the caller passed them."""
        if self._own:
            self.workers.close()
