"""Decide what a mask's values mean, by its visible colours and not by how the file stores them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from lvlm_ad.datasets.images import alpha_of, over_black
from lvlm_ad.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
"""The colour of ignored pixels in PASCAL VOC's label pictures."""

_TWO = 2
"""Values of a mask that has only black and one mark."""

_FEW = 64
"""A picture with at most this many brightness values is no photograph."""
_ALMOST = 0.95

_NEARLY = 0.8
"""Values above this share of the highest possible one may be noisy white; lower ones are numbers or colours."""

_SETTINGS = "Say what is defective: --mask-threshold N for all values above N, or --mask-values such as 1,3-7."


class Category(Protocol):
    """The masks of a mask's category, which are read only if the mask alone is ambiguous."""

    def are_bright(self) -> bool:
        """Whether one of them has values above the middle of 8 bits."""

    def are_inverted(self) -> bool:
        """Whether all of them look inverted, apart from those of one colour."""


@dataclass(frozen=True, eq=False)
class MaskValues:
    """A mask as a viewer sees it.

    Attributes:
        values: ``(H, W)``, the brightest channel of each pixel over black; transparent pixels are 0.
        spread: the widest range of a channel; 0 if all pixels have one colour.
        is_labels: each colour is a label: a palette of several hues.
        has_void: VOC's colour for ignored pixels occurs beside other colours.
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
    def is_bright(self) -> bool:
        """Whether there are values above the middle of 8 bits."""
        return self.peak > _MIDDLE

    @property
    def is_whole(self) -> bool:
        """Whether the values are whole numbers."""
        return self.values.dtype.kind in "ui"

    @property
    def is_faint(self) -> bool:
        """Whether the values are so small that they may be numbers of defects."""
        return self.is_whole and self.peak <= _HIGHEST_ID

    @property
    def looks_like_mask(self) -> bool:
        """Whether there are few brightness values, or almost all pixels are black or white."""
        noise = max(_NOISE, self.peak / _NOISE)
        is_clear = (self.values <= noise) | (self.values >= self.peak - noise)
        return _present(self.values).size <= _FEW or bool(is_clear.mean() > _ALMOST)

    @property
    def looks_inverted(self) -> bool:
        """Whether the pixels that are not black, or the bright ones, fill the corners and most of the picture."""
        return any(fills(self.values > limit) for limit in (0, _middle(self.peak)))


def visible_values(image: Image.Image) -> MaskValues:
    """Return the visible values of a decoded mask file.

    Raises:
        ImageError: a value is not finite, or below 0.
    """
    if image.mode.startswith(("1", "I", "F")) or (image.mode == "L" and not image.has_transparency_data):
        values = _numbers(image)
        return MaskValues(values, float(np.ptp(values)))
    alpha, pixels = alpha_of(image), over_black(image)
    if alpha is not None and not pixels.any() and np.ptp(alpha):
        raise ImageError("is black on transparent; save it with white for defective and black for normal pixels.")
    colours: list[tuple[int, Any]] = []
    if image.mode in {"P", "PA"}:
        colours = Image.fromarray(pixels).getcolors(256) or []
    hues = {tuple(map(bool, colour)) for _, colour in colours if any(colour)}
    is_void = (pixels == _VOC_VOID).all(axis=2)
    return MaskValues(
        pixels.max(axis=2),
        spread=float(np.ptp(pixels, axis=(0, 1)).max()),
        is_labels=len(hues) > 1,
        has_void=bool(is_void.any() and (pixels.any(axis=2) & ~is_void).any()),
    )


def _numbers(image: Image.Image) -> NDArray[Any]:
    """Return the values of a picture in grey, whole where they are whole numbers."""
    values = np.asarray(image, dtype=np.uint8 if image.mode == "1" else None)
    if values.dtype.kind == "u":
        return values
    if not np.isfinite(values).all():
        raise ImageError("contains NaN or infinite values; save pixels that are not inspected as 0.")
    if values.min(initial=0) < 0:
        raise ImageError("contains values below 0; save it with 0 for normal and 255 for defective pixels.")
    is_whole = values.max(initial=0) <= HIGHEST_VALUE and (np.rint(values) == values).all()
    return values.astype(np.int64) if is_whole else values


def choose_threshold(mask: MaskValues, category: Category) -> float:
    """Return the value above which pixels are defective.

    Raises:
        ImageError: the values are ambiguous.
    """
    threshold = _choose(mask, category)
    if fills(mask.values > threshold) and category.are_inverted():
        raise ImageError(
            "marks the corners and most of the picture, as all masks of its category do, so it may be inverted. Use "
            f"--mask-values 0 if black is defective, --mask-threshold {threshold:g} if everything else is."
        )
    return threshold


def fills(marked: NDArray[np.bool_]) -> bool:
    """Return whether the four corners and most of a picture are marked, but not all of it."""
    corners = marked[[0, 0, -1, -1], [0, -1, 0, -1]]
    return bool(corners.all() and 0.5 < marked.mean() < 1)  # noqa: PLR2004 - the half


def _choose(mask: MaskValues, category: Category) -> float:
    """Choose by the values of one mask; the masks of its category are read only if these do not decide."""
    # There are two readings. Either black is normal and every other colour is a label, or all values are noisy or
    # smooth forms of black and white, with the threshold in the middle. Usually both give the same result.
    peak, present = mask.peak, _present(mask.values)
    if peak == 0:
        return 0
    _check_colours(mask, present)
    black = float(present[0]) if mask.spread else 0
    is_deep = mask.is_whole and _WHITE[0] < peak < _NEARLY * _WHITE[1]
    if mask.is_labels or is_deep:
        return black
    areas = _values_of_areas(mask.values) if present.size > _TWO or peak < _NEARLY * _WHITE[0] else present
    is_dim_white = mask.is_bright and peak < _NEARLY * _WHITE[0] and (areas > peak / 2).any()
    middle = peak / 2 if is_dim_white else _middle(peak)
    marks = present[present > black]
    between = marks[marks <= middle]
    if not between.size:
        return _beside_lowest_mark(mask, float(marks[0]), middle, category)
    is_edged = mask.is_bright and peak in _WHITE and marks[-2] <= _HIGHEST_ID
    holds_labels = _hold_labels(areas, marks, between)
    if is_edged or (holds_labels and mask.is_bright and between[-1] <= _HIGHEST_ID):
        names = ", ".join(f"{value}" for value in (*between[:3], marks[-1]))
        raise ImageError(
            f"has the values {names} beside 0, which may mean defects, noise or pixels to ignore. {_SETTINGS}"
        )
    if holds_labels:
        return black
    if mask.is_faint:
        return _MIDDLE if category.are_bright() else black
    if mask.is_whole and not mask.is_bright and not (areas > middle).any():
        raise ImageError(f"has values up to {peak:g}, which may be thin numbered defects or dim grey. {_SETTINGS}")
    return middle


def _beside_lowest_mark(mask: MaskValues, lowest: float, middle: float, category: Category) -> float:
    """Return a threshold below the lowest mark; above it if the picture is of a single dark value, which is no mark."""
    if mask.is_bright:
        return _MIDDLE if lowest > _MIDDLE else middle
    # A single faint value may be an id, or black changed by compression.
    is_dark = mask.spread == 0 and (not mask.is_faint or category.are_bright())
    return _MIDDLE if is_dark else float(mask.values.min()) if mask.spread else 0


def _middle(peak: float) -> float:
    """Return the value between black and white, if the brightest pixels are white."""
    is_byte = _MIDDLE < peak <= _WHITE[0]
    return _MIDDLE if is_byte else peak / 2


def _present(values: NDArray[Any]) -> NDArray[Any]:
    """Return the distinct values in order."""
    if values.dtype == np.uint8:
        return np.flatnonzero(Image.fromarray(values).histogram())
    if values.dtype.kind == "u":
        return np.flatnonzero(np.bincount(values.ravel()))
    return np.unique(values)


def _check_colours(mask: MaskValues, present: NDArray[Any]) -> None:
    """Raise an ``ImageError`` if no pixel is black, the colour of normal ones, or if VOC's ignored colour occurs."""
    if mask.has_void:
        raise ImageError(f"has PASCAL VOC's colour for pixels to ignore, whose value is {max(_VOC_VOID)}. {_SETTINGS}")
    noise = _NOISE if _MIDDLE < mask.peak <= _WHITE[0] else mask.peak / _NOISE if mask.peak > _WHITE[0] else 0
    if present[0] > noise and mask.spread > noise:
        raise ImageError(f"has several colours but no black, the colour of normal pixels. {_SETTINGS}")


def _hold_labels(areas: NDArray[Any], marks: NDArray[Any], between: NDArray[Any]) -> bool:
    """Return whether values below the middle are labels: most values fill areas, as noise and soft edges never do."""
    if not np.isin(between, areas).any() or 2 * np.isin(marks, areas).sum() < marks.size:
        return False
    # Areas near black may come from lossy compression, which would leave traces near white too.
    near_white = marks[(marks >= marks[-1] - _NOISE) & (marks > between[-1])]
    return bool(between[-1] > _NOISE or near_white.size == 1)


def _values_of_areas(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values that fill a square of 3 x 3 pixels somewhere."""
    across = (values[:, 2:] == values[:, 1:-1]) & (values[:, :-2] == values[:, 1:-1])
    centre = values[1:-1, 1:-1]
    square = across[2:] & across[1:-1] & across[:-2] & (values[2:, 1:-1] == centre) & (values[:-2, 1:-1] == centre)
    return np.unique(centre[square])
