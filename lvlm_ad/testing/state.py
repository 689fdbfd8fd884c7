"""What a plugin must leave as it is in the process that it shares with others."""

from __future__ import annotations

import logging
import os
import random
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["State", "changes", "draw", "look", "put_back", "state_is_kept"]

State = dict[str, Any]
"""What is looked at, by what it is called in messages."""

_STREAMS = ("random's stream", "numpy's stream")
_ROUNDS = 300
"""How far a stream is looked for: each round has 624 numbers."""
_NOBODYS = "KMP_"
"""Variables that begin so are set by scikit-learn when it is imported, whoever imports it."""


def look() -> State:
    """Return the state of the process, by what it is called."""
    return {
        "random's stream": random.getstate(),
        "numpy's stream": np.random.get_state(),  # noqa: NPY002 - the old global stream, which others use
        "the environment": dict(os.environ),
        "the working folder": Path.cwd(),
        "sys.path": list(sys.path),
        "the recursion limit": sys.getrecursionlimit(),
        "what logging.disable is set to": logging.root.manager.disable,
        "what is warned of (warnings.filters)": list(warnings.filters),
        "the default time-out of sockets": socket.getdefaulttimeout(),
        "numpy's handling of errors (np.seterr)": np.geterr(),
        "how numpy prints": np.get_printoptions(),
    }


def changes(before: State, after: State, *, drawn: bool = True) -> list[str]:
    """Return what has changed from one look to another.

    Args:
        before: the first look.
        after: the second.
        drawn: whether a random stream has changed already when something was drawn from it, as libraries do when they
            are imported; False: only when it was seeded.
    """
    found = [name for name in before if _comparable(name, before[name]) != _comparable(name, after[name])]
    if drawn:
        return found
    return [name for name in found if name not in _STREAMS or not _is_later(_words(before[name]), _words(after[name]))]


def put_back(state: State) -> None:
    """Make the process what it was."""
    changed = changes(state, look())
    if "random's stream" in changed:
        random.setstate(state["random's stream"])
    if "numpy's stream" in changed:
        np.random.set_state(state["numpy's stream"])  # noqa: NPY002 - as above
    if dict(os.environ) != state["the environment"]:
        os.environ.clear()
        os.environ.update(state["the environment"])
    if "the working folder" in changed:
        os.chdir(state["the working folder"])
    if "sys.path" in changed:
        sys.path[:] = state["sys.path"]
    if "what is warned of (warnings.filters)" in changed:
        warnings.filters[:] = state["what is warned of (warnings.filters)"]  # type: ignore[index]
    sys.setrecursionlimit(state["the recursion limit"])
    logging.disable(state["what logging.disable is set to"])
    socket.setdefaulttimeout(state["the default time-out of sockets"])
    np.seterr(**state["numpy's handling of errors (np.seterr)"])
    if "how numpy prints" in changed:
        np.set_printoptions(**state["how numpy prints"])


def draw() -> None:
    """Draw from the random streams: a stream that was seeded before shows it when it is seeded so again."""
    random.random()  # noqa: S311 - it is drawn to be thrown away
    np.random.random()  # noqa: NPY002 - as above


@contextmanager
def state_is_kept() -> Iterator[list[str]]:
    """Fill a list, at the end, with what was changed within, and put that back."""
    changed: list[str] = []
    outside = look()
    draw()
    before = look()
    try:
        yield changed
    finally:
        changed += changes(before, look())
        put_back(outside)


def _comparable(name: str, value: Any) -> Any:
    if name == "numpy's stream":
        return repr(value)
    if name == "the environment":
        return {key: one for key, one in value.items() if not key.startswith(_NOBODYS)}
    if name.startswith("what is warned of"):
        # A library may mute a warning of its own when it is imported; nobody may mute all of a kind.
        return [one for one in value if one[1] is None and one[3] is None and one[2].__module__ == "builtins"]
    return value


def _words(state: Any) -> tuple[int, ...]:
    """Return the 624 words of a Mersenne twister, of Python's or of numpy's."""
    return tuple(state[1][:624]) if isinstance(state[0], int) else tuple(state[1].tolist())


def _is_later(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Say whether drawing leads from one state of a stream to another."""
    stream = random.Random()  # noqa: S311 - it is compared
    stream.setstate((3, (*before, 624), None))
    words = before
    for _ in range(_ROUNDS):
        if words == after:
            return True
        stream.getrandbits(32 * 624)
        words = stream.getstate()[1][:624]
    return False
