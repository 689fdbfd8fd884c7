"""How many images each round of a recommendation asks about."""

from __future__ import annotations

__all__ = ["round_sizes"]

_FIRST = 20
"""Images of the first round: fewer can tell nothing apart, see ``lvlm_ad.metrics.ranks.z0_max``."""

_OF_CATEGORY = 4
"""Images of each category in the first round: two of a class, without which it has no interval."""


def round_sizes(images: int, categories: int) -> list[int]:
    """Return how many images have been asked about after each round: twice as many in each, and all in the last.

    Args:
        images: how many there are, 2 or more.
        categories: of how many categories they are.

    Example:
        >>> round_sizes(100, 1), round_sizes(83, 15)
        ([20, 40, 100], [83])
    """
    sizes = [max(_FIRST, _OF_CATEGORY * categories)]
    while sizes[-1] * 2 < images:
        sizes.append(sizes[-1] * 2)
    # A last round of a few more images would spend a share of the error for nothing.
    return [*sizes[:-1], images] if sizes[-1] * 1.5 > images else [*sizes, images]
