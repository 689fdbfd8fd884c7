"""The folder layout of MVTec AD, which VisA's reorganised form, the demo and most users' data share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing, folders_in, found_in, name_of
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets.sample import File

__all__ = ["Layout", "check_root", "find_root", "own_name", "read_category", "read_kinds"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a data set fills the layout.

    Attributes:
        good: the names of folders with normal images, in lower case.
        mask_folders: the folders beside ``test`` that may hold ``<defect>/`` folders with masks.
        mask_endings: what may follow the image's stem in its mask's, the preferred one first.
        masks_required: whether a defect without a mask is an error.
    """

    good: frozenset[str] = frozenset({"good"})
    mask_folders: tuple[str, ...] = ("ground_truth",)
    mask_endings: tuple[str, ...] = ("_mask",)
    masks_required: bool = True


def check_root(root: Path, source: str) -> None:
    """Make sure that a root is a folder.

    Args:
        root: what the user gave.
        source: where the data is to be had; a sentence, or empty.

    Raises:
        DataError: it does not exist or is a file.
    """
    if not os.path.exists(root):  # noqa: PTH110 - Path.exists() raises for names that are too long
        raise DataError(f"{shown(root)} does not exist; give the folder with the data. {source}".rstrip())
    if not root.is_dir():
        raise DataError(f"{shown(root)} is a file, not a folder; unpack it if it is an archive. {source}".rstrip())


def own_name(folder: Path) -> str:
    """Return a folder's name, also that of "." and of a link."""
    return Path(os.path.abspath(folder)).name or "root"  # noqa: PTH100 - resolve() would follow the link


def find_root(root: Path, levels: Iterable[Iterable[Path]], fits: Callable[[Path], bool]) -> Path | None:
    """Find the folder that holds the data set.

    Args:
        root: what the user gave.
        levels: folders to look at, the likeliest level first.
        fits: whether a folder is the data set's.

    Returns:
        The only fitting folder of the first level that has one; None if none fits.

    Raises:
        DataError: several folders of a level fit.
    """
    for level in levels:
        hits = [folder for folder in level if fits(folder)]
        if len(hits) > 1:
            names = ", ".join(shown(hit.name) for hit in hits)
            raise DataError(f"{shown(root)} holds this data set more than once ({names}); give one of these folders.")
        if hits:
            return hits[0]
    return None


def read_category(listing: Listing, folder: Path, category: str, layout: Layout) -> None:
    """Read ``test``, ``train`` and the masks of one category's folder."""
    test = folder / "test"
    if not test.is_dir():
        listing.report(folder, f"{shown(folder)} has no folder test/; it holds {found_in(folder)}.")
        return
    loose = listing.images_in(test)
    if loose:
        listing.notes.append(
            f"Ignored {len(loose)} images directly in {shown(test)}: those in folders such as test/good have a label."
        )
    if not read_kinds(listing, folder, folders_in(test), category, layout):
        listing.report(
            test, f"{shown(test)} is an empty split: no folder in it holds an image; it holds {found_in(test)}."
        )
    train = folder / "train"
    for kind in folders_in(train) if train.is_dir() else ():
        if kind.name.lower() in layout.good:
            for image in listing.images_in(kind):
                listing.refer(category, image)


def read_kinds(listing: Listing, folder: Path, kinds: Iterable[Path], category: str, layout: Layout) -> int:
    """Read folders of test images, one for each kind of defect.

    Args:
        listing: where what is found goes.
        folder: the category's folder, which the mask folders lie in.
        kinds: the folders of images, each named after its defect.
        category: the category's name.
        layout: how the folders are filled.

    Returns:
        How many images were found.
    """
    found = 0
    for kind in kinds:
        masks = _masks_of(listing, folder, kind.name, layout)
        free = set().union(*masks.values())
        good = kind.name.lower() in layout.good
        for image in listing.images_in(kind):
            found += 1
            fitting = _fitting(masks, image, layout)
            free.difference_update(fitting)
            if len(fitting) > 1:
                names = " and ".join(shown(path.name) for path in fitting)
                listing.report(image, f"{shown(image)} has more than one mask, {names}; remove all but one.")
            elif not fitting and not good and layout.masks_required:
                expected = folder / layout.mask_folders[0] / kind.name / f"{image.stem}{layout.mask_endings[0]}.png"
                listing.report(
                    image, f"{shown(image)} has no mask; {shown(expected)} is expected. Restore it from the archive."
                )
            else:
                listing.add(category, "good" if good else kind.name, image, fitting[0] if fitting else None)
        for mask in sorted(free):
            listing.report(mask, f"{shown(mask)} is a mask without an image in {shown(kind)}.", "warning")
    return found


def _fitting(masks: Mapping[str, list[File]], image: File, layout: Layout) -> list[File]:
    """Return the masks of an image, of the preferred ending that there are any of."""
    stem = name_of(image.stem) if masks else ""
    return next((masks[key] for end in layout.mask_endings if (key := stem + end) in masks), [])


def _masks_of(listing: Listing, folder: Path, kind: str, layout: Layout) -> dict[str, list[File]]:
    """Return stem -> the mask files that have it."""
    masks: dict[str, list[File]] = {}
    for name in layout.mask_folders:
        place = folder / name / kind
        for path in listing.images_in(place) if place.is_dir() else ():
            masks.setdefault(name_of(path.stem), []).append(path)
    return masks
