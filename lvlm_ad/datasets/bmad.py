"""BMAD: six medical categories, three of them with masks.

<category>/train/good/*  {valid,test}/{good,Ungood}/{img,label}/*
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import contents_of, folders_in, inner_folder, name_of
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.known_categories import list_categories
from lvlm_ad.datasets.paired_masks import masks_by_image

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["BMAD_CATEGORIES", "is_bmad", "read_bmad"]

BMAD_CATEGORIES = {
    "Brain": "brain MRI",
    "Chest": "chest X-ray",
    "Histopathology": "histopathological image",
    "Liver": "liver CT",
    "Retina_OCT2017": "retinal OCT",
    "Retina_RESC": "retinal OCT",
}
"""Category -> what a question calls it, as public code for this data set does."""

_KINDS = {"good", "ungood"}

_ABOUT = (
    "BMAD: folders such as Brain/test/Ungood/img were expected. It is available through the repository "
    '"DorisBao/BMAD" on GitHub, licence CC BY-NC-SA 4.0.'
)


def is_bmad(root: Path) -> bool:
    """Return whether a folder is BMAD or one of its categories: only it has kinds of this name."""
    return any(
        (folder / "test" / "Ungood").is_dir() and name_of(folder) in BMAD_CATEGORIES
        for folder in (root, *folders_in(root))
    )


def read_bmad(root: Path, threshold: Threshold) -> Listing:
    """List BMAD; the root is the folder of the categories, one category's, or the one around them.

    Raises:
        DataError: as ``category_folders``.
    """
    return list_categories("bmad", root, threshold, BMAD_CATEGORIES, _has_split, _ABOUT, _read_category)


def _has_split(folder: Path) -> bool:
    return any((folder / split).is_dir() for split in ("test", "train"))


def _read_category(listing: Listing, folder: Path, category: str) -> None:
    if not (folder / "test").is_dir():
        listing.report(folder, f"{shown(folder)} has no folder test/; it holds {contents_of(folder)}.")
        return
    kinds = {kind.name: kind for kind in folders_in(folder / "test")}
    # Public sources disagree on which categories have masks, so the folders decide.
    has_masks = any((kind / "label").is_dir() for kind in kinds.values())
    for name, kind in kinds.items():
        if name.lower() not in _KINDS:
            listing.report(
                kind, f"{shown(kind)} is neither good/ nor Ungood/; its images may be normal or not. Move it away."
            )
            continue
        images = _images_of(listing, kind)
        labels = kind / "label"
        masks = masks_by_image(listing, images, listing.images_in(labels) if labels.is_dir() else ())
        for image in images:
            if name.lower() == "good":
                listing.add(category, "good", image, [])
                if image in masks:
                    listing.expect_empty(f"{category}/good/{image.stem}", image, masks[image])
            elif image in masks or not has_masks:
                listing.add(category, name, image, [masks[image]] if image in masks else [])
            else:
                expected = shown(labels / f"{image.stem}.png")
                listing.report(
                    image, f"{shown(image)} has no mask; {expected} is expected. Restore it from the archive."
                )
    train, valid = folder / "train" / "good", folder / "valid" / "good"
    for image in listing.images_in(train) if train.is_dir() else ():
        listing.add_reference(category, image)
    for image in _images_of(listing, valid) if valid.is_dir() else ():
        listing.add_validation(category, image)


def _images_of(listing: Listing, kind: Path) -> list[Path]:
    """List the images of a kind, which lie in the folder img; report those that lie beside it."""
    loose = listing.images_in(kind)
    if loose:
        listing.report(
            kind,
            f"{shown(kind)} holds {len(loose)} images, the first {shown(loose[0].name)}, that belong one level deeper, "
            f"in {shown(kind / 'img')}/.",
        )
    images = inner_folder(kind, "img")
    return listing.images_in(images) if images.is_dir() else []
