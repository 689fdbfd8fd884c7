"""The layout of MVTec AD, which VisA's reorganised form, the demo and most users' data share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing, check_root, contents_of, find_root, folders_in, name_of
from lvlm_ad.datasets.names import normalized
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets.masks import Threshold

MVTEC_CATEGORIES = (
    *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile"),
    *("toothbrush", "transistor", "wood", "zipper"),
)

_SOURCE = "MVTec AD is available on its page at mvtec.com (research, data sets), licence CC BY-NC-SA 4.0."


@dataclass(frozen=True, slots=True)
class Layout:
    """How a data set varies the layout."""

    good: frozenset[str] = frozenset({"good"})  # names of folders with normal images, in lower case
    mask_folders: tuple[str, ...] = ("ground_truth",)  # beside ``test``; they may hold ``<defect>/`` folders with masks
    mask_endings: tuple[str, ...] = ("_mask",)  # what may follow the image's stem in its mask's, best first
    masks_required: bool = True  # a defect without a mask is an error


def read_mvtec(root: Path, threshold: Threshold) -> Listing:
    """List MVTec AD; the root is the folder of the categories, one category's, or the one around the data set's."""
    check_root(root, _SOURCE)
    if (root / "test").is_dir() and name_of(root) in MVTEC_CATEGORIES:
        home, categories = root, [root]
    else:
        home = find_root(root, ([root], folders_in(root)), lambda folder: bool(_categories(folder))) or root
        categories = _categories(home)
    if not categories:
        raise DataError(
            f"{shown(root)} is not MVTec AD: it holds {contents_of(root)}, but folders such as bottle/test/good were "
            f"expected. {_SOURCE} For your own data, use the data set 'folder'."
        )
    listing = Listing("mvtec", home, threshold)
    for folder in categories:
        read_category(listing, folder, name_of(folder), Layout())
    listing.note_part("MVTec AD", len(categories), MVTEC_CATEGORIES)
    others = [shown(folder.name) for folder in folders_in(home) if folder not in categories]
    if others and home not in categories:
        names = ", ".join(others)
        listing.notes.append(
            f"Ignored folders that are not categories of MVTec AD: {names} (the data set 'folder' reads any)."
        )
    return listing


def _categories(folder: Path) -> list[Path]:
    paths = [folder / name for name in MVTEC_CATEGORIES]
    return [path for path in paths if (path / "test").is_dir() or (path / "train").is_dir()]


def read_category(listing: Listing, folder: Path, category: str, layout: Layout) -> None:
    """Read ``test``, ``train`` and the masks of one category's folder."""
    listing.category = category
    test, train = folder / "test", folder / "train"
    if not test.is_dir():
        listing.report(folder, f"{shown(folder)} has no folder test/; it holds {contents_of(folder)}.")
        return
    loose = listing.images_in(test)
    if loose:
        listing.notes.append(
            f"Ignored {len(loose)} images directly in {shown(test)}: those in folders such as test/good have a label."
        )
    if not read_kinds(listing, folder, folders_in(test), category, layout):
        listing.report(test, f"{shown(test)} has no images in folders such as good/; it holds {contents_of(test)}.")
    for kind in folders_in(train) if train.is_dir() else ():
        if kind.name.lower() in layout.good:
            for image in listing.images_in(kind):
                listing.add_reference(category, image)


def read_kinds(listing: Listing, folder: Path, kinds: Iterable[Path], category: str, layout: Layout) -> int:
    """Read folders of test images, each named after its kind of defect; return the number of images.

    The folders of the masks lie in ``folder``.
    """
    count = 0
    for kind in kinds:
        masks = _masks_by_stem(listing, folder, kind.name, layout)
        unused = {mask for group in masks.values() for mask in group}
        is_good = kind.name.lower() in layout.good
        images = listing.images_in(kind)
        if not images:
            listing.report_unread(kind)
        for image in images:
            count += 1
            names = [normalized(image.stem) + ending for ending in layout.mask_endings]
            fitting = next((masks[name] for name in names if name in masks), [])
            unused.difference_update(fitting)
            if len(fitting) > 1:
                both = " and ".join(shown(path.name) for path in fitting)
                listing.report(image, f"{shown(image)} has more than one mask, {both}; remove all but one.")
            elif not fitting and not is_good and layout.masks_required:
                expected = folder / layout.mask_folders[0] / kind.name / f"{image.stem}{layout.mask_endings[0]}.png"
                listing.report(
                    image, f"{shown(image)} has no mask; {shown(expected)} is expected. Restore it from the archive."
                )
            else:
                listing.add(category, "good" if is_good else kind.name, image, fitting)
        for mask in sorted(unused):
            listing.report(mask, f"{shown(mask)} is a mask without an image in {shown(kind)}.", "warning")
    return count


def _masks_by_stem(listing: Listing, folder: Path, kind: str, layout: Layout) -> dict[str, list[Path]]:
    masks: dict[str, list[Path]] = {}
    for name in layout.mask_folders:
        place = folder / name / kind
        for path in listing.images_in(place) if place.is_dir() else ():
            masks.setdefault(normalized(path.stem), []).append(path)
    return masks
