"""Checks of backends, baselines and methods alike: import, identity, secrets."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from lvlm_ad.backend import Backend
from lvlm_ad.baseline import Baseline
from lvlm_ad.children import folder_of, python_command
from lvlm_ad.errors import LvlmAdError, is_secret_option, is_secret_variable
from lvlm_ad.methods import Method
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.plugins import AnyKind, as_plugin
from lvlm_ad.plugins.methods import as_method

if TYPE_CHECKING:
    Plugin = Backend | Baseline
    AnyPlugin = Plugin | Method

_LONGEST_IMPORT = 2.0
"""Seconds of processor time."""
_HEAVY = ("torch", "tensorflow", "jax", "transformers", "open_clip", "vllm", "ray")
_MARKER = "lvlm-ad-secret-that-must-not-be-seen"
_PROBE = """
import importlib.util, json, time
name, file = sys.argv[1:]
import lvlm_ad.plugins, numpy, PIL.Image
spec = importlib.util.spec_from_file_location(name, file)
before, start = set(sys.modules), time.process_time()
sys.modules[name] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.stdout = sys.__stdout__
print("\\n" + json.dumps([time.process_time() - start, sorted(set(sys.modules) - before)]))
"""


class ContractError(LvlmAdError, AssertionError):
    """A backend, baseline or method breaks its contract."""


def expect(condition: object, otherwise: str) -> None:
    """Raise a ContractError unless a condition holds."""
    if not condition:
        raise ContractError(otherwise)


@contextmanager
def expect_no_error(what: str) -> Iterator[None]:
    """Turn every error of some code, an end of the process included, into a ContractError that names the line.

    Args:
        what: the code, such as "answer()".
    """
    try:
        with plugin_code(f"{what} raised", name=what, error=ContractError, after=""):
            yield
    except ContractError:
        raise
    except LvlmAdError as error:
        raise ContractError(f"{what} raised {type(error).__name__}: {error}") from error


_CONTRACTS = {"backend": Backend, "baseline": Baseline, "method": Method}


def built(candidate: Any, kind: AnyKind) -> Any:
    """Return a backend, baseline or method: the object itself, or one of a class with its default options.

    Raises:
        ContractError: it is none, or cannot be built.
    """
    if isinstance(candidate, _CONTRACTS[kind]):
        return candidate
    name = getattr(candidate, "__name__", type(candidate).__name__)
    expect(isinstance(candidate, type), f"{name} is no {kind}; give a {kind} object or a class")
    with expect_no_error(f"building {name}"):
        if kind == "method":
            return as_method(candidate, name)()
        plugin = as_plugin(candidate, name)
        expect(plugin.kind == kind, f"{name} is a {plugin.kind}, not a {kind}")
        return plugin.build()


def import_is_fast(plugin: AnyPlugin) -> None:
    """Its module is imported within two seconds and without torch and the like, which belong inside the methods."""
    if file := file_of(plugin):
        seconds, modules = _import_anew(plugin.implementation.__module__, file.resolve())
        heavy = ", ".join(name for name in _HEAVY if name in modules)
        expect(not heavy, f"importing it loads {heavy}; import them where they are used")
        slow = f"importing it takes {seconds:.1f} seconds; import what is slow where it is used"
        expect(seconds < _LONGEST_IMPORT, slow)


@cache
def _import_anew(module: str, file: Path) -> tuple[float, list[str]]:
    """Import a file in a Python of its own; return the seconds and the modules that it loaded."""
    seconds, modules = in_fresh_python(_PROBE, module, str(file))
    return seconds, modules


def in_fresh_python(code: str, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """Run code in another Python, which finds what a module of this one imports.

    Args:
        code: what it runs; it prints JSON in its last line.
        module: the module's name, the first argument of the code.
        *arguments: further arguments.
        env: the environment; None: this one's.

    Returns:
        The JSON value.
    """
    folder = folder_of(sys.modules[module])
    command = python_command(code, module, *arguments, also=(folder,) if folder else ())
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)  # noqa: S603 - this Python
    last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    expect(done.returncode == 0 and done.stdout, f"in a fresh Python its import fails: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def file_of(plugin: AnyPlugin) -> Path | None:
    """Return the file of its class; None for a class of a notebook or a script, which nothing imports."""
    module = plugin.implementation.__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and module != "__main__" else None


def identity_is_json(plugin: AnyPlugin) -> None:
    """The identity holds JSON values only, and is the same each time."""
    identity = plugin.identity()
    text = json.dumps(identity, sort_keys=True)
    expect(json.loads(text) == identity, "identity() must hold JSON values only, with text as keys")
    expect(json.dumps(plugin.identity(), sort_keys=True) == text, "identity() must be the same each time")


def rebuilt_it_is_the_same(plugin: Plugin) -> None:
    """Its options can be sent to another process, and an object built from them alone has the same identity."""
    other = _rebuilt(plugin, pickle.loads(pickle.dumps(plugin.options)))  # nosec B301 # noqa: S301 - our own pickle
    # close() has a check of its own.
    with suppress(Exception):
        other.close()
    expect(other.identity() == plugin.identity(), "rebuilt from its options it has another identity()")


def _rebuilt(plugin: Plugin, options: Any) -> Any:
    other = as_plugin(plugin.implementation, "it").build(options)
    if plugin.source:
        other.source = plugin.source
    return other


def secrets_in(plugin: Plugin, use: Callable[[Any], str]) -> None:
    """Expect that no option holds a key, and that no key is shown.

    Args:
        plugin: the backend or baseline.
        use: uses it and returns its results as text, errors included.
    """
    for name in plugin.Options.model_fields:
        expect(
            not is_secret_option(name),
            f"the option {name!r} holds a secret, and options are written into run.json: take the name of a variable "
            f"instead, as in {name}_env: str = 'MY_KEY', and read that variable when it asks",
        )
    keys = {name: f"{_MARKER}-{name}" for name in _variables_of(plugin)}
    with patch.dict(os.environ, keys):
        # A plugin that holds a model would load it a second time.
        other = plugin if plugin.distributable else _rebuilt(plugin, plugin.options)
        texts = [use(other), str(other.identity()), repr(other), str(other), repr(other.options)]
        with suppress(Exception):
            texts.append(str(other.environment()))
        if other is not plugin:
            other.close()
    shown = sorted(name for name, key in keys.items() if any(key in text for text in texts))
    expect(not shown, f"identity(), repr(), environment(), an answer or an error contains {', '.join(shown)}")


def _variables_of(plugin: Plugin) -> set[str]:
    """Return the variables with keys that its options name, or its file in quotes."""
    values = [getattr(plugin.options, name, None) for name in plugin.Options.model_fields]
    names = {value for value in values if isinstance(value, str) and value.isupper()}
    if file := file_of(plugin):
        names |= set(re.findall(r"[\"']([A-Z][A-Z0-9_]*)[\"']", file.read_text(encoding="utf-8")))
    return {name for name in names if is_secret_variable(name)}
