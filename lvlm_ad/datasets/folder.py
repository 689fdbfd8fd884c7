"""Any data a user has: the layout of MVTec AD, folders side by side, or a CSV file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import check_root, contents_of, files_in, folders_in, inner_folder, is_file, name_of
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.labels import names_normal, read_label
from lvlm_ad.datasets.listed_tables import read_table
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.mask_files import MASK_FOLDERS, holds_masks
from lvlm_ad.datasets.mvtec import Layout, read_category, read_kinds
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets.masks import Threshold
    from lvlm_ad.datasets.tables import Row

_LAYOUT = Layout(is_good=names_normal, is_free=True)

_TABLES = (".csv", ".tsv", ".txt")
"""Endings of a list that is given itself; in a folder, only .csv files are looked at."""

_USUAL = frozenset({"good", "normal", "ok"})
"""Folder names that show that a folder is a category, even if it holds a CSV file too."""


def read_folder(root: Path, threshold: Threshold) -> Listing:
    """List a user's data, a folder or a CSV file, in the first form of docs/datasets.md that fits."""
    if root.suffix.lower() in _TABLES and is_file(root):
        return _read_table(root, threshold)
    check_root(root, f"A list must end in {', '.join(_TABLES)}." if is_file(root) else "")
    listing = Listing("folder", root, threshold)
    folders = folders_in(root)
    masks = [
        folder
        for folder in folders
        if (folder.name.lower() in MASK_FOLDERS and not inner_folder(folder, "test").is_dir())
        or holds_masks(listing, folder)
    ]
    categories = [folder for folder in folders if inner_folder(folder, "test").is_dir() and folder not in masks]
    if inner_folder(root, "test").is_dir():
        read_category(listing, root, name_of(root), _LAYOUT)
        return listing
    if categories:
        used = set()
        for folder in categories:
            places = [place for place in (mask / folder.name for mask in masks) if place.is_dir()]
            places = places or (masks if len(categories) == 1 else [])
            used |= {place if place in masks else place.parent for place in places}
            read_category(listing, folder, folder.name, replace(_LAYOUT, mask_folders=tuple(places)))
        others = [shown(folder.name) for folder in folders if folder not in categories and folder not in used]
        if others:
            listing.notes.append(f"Ignored folders without test/ in them: {', '.join(others)}.")
        return listing
    tables = [path for path in files_in(root) if path.suffix.lower() == ".csv"]
    is_good = names_normal if not tables else lambda name: name.lower() in _USUAL
    if any(is_good(folder.name) for folder in folders):
        kinds = [folder for folder in folders if folder.name.lower() != "train" and folder not in masks]
        read_kinds(listing, root, kinds, name_of(root), _LAYOUT)
        return listing
    if len(tables) == 1:
        return _read_table(tables[0], threshold)
    hint = " It holds several CSV files; give the one to read." if tables else ""
    raise DataError(
        f"{shown(root)} holds {contents_of(root)}; expected are <category>/test/good and <category>/test/<defect>, "
        f"or good/ beside folders named after defects, or one CSV file with the columns image and label.{hint}"
    )


def _read_table(path: Path, threshold: Threshold) -> Listing:
    listing = Listing("folder", path.parent, threshold)
    kinds: dict[str, None] = {}
    for row in read_table(path, listing, ("image", "label"), ("mask", "category", "split")):
        label = read_label(row["label"])
        _read_row(listing, row, label.kind)
        kinds |= {} if label.is_known else {label.kind: None}
    if kinds:
        names = ", ".join(shown(kind) for kind in kinds)
        listing.remarks.append(
            f"Labels of {shown(path.name)} that are read as kinds of defect: {names}. If one means normal, "
            "write good in its place."
        )
    folders = [folder.name for folder in folders_in(path.parent) if folder.name.lower() in MASK_FOLDERS]
    if folders and not listing.has_masks:
        listing.remarks.append(
            f"{shown(folders[0])}/ beside {shown(path.name)} is not read. Name each image's mask in a column mask."
        )
    return listing


def _read_row(listing: Listing, row: Row, defect: str) -> None:
    listing.category = category = row["category"] or name_of(listing.root)
    split = row["split"].lower() or "test"
    problem = ""
    if not _is_name(defect):
        problem = f"{row['label']!r} is not a label; give good, bad, or the kind of defect."
    elif not _is_name(category):
        problem = f"{category!r} is not a category; give a name without slashes."
    elif split not in {"train", "test"}:
        problem = f"{row['split']!r} is not a split; give train or test."
    files = None if problem else listing.files_of(row)
    if problem:
        listing.report(row.table, f"{row.where}{problem}")
    elif files is not None:
        image, masks = files
        if split == "test":
            listing.add(category, defect, image, masks, row.where)
        elif defect == "good" and listing.is_normal(image, masks, row.where):
            listing.add_reference(category, image)


def _is_name(text: str) -> bool:
    # Names become parts of ids and of file names in reports.
    return text not in {"", ".", ".."} and not any(sign in text for sign in "/\\\0")
