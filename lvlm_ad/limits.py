"""The largest values that are stored and read, in one place, so that no command refuses what another has stored.

An answer that exceeds a limit is stored without the value (a token count, a time) or cut off (a text). A file of a run
that exceeds one is not read: its origin may be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

__all__ = [
    "ANSWER_BYTES",
    "ANSWER_CHARACTERS",
    "ANSWER_SECONDS",
    "ANSWER_TOKENS",
    "ARRAYS_BYTES",
    "DEPTH",
    "DETAIL_CHARACTERS",
    "HISTOGRAM_BYTES",
    "MANIFEST_BYTES",
    "PREDICTIONS_BYTES",
    "PREDICTION_BYTES",
    "REGIONS",
    "RESAMPLES",
    "TOTAL_AMOUNT",
    "TOTAL_COUNT",
    "check_plain",
    "is_utf8",
]

ANSWER_CHARACTERS = 1_000_000
"""Characters of an answer's text."""
DETAIL_CHARACTERS = 1000
"""Characters of the endpoint's name for the model, and of the reason why an answer ended."""
ANSWER_TOKENS = 10**8
"""Tokens of one question or answer; no model has a context of a hundred million tokens."""
ANSWER_SECONDS = 10**7
"""Seconds from a question to its answer."""
ANSWER_BYTES = 128 << 20
"""Bytes of a row in ``answers.sqlite``: question, answer and probabilities together."""

TOTAL_COUNT = 2**53
"""Tokens or images of a run; a larger whole number is not exact everywhere."""
TOTAL_AMOUNT = 1e12
"""USD or seconds of a run."""
REGIONS = 2**16
"""Regions of an image; the finest grid has 255 x 255."""
RESAMPLES = 100_000
"""Bootstrap resamples of a run's images."""

MANIFEST_BYTES = 16 << 20
"""Bytes of ``run.json``, and of ``metrics.json``."""
PREDICTION_BYTES = 4 << 20
"""Bytes of a line of ``predictions.jsonl``."""
PREDICTIONS_BYTES = 2 << 30
"""Bytes of ``predictions.jsonl``."""
ARRAYS_BYTES = 1 << 30
"""Bytes of an unpacked archive of arrays, such as ``pixels.npz``."""
HISTOGRAM_BYTES = 4 << 20
"""Bytes of an image in ``pixels.npz``: more than two numbers of 8 bytes and two of 16 for each region."""

DEPTH = 20
"""Levels of values in values: options and settings have three or four."""
_INTEGER_BITS = 128


def check_plain(value: Any, depth: int = DEPTH) -> Any:
    """Return a value if it can be written as JSON, shown and compared; raise an error otherwise.

    Args:
        value: numbers, texts, None, and lists and mappings of them.
        depth: how many levels it may have.

    Raises:
        ValueError: it is nested deeper, or contains a text that is no UTF-8, a number that is not finite or has more
            than 128 bits, or something else.

    Example:
        >>> check_plain({"model": ["a", 1, None]})
        {'model': ['a', 1, None]}
    """
    if depth < 0:
        raise ValueError(f"it is nested more than {DEPTH} levels deep")
    if isinstance(value, Mapping):
        check_plain([*value, *value.values()], depth)
    elif isinstance(value, list | tuple):
        for one in value:
            check_plain(one, depth - 1)
    elif problem := _problem(value):
        raise ValueError(problem)
    return value


def _problem(value: Any) -> str:
    """Return why a single value cannot be written to JSON, a table or a page; "" if it can."""
    if isinstance(value, str):
        return "" if is_utf8(value) else "a text in it cannot be written as UTF-8"
    if isinstance(value, int):
        return "" if value.bit_length() <= _INTEGER_BITS else f"a number in it has more than {_INTEGER_BITS} bits"
    if isinstance(value, float):
        return "" if isfinite(value) else "a number in it is not finite"
    return "" if value is None else f"it contains a {type(value).__name__}"


def is_utf8(text: str) -> bool:
    """Return whether a text can be written to a file: JSON and file names can hold text that is not UTF-8."""
    return text.isascii() or text == text.encode(errors="replace").decode()
