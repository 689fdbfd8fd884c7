"""Models on a Ray cluster: what runs on a worker, the pool of a model's copies, and their proxies in this process."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Answer, Backend
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import ConfigError, FatalError, ImageError, LvlmAdError, PluginError, RejectedError, TransientError
from lvlm_ad.log import event
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.plugins import build
from lvlm_ad.versions import versions

if TYPE_CHECKING:
    from lvlm_ad.backend import Request
    from lvlm_ad.baseline import DenseScores, View
    from lvlm_ad.engines.engine import Task
    from lvlm_ad.plugins import Model

__all__ = [
    "Description",
    "Pool",
    "RemoteBackend",
    "RemoteBaseline",
    "Size",
    "WorkersDiedError",
    "cause_of",
    "describe",
    "first_line",
    "run_task",
]

_ATTEMPTS = 3
"""A call during which so many workers die is given up: it may be what kills them. So is a copy that never starts."""
_NOTICE = 30.0
"""Seconds after which the user is told what a copy may be waiting for."""
_MEASURE = ("lvlm-ad", "numpy", "pillow", "scikit-image", "scipy")
"""Packages that decide numbers both here and on workers."""


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


@dataclass(frozen=True)
class Description:
    """A model as it is on a worker.

    Attributes:
        identity: see ``Backend.identity``; all copies must have the same.
        versions: installed versions there; all copies must have the same.
        environment: see ``Backend.environment``.
        attributes: values of the contract's attributes, such as ``capabilities``.
    """

    identity: dict[str, Any]
    versions: dict[str, str]
    environment: dict[str, str]
    attributes: dict[str, Any]


def run_task(task: Task, loaded: Any, expected: Mapping[str, str]) -> Any:
    """Do a task on a worker; see ``Engine.map``."""
    _check_versions(expected)
    try:
        return task.run(loaded)
    except ImageError as error:
        return error


def describe(model: Model, expected: Mapping[str, str]) -> Description:
    """Build a model on a worker, describe it and release it."""
    _check_versions(expected)
    plugin = build(model)
    try:
        return _description(plugin)
    finally:
        plugin.close()


def _description(plugin: Backend | Baseline) -> Description:
    contract = Baseline if isinstance(plugin, Baseline) else Backend
    names = [name for name in (*dir(contract), "options") if not name.startswith("_")]
    values = {name: getattr(plugin, name) for name in names}
    attributes = {name: value for name, value in values.items() if not callable(value)}
    computing = {name: version for name, version in versions().items() if name != "platform"}
    return Description(plugin.identity(), computing, plugin.environment(), attributes)


def _check_versions(expected: Mapping[str, str]) -> None:
    here = versions()
    for name in _MEASURE:
        if here.get(name) != expected.get(name):
            raise ConfigError(f"{_machine()} has {name} {here.get(name)}, not {expected.get(name)}; install the same.")


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
        description: what the model must be; None: it is a task.
    """

    def __init__(
        self, name: str, make: Callable[[], Any], expected: Mapping[str, str], description: Description | None
    ) -> None:
        self._name, self._make, self._expected, self._description = name, make, expected, description
        self._copy: Any = None

    def start(self) -> str:
        """Make the copy and return the machine's name.

        Raises:
            ConfigError: versions or weights differ from those of the other machines.
        """
        _check_versions(self._expected)
        self._copy = self._make()
        if self._description is not None:
            own = _description(self._copy)
            for what in ("identity", "versions"):
                here, there = getattr(own, what), getattr(self._description, what)
                for name in sorted({*here, *there}):
                    if here.get(name) != there.get(name):
                        raise ConfigError(
                            f"{_machine()} differs from the other machines: {what} {name} is {here.get(name)!r:.80}, "
                            f"not {there.get(name)!r:.80}"
                        )
        return _machine()

    def run(self, loaded: Any) -> Any:
        """Do the task."""
        return self._copy.run(loaded)

    def answer(self, request: Request) -> Any:
        """Ask the backend."""
        with self._messages():
            return self._copy.answer(request)

    def score(self, view: View, references: tuple[Sequence[Any], Sequence[Any]]) -> DenseScores:
        """Have the baseline score a view, which travels without its references."""
        # Arrays that arrive cannot be written to; some methods write to their own view.
        whole = replace(deepcopy(view), references=references[0], original_references=references[1])
        with self._messages():
            scores: DenseScores = self._copy.score(whole)
        return scores

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:
        """Have the baseline compute the image scores of a category."""
        with self._messages():
            scores: Sequence[float] = self._copy.finalize_category(parts)
        return scores

    def close(self) -> None:
        """Release what the copy holds."""
        if self._copy is not None and self._description is not None:
            self._copy.close()

    def _messages(self) -> Any:
        """Name the line of an error here: a traceback does not travel."""
        module = self._copy.implementation.__module__
        return plugin_code(f"{self._name} raised", module=module, missing=FatalError, whole_path=False, after="")


@dataclass(eq=False)
class _Copy:
    actor: Any
    machine: str = ""
    lost: bool = False


class Pool:
    """Copies of a model on the cluster. Each call goes to a free copy, and to another if that one dies.

    A copy that dies, with its process or its machine, is replaced where there is room; the others work on.

    Args:
        ray: the module.
        name: the model's name, for messages.
        make: makes a copy, on a worker.
        size: number of copies, and what each takes.
        slots: calls at the same time for each copy.
        note: called with what the user should know.
        description: what each copy must be; None: any.

    Attributes:
        largest: most copies that were there at the same time.
    """

    def __init__(
        self,
        ray: Any,
        name: str,
        make: Callable[[], Any],
        size: Size,
        slots: int,
        note: Callable[[str], None],
        description: Description | None = None,
    ) -> None:
        self._ray, self._name, self._size, self._slots, self._note = ray, name, size, slots, note
        self._arguments = (name, make, versions(), description)
        self._actor = ray.remote(Worker).options(
            num_gpus=size.num_gpus, num_cpus=size.num_cpus, max_concurrency=slots + 2, scheduling_strategy="SPREAD"
        )
        # A copy is in the queue once for each free slot; an error ends all calls.
        self._free: queue.SimpleQueue[_Copy | LvlmAdError] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._copies: list[_Copy] = []
        self._starting = size.copies
        self._closed = False
        self.largest = 0
        for _ in range(size.copies):
            threading.Thread(target=self._start, daemon=True, name=f"start {name}").start()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of ``Worker``.

        Raises:
            WorkersDiedError: three copies died during this very call.
            LvlmAdError: what the method raised, or why there is no copy.
        """
        for _ in range(_ATTEMPTS):
            copy = self._take()
            try:
                result = self._ray.get(getattr(copy.actor, method).remote(*arguments))
            except self._ray.exceptions.RayTaskError as error:
                self._free.put(copy)
                raise cause_of(error, self._name) from None
            except self._ray.exceptions.RayError as error:
                self._replace(copy, first_line(error))
            else:
                self._free.put(copy)
                return result
        raise WorkersDiedError(f"{self._name}: {_ATTEMPTS} workers died while they worked on it")

    def close(self) -> None:
        """Stop all copies; calls that wait for one fail."""
        with self._lock:
            self._closed = True
            copies, self._copies = self._copies, []
        self._free.put(FatalError(f"{self._name} was closed."))
        closing = [copy.actor.close.remote() for copy in copies if copy.machine and not copy.lost]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=10)
        for copy in copies:
            self._ray.kill(copy.actor)

    def _take(self) -> _Copy:
        while True:
            copy = self._free.get()
            if isinstance(copy, LvlmAdError):
                self._free.put(copy)
                raise copy
            if not copy.lost:
                return copy

    def _start(self) -> None:
        """Start a copy and wait until it is ready."""
        problem: LvlmAdError = WorkersDiedError(f"{_ATTEMPTS} workers died before they were ready")
        for _ in range(_ATTEMPTS):
            try:
                copy = _Copy(self._actor.remote(*self._arguments))
                with self._lock:
                    self._copies.append(copy)
                copy.machine = self._ready(copy.actor.start.remote())
            except self._ray.exceptions.RayTaskError as error:
                problem = cause_of(error, self._name)
                break
            except Exception as error:  # noqa: BLE001 - whoever waits for this copy must be told
                problem = WorkersDiedError(f"a worker died before it was ready: {first_line(error)}")
            else:
                with self._lock:
                    self._starting -= 1
                    self.largest = max(self.largest, sum(bool(one.machine) and not one.lost for one in self._copies))
                event("worker", model=self._name, machine=copy.machine)
                for _ in range(self._slots):
                    self._free.put(copy)
                return
        with self._lock:
            self._starting -= 1
            none_left = not self._starting and not any(one.machine and not one.lost for one in self._copies)
            closed = self._closed
        if closed:
            return
        self._note(f"A worker of {self._name} takes no part: {problem}")
        if none_left:
            self._free.put(problem if isinstance(problem, ConfigError) else FatalError(f"{self._name}: {problem}"))

    def _ready(self, reference: Any) -> str:
        if not self._ray.wait([reference], timeout=_NOTICE)[0]:
            self._note(
                f"{self._name}: a worker is not ready after {_NOTICE:.0f} s. It loads its model, or waits for "
                f"{self._size.num_gpus:g} GPUs and {self._size.num_cpus:g} processors of the cluster."
            )
        machine: str = self._ray.get(reference)
        return machine

    def _replace(self, copy: _Copy, why: str) -> None:
        with self._lock:
            if copy.lost or self._closed:
                return
            copy.lost = True
            self._starting += 1
        event("worker lost", model=self._name, machine=copy.machine, message=why)
        self._note(f"A worker of {self._name} on {copy.machine} died; its questions are asked elsewhere.")
        self._ray.kill(copy.actor)
        threading.Thread(target=self._start, daemon=True, name=f"start {self._name}").start()


def cause_of(error: Any, name: str) -> LvlmAdError:
    """Return what a worker raised, as an error of lvlm-ad."""
    if isinstance(error.cause, LvlmAdError):
        return error.cause
    return PluginError(f"{name} cannot run on a worker: {str(error).strip().splitlines()[-1]}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error; Ray's go on for many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class _Remote:
    """What a backend and a baseline on a cluster have in common.

    Args:
        ray: the module.
        model: the model.
        description: what it is on the workers.
        size: number of copies, and what each takes.
        concurrency: calls at the same time for each copy of a model that has no limit of its own.
        note: called with what the user should know.
    """

    def __init__(
        self,
        ray: Any,
        model: Model,
        description: Description,
        size: Size,
        concurrency: int,
        note: Callable[[str], None],
    ) -> None:
        for name, value in description.attributes.items():
            setattr(self, name, value)
        self._ray, self._model, self._description, self._size, self._note = ray, model, description, size, note
        self._slots = self._limit() or concurrency
        self._lock = threading.Lock()
        self._own_pool: Pool | None = None

    def _limit(self) -> int | None:
        raise NotImplementedError

    @property
    def _pool(self) -> Pool:
        """The copies; they start with the first call, since another model may use the GPUs until then."""
        with self._lock:
            if self._own_pool is None:
                make = _Build(self._model)
                name = self._model.preset.name
                self._own_pool = Pool(self._ray, name, make, self._size, self._slots, self._note, self._description)
            return self._own_pool

    @property
    def implementation(self) -> type:
        """The class of the copies."""
        return self._model.plugin.cls

    def identity(self) -> dict[str, Any]:
        """Return the identity of the copies."""
        return self._description.identity

    def environment(self) -> dict[str, str]:
        """Return the environment of the copies, their versions, and how many worked at the same time."""
        pool = self._own_pool
        engine = {"engine": f"ray {self._ray.__version__}", "workers": str(pool.largest if pool else 0)}
        return {**self._description.versions, **self._description.environment, **engine}

    def close(self) -> None:
        """Stop the copies."""
        if self._own_pool is not None:
            self._own_pool.close()


@dataclass(frozen=True)
class _Build:
    model: Model

    def __call__(self) -> Any:
        return build(self.model)


class RemoteBackend(_Remote, Backend):
    """A backend whose copies answer on a cluster."""

    def _limit(self) -> int | None:
        return self.capabilities.concurrency

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.capabilities = replace(self.capabilities, concurrency=self._size.copies * self._slots)

    def answer(self, request: Request) -> Answer:
        """Have a question answered by a free copy.

        Raises:
            RejectedError: three workers died of it.
            BackendError: as the backend itself raises.
        """
        try:
            answer: Answer = self._pool.call("answer", request)
        except WorkersDiedError as error:
            raise RejectedError(str(error), peculiar=True) from error
        except PluginError as error:
            raise TransientError(str(error)) from error
        return answer


class RemoteBaseline(_Remote, Baseline):
    """A baseline whose copies score on a cluster."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.concurrency = self._size.copies * self._slots
        self._references: tuple[Any, Any] = (None, None)

    def _limit(self) -> int | None:
        return self.concurrency

    def score(self, view: View) -> DenseScores:
        """Have a sample scored by a free copy.

        Raises:
            PluginError: three workers died of it, or the baseline raised something.
        """
        bare = replace(view, references=(), original_references=())
        try:
            scores: DenseScores = deepcopy(self._pool.call("score", bare, self._sent(view)))
        except WorkersDiedError as error:
            raise PluginError(str(error)) from error
        return scores

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:
        """Have a copy compute the image scores of a category."""
        scores: Sequence[float] = self._pool.call("finalize_category", parts)
        return scores

    def _sent(self, view: View) -> Any:
        """Put the references of a category into Ray's object store once; its samples share the same objects."""
        with self._lock:
            if view.references is not self._references[0]:
                reference = self._ray.put((view.references, view.original_references))
                self._references = (view.references, reference)
            return self._references[1]
