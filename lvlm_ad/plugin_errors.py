"""Turn whatever a plugin's code raises into one error that names the plugin, the line and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from lvlm_ad.errors import LvlmAdError, PluginError, place_of, where

__all__ = ["missing_module", "plugin_code"]

_EXTRAS = {"torch": "local", "transformers": "local", "accelerate": "local", "open_clip": "clip", "ray": "ray"}
"""Top-level module -> the extra of lvlm-ad that installs it."""


@contextmanager
def plugin_code(
    what: str,
    *,
    name: str = "",
    error: type[LvlmAdError] = PluginError,
    missing: type[LvlmAdError] | None = None,
    whole_path: bool = True,
    after: str = ".",
) -> Iterator[None]:
    """Run code of a plugin. What it raises, an end of the process included, becomes an error with one line of text.

    Errors of lvlm-ad pass unchanged, and so does Ctrl-C.

    Args:
        what: beginning of the message, such as "my.py cannot be loaded:".
        name: the plugin, for a message about a missing module; by default ``what``.
        error: the error to raise.
        missing: the error to raise for a missing module, if it is another.
        whole_path: whether to name files with their folders. Messages that a run keeps must not.
        after: end of the message.

    Raises:
        LvlmAdError: of the type ``error`` or ``missing``.

    Example:
        >>> with plugin_code("The backend 'b' raised"):
        ...     raise SystemExit(3)
        Traceback (most recent call last):
        ...
        lvlm_ad.errors.PluginError: The backend 'b' raised SystemExit: 3 (...line 2).
    """
    try:
        yield
    except LvlmAdError:
        raise
    except ModuleNotFoundError as caught:
        raise (missing or error)(missing_module(name or what, caught, whole_path=whole_path)) from caught
    except (Exception, SystemExit) as caught:
        raise error(f"{what} {where(caught, whole_path=whole_path)}{after}") from caught


def missing_module(name: str, error: ModuleNotFoundError, *, whole_path: bool = True) -> str:
    """Say which module a plugin needs, in which line, and which command installs it.

    Args:
        name: the plugin, for the message.
        error: what the import raised.
        whole_path: whether to name the file with its folder.

    Example:
        >>> missing_module("The backend 'b'", ModuleNotFoundError(name="open_clip"))
        "The backend 'b' needs the module 'open_clip', which is not installed; pip install 'lvlm-ad[clip]'."
    """
    module, _, inner = (error.name or "").partition(".")
    line = place_of(error, whole_path=whole_path)
    if not module:
        return f"{name} cannot be loaded: {error!s:.200}{line}."
    if inner and find_spec(module) is not None:
        return f"{name} cannot be loaded: there is no module {error.name!r}, though {module!r} is installed{line}."
    extra = _EXTRAS.get(module)
    remedy = f"pip install 'lvlm-ad[{extra}]'" if extra else f"install the package that brings {module!r}"
    return f"{name} needs the module {module!r}, which is not installed{line}; {remedy}."
