"""What a backend is: its options, its capabilities, and one method that turns a question into an answer."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict

from lvlm_ad.backend.messages import Answer, Outcome, Request
from lvlm_ad.errors import BackendError, ConfigError, FatalError

__all__ = [
    "Backend",
    "BackendOptions",
    "Batch",
    "BatchBackend",
    "Capabilities",
    "OldName",
    "Transport",
    "adopt_old_names",
    "as_answer",
]


class _TransportMarker:
    """Type of ``Transport``."""


Transport = _TransportMarker()
"""Marks an option that cannot change an answer: a time-out, the name of the variable that holds a key, a price.

``timeout: Annotated[float, Transport] = 600.0``. Every other option belongs to the question: change it, and stored
answers are not reused. A mark forgotten costs money; a mark too many falsifies results. So unmarked is the default.
"""


class BackendOptions(BaseModel):
    """Base of every backend's options; an unknown option is an error. The text below an option is its help.

    Example:
        >>> class Options(BackendOptions):
        ...     model: str = "small"
        >>> Options(model="large").identity()
        {'model': 'large'}
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    priced_by: ClassVar[tuple[str, ...]] = ()
    """Options that decide the price: if the user changes one, the preset's prices are dropped."""
    of_model: ClassVar[tuple[str, ...]] = ()
    """Options that describe the option ``model``: if the user names another model, the preset's values are dropped."""
    keyless: ClassVar[Mapping[str, Any]] = {}
    """Values of options with which the backend is built without a key, for a dry run, which asks nothing."""

    def identity(self) -> dict[str, Any]:
        """Return the options that can change an answer, as JSON values.

        Options that are None are left out. So a later version can add an option, None by default, and stored answers
        stay valid.
        """
        asked = {name for name, info in type(self).model_fields.items() if Transport not in info.metadata}
        return self.model_dump(mode="json", include=asked, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do; checked before anything is spent.

    Attributes:
        max_images: most pictures in one question; None: no known limit.
        concurrency: most questions at the same time; None: as many as the user wants.
        stored: whether answers may be stored and reused for the same question.
        max_output_tokens: most tokens of an answer, to estimate costs; None: unknown.
        detail: resolution at which the model sees pictures, "low" or another word, to estimate costs.
        schema: whether the backend enforces a question's JSON schema.
        batches_internally: whether the backend groups concurrent questions into batches. It is then always asked
            ``concurrency`` questions at the same time.
        probabilities: whether answers come with the probabilities of their tokens.
        gathers: old name of ``batches_internally``, until version 0.3.

    Example:
        >>> Capabilities(max_images=4).max_images
        4
    """

    max_images: int | None = None
    concurrency: int | None = None
    stored: bool = True
    max_output_tokens: int | None = None
    detail: str = "high"
    schema: bool = False
    batches_internally: bool = False
    probabilities: bool = False
    gathers: bool = field(default=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        either = self.batches_internally or self.gathers
        object.__setattr__(self, "batches_internally", either)
        object.__setattr__(self, "gathers", either)


class OldName:
    """Old name of an attribute: reads and writes the attribute of the name ``new``."""

    def __init__(self, new: str) -> None:
        self.new = new

    def __get__(self, instance: Any, owner: type) -> Any:
        return getattr(owner if instance is None else instance, self.new)

    def __set__(self, instance: Any, value: Any) -> None:
        setattr(instance, self.new, value)


def adopt_old_names(cls: type) -> None:
    """Move attributes that a class sets under an old name to the new name."""
    old_names = {name: value for base in cls.__mro__ for name, value in vars(base).items() if type(value) is OldName}
    for old, alias in old_names.items():
        # The nearest class that sets either name decides.
        values = next(vars(base) for base in cls.__mro__ if alias.new in vars(base) or old in vars(base))
        if alias.new not in values:
            setattr(cls, alias.new, values[old])
            setattr(cls, old, alias)


class Backend:
    """A connection to a model. Subclasses define ``answer``; everything else has a default.

    Attributes:
        Options: the class of its options, a ``BackendOptions`` whose field descriptions are the documentation.
        capabilities: what it can do.
        source: SHA-256 (hex) of the backend's code, if that is a file or module of the user or a package installed for
            development: edited code is another model. Empty for a regularly installed package.
        billed: whether answers cost money. If not, and no price is set, they cost 0.
        distributable: whether ``--engine ray`` builds a copy on each machine of the cluster, because it holds a model.
            A backend that asks an endpoint stays in the process that stores the answers.
        spreads: old name of ``distributable``, until version 0.3.
        engines: backends that run the same models, itself included; the setting ``engine`` chooses one of them.

    Example:
        >>> class Echo(Backend):
        ...     def answer(self, request):
        ...         return request.text
        >>> Echo().answer(Request((), "image anomaly score: 0.5"))
        'image anomaly score: 0.5'
    """

    Options: ClassVar[type[BackendOptions]] = BackendOptions
    billed: ClassVar[bool] = True
    distributable: ClassVar[bool] = False
    spreads: ClassVar[Any] = OldName("distributable")
    engines: ClassVar[tuple[str, ...]] = ()
    capabilities: Capabilities = Capabilities()
    source: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        adopt_old_names(cls)

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options if options is not None else self.Options()

    @property
    def implementation(self) -> type:
        """The class that messages and the identity name; a wrapper returns the class that it wraps."""
        return type(self)

    def identity(self) -> dict[str, Any]:
        """Return what decides an answer besides the request: JSON values, the same on every machine."""
        named = {"backend": f"{self.implementation.__module__}:{self.implementation.__qualname__}"}
        return {**named, **({"source": self.source} if self.source else {}), **self.options.identity()}

    def answer(self, request: Request) -> Answer | str:
        """Ask the model once. Return its answer, or only the text if there are no token counts and probabilities.

        Several threads call it at the same time unless ``capabilities.concurrency`` is 1. Do not retry or wait here:
        raise the error that fits, and the framework asks again if that can help.

        Raises:
            TransientError: this question failed; another try may succeed.
            RateLimitError: the endpoint turned the question away because there are too many.
            RejectedError: the endpoint refuses this question as malformed; other questions may succeed.
            FatalError: no further question can succeed.
        """
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return where it runs, such as the device, for the run's manifest; not part of the identity."""
        return {}

    def needs(self) -> str:
        """Describe in a few words what it needs on this machine, such as memory, without loading anything."""
        return ""

    def check_batch(self) -> None:
        """Check that the endpoint accepts batches.

        Raises:
            ConfigError: it does not; no backend does, unless it is a ``BatchBackend``.
        """
        raise ConfigError(f"{self.implementation.__name__} does not support batches; leave --batch out.")

    def make_detector(self, session: Any, model: Any) -> Any:
        """Make what a bench runs: a chat model is asked through stored answers, limits and retries."""
        return session.chat_detector(self, model)

    def cancel_start(self) -> None:
        """Give up a start that is under way: no question waits for it any more."""

    def close(self) -> None:
        """Release all resources; called once, after the last answer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """State of a batch at the endpoint.

    Attributes:
        id: the endpoint's name of the batch.
        state: "waiting"; "done" (its answers, all or some, can be fetched); "failed" (it never ran).
        answered: number of questions answered so far.
        total: number of questions.
        detail: the state in the endpoint's words, and the reason of a failure.

    Example:
        >>> Batch("batch-1", "waiting", answered=2, total=9).state
        'waiting'
    """

    id: str
    state: Literal["waiting", "done", "failed"]
    answered: int = 0
    total: int = 0
    detail: str = ""


class BatchBackend(Backend):
    """A backend that also takes many questions in one file and answers them within a day, at a lower price.

    A batch is sent in two steps, upload and start, so that the framework can store each id before the next step.

    Attributes:
        max_batch_requests: most questions in one file.
        max_batch_bytes: most bytes in one file.

    Example:
        >>> BatchBackend.max_batch_requests
        50000
    """

    max_batch_requests: ClassVar[int] = 50_000
    max_batch_bytes: ClassVar[int] = 200_000_000

    def check_batch(self) -> None:
        """Check that the endpoint accepts batches.

        Raises:
            ConfigError: it does not.
        """

    def batch_line(self, key: str, request: Request) -> bytes:
        """Return one question as a line of a batch file, with its line break; ``key`` comes back with the answer."""
        raise NotImplementedError

    def upload_batch(self, file: Path) -> str:
        """Upload a batch file and return the endpoint's name of the file. Raises as ``answer`` does."""
        raise NotImplementedError

    def start_batch(self, file_id: str, label: str) -> str:
        """Start a batch and return the endpoint's name of it. Raises as ``answer`` does.

        Args:
            file_id: result of ``upload_batch``.
            label: text that the endpoint keeps with the batch; ``find_batch`` looks for it.
        """
        raise NotImplementedError

    def find_batch(self, label: str) -> str | None:
        """Return the name of the batch that was started with this label, or None."""
        raise NotImplementedError

    def batch(self, batch_id: str) -> Batch:
        """Return a batch's state. Raises as ``answer`` does."""
        raise NotImplementedError

    def batch_answers(self, batch_id: str) -> Iterator[tuple[str, Answer | BackendError]]:
        """Yield each question's key with its answer or its error. Raises as ``answer`` does."""
        raise NotImplementedError


def as_answer(answer: Answer | str, who: str) -> Answer:
    """Convert what a backend returned to an ``Answer``, and check it; a dataclass takes any value.

    Args:
        answer: an answer, or its text alone.
        who: name of the method that returned it, for the message.

    Raises:
        FatalError: it is neither; or its text is not a string, its outcome is unknown, or its seconds are not finite.

    Example:
        >>> as_answer("", "Mine.answer").outcome
        'empty'
    """
    if isinstance(answer, str):
        return Answer(answer, "ok" if answer.strip() else "empty")
    if isinstance(answer, Coroutine):
        # Python would warn that nobody waited for it.
        answer.close()
    if not isinstance(answer, Answer):
        raise FatalError(f"{who} returned {type(answer).__name__}; it must return an Answer or a text.")
    text: Any = answer.text
    seconds: Any = answer.seconds
    finite = isinstance(seconds, int | float) and isfinite(seconds)
    if not (isinstance(text, str) and answer.outcome in get_args(Outcome) and finite):
        raise FatalError(
            f"{who} returned an Answer with {type(text).__name__} as text, the outcome {answer.outcome!r:.40} "
            f"and {seconds!r:.40} seconds; outcomes are {', '.join(get_args(Outcome))}, and seconds finite."
        )
    return answer
