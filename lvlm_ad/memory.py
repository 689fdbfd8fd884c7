"""Whether a model fits into the memory of a device."""

from __future__ import annotations

from pathlib import Path

from lvlm_ad.errors import ConfigError
from lvlm_ad.weights import at_hand

__all__ = ["check_memory", "free_bytes", "needed_bytes", "needs_in_words"]

_BITS = {"float32": 32, "float16": 16, "bfloat16": 16, "fp8": 8, "8bit": 8, "4bit": 4}
_OVERHEAD = 1.2
"""Factor for the memory of a small batch beside the weights: caches and pictures."""


def free_bytes() -> int | None:
    """Return the bytes of this machine's memory that are free; None if the system does not say."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024


def needed_bytes(parameters: float, kind: str) -> float:
    """Return approximately how many bytes a model needs to answer.

    Args:
        parameters: their number.
        kind: the data type of the weights, or how they are quantised: "fp8", "8bit" or "4bit".

    Example:
        >>> needed_bytes(8e9, "bfloat16") / 1e9
        19.2
    """
    return parameters * _BITS[kind] / 8 * _OVERHEAD


def check_memory(model: str, parameters: float, kind: str, free: int | None, device: str, smaller: str) -> None:
    """Check that a model fits.

    Args:
        model: its name at the hub, or its folder, for the message.
        parameters: their number.
        kind: as for ``needed_bytes``.
        free: bytes; None: unknown, and nothing is checked.
        device: where the model is to run, for the message.
        smaller: the setting that makes the weights smaller, for the message.

    Raises:
        ConfigError: it does not fit.
    """
    needed = needed_bytes(parameters, kind)
    if free is not None and needed > free:
        raise ConfigError(
            f"{model} needs about {needed / 1e9:.0f} GB as {kind}, and {device} has {free / 1e9:.0f} GB free; "
            f"choose a smaller model, or set {smaller}."
        )


def needs_in_words(
    model: str, revision: str | None, parameters: float | None, kind: str, free: int | None, device: str
) -> str:
    """Say how much memory a model needs, how much is free, and whether its files must be downloaded.

    Args:
        model: its name at the hub, or its folder.
        revision: a branch, tag or commit; None: the main branch.
        parameters: their number; None: unknown, and nothing is said of memory.
        kind: as for ``needed_bytes``.
        free: bytes; None: unknown.
        device: where it runs.

    Example:
        >>> needs_in_words(".", None, 8e9, "bfloat16", 42 * 10**9, "cuda")
        '19 GB of 42 GB free on cuda'
    """
    parts = []
    if parameters is not None:
        of_free = "" if free is None else f" of {free / 1e9:.0f} GB free"
        parts.append(f"{needed_bytes(parameters, kind) / 1e9:.0f} GB{of_free} on {device}")
    if not Path(model).expanduser().is_dir() and not at_hand(model, revision=revision):
        parts.append("to be downloaded")
    return ", ".join(parts)
