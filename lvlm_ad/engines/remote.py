"""A model on a cluster, as the rest of the framework sees it: a backend or a baseline like any other."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Answer, Backend
from lvlm_ad.baseline import Baseline
from lvlm_ad.engines.host import packed
from lvlm_ad.engines.pool import Crashed, Pool
from lvlm_ad.errors import PluginError, RejectedError, TransientError

if TYPE_CHECKING:
    from lvlm_ad.backend import Request
    from lvlm_ad.baseline import DenseScores, View
    from lvlm_ad.plugins import Model

__all__ = ["RemoteBackend", "RemoteBaseline", "remote"]

_KEPT = 2
"""Categories whose references stay in Ray's store: the one that is scored, and the one before it."""


def remote(model: Model, pool: Pool, copies: int, each: int, engine: str) -> Backend | Baseline:
    """Return a model that runs on a cluster.

    Args:
        model: the model.
        pool: its copies.
        copies: how many there should be.
        each: calls at once for a copy that sets no limit itself.
        engine: its name and version, for the manifest.
    """
    base = RemoteBackend if issubclass(model.plugin, Backend) else RemoteBaseline
    # Messages name the class that the user knows.
    kind = type(model.plugin.__name__, (base,), {"Options": model.plugin.Options, "billed": _billed(model)})
    found: Backend | Baseline = kind(pool, copies, each, engine)
    return found


def _environment(pool: Pool, engine: str) -> dict[str, str]:
    described = pool.described
    return {**described.versions, **described.facts["environment"], "engine": engine, "workers": str(pool.took_part)}


def _billed(model: Model) -> bool:
    return bool(getattr(model.plugin, "billed", True))


class RemoteBackend(Backend):
    """A backend whose copies answer on workers.

    Args:
        pool: the copies.
        copies: how many there should be.
        each: questions at once for a copy that sets no limit itself.
        engine: its name and version, for the manifest.
    """

    def __init__(self, pool: Pool, copies: int, each: int, engine: str) -> None:
        self._pool, self._engine = pool, engine
        own = pool.described.facts["capabilities"]
        self._each = own.concurrency or each
        self.capabilities = replace(own, concurrency=copies * self._each)

    def identity(self) -> dict[str, Any]:
        """Return what the copies say."""
        return self._pool.described.identity

    def answer(self, request: Request) -> Answer:
        """Have a question answered by the least busy copy.

        Raises:
            RejectedError: three workers died of it.
            BackendError: as the backend itself raises.
        """
        self._pool.started(self._each)
        try:
            answer = self._pool.call("answer", packed(request))
        except Crashed as error:
            raise RejectedError(str(error), peculiar=True) from error
        except PluginError as error:
            # As where a backend of this process raises something strange.
            raise TransientError(str(error)) from error
        assert isinstance(answer, Answer)  # noqa: S101 - what the host returns
        return answer

    def environment(self) -> dict[str, str]:
        """Return what the copies say, their versions, and how many took part so far."""
        return _environment(self._pool, self._engine)

    def close(self) -> None:
        """End the copies."""
        self._pool.close()


class RemoteBaseline(Baseline):
    """A baseline whose copies score on workers.

    Args:
        pool: the copies.
        copies: how many there should be.
        each: samples at once for a copy that sets no limit itself.
        engine: its name and version, for the manifest.
    """

    def __init__(self, pool: Pool, copies: int, each: int, engine: str) -> None:
        self._pool, self._engine = pool, engine
        facts = pool.described.facts
        self._each = facts["concurrency"] or each
        self.concurrency = copies * self._each
        for name in ("rows", "reference_row", "sees_truth", "seeded", "label", "notes"):
            setattr(self, name, facts[name])
        self._references: dict[int, tuple[Any, Any]] = {}
        self._putting = threading.Lock()

    def identity(self) -> dict[str, Any]:
        """Return what the copies say."""
        return self._pool.described.identity

    def score(self, view: View) -> DenseScores:
        """Have a sample scored by the least busy copy.

        Raises:
            PluginError: three workers died of it, or it raised something strange.
        """
        self._pool.started(self._each)
        bare = replace(view, references=(), original_references=())
        try:
            scores: DenseScores = self._pool.call("score", packed(bare), self._references_of(view))
        except Crashed as error:
            raise PluginError(str(error)) from error
        return scores

    def finalize_category(self, parts: Sequence[tuple[float, ...]]) -> Sequence[float]:
        """Have a copy settle the image scores of a category."""
        self._pool.started(self._each)
        scores: Sequence[float] = self._pool.call("finalize_category", packed(parts))
        return scores

    def environment(self) -> dict[str, str]:
        """Return what the copies say, their versions, and how many took part so far."""
        return _environment(self._pool, self._engine)

    def close(self) -> None:
        """End the copies."""
        self._references.clear()
        self._pool.close()

    def _references_of(self, view: View) -> Any:
        """Put a category's references into Ray's store once; they are the same objects for all of its samples."""
        shown = (view.references, view.original_references)
        with self._putting:
            known = self._references.get(id(view.references))
            if known is None:
                # The objects are kept beside the reference, so that their ids stay theirs.
                known = (shown, self._pool.put(shown))
                self._references[id(view.references)] = known
                for old in list(self._references)[:-_KEPT]:
                    del self._references[old]
        return known[1]
