"""The version of lvlm-ad, in this one place, and those of the packages that a run's numbers depend on."""

from functools import cache

__all__ = ["__version__", "versions"]

__version__ = "0.2.0.dev0"

_PACKAGES = (
    *("lvlm-ad", "numpy", "open_clip_torch", "openai", "pillow", "scikit-image", "scikit-learn", "scipy"),
    *("torch", "transformers", "xgrammar"),
)


def versions() -> dict[str, str]:
    """Return the versions of Python, the platform and the installed packages that the numbers depend on."""
    import platform  # noqa: PLC0415 - see _version

    installed = {name: number for name in _PACKAGES if (number := _version(name))}
    return {"python": platform.python_version(), "platform": platform.platform(), **installed}


@cache
def _version(name: str) -> str:
    # Imported late: with "python -m lvlm_ad", the current folder is still on sys.path when this module is imported.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version(name)
    except PackageNotFoundError:
        return ""
