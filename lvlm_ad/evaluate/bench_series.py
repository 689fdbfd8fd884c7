"""What several benches share that run one after the other, as those of a study: an engine, their models, one budget."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from lvlm_ad.asking import Budget
from lvlm_ad.engines import make_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lvlm_ad.engines import Engine
    from lvlm_ad.evaluate.run_config import RunConfig
    from lvlm_ad.plugins import Model
    from lvlm_ad.workers import Workers

__all__ = ["BenchSeries", "engine_of"]


class BenchSeries:
    """Benches that run one after the other.

    A model is built once for all benches that ask it with the same options, since loading one may take minutes.
    ``max_cost`` limits what all benches cost together.

    Args:
        engine: builds the models; the caller closes it.

    Attributes:
        engine: see above.
        budget: the limit on money of the model that runs now; None before the first.
        ended: why later benches use stored answers only, such as "not asked: interrupted"; empty while they may ask.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.budget: Budget | None = None
        self.ended = ""
        self._plugins: dict[str, Any] = {}
        self._budgets: dict[str, Budget] = {}

    @classmethod
    @contextmanager
    def started(cls, config: RunConfig, workers: Workers | None, note: Callable[[str], None]) -> Iterator[BenchSeries]:
        """Make the engine of a configuration; at the end, close the models and the engine."""
        with closing(engine_of(config, workers, note)) as engine, closing(cls(engine)) as series:
            yield series

    @property
    def spent(self) -> float:
        """USD that all benches have cost so far."""
        return 0.0 if self.budget is None else self.budget.spent

    @property
    def is_spent_known(self) -> bool:
        """Whether the cost of every answer that a bench has asked for is known."""
        return all(budget.is_known for budget in self._budgets.values())

    def place(self, model: Model) -> Any:
        """Return the backend or baseline of a model; it is built if no earlier bench had it."""
        key = _key(model)
        if key not in self._plugins:
            self._plugins[key] = self.engine.place(model)
        return self._plugins[key]

    def keep_only(self, models: Iterable[Model]) -> None:
        """Close the models that the next bench does not ask: it may need their memory."""
        needed = {_key(model) for model in models}
        for key in [key for key in self._plugins if key not in needed]:
            self._plugins.pop(key).close()

    def start_budget(self, model: Model, limit: float | None) -> Budget:
        """Return a model's budget, which knows its dearest answer and what all benches before have spent.

        The first question of a model may cost as much as the dearest answer of all models before it.
        """
        budget = self._budgets.setdefault(_key(model), Budget(limit))
        budget.assumed = max(one.dearest for one in self._budgets.values())
        budget.spent, budget.ended, self.budget = self.spent, self.ended, budget
        return budget

    def close(self) -> None:
        """Close all models."""
        self.keep_only(())


def engine_of(config: RunConfig, workers: Workers | None, note: Callable[[str], None]) -> Engine:
    """Make the engine that a configuration names; the caller closes it."""
    return make_engine(
        config.engine,
        address=config.ray_address,
        settings=config.settings,
        concurrency=config.concurrency,
        workers=workers,
        note=note,
    )


def _key(model: Model) -> str:
    """Return what decides how a model is built. A class of the user's is known by the content of its files."""
    preset = model.preset
    decides = [preset.kind, preset.plugin, model.plugin.source, preset.options]
    return json.dumps(decides, sort_keys=True, default=str)
