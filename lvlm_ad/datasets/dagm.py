"""DAGM 2007: ten textures; an image is anomalous if it has a mask in the folder Label beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import contents_of, inner_folder, name_of
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.known_categories import list_categories
from lvlm_ad.datasets.paired_masks import masks_by_image, split_off_masks

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing, Severity
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["DAGM_CATEGORIES", "is_dagm", "read_dagm"]

DAGM_CATEGORIES = tuple(f"Class{number}" for number in range(1, 11))

_ENDING = "_label"

_ABOUT = (
    "DAGM 2007: folders such as Class1/Test/Label were expected. It is available from the organisers of the "
    "competition at hci.iwr.uni-heidelberg.de; we found no licence."
)


def is_dagm(root: Path) -> bool:
    """Return whether a folder is DAGM 2007 or one of its classes: it has folders such as Class1/Test/Label."""
    classes = [root] if name_of(root) in DAGM_CATEGORIES else [root / name for name in DAGM_CATEGORIES]
    return any(inner_folder(inner_folder(folder, "test"), "label").is_dir() for folder in classes)


def read_dagm(root: Path, threshold: Threshold) -> Listing:
    """List DAGM 2007; the root is the folder of the classes, one of them, or the one around them.

    Training images with a mask are no references. The masks are coarse ellipses.

    Raises:
        DataError: as ``category_folders``.
    """
    names = dict.fromkeys(DAGM_CATEGORIES, "texture")
    return list_categories("dagm", root, threshold, names, _has_split, _ABOUT, _read_class)


def _read_class(listing: Listing, folder: Path, category: str) -> None:
    _read_tests(listing, inner_folder(folder, "test"), category)
    _read_train(listing, inner_folder(folder, "train"), category)


def _has_split(folder: Path) -> bool:
    return any(inner_folder(folder, split).is_dir() for split in ("test", "train"))


def _masks_in(listing: Listing, split: Path, orphan: Severity) -> dict[Path, Path | None] | None:
    """Return each image's mask, None for one without; None if there is no folder of masks."""
    labels = inner_folder(split, "label")
    if not labels.is_dir():
        return None
    images, loose = split_off_masks(listing.images_in(split), _ENDING)
    for path in loose:
        listing.report(path, f"{shown(path)} is a mask; it belongs in {shown(labels)}/, one level deeper.")
    # Beside the masks lies a text, Labels.txt.
    pairs = masks_by_image(listing, images, listing.images_in(labels, counts_others=False), _ENDING, orphan)
    return {image: pairs.get(image) for image in images}


def _read_tests(listing: Listing, test: Path, category: str) -> None:
    if not test.is_dir():
        listing.report(test, f"{shown(test.parent)} has no folder Test/; it holds {contents_of(test.parent)}.")
        return
    masks = _masks_in(listing, test, "error")
    if masks is None:
        listing.report(
            test,
            f"{shown(test / 'Label')}/ is missing, without which every image would count as normal; {shown(test)} "
            f"holds {contents_of(test)}. Restore it from the archive.",
        )
        return
    for image, mask in masks.items():
        listing.add(category, "good" if mask is None else "defect", image, [] if mask is None else [mask])


def _read_train(listing: Listing, train: Path, category: str) -> None:
    if not train.is_dir():
        return
    masks = _masks_in(listing, train, "warning")
    if masks is None:
        listing.report(
            train,
            f"{shown(train / 'Label')}/ is missing, so any training image may show a defect; none is a reference. "
            "Restore it from the archive.",
            "warning",
        )
        return
    for image, mask in masks.items():
        if mask is None:
            listing.add_reference(category, image)
