"""Data sets in the layout of MVTec AD with small differences: BTAD, MPDD, DTD-Synthetic and GoodsAD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvlm_ad.datasets.folders import files_in, folders_in, name_of
from lvlm_ad.datasets.images import IMAGE_SUFFIXES, shown
from lvlm_ad.datasets.known_categories import list_categories
from lvlm_ad.datasets.mvtec import Layout, read_category

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["BTAD", "DTD_SYNTHETIC", "GOODSAD", "MPDD", "Relative"]


@dataclass(frozen=True)
class Relative:
    """A data set whose categories have ``train/good``, ``test/<kind>`` and ``ground_truth/<kind>``.

    Attributes:
        name: its name.
        about: see ``category_folders``.
        class_names: the names of its categories' folders -> what a question calls them.
        telling: categories of which one is enough to recognize the data set; empty: all categories must be there.
        layout: how its names differ from those of MVTec AD.
        good: the folder of normal test images.

    Example:
        >>> BTAD.class_names["01"], DTD_SYNTHETIC.class_names["Woven_001"], MPDD.class_names["metal_plate"]
        ('product', 'woven', 'metal plate')
    """

    name: str
    about: str
    class_names: Mapping[str, str]
    telling: Sequence[str] = ()
    layout: Layout = field(default_factory=Layout)
    good: str = "good"

    def fits(self, root: Path) -> bool:
        """Return whether a folder is unmistakably this data set, or one of its telling categories."""
        if name_of(root) in self.telling and self._is_category(root):
            return True
        found = [name for name in self.class_names if self._is_category(root / name)]
        return not set(found).isdisjoint(self.telling) or len(found) == len(self.class_names)

    def read(self, root: Path, threshold: Threshold) -> Listing:
        """List the data set; the root is the folder of the categories, one category's, or the one around them.

        Raises:
            DataError: as ``category_folders``.
        """
        return list_categories(
            self.name, root, threshold, self.class_names, _has_split, self.about, self._read_category
        )

    def _read_category(self, listing: Listing, folder: Path, category: str) -> None:
        if (folder / "test").is_dir():
            _report_loose_masks(listing, folder)
        read_category(listing, folder, category, self.layout)

    def _is_category(self, folder: Path) -> bool:
        return (folder / "test" / self.good).is_dir()


def _has_split(folder: Path) -> bool:
    return any((folder / split).is_dir() for split in ("test", "train"))


def _pictures_in(folder: Path) -> list[Path]:
    return [path for path in files_in(folder) if path.suffix.lower() in IMAGE_SUFFIXES] if folder.is_dir() else []


def _report_loose_masks(listing: Listing, folder: Path) -> None:
    """Report masks that lie in ``ground_truth`` itself: they may belong to images of several kinds of defect."""
    for path in _pictures_in(folder / "ground_truth"):
        kinds = " or ".join(f"{shown(kind.name)}/" for kind in folders_in(folder / "test"))
        listing.report(
            path, f"{shown(path)} lies one level too high; move it into the folder of its kind of defect, {kinds}."
        )


def _plain(*names: str) -> dict[str, str]:
    return {name: name.replace("_", " ") for name in names}


BTAD = Relative(
    "btad",
    "BTAD: the folders 01, 02 and 03 with test/ok and test/ko were expected. It is available from its authors at "
    "avires.dimi.uniud.it, licence CC BY-NC-SA 4.0.",
    # The authors show the three products, but do not name them.
    dict.fromkeys(("01", "02", "03"), "product"),
    layout=Layout(is_good=lambda folder: folder.lower() == "ok", mask_ending=""),
    good="ok",
)

MPDD = Relative(
    "mpdd",
    "MPDD: folders such as bracket_black/test/good were expected. It is available through the repository "
    '"stepanje/MPDD" on GitHub, licence CC BY-NC-SA 4.0.',
    _plain("bracket_black", "bracket_brown", "bracket_white", "connector", "metal_plate", "tubes"),
    # The other categories may be called like a user's own products.
    telling=("bracket_black", "bracket_brown", "bracket_white"),
)

_TEXTURES = (
    *("Woven_001", "Woven_127", "Woven_104", "Woven_068", "Woven_125", "Stratified_154", "Blotchy_099", "Marbled_078"),
    *("Perforated_037", "Mesh_114", "Fibrous_183", "Matted_069"),
)

DTD_SYNTHETIC = Relative(
    "dtd-synthetic",
    "DTD-Synthetic: folders such as Woven_001/test/good were expected. It is available from the authors of the paper "
    "Zero-shot versus Many-shot (WACV 2023); we found no licence.",
    {name: name.partition("_")[0].lower() for name in _TEXTURES},
    telling=_TEXTURES,
)

_GOODS = ("cigarette_box", "drink_bottle", "drink_can", "food_bottle", "food_box", "food_package")

GOODSAD = Relative(
    "goodsad",
    "GoodsAD: folders such as drink_can/test/good were expected. It is available through the repository "
    '"jianzhang96/GoodsAD" on GitHub; it states no licence.',
    _plain(*_GOODS),
    telling=_GOODS,
    layout=Layout(mask_ending=""),
)
