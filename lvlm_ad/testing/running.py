"""Runs checks: each by itself, none for ever, and says what each found."""

from __future__ import annotations

import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from lvlm_ad.errors import line_of, where
from lvlm_ad.testing.state import State, changes, look, put_back

__all__ = [
    "PATIENCE",
    "ContractError",
    "HungError",
    "SoFar",
    "alive",
    "expect",
    "patience",
    "problems",
    "report",
    "run_alone",
    "sentence",
    "so_far",
    "together",
]

PATIENCE = 120.0
"""Seconds without an answer after which a check is taken to hang."""

_UNWATCHED = {
    # Several threads are under way: what one changes for a moment must not be held against another.
    "many_at_once",
    "closing_ends_it",
    # They ask nothing; what they look at has faults of its own.
    "identity_is_json",
    "built_anew_it_is_the_same",
    "nothing_secret_is_shown",
}
"""Checks after which it does not count what has changed."""

A = TypeVar("A")
B = TypeVar("B")


class ContractError(AssertionError):
    """A backend or baseline breaks its contract; each line of the text begins with the name of a check."""


class HungError(ContractError):
    """Nothing came for too long."""


@dataclass
class SoFar:
    """What was seen in passing, for the check whose business it is.

    Attributes:
        began: the state of the process before the plugin was built, or even imported, as far as that is known.
        changed: "the environment (in any_text)" and the like: what a check left changed.
        leaked: names of keys that stood in an answer or an error.
    """

    began: State = field(default_factory=look)
    changed: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)


@dataclass
class _Watch:
    """When something last came, and which threads wait for more."""

    patience: float
    last: float = field(default_factory=monotonic)
    threads: list[threading.Thread] = field(default_factory=list)


_WATCH: ContextVar[_Watch | None] = ContextVar("watch", default=None)
_SO_FAR: ContextVar[SoFar | None] = ContextVar("so_far", default=None)


def so_far() -> SoFar:
    """Return what was seen since the first check."""
    return _SO_FAR.get() or SoFar()


def alive() -> None:
    """Say that something came: the clock begins anew."""
    watch = _WATCH.get()
    if watch is not None:
        watch.last = monotonic()


def patience() -> float:
    """Return how many seconds may pass without an answer."""
    watch = _WATCH.get()
    return PATIENCE if watch is None else watch.patience


def expect(holds: object, otherwise: str) -> None:
    """Find a contract broken unless something holds.

    Raises:
        ContractError: it does not.
    """
    if not holds:
        raise ContractError(otherwise)


def sentence(check: Callable[..., None]) -> str:
    """Return what a check demands, in a sentence."""
    return " ".join((inspect.getdoc(check) or "").split("\n\n")[0].split())


def report(wrong: Mapping[str, str]) -> None:
    """Raise what ``problems`` found.

    Raises:
        ContractError: something is wrong; a line for each check.
    """
    if wrong:
        raise ContractError("\n".join(f"{name}: {text}" for name, text in wrong.items()))


def run_alone(check: Callable[[Any], None], plugin: Any, limit: float = PATIENCE, began: State | None = None) -> None:
    """Run one check, and leave the process as it was.

    Args:
        check: the check.
        plugin: a backend or baseline.
        limit: seconds without an answer after which it is taken to hang.
        began: the state before the plugin was built; None: as ``problems`` was told, or as it is now.

    Raises:
        ContractError: it fails. What the plugin raises, an end of the process included, is such a failure.
    """
    seen = so_far() if began is None else SoFar(began)
    token = _SO_FAR.set(seen)

    def act() -> None:
        # Here and not outside: some of the state, as that of numpy, belongs to a thread.
        before = look()
        try:
            check(plugin)
        finally:
            if check.__name__ not in _UNWATCHED:
                # Libraries that are imported when the first question comes may draw.
                changed = changes(before, look(), drawn=False)
                seen.changed += [f"{what} (in {check.__name__})" for what in changed]
            put_back(before)

    try:
        _watched(act, limit)
    except ContractError:
        raise
    # Whatever a stranger's code raises is a finding. An interruption by the user comes to this thread, not to that one.
    except _RaisedError as error:
        raise ContractError(where(error.error)) from error.error
    finally:
        _SO_FAR.reset(token)


def problems(
    plugin: Any,
    checks: Mapping[str, Callable[[Any], None]],
    heard: Callable[[str, str, str], None] = lambda *_: None,
    limit: float = PATIENCE,
    began: State | None = None,
) -> dict[str, str]:
    """Run every check, each by itself.

    Args:
        plugin: a backend or baseline.
        checks: name -> check.
        heard: is told each check's name when it is done, what is wrong ("" where nothing is), and the name of the check
            that has found that already, "" if none has.
        limit: seconds without an answer after which a check is taken to hang. Those after it are not made.
        began: the state of the process before the plugin was imported or built, which is what it is left in; None: as
            it is now.

    Returns:
        Name -> what is wrong, for each check that fails; what an earlier one has found begins with "as above".
    """
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    hung = ""
    began = began or look()
    token = _SO_FAR.set(SoFar(began))
    try:
        for name, check in checks.items():
            wrong = f"not checked, since {hung} hung" if hung else ""
            if not hung:
                try:
                    run_alone(check, plugin, limit)
                except ContractError as error:
                    wrong = str(error)
                    hung = name if isinstance(error, HungError) else ""
            earlier = first.get(wrong, "")
            if wrong:
                skipped = wrong.startswith("not checked")
                found[name] = f"as above ({earlier}): {wrong}" if earlier and not skipped else wrong
                first.setdefault(wrong, name)
                earlier = "" if skipped else earlier
            heard(name, wrong, earlier)
    finally:
        _SO_FAR.reset(token)
        put_back(began)
    return found


def together(threads: int, act: Callable[[A], B], items: Iterable[A]) -> list[B]:
    """Do something with every item, from several threads at a time, which hold up no end of the process.

    Raises:
        BaseException: what the first one raised.
    """
    queue: SimpleQueue[tuple[int, A]] = SimpleQueue()
    for numbered in enumerate(items):
        queue.put(numbered)
    done: dict[int, B] = {}
    raised: list[BaseException] = []

    def work() -> None:
        try:
            while not raised:
                number, item = queue.get_nowait()
                done[number] = act(item)
        except Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            raised.append(error)

    begun = [threading.Thread(target=copy_context().run, args=(work,), daemon=True) for _ in range(threads)]
    watch = _WATCH.get()
    if watch is not None:
        watch.threads += begun
    for thread in begun:
        thread.start()
    for thread in begun:
        thread.join()
    if raised:
        raise raised[0]
    return [done[number] for number in sorted(done)]


class _RaisedError(Exception):
    """Carries what was raised in the other thread."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def _watched(act: Callable[[], None], limit: float) -> None:
    """Do something in a thread of its own, for as long as something comes of it."""
    watch = _Watch(limit)
    caught: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            caught.append(error)

    context = copy_context()
    context.run(_WATCH.set, watch)
    thread = threading.Thread(target=context.run, args=(run,), daemon=True)
    watch.threads.append(thread)
    thread.start()
    while thread.is_alive():
        thread.join(min(1.0, max(limit / 10, 0.01)))
        if thread.is_alive() and monotonic() - watch.last > limit:
            raise HungError(
                f"nothing came for {limit:g} seconds{_place(watch)}; if it is only slow, give it a longer limit"
            )
    if caught and isinstance(caught[0], ContractError):
        raise caught[0]
    if caught:
        raise _RaisedError(caught[0])


def _place(watch: _Watch) -> str:
    """Say in which line it hangs, as " (file, line n)"; empty where that is none of the plugin's."""
    frames = sys._current_frames()  # noqa: SLF001 - what faulthandler shows
    for thread in reversed(watch.threads):
        if thread.is_alive() and thread.ident in frames:
            place = line_of(traceback.extract_stack(frames[thread.ident]))
            if place:
                return place
    return ""
