"""Versions of the packages that a run's numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["versions"]


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the installed packages that the numbers depend on."""
    names: tuple[str, ...] = (
        "lvlm-ad",
        "numpy",
        "open_clip_torch",
        "openai",
        "pillow",
        "scikit-image",
        "scikit-learn",
        "scipy",
    )
    names += ("torch", "transformers", "xgrammar")
    found = {name: of for name in names if (of := _version(name))}
    return {"python": platform.python_version(), "platform": platform.platform(), **found}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
