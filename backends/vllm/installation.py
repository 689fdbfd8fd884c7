"""The vLLM that is installed on this machine, perhaps in another environment: where, which version, what it knows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lvlm_ad.children import program_path
from lvlm_ad.errors import ConfigError
from lvlm_ad.weights import user_cache

__all__ = ["Gpu", "Installation", "find_vllm", "variables_for", "visible_gpus"]

_SHEBANG = re.compile(r"^(?:#!|'''exec' \"?)([^\s\"]*/python[\d.]*)\"?", re.MULTILINE)
"""The interpreter in the first lines of a program that pip wrote; a long path stands in the second."""
_PYTHON = re.compile(r"python[\d.]*")
"""The file name of a Python in the bin folder of its environment."""
_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
print(json.dumps({name: of(name) for name in ("vllm", "torch", "transformers")}))
"""
_ARCHITECTURES = """
import json
from vllm.model_executor.models.registry import ModelRegistry
print(json.dumps(sorted(ModelRegistry.get_supported_archs())))
"""
_SECONDS = 300.0
"""How long vLLM's Python may take for one of these: importing vLLM takes ten seconds on a slow machine."""
_INSTALL = (
    ": pip install 'lvlm-ad[vllm]'. If it is in an environment of its own, name the environment's folder with --set "
    "vllm=PATH."
)


@dataclass(frozen=True)
class Installation:
    """An installed vLLM.

    Attributes:
        program: the executable ``vllm``.
        python: the Python that runs it.
        versions: the versions of vllm, torch and transformers there.
    """

    program: Path
    python: Path
    versions: tuple[tuple[str, str], ...]

    @property
    def version(self) -> str:
        """The version of vLLM."""
        return dict(self.versions)["vllm"]

    @property
    def on_cpu(self) -> bool:
        """Whether this build runs on the CPU only."""
        return "cpu" in self.version.partition("+")[2]

    @property
    def on_cuda(self) -> bool:
        """Whether this build runs on NVIDIA GPUs: the official one, or one for another CUDA."""
        local = self.version.partition("+")[2]
        return not local or local.startswith("cu")

    def architectures(self) -> list[str]:
        """Return the architectures that this vLLM serves, as models call them in their config.json; sorted.

        Asking takes seconds, so the answer is kept until the version changes.

        Raises:
            ConfigError: this vLLM cannot be imported.
        """
        name = re.sub(r"[^\w.+-]", "_", f"{self.python}-{dict(self.versions)}")[-200:]
        kept = user_cache() / "vllm" / f"{name}.json"
        try:
            return [str(one) for one in json.loads(kept.read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            found: list[str] = _ask(self.python, _ARCHITECTURES)
        # Where it cannot be kept, the next command asks again.
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(found), encoding="utf-8")
        return found


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU: its name, and its free memory in bytes."""

    name: str
    free: int


@cache
def find_vllm(chosen: Path | None) -> Installation:
    """Find vLLM.

    Args:
        chosen: its program, or the folder or the Python of its environment; None: beside this Python, else on the PATH.

    Raises:
        ConfigError: it is not there, or does not work.
    """
    found = program_path("vllm") if chosen is None else _program_of(chosen.expanduser().absolute())
    if found is None:
        raise ConfigError(f"vLLM is neither beside this Python nor on the PATH{_INSTALL}")
    program = Path(found)
    if not program.is_file() or not os.access(program, os.X_OK):
        raise ConfigError(
            f"{program} is not a program that can be run; set vllm to the folder of the environment that holds vLLM, "
            "or to the file vllm in its bin folder."
        )
    python = _python_of(program)
    versions: dict[str, str] = _ask(python, _VERSIONS)
    if not versions["vllm"]:
        raise ConfigError(f"{python}, which runs {program}, has no package vllm{_INSTALL}")
    return Installation(program, python, tuple(versions.items()))


def variables_for(python: Path) -> dict[str, str]:
    """Return this process's variables for another Python.

    PYTHONPATH and PYTHONHOME name modules for the Python of this environment, so no other one gets them.
    """
    ours = python.parent == Path(sys.executable).parent
    return {name: value for name, value in os.environ.items() if ours or name not in {"PYTHONPATH", "PYTHONHOME"}}


def _program_of(chosen: Path) -> Path:
    """Return the program vllm of an environment named by its folder, bin folder or Python; else what is named."""
    if chosen.is_dir():
        beside = chosen / "vllm"
        return beside if beside.is_file() else chosen / "bin" / "vllm"
    return chosen.with_name("vllm") if _PYTHON.fullmatch(chosen.name) else chosen


@cache
def visible_gpus() -> tuple[Gpu, ...]:
    """Return the NVIDIA GPUs that a program may use: all, or those that CUDA_VISIBLE_DEVICES names."""
    query = ["nvidia-smi", "--query-gpu=name,memory.free", "--format=csv,noheader,nounits"]
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None and not chosen.strip():
        return ()
    try:
        done = subprocess.run(  # noqa: S603 - it only prints  # nosec B607
            [*query, *(["-i", chosen] if chosen else [])], capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.rsplit(", ", 1) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    mib = 1 << 20
    return tuple(Gpu(row[0], int(row[1]) * mib) for row in rows if row[-1].isdecimal())


def _python_of(program: Path) -> Path:
    """Return the Python that runs a program: the one that its first line names, else the one beside it."""
    with program.open("rb") as file:
        start = file.read(1000).decode("utf-8", "replace")
    found = _SHEBANG.search(start)
    beside = [program.parent / name for name in ("python3", "python")]
    for python in ([Path(found[1])] if found else []) + beside:
        if os.access(python, os.X_OK):
            return python
    raise ConfigError(f"{program} does not say which Python runs it, and there is none beside it.")


def _ask(python: Path, code: str) -> Any:
    """Run code in vLLM's Python and return what it prints as JSON in its last line."""
    try:
        done = subprocess.run(  # noqa: S603 - vLLM's own Python, our own code
            [python, "-P", "-c", code],
            env=variables_for(python),
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"vLLM's Python {python} does not run: {error}.") from error
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = next(iter(reversed(done.stderr.strip().splitlines())), f"status {done.returncode}")
        raise ConfigError(f"The vLLM of {python} cannot be imported: {last[:300]}.")
    return json.loads(lines[-1])
