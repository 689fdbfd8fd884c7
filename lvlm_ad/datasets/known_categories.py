"""Data sets whose categories are folders of known names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import category_folders, doubled, name_of
from lvlm_ad.datasets.listing import Listing

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.masks import Threshold

__all__ = ["list_categories"]


def list_categories(
    name: str,
    root: Path,
    threshold: Threshold,
    categories: Collection[str],
    fits: Callable[[Path], bool],
    about: str,
    read: Callable[[Listing, Path, str], None],
) -> Listing:
    """List a data set, category by category.

    Args:
        name: its name.
        root: the folder of the categories, one category's, or the one around them.
        threshold: see ``Listing``.
        categories: the names of the categories' folders; of a mapping, the values are what a question calls them.
        fits: whether a folder of such a name is a category's.
        about: see ``category_folders``.
        read: adds the images of a category, given its folder and its name.

    Raises:
        DataError: as ``category_folders``.
    """
    home, folders = category_folders(root, categories, fits, about)
    listing = Listing(name, home, threshold)
    for folder in folders:
        category = listing.category = name_of(folder)
        if isinstance(categories, Mapping):
            listing.class_names[category] = categories[category]
        if fits(folder):
            read(listing, folder, category)
        else:
            listing.report(folder, doubled(folder))
    title = about.partition(": ")[0]
    listing.note_part(title, len(folders), tuple(categories))
    listing.note_others(title, folders)
    return listing
