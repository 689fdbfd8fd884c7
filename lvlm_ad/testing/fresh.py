"""Imports a plugin's module and builds its class in a fresh Python: how long that takes, and what it changes there."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import inspect
import json
import math
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import perf_counter
from typing import Any

from lvlm_ad.errors import where
from lvlm_ad.plugins import as_plugin
from lvlm_ad.testing.running import alive, so_far
from lvlm_ad.testing.state import changes, draw, look

__all__ = ["Fresh", "in_a_fresh_python"]

_HEAVY = ("torch", "tensorflow", "jax", "transformers", "open_clip", "vllm", "ray")
_MARK = "\x00lvlm-ad\x00"
"""Before what the child says: the plugin may print."""
_LEAST, _BEAT = 60.0, 0.1
_INSIDE = "LVLM_AD_IN_A_FRESH_PYTHON"
"""Set there: a module that checks itself when it is imported must not start another."""
_START = """
import json, sys, time
sys.path[:] = json.loads(sys.argv[1])
began = time.perf_counter()
from lvlm_ad.testing.fresh import main
main(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Fresh:
    """What happened there.

    Attributes:
        failed: what went wrong with the import; empty if nothing did.
        seconds: what importing the module took.
        own: what importing lvlm_ad took there.
        heavy: the large libraries that importing it has loaded.
        changed: what of the process importing or building it has changed, in words.
    """

    failed: str = ""
    seconds: float = 0.0
    own: float = 0.0
    heavy: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def in_a_fresh_python(plugin: Any, limit: float, *, again: bool = False) -> Fresh | None:
    """Import a plugin's module and build its class in a Python of its own.

    Args:
        plugin: a backend or baseline.
        limit: seconds that it may take; a minute, if that is less.
        again: whether to do it anew where it was done.

    Returns:
        What happened; None for a class of a notebook, of a prompt or of a script: nothing imports it.
    """
    kind = plugin.implementation
    try:
        file = inspect.getsourcefile(kind)
    except (OSError, TypeError):
        file = None
    if file is None or not Path(file).is_file() or kind.__module__ == "__main__" or _INSIDE in os.environ:
        return None
    try:
        options = base64.b64encode(pickle.dumps(plugin.options)).decode()
    except Exception:  # noqa: BLE001 - another check says so
        options = ""
    package = bool(getattr(sys.modules.get(kind.__module__), "__package__", None))
    asked = json.dumps(
        {
            "module": kind.__module__,
            "packaged": package,
            "file": str(Path(file).resolve()),
            "name": kind.__qualname__,
            "options": options,
        }
    )
    if again:
        _done.cache_clear()
    # The same places: where its helpers lie beside its file, they are found there too.
    began = so_far().began
    # As it was before: what the import changes would not be seen where it is changed already.
    environment = json.dumps({**began["the environment"], _INSIDE: "1"})
    return _done(asked, json.dumps(sys.path), environment, str(began["the working folder"]), max(limit, _LEAST))


@lru_cache(maxsize=4)
def _done(asked: str, path: str, environment: str, folder: str, limit: float) -> Fresh:
    with subprocess.Popen(  # noqa: S603 - this interpreter, importing what is imported here already
        [sys.executable, "-c", _START, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=json.loads(environment),
        cwd=folder,
    ) as child:
        given: str | None = asked
        for _ in range(math.ceil(limit / _BEAT)):
            # A machine that is slow to start Python is no plugin that hangs.
            alive()
            try:
                out, _err = child.communicate(given, timeout=_BEAT)
                break
            except subprocess.TimeoutExpired:
                given = None
        else:
            child.kill()
            return Fresh(failed=f"it does not end within {limit:g} seconds")
    _, mark, said = out.rpartition(_MARK)
    if not mark:
        return Fresh(failed=f"it ends Python with status {child.returncode}")
    return Fresh(**json.loads(said))


def main(own: float) -> None:
    """Do what is asked on stdin, and say on stdout what happened.

    Args:
        own: seconds that importing this module took, and with it what most plugins use of this package.
    """
    asked = json.load(sys.stdin)
    draw()
    loaded, before, start = set(sys.modules), look(), perf_counter()
    told: dict[str, Any] = {"own": own}
    try:
        module = _imported(asked)
        told["seconds"] = perf_counter() - start
        told["heavy"] = sorted(set(_HEAVY) & (set(sys.modules) - loaded))
        told["changed"] = [f"importing it changes {what}" for what in changes(before, look(), drawn=False)]
        draw()
        before = look()
        _build(module, asked)
        told["changed"] += [f"building it changes {what}" for what in changes(before, look(), drawn=False)]
    # Whatever a stranger's code raises is a finding.
    except BaseException as error:  # noqa: BLE001
        told["failed"] = where(error)
    sys.stdout.write(f"{_MARK}{json.dumps(told)}")
    sys.stdout.flush()
    # Threads that it has left running would hold up an ordinary exit.
    os._exit(0)


def _imported(asked: dict[str, Any]) -> Any:
    if asked["packaged"] and _is_found(asked["module"]):
        return importlib.import_module(asked["module"])
    spec = importlib.util.spec_from_file_location(asked["module"], asked["file"])
    assert spec is not None  # noqa: S101 - a source file
    assert spec.loader is not None  # noqa: S101 - likewise
    module = sys.modules[asked["module"]] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_found(module: str) -> bool:
    """Say whether a module can be imported by its name; pytest gives names by which none can."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except ValueError:
        return False


def _build(module: Any, asked: dict[str, Any]) -> None:
    """Build the class with its options; not one that was made in a function, or that takes something more."""
    found = module
    for name in asked["name"].split("."):
        found = getattr(found, name, None)
    if not isinstance(found, type) or not asked["options"]:
        return
    plugin = as_plugin(found, asked["name"]).build
    try:
        options = pickle.loads(base64.b64decode(asked["options"]))  # nosec B301 # noqa: S301 - pickled by our parent
        plugin(options)
    except Exception:  # noqa: BLE001 - that it cannot be built so is another check's
        return
