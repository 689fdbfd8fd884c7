"""What goes to a backend and what comes back: pictures, a question, an answer, the probabilities of its numbers."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Answer", "Limits", "Outcome", "Picture", "Request", "Token", "Usage", "number_tokens", "sound_tokens"]

_MAX_LENGTH, _MAX_ALTERNATIVES, _MAX_TOKENS = 24, 64, 20_000
"""Characters of an alternative, alternatives of a token, tokens of an answer; no model sends more."""
_ROUNDING = 1e-3
"""Log-probabilities up to this are accepted: servers compute them with few bits."""
_IN_NUMBER = re.compile(r"[0-9.]")
_NUMBER = re.compile(r"[0-9.]+")
_SPACED_NUMBER = re.compile(r"\s*+[0-9.]++\s*+")


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer that consists of digits and points.

    Attributes:
        start: index of its first character in the answer's text.
        text: its text, without surrounding spaces.
        alternatives: (text, natural-log probability) of the tokens that could have stood there and consist of digits
            and points, with or without surrounding spaces. Includes the token itself, if its probability is known.
    """

    start: int
    text: str
    alternatives: tuple[tuple[str, float], ...]


def number_tokens(
    pieces: Iterable[tuple[str, Sequence[tuple[str, float]]]], text: str | None = None
) -> tuple[Token, ...]:
    """Select the tokens of an answer that spell numbers.

    Args:
        pieces: for every token its text, and (text, natural-log probability) of the tokens that could have stood there,
            itself included.
        text: the answer's text; None: the pieces joined. It may differ from them in everything but digits and points,
            and their beginning may be missing in it, as some servers remove the reasoning.

    Returns:
        The tokens in order; none if the digits and points of the text are not those of the last pieces.

    Example:
        >>> number_tokens([("score: ", ()), ("0.9", [("0.9", -0.1), ("0.8", -2.3)])])
        (Token(start=7, text='0.9', alternatives=(('0.9', -0.1), ('0.8', -2.3))),)
    """
    pieces = list(pieces)
    if text is None:
        text = "".join(piece for piece, _ in pieces)
    tokens: list[Token] = []
    end = len(text)
    for piece, likely in reversed(pieces):
        core = piece.strip()
        if not _IN_NUMBER.search(core):
            continue
        start = text.rfind(core, 0, end)
        if start < 0 or _IN_NUMBER.search(text, start + len(core), end):
            break
        end = start
        if _NUMBER.fullmatch(core) and (alternatives := _alternatives(likely)):
            tokens.append(Token(start, core, alternatives))
    # Digits that belong to no piece: the positions of all others are uncertain.
    return () if _IN_NUMBER.search(text, 0, end) else tuple(reversed(tokens))


def sound_tokens(tokens: Sequence[Token], text: str) -> tuple[Token, ...]:
    """Return the tokens that the text really has at their positions, in order.

    Args:
        tokens: as a backend or a file gave them; anything else than a token is dropped.
        text: the answer's text.
    """
    kept: list[Token] = []
    end = 0
    for token in tokens[:_MAX_TOKENS]:
        try:
            fits = token.start >= end and _NUMBER.fullmatch(token.text) and text.startswith(token.text, token.start)
            alternatives = _alternatives(token.alternatives) if fits else ()
        except (AttributeError, TypeError, ValueError):
            continue
        if alternatives:
            kept.append(Token(token.start, token.text, alternatives))
            end = token.start + len(token.text)
    return tuple(kept)


def _alternatives(likely: Sequence[tuple[str, Any]]) -> tuple[tuple[str, float], ...]:
    """Select those that could be part of a number; none if any log-probability is invalid.

    Six decimals, a millionth of the probability, keep the stored answer short.
    """
    if not all(isinstance(value, int | float) and value <= _ROUNDING for _, value in likely):
        return ()
    parts = [(text, value) for text, value in likely if len(text) <= _MAX_LENGTH and _SPACED_NUMBER.fullmatch(text)]
    finite = [(text, round(min(value, 0.0), 6)) for text, value in parts if value > float("-inf")]
    return tuple(finite[:_MAX_ALTERNATIVES])


Outcome = Literal["ok", "refused", "filtered", "truncated", "empty"]
"""``ok``; ``refused``: the model declined; ``filtered``: a content filter blocked the question or the answer;
``truncated``: the answer reached the token limit; ``empty``: the answer has no text."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, encoded once.

    Attributes:
        data: the encoded file.
        media_type: format of ``data``, for example ``image/png``.
        digest: SHA-256 (hex) of the pixels and their shape. It identifies the question: another version of the PNG
            library changes the bytes, but must not make stored answers useless.

    Example:
        >>> import numpy as np
        >>> Picture.from_pixels(np.zeros((2, 3, 3), np.uint8)).size
        (3, 2)
    """

    data: bytes = field(repr=False)
    media_type: str
    digest: str

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels; None if the file is not a PNG."""
        if self.data[:8] != b"\x89PNG\r\n\x1a\n":
            return None
        # A PNG begins with 8 bytes of signature, 8 bytes of the header chunk's length and name, then width and height.
        return int.from_bytes(self.data[16:20], "big"), int.from_bytes(self.data[20:24], "big")

    @classmethod
    def from_pixels(cls, pixels: NDArray[np.uint8]) -> Picture:
        """Encode an image as PNG.

        Args:
            pixels: uint8 ``(H, W, 3)``, RGB.
        """
        from PIL import Image  # noqa: PLC0415 - the contract itself needs no imaging library

        buffer = BytesIO()
        # Level 1 takes a fifth of the default's time; the file is about a tenth larger.
        Image.fromarray(pixels).save(buffer, format="PNG", compress_level=1)
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes())
        return cls(data=buffer.getvalue(), media_type="image/png", digest=digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        images: the pictures, in order, shown before the text.
        text: the question.
        options: the format that the question demands, JSON values only: ``format`` ("text" or "json"), ``schema`` (a
            JSON schema, with format "json"), ``n_regions`` (number of numbered regions).

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
        text: the answer's text, unchanged and untrusted.
        outcome: "ok", or why there is no complete answer; see ``Outcome``.
        usage: tokens used.
        seconds: seconds from question to answer.
        model: the model's name as the server reported it; may be empty.
        detail: why the answer ended, in the server's words (a finish reason, a refusal's text).
        batch: whether the answer came in a batch, at the batch price.
        limits: the endpoint's rate limits, if they came with the answer; not stored.
        tokens: the tokens of the numbers in the text, with their probabilities; see ``number_tokens``. Empty if
            unknown.

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
