"""KolektorSDD and KolektorSDD2: every image has a mask beside it, and is anomalous if this mask marks anything."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import check_root, contents_of, files_in, find_root, folders_in, inner_folder
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.paired_masks import masks_by_image, split_off_masks, which_mark
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.masks import Threshold

__all__ = ["is_ksdd", "is_ksdd2", "read_ksdd", "read_ksdd2"]

_KSDD = "electrical commutators"
_KSDD2 = "metal_plates"
_ITEM = re.compile(r"kos\d+", re.IGNORECASE)
_LABEL = "_label"
_GT = "_GT"


def is_ksdd(root: Path) -> bool:
    """Return whether a folder is KolektorSDD: it holds folders such as kos01 with labels."""
    return any(_ITEM.fullmatch(item.name) and _holds(item, _LABEL) for item in folders_in(root))


def is_ksdd2(root: Path) -> bool:
    """Return whether a folder is KolektorSDD2: beside its images are masks such as train/10000_GT.png."""
    test = inner_folder(root, "test")
    return _holds(inner_folder(root, "train"), _GT) and (not test.is_dir() or _holds(test, _GT))


def _holds(folder: Path, ending: str) -> bool:
    return folder.is_dir() and any(path.stem.lower().endswith(ending.lower()) for path in files_in(folder))


def read_ksdd(root: Path, threshold: Threshold) -> Listing:
    """List KolektorSDD; the root is the folder of kos01, kos02, ..., or the one around it.

    The data set has no split: every image is a test image, uncut, and none is a reference. A pixel above 0 in an
    image's label (its mask) is defective, unless ``threshold`` says otherwise.

    Raises:
        DataError: ``root`` is not a folder, or has no such folders in it.
    """
    check_root(root)
    home = find_root(root, ([root], folders_in(root)), lambda folder: bool(_items(folder)))
    if home is None:
        raise DataError(
            f"{shown(root)} is not KolektorSDD: it holds {contents_of(root)}, but folders such as kos01 with "
            "Part0.jpg and Part0_label.bmp were expected. It is available on its page at vicos.si (resources, "
            "KolektorSDD), licence CC BY-NC-SA 4.0."
        )
    listing = Listing("ksdd", home, threshold)
    listing.category = _KSDD
    listing.class_names[_KSDD] = _KSDD
    listing.notes.append("KolektorSDD has no split: every image is a test image, uncut, and none is a reference.")
    pairs: dict[Path, Path] = {}
    for item in _items(home):
        images, masks = split_off_masks(listing.images_in(item), _LABEL)
        found = masks_by_image(listing, images, masks, _LABEL)
        if not images:
            listing.report(item, f"{shown(item)} has no images; it holds {contents_of(item)}.")
        for image in images:
            if image not in found:
                _report_missing(listing, image, _LABEL + ".bmp")
        pairs |= found
    _add_tests(listing, _KSDD, pairs, threshold)
    return listing


def _items(folder: Path) -> list[Path]:
    return [item for item in folders_in(folder) if _ITEM.fullmatch(item.name)]


def read_ksdd2(root: Path, threshold: Threshold) -> Listing:
    """List KolektorSDD2; the root is the folder of train and test, or the one around it.

    Training images with a defect do not become references. A pixel above 0 in a mask is defective, unless ``threshold``
    says otherwise.

    Raises:
        DataError: ``root`` is not a folder, or has no such folders in it.
    """
    check_root(root)
    home = find_root(root, ([root], folders_in(root)), _has_split_of_ksdd2)
    if home is None:
        raise DataError(
            f"{shown(root)} is not KolektorSDD2: it holds {contents_of(root)}, but the folders train and test, with "
            "masks such as test/20000_GT.png, were expected. It is available on its page at vicos.si (resources, "
            "KolektorSDD2), licence CC BY-NC-SA 4.0."
        )
    listing = Listing("ksdd2", home, threshold)
    listing.category = _KSDD2
    listing.class_names[_KSDD2] = _KSDD2.replace("_", " ")
    test, train = inner_folder(home, "test"), inner_folder(home, "train")
    if not test.is_dir():
        listing.report(home, f"KolektorSDD2 in {shown(home)} has no folder test/; it holds {contents_of(home)}.")
        return listing
    images, masks = split_off_masks(listing.images_in(test), _GT)
    pairs = masks_by_image(listing, images, masks, _GT)
    for image in images:
        if image not in pairs:
            _report_missing(listing, image, _GT + ".png")
    _add_tests(listing, _KSDD2, pairs, threshold)
    if train.is_dir():
        _add_references(listing, train, threshold)
    return listing


def _has_split_of_ksdd2(folder: Path) -> bool:
    """Return whether one of the two folders is there, so that the error can name the other if it is missing."""
    return any(_holds(inner_folder(folder, split), _GT) for split in ("train", "test"))


def _add_references(listing: Listing, train: Path, threshold: Threshold) -> None:
    images, masks = split_off_masks(listing.images_in(train), _GT)
    pairs = masks_by_image(listing, images, masks, _GT)
    for image in images:
        if image not in pairs:
            listing.report(
                image,
                f"{shown(image)} has no mask {shown(image.stem + _GT)}.png, so it may show a defect and is not "
                "used as a reference. Restore the mask from the archive.",
                "warning",
            )
    for image, marked in which_mark(listing, pairs, _or_zero(threshold)).items():
        if not marked:
            listing.add_reference(_KSDD2, image)


def _add_tests(listing: Listing, category: str, pairs: dict[Path, Path], threshold: Threshold) -> None:
    labels = which_mark(listing, pairs, _or_zero(threshold))
    for image, marked in labels.items():
        kind, masks = ("defect", [pairs[image]]) if marked else ("good", [])
        listing.add(category, kind, image, masks, threshold=_or_zero(threshold))
    if labels and not any(labels.values()):
        what = f"No mask in {shown(listing.root)} has a defective pixel, so every image counts as normal"
        if threshold is None:
            listing.report(listing.root, f"{what}; restore the masks from the archive.", "warning")
        else:
            listing.report(listing.root, f"{what}; change the mask threshold or the mask values.")


def _or_zero(threshold: Threshold) -> Threshold:
    return 0 if threshold is None else threshold


def _report_missing(listing: Listing, image: Path, ending: str) -> None:
    listing.report(
        image,
        f"{shown(image)} has no mask {shown(image.stem + ending)} beside it; without it, the image is neither good nor "
        "bad. Restore it from the archive.",
    )
