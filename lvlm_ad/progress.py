"""How the stages of a run report their progress; the command line shows it, the library is silent."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Hears how far a bench has come; the command line shows it, the library is silent."""

    def start(self, stage: str, total: int) -> None:
        """Hear that a stage of ``total`` steps begins."""

    def advance(self, steps: int = 1, *, failed: bool = False, stored: bool = False, cost: float | None = 0.0) -> None:
        """Hear that steps are done.

        Args:
            steps: how many.
            failed: they gave no usable answer.
            stored: their answers were stored before.
            cost: USD they cost now; None: unknown.
        """

    def finish(self) -> None:
        """Hear that the stage is over."""

    def at(self, stage: str, done: int, total: int) -> None:
        """Hear how far something is that others do: a batch at an endpoint."""

    def note(self, text: str) -> None:
        """Hear something that the user should know."""


class Silent:
    """A progress that shows nothing."""

    def start(self, stage: str, total: int) -> None:
        """Ignore it."""

    def advance(self, steps: int = 1, *, failed: bool = False, stored: bool = False, cost: float | None = 0.0) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""

    def at(self, stage: str, done: int, total: int) -> None:
        """Ignore it."""

    def note(self, text: str) -> None:
        """Ignore it."""
