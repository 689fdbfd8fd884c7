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

_HOMES = {
    "RunConfig": "lvlm_ad.evaluate",
    "bench": "lvlm_ad.evaluate",
    "load_dataset": "lvlm_ad.datasets",
    "metrics": "",
    "regions": "",
    "text2seg": "",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: ``lvlm-ad --help`` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lvlm_ad' has no attribute {name!r}")
    home = _HOMES[name]
    return getattr(import_module(home), name) if home else import_module(f"lvlm_ad.{name}")


def __dir__() -> list[str]:
    """List what can be had, imported or not: notebooks complete by it."""
    return sorted({*globals(), *_HOMES})
