"""Granular Region Division: an image cut into numbered regions."""

from lvlm_ad.regions.methods import METHODS, divide, division_options
from lvlm_ad.regions.regions import DivisionOptions, DivisionStore, Regions, StoredDivision

__all__ = [
    "METHODS",
    "DivisionOptions",
    "DivisionStore",
    "Regions",
    "StoredDivision",
    "divide",
    "division_options",
]
