"""Data sets listed in meta.json, as the code of AnomalyCLIP, AdaCLIP, APRIL-GAN and ADer reads them.

{"train": {"<class>": [{"img_path", "mask_path", "cls_name", "specie_name", "anomaly"}, ...], ...}, "test": {...}}

UniAD's train.json and test.json have one object on each line: filename, maskname, clsname, label_name, label.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.folders import check_root, contents_of, find_root, folders_in, is_file, name_of
from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.datasets.json_lists import Entry, entries_in, read_json
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["is_meta_json", "read_meta_json"]

_LIST = "meta.json"
_LINES = ("test.json", "train.json")
_HEAD = 4096
_LABELS: dict[Any, bool] = {0: False, 1: True, "0": False, "1": True}
"""How lists write labels; in Python, JSON's true and false equal 1 and 0."""
_GOOD = {"good", "ok"}
_MASK_ENDING = re.compile(r"_(mask|label|GT|Segmentation)$", re.IGNORECASE)


@dataclass(frozen=True)
class _Names:
    """The names of an entry's fields; the defaults are those of meta.json."""

    image: str = "img_path"
    mask: str = "mask_path"
    category: str = "cls_name"
    kind: str = "specie_name"
    label: str = "anomaly"


_UNIAD = _Names("filename", "maskname", "clsname", "label_name", "label")


@dataclass
class _List:
    """A list that is being read."""

    file: Path
    names: _Names
    base: Path  # the folder that paths are relative to
    seen: set[str] = field(default_factory=set)  # the test images so far
    # Category -> images and masks whose names do not fit.
    odd_masks: defaultdict[str, list[tuple[Path, Path]]] = field(default_factory=lambda: defaultdict(list))


def is_meta_json(root: Path) -> bool:
    """Return whether a folder has such a list and no folders of test images by kind, which are read without one."""
    tests = [folder / "test" for folder in (root, *folders_in(root))]
    if any(test.is_dir() and folders_in(test) for test in tests):
        return False
    head = _head(root / _LIST)
    # A list whose entries lack a field must be recognized, too, so that the error names the field.
    names = (_Names.image, _Names.category, _Names.kind)
    return any(f'"{name}"'.encode() in head for name in names) or (not head and _is_lines(root / _LINES[0]))


def _head(path: Path) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(_HEAD)
    return b""


def _is_lines(path: Path) -> bool:
    first = _head(path).partition(b"\n")[0]
    return all(f'"{name}"'.encode() in first for name in (_UNIAD.image, _UNIAD.category))


def _has_list(folder: Path) -> bool:
    return is_file(folder / _LIST) or _is_lines(folder / _LINES[0])


def read_meta_json(root: Path, threshold: Threshold) -> Listing:
    """List the images that meta.json names.

    Test images are those of the phase "test", references the normal images of the phase "train". Paths are relative to
    the list's folder.

    Args:
        root: the folder of the list, the folder around it, or the folder of one class in it.
        threshold: see ``Sample.threshold``.

    Raises:
        DataError: there is no such list, or it is not of this form.
    """
    check_root(root)
    home, only = find_root(root, ([root], folders_in(root)), _has_list), ""
    if home is None and _has_list(root.absolute().parent):
        home, only = root.absolute().parent, name_of(root)
    if home is None:
        raise DataError(
            f"{shown(root)} has no {_LIST}: it holds {contents_of(root)}. A list of that name, or {_LINES[0]} and "
            f"{_LINES[1]} with one object on each line, must name the images."
        )
    listing = Listing("meta-json", home, threshold)
    if is_file(home / _LIST):
        _read_whole(listing, home / _LIST, only)
    else:
        _read_lines(listing, home, only)
    return listing


def _read_whole(listing: Listing, file: Path, only: str) -> None:
    content = read_json(file)
    if not isinstance(content, dict):
        raise DataError(f'{shown(file)} must be an object with the phases "train" and "test"; restore it.')
    phases = {name.lower(): phase for name, phase in content.items()}
    if len(phases) < len(content):
        raise DataError(f"{shown(file)} has two phases of one name: {', '.join(map(shown, content))}; remove one.")
    if "test" not in phases:
        raise DataError(
            f'{shown(file)} has no phase "test", only {", ".join(map(shown, content)) or "none"}; restore it.'
        )
    read = _List(file, _Names(), file.parent)
    for name in ("train", "test"):
        phase = phases.get(name, [])
        lists = phase.items() if isinstance(phase, dict) else [("", phase)]
        for key, items in lists:
            place = f"{shown(file.name)}, {name}" + (f", {shown(key)}" if key else "")
            _read_entries(listing, read, entries_in(items, place), key, only, is_test=name == "test")
    _require_images(listing, read)
    _report_odd_masks(listing, read)
    _note_unlisted(listing, read, [entry for phase in phases.values() for entry in _all_entries(phase)])


def _read_lines(listing: Listing, home: Path, only: str) -> None:
    parts = {}
    for name in reversed(_LINES):
        if is_file(home / name):
            parts[name] = _lines(home / name)
    read = _List(home / _LINES[0], _UNIAD, home)
    first = next((entry.get(_UNIAD.image) for entry in parts[_LINES[0]][:1] if isinstance(entry, dict)), None)
    if isinstance(first, str) and not is_file(home / first):
        # UniAD has its lists beside the folder that paths are relative to.
        read.base = next((folder for folder in folders_in(home) if is_file(folder / first)), home)
    for name, items in parts.items():
        read.file = home / name
        _read_entries(listing, read, entries_in(items, shown(name)), "", only, is_test=name == _LINES[0])
    _require_images(listing, read)
    _report_odd_masks(listing, read)
    _note_unlisted(listing, read, [entry for items in parts.values() for entry in items])


def _lines(path: Path) -> list[Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    entries = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            entries += [json.loads(line)] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise DataError(f"{shown(path)}, line {number}, is not valid JSON ({error}); restore it.") from None
    return entries


def _all_entries(phase: Any) -> Iterator[Any]:
    for items in phase.values() if isinstance(phase, dict) else [phase]:
        yield from items if isinstance(items, list) else []


def _read_entries(
    listing: Listing, read: _List, entries: Iterator[Entry], key: str, only: str, *, is_test: bool
) -> None:
    for entry in entries:
        try:
            category = _category(entry, read.names, key)
            if only in {"", category}:
                listing.category = category
                _read_entry(listing, read, entry, is_test=is_test)
        except DataError as error:
            listing.report(read.file, str(error))


def _category(entry: Entry, names: _Names, key: str) -> str:
    category = entry.text(names.category)
    if not category:
        raise DataError(f"{entry.where}{names.category} is empty; correct it.")
    if key and category != key:
        raise DataError(
            f"{entry.where}{names.category} is {category!r:.80}, but it stands under {key!r:.80}; correct one of them."
        )
    return category


def _read_entry(listing: Listing, read: _List, entry: Entry, *, is_test: bool) -> None:
    label, kind = _label(entry, read.names)
    files = None if label and not is_test else _files(listing, read, entry)
    if files is None:
        return
    image, masks = files
    if not is_test:
        if listing.is_normal(image, masks, entry.where):
            listing.add_reference(listing.category, image)
        return
    if str(image) in read.seen:
        raise DataError(f"{entry.where}{shown(image)} is listed twice; remove one of the entries.")
    read.seen.add(str(image))
    if label and masks and not _names_fit(image.stem, masks[0].stem):
        read.odd_masks[listing.category].append((image, masks[0]))
    listing.add(listing.category, kind, image, masks, entry.where)


def _label(entry: Entry, names: _Names) -> tuple[bool, str]:
    """Return whether an image is anomalous, and the kind of its defect, or "good"."""
    written = entry.value(names.label)
    label = _LABELS.get(written) if isinstance(written, int | str) else None
    if label is None:
        raise DataError(f"{entry.where}{names.label} must be 0 or 1, not {written!r:.80}; correct it.")
    kind = entry.path(names.kind)
    if label and kind.lower() in _GOOD:
        raise DataError(f"{entry.where}{names.label} is 1, but {names.kind} is {kind!r}; correct one of them.")
    return label, (kind or "defect") if label else "good"


def _files(listing: Listing, read: _List, entry: Entry) -> tuple[Path, list[Path]] | None:
    """Return an entry's image and mask, if it has one; None if one of them cannot be used, which is reported."""
    names, mask = [entry.text(read.names.image)], entry.path(read.names.mask)
    # Where there is no mask, some lists name a folder: their code joined it and "".
    if mask and not os.path.isdir(read.base / mask.replace("\\", "/")):  # noqa: PTH112 - as in is_file
        names.append(mask)
    found = [listing.listed_file(name, entry.where, read.file, read.base) for name in names]
    files = [file for file in found if file is not None]
    return (files[0], files[1:]) if len(files) == len(names) else None


def _names_fit(image: str, mask: str) -> bool:
    """Return whether a mask's name is its image's, or at least ends with the same number.

    Example:
        >>> _names_fit("000", "000_mask"), _names_fit("test_good_017", "mark_017"), _names_fit("000", "001")
        (True, True, False)
    """
    numbers = [re.findall(r"\d+", name)[-1:] for name in (image, mask)]
    return _MASK_ENDING.sub("", mask) == image or (numbers[0] == numbers[1] != [])


def _require_images(listing: Listing, read: _List) -> None:
    if not read.seen and not listing.problems:
        raise DataError(f"{shown(read.file)} lists no test image; restore it.")


def _report_odd_masks(listing: Listing, read: _List) -> None:
    """Warn of masks whose names do not fit their images."""
    for category, pairs in read.odd_masks.items():
        listing.category = category
        image, mask = pairs[0]
        listing.report(
            image,
            f"{len(pairs)} masks of {shown(category)} are not named after their images, such as {shown(mask)} for "
            f"{shown(image)}. If the list pairs images and masks wrongly, write it again.",
            "warning",
        )


def _note_unlisted(listing: Listing, read: _List, entries: list[Any]) -> None:
    """Note how many pictures beside the listed files are not listed."""
    names = (read.names.image, read.names.mask)
    texts = (entry.get(name) for entry in entries if isinstance(entry, dict) for name in names)
    files = {os.path.normpath(read.base / name.replace("\\", "/")) for name in texts if isinstance(name, str) and name}
    folders = Counter(os.path.dirname(file) for file in files)  # noqa: PTH120 - a Path takes ten times as long
    unlisted = 0
    for folder in folders:
        if os.path.isdir(folder) and Path(folder).is_relative_to(os.path.normpath(listing.root)):  # noqa: PTH112 - as above
            there = (os.path.join(folder, name) for name in os.listdir(folder))  # noqa: PTH118, PTH208 - as above
            unlisted += sum(PurePath(path).suffix.lower() in IMAGE_SUFFIXES and path not in files for path in there)
    if unlisted:
        listing.notes.append(f"Pictures that {shown(read.file.name)} does not list are left out: {unlisted}.")
