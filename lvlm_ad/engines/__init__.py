"""Where work is done: on this machine, or on a Ray cluster. Either way only the process of the command writes files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from lvlm_ad.engines.local import Engine, LocalEngine, in_order
from lvlm_ad.engines.ray import RayEngine, RayOptions
from lvlm_ad.presets import validated
from lvlm_ad.tasks import Task

if TYPE_CHECKING:
    from lvlm_ad.workers import Workers

__all__ = ["Engine", "LocalEngine", "RayOptions", "Task", "in_order", "make_engine"]


def make_engine(
    name: Literal["local", "ray"],
    *,
    address: str | None = None,
    settings: Mapping[str, Any] | None = None,
    concurrency: int = 16,
    workers: Workers | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Engine:
    """Make an engine; the caller closes it.

    Args:
        name: "local" or "ray".
        address: address of a running Ray cluster, such as "auto" or "10.0.0.1:6379"; None: RAY_ADDRESS, or a cluster of
            this machine alone.
        settings: settings of the run, of which the fields of ``RayOptions`` are used.
        concurrency: questions at the same time for each copy of a model that has no limit of its own.
        workers: worker processes for a local engine, which the caller closes; None: the engine's own.
        note: called with what the user should know.

    Raises:
        ConfigError: ray is not installed, a setting is wrong, or there is no cluster at the address.

    Example:
        >>> make_engine("local")
        <lvlm_ad.engines.local.LocalEngine object at ...>
    """
    if name == "local":
        return LocalEngine(workers)
    own = {name: value for name, value in (settings or {}).items() if name in RayOptions.model_fields}
    options = validated(RayOptions, own, "--engine ray")
    return RayEngine(options, address=address, concurrency=concurrency, note=note)
