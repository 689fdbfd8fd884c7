"""Read masks, and the user's setting for their values."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from lvlm_ad.datasets.images import decode, shown
from lvlm_ad.datasets.mask_values import HIGHEST_VALUE, MaskValues, choose_threshold, visible_values
from lvlm_ad.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Threshold: TypeAlias = int | tuple[tuple[int, int], ...] | None
"""The user's setting for masks: pixels above a value are defective, or those in ranges of values, ends included.
None: each mask's values decide or, if they are ambiguous, those of its category."""

_PEERS = 100
"""About how many masks of a category are read to judge one of them."""


@dataclass(frozen=True)
class Peers:
    """Masks of one category, which are read only if a mask alone is ambiguous.

    Attributes:
        paths: their files; those that cannot be read are skipped.
    """

    paths: tuple[Path, ...] = ()

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Peers:
        """Choose some of a category's masks, so that reading them takes seconds at most."""
        return cls(tuple(paths[:: 1 + len(paths) // _PEERS]))

    def are_bright(self) -> bool:
        """Whether one of them has values above the middle of 8 bits."""
        return _are_bright(self.paths, _changes(self.paths))

    def are_inverted(self) -> bool:
        """Whether all of them look inverted, apart from those of one colour."""
        return _are_inverted(self.paths, _changes(self.paths))


def parse_values(text: str) -> tuple[tuple[int, int], ...]:
    """Read a list of mask values and ranges of them.

    Raises:
        ConfigError: the text is not such a list.

    Example:
        >>> parse_values("1, 3-7")
        ((1, 1), (3, 7))
    """
    ranges = [re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", part) for part in text.split(",")]
    values = tuple((int(one[1]), int(one[2] or one[1])) for one in ranges if one)
    if len(values) < len(ranges) or any(not low <= high <= HIGHEST_VALUE for low, high in values):
        raise ConfigError(
            f"Mask values are numbers and ranges from 0 to {HIGHEST_VALUE}, such as 1,3-7; got {text!r:.80}."
        )
    return values


def read_mask(path: Path, threshold: Threshold = None, peers: Peers = Peers()) -> NDArray[np.bool_]:
    """Read a ground-truth mask.

    Args:
        path: the mask's file.
        threshold: a pixel is defective above this value, or in these ranges of values; None: every colour but black is
            defective (defect ids, as in VisA), or of grey levels the brighter half (JPEG noise, soft edges).
        peers: masks of the same category.

    Returns:
        bool ``(H, W)``, True where defective.

    Raises:
        ImageError: the file is missing, damaged or too large, or its values are ambiguous.
    """
    mask = _read(path)
    if isinstance(threshold, tuple):
        ranges = [(mask.values >= low) & (mask.values <= high) for low, high in threshold]
        return np.asarray(np.logical_or.reduce(ranges))
    with _naming(path):
        return np.asarray(mask.values > (choose_threshold(mask, peers) if threshold is None else threshold))


def file_threshold(path: Path, peers: Peers = Peers()) -> float:
    """Return the threshold that ``read_mask`` chooses for a file."""
    mask = _read(path)
    with _naming(path):
        return choose_threshold(mask, peers)


def looks_like_mask(path: Path) -> bool:
    """Return whether a picture has few colours, or is almost all black and white; False if it cannot be read."""
    try:
        return _read(path).looks_like_mask
    except ImageError:
        return False


def _read(path: Path) -> MaskValues:
    image = decode(path)
    with _naming(path):
        return visible_values(image)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error about its values."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"The mask {shown(path)} {error}") from None


def _changes(paths: tuple[Path, ...]) -> tuple[int, ...]:
    """Return when each file last changed; as a part of the cache's key, it makes changed files be read again."""
    return tuple(os.stat(path).st_mtime_ns if path.exists() else 0 for path in paths)  # noqa: PTH116 - as elsewhere


@lru_cache(maxsize=256)
def _are_bright(paths: tuple[Path, ...], _changes: tuple[int, ...]) -> bool:
    return any(mask.is_bright for mask in _readable(paths))


@lru_cache(maxsize=256)
def _are_inverted(paths: tuple[Path, ...], _changes: tuple[int, ...]) -> bool:
    return all(mask.looks_inverted for mask in _readable(paths) if mask.spread)


def _readable(paths: tuple[Path, ...]) -> Iterator[MaskValues]:
    for path in paths:
        with suppress(ImageError):
            yield _read(path)
