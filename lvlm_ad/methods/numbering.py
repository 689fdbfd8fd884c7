"""Other numbers for the same regions, and back to their own."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lvlm_ad.regions.shapes import Region, Shape

if TYPE_CHECKING:
    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg.finding import Finding

__all__ = ["numbering_of", "numbers_of", "with_usual_numbers"]


def numbering_of(regions: Regions, index: int) -> tuple[int, ...]:
    """Return other numbers for regions: the same ones for every model and seed.

    Args:
        regions: the regions.
        index: which numbering.

    Returns:
        A permutation of 1..R, as ``Regions.renumbered`` takes it: region ``numbers[0]`` bears number 1, and so on.
        Empty for index 0: the regions keep their own numbers.

    Example:
        >>> import numpy as np
        >>> from lvlm_ad.regions import Regions
        >>> regions = Regions.from_labels(np.arange(1, 5).reshape(2, 2))
        >>> numbering_of(regions, 0), numbering_of(regions, 1)
        ((), (4, 2, 3, 1))
    """
    return numbers_of(regions.hash, regions.count, index) if index else ()


def numbers_of(division: str, count: int, index: int) -> tuple[int, ...]:
    """Return the same as ``numbering_of``, from the hash of a division and the number of its regions."""
    if not index:
        return ()
    usual = range(1, count + 1)
    return tuple(random.Random(f"{division}/{index}").sample(usual, count))  # noqa: S311 - reproducible, not secret


def with_usual_numbers(finding: Finding, numbers: Sequence[int]) -> Finding:
    """Return a finding whose regions have their own numbers again.

    Args:
        finding: its regions have the numbers that they bore on the picture.
        numbers: see ``numbering_of``; empty: these are their own.

    Example:
        >>> from lvlm_ad.text2seg.finding import Finding
        >>> with_usual_numbers(Finding(0.7, (Region(1, 0.7),)), (3, 1, 2)).shapes
        (Region(number=3, score=0.7),)
    """
    if not numbers:
        return finding
    shapes: list[Shape] = [
        replace(shape, number=numbers[shape.number - 1]) if isinstance(shape, Region) else shape
        for shape in finding.shapes
    ]
    return replace(finding, shapes=tuple(shapes))
