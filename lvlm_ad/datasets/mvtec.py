"""The layout of MVTec AD, which VisA's reorganised form, the demo and most users' data share."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.folders import check_root, contents_of, find_root, folders_in, inner_folder, name_of
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import Listing
from lvlm_ad.datasets.mask_files import (
    MASK_FOLDERS,
    MaskFiles,
    beside_images,
    holds_masks,
    is_named_after_masks,
    pictures_below,
    tell_likely_masks,
)
from lvlm_ad.datasets.names import normalized
from lvlm_ad.errors import DataError

if TYPE_CHECKING:
    from lvlm_ad.datasets.masks import Threshold

MVTEC_CATEGORIES = (
    *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut", "pill", "screw", "tile"),
    *("toothbrush", "transistor", "wood", "zipper"),
)

_SOURCE = "MVTec AD is available on its page at mvtec.com (research, data sets), licence CC BY-NC-SA 4.0."


def _is_named_good(folder: str) -> bool:
    return folder.lower() == "good"


def _no_facts(_category: str, _defect: str, _image: Path) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Layout:
    """How a data set varies the layout."""

    is_good: Callable[[str], bool] = _is_named_good  # whether a folder of that name holds normal images
    mask_ending: str = "_mask"  # what a mask's stem has after its image's, for a message
    is_free: bool = False  # masks are optional, in any folder that is named after masks
    mask_folders: tuple[Path, ...] = ()  # other folders with masks of this category
    facts: Callable[[str, str, Path], Mapping[str, Any]] = _no_facts  # category, kind, image -> ``Listing.add``'s facts


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
    listing.note_others("MVTec AD", categories)
    return listing


def _categories(folder: Path) -> list[Path]:
    paths = [folder / name for name in MVTEC_CATEGORIES]
    return [path for path in paths if (path / "test").is_dir() or (path / "train").is_dir()]


def read_category(listing: Listing, folder: Path, category: str, layout: Layout) -> None:
    """Read ``test``, ``train`` and the masks of one category's folder."""
    listing.category = category
    test, train = inner_folder(folder, "test"), inner_folder(folder, "train")
    if not test.is_dir():
        listing.report(folder, f"{shown(folder)} has no folder test/; it holds {contents_of(folder)}.")
        return
    listing.note_loose(test)
    if not read_kinds(listing, folder, folders_in(test), category, layout):
        below = (path for kind in folders_in(test) for path in pictures_below(kind))
        deeper = next((path for path in below if not is_named_after_masks(path.parent.name)), None)
        hint = (
            f" There are pictures in deeper folders, such as {shown(deeper)}; move them up."
            if deeper is not None
            else ""
        )
        message = f"{shown(test)} has no images in folders such as good/; it holds {contents_of(test)}.{hint}"
        listing.report(test, message)
    for kind in folders_in(train) if train.is_dir() else ():
        if layout.is_good(kind.name):
            for image in listing.images_in(kind):
                listing.add_reference(category, image)


def read_kinds(listing: Listing, folder: Path, kinds: Sequence[Path], category: str, layout: Layout) -> int:
    """Read folders of test images, each named after its kind of defect; return the number of images.

    The folders of the masks lie in ``folder``.
    """
    mask_kinds = {kind for kind in kinds if layout.is_free and holds_masks(listing, kind)}
    kinds = [kind for kind in kinds if kind not in mask_kinds]
    images = {kind: listing.images_in(kind) for kind in kinds}
    beside = {kind: beside_images(paths) if layout.is_free else [] for kind, paths in images.items()}
    images = {kind: [path for path in paths if path not in beside[kind]] for kind, paths in images.items()}
    good = [kind.name for kind in kinds if layout.is_good(kind.name)]
    if layout.is_free:
        tell_likely_masks(listing, images, [kind for kind in kinds if kind.name in good])
    masks = MaskFiles(listing, {kind.name: paths for kind, paths in images.items()}, good)
    for place in _mask_folders(listing, folder, layout, {*kinds, *mask_kinds}):
        masks.add_folder(place)
    for place in sorted(mask_kinds):
        masks.add_folder(place)
        masks.check_used(place)
    for kind in kinds:
        masks.add_files(beside[kind], kind.name)
        _read_inner(listing, kind, masks)
        if not images[kind]:
            listing.report_unread(kind)
        names: set[str] = set()
        for image in images[kind]:
            fitting = masks.of(image)
            if len(fitting) > 1:
                both = " and ".join(shown(paths[0]) for paths in fitting)
                listing.report(image, f"{shown(image)} has more than one mask, {both}; remove all but one.")
            elif not (fitting or kind.name in good or layout.is_free or normalized(image.stem) in names):
                expected = folder / "ground_truth" / kind.name / f"{image.stem}{layout.mask_ending}.png"
                listing.report(
                    image, f"{shown(image)} has no mask; {shown(expected)} is expected. Restore it from the archive."
                )
            else:
                defect = "good" if kind.name in good else kind.name
                facts = layout.facts(category, defect, image)
                # An image of the same name, as after half a conversion to PNG, is told here, with or without a mask.
                listing.add(category, defect, image, fitting[0] if fitting else [], **facts)
            names.add(normalized(image.stem))
    masks.report_unused()
    return sum(map(len, images.values()))


def _mask_folders(listing: Listing, folder: Path, layout: Layout, others: Container[Path]) -> list[Path]:
    """Return the folders of masks beside the kinds of defect in a category's folder, and those elsewhere."""
    if not layout.is_free:
        return [place for place in [folder / "ground_truth"] if place.is_dir()]
    near = [
        place for place in folders_in(folder) if place not in others and place.name.lower() not in {"test", "train"}
    ]
    masks = [place for place in near if place.name.lower() in MASK_FOLDERS or holds_masks(listing, place)]
    ignored = [] if masks or layout.mask_folders else [shown(place.name) for place in near if pictures_below(place)]
    # Most data sets have the same folders in each category.
    remark = f"Ignored folders beside test/: {', '.join(ignored)}. If one holds masks, call it masks."
    if ignored and remark not in listing.remarks:
        listing.remarks.append(remark)
    return [*masks, *layout.mask_folders]


def _read_inner(listing: Listing, kind: Path, masks: MaskFiles) -> None:
    """Add the masks in folders inside a kind's folder, and note which pictures there are left out."""
    skipped: dict[str, int] = {}
    for inner in folders_in(kind):
        if holds_masks(listing, inner):
            masks.add_folder(inner, kind.name)
        elif pictures := pictures_below(inner):
            skipped[inner.name] = len(pictures)
    if skipped:
        listing.remarks.append(
            f"Left out: {sum(skipped.values())} pictures in folders inside {shown(kind)} ("
            f"{', '.join(map(shown, skipped))}); move them into {shown(kind.name)} itself, or list them in a CSV file."
        )
