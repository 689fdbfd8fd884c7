"""MVTec LOCO AD: logical and structural anomalies, and a mask file for each defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.defect_files import read_defect_files
from lvlm_ad.datasets.folders import folders_in

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["LOCO_CATEGORIES", "LOCO_KINDS", "is_loco", "read_loco"]

LOCO_CATEGORIES = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")
LOCO_KINDS = ("logical_anomalies", "structural_anomalies")

_ABOUT = (
    "MVTec LOCO AD: folders such as pushpins/test/logical_anomalies were expected. It is available on its page at "
    "mvtec.com (research, data sets), licence CC BY-NC-SA 4.0."
)


def is_loco(root: Path) -> bool:
    """Return whether a folder is MVTec LOCO AD or one of its categories: only it has kinds of these names."""
    return any((folder / "test" / kind).is_dir() for folder in (root, *folders_in(root)) for kind in LOCO_KINDS)


def read_loco(root: Path, threshold: Threshold) -> Listing:
    """List MVTec LOCO AD; see ``defect_files``."""
    return read_defect_files("loco", root, threshold, LOCO_CATEGORIES, _ABOUT)
