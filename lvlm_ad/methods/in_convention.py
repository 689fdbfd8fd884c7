"""Methods whose answers hold coordinates, in the convention of the model that is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from lvlm_ad.methods.contract import MethodOptions
from lvlm_ad.methods.one_question import OneQuestion
from lvlm_ad.methods.wording import WORDING

if TYPE_CHECKING:
    from lvlm_ad.conventions import Convention
    from lvlm_ad.methods.contract import AskedModel, View

__all__ = ["InConvention", "ScoredOptions", "convention_of", "sent_size"]


class ScoredOptions(MethodOptions):
    """Options of a method that may ask for scores."""

    scored: bool = False
    """Ask for a score of the image and of each place; without, the image scores 0 or 1."""


class InConvention(OneQuestion):
    """Asks one question whose answer holds coordinates.

    Subclasses define ``words``, ``why_not_in`` and ``read``. With scores they use another prompt, whose name ends in
    "-scored".
    """

    Options: ClassVar[type[MethodOptions]] = ScoredOptions

    def __init__(self, options: MethodOptions | None = None) -> None:
        super().__init__(options)
        if self.options.scored:
            # Not the class's attribute: the name depends on the option.
            self.prompt = f"{type(self).prompt}-scored"  # type: ignore[misc]

    def identity(self) -> dict[str, Any]:
        """Return the options, and the hash of the words in which a convention is stated."""
        return {**super().identity(), "sentences": WORDING}

    def why_not(self, model: AskedModel) -> str:
        """Say that the model's convention is unknown, or cannot be used."""
        if model.convention is None:
            return (
                "its preset names no convention for coordinates; name one with --set convention=NAME, such as unit_1; "
                "a NAME that does not exist lists all"
            )
        reason = self.why_not_in(model.convention)
        return f"{reason} (convention {model.convention.name})" if reason else ""

    def text(self, view: View) -> str:
        """Return the question, with the convention stated where the prompt has a place for it."""
        return view.text(**self.words(convention_of(view), sent_size(view)))

    def words(self, convention: Convention, size: tuple[int, int]) -> dict[str, str]:
        """Return the texts of the prompt's placeholders.

        Args:
            convention: the model's.
            size: width and height of the picture that is sent.
        """
        raise NotImplementedError

    def why_not_in(self, convention: Convention) -> str:
        """Say why this method cannot use a convention, in words that follow "because"; empty if it can."""
        raise NotImplementedError


def convention_of(view: View) -> Convention:
    """Return the convention of the model that is asked; ``why_not`` has made sure that there is one."""
    assert view.model.convention is not None  # noqa: S101 - narrows the type
    return view.model.convention


def sent_size(view: View) -> tuple[int, int]:
    """Return width and height of the picture that is sent."""
    return view.size[1], view.size[0]
