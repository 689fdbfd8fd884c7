"""Where the work is done: on this machine, or on a cluster through Ray. Either way this process alone writes files."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from lvlm_ad.engines.cutting import Cutting
from lvlm_ad.engines.engine import Engine
from lvlm_ad.engines.local import LocalEngine
from lvlm_ad.engines.options import RayOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Cutting", "Engine", "LocalEngine", "RayOptions", "engine_for"]


def engine_for(
    name: Literal["local", "ray"],
    stack: ExitStack,
    *,
    address: str | None = None,
    settings: Mapping[str, Any] | None = None,
    concurrency: int = 16,
    note: Callable[[str], None] = lambda _: None,
) -> Engine:
    """Return an engine, to be closed with the stack.

    Args:
        name: "local" or "ray".
        stack: closes it.
        address: of a running Ray cluster, such as "auto" or "10.0.0.1:6379"; None: the one that RAY_ADDRESS names, or
            one on this machine alone.
        settings: fields of ``RayOptions``; others are left.
        concurrency: questions under way at once for each copy of a model that sets no limit itself.
        note: is told what the user should know.

    Raises:
        ConfigError: ray is not installed, a setting is wrong, or there is no cluster at the address.
    """
    if name == "local":
        return LocalEngine()
    from lvlm_ad.engines.cluster import RayEngine  # noqa: PLC0415 - comes with the extra "ray"

    options = RayOptions.from_settings(settings or {})
    engine = RayEngine(options, address=address, concurrency=concurrency, note=note)
    stack.callback(engine.close)
    return engine
