"""A layout in which each defect of an image has a mask file of its own: MVTec LOCO AD and AutoVI share it.

<category>/train/good/*  validation/good/*  test/{good,<kind>}/<stem>.png
<category>/ground_truth/<kind>/<stem>/*.png  defects_config.json
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.channels import CONFIG_NAME, Saturation, read_saturation
from lvlm_ad.datasets.folders import contents_of, folders_in, is_file
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.known_categories import list_categories
from lvlm_ad.datasets.names import normalized
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["read_defect_files"]


def read_defect_files(name: str, root: Path, threshold: Threshold, categories: Sequence[str], about: str) -> Listing:
    """List a data set of this layout.

    Args:
        name: the data set's name.
        root: see ``category_folders``.
        threshold: the user's, which is not used: the values of these masks are the numbers of types.
        categories: the names of the categories' folders.
        about: see ``category_folders``.

    Raises:
        DataError: as ``category_folders``.
    """
    listing = list_categories(name, root, None, categories, _is_category, about, _read_category)
    if threshold is not None:
        listing.remarks.append("The masks hold numbers of types of defect; the setting for mask values is not used.")
    return listing


def _is_category(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("test", "train", "ground_truth"))


def _read_category(listing: Listing, folder: Path, category: str) -> None:
    if not (folder / "test").is_dir():
        listing.report(
            folder,
            f"{shown(folder)} has no folder test/; it holds {contents_of(folder)}. Restore it from the archive.",
        )
        return
    listing.note_loose(folder / "test")
    types = _types_of(listing, folder)
    kinds = folders_in(folder / "test")
    truth = _by_name(folder / "ground_truth")
    _report_lone_masks(listing, folder, truth, {kind.name for kind in kinds} - {"good"})
    for kind in kinds:
        images = listing.images_in(kind)
        if kind.name == "good":
            for image in images:
                listing.add(category, "good", image, [])
            continue
        masks = truth.get(normalized(kind.name), folder / "ground_truth" / kind.name)
        places = _by_name(masks)
        _check_masks(listing, masks, places, images)
        for image in images:
            place = places.get(normalized(image.stem))
            files = [] if place is None else listing.images_in(place)
            if files:
                listing.add(category, kind.name, image, files, types=types, threshold=0)
            else:
                expected = f"{shown(masks / image.stem)}/"
                listing.report(
                    image, f"{shown(image)} has no mask; one is expected in {expected}. Restore it from the archive."
                )
    listing.add_normal_folders(category, folder)


def _by_name(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder by their names, composed: those of images and of masks may differ in form."""
    return {normalized(place.name): place for place in folders_in(folder)} if folder.is_dir() else {}


def _types_of(listing: Listing, folder: Path) -> Saturation:
    path = folder / CONFIG_NAME
    if not is_file(path):
        listing.report(
            folder, f"{shown(path)} is missing; without it sPRO is undefined. Restore it from the archive.", "warning"
        )
        return Saturation()
    try:
        return read_saturation(path)
    except DataError as error:
        listing.report(path, str(error))
        return Saturation()


def _report_lone_masks(listing: Listing, folder: Path, truth: Mapping[str, Path], kinds: set[str]) -> None:
    """Report folders of masks that belong to no kind of defect."""
    names = set(map(normalized, kinds))
    for name, place in truth.items():
        if name not in names:
            what = f"holds masks of a kind of which {shown(folder / 'test')} has no defects"
            listing.report(place, f"{shown(place)}/ {what}; they are not used.", "warning")


def _check_masks(listing: Listing, masks: Path, places: Mapping[str, Path], images: Sequence[Path]) -> None:
    """Report masks that lie one level too high, and folders of masks without an image."""
    if not masks.is_dir():
        return
    stems = {normalized(image.stem) for image in images}
    for path in listing.images_in(masks):
        inner = shown(masks / path.stem / f"000{path.suffix}")
        listing.report(path, f"{shown(path)} lies one level too high; move it to {inner}.")
    for name, place in places.items():
        if name not in stems:
            listing.report(place, f"{shown(place)}/ is for masks of an image that does not exist.", "warning")
