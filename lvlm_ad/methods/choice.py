"""Choice: the multiple-choice questions that a data set asks about an image, one request each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from lvlm_ad.backend import Request
from lvlm_ad.datasets.questions import DETECTION, LETTERS, Question
from lvlm_ad.errors import ConfigError
from lvlm_ad.methods.contract import Conversation, Method, MethodOptions, Places, View
from lvlm_ad.methods.one_question import IMAGE_SIZE
from lvlm_ad.text2seg.finding import Chosen, Finding
from lvlm_ad.text2seg.letters import read_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.backend import Answer
    from lvlm_ad.text2seg.scores import Status

__all__ = ["ChoiceOptions", "MultipleChoice"]

_KNOWLEDGE = "This is known about such objects and their defects:\n{}\n\n"


class ChoiceOptions(MethodOptions):
    """Options of choice."""

    knowledge: bool = False
    """Whether questions tell what the data set knows of the object and its defects (MMAD's domain knowledge)."""


class MultipleChoice(Method):
    """Asks the questions that the data set has about an image, each by itself, and reads a letter from each answer.

    The image score is 1 if the answer to the question about detection says that there is a defect, and 0 if it says
    that there is none; an image without this question has no image score.
    """

    Options = ChoiceOptions
    prompt: ClassVar[str] = "choice"
    placeholders: ClassVar[tuple[str, ...]] = ("question", "options", "knowledge")
    places: ClassVar[Places] = ""
    needs_regions: ClassVar[bool] = False
    needs_questions: ClassVar[bool] = True
    image_size: ClassVar[int | None] = IMAGE_SIZE

    def inspect(self, view: View) -> Conversation:
        """Ask all questions at once."""
        if not view.questions:
            return Finding(None)
        pictures = (*view.references, view.picture())
        answers = yield [Request(pictures, self._text(one, view), {"format": view.format}) for one in view.questions]
        return finding_of(
            view.questions,
            [read_choice(answer, one.options) for one, answer in zip(view.questions, answers, strict=True)],
        )

    def most_questions(self, view: View) -> int:
        """Return how many questions the data set has about the image."""
        return len(view.questions)

    def is_usable(self, answer: Answer, view: View) -> bool:
        """Return whether an answer chooses an option of one of the questions; which one it answers is not told."""
        return any(read_choice(answer, one.options).option is not None for one in view.questions)

    def _text(self, question: Question, view: View) -> str:
        knowledge = ""
        if self.options.knowledge:
            if not view.knowledge:
                raise ConfigError(
                    f"The data set knows nothing of {view.category} that a question could tell; leave knowledge=true "
                    "out, or put domain_knowledge.json beside mmad.json."
                )
            knowledge = _KNOWLEDGE.format(view.knowledge)
        options = "\n".join(f"{letter}: {text}" for letter, text in zip(LETTERS, question.options, strict=False))
        return view.text(question=question.text, options=options, knowledge=knowledge)


def finding_of(questions: Sequence[Question], choices: Sequence[Chosen]) -> Finding:
    """Return what the answers to the questions say about the image.

    Args:
        questions: the questions.
        choices: the option that each answer chose.

    Example:
        >>> question = Question("Is there any defect?", ("Yes.", "No."), DETECTION)
        >>> finding_of([question], [Chosen(0)]).image
        1.0
    """
    image, status, notes = None, None, []
    for number, (question, chosen) in enumerate(zip(questions, choices, strict=True), start=1):
        if chosen.option is None:
            notes.append(f"Question {number} ({question.type}): {_WHY.get(chosen.status, chosen.status)}.")
        if question.type == DETECTION and image is None:
            said = None if chosen.option is None else question.says_defect(chosen.option)
            image = None if said is None else float(said)
            if said is None:
                status = "unparsable" if chosen.option is not None else chosen.status
    if image is not None or status is None:
        status = "partial" if notes else "ok"
    return Finding(image, (), status, tuple(notes), choices=tuple(choices))


_WHY: dict[Status, str] = {
    "truncated": "the answer was cut off",
    "refused": "the model declined",
    "unparsable": "the answer chooses none of the options, or several",
}
