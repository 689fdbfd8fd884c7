"""VisA, as released (listed in split_csv/1cls.csv) and as reorganised into the layout of MVTec AD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import check_root, contents_of, find_root, folders_in, name_of
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listed_tables import read_table
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.mvtec import Layout, read_category
from lvlm_ad.errors import DataError, nearest

if TYPE_CHECKING:
    from lvlm_ad.datasets.masks import Threshold
    from lvlm_ad.datasets.tables import Row

VISA_CATEGORIES = (
    *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2", "pcb1", "pcb2", "pcb3", "pcb4"),
    "pipe_fryum",
)

_LIST = Path("split_csv", "1cls.csv")
_REORGANISED = Layout(mask_ending="")
_SOURCE = 'VisA is available through the repository "amazon-science/spot-diff" on GitHub, licence CC BY 4.0.'


def read_visa(root: Path, threshold: Threshold) -> Listing:
    """List VisA's test split "1cls"; the root is the folder of the categories, one category's, or one around them."""
    check_root(root, _SOURCE)
    around = root.absolute().parent
    if name_of(root) in VISA_CATEGORIES:
        if (root / "test").is_dir():
            return _read_folders(around, [root], threshold)
        if (around / _LIST).is_file():
            return _read_list(around, threshold, only=name_of(root))
    near = folders_in(root)
    levels = ([root], near, [folder / "1cls" for folder in (root, *near)])
    home = find_root(root, levels, lambda folder: (folder / _LIST).is_file() or bool(_categories(folder)))
    if home is None:
        raise DataError(
            f"{shown(root)} is not VisA: it holds {contents_of(root)}, but {_LIST.as_posix()} or folders such as "
            f"candle/test/good were expected. {_SOURCE} For your own data, use the data set 'folder'."
        )
    if (home / _LIST).is_file():
        return _read_list(home, threshold)
    return _read_folders(home, _categories(home), threshold)


def _categories(folder: Path) -> list[Path]:
    return [folder / name for name in VISA_CATEGORIES if (folder / name / "test").is_dir()]


def _read_folders(home: Path, categories: list[Path], threshold: Threshold) -> Listing:
    listing = Listing("visa", categories[0] if len(categories) == 1 else home, threshold)
    for folder in categories:
        read_category(listing, folder, name_of(folder), _REORGANISED)
    listing.note_part("VisA", len(categories), VISA_CATEGORIES)
    return listing


def _read_list(home: Path, threshold: Threshold, only: str | None = None) -> Listing:
    listing = Listing("visa", home, threshold)
    # A part of VisA comes with the list of the whole: a category without a folder was left out on purpose.
    present = {name for name in VISA_CATEGORIES if (home / name).is_dir() and only in {None, name}}
    for row in read_table(home / _LIST, listing, ("object", "split", "label", "image", "mask")):
        if row["object"] not in VISA_CATEGORIES:
            hint = nearest(row["object"], VISA_CATEGORIES)
            listing.report(row.table, f"{row.where}{row['object']!r} is not a category of VisA.{hint}")
        elif row["object"] in present or not present:
            _read_row(listing, row)
    listing.note_part("VisA", len(present), VISA_CATEGORIES)
    return listing


def _read_row(listing: Listing, row: Row) -> None:
    listing.category, split, label = row["object"], row["split"], row["label"]
    if split not in {"train", "test"} or label not in {"normal", "anomaly"}:
        listing.report(
            row.table,
            f"{row.where}split {split!r} and label {label!r}; expected are train or test, and normal or anomaly.",
        )
        return
    files = listing.files_of(row)
    if files is None:
        return
    image, masks = files
    is_normal = label == "normal"
    if split == "train":
        if is_normal and listing.is_normal(image, masks, row.where):
            listing.add_reference(row["object"], image)
    elif not is_normal and not masks:
        listing.report(image, f"{row.where}{shown(image)} is an anomaly without a mask; restore the list as released.")
    else:
        listing.add(row["object"], "good" if is_normal else "bad", image, masks, row.where)
