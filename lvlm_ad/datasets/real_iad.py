"""Real-IAD and its sisters Real-IAD D3 and Variety: lists say which image is normal, which defective, and where masks are.

realiad_256/<category>/{OK | NG/<defect>}/S0001/<category>_0001_OK_C1_<time>.jpg
realiad_jsons/<category>.json, or realiad_jsons/realiad_jsons/<category>.json
"""

from __future__ import annotations

import os
import re
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.folders import check_root, contents_of, files_in, find_root, folders_in, is_doubled, name_of
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.json_lists import Entry, entries_in, read_json
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.errors import DataError, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        views: the images that a part has; None: as many as most parts of the category.
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
"""Other lists of Real-IAD: one view of each part, and training lists with that share of defects."""

_VIEW = re.compile(r"(.+)_C(\d)_")
_CLASSES = ("OK", "NG")


def is_family(family: Family, root: Path) -> bool:
    """Return whether a folder holds the pictures or the lists of such a data set, or is the folder of the pictures."""
    return name_of(root) in family.pictures or any(
        folder.name in family.pictures or folder.name.startswith(family.lists) for folder in folders_in(root)
    )


def read_family(family: Family, root: Path, threshold: Threshold, split: str = "") -> Listing:
    """List the test images that the lists of one of the data sets name.

    An image is normal if it has no mask, or if its class is the normal one (not where ``mask_decides``). The tag "view"
    is the camera, such as "C1"; the images of a part show it from several sides.

    Args:
        family: the data set.
        root: the folder of pictures and lists, the one around it, that of the pictures, or one category's.
        threshold: see ``Sample.threshold``.
        split: the ending of the name of another folder of lists, such as "sv".

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
            if not _read_list(listing, family, file, 1 if split == "sv" else family.views):
                absent.append(file.stem)
        except DataError as error:
            listing.report(file, str(error))
    if len(absent) == len(chosen):
        what = f"of the categories that {shown(lists)} names, such as {listed(absent, 3)}" if absent else "that is listed"
        raise DataError(f"{shown(pictures)} holds none {what}; it holds {contents_of(pictures)}.")
    if len(chosen) - len(absent) < len(files):
        listing.notes.append(f"{len(chosen) - len(absent)} of the {len(files)} listed categories are read.")
    if not only:
        _report_unlisted(listing, pictures, lists, {file.stem for file in files})
    return listing


def _pictures(family: Family, root: Path) -> tuple[Path, str]:
    """Return the folder of the categories, and the only category to read if the root is one."""
    around = root.absolute().parent
    if _is_category(root) and (around.name in family.pictures or (around / "splits").is_dir()):
        return around, name_of(root)
    if name_of(root) in family.pictures:
        found = [root]
    else:
        home = find_root(root, ([root], folders_in(root)), lambda folder: bool(_sizes(family, folder)))
        found = _sizes(family, home) if home is not None else []
    if not found:
        raise DataError(
            f"{shown(root)} is not {family.title}: it holds {contents_of(root)}, but {family.pictures[0]}/<category>/OK "
            f"and {family.lists}/<category>.json were expected."
        )
    if len(found) > 1:
        names = " and ".join(shown(folder.name) for folder in found)
        raise DataError(f"{shown(root)} holds {names}; give the one to measure: --data {shown(found[0])}.")
    if is_doubled(found[0], lambda folder: any(map(_is_category, folders_in(folder)))):
        name = shown(found[0].name)
        raise DataError(f"{name}/{name}/ in {shown(root)} holds what belongs into {name}/; move it one level up.")
    return found[0], ""


def _sizes(family: Family, home: Path) -> list[Path]:
    """Return the folders of pictures in a folder; AnomalyVFM keeps Variety's beside a folder of lists "splits"."""
    found = [home / name for name in family.pictures if (home / name).is_dir()]
    return found or [home] * (family == VARIETY and (home / "splits").is_dir())


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


def _read_list(listing: Listing, family: Family, file: Path, views: int | None) -> bool:
    """Read one category's list; return False if its pictures are not there."""
    content = read_json(file)
    category, place = file.stem, shown(file.name)
    if not isinstance(content, dict):
        raise DataError(f"{place} must be an object with meta, train and test; restore it.")
    for name in ("meta", "train", "test"):
        if name not in content:
            raise DataError(f"{place}: the field {name!r} is missing; restore the list.")
    meta = Entry(content["meta"] if isinstance(content["meta"], dict) else {}, f"{place}, meta", 1)
    prefix, normal = meta.text("prefix"), meta.text("normal_class")
    folder = Path(os.path.normpath(listing.root / prefix))
    if not folder.is_relative_to(os.path.normpath(listing.root)):
        raise DataError(f"{place}: the prefix {prefix!r:.200} leads out of {shown(listing.root)}; restore the list.")
    if not folder.is_dir():
        return False
    if is_doubled(folder, _is_category):
        name = shown(folder.name)
        raise DataError(f"{name}/{name}/ holds what belongs into {name}/; move it one level up.")
    reader = _Reader(listing, family, file, folder, normal)
    for entry in entries_in(content["train"], f"{place}, train"):
        reader.read(entry, is_test=False)
    for entry in entries_in(content["test"], f"{place}, test"):
        reader.read(entry, is_test=True)
    reader.report(views)
    return True


class _Reader:
    """Reads the entries of one category."""

    def __init__(self, listing: Listing, family: Family, file: Path, folder: Path, normal: str) -> None:
        self._listing = listing
        self._family = family
        self._file = file
        self._folder = folder
        self._normal = normal
        self._parts: Counter[str] = Counter()
        self._seen: set[Path] = set()
        self._unmasked: list[str] = []
        self._unclear: list[str] = []

    def read(self, entry: Entry, *, is_test: bool) -> None:
        """Add an image."""
        try:
            self._read(entry, is_test=is_test)
        except DataError as error:
            self._listing.report(self._file, str(error))

    def _read(self, entry: Entry, *, is_test: bool) -> None:
        category = self._file.stem
        if (named := entry.text("category")) != category:
            raise DataError(f"{entry.where}category is {named!r:.80}, but the list is that of {category}; correct it.")
        kind, name = entry.text("anomaly_class"), entry.text("image_path")
        mask_name = entry.path("mask_path") if entry.value("mask_path") is not None else ""
        is_defect = bool(mask_name) and (kind != self._normal or self._family.mask_decides)
        part, facts = self._facts(name)
        if is_test:
            self._parts[part] += bool(part)
            if not mask_name and kind != self._normal:
                self._unmasked.append(name)
            if is_defect and kind == self._normal:
                self._unclear.append(name)
        elif is_defect:
            return
        image = self._listing.listed_file(name, entry.where, self._file, self._folder)
        if image is None:
            return
        if not is_test:
            self._listing.add_reference(category, image)
            return
        masks = []
        if mask_name:
            mask = self._listing.listed_file(mask_name, entry.where, self._file, self._folder)
            if mask is None:
                return
            masks.append(mask)
        if image in self._seen:
            raise DataError(f"{entry.where}{shown(image)} is listed twice; remove one of the entries.")
        self._seen.add(image)
        defect = "good" if not is_defect else "defect" if kind == self._normal else kind
        self._listing.add(category, defect, image, masks, entry.where, **facts)

    def _facts(self, name: str) -> tuple[str, Mapping[str, Any]]:
        match = _VIEW.match(PurePosixPath(name.replace("\\", "/")).stem)
        if match is None:
            return "", {}
        return match[1], {"tags": {"view": f"C{match[2]}"}, "part": f"{self._file.stem}/{match[1]}"}

    def report(self, views: int | None) -> None:
        """Report what is odd about the category as a whole."""
        place, title = shown(self._file.name), self._family.title
        if self._unmasked:
            self._listing.report(
                self._file,
                f"{place}: {len(self._unmasked)} of {len(self._seen)} test images have the class of a defect, but no "
                f"mask_path, such as {self._unmasked[0]!r}; they count as normal, as in {title}'s own code.",
                "warning",
            )
        if self._unclear:
            self._listing.report(
                self._file,
                f"{place}: {len(self._unclear)} of {len(self._seen)} test images have the class {self._normal}, but a "
                f"mask_path, such as {self._unclear[0]!r}; they count as defects.",
                "warning",
            )
        del self._parts[""]
        usual = views or (statistics.mode(self._parts.values()) if self._parts else 0)
        odd = [part for part, count in self._parts.items() if count != usual]
        if odd:
            self._listing.report(
                self._file,
                f"{place}: {len(odd)} of {len(self._parts)} parts have other than {usual} "
                f"{'view' if usual == 1 else 'views'}: {listed([shown(part) for part in odd], 3)}.",
                "warning",
            )


def _report_unlisted(listing: Listing, pictures: Path, lists: Path, known: set[str]) -> None:
    """Report categories without a list: nothing says which of their images are normal."""
    for folder in folders_in(pictures):
        if folder.name not in known and _is_category(folder):
            listing.category = folder.name
            listing.report(
                folder,
                f"{shown(folder)} has no list {shown(lists / (folder.name + '.json'))}, so none of its images has a label; "
                "restore the list, or remove the folder.",
            )
