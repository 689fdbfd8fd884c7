"""Read masks: which pixels are defective is judged by the colours seen, not by how a file stores them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from lvlm_ad.datasets.images import decode, shown
from lvlm_ad.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Threshold: TypeAlias = int | tuple[tuple[int, int], ...] | None
"""What the user says of masks: pixels above a value are defective, or those in ranges of values, ends included.
None: each mask's values decide and, in doubt, those of its category."""

HIGHEST_VALUE = 65535
"""Masks have up to 16 bits."""

_HIGHEST_ID = 32
"""A mask whose largest value is at most this holds defect ids (VisA: 1, 2, ...), not grey levels."""

_MIDDLE = 127
"""The middle of 8 bits."""

_NOISE = 16
"""How far lossy compression moves black and white."""

_WHITE = (255, HIGHEST_VALUE)

_VOC_VOID = (224, 224, 192)
"""The colour in which PASCAL VOC's label pictures mark pixels that do not count."""

_FEW = 64
"""A picture with so few brightnesses is no photograph."""
_ALMOST = 0.95

_PEERS = 100
"""About how many masks of a category are read to judge one of them."""

_SETTINGS = "Say what is defective: --mask-threshold N for all values above N, or --mask-values such as 1,3-7."


@dataclass(frozen=True)
class Peers:
    """Masks of one category; they are read only if a mask alone does not say what its values mean.

    Attributes:
        paths: their files; those that cannot be read say nothing.
    """

    paths: tuple[Path, ...] = ()

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Peers:
        """Choose from a category's masks, so that reading them takes seconds at most."""
        return cls(tuple(paths[:: 1 + len(paths) // _PEERS]))

    def are_bright(self) -> bool:
        """Whether one of them has values above the middle of 8 bits."""
        return _are_bright(self.paths, _changes(self.paths))

    def are_inverted(self) -> bool:
        """Whether all of them look inverted, those of one colour aside."""
        return _are_inverted(self.paths, _changes(self.paths))


def parse_values(text: str) -> tuple[tuple[int, int], ...]:
    """Read a list of mask values and ranges of them.

    Raises:
        ConfigError: the text is no such list.

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


@dataclass(frozen=True, eq=False)
class MaskValues:
    """A mask as it is seen.

    Attributes:
        values: ``(H, W)``, the brightest channel of each pixel over black; what is transparent is 0.
        spread: the widest range of a channel; 0 if all pixels have one colour.
        is_labels: each colour is a label: a palette of several hues.
        has_void: the colour that VOC gives to pixels that do not count occurs beside others.
    """

    values: NDArray[Any]
    spread: float
    is_labels: bool = False
    has_void: bool = False

    @property
    def peak(self) -> float:
        """The highest value."""
        return float(self.values.max(initial=0))

    @property
    def looks_inverted(self) -> bool:
        """Whether bright pixels fill the corners and most of the picture, and dark ones the rest."""
        bright = self.values > _middle(self.peak)
        corners = bright[[0, 0, -1, -1], [0, -1, 0, -1]]
        return bool(corners.all() and 0.5 < bright.mean() < 1)  # noqa: PLR2004 - the half


def _seen(image: Image.Image) -> MaskValues:
    """Return what is seen of a decoded mask file.

    Raises:
        ImageError: a value is not finite, or below 0.
    """
    if image.mode == "1":
        values = np.asarray(image).astype(np.uint8)
        return MaskValues(values, float(np.ptp(values)))
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise ImageError("contains NaN or infinite values; save what is not inspected as 0")
        if (np.rint(values) == values).all():
            values = values.astype(np.int64)
        if values.min(initial=0) < 0:
            raise ImageError("contains values below 0; save it with 0 for normal and 255 for defective pixels")
        return MaskValues(values, float(np.ptp(values)))
    has_alpha = image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info
    if image.mode == "L" and not has_alpha:
        values = np.asarray(image)
        return MaskValues(values, float(np.ptp(values)))
    is_palette = image.mode in {"P", "PA"}
    if has_alpha:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba)
    pixels = np.asarray(image.convert("RGB"))
    spread = float(np.ptp(pixels, axis=(0, 1)).max())
    colours: list[tuple[int, Any]] = (image.convert("RGB").getcolors(256) or []) if is_palette else []
    hues = {tuple(map(bool, colour)) for _, colour in colours if any(colour)}
    void = bool((pixels == _VOC_VOID).all(axis=2).any())
    others = void and bool(((pixels != _VOC_VOID).any(axis=2) & pixels.any(axis=2)).any())
    return MaskValues(pixels.max(axis=2), spread, is_labels=len(hues) > 1, has_void=others)


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
        ImageError: the file is missing, damaged or too large, or its values may mean several things.
    """
    mask = _read(path)
    if isinstance(threshold, tuple):
        ranges = [(mask.values >= low) & (mask.values <= high) for low, high in threshold]
        return np.asarray(np.logical_or.reduce(ranges))
    with _naming(path):
        return np.asarray(mask.values > (_choose(mask, peers) if threshold is None else threshold))


def file_threshold(path: Path, peers: Peers = Peers()) -> float:
    """Return the value above which ``read_mask`` takes a file's pixels as defective if it has to choose."""
    mask = _read(path)
    with _naming(path):
        return _choose(mask, peers)


def looks_like_mask(path: Path) -> bool:
    """Return whether a picture has few colours, or is almost all black and white; False if it cannot be read."""
    try:
        mask = _read(path)
    except ImageError:
        return False
    noise = max(_NOISE, mask.peak / _NOISE)
    is_clear = (mask.values <= noise) | (mask.values >= mask.peak - noise)
    return _present(mask.values).size <= _FEW or bool(is_clear.mean() > _ALMOST)


def _read(path: Path) -> MaskValues:
    image = decode(path)
    with _naming(path):
        return _seen(image)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error about its values."""
    try:
        yield
    except ImageError as error:
        raise ImageError(f"The mask {shown(path)} {error}") from None


def _changes(paths: tuple[Path, ...]) -> tuple[int, ...]:
    """Return when each file last changed, so that what is remembered of files is of those that are there."""
    return tuple(os.stat(path).st_mtime_ns if path.exists() else 0 for path in paths)  # noqa: PTH116 - as elsewhere


@lru_cache(maxsize=256)
def _are_bright(paths: tuple[Path, ...], _changes: tuple[int, ...]) -> bool:
    return any(mask.peak > _MIDDLE for mask in _readable(paths))


@lru_cache(maxsize=256)
def _are_inverted(paths: tuple[Path, ...], _changes: tuple[int, ...]) -> bool:
    return all(mask.looks_inverted for mask in _readable(paths) if mask.spread)


def _readable(paths: tuple[Path, ...]) -> Iterator[MaskValues]:
    for path in paths:
        with suppress(ImageError):
            yield _read(path)


def _choose(mask: MaskValues, peers: Peers) -> float:
    """Return the value above which pixels are defective.

    Two readings compete: black is normal and every other colour a label, or all values are noisy or smooth forms of
    black and white, with the border in the middle. Mostly both say the same.
    """
    peak, present = mask.peak, _present(mask.values)
    if peak == 0:
        return 0
    _check_background(mask, present, peers)
    middle = _middle(peak)
    marks = present[present > 0]
    between = marks[marks <= middle]
    is_faint = peak <= _HIGHEST_ID and mask.values.dtype.kind in "ui"
    if mask.has_void or (peak in _WHITE and 1 < marks.size == np.count_nonzero(marks <= _HIGHEST_ID) + 1):
        names = ", ".join(f"{value}" for value in (*marks[:3][:-1], marks[-1]))
        raise ImageError(f"has the values {names} beside 0; the last may mean pixels to ignore. {_SETTINGS}")
    if not between.size:
        # One dark value alone is no mark on black; a faint one may be an id, or what compression made of black.
        is_dark = mask.spread == 0 and (not is_faint or peers.are_bright())
        return _MIDDLE if peak > _MIDDLE or is_dark else 0
    is_deep = _WHITE[0] < peak < _WHITE[1] * 0.9 and mask.values.dtype.kind in "ui"
    if mask.is_labels or is_deep or _holds_labels(mask.values, present, between):
        return 0
    if is_faint:
        return _MIDDLE if peers.are_bright() else 0
    return middle


def _middle(peak: float) -> float:
    """Return the value between black and white, if the brightest pixels are white."""
    is_byte = _MIDDLE < peak <= 255  # noqa: PLR2004 - 8 bits
    return _MIDDLE if is_byte else peak / 2


def _present(values: NDArray[Any]) -> NDArray[Any]:
    """Return the distinct values in order."""
    if values.dtype.kind == "u":
        return np.flatnonzero(np.bincount(values.ravel()))
    return np.unique(values)


def _check_background(mask: MaskValues, present: NDArray[Any], peers: Peers) -> None:
    """Raise an ``ImageError`` if no black, or white, seems to be what is normal."""
    noise = _NOISE if _MIDDLE < mask.peak <= 255 else mask.peak / _NOISE if mask.peak > 255 else 0  # noqa: PLR2004 - 8 bits
    if present[0] > noise and mask.spread > noise:
        raise ImageError(f"has several colours but no black, which would be what is normal. {_SETTINGS}")
    if mask.looks_inverted and peers.are_inverted():
        raise ImageError(
            "is white around black, as are all masks of its category: black may be what is defective. Say what is: "
            "--mask-values 0 for black, --mask-threshold 127 for white."
        )


def _holds_labels(values: NDArray[Any], present: NDArray[Any], between: NDArray[Any]) -> bool:
    """Return whether values below the middle are labels: most values fill areas, as noise and soft edges never do."""
    areas = _values_of_areas(values)
    if not np.isin(between, areas).any() or 2 * np.count_nonzero(areas) < np.count_nonzero(present):
        return False
    # Near black alone: lossy compression makes such areas, but near white too.
    peak = present[-1]
    is_noise = between[-1] <= _NOISE and ((present >= peak - _NOISE) & (present < peak) & (present > between[-1])).any()
    return not is_noise


def _values_of_areas(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values that fill a square of 3 x 3 pixels somewhere."""
    across = (values[:, 2:] == values[:, 1:-1]) & (values[:, :-2] == values[:, 1:-1])
    centre = values[1:-1, 1:-1]
    square = across[2:] & across[1:-1] & across[:-2] & (values[2:, 1:-1] == centre) & (values[:-2, 1:-1] == centre)
    return np.unique(centre[square])
