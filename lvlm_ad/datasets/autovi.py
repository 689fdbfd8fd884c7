"""AutoVI (Renault): parts of cars on the production line, and a mask file for each defect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.defect_files import read_defect_files

if TYPE_CHECKING:
    from pathlib import Path

    from lvlm_ad.datasets.listing import Listing
    from lvlm_ad.datasets.masks import Threshold

__all__ = ["AUTOVI_CATEGORIES", "is_autovi", "read_autovi"]

AUTOVI_CATEGORIES = ("engine_wiring", "pipe_clip", "pipe_staple", "tank_screw", "underbody_pipes", "underbody_screw")

_ABOUT = (
    "AutoVI: folders such as pipe_clip/test/good were expected. It is available at Zenodo, record 10459003, licence "
    "CC BY-NC-SA 4.0."
)


def is_autovi(root: Path) -> bool:
    """Return whether a folder holds categories of AutoVI."""
    return any((root / name / "test").is_dir() for name in AUTOVI_CATEGORIES)


def read_autovi(root: Path, threshold: Threshold) -> Listing:
    """List AutoVI; see ``defect_files``."""
    return read_defect_files("autovi", root, threshold, AUTOVI_CATEGORIES, _ABOUT)
