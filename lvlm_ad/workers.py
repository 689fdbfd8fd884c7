"""Worker processes of this machine: they call functions for any thread, and end with the command."""

from __future__ import annotations

import os
import pickle
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

from lvlm_ad.children import python_command
from lvlm_ad.errors import LvlmAdError

__all__ = ["Workers"]

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""One thread in each process, because there are as many processes as processors."""
_WORKER = "from lvlm_ad.children import serve; serve()"

_ENDED = object()
"""The group of a process that was ended during its call."""

_MOST_EARLY = 8
"""Most processes that start before it is known how much there is to do."""


class Workers:
    """Calls functions in worker processes, at most as many at the same time as there are processors.

    Not ``ProcessPoolExecutor``: it runs the user's script again in each process unless the script has a main guard,
    and its processes outlive a command that is killed. These end when their pipe does.

    Args:
        seconds_here: the first calls are made in this process, until they have taken so many seconds: little work is
            done before a process has started.
        most: calls at the same time; None: one per processor.

    Example:
        >>> workers = Workers(seconds_here=60)
        >>> workers.call(divmod, 7, 2)
        (3, 1)
        >>> workers.close()
    """

    def __init__(self, seconds_here: float = 0.5, most: int | None = None) -> None:
        self.most = most or os.cpu_count() or 1
        self._seconds_here = seconds_here
        # Many more threads than this may ask at once. Only those with a turn hold an image in memory.
        self._room = threading.BoundedSemaphore(self.most)
        self._lock = threading.Lock()
        self._free: list[subprocess.Popen[bytes]] = []
        self._busy: dict[subprocess.Popen[bytes], object] = {}
        self._closed = False

    def start(self, *names: str) -> None:
        """Start processes before the first call, so that they are ready when it comes.

        Args:
            *names: what they import for the calls, such as "skimage.segmentation:slic".
        """
        with self._lock:
            self._seconds_here = 0.0
            self._free += [_new_process(*names) for _ in range(min(self.most, _MOST_EARLY))]

    @property
    def here(self) -> bool:
        """Whether the next call is made in this process."""
        return self._seconds_here > 0

    def call(self, function: Callable[..., Any], *arguments: Any, group: object = None) -> Any:
        """Call a function and return what it returns; waits for its turn.

        Args:
            function: found by its module and name in another process.
            *arguments: travel by pickle, as the result does.
            group: calls that ``end`` ends together.

        Raises:
            LvlmAdError: the process ended.
            Exception: what the function raised.
        """
        with self._room:
            if not self.here:
                return self._call_elsewhere(function, arguments, group)
            started = perf_counter()
            try:
                return function(*arguments)
            finally:
                self._seconds_here -= perf_counter() - started

    def call_here(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function that other processes may not know in this one; waits for its turn like other calls."""
        with self._room:
            return function(*arguments)

    def end(self, group: object) -> None:
        """End the processes that work for a group; its calls under way fail."""
        with self._lock:
            for process, its_group in self._busy.items():
                if its_group is group:
                    process.kill()
                    # It may have replied just now: its call ends well, but it takes no other.
                    self._busy[process] = _ENDED

    def close(self) -> None:
        """End all processes; calls under way fail, and so do later ones that need a process."""
        with self._lock:
            self._closed = True
            processes = [*self._free, *self._busy]
            self._free.clear()
        for process in processes:
            _end(process)

    def _call_elsewhere(self, function: Callable[..., Any], arguments: tuple[Any, ...], group: object) -> Any:
        request = pickle.dumps(pickle.dumps((function, arguments)))
        process: Any = self._take(group)
        try:
            process.stdin.write(request)
            process.stdin.flush()
            result, error = pickle.load(process.stdout)  # nosec B301 # noqa: S301 - from our own process
        except BaseException as lost:
            with self._lock:
                del self._busy[process]
            _end(process)
            if not isinstance(lost, EOFError | OSError):
                raise
            raise LvlmAdError(
                f"A worker process ended with status {process.returncode}, perhaps for lack of memory; run it again."
            ) from lost
        with self._lock:
            is_usable = self._busy.pop(process) is not _ENDED and not self._closed
            if is_usable:
                self._free.append(process)
        if not is_usable:
            _end(process)
        if error is not None:
            raise error
        return result

    def _take(self, group: object) -> subprocess.Popen[bytes]:
        """Take the process that was used last, or start one."""
        with self._lock:
            if self._closed:
                raise LvlmAdError("The worker processes have ended.")
            process = self._free.pop() if self._free else _new_process()
            self._busy[process] = group
        return process


def _new_process(*names: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - this Python, our own module
        python_command(_WORKER, *names),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **_ONE_THREAD, "PYTHONSAFEPATH": "1"},
        # Ctrl-C reaches only this process, which then ends the workers.
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    # Closing its pipe writes what is left in it, which fails if the process has ended.
    with suppress(BrokenPipeError), process:
        process.kill()
