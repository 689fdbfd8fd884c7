"""Work on a cluster through Ray: images are cut by tasks, models held by actors. Nothing is written there."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lvlm_ad.engines.host import check_versions, packed, wanted_versions
from lvlm_ad.engines.local import LocalEngine
from lvlm_ad.engines.pool import Pool, Room
from lvlm_ad.engines.remote import remote
from lvlm_ad.engines.shipping import MakeDivider, cut_there, files_of, shipped
from lvlm_ad.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline
    from lvlm_ad.datasets import Sample
    from lvlm_ad.engines.cutting import Cutting
    from lvlm_ad.engines.options import RayOptions
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import StoredDivision

__all__ = ["RayEngine", "room_of"]

_STORE = 512 << 20
"""Bytes of Ray's store where this machine is the cluster: pictures under way, and references."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PATIENCE = 5.0
"""Seconds for a connection to a cluster's address."""
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a client begins, and empty settings: Ray's ports speak gRPC, which is HTTP/2, and answer with theirs."""
_DEATHS = 5
"""So many workers may die of one image before it is given up."""


class RayEngine:
    """A Ray cluster; see ``Engine``.

    Models whose class says ``distributable`` run there. The others, such as endpoints, are asked from this process.

    Args:
        options: how models are spread.
        address: see ``engine_for``.
        concurrency: questions at once for each copy of a model that sets no limit itself.
        note: is told what the user should know.

    Raises:
        ConfigError: ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self, options: RayOptions, *, address: str | None, concurrency: int, note: Callable[[str], None]
    ) -> None:
        try:
            import ray  # noqa: PLC0415 - comes with the extra "ray"
        except ModuleNotFoundError as error:
            raise ConfigError("--engine ray needs ray; pip install 'lvlm-ad[ray]'.") from error
        self._ray: Any = ray
        self._options, self._concurrency, self._note = options, concurrency, note
        self._ours = not ray.is_initialized()
        if self._ours:
            self._connect(address)

    def _connect(self, address: str | None) -> None:
        address = address or os.environ.get("RAY_ADDRESS") or None
        # Nobody is told of a run, unless the user wants it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # What will be the default; the old one hides GPUs from workers that asked for none, with a warning.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if address:
            self._check_reached(address)
        own = {} if address else {"object_store_memory": _STORE, "include_dashboard": False}
        try:
            self._ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ConfigError(
                f"There is no Ray cluster to be had at {address or 'this machine'}: {said[0]:.200}"
            ) from error

    def _check_reached(self, address: str) -> None:
        """Knock at an address that names a host and a port: Ray itself tries for minutes without a word.

        Raises:
            ConfigError: nothing or something else listens there, or it can be no address.
        """
        there_is_none = f"There is no Ray cluster to be had at {address}"
        try:
            found = urlsplit(address if "://" in address else f"//{address}")
            host, port = found.hostname, found.port
        except ValueError as error:
            raise ConfigError(f"{there_is_none}: {error}.") from error
        if host is None and port is not None:
            raise ConfigError(f"{there_is_none}: it names no host.")
        if host is None or port is None:
            # What is wrong with such a one, Ray says at once.
            return
        # Ray takes "localhost" for this machine's address, where alone a cluster may listen.
        own = [self._ray.util.get_node_ip_address()] if host in _LOOPBACK else []
        for one in (host, *own):
            try:
                connection = socket.create_connection((one, port), timeout=_PATIENCE)
            except (OSError, UnicodeError) as error:
                # Some names of hosts are none to the encoder of names.
                problem = error
            else:
                if not _answers(connection):
                    raise ConfigError(f"{there_is_none}: what listens there is not Ray.")
                return
        raise ConfigError(
            f"{there_is_none}: {getattr(problem, 'strerror', None) or problem}. Start one there with 'ray start --head "
            f"--port {port}', or give --ray-address the address that 'ray start' named."
        ) from problem

    def close(self) -> None:
        """Leave the cluster; end it, if it was begun for this run."""
        if self._ours:
            self._ray.shutdown()

    def placed(self, model: Model) -> Backend | Baseline:
        """Return a model whose copies run on the cluster, or here where its class is not ``distributable``.

        Raises:
            ConfigError: the cluster has less than one copy takes; see ``Engine``.
            PluginError: it cannot be built there.
        """
        if not model.plugin.distributable:
            return LocalEngine().placed(model)
        name, room = model.preset.name, room_of(self._machines(), self._options)
        self._check_room(name, room)
        pool = Pool(self._ray, name, shipped(model), room, self._note)
        return remote(model, pool, room.copies, self._concurrency, f"ray {self._ray.__version__}")

    def _machines(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _check_room(self, name: str, room: Room) -> None:
        """Refuse what no machine has room for: it would wait for ever.

        Raises:
            ConfigError: no machine has so many GPUs or processors.
        """
        for what, kind, wanted, setting in (
            ("GPUs", "GPU", room.num_gpus, "num_gpus"),
            ("processors", "CPU", room.num_cpus, "num_cpus"),
        ):
            most = max((machine.get(kind, 0.0) for machine in self._machines()), default=0.0)
            if wanted > most:
                raise ConfigError(
                    f"{name}: a copy takes {wanted:g} {what}, and no machine of the cluster has more than {most:g}; "
                    f"set {setting}."
                )

    def divide(
        self, samples: Sequence[Sample], cutting: Cutting, done: Callable[[Sample], bool]
    ) -> Iterator[tuple[Sample, StoredDivision | str | None]]:
        """Cut images by tasks; by actors where a model does it. A lost worker's images are cut elsewhere.

        A worker that has an image at the same place, by its hash, reads it there; to others its file is sent.
        """
        if not samples:
            return
        cuts = self._by_actors(samples, cutting, done) if cutting.in_one_process else self._by_tasks(samples, cutting)
        for sample, found in cuts:
            # What is wrong with a file is said by this machine's own name for it.
            yield sample, cutting.cut(sample) if isinstance(found, str) else found

    def _by_tasks(
        self, samples: Sequence[Sample], cutting: Cutting
    ) -> Iterator[tuple[Sample, StoredDivision | str | None]]:
        ray = self._ray
        task = ray.remote(_cut_task).options(num_cpus=1, max_retries=_DEATHS, retry_exceptions=False)
        how = (cutting.method, dict(cutting.options), cutting.side)
        wanted = wanted_versions()
        waiting: deque[tuple[Sample, bool]] = deque((sample, False) for sample in samples)
        under_way: dict[Any, tuple[Sample, bool]] = {}
        sent = False
        # Where this ends early, what is under way ends with this process. Cancelled, it can abort the process: where a
        # result arrives meanwhile, Ray 2.60 does.
        while waiting or under_way:
            # Enough for every processor, and one more each in line: files under way take memory.
            most = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(under_way) < most:
                sample, must = waiting.popleft()
                files = _files(sample) if must or sent else None
                reference = task.remote(sample, cutting.hashes[sample.id], how, files, wanted)
                under_way[reference] = (sample, files is not None)
            ready, _ = ray.wait(list(under_way), num_returns=1)
            for reference in ready:
                sample, had = under_way.pop(reference)
                found = self._result(reference, sample)
                if found is None and not had:
                    # Some workers do not see the files; from now on they are sent at once.
                    sent = True
                    waiting.appendleft((sample, True))
                else:
                    yield sample, found

    def _result(self, reference: Any, sample: Sample) -> StoredDivision | str | None:
        errors = self._ray.exceptions
        try:
            found: StoredDivision | str | None = self._ray.get(reference)
        except errors.RayTaskError as error:
            raise ConfigError(f"{sample.id} cannot be cut on a worker: {str(error).strip().splitlines()[-1]}") from None
        except errors.RayError as error:
            raise DataError(
                f"{sample.id}: the workers that cut it died, {_DEATHS + 1} in turn. {str(error).splitlines()[0]}"
            ) from error
        return found

    def _by_actors(
        self, samples: Sequence[Sample], cutting: Cutting, done: Callable[[Sample], bool]
    ) -> Iterator[tuple[Sample, StoredDivision | str | None]]:
        room = room_of(self._machines(), self._options)
        self._check_room(cutting.method, room)
        pool = Pool(
            self._ray,
            f"the division {cutting.method}",
            MakeDivider(cutting.method, dict(cutting.options), cutting.side),
            room,
            self._note,
        )

        def one(sample: Sample) -> tuple[Sample, StoredDivision | str | None]:
            if done(sample):
                return sample, None
            known = (packed(sample), packed(cutting.hashes[sample.id]))
            found = pool.call("cut", *known, packed(None))
            return sample, pool.call("cut", *known, packed(_files(sample))) if found is None else found

        threads = ThreadPoolExecutor(2 * room.copies)
        try:
            pool.started(2)
            waiting = iter(samples)
            under_way: set[Future[tuple[Sample, StoredDivision | str | None]]] = set()
            while True:
                under_way |= {
                    threads.submit(one, sample) for sample in islice(waiting, 2 * room.copies - len(under_way))
                }
                if not under_way:
                    return
                ready, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in ready:
                    yield future.result()
        finally:
            pool.close()
            threads.shutdown(wait=True, cancel_futures=True)


def _files(sample: Sample) -> tuple[bytes, bytes]:
    try:
        return files_of(sample)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _cut_task(
    sample: Sample,
    hashes: tuple[str, str],
    how: tuple[str, dict[str, Any], int],
    files: tuple[bytes, bytes] | None,
    wanted: dict[str, str],
) -> StoredDivision | str | None:
    """Cut an image on a worker, if what cuts it is of the same versions there."""
    check_versions(wanted)
    return cut_there(sample, hashes, how, files)


def room_of(machines: Sequence[Mapping[str, float]], options: RayOptions) -> Room:
    """Choose how many copies of a model there are and what each takes.

    Args:
        machines: what each has, "GPU" and "CPU".
        options: what the user says of it.
    """
    with_gpus = [machine for machine in machines if machine.get("GPU", 0.0) > 0]
    num_gpus = options.num_gpus if options.num_gpus is not None else float(bool(with_gpus))
    if num_gpus > 0:
        # A copy stays on one machine.
        fit = sum(int(machine["GPU"] / num_gpus) for machine in with_gpus)
        copies = options.actors or max(1, fit)
        num_cpus = min((machine.get("CPU", 0.0) / machine["GPU"] * num_gpus for machine in with_gpus), default=1.0)
    else:
        copies = options.actors or max(1, len(machines))
        # Copies on one machine share its processors.
        together = -(-copies // max(1, len(machines)))
        num_cpus = min((machine.get("CPU", 0.0) for machine in machines), default=1.0) / together
    return Room(copies, num_gpus, max(1.0, float(int(num_cpus))) if options.num_cpus is None else options.num_cpus)


def _answers(connection: socket.socket) -> bool:
    """Whether what listens speaks as Ray does; closes the connection."""
    with connection:
        if os.environ.get("RAY_USE_TLS", "").lower() in {"1", "true"}:
            # It would not answer what is not encrypted.
            return True
        head = b""
        try:
            connection.sendall(_GREETING)
            # The head of a frame: three bytes of length, then its type, 4 for settings.
            while len(head) < 4 and (more := connection.recv(64)):  # noqa: PLR2004 - see above
                head += more
        except OSError:
            return False
        return head[3:4] == b"\x04"
