"""What an engine does for many items. Apart from the engines, so that a worker process need not import them."""

from __future__ import annotations

from typing import Any, Protocol

from lvlm_ad.errors import ImageError

__all__ = ["Task", "result_of"]


class Task(Protocol):
    """Work that an engine does for many items. It travels to other processes by pickle."""

    def load(self, item: Any) -> Any:
        """Read what ``run`` needs, where the item's files are.

        Raises:
            ImageError: a file cannot be used; ``Engine.map`` gives the error in place of a result.
        """

    def run(self, loaded: Any) -> Any:
        """Do the work; it reads no files of the item, so any machine can do it."""


def result_of(task: Task, item: Any) -> Any:
    """Return the result of a task for an item, or the error of a file that cannot be used."""
    try:
        return task.run(task.load(item))
    except ImageError as error:
        return error
