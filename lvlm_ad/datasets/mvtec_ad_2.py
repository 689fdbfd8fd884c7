"""MVTec AD 2: eight objects under several lights; the labels of two of its three test splits are not published.

<object>/train/good/000_regular.png  validation/good/000_regular.png
<object>/test_public/{good,bad}/000_shift_1.png  test_public/ground_truth/bad/000_shift_1_mask.png
<object>/test_private/000_regular.png  test_private_mixed/000_mixed.png
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.folders import contents_of, files_in, folders_in
from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.datasets.known_categories import list_categories
from lvlm_ad.datasets.mvtec import Layout, read_kinds

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["AD2_LIGHTS", "AD2_OBJECTS", "AD2_SPLITS", "is_ad2", "read_ad2"]

AD2_OBJECTS = ("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts")
AD2_SPLITS = {"public": "test_public", "private": "test_private", "private-mixed": "test_private_mixed"}
"""Name of a split -> its folder."""
AD2_LIGHTS = {"private": "regular", "private-mixed": "mixed"}
"""Split without labels -> what all its images have in their names after the number."""

_NAME = re.compile(r"\d+_.+")
"""The name of an image: the number of its part, and the light."""

_ABOUT = (
    "MVTec AD 2: folders such as can/test_public/good were expected. It is available on its page at mvtec.com "
    "(research, data sets), licence CC BY-NC-SA 4.0."
)


def is_ad2(root: Path) -> bool:
    """Return whether a folder is MVTec AD 2 or one of its objects: only it has splits of these names."""
    return any((folder / split).is_dir() for folder in (root, *folders_in(root)) for split in AD2_SPLITS.values())


def read_ad2(root: Path, threshold: Threshold, split: str = "public") -> Listing:
    """List a split of MVTec AD 2; only the public one has labels.

    The tag "lighting" is the part of an image's name after its number; the images of a number show the same part.

    Raises:
        DataError: as ``category_folders``.
    """
    read = partial(_read_object, split=split)
    return list_categories("mvtec-ad-2", root, threshold, AD2_OBJECTS, _is_object, _ABOUT, read)


def _is_object(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("train", *AD2_SPLITS.values()))


def _read_object(listing: Listing, folder: Path, category: str, split: str) -> None:
    test = folder / AD2_SPLITS[split]
    if not test.is_dir():
        there = [name for name, inner in AD2_SPLITS.items() if (folder / inner).is_dir()]
        hint = f" To read another split, give --split {there[0]}." if there else ""
        listing.report(
            folder,
            f"{shown(folder)} has no folder {test.name}/; it holds {contents_of(folder)}. Restore it from the archive."
            + hint,
        )
    elif split == "public":
        _read_public(listing, folder, test)
    else:
        for image in listing.images_in(test):
            if image.stem.partition("_")[2] != AD2_LIGHTS[split]:
                listing.report(
                    image,
                    f"{shown(image)} is no image of the split {split}, whose names are such as "
                    f"000_{AD2_LIGHTS[split]}.png; move it away.",
                )
                continue
            facts = _facts(category, "", image)
            listing.add(category, "unlabelled", image, [], label=False, is_labelled=False, **facts)
    listing.add_normal_folders(category, folder)


def _read_public(listing: Listing, folder: Path, test: Path) -> None:
    masks, misplaced = test / "ground_truth", folder / "ground_truth"
    if misplaced.is_dir() and not masks.is_dir():
        listing.report(misplaced, f"{shown(misplaced)}/ lies one level too high; move it into {shown(test)}/.")
        return
    for path in listing.images_in(masks, counts_others=False) if masks.is_dir() else ():
        listing.report(path, f"{shown(path)} lies one level too high; move it into {shown(masks / 'bad')}/.")
    kinds = [kind for kind in folders_in(test) if kind.name != "ground_truth"]
    read_kinds(listing, test, kinds, listing.category, Layout(facts=_facts))
    images = [path for kind in kinds for path in files_in(kind) if path.suffix.lower() in IMAGE_SUFFIXES]
    if odd := [path for path in images if not _NAME.fullmatch(path.stem)]:
        listing.report(
            test,
            f"{len(odd)} of {len(images)} images in {shown(test)} have other names than 000_regular.png, such as "
            f"{shown(odd[0].name)}: their part or their lighting is not known. Restore the names from the archive.",
            "warning",
        )


def _facts(category: str, kind: str, image: Path) -> dict[str, Any]:
    """Return what an image's name says, such as ``017_shift_1``: the part's number, and the light."""
    number, _, light = image.stem.partition("_")
    # In a private split each part has one image.
    part = f"{category}/{kind}/{number}" if kind else ""
    return {"tags": {"lighting": light} if light else {}, "part": part}
