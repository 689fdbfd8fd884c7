"""What a benchmark reads of its own process: CPU seconds and memory. Standard library alone; peers' Pythons run it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import platform
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["Measured", "cpu_seconds", "measured", "versions"]


@dataclass(frozen=True)
class Measured:
    """What one call took.

    Attributes:
        cpu: CPU seconds of all threads.
        wall: seconds.
        growth: GB by which the process grew at most, above what it held before.
        peak: GB that the process held at most.
        result: what the call returned.
    """

    cpu: float
    wall: float
    growth: float
    peak: float
    result: Any


def cpu_seconds() -> float:
    """Return the CPU seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(call: Callable[[], Any]) -> Measured:
    """Call once and measure it; Linux only."""
    # What was freed since goes back to the system: it would hide what is needed now.
    ctypes.CDLL(None).malloc_trim(0)
    before = _memory("VmRSS")
    # The peak is looked for anew.
    Path("/proc/self/clear_refs").write_text("5")
    start, clock = cpu_seconds(), perf_counter()
    result = call()
    cpu, wall, peak = cpu_seconds() - start, perf_counter() - clock, _memory("VmHWM")
    return Measured(cpu, wall, peak - before, peak, result)


def versions(*names: str) -> dict[str, str]:
    """Return the versions of Python and of installed packages."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def _memory(field: str) -> float:
    """Return a field of /proc/self/status in GB: VmRSS (now) or VmHWM (the peak)."""
    if sys.platform != "linux":
        sys.exit("Memory is read from /proc, which only Linux has.")
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1e6
