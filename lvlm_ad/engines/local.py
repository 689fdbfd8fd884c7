"""Work on this machine: tasks run in one process per processor, models in this process."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from lvlm_ad.engines.engine import in_order
from lvlm_ad.errors import ImageError, LvlmAdError
from lvlm_ad.plugins import build

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.engines.engine import Task
    from lvlm_ad.plugins import Model

__all__ = ["LocalEngine"]

T = TypeVar("T")

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""There are as many processes as processors."""
_WORKER = "import sys; sys.path[:] = sys.argv[1:]; from lvlm_ad.engines.local import serve; serve()"


class LocalEngine:
    """The engine of this machine; see ``Engine``.

    Args:
        seconds_here: work begins in this process and moves to several after so many seconds: starting them takes longer
            than little work.
    """

    def __init__(self, seconds_here: float = 0.5) -> None:
        self._seconds_here = seconds_here

    def map(self, task: Task, items: Iterable[T], *, holds_model: bool = False) -> Iterator[tuple[T, Any]]:
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
        try:
            yield from in_order(processes.call, rest, os.cpu_count() or 1, stop=processes.kill)
        finally:
            processes.close()

    def place(self, model: Model) -> Backend | Baseline:
        """Build a model in this process."""
        plugin: Backend | Baseline = build(model)
        return plugin

    def close(self) -> None:
        """Nothing is held between calls."""


class _Processes:
    """One worker process for each thread that calls; the two exchange pickles through pipes.

    ``multiprocessing`` would run the caller's script again in each process unless the script guards against it, and
    its processes outlive a parent that is killed. These end when their pipe does.
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
        process: subprocess.Popen[bytes] = getattr(self._own, "process", None) or self._start()
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101 - likewise
        try:
            pickle.dump((self._task, item), process.stdin)
            process.stdin.flush()
            result = pickle.load(process.stdout)  # nosec B301 # noqa: S301 - from our own process
        except (EOFError, OSError) as error:
            raise LvlmAdError(
                f"A worker process ended with status {process.wait()}, perhaps for lack of memory; run it again."
            ) from error
        if isinstance(result, _Raised):
            raise result.error
        return result

    def kill(self) -> None:
        """End the processes; calls under way fail."""
        with self._lock:
            self._killed = True
            for process in self._all:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Close the pipes, when no thread uses them."""
        for process in self._all:
            for pipe in (process.stdin, process.stdout):
                # What is left in a pipe to a process that has ended cannot be written.
                with suppress(BrokenPipeError):
                    assert pipe is not None  # noqa: S101 - both are pipes
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise LvlmAdError("The worker processes have ended.")
            self._own.process = process = subprocess.Popen(  # noqa: S603 - this Python, our own module
                [sys.executable, "-c", _WORKER, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_ONE_THREAD},
                # Ctrl-C reaches only this process, which then ends the workers.
                start_new_session=True,
            )
            self._all.append(process)
        return process


class _Raised:
    """An exception on its way from a worker process."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def serve() -> None:
    """Do tasks from stdin until it ends, and write the results to stdout; the main loop of a worker process."""
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What a library prints must not get between the results.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            task, item = pickle.load(requests)  # nosec B301 # noqa: S301 - from our own process
        except (EOFError, pickle.UnpicklingError):
            return
        try:
            result = _done(task, item)
        except Exception as error:  # noqa: BLE001 - raised again in the process that asked
            result = _Raised(error)
        try:
            pickle.dump(result, replies)
            replies.flush()
        except BrokenPipeError:
            # The process that asked is gone.
            os._exit(1)


def _done(task: Task, item: Any) -> Any:
    """Return the result of a task for an item, or the error of a file that cannot be used."""
    try:
        return task.run(task.load(item))
    except ImageError as error:
        return error
