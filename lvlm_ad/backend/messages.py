"""What goes to a backend and what comes back: pictures, a question, an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lvlm_ad.deferred import deferrable, deferred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.backend.tokens import FirstToken, Token

__all__ = ["Answer", "Limits", "Outcome", "Picture", "Request", "Usage"]

Outcome = Literal["ok", "refused", "filtered", "truncated", "empty"]
"""``ok``; ``refused``: the model declined; ``filtered``: a content filter blocked the question or the answer;
``truncated``: the answer reached the token limit; ``empty``: the answer has no text."""


@deferrable("data", "digest", "size")
@dataclass(frozen=True)
class Picture:
    """One picture, encoded once. In a bench, all but the media type is looked up or drawn when it is first used.

    Attributes:
        data: the encoded file. A grey picture's has one channel: convert what you decode to RGB.
        media_type: format of ``data``, for example ``image/png``.
        digest: SHA-256 (hex) of the pixels and their shape. It identifies the question: another version of the PNG
            library changes the bytes, but must not make stored answers useless.
        size: width and height in pixels; None if the file is not a PNG.

    Example:
        >>> import numpy as np
        >>> Picture.from_pixels(np.zeros((2, 3, 3), np.uint8)).size
        (3, 2)
    """

    data: bytes = field(repr=False, compare=False)
    media_type: str
    digest: str
    size: tuple[int, int] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.__dict__["size"] is None:
            object.__setattr__(self, "size", deferred(lambda: _size_of(self.data)))

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: the picture itself, wherever it comes from."""
        return {"data": self.data, "media_type": self.media_type, "digest": self.digest, "size": self.size}

    @classmethod
    def from_pixels(cls, pixels: NDArray[np.uint8]) -> Picture:
        """Encode an image as PNG, in one channel if all three are equal everywhere.

        Args:
            pixels: uint8 ``(H, W, 3)``, RGB.
        """
        from lvlm_ad.png import png_bytes  # noqa: PLC0415 - the contract itself needs no NumPy

        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(pixels.tobytes())
        return cls(data=png_bytes(pixels), media_type="image/png", digest=digest.hexdigest())


def _size_of(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG, and None of another file."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return None
    # A PNG begins with 8 bytes of signature, 8 bytes of the header chunk's length and name, then width and height.
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        images: the pictures, in order, shown before the text.
        text: the question.
        options: the format that the question demands, JSON values only: ``format`` ("text" or "json"), ``schema`` (a
            JSON schema, with format "json"), ``n_regions`` (number of numbered regions), ``repeat`` (from 1: the same
            question once more, sampled anew), ``probabilities`` (true: asks for those of the answer's tokens, if
            the endpoint has them).

    Example:
        >>> Request((), "What is wrong?", {"format": "text"}).key({"backend": "house"})[:8]
        '060d16c2'
    """

    images: tuple[Picture, ...]
    text: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def key(self, identity: Mapping[str, Any]) -> str:
        """Return the hash of question and model, under which the answer is stored.

        Args:
            identity: result of ``Backend.identity``.

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
    """Tokens that an answer used; ``None`` if the backend does not report them.

    Attributes:
        input_tokens: tokens of the question, including pictures and cached tokens.
        cached_tokens: the input tokens that were billed as cached.
        output_tokens: tokens of the answer, including reasoning.

    Example:
        >>> Usage(input_tokens=900, output_tokens=40).cached_tokens is None
        True
    """

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Rate limits that an endpoint announces; ``None`` where it does not.

    Attributes:
        requests_per_minute: questions per minute.
        tokens_per_minute: tokens per minute, input and output together.

    Example:
        >>> Limits(requests_per_minute=60).tokens_per_minute is None
        True
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer. A transport failure is an exception, never an answer.

    Attributes:
        text: the answer's text, untrusted and unchanged, but for a character at its end that was cut in two.
        outcome: "ok", or why there is no complete answer; see ``Outcome``.
        usage: tokens used.
        seconds: seconds from question to answer; of a model on this machine that answers several questions at once, its
            share, so that the seconds of all answers are the time that the machine was busy.
        model: the model's name as the server reported it; may be empty.
        detail: why the answer ended, in the server's words (a finish reason, a refusal's text).
        batch: whether the answer came in a batch, at the batch price.
        limits: the endpoint's rate limits, if they came with the answer; not stored.
        tokens: the tokens of the numbers in the text, with their probabilities; see ``number_tokens``. Empty if
            unknown.
        first: the token with which the text begins, with its probabilities; see ``first_token``. None if unknown.

    Example:
        >>> Answer("image anomaly score: 0.5").outcome
        'ok'
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
    first: FirstToken | None = field(default=None, repr=False)
