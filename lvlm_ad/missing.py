"""Says which module a plugin lacks, and the command that brings it."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec

from lvlm_ad.errors import place_of

__all__ = ["missing_module"]

_EXTRAS = {"torch": "local", "transformers": "local", "accelerate": "local", "open_clip": "clip", "ray": "ray"}
"""Top-level module -> the extra of ours that brings it."""
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][\w.-]*)([^;]*)(?:;.*?extra\s*==\s*[\"']([^\"']+)[\"'])?")
"""A distribution's name, what else is wanted of it, and the extra that wants it."""


def missing_module(name: str, error: ModuleNotFoundError, *, of: str = "", whole_path: bool = True) -> str:
    """Say which module a plugin lacks, in which line it is wanted, and the command that brings it.

    Args:
        name: the plugin, for the message.
        error: what its import raised.
        of: the plugin's own module: what its distribution says of its requirements is known by it.
        whole_path: whether to name the file with its folder.
    """
    module, _, beyond = (error.name or "").partition(".")
    line = place_of(error, whole_path=whole_path)
    if not module:
        return f"{name} cannot be loaded: {error!s:.200}{line}."
    if beyond and find_spec(module) is not None:
        return f"{name} cannot be loaded: there is no module {error.name!r}, though {module!r} is installed{line}."
    return f"{name} needs the module {module!r}, which is not installed{line}; {_remedy(module, of)}."


def _remedy(module: str, of: str) -> str:
    """Return the command that brings a module, as the plugin's own distribution or this one says."""
    for owner in _owners(of):
        for requirement in owner.requires or ():
            match = _REQUIREMENT.match(requirement)
            if match is None or _plain(match[1]) not in {_plain(module), _plain(f"python-{module}")}:
                continue
            wanted = f"{owner.name}[{match[3]}]" if match[3] else match[1] + match[2].strip()
            return f"pip install {wanted!r}"
    extra = _EXTRAS.get(module)
    return f"pip install 'lvlm-ad[{extra}]'" if extra else f"install the package that brings {module!r}"


def _owners(module: str) -> list[Distribution]:
    """Return the distributions that bring a module, this one aside."""
    found = []
    try:
        names = packages_distributions().get(module.partition(".")[0], [])
    except Exception:  # noqa: BLE001 - the record of any package may be damaged; this is a hint
        names = []
    for name in dict.fromkeys(names):
        with suppress(PackageNotFoundError):
            found.append(distribution(name))
    return [one for one in found if _plain(one.name) != "lvlm-ad"]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
