"""What runs on a worker: holds one model, or one that divides, and answers calls. It needs no ray."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, where
from lvlm_ad.versions import versions

__all__ = ["Described", "Held", "Host", "UnlikeError", "check_versions", "packed", "unpacked", "wanted_versions"]

_MEASURES = ("lvlm-ad", "numpy", "pillow", "scikit-image", "scipy")
"""What draws, cuts and measures on both sides, and so must be of the same versions there and here."""


def machine() -> str:
    """Name this machine; on a cluster also by its address and Ray's own id, since names may be alike."""
    name, ray = socket.gethostname(), sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return name
    return f"{name} ({ray.util.get_node_ip_address()}, node {ray.get_runtime_context().get_node_id()[:8]})"


class UnlikeError(ConfigError):
    """A worker has other versions than the process that asks."""


def wanted_versions() -> dict[str, str]:
    """Return the versions that a worker must have: those of this process, the one that asks."""
    return {name: version for name, version in versions().items() if name in _MEASURES}


def check_versions(wanted: Mapping[str, str]) -> None:
    """Compare this worker's versions with those of the process that asks.

    Raises:
        UnlikeError: one differs.
    """
    here = versions()
    for name, version in wanted.items():
        if here.get(name) != version:
            raise UnlikeError(f"{machine()} has {name} {here.get(name)}, not {version}; install the same.")


@dataclass(frozen=True)
class Described:
    """What a worker says of itself and of what it holds.

    Attributes:
        identity: decides the answers; every worker must say the same.
        versions: of the packages that the numbers depend on; likewise.
        machine: its name, for messages; see ``machine``.
        facts: what else there is to know, by what is held.
    """

    identity: dict[str, Any]
    versions: dict[str, str]
    machine: str = field(default_factory=machine)
    facts: dict[str, Any] = field(default_factory=dict)


class Held(Protocol):
    """What a worker holds."""

    def describe(self) -> Described:
        """Say what it is."""

    def close(self) -> None:
        """Release what it holds."""


def packed(value: Any) -> bytes:
    """Make bytes of a value that a worker of the same versions reads.

    Arrays that go through Ray's own store cannot be written to where they arrive; methods of others may want to.
    """
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes) -> Any:
    """Read what ``packed`` made."""
    return pickle.loads(data)  # nosec B301 # noqa: S301 - it comes from this run's own process


class Host:
    """Makes what it holds when first asked, and says what went wrong instead of dying of it.

    Args:
        make: ``packed`` function without arguments that makes what is held.
        wanted: the versions without which it is not made.
    """

    def __init__(self, make: bytes, wanted: Mapping[str, str]) -> None:
        self._make, self._wanted = make, wanted
        self._making = threading.Lock()
        self._held: Held | None = None

    def describe(self) -> bytes:
        """Return ``packed`` what is held: ``Described``, or the ``LvlmAdError`` that prevents it."""
        return self._said(lambda: self._there().describe())

    def call(self, method: str, *arguments: bytes) -> bytes:
        """Call a method of what is held.

        Args:
            method: its name.
            arguments: ``packed`` ones.

        Returns:
            ``packed`` what it returned, or the exception that it raised.
        """
        return self._said(lambda: getattr(self._there(), method)(*map(unpacked, arguments)))

    def close(self) -> None:
        """Release what is held."""
        if self._held is not None:
            self._held.close()

    def _there(self) -> Any:
        with self._making:
            if self._held is None:
                # First: what follows may differ, or fail, for no other reason.
                check_versions(self._wanted)
                make: Callable[[], Held] = unpacked(self._make)
                self._held = make()
            return self._held

    @staticmethod
    def _said(do: Callable[[], Any]) -> bytes:
        try:
            return packed(do())
        except LvlmAdError as error:
            return packed(_bare(error))
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is said where the run is
            return packed(Strange(where(error, whole_path=False)))


class Strange(Exception):  # noqa: N818 - it is not raised as it is
    """Something that is no ``LvlmAdError`` was raised on a worker; the text says what and where."""


def _bare(error: LvlmAdError) -> LvlmAdError:
    """Return an error without what it was caused by, which may not travel; one of a stranger's kind as the nearest."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    try:
        pickle.loads(pickle.dumps(error))  # nosec B301 # noqa: S301 - one's own
    except Exception:  # noqa: BLE001 - pickling runs a stranger's code
        return FatalError(str(error))
    return error
