"""The contract of every backend: one method from a question to an answer, and the fake that tests use.

A backend translates. Storing, retrying, limiting and counting wrap it from outside (``lvlm_ad.calls``) and never appear
in it. It sees pictures, a text and the demands of the question; it never sees the sample, its label or its mask.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from lvlm_ad.errors import BackendError, ConfigError, FatalError
from lvlm_ad.probabilities import Token, number_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Answer",
    "Backend",
    "BackendOptions",
    "Batch",
    "BatchBackend",
    "Capabilities",
    "Limits",
    "Outcome",
    "Picture",
    "Request",
    "ScriptedBackend",
    "Token",
    "Transport",
    "Usage",
    "number_tokens",
]

Outcome = Literal["ok", "refused", "filtered", "truncated", "empty"]
"""``ok``; ``refused``: the model declined; ``filtered``: its operator's content filter did; ``truncated``: cut off by
the token limit; ``empty``: ended without a text."""


class _TransportMarker:
    """Says of an option that it cannot change an answer."""


Transport = _TransportMarker()
"""Marks an option that cannot change an answer (a time-out, the name of a key's variable, a price).

``timeout: Annotated[float, Transport] = 600.0``. Every other option is part of what was asked: change it, and stored
answers are not reused. An option left unmarked by mistake costs money; one marked by mistake falsifies results, so the
unmarked state is the default.
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as it is sent, encoded once.

    Attributes:
        data: the encoded file.
        media_type: what ``data`` is, for example ``image/png``.
        digest: SHA-256 (hex) of the pixels and their shape. PNG loses nothing, so the pixels are what was asked; a new
            release of a compression library changes the bytes but must not cost every stored answer.
    """

    data: bytes = field(repr=False)
    media_type: str
    digest: str

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, None if it is no PNG."""
        if self.data[:8] != b"\x89PNG\r\n\x1a\n":
            return None
        # A PNG begins with its header chunk: 8 bytes of signature, 8 of length and name, then width and height.
        return int.from_bytes(self.data[16:20], "big"), int.from_bytes(self.data[20:24], "big")

    @classmethod
    def from_pixels(cls, pixels: NDArray[np.uint8]) -> Picture:
        """Encode an image as PNG.

        Args:
            pixels: uint8 ``(H, W, 3)``, RGB.
        """
        from PIL import Image  # noqa: PLC0415 - the contract itself needs no imaging library

        buffer = BytesIO()
        # Level 1: a fifth of the time of the default for a file about a tenth larger.
        Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes())
        return cls(data=buffer.getvalue(), media_type="image/png", digest=digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        images: the pictures in the order in which they are to be shown, before the text.
        text: the question.
        options: what the question itself demands of the answer, JSON values only: ``format`` ("text" or "json"),
            ``schema`` (a JSON schema, with format "json"), ``n_regions`` (how many regions are numbered).
    """

    images: tuple[Picture, ...]
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def key(self, identity: Mapping[str, Any]) -> str:
        """Return the hash of exactly what is asked of whom.

        Args:
            identity: what ``Backend.identity`` returns.

        Returns:
            SHA-256 (hex) over identity, text, options and the pictures' digests.
        """
        asked = {
            "identity": dict(identity),
            "text": self.text,
            "options": dict(self.options),
            "images": [picture.digest for picture in self.images],
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer used; ``None`` where the backend does not say.

    Attributes:
        input_tokens: tokens of the question, pictures and cached tokens included.
        cached_tokens: those of them that were billed as cached.
        output_tokens: tokens of the answer, reasoning included.
    """

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What an endpoint announces of its limits; ``None`` where it does not say.

    Attributes:
        requests_per_minute: questions it allows a minute.
        tokens_per_minute: tokens it allows a minute, input and output together.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered. A transport failure is an exception, never an answer.

    Attributes:
        text: the answer's text as it came; untrusted.
        outcome: "ok" or why it is no answer; see ``Outcome``.
        usage: tokens used.
        seconds: wall-clock seconds from question to answer.
        model: the model's name as the server reported it, empty if it did not.
        detail: why the answer ended, in the server's words (a finish reason, a refusal's text).
        batch: whether it came through a batch, at a batch's price.
        limits: what came with it of the endpoint's limits; not stored.
        tokens: the tokens that spell the numbers in the text, with their probabilities; see ``number_tokens``. Empty
            where they are not known.
    """

    text: str
    outcome: Outcome = "ok"
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    model: str = ""
    detail: str = ""
    batch: bool = False
    limits: Limits | None = field(default=None, compare=False)
    tokens: tuple[Token, ...] = field(default=(), repr=False)


class BackendOptions(BaseModel):
    """Base of every backend's options; an unknown option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class Backend:
    """A way of reaching a model. Subclasses write ``answer``; the rest has defaults.

    Attributes:
        Options: the options it takes, a ``BackendOptions`` whose field descriptions are its documentation.
        capabilities: what it can take.
        billed: whether somebody bills its answers. Where nobody does, and no price is set, they cost 0.
    """

    Options: ClassVar[type[BackendOptions]] = BackendOptions
    billed: ClassVar[bool] = True
    capabilities: Capabilities = Capabilities()

    def __init__(self, options: BackendOptions | None = None) -> None:
        self.options = options if options is not None else self.Options()

    def identity(self) -> dict[str, Any]:
        """Return what decides an answer besides the request: JSON values, the same on every machine."""
        return {"backend": f"{type(self).__module__}:{type(self).__qualname__}", **self.options.identity()}

    def answer(self, request: Request) -> Answer:
        """Ask the model once. Called from several threads at a time unless ``capabilities.concurrency`` is 1.

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

    def close(self) -> None:
        """Release what the backend holds; called once, after the last answer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How a batch stands at the endpoint.

    Attributes:
        id: the endpoint's name of it.
        state: "waiting" (for the endpoint), "done" (its answers can be fetched, whether all or some), "failed" (it
            never ran).
        answered: questions answered so far.
        total: questions in it.
        detail: the endpoint's words for the state, and why it failed.
    """

    id: str
    state: Literal["waiting", "done", "failed"]
    answered: int = 0
    total: int = 0
    detail: str = ""


class BatchBackend(Backend):
    """A backend that also takes many questions in one file, to be answered within a day.

    A batch is sent in two steps, upload and start, so that each id can be written down before the next step.

    Attributes:
        max_batch_requests: the most questions in one file.
        max_batch_bytes: the most bytes in one file.
    """

    max_batch_requests: ClassVar[int] = 50_000
    max_batch_bytes: ClassVar[int] = 200_000_000

    def check_batch(self) -> None:
        """Say whether the endpoint takes batches.

        Raises:
            ConfigError: it does not.
        """

    def batch_line(self, key: str, request: Request) -> bytes:
        """Return one question as a line of a batch file, line break included; ``key`` comes back with the answer."""
        raise NotImplementedError

    def upload_batch(self, file: Path) -> str:
        """Upload a batch file and return the endpoint's name of the file. Raises as ``answer`` does."""
        raise NotImplementedError

    def start_batch(self, file_id: str, label: str) -> str:
        """Start a batch and return the endpoint's name of it. Raises as ``answer`` does.

        Args:
            file_id: what ``upload_batch`` returned.
            label: kept with the batch at the endpoint, so that it can be found again.
        """
        raise NotImplementedError

    def find_batch(self, label: str) -> str | None:
        """Return the name of the batch that was started with this label, None if there is none."""
        raise NotImplementedError

    def batch(self, batch_id: str) -> Batch:
        """Say how a batch stands. Raises as ``answer`` does."""
        raise NotImplementedError

    def batch_answers(self, batch_id: str) -> Iterator[tuple[str, Answer | BackendError]]:
        """Yield each question's key with its answer or what went wrong. Raises as ``answer`` does."""
        raise NotImplementedError


class ScriptedOptions(BackendOptions):
    """Options of the scripted backend."""

    file: Path | None = None
    """A file with the answers in the order of the questions: a JSON array, or JSON Lines. Each is a string, or an
    object with "text" and perhaps "outcome"."""
    repeat: bool = False
    """Begin again after the last answer."""


Script = Sequence[str | Answer] | Callable[[Request], str | Answer]


class ScriptedBackend(Backend):
    """Gives the answers it was told to give, in order; the fake for tests and for answers collected by hand.

    Args:
        options: its options.
        script: a sequence of answers, or a function of the request; None: the answers come from ``options.file``.

    Attributes:
        requests: every request so far, in the order asked.

    Raises:
        ConfigError: there are no answers, or the file cannot be read as such.
    """

    Options: ClassVar[type[BackendOptions]] = ScriptedOptions
    # One at a time and none of them stored, so that the n-th answer belongs to the n-th question of each run.
    capabilities = Capabilities(concurrency=1, stored=False)

    def __init__(self, options: BackendOptions | None = None, *, script: Script | None = None) -> None:
        super().__init__(options)
        self._script: Script = self._read_file() if script is None else script
        if callable(self._script):
            self.capabilities = Capabilities(concurrency=1)
        self._lock = threading.Lock()
        self.requests: list[Request] = []

    def identity(self) -> dict[str, Any]:
        """Include the file's content, not its name: an edited script is another model."""
        identity = super().identity()
        path = identity.pop("file", None)
        if path is not None:
            identity["answers"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        return identity

    def answer(self, request: Request) -> Answer:
        """Give the next answer.

        Raises:
            FatalError: the script has no answer left.
        """
        with self._lock:
            index = len(self.requests)
            self.requests.append(request)
        if callable(self._script):
            given = self._script(request)
        else:
            count = len(self._script)
            if index >= count and not (self._scripted.repeat and count):
                raise FatalError(
                    f"The script holds {count} answers; question {index + 1} has none. Add it, or set repeat."
                )
            given = self._script[index % count]
        return given if isinstance(given, Answer) else Answer(text=given)

    @property
    def _scripted(self) -> ScriptedOptions:
        assert isinstance(self.options, ScriptedOptions)  # noqa: S101 - narrows the type; Options fixes it
        return self.options

    def _read_file(self) -> list[str | Answer]:
        path = self._scripted.file
        if path is None:
            raise ConfigError("The scripted backend has no answers: give --set file=ANSWERS.json.")
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"The script {path} cannot be read: {error.strerror}.") from error
        try:
            items = (
                json.loads(text) if text.lstrip().startswith("[") else [json.loads(s) for s in text.splitlines() if s]
            )
            return [item if isinstance(item, str) else Answer(**item) for item in items]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The script {path} is no JSON array or JSON Lines of answers: {error}.") from error
