"""Copies of one model on a cluster: each call goes to the least busy, and elsewhere where a copy is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvlm_ad.engines.host import Described, Host, Strange, UnlikeError, packed, unpacked, wanted_versions
from lvlm_ad.errors import ConfigError, FatalError, LvlmAdError, PluginError
from lvlm_ad.log import event

if TYPE_CHECKING:
    from lvlm_ad.engines.host import Held

__all__ = ["Crashed", "Pool", "Room"]

_DEATHS = 3
"""A call during which so many workers die is given up: it may be what kills them. So is a copy that never comes up."""
_NOTICED = 30.0
"""Seconds after which the user is told what a worker may be waiting for."""


class Crashed(LvlmAdError):  # noqa: N818 - turned into the right error by whoever called
    """The workers that took this call died, one after the other."""


@dataclass(frozen=True)
class Room:
    """What a copy takes.

    Attributes:
        copies: how many there should be.
        num_gpus: GPUs for each.
        num_cpus: processors for each.
    """

    copies: int
    num_gpus: float
    num_cpus: float


class _Copy:
    """One actor. ``calls`` counts those under way."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.machine = ""
        self.calls = 0
        self.lost = False


class Pool:
    """Copies of what ``make`` makes, each in a worker process; thread-safe.

    A copy that is lost, with its process or its machine, is made anew where there is room; the others work on.

    Args:
        ray: the module.
        name: of what is held, for messages.
        make: makes it; must be known to workers.
        room: how many copies, and what each takes.
        note: is told what the user should know.

    Attributes:
        described: what the first copy with this process's versions says of itself; the others must say the same.
        took_part: how many copies there were at once, at most.
    """

    def __init__(self, ray: Any, name: str, make: Callable[[], Held], room: Room, note: Callable[[str], None]) -> None:
        self._ray, self._name, self._make, self._room, self._note = ray, name, packed(make), room, note
        self._wanted = wanted_versions()
        self._changed = threading.Condition()
        self._copies: list[_Copy] = []
        self._coming: list[_Copy] = []
        self._failure: LvlmAdError | None = None
        self._closed = False
        self._each = 1
        self.took_part = 0
        # Copies to be started, and copies on their way: while there are any, calls wait.
        self._awaited, self._pending = room.copies, 0
        self.described = self._probe()

    def started(self, each: int) -> None:
        """Start the copies, if they are not; ``each`` takes so many calls at once."""
        with self._changed:
            # Many threads come here at once; one of them starts the copies.
            wanted, self._awaited = self._awaited, 0
            self._each = each
            self._pending += wanted
        for _ in range(wanted):
            self._begin(0)

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method on a copy, and on another if that one is lost.

        Args:
            method: of what is held.
            *arguments: ``packed`` values, or references to them in Ray's store.

        Raises:
            Crashed: three copies were lost during this very call.
            LvlmAdError: what the method raised, or why there is no copy.
            PluginError: the method raised something else.
        """
        for _ in range(_DEATHS):
            copy = self._taken()
            try:
                said = self._got(copy.actor.call.remote(method, *arguments))
            except _LostError as error:
                self._lose(copy, str(error))
                continue
            finally:
                with self._changed:
                    copy.calls -= 1
                    self._changed.notify_all()
            return self._understood(said)
        raise Crashed(f"{self._name}: {_DEATHS} workers died while they worked on it")

    def put(self, value: Any) -> Any:
        """Put a value that many calls take into Ray's store, ``packed``, and return the reference."""
        return self._ray.put(packed(value))

    def close(self) -> None:
        """End all copies; nothing can be called any more."""
        with self._changed:
            self._closed = True
            self._failure = self._failure or FatalError(f"{self._name} was closed.")
            every = [*self._copies, *self._coming]
            self._copies, self._coming = [], []
            self._changed.notify_all()
        closing = [copy.actor.close.remote() for copy in every if copy.machine]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=10)
        self._kill(every)

    def _probe(self) -> Described:
        """Ask one copy what it is and let it go: other models may need its GPU before it is its turn.

        Copies of other versions are passed over. They stay until one is found, so that the next is put elsewhere.

        Raises:
            ConfigError: three died, or none has the versions of this process.
            LvlmAdError: why it cannot be made.
        """
        made: list[_Copy] = []
        deaths = 0
        try:
            while True:
                copy = self._made()
                made.append(copy)
                try:
                    described = self._understood(self._got(copy.actor.describe.remote(), tell=True))
                except _LostError as error:
                    deaths += 1
                    if deaths == _DEATHS:
                        raise ConfigError(
                            f"{self._name}: {deaths} workers died before they could say what they hold: {error}"
                        ) from error
                except UnlikeError as error:
                    if len(made) - deaths >= self._room.copies:
                        raise ConfigError(f"No worker of {self._name} can take part: {error}") from error
                else:
                    assert isinstance(described, Described)  # noqa: S101 - what describe returns
                    return described
        finally:
            self._kill(made)

    def _made(self) -> _Copy:
        room = self._room
        actor = self._ray.remote(Host).options(
            num_gpus=room.num_gpus, num_cpus=room.num_cpus, max_concurrency=256, scheduling_strategy="SPREAD"
        )
        return _Copy(actor.remote(self._make, self._wanted))

    def _begin(self, deaths: int) -> None:
        """Start a copy that is counted as pending."""
        try:
            copy = self._made()
        except Exception as error:  # noqa: BLE001 - Ray raises much; whoever waits for this copy must hear of it
            with self._changed:
                self._pending -= 1
                self._failure = FatalError(f"{self._name} cannot be started on the cluster: {error!s:.200}")
                self._changed.notify_all()
            return
        with self._changed:
            if self._closed:
                self._kill([copy])
                return
            self._coming.append(copy)
        threading.Thread(target=self._come, args=(copy, deaths), daemon=True, name=f"start {self._name}").start()

    def _come(self, copy: _Copy, deaths: int) -> None:
        """Wait for a copy to come up; it takes part if it is what the first one was."""
        problem: LvlmAdError | None = None
        again = False
        try:
            described = self._understood(self._got(copy.actor.describe.remote(), tell=True))
            copy.machine, problem = described.machine, self._other(described)
        except _LostError as error:
            event("worker lost", model=self._name, machine="", message=str(error))
            again = deaths + 1 < _DEATHS
            problem = FatalError(f"{self._name}: {_DEATHS} workers died before their first answer: {error}")
        except LvlmAdError as error:
            problem = error
        with self._changed:
            if self._closed:
                return
            self._coming.remove(copy)
            self._pending -= not again
            if problem is None:
                self._copies.append(copy)
                self.took_part = max(self.took_part, len(self._copies))
                event("worker", model=self._name, machine=copy.machine)
            elif not self._copies and not self._pending:
                self._failure = problem
            self._changed.notify_all()
        if again:
            self._begin(deaths + 1)
        elif problem is not None:
            self._kill([copy])
            self._note(f"A worker of {self._name} takes no part: {problem}")

    def _other(self, described: Described) -> ConfigError | None:
        """Say in what a copy differs from the first one, if its answers could differ by it."""
        first = self.described
        for what, one, other in (
            ("identity", first.identity, described.identity),
            ("versions", _decisive(first.versions), _decisive(described.versions)),
        ):
            unlike = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
            if unlike:
                name = unlike[0]
                return ConfigError(
                    f"{described.machine} is not as {first.machine}: {what} {name} {other.get(name)!r:.80}, not "
                    f"{one.get(name)!r:.80}"
                )
        return None

    def _taken(self) -> _Copy:
        """Take the least busy copy; wait while all are busy or none is up."""
        with self._changed:
            while True:
                free = [copy for copy in self._copies if copy.calls < self._each]
                if free:
                    copy = min(free, key=lambda one: one.calls)
                    copy.calls += 1
                    return copy
                if self._failure is not None:
                    raise self._failure
                self._changed.wait()

    def _lose(self, copy: _Copy, why: str) -> None:
        """Take a lost copy out, once, and make another."""
        with self._changed:
            if copy.lost:
                return
            copy.lost = True
            if copy in self._copies:
                self._copies.remove(copy)
            self._pending += 1
            closed = self._closed
        if not closed:
            event("worker lost", model=self._name, machine=copy.machine, message=why)
            self._note(f"A worker of {self._name} on {copy.machine} was lost; its questions are asked elsewhere.")
            self._kill([copy])
            self._begin(0)

    def _got(self, reference: Any, *, tell: bool = False) -> bytes:
        """Wait for a result; tell the user, once, if the cluster has had no room for long."""
        errors = self._ray.exceptions
        try:
            if tell and not self._ray.wait([reference], timeout=_NOTICED)[0]:
                self._note(
                    f"{self._name}: a worker is not up after {_NOTICED:.0f} s. It loads its model, or waits for "
                    f"{self._room.num_gpus:g} GPUs and {self._room.num_cpus:g} processors of the cluster."
                )
            data: bytes = self._ray.get(reference)
        except errors.RayTaskError as error:
            # Only what surrounds the call can have raised: the host answers with the rest.
            raise PluginError(
                f"{self._name} cannot be run on a worker: {str(error).strip().splitlines()[-1]}"
            ) from None
        except errors.RayError as error:
            raise _LostError(str(error).strip().splitlines()[0]) from error
        return data

    def _understood(self, said: bytes) -> Any:
        value = unpacked(said)
        if isinstance(value, LvlmAdError):
            raise value
        if isinstance(value, Strange):
            raise PluginError(f"{self._name} raised {value}")
        return value

    def _kill(self, copies: Iterable[_Copy]) -> None:
        for copy in copies:
            self._ray.kill(copy.actor)


class _LostError(Exception):
    """A worker's process, or its machine, is gone."""


def _decisive(versions: dict[str, str]) -> dict[str, str]:
    """Leave out what computes nothing."""
    return {name: version for name, version in versions.items() if name != "platform"}
