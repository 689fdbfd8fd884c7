"""Head CT: 200 pictures, of which a table says whether they show a haemorrhage; no masks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import check_root, contents_of, find_root, folders_in, is_file
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.mask_files import pictures_below
from lvlm_ad.datasets.tables import read_table
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.masks import Threshold

__all__ = ["is_head_ct", "read_head_ct"]

_CATEGORY = "head_ct"
_TABLE = "labels.csv"
_COLUMNS = ("id", "hemorrhage")
_KINDS = {"0": "good", "1": "defect"}


def is_head_ct(root: Path) -> bool:
    """Return whether a folder is Head CT as released: a table beside a folder of pictures."""
    return is_file(root / _TABLE) and (root / _CATEGORY).is_dir()


def read_head_ct(root: Path, threshold: Threshold) -> Listing:
    """List Head CT, as released or rearranged into test/good and test/defect; the root may be the folder around it.

    Raises:
        DataError: ``root`` is not a folder, neither form is there, or the table cannot be read.
    """
    check_root(root)
    home = find_root(
        root, ([root], folders_in(root)), lambda folder: (folder / _CATEGORY).is_dir() or _is_rearranged(folder)
    )
    if home is None:
        raise DataError(
            f"{shown(root)} is not Head CT: it holds {contents_of(root)}, but head_ct/000.png and {_TABLE}, or "
            "test/good and test/defect, were expected. It is available at Kaggle (Head CT - hemorrhage)."
        )
    listing = Listing("head-ct", home, threshold)
    listing.category = _CATEGORY
    listing.class_names[_CATEGORY] = "head CT"
    if _is_rearranged(home):
        _read_folders(listing, home)
    elif is_file(home / _TABLE):
        _read_table(listing, home)
    else:
        listing.report(
            home, f"{shown(home / _TABLE)} is missing, which says which images are normal; restore it from the archive."
        )
    return listing


def _is_rearranged(folder: Path) -> bool:
    return all((folder / "test" / kind).is_dir() for kind in _KINDS.values())


def _read_folders(listing: Listing, home: Path) -> None:
    for folder in folders_in(home / "test"):
        if folder.name in _KINDS.values():
            for image in listing.images_in(folder):
                listing.add(_CATEGORY, folder.name, image, [])
        elif pictures_below(folder):
            listing.report(folder, f"{shown(folder)} is neither good/ nor defect/; move its pictures into one of them.")
    if (home / "train" / "good").is_dir():
        for image in listing.images_in(home / "train" / "good"):
            listing.add_reference(_CATEGORY, image)


def _numbered(listing: Listing, folder: Path) -> dict[int, Path]:
    """Return number -> image; the number of 000.png is 0."""
    images: dict[int, Path] = {}
    for image in listing.images_in(folder):
        number = int(image.stem) if image.stem.isdecimal() else None
        if number is None or number in images:
            why = "its name is not a number" if number is None else f"{shown(images[number])} has the same number"
            listing.report(image, f"No line of {_TABLE} can mean {shown(image)}: {why}; rename it or move it away.")
        else:
            images[number] = image
    return images


def _read_table(listing: Listing, home: Path) -> None:
    """Read the table of numbers and labels, whose first line names the columns."""
    table, images = home / _TABLE, _numbered(listing, home / _CATEGORY)
    content = read_table(table, ())
    if len(content.columns) < len(_COLUMNS) or content.columns[0].isdecimal():
        first = ", ".join(map(repr, content.columns))
        listing.report(
            table,
            f"{shown(table)}: its first line must name two columns, number and label, such as {','.join(_COLUMNS)}; it "
            f"holds {first or 'nothing'}.",
        )
        return
    for fault in content.faults:
        listing.report(table, fault)
    labelled: set[int] = set()
    for row in content.rows:
        text, label = (row[column] for column in content.columns[:2])
        # A number has three digits; one of thousands could not be converted.
        if not re.fullmatch(r"\d{1,9}", text) or label not in _KINDS:
            listing.report(table, f"{row.where}expected are a number and 0 or 1, not {text!r:.40} and {label!r:.40}.")
            continue
        number = int(text)
        if number in labelled:
            listing.report(table, f"{row.where}the number {number} is in the table twice; remove one of the lines.")
        elif number not in images:
            expected = shown(home / _CATEGORY / f"{number:03d}.png")
            listing.report(table, f"{row.where}{expected} does not exist; restore it, or remove the line.")
        else:
            listing.add(_CATEGORY, _KINDS[label], images[number], [], row.where)
        labelled.add(number)
    for number, image in images.items():
        if number not in labelled:
            listing.report(image, f"{shown(image)} has no label: {_TABLE} has no line with its number, {number}.")
