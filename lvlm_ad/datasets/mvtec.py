"""MVTec AD, and the built-in demo, which has its layout."""

from __future__ import annotations

from pathlib import Path

from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.layout import Layout, check_root, find_root, own_name, read_category
from lvlm_ad.datasets.listing import Listing, folders_in, found_in
from lvlm_ad.errors import DataError

__all__ = ["MVTEC_CATEGORIES", "read_demo", "read_mvtec"]

MVTEC_CATEGORIES = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
)

_SOURCE = "MVTec AD is to be had from its page at mvtec.com (research, data sets), licence CC BY-NC-SA 4.0."


def read_mvtec(root: Path, threshold: int | None) -> Listing:
    """List MVTec AD.

    Args:
        root: the folder of the categories, one category's folder, or the folder around the data set's.
        threshold: see ``Sample.threshold``.

    Raises:
        DataError: the root is not MVTec AD.
    """
    check_root(root, _SOURCE)
    if (root / "test").is_dir() and own_name(root) in MVTEC_CATEGORIES:
        listing = Listing("mvtec", root, threshold)
        read_category(listing, root, own_name(root), Layout())
        _note_subset(listing, 1)
        return listing
    home = find_root(root, ([root], folders_in(root)), lambda folder: bool(_categories(folder)))
    if home is None:
        raise DataError(
            f"{shown(root)} is not MVTec AD: it holds {found_in(root)}, but folders such as bottle/test/good were "
            f"expected. {_SOURCE} For data of your own, choose the data set 'folder'."
        )
    listing = Listing("mvtec", home, threshold)
    categories = _categories(home)
    for folder in categories:
        read_category(listing, folder, folder.name, Layout())
    _note_subset(listing, len(categories))
    others = [shown(folder.name) for folder in folders_in(home) if folder not in categories]
    if others:
        names = ", ".join(others)
        listing.notes.append(
            f"Ignored folders that are no categories of MVTec AD: {names} (the data set 'folder' takes any)."
        )
    return listing


def _note_subset(listing: Listing, count: int) -> None:
    if count < len(MVTEC_CATEGORIES):
        listing.notes.append(f"{count} of the {len(MVTEC_CATEGORIES)} categories of MVTec AD are read.")


def _categories(folder: Path) -> list[Path]:
    return [
        folder / name for name in MVTEC_CATEGORIES if any((folder / name / part).is_dir() for part in ("test", "train"))
    ]


def read_demo(root: Path, threshold: int | None) -> Listing:
    """List the built-in demo where it has been made.

    Raises:
        DataError: the root cannot be listed.
    """
    check_root(root, "")
    listing = Listing("demo", root, threshold)
    for folder in folders_in(root):
        read_category(listing, folder, folder.name, Layout())
    return listing
