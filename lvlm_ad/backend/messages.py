"""What goes to a backend and comes back: pictures, a question, an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.backend.probabilities import Token

__all__ = ["Answer", "Limits", "Outcome", "Picture", "Request", "Usage"]

Outcome = Literal["ok", "refused", "filtered", "truncated", "empty"]
"""``ok``; ``refused``: the model declined; ``filtered``: its operator's content filter did; ``truncated``: cut off by
the token limit; ``empty``: ended without a text."""


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
