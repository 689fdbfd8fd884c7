"""Copies of a model on a Ray cluster: each call goes to a free copy, and to another one if that copy dies."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, PluginError
from lvlm_ad.log import event
from lvlm_ad.plugin_errors import plugin_code

if TYPE_CHECKING:
    from lvlm_ad.baseline import DenseScores, View

__all__ = ["Pool", "Size", "WorkersDiedError", "cause_of", "check_versions", "first_line"]

_ATTEMPTS = 3
"""A call during which so many workers die is given up: it may be what kills them. So is a copy that never starts."""


class WorkersDiedError(LvlmAdError):
    """The workers that took a call died, one after the other."""


@dataclass(frozen=True)
class Size:
    """Size of a pool.

    Attributes:
        copies: number of copies.
        num_gpus: GPUs for each.
        num_cpus: processors for each.
    """

    copies: int
    num_gpus: float
    num_cpus: float


def check_versions(expected: Mapping[str, str]) -> None:
    """Compare versions of packages on this worker with those that the numbers of the run depend on.

    Raises:
        ConfigError: one differs.
    """
    here = versions()
    for name, version in expected.items():
        if here.get(name) != version:
            raise ConfigError(f"{_machine()} has {name} {here.get(name)}, not {version}; install the same.")


def _machine() -> str:
    import ray  # noqa: PLC0415 - workers have it

    context: Any = ray.get_runtime_context()
    return f"{socket.gethostname()} (node {context.get_node_id()[:8]})"


class Worker:
    """A copy of a model, or of a task that holds one, in a process of the cluster. Ray makes an actor of it.

    Args:
        name: the model's name, for messages.
        make: makes the model or the task.
        expected: versions that this worker must have.
        identity: the identity that the model must have; None: it is a task.
    """

    def __init__(
        self, name: str, make: Callable[[], Any], expected: Mapping[str, str], identity: Mapping[str, Any] | None
    ) -> None:
        self._name, self._make, self._expected, self._identity = name, make, expected, identity
        self._copy: Any = None

    def start(self) -> str:
        """Make the copy and return the machine's name.

        Raises:
            ConfigError: versions or weights differ from those of other machines.
        """
        check_versions(self._expected)
        self._copy = self._make()
        if self._identity is not None:
            own = self._copy.identity()
            for name in {**own, **self._identity}:
                here, there = own.get(name), self._identity.get(name)
                if here != there:
                    differs = f"{_machine()} differs from the other machines"
                    raise ConfigError(f"{differs}: identity {name} is {here!r:.80}, not {there!r:.80}")
        return _machine()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the copy. A traceback does not travel, so an error's line is named here."""
        module = getattr(self._copy, "implementation", type(self._copy)).__module__
        with plugin_code(f"{self._name} raised", module=module, missing=FatalError, whole_path=False, after=""):
            # Arrays that arrive cannot be written to; some methods write to what is theirs.
            return getattr(self._copy, method)(*deepcopy(arguments))

    def score(self, view: View, references: tuple[Sequence[Any], Sequence[Any]]) -> DenseScores:
        """Score a view, which travels without its references."""
        whole = replace(view, references=references[0], original_references=references[1])
        scores: DenseScores = self.call("score", whole)
        return scores

    def close(self) -> None:
        """Release what the copy holds."""
        if self._identity is not None and self._copy is not None:
            self._copy.close()


@dataclass(eq=False)
class _Copy:
    actor: Any
    machine: str = ""
    lost: bool = False


class Pool:
    """Copies of a model on the cluster. They start with the first call: another model may use the GPUs until then.

    A copy that dies, with its process or its machine, is replaced where there is room; the others work on.

    Args:
        ray: the module.
        name: the model's name, for messages.
        make: makes a copy, on a worker.
        size: number of copies, and what each takes.
        slots: calls at the same time for each copy.
        expected: see ``Worker``.
        note: called with what the user should know.
        identity: see ``Worker``.

    Attributes:
        concurrency: calls at the same time for all copies.
        largest: most copies that were ready at the same time.
    """

    def __init__(
        self,
        ray: Any,
        name: str,
        make: Callable[[], Any],
        size: Size,
        slots: int,
        expected: Mapping[str, str],
        note: Callable[[str], None],
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self._ray, self._name, self._slots, self._note = ray, name, slots, note
        self._arguments = (name, make, expected, identity)
        self._actor = ray.remote(Worker).options(
            num_gpus=size.num_gpus, num_cpus=size.num_cpus, max_concurrency=slots + 2, scheduling_strategy="SPREAD"
        )
        # A copy is in the queue once for each free slot. An error in it ends all calls.
        self._free: queue.SimpleQueue[_Copy | LvlmAdError] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._copies: list[_Copy] = []
        self._actors: list[Any] = []
        self._to_start, self._starting, self._closed = size.copies, 0, False
        self.concurrency, self.largest = size.copies * slots, 0

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of a copy, whichever is free.

        Raises:
            WorkersDiedError: three copies died during this very call.
            LvlmAdError: what the method raised, or why there is no copy.
        """
        self._start_copies()
        for _ in range(_ATTEMPTS):
            copy = self._take()
            own = (copy.actor.score,) if method == "score" else (copy.actor.call, method)
            try:
                result = self._ray.get(own[0].remote(*own[1:], *arguments))
            except self._ray.exceptions.RayTaskError as error:
                self._free.put(copy)
                raise cause_of(error, self._name) from None
            except self._ray.exceptions.RayError as error:
                self._lose(copy, first_line(error))
            else:
                self._free.put(copy)
                return result
        raise WorkersDiedError(f"{self._name}: {_ATTEMPTS} workers died while they worked on it")

    def put(self, value: Any) -> Any:
        """Put a value that many calls take into Ray's object store, and return its reference."""
        return self._ray.put(value)

    def close(self) -> None:
        """Stop all copies; calls that wait for one fail."""
        with self._lock:
            self._closed = True
            copies, self._copies, self._to_start = self._copies, [], 0
            self._free.put(FatalError(f"{self._name} was closed."))
        closing = [copy.actor.close.remote() for copy in copies if copy.machine and not copy.lost]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=10)
        for actor in self._actors:
            self._ray.kill(actor)

    def _start_copies(self) -> None:
        with self._lock:
            count, self._to_start = self._to_start, 0
            self._starting += count
        for _ in range(count):
            threading.Thread(target=self._start, daemon=True, name=f"start {self._name}").start()

    def _start(self) -> None:
        """Start a copy and wait until it is ready."""
        problem: LvlmAdError = WorkersDiedError(f"{_ATTEMPTS} workers died before they were ready")
        copy = _Copy(None)
        for _ in range(_ATTEMPTS):
            try:
                with self._lock:
                    if self._closed:
                        return
                    copy.actor = self._actor.remote(*self._arguments)
                    self._actors.append(copy.actor)
                copy.machine = self._ray.get(copy.actor.start.remote())
                break
            except self._ray.exceptions.RayTaskError as error:
                problem = cause_of(error, self._name)
                break
            except Exception as error:  # noqa: BLE001 - Ray raises many types, and a call may wait for this copy
                problem = WorkersDiedError(f"a worker died before it was ready: {first_line(error)}")
        with self._lock:
            if self._closed:
                return
            self._starting -= 1
            if copy.machine:
                self._copies.append(copy)
            ready = sum(not one.lost for one in self._copies)
            self.largest = max(self.largest, ready)
            if not ready and not self._starting:
                self._free.put(problem if isinstance(problem, ConfigError) else FatalError(f"{self._name}: {problem}"))
        if copy.machine:
            event("worker", model=self._name, machine=copy.machine)
            for _ in range(self._slots):
                self._free.put(copy)
        else:
            self._note(f"A worker of {self._name} takes no part: {problem}")

    def _take(self) -> _Copy:
        while True:
            copy = self._free.get()
            if isinstance(copy, LvlmAdError):
                self._free.put(copy)
                raise copy
            if not copy.lost:
                return copy

    def _lose(self, copy: _Copy, why: str) -> None:
        """Replace a copy that died, once."""
        with self._lock:
            if copy.lost or copy not in self._copies:
                return
            copy.lost = True
            self._to_start += 1
        event("worker lost", model=self._name, machine=copy.machine, message=why)
        self._note(f"A worker of {self._name} on {copy.machine} died; its questions are asked elsewhere.")
        self._ray.kill(copy.actor)
        self._start_copies()


def cause_of(error: Any, name: str) -> LvlmAdError:
    """Return what a worker raised, as an error of lvlm-ad."""
    if isinstance(error.cause, LvlmAdError):
        return error.cause
    return PluginError(f"{name} cannot run on a worker: {str(error).strip().splitlines()[-1]}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error of Ray, which goes on for many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
