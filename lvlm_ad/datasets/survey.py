"""Find pictures that can be read but may not show what the user expects."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ExifTags, Image

from lvlm_ad.datasets.images import alpha_of, shown
from lvlm_ad.datasets.mask_values import fills

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.datasets.sample import Sample

_DARK = 64
"""A category whose pictures all stay below this, of 255, uses at most a quarter of the range."""

_ALMOST_BLACK = 50
"""A picture so many times darker than others has values of another range: 0..1 beside 0..255, 8 bits beside 16."""

_ALPHA = "has transparent pixels, which are read as black; flatten it if something else should be seen there"
_BLACK = "is almost black, unlike other pictures of the category; see whether all of them have the same range of values"
_MOST = (
    "has a mask that marks the corners and most of the picture, unlike other masks of the category; see whether it is "
    "black on white"
)
_TURNED = "and its mask have different EXIF orientations, so the mask may be rotated relative to it; save both upright"


class Survey:
    """Collects oddities of pictures, and reports each once for a category. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._highest: defaultdict[str, dict[str, int]] = defaultdict(dict)  # category -> sample id -> brightest pixel
        self._oddities: dict[tuple[str, str], list[str]] = {}

    def add(self, sample: Sample, image: NDArray[np.uint8]) -> None:
        """Look at a sample and its picture."""
        highest = int(image.max(initial=0))
        oddities = [_ALPHA] if _is_transparent(sample.image_path) else []
        if sample.mask_path is not None and _orientation(sample.image_path) != _orientation(sample.mask_path):
            oddities.append(_TURNED)
        with self._lock:
            self._highest[sample.category][sample.id] = highest
            for what in oddities:
                self._oddities.setdefault((sample.category, what), []).append(sample.id)

    def add_mask(self, sample: Sample, mask: NDArray[np.bool_]) -> None:
        """Look at a defect's mask, if lvlm-ad chose which of its values are defective."""
        if sample.threshold is None and fills(mask):
            with self._lock:
                self._oddities.setdefault((sample.category, _MOST), []).append(sample.id)

    def messages(self) -> Iterator[tuple[str, str]]:
        """Yield each category with a sentence on each of its oddities."""
        for category, peaks in sorted(self._highest.items()):
            highest = max(peaks.values())
            black = [one for one, peak in peaks.items() if peak < highest / _ALMOST_BLACK]
            if black:
                self._oddities[category, _BLACK] = black
            if highest < _DARK:
                dark = f"The pictures of {shown(category)} are dark: the brightest pixel of all reaches"
                advice = "If they have 10, 12 or 14 bits in 16-bit files, stretch all of them by the same factor."
                yield category, f"{dark} {100 * highest / 255:.0f} % of the range. {advice}"
        for (category, what), ids in sorted(self._oddities.items()):
            first, more = min(ids), f" (and {len(ids) - 1} more of this category)" if len(ids) > 1 else ""
            yield category, f"{shown(first)}{more} {what}."


def _is_transparent(path: Path) -> bool:
    # The check itself reports pictures that cannot be read.
    with suppress(Exception), Image.open(path) as opened:
        alpha = alpha_of(opened)
        return alpha is not None and bool(alpha.min() < 255)  # noqa: PLR2004 - opaque
    return False


def _orientation(path: Path) -> int:
    with suppress(Exception), Image.open(path) as opened:
        return int(opened.getexif().get(ExifTags.Base.Orientation, 1))
    return 1
