"""Turn whatever a plugin's code raises into one error that names the plugin, the line and what to do."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path, PurePath

from lvlm_ad.errors import LvlmAdError, PluginError

__all__ = ["plugin_code", "where"]

_EXTRAS = {"torch": "local", "transformers": "local", "accelerate": "local", "open_clip": "clip", "ray": "ray"}
"""Top-level module -> the extra of lvlm-ad that installs it."""


@contextmanager
def plugin_code(
    what: str,
    *,
    name: str = "",
    error: type[LvlmAdError] = PluginError,
    missing: type[LvlmAdError] | None = None,
    after: str = ".",
) -> Iterator[None]:
    """Run code of a plugin. What it raises, an end of the process included, becomes an error with one line of text.

    Errors of lvlm-ad pass unchanged, and so does Ctrl-C.

    Args:
        what: beginning of the message, such as "my.py cannot be loaded:".
        name: the plugin, for a message about a missing module; by default ``what``.
        error: the error to raise.
        missing: the error to raise for a missing module, if it is another.
        after: end of the message.

    Raises:
        LvlmAdError: of the type ``error`` or ``missing``.

    Example:
        >>> with plugin_code("The backend 'b' raised"):
        ...     raise SystemExit(3)
        Traceback (most recent call last):
        ...
        lvlm_ad.errors.PluginError: The backend 'b' raised SystemExit: 3 (...line 2).
        >>> with plugin_code("The backend 'b' cannot be loaded:", name="The backend 'b'"):
        ...     raise ModuleNotFoundError(name="open_clip")
        Traceback (most recent call last):
        ...
        lvlm_ad.errors.PluginError: The backend 'b' needs the module 'open_clip', which is not installed (...line 2);
        pip install 'lvlm-ad[clip]'.
    """
    try:
        yield
    except LvlmAdError:
        raise
    except ModuleNotFoundError as caught:
        raise (missing or error)(_missing_module(name or what, caught)) from caught
    except (Exception, SystemExit) as caught:
        raise error(f"{what} {where(caught)}{after}") from caught


def _missing_module(name: str, error: ModuleNotFoundError) -> str:
    """Say which module a plugin needs, in which line, and which command installs it."""
    module, _, inner = (error.name or "").partition(".")
    if not module or (inner and find_spec(module) is not None):
        return f"{name} cannot be loaded: {where(error)}."
    extra = _EXTRAS.get(module)
    remedy = f"pip install 'lvlm-ad[{extra}]'" if extra else f"install the package that brings {module!r}"
    return f"{name} needs the module {module!r}, which is not installed{_line(error)}; {remedy}."


def where(error: BaseException) -> str:
    """Describe an exception of a plugin in one line: its type, its message, and the line of code that raised it.

    Example:
        >>> where(ValueError("no scores"))
        'ValueError: no scores'
    """
    message = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
    return f"{type(error).__name__}{f': {message:.200}' if message else ''}{_line(error)}"


def _line(error: BaseException) -> str:
    """Return " (file, line n)": the innermost line of the user's code, or else of an installed package; or nothing.

    A folder of the user is not named, since a run keeps some messages.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f" ({PurePath(error.filename).name}, line {error.lineno})"
    ours = f"{Path(__file__).parent}{os.sep}"
    python, *packages = (sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(("<frozen", ours))
    ]
    # Packages may be installed below the standard library.
    installed = [frame for frame in frames if frame.filename.startswith(tuple(packages))]
    users = [frame for frame in frames if frame not in installed and not frame.filename.startswith(python)]
    if users:
        return f" ({PurePath(users[-1].filename).name}, line {users[-1].lineno})"
    if installed:
        return f" ({'/'.join(PurePath(installed[-1].filename).parts[-2:])}, line {installed[-1].lineno})"
    return ""
