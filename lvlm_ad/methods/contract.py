"""What a method is: a generator that turns an image into questions, and their answers into a finding."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from lvlm_ad.backend import BackendOptions, Capabilities, Picture, Request
from lvlm_ad.deferred import deferrable, is_deferred
from lvlm_ad.prompts.drawing import WHOLE, Drawing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.backend import Answer
    from lvlm_ad.conventions import Convention
    from lvlm_ad.datasets.questions import Question
    from lvlm_ad.presets import Protocol
    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg.finding import Finding

__all__ = ["AskedModel", "Conversation", "Method", "MethodOptions", "Places", "View"]

Conversation: TypeAlias = "Generator[Request | Sequence[Request], Any, Finding]"
"""Yields one question and receives its ``Answer``, or yields several and receives as many answers in their order."""

Places = Literal["regions", "boxes", "points", "cells", "masks", ""]
"""The kind of place that a method answers with; empty: it names no places."""


class MethodOptions(BackendOptions):
    """Base of every method's options; an unknown option is an error. The text below an option is its help.

    Example:
        >>> class Options(MethodOptions):
        ...     zoom_budget: int = 4
        >>> Options(zoom_budget=2).identity()
        {'zoom_budget': 2}
    """


@dataclass(frozen=True, slots=True)
class AskedModel:
    """What a method may know of the model that it asks.

    Attributes:
        name: the preset's name.
        capabilities: what its backend can do.
        convention: how it writes coordinates; None if its preset names none.
        state_convention: whether questions state the convention, because the model has no documented one of its own.
    """

    name: str = ""
    capabilities: Capabilities = field(default_factory=Capabilities)
    convention: Convention | None = None
    state_convention: bool = False


@deferrable("image", "original", "regions")
@dataclass(frozen=True, eq=False)
class View:
    """What a method may see of an image: never its label, its kind of defect or its mask.

    In a bench, image, original and regions are read when they are first used, and pictures are drawn only if they were
    not kept before: a method whose answers are stored already should touch none of them.

    Attributes:
        image: uint8 ``(S, S, 3)``, RGB, stretched to the protocol's size; coordinates of a finding are its pixels.
        original: uint8 ``(H, W, 3)``, the image as it is in its file.
        category: the kind of object, as the data set names it; "object" where the protocol withholds names.
        class_name: the kind of object, as a question names it.
        regions: the image's division; None for a method that sets ``needs_regions`` to False.
        references: the protocol's ``shots`` normal training images, at the protocol's size, encoded once.
        pool: uint8 ``(S, S, 3)`` each, all normal training images of the category, never images of the test split.
            Each is read when it is indexed.
        seed: text that follows from the sample and the run's seed; take all random numbers from it.
        model: the model that is asked.
        protocol: the conditions of the run.
        fill: fills the prompt; call ``text`` instead.
        format: the format in which the prompt asks for answers.
        questions: multiple-choice questions about the image, without their right answers; often none.
        knowledge: what the data set knows of such objects and their defects; empty if it knows nothing.
        pictures: looks pictures up or has them drawn; None: they are drawn here. ``dataclasses.replace`` leaves it out,
            because it belongs to the images.
    """

    image: NDArray[np.uint8]
    original: NDArray[np.uint8]
    category: str
    class_name: str
    regions: Regions | None
    seed: str
    protocol: Protocol
    fill: Callable[[dict[str, str]], str]
    references: Sequence[Picture] = ()
    pool: Sequence[NDArray[np.uint8]] = ()
    model: AskedModel = field(default_factory=AskedModel)
    format: Literal["text", "json"] = "text"
    questions: Sequence[Question] = ()
    knowledge: str = ""
    pictures: InitVar[Callable[[Drawing], Picture] | None] = None
    _draw: Callable[[Drawing], Picture] = field(init=False, repr=False)
    _drawn: dict[str, Picture] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self, pictures: Callable[[Drawing], Picture] | None) -> None:
        draw = pictures or (lambda drawing: Picture.from_pixels(drawing.draw(self)))
        object.__setattr__(self, "_draw", draw)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of ``image``, which need not be read to know them."""
        if is_deferred(self, "image"):
            return self.protocol.image_size, self.protocol.image_size
        return self.image.shape[0], self.image.shape[1]

    def picture(self, drawing: Drawing = WHOLE) -> Picture:
        """Return a picture for a question; the same one for the same drawing.

        Args:
            drawing: what it shows; by default the image at the protocol's size.
        """
        name = json.dumps(drawing.identity(), sort_keys=True)
        if (picture := self._drawn.get(name)) is None:
            picture = self._drawn[name] = self._draw(drawing)
        return picture

    def text(self, **values: str) -> str:
        """Return the prompt's text, with its placeholders filled.

        Args:
            **values: placeholder -> text, for the method's own ``placeholders``. "class_name", "defects" and
                "references" are filled already, and so is "pictures", the sentence about marked pictures.
        """
        return self.fill(values)


class Method:
    """How a chat model inspects one image. Subclasses define ``inspect``; everything else has a default.

    A method does no input or output: the runner asks every question that it yields, and stores, paces and prices it.
    Questions depend on the view, the options and the answers alone, so that the same answers lead to the same finding.
    If a question gets no answer, because it failed or the budget is spent, the generator is closed, the image counts as
    failed or unasked, and the same command continues there.

    Attributes:
        Options: the class of its options, a ``MethodOptions`` whose field descriptions are the documentation.
        prompt: the prompt preset that it uses unless the user or the model's preset names another; empty: the
            protocol's, which asks about numbered regions.
        placeholders: the placeholders of the prompt that ``inspect`` fills itself, with ``view.text(name=...)``.
        places: the kind of place that it answers with; empty: it gives no map, so pixel metrics are undefined.
        needs_regions: whether images are divided, so that the view has regions.
        needs_pool: whether it uses the view's ``pool``, whose images are then part of the run's identity.
        needs_questions: whether it asks the questions of the data set, so that data sets without any cannot be used.
        image_size: the side to which images are stretched unless the user sets one; None: the protocol's.
        source: SHA-256 (hex) of the method's code, as ``Backend.source``.

    Example:
        >>> from lvlm_ad.text2seg import read
        >>> from lvlm_ad.text2seg.finding import Finding
        >>> class Plain(Method):
        ...     needs_regions, places = False, ""
        ...     def inspect(self, view):
        ...         answer = yield Request((view.picture(),), view.text())
        ...         return Finding.of(read(answer, 0))
        >>> Plain().most_questions(None)
        1
    """

    Options: ClassVar[type[MethodOptions]] = MethodOptions
    prompt: ClassVar[str] = "score"
    placeholders: ClassVar[tuple[str, ...]] = ()
    places: ClassVar[Places] = "regions"
    needs_regions: ClassVar[bool] = True
    needs_pool: ClassVar[bool] = False
    needs_questions: ClassVar[bool] = False
    image_size: ClassVar[int | None] = None
    source: ClassVar[str] = ""

    def __init__(self, options: MethodOptions | None = None) -> None:
        # Of any class: a subclass knows its own.
        self.options: Any = options if options is not None else self.Options()

    @property
    def implementation(self) -> type:
        """The class that messages and the identity name; a wrapper overrides it with the class that it wraps."""
        return type(self)

    def identity(self) -> dict[str, Any]:
        """Return what decides a finding besides view and answers: JSON values, the same on every machine."""
        return {**({"source": self.source} if self.source else {}), **self.options.identity()}

    @property
    def repeats(self) -> int:
        """How often it asks the same question about an image, told apart by the question's option "repeat" (0, 1, ...).

        Where the protocol repeats every question, its r-th repeat takes the numbers from ``r * repeats`` on.
        """
        return 1

    @property
    def has_best_finding(self) -> bool:
        """Whether it defines ``best_finding``; if not, tables have no row "oracle"."""
        return type(self).best_finding is not Method.best_finding

    def inspect(self, view: View) -> Conversation:
        """Inspect one image: yield questions, receive their answers, return the finding."""
        raise NotImplementedError

    def most_questions(self, view: View) -> int:  # noqa: ARG002
        """Return how many questions an image takes at most."""
        return 1

    def most_pictures(self, protocol: Protocol) -> int:
        """Return how many pictures a question shows at most, to compare with what the model takes."""
        return protocol.shots + 1

    def why_not(self, model: AskedModel) -> str:  # noqa: ARG002
        """Say why a model cannot be inspected with this method, in words that follow "because"; empty if it can."""
        return ""

    def is_usable(self, answer: Answer, view: View) -> bool:  # noqa: ARG002
        """Return whether an answer is good enough that ``--retry-failed`` does not ask again."""
        return answer.outcome == "ok" and bool(answer.text.strip())

    def best_finding(self, view: View, mask: NDArray[np.bool_]) -> Finding:
        """Return the answer of a model that knows the defects, for the row "oracle".

        Args:
            view: the image.
            mask: bool ``(S, S)``, the defects.
        """
        raise NotImplementedError
