"""Make a backend or a baseline of any class that can answer or score, and identify it by its code."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lvlm_ad.backend import Backend, BackendOptions, Capabilities, ManyBackend
from lvlm_ad.baseline import Baseline
from lvlm_ad.errors import PluginError
from lvlm_ad.plugins.source import hash_of
from lvlm_ad.presets import Pacing, Price

__all__ = ["METHODS", "Kind", "Plugin", "as_plugin"]

Kind = Literal["backend", "baseline"]

METHODS = ("answer", "answer_many", "score")
"""A class with one of these methods can be a plugin."""
_TAKEN = {"name", "description", "backend", "baseline", *Price.model_fields, *Pacing.model_fields}
"""Settings of every model: ``--set`` could not reach an option of the same name."""


@dataclass(frozen=True)
class Plugin:
    """A class that can be a backend or a baseline.

    Attributes:
        kind: which of them.
        cls: the class, as its author wrote it.
        source: see ``Backend.source``.
        files: the files that ``source`` is the hash of, by name.

    Example:
        >>> class Half:
        ...     def answer(self, request):
        ...         return "image anomaly score: 0.5"
        >>> plugin = as_plugin(Half, "Half")
        >>> plugin.kind, plugin.build().answer(None)
        ('backend', 'image anomaly score: 0.5')
    """

    kind: Kind
    cls: type[Any]
    source: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def contract(self) -> type[Any]:
        """The class of the contract that its objects are made to keep."""
        if self.kind == "baseline":
            return Baseline
        return ManyBackend if hasattr(self.cls, "answer_many") else Backend

    @property
    def Options(self) -> type[BackendOptions]:  # noqa: N802 - as on the contract
        """The class of its options."""
        options: type[BackendOptions] = getattr(self.cls, "Options", self.contract.Options)
        return options

    @property
    def billed(self) -> bool:
        """Whether answers cost money; see ``Backend``."""
        return bool(getattr(self.cls, "billed", getattr(self.contract, "billed", False)))

    @property
    def distributable(self) -> bool:
        """Whether copies may run on a cluster; see ``Backend``."""
        old = getattr(self.cls, "spreads", self.contract.distributable)
        return bool(getattr(self.cls, "distributable", old))

    @property
    def engines(self) -> tuple[str, ...]:
        """Backends that run the same models; see ``Backend``."""
        return self.cls.engines if issubclass(self.cls, Backend) else ()

    @property
    def follows_method(self) -> bool:
        """Whether its row depends on the method of a bench: a chat model's, and the oracle's."""
        return self.kind == "backend" or bool(getattr(self.cls, "through_method", False))

    def build(self, options: BackendOptions | None = None) -> Any:
        """Make the backend or baseline.

        Args:
            options: an object of ``Options``; None: the defaults.
        """
        options = self.Options() if options is None else options
        if issubclass(self.cls, self.contract):
            plugin = self.cls(options)
        else:
            takes_options = issubclass(self.cls, Backend) or _takes_options(self.cls)
            own = self.cls(options) if takes_options else self.cls()
            if not hasattr(own, "options"):
                with suppress(AttributeError):
                    own.options = options
            adapters = {Backend: _BackendAdapter, ManyBackend: _ManyAdapter, Baseline: _BaselineAdapter}
            plugin = adapters[self.contract](own, options)
        if self.source:
            plugin.source = self.source
        return plugin


def _takes_options(cls: type[Any]) -> bool:
    """Return whether a class is built with its options: its first parameter is called so, or has no default."""
    first = next(iter(inspect.signature(cls).parameters.values()), None)
    if first is None or first.name == "options":
        return first is not None
    return first.default is first.empty and first.kind in {first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD}


class _Adapter:
    """Makes an object of any class keep a contract: it uses what the object has, the contract adds the rest."""

    _not_delegated: tuple[str, ...] = ("implementation", "make_detector")

    def __init__(self, own: Any, options: Any) -> None:
        super().__init__(options)  # type: ignore[call-arg]
        self._own = own
        for name in {name for name in dir(type(self)) if not name.startswith("_")} - {*self._not_delegated}:
            inherited = isinstance(own, Backend) and getattr(type(own), name, None) is getattr(Backend, name, own)
            if hasattr(own, name) and not inherited:
                setattr(self, name, getattr(own, name))

    @property
    def implementation(self) -> type:
        return type(self._own)


class _BackendAdapter(_Adapter, Backend):
    """A backend made of an object with ``answer``."""


class _ManyAdapter(_Adapter, ManyBackend):
    """A backend made of an object with ``answer_many``, whatever its ``answer`` does."""

    _not_delegated = (*_Adapter._not_delegated, "answer", "close")  # noqa: SLF001 - of its own base class

    def close(self) -> None:
        super().close()
        if callable(getattr(self._own, "close", None)):
            self._own.close()


class _BaselineAdapter(_Adapter, Baseline):
    """A baseline made of an object with ``score``."""


def as_plugin(cls: Any, name: str, files: Mapping[str, Path] | None = None) -> Plugin:
    """Make a plugin of a class that has ``answer``, ``answer_many`` or ``score``; no base class is needed.

    Args:
        cls: the class.
        name: what the user calls it, for messages.
        files: the files that decide what it does, by name, if it has no version.

    Raises:
        PluginError: it is no such class.
    """
    if not isinstance(cls, type):
        raise PluginError(f"{name} is {type(cls).__name__}, not a class with answer or score.")
    options = getattr(cls, "Options", BackendOptions)
    if not (isinstance(options, type) and issubclass(options, BackendOptions)):
        raise PluginError(f"{name}: Options is {options!r:.60}; it must be a class derived from BackendOptions.")
    for option in options.model_fields:
        if option in _TAKEN:
            raise PluginError(f"{name}: every model has a setting {option!r}; give your option another name.")
    capabilities = getattr(cls, "capabilities", Capabilities())
    if not isinstance(capabilities, Capabilities) and not hasattr(capabilities, "__get__"):
        raise PluginError(f"{name}: capabilities is {capabilities!r:.60}; it must be a Capabilities.")
    methods = [method for method in METHODS if hasattr(cls, method)]
    if not methods:
        raise PluginError(f"{name} has none of the methods {', '.join(METHODS)}, so it is no backend or baseline.")
    kind: Kind = "baseline" if methods == ["score"] or issubclass(cls, Baseline) else "backend"
    return Plugin(kind, cls, hash_of(files or {}), files or {})
