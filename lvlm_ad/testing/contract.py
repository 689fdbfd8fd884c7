"""The checks that hold for backends and for baselines."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any

from pydantic import ValidationError

from lvlm_ad.backend import Backend, BackendOptions
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import PluginError
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.plugins import Kind, as_plugin
from lvlm_ad.testing.fresh import in_a_fresh_python
from lvlm_ad.testing.running import PATIENCE, ContractError, expect, patience, run_alone, so_far
from lvlm_ad.testing.state import look

__all__ = [
    "built",
    "built_anew_it_is_the_same",
    "changed_elsewhere",
    "identity_is_json",
    "import_is_light",
    "one_check",
    "options_are_typed",
]

_LONGEST_IMPORT = 2.0
"""Seconds that a module's import may take, or as many times as long as this package's own on a slow machine."""


def built(given: Any, kind: Kind) -> Any:
    """Return a backend or baseline: the object itself, or one of a class with its default options.

    Raises:
        ContractError: it is an object of another class, or cannot be built.
        PluginError: the class is no backend or baseline.
    """
    if isinstance(given, Backend if kind == "backend" else Baseline):
        return given
    if not isinstance(given, type):
        raise ContractError(f"{type(given).__name__} is no subclass of the contract's class; give the class itself")
    plugin = as_plugin(given, given.__name__)
    expect(plugin.kind == kind, f"{given.__name__} is a {plugin.kind}, not a {kind}")
    try:
        with plugin_code(f"{given.__name__} cannot be built:", after=""):
            return plugin.build()
    except PluginError as error:
        raise ContractError(str(error)) from error


def one_check(kind: Kind, check: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a check that takes what ``check_backend`` or ``check_baseline`` takes, as a test of its own."""

    @wraps(check)
    def run(given: Any, *, limit: float = PATIENCE) -> None:
        began = look()
        run_alone(check, built(given, kind), limit, began)

    return run


def identity_is_json(plugin: Backend | Baseline) -> None:
    """The identity holds JSON values only, and is the same each time."""
    identity = plugin.identity()
    text = json.dumps(identity, sort_keys=True)
    expect(json.loads(text) == identity, "identity() must hold JSON values only, keys that are text included")
    expect(json.dumps(plugin.identity(), sort_keys=True) == text, "identity() must be the same each time")


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
    other = as_plugin(plugin.implementation, "it").build(again)
    other.source = plugin.source
    identity = plugin.identity()
    alike = identity != plugin.identity() or other.identity() == identity
    # Whether it can be closed is another check's.
    with suppress(Exception):
        other.close()
    expect(alike, "built anew from its options it has another identity()")


def import_is_light(plugin: Backend | Baseline) -> None:
    """Its module is imported in a moment, without loading torch and the like: they belong into the methods."""
    found = in_a_fresh_python(plugin, patience())
    if found is None:
        return
    expect(not found.failed, f"in a fresh Python its import fails: {found.failed}")
    expect(not found.heavy, f"importing it loads {', '.join(found.heavy)}; import them where they are used")
    if _is_slow(found.seconds, found.own):
        # Once more: the first time, its files may have come from a disk, or the machine was busy.
        found = in_a_fresh_python(plugin, patience(), again=True) or found
    expect(
        not _is_slow(found.seconds, found.own),
        f"importing it takes {found.seconds:.1f} seconds beside the {found.own:.1f} of lvlm_ad itself; import what is "
        "slow where it is used",
    )


def changed_elsewhere(plugin: Backend | Baseline) -> list[str]:
    """Return what of the process its import, its construction or an earlier check was seen to change, in words."""
    found = in_a_fresh_python(plugin, patience())
    return [*(found.changed if found else ()), *(f"it changes {what}" for what in so_far().changed)]


def _is_slow(seconds: float, own: float) -> bool:
    return seconds > max(_LONGEST_IMPORT, 2 * own)
