"""Turn whatever a plugin's code raises into one error that names the plugin, the line and what to do."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from types import FrameType

from lvlm_ad.errors import LvlmAdError, PluginError, place_of, where

__all__ = ["missing_module", "plugin_code", "same_name"]

_EXTRAS = {"torch": "local", "transformers": "local", "accelerate": "local", "open_clip": "clip", "ray": "ray"}
"""Top-level module -> the extra of lvlm-ad that installs it."""
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)([^;]*)(?:;.*?extra\s*==\s*[\"']([^\"']+)[\"'])?")
"""A requirement's distribution, its versions, and the extra that asks for it."""


@contextmanager
def plugin_code(
    what: str,
    *,
    name: str = "",
    module: str = "",
    error: type[LvlmAdError] = PluginError,
    missing: type[LvlmAdError] | None = None,
    whole_path: bool = True,
    after: str = ".",
) -> Iterator[None]:
    """Run code of a plugin. What it raises, an end of the process included, becomes an error with one line of text.

    Errors of lvlm-ad pass unchanged, and so does Ctrl-C.

    Args:
        what: beginning of the message, such as "my.py cannot be loaded:".
        name: the plugin, for a message about a missing module; by default ``what`` without its last words.
        module: the plugin's module; its distribution tells which command installs a missing module.
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
        with _own_interrupts_are_errors():
            yield
    except LvlmAdError:
        raise
    except ModuleNotFoundError as caught:
        text = missing_module(name or what, caught, of=module, whole_path=whole_path)
        raise (missing or error)(text) from caught
    except (Exception, SystemExit) as caught:
        raise error(f"{what} {where(caught, whole_path=whole_path)}{after}") from caught


@contextmanager
def _own_interrupts_are_errors() -> Iterator[None]:
    """Convert a KeyboardInterrupt that the code itself raises into an ordinary error; the user's Ctrl-C passes."""
    pressed = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        pressed.set()
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    # Only the main thread receives signals, and another program part may handle them itself.
    handled = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if handled:
        signal.signal(signal.SIGINT, on_signal)
    try:
        yield
    except KeyboardInterrupt as error:
        if pressed.is_set() or (main and not handled):
            raise
        raised = RuntimeError("KeyboardInterrupt, though nobody pressed Ctrl-C")
        raise raised.with_traceback(error.__traceback__) from error
    finally:
        if handled and signal.getsignal(signal.SIGINT) is on_signal:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def missing_module(name: str, error: ModuleNotFoundError, *, of: str = "", whole_path: bool = True) -> str:
    """Say which module a plugin needs, in which line, and which command installs it.

    Args:
        name: the plugin, for the message.
        error: what the import raised.
        of: the plugin's own module; the requirements of its distribution are searched.
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
    return f"{name} needs the module {module!r}, which is not installed{line}; {_remedy(module, of)}."


def same_name(one: str, other: str) -> bool:
    """Compare names of distributions: case, dots, dashes and underscores do not matter.

    Example:
        >>> same_name("lvlm_ad", "Lvlm-AD")
        True
    """
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def _remedy(module: str, of: str) -> str:
    """Return the command that installs a module, from the requirements of the plugin's distribution or our extras."""
    for owner in _owners(of):
        for requirement in owner.requires or ():
            match = _REQUIREMENT.match(requirement)
            if match and (same_name(match[1], module) or same_name(match[1], f"python-{module}")):
                wanted = f"{owner.name}[{match[3]}]" if match[3] else match[1] + match[2].strip()
                return f"pip install {wanted!r}"
    extra = _EXTRAS.get(module)
    return f"pip install 'lvlm-ad[{extra}]'" if extra else f"install the package that brings {module!r}"


def _owners(module: str) -> list[Distribution]:
    """Return the distributions that contain a module, except lvlm-ad."""
    try:
        names = packages_distributions().get(module.partition(".")[0], [])
        owners = [distribution(name) for name in dict.fromkeys(names)]
    except (PackageNotFoundError, UnicodeDecodeError):
        # The record of some package is damaged; this is only a hint.
        return []
    return [owner for owner in owners if not same_name(owner.name, "lvlm-ad")]
