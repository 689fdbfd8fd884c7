"""Masks named after their image with an ending: which mask belongs to which image, and which mark anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.masks import Threshold, read_mask
from lvlm_ad.datasets.names import normalized
from lvlm_ad.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing, Severity

__all__ = ["masks_by_image", "split_off_masks", "which_mark"]

_THREADS = 8
"""Masks that are decoded at the same time."""


def split_off_masks(paths: Sequence[Path], ending: str) -> tuple[list[Path], list[Path]]:
    """Return the images and the masks of a folder that holds both; a mask's stem has the ending.

    Example:
        >>> from pathlib import Path
        >>> images, masks = split_off_masks([Path("0.png"), Path("0_GT.png")], "_GT")
        >>> [path.name for path in images], [path.name for path in masks]
        (['0.png'], ['0_GT.png'])
    """
    images: list[Path] = []
    masks: list[Path] = []
    for path in paths:
        (masks if path.stem.lower().endswith(ending.lower()) else images).append(path)
    return images, masks


def masks_by_image(
    listing: Listing, images: Iterable[Path], masks: Iterable[Path], ending: str = "", orphan: Severity = "warning"
) -> dict[Path, Path]:
    """Return the mask of each image that has one: it has the image's stem and the ending.

    Args:
        listing: where masks without an image, and second masks of an image, are reported.
        images: the images.
        masks: the masks.
        ending: what a mask's stem has after its image's, in any case.
        orphan: how severe a mask without an image is.
    """
    by_stem: dict[str, list[Path]] = {}
    for mask in masks:
        stem = normalized(mask.stem)
        if not stem.lower().endswith(ending.lower()):
            listing.report(
                mask, f"{shown(mask)} is not read as a mask: its name does not end in {ending}. Move it away.", orphan
            )
            continue
        by_stem.setdefault(stem[: len(stem) - len(ending)], []).append(mask)
    pairs: dict[Path, Path] = {}
    used = set()
    for image in images:
        stem = normalized(image.stem)
        found = by_stem.get(stem, [])
        used.add(stem)
        if len(found) > 1:
            both = " and ".join(map(shown, found[:2]))
            listing.report(image, f"{shown(image)} has more than one mask, {both}; remove all but one.")
        if found:
            pairs[image] = found[0]
    for stem, found in by_stem.items():
        for mask in () if stem in used else found:
            listing.report(mask, f"{shown(mask)} is a mask, but there is no image {shown(stem)}.", orphan)
    return pairs


def which_mark(listing: Listing, pairs: Mapping[Path, Path], threshold: Threshold) -> dict[Path, bool]:
    """Return for each image whether its mask marks anything; all masks are decoded, several at the same time.

    Args:
        listing: where masks that cannot be read are reported; their images are left out.
        pairs: image -> mask.
        threshold: see ``read_mask``.

    Returns:
        Image -> whether its mask has a defective pixel, in the order of ``pairs``.
    """

    def marks(mask: Path) -> bool | str:
        try:
            return bool(read_mask(mask, threshold).any())
        except ImageError as error:
            return str(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        answers = dict(zip(pairs, pool.map(marks, pairs.values()), strict=True))
    for image, answer in answers.items():
        if isinstance(answer, str):
            listing.report(image, f"{answer} Without it, {shown(image.name)} is neither good nor bad.")
    return {image: answer for image, answer in answers.items() if isinstance(answer, bool)}
