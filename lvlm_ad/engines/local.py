"""What an engine does, and the engine of this machine: tasks in one process per processor, models in this process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lvlm_ad.children import python_command
from lvlm_ad.errors import ImageError, LvlmAdError
from lvlm_ad.plugins import build

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.plugins import Model

__all__ = ["Engine", "LocalEngine", "Task", "in_order"]

T = TypeVar("T")
R = TypeVar("R")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""There are as many processes as processors."""
_WORKER = "from lvlm_ad.engines.local import serve; serve()"


class Task(Protocol):
    """Work that an engine does for many items. It travels to other processes by pickle."""

    def load(self, item: Any) -> Any:
        """Read what ``run`` needs, where the item's files are.

        Raises:
            ImageError: a file cannot be used; ``Engine.map`` gives the error in place of a result.
        """

    def run(self, loaded: Any) -> Any:
        """Do the work; it reads no files of the item, so any machine can do it."""


class Engine(Protocol):
    """Where work is done. An engine writes no files: whoever asked stores the results."""

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
        seconds_here: work begins in this process and moves to several after so many seconds: starting them takes longer
            than little work.
    """

    def __init__(self, seconds_here: float = 0.5) -> None:
        self._seconds_here = seconds_here

    def map(self, task: Task, items: Iterable[T], *, holds_model: bool = False) -> Generator[tuple[T, Any], None, None]:
        """Do a task for each item: in several processes, unless there is little to do or the task holds a model."""
        rest, started = iter(items), perf_counter()
        for item in rest:
            if not holds_model and perf_counter() - started >= self._seconds_here:
                rest = chain([item], rest)
                break
            yield item, _done(task, item)
        else:
            return
        processes = _Processes(task)
        with closing(in_order(processes.call, rest, os.cpu_count() or 1, stop=processes.kill)) as results:
            yield from results

    def place(self, model: Model) -> Backend | Baseline:
        """Build a model in this process."""
        plugin: Backend | Baseline = build(model)
        return plugin

    def close(self) -> None:
        """Do nothing: no process outlives ``map``."""


class _Processes:
    """One worker process for each thread that calls; the two exchange pickles through pipes.

    Not ``ProcessPoolExecutor``: it runs the user's script again in each process unless the script has a main guard,
    and its processes outlive a command that is killed. These end when their pipe does.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._own = threading.local()
        self._lock = threading.Lock()
        self._all: list[subprocess.Popen[bytes]] = []
        self._killed = False

    def call(self, item: Any) -> Any:
        """Have the task done by this thread's process.

        Raises:
            LvlmAdError: what the task raised, or that the process ended.
        """
        process: Any = getattr(self._own, "process", None) or self._start()
        try:
            pickle.dump((self._task, item), process.stdin)
            process.stdin.flush()
            result, error = pickle.load(process.stdout)  # nosec B301 # noqa: S301 - from our own process
        except (EOFError, OSError) as lost:
            raise LvlmAdError(
                f"A worker process ended with status {process.wait()}, perhaps for lack of memory; run it again."
            ) from lost
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        """End the processes; calls under way fail."""
        with self._lock:
            self._killed = True
            for process in self._all:
                # What is left in a pipe to a process that has ended cannot be written.
                with suppress(BrokenPipeError), process:
                    process.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise LvlmAdError("The worker processes have ended.")
            self._own.process = process = subprocess.Popen(  # noqa: S603 - this Python, our own module
                python_command(_WORKER),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_ONE_THREAD, "PYTHONSAFEPATH": "1"},
                # Ctrl-C reaches only this process, which then ends the workers.
                start_new_session=True,
            )
            self._all.append(process)
        return process


def serve() -> None:
    """Do tasks from stdin until it ends, and write the results to stdout; the main loop of a worker process."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What a library prints must not get between the results.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # The process that asked may be gone at any time.
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):
        while True:
            task, item = pickle.load(requests)  # nosec B301 # noqa: S301 - from our own process
            reply: tuple[Any, Exception | None]
            try:
                reply = _done(task, item), None
            except Exception as error:  # noqa: BLE001 - raised again in the process that asked
                reply = None, error
            pickle.dump(reply, replies)
            replies.flush()
    os._exit(0)


def _done(task: Task, item: Any) -> Any:
    """Return the result of a task for an item, or the error of a file that cannot be used."""
    try:
        return task.run(task.load(item))
    except ImageError as error:
        return error
