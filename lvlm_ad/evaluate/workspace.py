"""What all models of one bench share: the plan, the output folder's files, the divided images, and the money spent."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from lvlm_ad.asking import Budget
from lvlm_ad.evaluate.divide import Divisions, divide_dataset
from lvlm_ad.evaluate.stores import Stores, open_stores
from lvlm_ad.progress import Progress, Silent

if TYPE_CHECKING:
    from lvlm_ad.engines import Engine
    from lvlm_ad.evaluate.config import Plan

__all__ = ["Workspace"]


class Workspace:
    """What all models of one bench share.

    Args:
        plan: what to measure.
        engine: divides images and runs models.
        progress: receives reports; None: nobody does.

    Attributes:
        plan: what to measure.
        engine: divides images and runs models.
        progress: receives reports.
        budget: the limit on money for the model that runs now.
        stores: the output folder's files; there after ``open_stores``.
        divisions: the regions of every image; there after ``divide``.
    """

    stores: Stores
    divisions: Divisions

    def __init__(self, plan: Plan, engine: Engine, progress: Progress | None = None) -> None:
        self.plan, self.engine, self.progress = plan, engine, progress or Silent()
        self.budget = Budget(None)

    def open_stores(self, stack: ExitStack) -> None:
        """Open the output folder's files; the stack closes them.

        Raises:
            StoreError: one of them cannot be opened.
        """
        self.stores = stack.enter_context(open_stores(self.plan.config.out))
        # Without stored hashes every start would read the whole data set.
        self.plan = replace(self.plan, dataset=replace(self.plan.dataset, hashed=self.stores.files))

    def divide(self) -> None:
        """Divide the images that are not divided yet.

        Raises:
            DataError: images or masks cannot be used.
            ConfigError: the model that divides cannot be used.
        """
        self.divisions = divide_dataset(self.plan, self.stores.divisions, self.progress, self.engine)

    def start_budget(self, *, free: bool) -> None:
        """Start the next model's budget: what the models before it have spent counts."""
        self.budget = Budget(None if free else self.plan.config.max_cost, self.budget.spent)
