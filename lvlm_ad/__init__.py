"""lvlm-ad: benchmark large vision-language models on zero-shot visual anomaly detection."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import __version__

if TYPE_CHECKING:
    from lvlm_ad import metrics, regions, text2seg
    from lvlm_ad.datasets import load_dataset
    from lvlm_ad.evaluate.bench import bench
    from lvlm_ad.evaluate.config import RunConfig

__all__ = ["RunConfig", "__version__", "bench", "load_dataset", "metrics", "regions", "text2seg"]

_HOMES = {"RunConfig": "evaluate", "bench": "evaluate", "load_dataset": "datasets"}
"""Public name -> its package; the other public names are packages themselves."""


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: ``lvlm-ad --help`` needs none of them."""
    if name not in __all__:
        raise AttributeError(f"module 'lvlm_ad' has no attribute {name!r}")
    module = import_module(f"lvlm_ad.{_HOMES.get(name, name)}")
    return getattr(module, name) if name in _HOMES else module


def __dir__() -> list[str]:
    """List all public names, imported or not: notebooks complete by it."""
    return sorted({*globals(), *__all__})
