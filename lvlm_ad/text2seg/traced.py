"""A text made from an answer, of which every character knows where in the answer it stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

__all__ = ["Traced"]


@dataclass(frozen=True, slots=True)
class Traced:
    """A text and its origins.

    Attributes:
        text: the text.
        origins: for each character, the index in the answer of the one that it is or stands for; -1: of none.
    """

    text: str
    origins: Sequence[int]

    @classmethod
    def whole(cls, text: str) -> Traced:
        """Return an answer as it is."""
        return cls(text, range(len(text)))

    def part(self, start: int, end: int | None = None) -> Traced:
        """Return the text from one index up to another."""
        return Traced(self.text[start:end], self.origins[start:end])

    def replaced(self, pattern: re.Pattern[str], by: Callable[[re.Match[str]], str]) -> Traced:
        """Return the text with every match replaced; what replaces it stands where it began."""
        texts: list[str] = []
        origins: list[int] = []
        end = 0
        for match in pattern.finditer(self.text):
            new = by(match)
            texts += (self.text[end : match.start()], new)
            origins += self.origins[end : match.start()]
            origins += [self.origins[match.start()]] * len(new)
            end = match.end()
        if not end:
            return self
        return Traced("".join(texts) + self.text[end:], [*origins, *self.origins[end:]])

    def translated(self, table: dict[int, str]) -> Traced:
        """Return the text with each character written as a table says: as one other, or not at all."""
        text = self.text.translate(table)
        if len(text) == len(self.text):
            return Traced(text, self.origins)
        kept = [origin for letter, origin in zip(self.text, self.origins, strict=True) if table.get(ord(letter), " ")]
        return Traced(text, kept)

    @staticmethod
    def lines(parts: Sequence[Traced]) -> Traced:
        """Return texts as lines, one below the other."""
        if len(parts) == 1:
            return parts[0]
        origins: list[int] = []
        for part in parts:
            origins += (-1, *part.origins)
        return Traced("\n".join(part.text for part in parts), origins[1:])
