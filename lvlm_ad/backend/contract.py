"""What every backend is: one method from a question to an answer, its options, and what it can take."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Protocol, TypeVar, get_args

from pydantic import BaseModel, ConfigDict

from lvlm_ad.backend.messages import Answer, Outcome, Request
from lvlm_ad.errors import ConfigError, FatalError

__all__ = ["Backend", "BackendOptions", "Capabilities", "Transport", "as_answer", "check_answer"]


class _TransportMarker:
    """Says of an option that it cannot change an answer."""


Transport = _TransportMarker()
"""Marks an option that cannot change an answer (a time-out, the name of a key's variable, a price).

``timeout: Annotated[float, Transport] = 600.0``. Every other option is part of what was asked: change it, and stored
answers are not reused. An option left unmarked by mistake costs money; one marked by mistake falsifies results, so the
unmarked state is the default.
"""


class BackendOptions(BaseModel):
    """Base of every backend's options; an unknown option is an error. The text below an option documents it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    priced_by: ClassVar[tuple[str, ...]] = ()
    """The options that decide what is paid: a preset's prices are dropped where the user sets another value."""
    of_model: ClassVar[tuple[str, ...]] = ()
    """The options that describe the model named by the option ``model``: a preset's are dropped where the user names
    another."""

    def identity(self) -> dict[str, Any]:
        """Return the options that can change an answer, as JSON values.

        An option that is None is left out, so that an option added in a later version, None unless set, costs no stored
        answer.
        """
        asked = {name for name, info in type(self).model_fields.items() if Transport not in info.metadata}
        return self.model_dump(mode="json", include=asked, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can take; checked before anything is spent.

    Attributes:
        max_images: the most pictures in one question; None: no limit known.
        concurrency: the most questions under way at once; None: as many as the user wants.
        stored: whether an answer belongs to its question and may be stored and given again.
        max_output_tokens: the most tokens of an answer; None: not known. Used to estimate what questions may cost.
        detail: how closely pictures are looked at, "low" or other; used likewise.
        schema: whether the model is held to a question's JSON schema.
        gathers: whether it puts the questions under way into batches: it is then always asked ``concurrency`` at once.
        probabilities: whether answers come with the probabilities of their tokens.
    """

    max_images: int | None = None
    concurrency: int | None = None
    stored: bool = True
    max_output_tokens: int | None = None
    detail: str = "high"
    schema: bool = False
    gathers: bool = False
    probabilities: bool = False


Model_contra = TypeVar("Model_contra", contravariant=True)
Detector_co = TypeVar("Detector_co", covariant=True)


class ChatSession(Protocol[Model_contra, Detector_co]):
    """What a backend needs of a bench to make its own detector."""

    def chat_detector(self, backend: Backend, model: Model_contra) -> Detector_co:
        """Make the detector of a chat model."""


class Backend:
    """A way of reaching a model. Subclasses write ``answer``; the rest has defaults.

    Attributes:
        Options: the options it takes, a ``BackendOptions`` whose field descriptions are its documentation.
        capabilities: what it can take.
        source: SHA-256 (hex) of its file and of what that imports from beside it, where it was given by a path or a
            module, and of its package where that is installed to be worked on: edited, it is another model. Empty
            for what is installed for good.
        billed: whether somebody bills its answers. Where nobody does, and no price is set, they cost 0.
        spreads: whether ``--engine ray`` builds it anew on the machines of a cluster: it holds a model. One that asks
            an endpoint stays in the process that writes the answers.
    """

    Options: ClassVar[type[BackendOptions]] = BackendOptions
    billed: ClassVar[bool] = True
    spreads: ClassVar[bool] = False
    capabilities: Capabilities = Capabilities()
    source: ClassVar[str] = ""

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options if options is not None else self.Options()

    def identity(self) -> dict[str, Any]:
        """Return what decides an answer besides the request: JSON values, the same on every machine."""
        named = {"backend": f"{type(self).__module__}:{type(self).__qualname__}"}
        return {**named, **({"source": self.source} if self.source else {}), **self.options.identity()}

    def answer(self, request: Request) -> Answer | str:
        """Ask the model once. A text alone stands for an answer of which nothing else is known.

        Called from several threads at a time unless ``capabilities.concurrency`` is 1.
        Retries, waits and limits are not its business: it says what happened, and is called again where that helps.

        Raises:
            TransientError: this question failed; asked again, it may succeed.
            RateLimitError: it was turned away; asked again later, it will be taken.
            RejectedError: this question as it stands is refused as a wrong request; another may be taken.
            FatalError: no further question can succeed.
        """
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return what a manifest records of where it runs, such as a device; it is no part of the identity."""
        return {}

    def needs(self) -> str:
        """Say in a few words what it needs here, such as memory, for ``lvlm-ad models``; nothing is loaded for it."""
        return ""

    def check_batch(self) -> None:
        """Check that the endpoint takes batches.

        Raises:
            ConfigError: it does not; no backend does, unless it is a ``BatchBackend``.
        """
        raise ConfigError(f"{type(self).__name__} takes no batches; leave --batch out.")

    def make_detector(self, session: ChatSession[Model_contra, Detector_co], model: Model_contra) -> Detector_co:
        """Make what a bench runs: a chat model is asked through stored answers, limits and retries."""
        return session.chat_detector(self, model)

    def close(self) -> None:
        """Release what the backend holds; called once, after the last answer."""


def as_answer(given: Answer | str, who: str) -> Answer:
    """Return what a backend gave as an answer.

    Args:
        given: an answer, or its text alone.
        who: the method that gave it, for the message.

    Raises:
        FatalError: it is neither.
    """
    if isinstance(given, Answer):
        return given
    if isinstance(given, str):
        return Answer(given, "ok" if given.strip() else "empty")
    raise FatalError(f"{who} returned {type(given).__name__}; it must return an Answer or a text.")


def check_answer(given: Any, who: str) -> None:
    """Refuse what no answer can be before it is stored; dataclasses take any value.

    Args:
        given: an answer.
        who: the method that gave it, for the message.

    Raises:
        FatalError: the outcome is none, the seconds are no number, or the text is none.
    """
    seconds = isinstance(given.seconds, int | float) and isfinite(given.seconds)
    if not (isinstance(given.text, str) and given.outcome in get_args(Outcome) and seconds):
        raise FatalError(
            f"{who} returned an Answer with {type(given.text).__name__} as text, the outcome {given.outcome!r:.40} "
            f"and {given.seconds!r:.40} seconds; outcomes are {', '.join(get_args(Outcome))}, and seconds finite."
        )
