"""Work on a Ray cluster: tasks on its processors, copies of models as actors. Nothing is written there."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from lvlm_ad._version import versions
from lvlm_ad.children import folder_of, protect_children
from lvlm_ad.engines.actors import (
    Pool,
    RemoteBackend,
    RemoteBaseline,
    Size,
    WorkersDiedError,
    cause_of,
    check_versions,
    first_line,
)
from lvlm_ad.engines.local import LocalEngine, in_order
from lvlm_ad.errors import ConfigError, DataError, ImageError
from lvlm_ad.plugins import build
from lvlm_ad.workers import Workers

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.engines.local import Task
    from lvlm_ad.plugins import Model

__all__ = ["RayEngine", "RayOptions", "size_of"]

T = TypeVar("T")

_STORE = 512 << 20
"""Bytes of Ray's object store if this machine alone is the cluster: images under way, and references."""


class RayOptions(BaseModel):
    """How models are spread over a Ray cluster. Each copy of a model is an actor.

    Example:
        >>> RayOptions(num_gpus=0.5).num_gpus
        0.5
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    num_gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """GPUs for each copy of a model; 0.5: two copies share one. None: 1 if the cluster has GPUs, else 0."""
    num_cpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Processors for each copy. None: the share of its GPUs on the machine with the fewest per GPU; without GPUs, all
    of the smallest machine."""
    actors: Annotated[int, Field(ge=1)] | None = None
    """Copies of a model. None: as many as the GPUs allow; without GPUs, one per machine."""


class RayEngine:
    """The engine of a Ray cluster; see ``Engine``.

    Models whose class is ``distributable`` run on the cluster. Others, such as endpoints, are asked from this process.

    Args:
        options: how models are spread.
        address: see ``make_engine``.
        concurrency: questions at the same time for each copy of a model that has no limit of its own.
        note: called with what the user should know.

    Raises:
        ConfigError: ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self, options: RayOptions, *, address: str | None, concurrency: int, note: Callable[[str], None]
    ) -> None:
        try:
            import ray  # noqa: PLC0415 - comes with the extra "ray"
        except ModuleNotFoundError as error:
            raise ConfigError("--engine ray needs ray: pip install 'lvlm-ad[ray]'.") from error
        self._ray: Any = ray
        self.workers = Workers()
        self._options, self._concurrency, self._note = options, concurrency, note
        self._started = not ray.is_initialized()
        if self._started:
            self._connect(address or os.environ.get("RAY_ADDRESS") or "local")

    def _connect(self, address: str) -> None:
        protect_children()
        # No usage statistics are sent unless the user wants it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's coming default; the present one hides GPUs from workers that asked for none, with a warning.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        job = self._ray.job_config.JobConfig()
        # Ray would put the driver's current folder first in the workers' ``sys.path``, except for such a job.
        job._client_job = True  # noqa: SLF001 - there is no public setting
        own: dict[str, Any] = {"object_store_memory": _STORE, "include_dashboard": False} if address == "local" else {}
        host, _, port = address.rpartition(":")
        try:
            if address != "local":
                self._note(f"Connecting to the Ray cluster at {address}.")
            if port.isdigit() and "//" not in host:
                # Ray itself would try for minutes.
                socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            self._ray.init(address=address, job_config=job, log_to_driver=False, logging_level="ERROR", **own)
        except (OSError, ValueError, RuntimeError, OverflowError) as error:
            raise ConfigError(
                f"There is no Ray cluster at {address}: {first_line(error).rstrip('.')}. Start one with 'ray start "
                "--head', or give --ray-address the address that it printed."
            ) from error

    def close(self) -> None:
        """End the worker processes here and leave the cluster; stop it if this engine started it."""
        self.workers.close()
        if self._started:
            self._ray.shutdown()

    def map(self, task: Task, items: Iterable[T], *, holds_model: bool = False) -> Generator[tuple[T, Any], None, None]:
        """Do a task for each item: files are read here, the work is done by tasks or, with a model, by actors."""
        pool = None
        if holds_model:
            size = self._size("dividing")
            worker = ("dividing", lambda: task, _measuring())
            pool = Pool(self._ray, worker, size=size, slots=2, note=self._note)
            work, threads = partial(pool.call, "call", "run"), pool.concurrency
        else:
            remote = self._ray.remote(_run).options(num_cpus=1, max_retries=5)
            work = partial(self._get, "dividing", remote, task, _measuring())
            threads = 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

        def one(item: T) -> Any:
            try:
                return work(task.load(item))
            except ImageError as error:
                return error
            except WorkersDiedError as error:
                raise DataError(f"{item!r:.200}: {error}") from error

        with closing(in_order(one, items, threads, stop=pool.close if pool is not None else lambda: None)) as results:
            yield from results

    def place(self, model: Model) -> Backend | Baseline:
        """Return a model whose copies run on the cluster, or one of this process if it is not distributable.

        Raises:
            ConfigError: no machine has room for a copy, or the machines' versions differ.
            PluginError: it cannot be built there.
        """
        if not model.plugin.distributable:
            return LocalEngine().place(model)
        name, size = model.preset.name, self._size(model.preset.name)
        _send_code_of(model, self._ray)
        remote = self._ray.remote(_describe).options(num_gpus=size.num_gpus, num_cpus=size.num_cpus, max_retries=2)
        folder = folder_of(sys.modules.get(model.plugin.cls.__module__))
        description = self._get(name, remote, model, folder, _measuring())
        attributes = description["attributes"]
        is_backend = model.plugin.kind == "backend"
        limit = attributes["capabilities"].concurrency if is_backend else attributes["concurrency"]
        worker = (name, partial(_build, model, folder), description["versions"], description["identity"])
        pool = Pool(self._ray, worker, size=size, slots=limit or self._concurrency, note=self._note)
        if is_backend:
            attributes["capabilities"] = replace(attributes["capabilities"], concurrency=pool.concurrency)
        else:
            attributes["concurrency"] = pool.concurrency
        return (RemoteBackend if is_backend else RemoteBaseline)(model.plugin.cls, pool, description)

    def _get(self, name: str, remote: Any, *arguments: Any) -> Any:
        """Run a function as a Ray task and return its result."""
        try:
            return self._ray.get(remote.remote(*arguments))
        except self._ray.exceptions.RayTaskError as error:
            raise cause_of(error, name) from None
        except self._ray.exceptions.RayError as error:
            raise WorkersDiedError(f"the workers of {name} died: {first_line(error)}") from error

    def _size(self, name: str) -> Size:
        """Choose how many copies of a model there are; fail if no machine has room for one."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        size = size_of(machines, self._options)
        for kind, wanted, setting in (("GPU", size.num_gpus, "num_gpus"), ("CPU", size.num_cpus, "num_cpus")):
            largest = max((machine.get(kind, 0.0) for machine in machines), default=0.0)
            if wanted > largest:
                raise ConfigError(
                    f"{name}: a copy takes {wanted:g} {kind}s, and no machine of the cluster has more than "
                    f"{largest:g}; set {setting}."
                )
        return size


def size_of(machines: Sequence[Mapping[str, float]], options: RayOptions) -> Size:
    """Choose how many copies of a model there are, and what each takes.

    Args:
        machines: the "GPU" and "CPU" of each.
        options: the user's settings.

    Example:
        >>> size_of([{"GPU": 8.0, "CPU": 64.0}], RayOptions())
        Size(copies=8, num_gpus=1.0, num_cpus=8.0)
    """
    with_gpus = [machine for machine in machines if machine.get("GPU", 0.0) > 0]
    num_gpus = options.num_gpus if options.num_gpus is not None else float(bool(with_gpus))
    if num_gpus > 0:
        # A copy stays on one machine.
        copies = options.actors or max(1, sum(int(machine["GPU"] / num_gpus) for machine in with_gpus))
        num_cpus = min((machine.get("CPU", 0.0) / machine["GPU"] * num_gpus for machine in with_gpus), default=1.0)
    else:
        copies = options.actors or max(1, len(machines))
        copies_on_one = -(-copies // max(1, len(machines)))
        num_cpus = min((machine.get("CPU", 0.0) for machine in machines), default=1.0) / copies_on_one
    return Size(copies, num_gpus, max(1.0, float(int(num_cpus))) if options.num_cpus is None else options.num_cpus)


def _build(model: Model, folder: str) -> Any:
    """Build a model on a worker; ``folder`` is that of the user's own modules, if the worker sees it."""
    if folder and folder not in sys.path:
        sys.path.append(folder)
    return build(model)


def _describe(model: Model, folder: str, expected: Mapping[str, str]) -> dict[str, Any]:
    """Build a model on a worker, describe it and release it."""
    check_versions(expected)
    plugin: Backend | Baseline = _build(model, folder)
    names = [name for name in (*dir(model.plugin.contract), "options") if not name.startswith("_")]
    values = {name: getattr(plugin, name) for name in names}
    try:
        return {
            "identity": plugin.identity(),
            "versions": {name: version for name, version in versions().items() if name != "platform"},
            "environment": plugin.environment(),
            "attributes": {name: value for name, value in values.items() if not callable(value)},
        }
    finally:
        plugin.close()


def _measuring() -> dict[str, str]:
    """Return the versions of this process that decide numbers here and on workers."""
    names = ("lvlm-ad", "numpy", "pillow", "scikit-image", "scipy")
    return {name: version for name, version in versions().items() if name in names}


def _run(task: Task, expected: Mapping[str, str], loaded: Any) -> Any:
    """Do a task on a worker."""
    check_versions(expected)
    return task.run(loaded)


def _send_code_of(model: Model, ray: Any) -> None:
    """Have Ray send the user's own modules with their content; installed packages are imported on the workers."""
    files = {str(file) for file in model.plugin.files.values()}
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) in files:
            ray.cloudpickle.register_pickle_by_value(module)
