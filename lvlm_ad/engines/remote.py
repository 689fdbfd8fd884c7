"""A backend or baseline on a Ray cluster, as the rest of lvlm-ad sees it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad._version import versions
from lvlm_ad.backend import Answer, Backend
from lvlm_ad.baseline import Baseline
from lvlm_ad.engines.pool import Pool, WorkersDiedError, check_versions
from lvlm_ad.errors import PluginError, RejectedError, TransientError
from lvlm_ad.plugins import build

if TYPE_CHECKING:
    from lvlm_ad.backend import Request
    from lvlm_ad.baseline import DenseScores, View
    from lvlm_ad.plugins import Model

__all__ = ["Description", "RemoteBackend", "RemoteBaseline", "describe"]


@dataclass(frozen=True)
class Description:
    """A model as it is on a worker.

    Attributes:
        identity: see ``Backend.identity``.
        versions: versions of the packages that numbers depend on.
        environment: see ``Backend.environment``.
        attributes: values of the contract's attributes, such as ``capabilities``.
        concurrency: most calls at the same time; None: no limit of its own.
    """

    identity: dict[str, Any]
    versions: dict[str, str]
    environment: dict[str, str]
    attributes: dict[str, Any]
    concurrency: int | None


def describe(model: Model, expected: Mapping[str, str]) -> Description:
    """Build a model on a worker, describe it and release it."""
    check_versions(expected)
    plugin: Backend | Baseline = build(model)
    limit = plugin.concurrency if isinstance(plugin, Baseline) else plugin.capabilities.concurrency
    names = [name for name in (*dir(model.plugin.contract), "options") if not name.startswith("_")]
    values = {name: getattr(plugin, name) for name in names}
    attributes = {name: value for name, value in values.items() if not callable(value)}
    computing = {name: version for name, version in versions().items() if name != "platform"}
    try:
        return Description(plugin.identity(), computing, plugin.environment(), attributes, limit)
    finally:
        plugin.close()


class _Remote:
    """What a backend and a baseline on a cluster have in common.

    Args:
        implementation: the class of the copies.
        description: what they are.
        pool: the copies.
        engine: name and version of Ray, for the manifest.
    """

    def __init__(self, implementation: type, description: Description, pool: Pool, engine: str) -> None:
        for name, value in description.attributes.items():
            setattr(self, name, value)
        self.Options: Any = type(description.attributes["options"])
        self._implementation, self._description, self._pool, self._engine = implementation, description, pool, engine

    @property
    def implementation(self) -> type:
        """The class of the copies."""
        return self._implementation

    def identity(self) -> dict[str, Any]:
        """Return the identity of the copies."""
        return self._description.identity

    def environment(self) -> dict[str, str]:
        """Return the environment and versions of the copies, and how many worked at the same time."""
        own = {"engine": self._engine, "workers": str(self._pool.largest)}
        return {**self._description.versions, **self._description.environment, **own}

    def close(self) -> None:
        """Stop the copies."""
        self._pool.close()


class RemoteBackend(_Remote, Backend):
    """A backend whose copies answer on a cluster."""

    def __init__(self, implementation: type, description: Description, pool: Pool, engine: str) -> None:
        super().__init__(implementation, description, pool, engine)
        self.capabilities = replace(self.capabilities, concurrency=pool.concurrency)

    def answer(self, request: Request) -> Answer:
        """Have a question answered by a free copy.

        Raises:
            RejectedError: three workers died of it.
            BackendError: as the backend itself raises.
        """
        try:
            answer: Answer = self._pool.call("answer", request)
        except WorkersDiedError as error:
            raise RejectedError(str(error), peculiar=True) from error
        except PluginError as error:
            raise TransientError(str(error)) from error
        return answer


class RemoteBaseline(_Remote, Baseline):
    """A baseline whose copies score on a cluster."""

    def __init__(self, implementation: type, description: Description, pool: Pool, engine: str) -> None:
        super().__init__(implementation, description, pool, engine)
        self.concurrency = pool.concurrency
        self._lock = threading.Lock()
        self._sent: tuple[Any, Any] = (None, None)

    def score(self, view: View) -> DenseScores:
        """Have a sample scored by a free copy.

        Raises:
            PluginError: three workers died of it, or the baseline raised something.
        """
        with self._lock:
            # The samples of a category share the same references, which are sent once.
            if view.references is not self._sent[0]:
                self._sent = (view.references, self._pool.put((view.references, view.original_references)))
            references = self._sent[1]
        bare = replace(view, references=(), original_references=())
        try:
            scores: DenseScores = self._pool.call("score", bare, references)
        except WorkersDiedError as error:
            raise PluginError(str(error)) from error
        return scores

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:
        """Have a copy compute the image scores of a category."""
        scores: Sequence[float] = self._pool.call("finalize_category", parts)
        return scores
