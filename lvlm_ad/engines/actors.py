"""Copies of a model on a Ray cluster: each call goes to a free copy, and to another one if that copy dies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.backend import Answer, Backend
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, PluginError, RejectedError, TransientError
from lvlm_ad.log import event
from lvlm_ad.plugin_errors import plugin_code

if TYPE_CHECKING:
    from lvlm_ad.backend import Request
    from lvlm_ad.baseline import DenseScores, View

__all__ = [
    "Pool",
    "RemoteBackend",
    "RemoteBaseline",
    "Size",
    "WorkersDiedError",
    "cause_of",
    "check_versions",
    "first_line",
]

_ATTEMPTS = 3
"""A call fails after the death of so many workers, which it may have caused; so does a copy that never starts."""


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
    """Check that the packages on this worker have the versions that the numbers of the run depend on.

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
        self, name: str, make: Callable[[], Any], expected: Mapping[str, str], identity: Mapping[str, Any] | None = None
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
            own, other = self._copy.identity(), self._identity
            different = [name for name in {**own, **other} if own.get(name) != other.get(name)]
            if different:
                raise ConfigError(f"{_machine()} differs from the other machines: identity {', '.join(different)}.")
        return _machine()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the copy. A traceback does not travel, so an error's line is named here."""
        with plugin_code(f"{self._name} raised", missing=FatalError, after=""):
            # Arrays that arrive cannot be written to; some methods write to what is theirs.
            return getattr(self._copy, method)(*deepcopy(arguments))

    def score(self, view: View, references: tuple[Sequence[Any], Sequence[Any]]) -> Any:
        """Score a view, which travels without its references."""
        return self.call("score", replace(view, references=references[0], original_references=references[1]))

    def close(self) -> None:
        """Release what the copy holds."""
        if self._identity is not None:
            self._copy.close()


@dataclass(eq=False)
class _Copy:
    actor: Any
    machine: str
    why_it_died: str = ""


class Pool:
    """Copies of a model on the cluster. They start with the first call: another model may use the GPUs until then.

    One thread for each copy starts it, and starts it again after its death. Ray's own restart (``max_restarts``) does
    not serve here: a call would wait for its dead copy while others are free.

    Args:
        ray: the module.
        arguments: those of ``Worker``.
        size: number of copies, and what each takes.
        slots: calls at the same time for each copy.
        note: called with what the user should know.

    Attributes:
        ray: the module.
        concurrency: calls at the same time for all copies.
        largest: most copies that were ready at the same time.
    """

    def __init__(
        self, ray: Any, arguments: tuple[Any, ...], *, size: Size, slots: int, note: Callable[[str], None]
    ) -> None:
        self.ray, self._name, self._arguments, self._slots, self._note = ray, arguments[0], arguments, slots, note
        self._actor = ray.remote(Worker).options(
            num_gpus=size.num_gpus, num_cpus=size.num_cpus, max_concurrency=slots + 2, scheduling_strategy="SPREAD"
        )
        self._changed = threading.Condition()
        self._keepers = [threading.Thread(target=self._keep_one, daemon=True) for _ in range(size.copies)]
        self._trying = 0
        self._actors: list[Any] = []
        self._ready: list[_Copy] = []
        self._free: list[_Copy] = []
        """A copy stands here once for each free slot."""
        self._error: LvlmAdError | None = None
        self.concurrency, self.largest = size.copies * slots, 0

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of ``Worker`` on whichever copy is free.

        Raises:
            WorkersDiedError: three copies died during this very call.
            LvlmAdError: what the method raised, or why there is no copy.
        """
        with self._changed:
            keepers, self._keepers = self._keepers, []
            self._trying += len(keepers)
        for keeper in keepers:
            keeper.start()
        for _ in range(_ATTEMPTS):
            with self._changed:
                self._changed.wait_for(lambda: self._free or self._error)
                if self._error:
                    raise self._error
                copy = self._free.pop(0)
            why_it_died = ""
            try:
                return self.ray.get(getattr(copy.actor, method).remote(*arguments))
            except self.ray.exceptions.RayTaskError as error:
                raise cause_of(error, self._name) from None
            except self.ray.exceptions.RayError as error:
                why_it_died = first_line(error)
            finally:
                with self._changed:
                    copy.why_it_died = copy.why_it_died or why_it_died
                    if copy.why_it_died:
                        self._free = [one for one in self._free if one is not copy]
                    else:
                        self._free.append(copy)
                    self._changed.notify_all()
        raise WorkersDiedError(f"{self._name}: {_ATTEMPTS} workers died while they worked on it")

    def close(self) -> None:
        """Stop all copies; calls that wait for one fail."""
        with self._changed:
            copies = list(self._ready)
            self._end(FatalError(f"{self._name} was closed."))
        if copies:
            self.ray.wait([copy.actor.close.remote() for copy in copies], num_returns=len(copies), timeout=10)
        for actor in self._actors:
            self.ray.kill(actor)

    def _end(self, error: LvlmAdError) -> None:
        """Let all calls that wait for a copy fail, and start no more copies."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _keep_one(self) -> None:
        """Start a copy, and again whenever it has died; what it raises ends all calls."""
        failures, why = 0, ""
        while failures < _ATTEMPTS:
            with self._changed:
                if self._error:
                    return
                actor = self._actor.remote(*self._arguments)
                self._actors.append(actor)
            try:
                copy = _Copy(actor, self.ray.get(actor.start.remote()))
            except self.ray.exceptions.RayTaskError as error:
                self._end(cause_of(error, self._name))
                return
            except Exception as error:  # noqa: BLE001 - Ray raises many types, and a call may wait for this copy
                failures, why = failures + 1, f"A worker of {self._name} died before it was ready: {first_line(error)}"
                continue
            failures = 0
            event("worker", model=self._name, machine=copy.machine)
            with self._changed:
                self._ready.append(copy)
                self.largest = max(self.largest, len(self._ready))
                self._free += [copy] * self._slots
                self._changed.notify_all()
                while not (copy.why_it_died or self._error):
                    self._changed.wait()
                self._ready.remove(copy)
            if copy.why_it_died:
                event("worker lost", model=self._name, machine=copy.machine, message=copy.why_it_died)
                self._note(f"A worker of {self._name} on {copy.machine} died; its questions are asked elsewhere.")
                self.ray.kill(actor)
        with self._changed:
            self._trying -= 1
            others = self._trying > 0
        if others:
            self._note(why)
        else:
            self._end(FatalError(why))


def cause_of(error: Any, name: str) -> LvlmAdError:
    """Return what a worker raised, as an error of lvlm-ad."""
    if isinstance(error.cause, LvlmAdError):
        return error.cause
    return PluginError(f"{name} cannot run on a worker: {str(error).strip().splitlines()[-1]}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error of Ray, which goes on for many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class _Remote:
    """What a backend and a baseline on a cluster have in common; ``description`` is what a worker reported."""

    def __init__(self, implementation: type, pool: Pool, description: Mapping[str, Any]) -> None:
        for name, value in description["attributes"].items():
            setattr(self, name, value)
        self.Options: Any = type(description["attributes"]["options"])
        self._implementation, self._pool, self._description = implementation, pool, description
        self._lock = threading.Lock()

    @property
    def implementation(self) -> type:
        """The class of the copies."""
        return self._implementation

    def identity(self) -> dict[str, Any]:
        """Return the identity of the copies."""
        identity: dict[str, Any] = self._description["identity"]
        return identity

    def environment(self) -> dict[str, str]:
        """Return the environment and versions of the copies, and how many worked at the same time."""
        own = {"engine": f"ray {self._pool.ray.__version__}", "workers": str(self._pool.largest)}
        return {**self._description["versions"], **self._description["environment"], **own}

    def close(self) -> None:
        """Stop the copies."""
        self._pool.close()


class RemoteBackend(_Remote, Backend):
    """A backend whose copies answer on a cluster."""

    def answer(self, request: Request) -> Answer:
        """Have a question answered by a free copy.

        Raises:
            RejectedError: three workers died of it.
            BackendError: as the backend itself raises.
        """
        try:
            answer: Answer = self._pool.call("call", "answer", request)
        except WorkersDiedError as error:
            raise RejectedError(str(error), shared=True) from error
        except PluginError as error:
            raise TransientError(str(error)) from error
        return answer


class RemoteBaseline(_Remote, Baseline):
    """A baseline whose copies score on a cluster."""

    _sent: tuple[Any, Any] = (None, None)

    def score(self, view: View) -> DenseScores:
        """Have a sample scored by a free copy.

        Raises:
            PluginError: three workers died of it, or the baseline raised something.
        """
        with self._lock:
            # The samples of a category share the same references, which are sent once.
            if view.references is not self._sent[0]:
                self._sent = (view.references, self._pool.ray.put((view.references, view.original_references)))
            references = self._sent[1]
        bare = replace(view, references=(), original_references=())
        try:
            scores: DenseScores = self._pool.call("score", bare, references)
        except WorkersDiedError as error:
            raise PluginError(str(error)) from error
        return scores

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:
        """Have a copy compute the image scores of a category."""
        scores: Sequence[float] = self._pool.call("call", "finalize_category", parts)
        return scores
