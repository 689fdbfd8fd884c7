"""Multiple-choice questions about an image, as MMAD asks them."""

from __future__ import annotations

import string
from dataclasses import dataclass, replace

__all__ = ["DETECTION", "LETTERS", "QUESTION_TYPES", "Question"]

DETECTION = "Anomaly Detection"
"""The type of the question whether the image shows a defect."""

QUESTION_TYPES = (
    DETECTION,
    "Defect Classification",
    "Defect Localization",
    "Defect Description",
    "Defect Analysis",
    "Object Classification",
    "Object Structure",
    "Object Details",
)
"""MMAD's types of questions. The last two are one subtask in its tables."""

LETTERS = string.ascii_uppercase
"""The letters of options, in their order."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question about an image.

    Attributes:
        text: what is asked.
        options: the answers to choose from, in the order of their letters.
        type: one of ``QUESTION_TYPES``, or a type of the file's own.
        right: the index of the right option; None in what a method sees.

    Example:
        >>> one = Question("Is there any defect?", ("Yes.", "No."), DETECTION, right=1)
        >>> one.right_letter, one.without_answer().right
        ('B', None)
    """

    text: str
    options: tuple[str, ...]
    type: str
    right: int | None = None

    @property
    def right_letter(self) -> str:
        """The letter of the right option; "" without ``right``."""
        return "" if self.right is None else LETTERS[self.right]

    def without_answer(self) -> Question:
        """Return the question as a method may see it, without ``right``."""
        return replace(self, right=None)

    def says_defect(self, option: int) -> bool | None:
        """Return whether an option says that there is a defect: True for yes, False for no, None for any other text.

        None, too, if the question is not of the type ``DETECTION``.

        Args:
            option: its index.

        Example:
            >>> Question("Is there any defect?", ("Yes.", "No.", "Perhaps."), DETECTION).says_defect(1)
            False
        """
        word = self.options[option].strip(" .!").casefold() if self.type == DETECTION else ""
        return {"yes": True, "no": False}.get(word)
