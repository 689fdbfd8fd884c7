"""One bench in progress: what all its models share."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from lvlm_ad.asking import AnswerStore, BatchLedger, Budget, Locks
from lvlm_ad.evaluate.drawn_pictures import DrawnPictures
from lvlm_ad.evaluate.kept_pictures import KeptPictures
from lvlm_ad.log import Progress
from lvlm_ad.prompts.drawing import ImageFile
from lvlm_ad.store import open_answers, open_cache

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.depth import Depth
    from lvlm_ad.engines import Engine
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.divide import Divisions
    from lvlm_ad.plugins import Model
    from lvlm_ad.store import Database

__all__ = ["Session"]


class Session:
    """One bench in progress.

    Attributes:
        plan: what to measure.
        engine: divides images and runs models.
        progress: receives reports.
        budget: the limit on money for the model that runs now.
        answers: the stored answers; these five are there after ``open_stores``.
        locks: which questions are being asked, and by which command.
        batches: which questions were sent in batches.
        cache: stored divisions and hashes of files.
        kept_pictures: pictures that were drawn before.
        divisions: the regions of every image; there when the bench is ``started``.
    """

    answers: AnswerStore
    locks: Locks
    batches: BatchLedger
    cache: Database
    kept_pictures: KeptPictures
    divisions: Divisions

    def __init__(self, plan: Plan, engine: Engine, progress: Progress | None = None) -> None:
        self.plan, self.engine, self.progress = plan, engine, progress or Progress()
        self.budget = Budget(None)

    def open_stores(self, stack: ExitStack) -> None:
        """Open ``answers.sqlite`` and ``cache.sqlite`` in the folder of stores; the stack closes them."""
        config = self.plan.config
        out = config.stores_folder
        database = stack.enter_context(closing(open_answers(out / "answers.sqlite")))
        self.cache = stack.enter_context(closing(open_cache(out / "cache.sqlite", self.progress.note)))
        self.locks = stack.enter_context(closing(Locks(database)))
        self.answers, self.batches = AnswerStore(database), BatchLedger(database)
        pictures = out / "pictures"
        self.kept_pictures = KeptPictures(self.cache, pictures, config.keep_pictures, self.progress.note)
        # Without stored hashes every start would read the whole data set.
        self.plan = replace(self.plan, dataset=replace(self.plan.dataset, cache=self.cache))

    def pictures_of(self, path: Path, depth: Depth | None, side: int) -> DrawnPictures:
        """Return what looks up or draws the pictures of an image; see ``ImageFile``."""
        return DrawnPictures(ImageFile(path, depth, side, self.cache), self.kept_pictures, self.engine.workers)

    def start_budget(self, model: Model) -> None:
        """Start the next model's budget, which includes what the models before it have spent."""
        self.budget = Budget(self.limit_for(model), self.budget.spent)

    def limit_for(self, model: Model) -> float | None:
        """Return the limit on money for a model; None: there is none, or it is free."""
        return None if model.preset.price.free else self.plan.config.max_cost
