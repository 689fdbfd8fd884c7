"""Real-IAD, Real-IAD D3 and Real-IAD Variety: where their pictures and their lists are.

realiad_256/<category>/{OK | NG/<defect>}/S0001/<category>_0001_OK_C1_<time>.jpg
realiad_jsons/<category>.json, or realiad_jsons/realiad_jsons/<category>.json
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import (
    check_root,
    contents_of,
    doubled,
    files_in,
    find_root,
    folders_in,
    is_doubled,
    name_of,
)
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.real_iad_lists import CategoryList
from lvlm_ad.errors import DataError, listed

if TYPE_CHECKING:
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["D3", "REAL_IAD", "REAL_IAD_SPLITS", "VARIETY", "Family", "is_family", "read_family"]


@dataclass(frozen=True)
class Family:
    """One of the data sets.

    Attributes:
        name: its name in ``READERS``.
        title: its name in sentences.
        pictures: the names that its folder of categories may have.
        lists: the name of the folder of its lists.
        views: how many images a part has; None: as many as most parts of the category.
        mask_decides: whether an image with a mask is defective, whatever its class.
    """

    name: str
    title: str
    pictures: tuple[str, ...]
    lists: str
    views: int | None = None
    mask_decides: bool = False


REAL_IAD = Family(
    "real-iad",
    "Real-IAD",
    ("realiad_256", "realiad_512", "realiad_1024", "realiad_raw"),
    "realiad_jsons",
    views=5,
)
D3 = Family("real-iad-d3", "Real-IAD D3", ("realiad_d3_raw",), "realiad_d3_jsons")
VARIETY = Family(
    "real-iad-variety", "Real-IAD Variety", ("realiadvariety_raw",), "realiadvariety_jsons", mask_decides=True
)

REAL_IAD_SPLITS = ("sv", "fuiad_0.0", "fuiad_0.1", "fuiad_0.2", "fuiad_0.4")
"""Other lists of Real-IAD: one view of each part (sv), and training lists with that share of defects."""

_CLASSES = ("OK", "NG")


def is_family(family: Family, root: Path) -> bool:
    """Return whether a folder holds the pictures or the lists of such a data set, or is that of all or a category's."""
    pictures = {name_of(root), *([name_of(root.absolute().parent)] if _is_category(root) else [])}
    return not pictures.isdisjoint(family.pictures) or any(
        folder.name in family.pictures or folder.name.startswith(family.lists) for folder in folders_in(root)
    )


def read_family(family: Family, root: Path, threshold: Threshold, split: str = "") -> Listing:
    """List the test images that the lists of one of the data sets name.

    An image is normal if it has no mask, or if its class is the normal one; where ``mask_decides``, only the mask
    counts. The tag "view" is the camera, such as "C1"; the images of a part show it from several sides.

    Args:
        family: the data set.
        root: the folder of pictures and lists, the one around it, that of the pictures, or one category's.
        threshold: see ``Sample.threshold``.
        split: how the name of another folder of lists ends, such as "sv"; "": the usual lists.

    Raises:
        DataError: the pictures or the lists are not there, or there are pictures of several sizes.
    """
    check_root(root)
    pictures, only = _pictures(family, root)
    lists = _lists(family, pictures, split)
    listing = Listing(family.name, pictures, threshold)
    files = [file for file in files_in(lists) if file.suffix == ".json"]
    chosen = [file for file in files if only in {"", file.stem}]
    absent = []
    for file in chosen:
        listing.category = file.stem
        try:
            if missing := _read_category(listing, family, file, 1 if split == "sv" else family.views):
                absent.append(missing)
        except DataError as error:
            listing.report(file, str(error))
    if len(absent) == len(chosen):
        names = f": {listed([*map(shown, absent)], 3)}" if absent else ""
        raise DataError(
            f"{shown(pictures)} holds none of the folders that the lists in {shown(lists)} name{names}; it holds "
            f"{contents_of(pictures)}. Give the folder of the pictures that belong to the lists."
        )
    if (count := len(chosen) - len(absent)) < len(files):
        listing.notes.append(f"{count} of the {len(files)} listed categories {'is' if count == 1 else 'are'} read.")
    if not only:
        _report_unlisted(listing, pictures, lists, {file.stem for file in files})
    return listing


def _pictures(family: Family, root: Path) -> tuple[Path, str]:
    """Return the folder of the categories, and the only category to read if the root is one."""
    around = root.absolute().parent
    if _is_category(root) and (around.name in family.pictures or _folders_of_pictures(family, around) == [around]):
        return around, name_of(root)
    if name_of(root) in family.pictures:
        found = [root]
    else:
        home = find_root(root, ([root], folders_in(root)), lambda folder: bool(_folders_of_pictures(family, folder)))
        found = _folders_of_pictures(family, home) if home is not None else []
    if not found:
        raise DataError(
            f"{shown(root)} is not {family.title}: it holds {contents_of(root)}, but {family.pictures[0]}/<category>/"
            f"OK and {family.lists}/<category>.json were expected."
        )
    if len(found) > 1:
        names = " and ".join(shown(folder.name) for folder in found)
        raise DataError(f"{shown(root)} holds {names}; give the one to measure: --data {shown(found[0])}.")
    if is_doubled(found[0], lambda folder: folder.is_dir() and any(map(_is_category, folders_in(folder)))):
        raise DataError(f"In {shown(root)}, {doubled(found[0])}")
    return found[0], ""


def _folders_of_pictures(family: Family, home: Path) -> list[Path]:
    """Return the folders of pictures in a folder, one for each size of pictures."""
    found = [home / name for name in family.pictures if (home / name).is_dir()]
    # AnomalyVFM has the categories of Variety beside a folder of lists, "splits".
    if not found and family == VARIETY and (home / "splits").is_dir():
        return [home]
    return found


def _is_category(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in _CLASSES)


def _lists(family: Family, pictures: Path, split: str) -> Path:
    """Return the folder of the lists."""
    name, around = f"{family.lists}_{split}" if split else family.lists, pictures.absolute().parent
    # The hub's archive has the folder in a folder of the same name.
    places = [around / name, around / name / name, *([pictures / "splits"] if family == VARIETY else [])]
    for place in places:
        if place.is_dir() and any(file.suffix == ".json" for file in files_in(place)):
            return place
    others = [folder.name for folder in folders_in(around) if folder.name.startswith(f"{family.lists}_")]
    hint = f" For the lists {shown(others[0])}, give --split {others[0][len(family.lists) + 1 :]}." if others else ""
    raise DataError(
        f"{shown(around)} has no lists: {name}/<category>.json must say which images are normal and which are defects. "
        f"They come with the data set.{hint}"
    )


def _read_category(listing: Listing, family: Family, file: Path, views: int | None) -> str:
    """Read one category; return the name of the folder of its pictures if that is not there, else ""."""
    lists = CategoryList.read(file, mask_decides=family.mask_decides)
    folder = Path(os.path.normpath(listing.root / lists.prefix))
    if not folder.is_relative_to(os.path.normpath(listing.root)):
        raise DataError(
            f"{shown(file)}: the prefix {lists.prefix!r:.200} leads out of {shown(listing.root)}; restore the list."
        )
    if not folder.is_dir():
        return lists.prefix
    if is_doubled(folder, _is_category):
        raise DataError(doubled(folder))
    lists.add_to(listing, folder)
    lists.report_oddities(listing, family.title, views)
    return ""


def _report_unlisted(listing: Listing, pictures: Path, lists: Path, known: set[str]) -> None:
    """Report categories without a list: nothing says which of their images are normal."""
    for folder in folders_in(pictures):
        if folder.name not in known and _is_category(folder):
            listing.category = folder.name
            listing.report(
                folder,
                f"{shown(folder)} has no list: {shown(lists / (folder.name + '.json'))} must say which of its images "
                "are normal. Restore the list, or remove the folder.",
            )
