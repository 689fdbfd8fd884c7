"""CPU seconds, memory and versions of a process, and scripts in processes of their own.

Standard library alone: the Python of another package's environment imports it too.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["Measured", "cpu_seconds", "measured", "run_json", "versions"]


@dataclass(frozen=True)
class Measured:
    """What one call took."""

    cpu: float  # CPU seconds of all threads
    wall: float  # seconds
    growth: float  # GB of memory above what the process used before, at most
    peak: float  # GB of memory of the process, at most
    result: Any  # what the call returned


def cpu_seconds() -> float:
    """Return the CPU seconds that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured(call: Callable[[], Any]) -> Measured:
    """Call once and measure it; Linux only."""
    # Memory that was freed but not yet returned to the system would hide what the call needs.
    ctypes.CDLL(None).malloc_trim(0)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    start, clock = cpu_seconds(), perf_counter()
    result = call()
    cpu, wall, peak = cpu_seconds() - start, perf_counter() - clock, _memory("VmHWM")
    return Measured(cpu, wall, peak - before, peak, result)


def run_json(*command: object, **environment: str) -> dict[str, Any]:
    """Run a command and return the JSON object on the last line of its output.

    Raises:
        SystemExit: the command failed.
    """
    arguments = [str(part) for part in command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def versions(*names: str) -> dict[str, str]:
    """Return the versions of Python and of installed packages."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in names}}


def _memory(field: str) -> float:
    """Return a field of /proc/self/status in GB: VmRSS (now) or VmHWM (the peak)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) / 1e6
