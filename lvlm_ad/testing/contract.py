"""What checks of backends and of baselines share: how they are run, and what holds for both."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from lvlm_ad.backend import Backend, BackendOptions
from lvlm_ad.baseline import Baseline
from lvlm_ad.plugins.classes import Kind, as_plugin

__all__ = [
    "ContractError",
    "built",
    "built_anew_it_is_the_same",
    "expect",
    "identity_is_json",
    "import_is_light",
    "nothing_secret_is_shown",
    "options_are_typed",
    "problems",
    "report",
    "sentence",
    "state_is_kept",
]

P = TypeVar("P", Backend, Baseline)

_BEGAN: ContextVar[tuple[dict[str, str], Path]] = ContextVar("began")
"""The environment and the working folder before the first check."""

_SECRET = 8
"""Characters from which a value of the environment is taken for a secret."""

_HEAVY = ("torch", "tensorflow", "jax", "transformers", "open_clip", "vllm", "ray")


class ContractError(AssertionError):
    """A backend or baseline breaks its contract; each line of the text begins with the name of a check."""


def built(given: Any, kind: Kind) -> Any:
    """Return a backend or baseline: the object itself, or one of a class with its default options.

    Raises:
        ContractError: it is an object of another class.
        PluginError: the class is no backend or baseline.
    """
    if isinstance(given, Backend if kind == "backend" else Baseline):
        return given
    if not isinstance(given, type):
        raise ContractError(f"{type(given).__name__} is no subclass of the contract's class; give the class itself")
    is_kind, plugin = as_plugin(given, given.__name__)
    expect(is_kind == kind, f"{given.__name__} is a {is_kind}, not a {kind}")
    return plugin()


def report(wrong: Mapping[str, str]) -> None:
    """Raise what ``problems`` found.

    Raises:
        ContractError: something is wrong; a line for each check.
    """
    if wrong:
        raise ContractError("\n".join(f"{name}: {text}" for name, text in wrong.items()))


def problems(
    plugin: P, checks: Mapping[str, Callable[[P], None]], heard: Callable[[str, str, bool], None] = lambda *_: None
) -> dict[str, str]:
    """Run every check, each by itself.

    Args:
        plugin: a backend or baseline.
        checks: name -> check.
        heard: is told each check's name when it is done, what is wrong, "" where nothing is, and whether an earlier
            check has found that already.

    Returns:
        Name -> what is wrong. What an earlier check has found already is not said again.
    """
    found: dict[str, str] = {}
    began = (dict(os.environ), Path.cwd())
    token = _BEGAN.set(began)
    try:
        for name, check in checks.items():
            wrong = ""
            try:
                check(plugin)
            except ContractError as error:
                wrong = str(error)
            except Exception as error:  # noqa: BLE001 - whatever a stranger's code raises is a finding
                wrong = f"{type(error).__name__}: {error}"
            said = wrong in found.values()
            if wrong and not said:
                found[name] = wrong
            heard(name, wrong, said)
    finally:
        _BEGAN.reset(token)
        _put(*began)
    return found


def sentence(check: Callable[..., None]) -> str:
    """Return what a check demands, in a sentence."""
    return " ".join((inspect.getdoc(check) or "").split("\n\n")[0].split())


def expect(holds: object, otherwise: str) -> None:
    """Find a contract broken unless something holds.

    Raises:
        ContractError: it does not.
    """
    if not holds:
        raise ContractError(otherwise)


def identity_is_json(plugin: Backend | Baseline) -> None:
    """The identity holds JSON values only, and is the same each time."""
    identity = plugin.identity()
    text = json.dumps(identity, sort_keys=True)
    expect(json.loads(text) == identity, "identity() must hold JSON values only, keys that are text included")
    expect(json.dumps(plugin.identity(), sort_keys=True) == text, "identity() must be the same each time")


def nothing_secret_is_shown(plugin: Backend | Baseline) -> None:
    """Neither the identity nor the text of the object or its options holds a key of the environment."""
    shown = "".join(map(str, (plugin.identity().values(), repr(plugin), repr(plugin.options))))
    for name, value in os.environ.items():
        secret = name.upper().endswith(("_KEY", "_TOKEN", "_SECRET", "_PASS", "_PASSWORD")) and len(value) >= _SECRET
        expect(not (secret and value in shown), f"identity() or repr() holds {name}")


def options_are_typed(plugin: Backend | Baseline) -> None:
    """The options are a model that refuses what it does not know."""
    expect(issubclass(plugin.Options, BackendOptions), "Options must be a subclass of BackendOptions")
    required = {name: "x" for name, info in plugin.Options.model_fields.items() if info.is_required()}
    try:
        plugin.Options(**{**required, "an_option_that_nobody_has": "1"})
    except ValidationError as error:
        wrong = {problem["loc"][0] for problem in error.errors() if problem["loc"]}
        expect("an_option_that_nobody_has" in wrong, "Options must refuse an unknown option by its name")
    else:
        raise ContractError("Options must refuse an unknown option")


def built_anew_it_is_the_same(plugin: Backend | Baseline) -> None:
    """Its options can be sent to another process; built from them alone it has the same identity."""
    again = pickle.loads(pickle.dumps(plugin.options))  # nosec B301 # noqa: S301 - what was pickled here a moment ago
    other = type(plugin)(again)
    identity = plugin.identity()
    alike = identity != plugin.identity() or other.identity() == identity
    # Whether it can be closed is another check's.
    with suppress(Exception):
        other.close()
    expect(alike, "built anew from its options it has another identity()")


def import_is_light(plugin: Backend | Baseline) -> None:
    """Its module is imported without loading torch and the like, which take seconds: they belong into the methods."""
    try:
        path = inspect.getsourcefile(type(plugin))
    except (OSError, TypeError):
        path = None
    if path is None or not Path(path).is_file():
        # A class of a notebook or of a prompt: nothing imports it.
        return
    code = f"import runpy, sys; runpy.run_path({path!r}, run_name='imported')"
    if type(plugin).__module__ in sys.modules and getattr(sys.modules[type(plugin).__module__], "__package__", None):
        code = f"import importlib, sys; importlib.import_module({type(plugin).__module__!r})"
    script = f"{code}\nprint('loaded', *sorted({set(_HEAVY)!r} & set(sys.modules)))"
    done = subprocess.run(  # noqa: S603 - this interpreter, importing what is imported here already
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    expect(done.returncode == 0, f"in a fresh Python its import fails: {done.stderr.strip()[-300:]}")
    loaded = done.stdout.rpartition("loaded")[2].split()
    expect(not loaded, f"importing it loads {', '.join(loaded)}; import them where they are used")


@contextmanager
def state_is_kept(what: str) -> Iterator[None]:
    """Find a contract broken where random streams, the environment or the working folder are changed within.

    Raises:
        ContractError: one is; ``what`` names the method.
    """
    state: dict[str, Callable[[], Any]] = {
        "random's stream": random.getstate,
        "numpy's stream": lambda: repr(np.random.get_state()),  # noqa: NPY002 - the old global stream, which others use
        "the environment": os.environ.copy,
        "the working folder": Path.cwd,
    }
    # What an earlier call has changed must not be found where it would be changed to again.
    random.random()  # noqa: S311 - it is drawn to be thrown away
    np.random.random()  # noqa: NPY002 - as above
    here = (dict(os.environ), Path.cwd())
    _put(*_BEGAN.get(here))
    before = {name: look() for name, look in state.items()}
    try:
        yield
        after = {name: look() for name, look in state.items()}
    finally:
        _put(*here)
    for name in state:
        expect(after[name] == before[name], f"{what} changes {name}")


def _put(environment: dict[str, str], folder: Path) -> None:
    """Set the environment and the working folder, where they differ."""
    if dict(os.environ) != environment:
        os.environ.clear()
        os.environ.update(environment)
    if Path.cwd() != folder:
        os.chdir(folder)
