"""Progress reports of long work: the command line shows them, the library is silent."""

from __future__ import annotations

__all__ = ["Progress"]


class Progress:
    """Receives reports on how far a bench has come, and ignores them; a subclass shows them."""

    def start(self, stage: str, total: int) -> None:
        """Start a stage of ``total`` steps."""

    def advance(self, steps: int = 1, *, failed: bool = False, stored: bool = False, cost: float | None = 0.0) -> None:
        """Count finished steps.

        Args:
            steps: how many.
            failed: they gave no usable answer.
            stored: their answers were stored before.
            cost: USD they cost now; None: unknown.
        """

    def finish(self) -> None:
        """End the stage."""

    def at(self, stage: str, done: int, total: int) -> None:
        """Show the state of work done elsewhere: a batch at an endpoint."""

    def note(self, text: str) -> None:
        """Show a note for the user."""
