"""Notes on an answer: short, few, and fit to be printed although an answer is untrusted."""

from __future__ import annotations

__all__ = ["Notes", "quoted"]

_MOST = 20
_QUOTE = 40


def quoted(text: str) -> str:
    """Quote a piece of an answer: at most 40 characters, none of which can act on a terminal."""
    # Cut first: the piece may be the whole answer.
    shown = "".join(c if c.isprintable() else " " for c in text[: _QUOTE + 1])
    return f"'{shown}'" if len(text) <= _QUOTE else f"'{shown[: _QUOTE - 3]}...'"


class Notes:
    """The first notes on an answer, and how many more there were; the same note is kept once."""

    def __init__(self) -> None:
        self._kept: dict[str, None] = {}
        self._more = 0

    def add(self, note: str) -> None:
        """Add a note."""
        if note in self._kept:
            return
        if len(self._kept) < _MOST:
            self._kept[note] = None
        else:
            self._more += 1

    def extend(self, other: Notes) -> None:
        """Add the notes of another."""
        for note in other._kept:
            self.add(note)
        self._more += other._more

    def listed(self) -> tuple[str, ...]:
        """Return the notes; the last one says how many were left out, if any were."""
        more = (f"And {self._more} more.",) if self._more else ()
        return (*self._kept, *more)
