"""Sets of pictures in the folders yes and no, such as BrainMRI and Br35H: whether a scan shows a tumour; no masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import check_root, contents_of, find_root, folders_in, inner_folder
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.mask_files import pictures_below
from lvlm_ad.datasets.paired_masks import split_off_masks
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.masks import Threshold

__all__ = ["read_yes_no"]

_CATEGORY = "brain"


def read_yes_no(root: Path, threshold: Threshold) -> Listing:
    """List a set of two folders; the root is the folder of yes and no, or the one around it.

    The category is "brain", since both published sets of this form show brains; for another subject, set
    ``class_names`` in the prompt.

    Raises:
        DataError: ``root`` is not a folder, or does not hold the two folders.
    """
    check_root(root)
    home = find_root(root, ([root], folders_in(root)), _fits)
    if home is None:
        raise DataError(
            f"{shown(root)} holds no folders yes and no, but {contents_of(root)}. BrainMRI and Br35H have them."
        )
    listing = Listing("yes-no", home, threshold)
    listing.category = _CATEGORY
    yes, no = inner_folder(home, "yes"), inner_folder(home, "no")
    for other in folders_in(home):
        if other not in {yes, no} and pictures_below(other):
            listing.report(
                other,
                f"{shown(other)} lies beside yes/ and no/; its pictures may be normal, anomalous or neither. Move them "
                "into one of the two folders, or the folder away.",
            )
    for folder, kind in ((no, "good"), (yes, "yes")):
        images, masks = split_off_masks(listing.images_in(folder), "_mask")
        for path in masks:
            listing.report(
                path, f"{shown(path)} has the name of a mask, but sets of this form have none; give --dataset folder."
            )
        for image in images:
            listing.add(_CATEGORY, kind, image, [])
        deeper = [path for inner in folders_in(folder) for path in pictures_below(inner)]
        if deeper:
            listing.report(
                folder, f"{shown(folder)} has pictures in folders of its own, such as {shown(deeper[0])}; move them up."
            )
        elif not images:
            listing.report_unread(folder)
            listing.report(folder, f"{shown(folder)} holds no images; restore them from the archive.", "warning")
    return listing


def _fits(folder: Path) -> bool:
    return inner_folder(folder, "yes").is_dir() and inner_folder(folder, "no").is_dir()
