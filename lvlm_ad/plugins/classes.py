"""Makes a plugin of any class that can answer or score."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from lvlm_ad.backend import Backend, BackendOptions, Capabilities, ManyBackend
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import PluginError
from lvlm_ad.presets import Pacing, Price

__all__ = ["METHODS", "Kind", "as_plugin"]

Kind = Literal["backend", "baseline"]

METHODS = ("answer", "answer_many", "score")
"""A class with one of them can be a plugin."""

_TAKEN = {"name", "description", "backend", "baseline", *Price.model_fields, *Pacing.model_fields}
"""What ``--set`` and a preset's file say of every model: an option of that name could not be reached."""


def as_plugin(found: Any, name: str) -> tuple[Kind, type[Any]]:
    """Return a class as a backend or a baseline.

    A class of any ancestry with ``answer`` or ``answer_many`` is a backend, one with ``score`` a baseline; what the
    contract demands besides is mixed in.

    Args:
        found: what was found under the name.
        name: where it was found, for messages.

    Raises:
        PluginError: it is no such class.
    """
    if not isinstance(found, type):
        raise PluginError(f"{name} is {type(found).__name__}, not a class with answer or score.")
    _check_members(found, name)
    for method in METHODS:
        if inspect.iscoroutinefunction(getattr(found, method, None)):
            raise PluginError(f"{name}: {method} is async; it must be a plain method, which is called from threads.")
        _check_takes_one(found, method, name)
    many = callable(getattr(found, "answer_many", None))
    if issubclass(found, Baseline | ManyBackend) or (issubclass(found, Backend) and not many):
        return ("baseline" if issubclass(found, Baseline) else "backend"), found
    if many:
        # Whatever its answer does, questions are answered together.
        return "backend", _mixed(found, ManyBackend, {"answer": ManyBackend.answer})
    if callable(getattr(found, "answer", None)):
        return "backend", _mixed(found, Backend, {})
    if callable(getattr(found, "score", None)):
        return "baseline", _mixed(found, Baseline, {})
    raise PluginError(f"{name} has none of the methods answer, answer_many and score, so it is no backend or baseline.")


def _check_members(found: type[Any], name: str) -> None:
    """Refuse options and capabilities that are none."""
    options = getattr(found, "Options", BackendOptions)
    if not (isinstance(options, type) and issubclass(options, BackendOptions)):
        raise PluginError(f"{name}: Options is {options!r:.60}; it must be a class derived from BackendOptions.")
    for option in options.model_fields:
        if option in _TAKEN:
            raise PluginError(f"{name}: the option {option!r} is one that every model has; call it something else.")
    capabilities = getattr(found, "capabilities", Capabilities())
    if not isinstance(capabilities, Capabilities) and not hasattr(capabilities, "__get__"):
        raise PluginError(f"{name}: capabilities is {capabilities!r:.60}; it must be a Capabilities.")


def _check_takes_one(found: type[Any], method: str, name: str) -> None:
    """Refuse a method that cannot be called with itself and one thing more."""
    written = inspect.getattr_static(found, method, None)
    if not inspect.isfunction(written):
        return
    signature = inspect.signature(written)
    try:
        signature.bind(None, None)
    except TypeError:
        given = {"answer": "a request", "answer_many": "a list of requests", "score": "a view"}[method]
        raise PluginError(f"{name}: {method}{signature} must be callable with self and {given}.") from None


def _mixed(found: type[Any], base: type[Any], members: dict[str, Any]) -> type[Any]:
    own = {"__module__": found.__module__, "__qualname__": found.__qualname__, "__doc__": found.__doc__}
    if not issubclass(found, Backend | Baseline):
        wants = found.__init__ is not object.__init__ and _wants_options(found)

        def start(self: Any, options: Any = None) -> None:
            base.__init__(self, options)
            if found.__init__ is not object.__init__:
                found.__init__(self, *([self.options] if wants else []))

        members = {**members, "__init__": start}
    return type(found.__name__, (found, base), {**own, **members})


def _wants_options(found: type[Any]) -> bool:
    """Whether a class is to be built with its options: it calls its first parameter so, or cannot do without it."""
    first = list(inspect.signature(found).parameters.values())[:1]
    return any(
        one.name == "options"
        or (one.default is one.empty and one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD})
        for one in first
    )
