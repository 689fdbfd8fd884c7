"""The published answer format as a regular expression, to which an engine can hold a model."""

from __future__ import annotations

__all__ = ["answer_pattern"]

_SCORE = r"(0|1|0\.[0-9][0-9]?|1\.0)"
"""With [0-9], since the class of all digits includes those of other scripts."""


def answer_pattern(n_regions: int) -> str:
    """Return the regular expression of the published answer format with this number of regions, in any order.

    Example:
        >>> import re
        >>> bool(re.fullmatch(answer_pattern(3), "image anomaly score: 0.9; region 3: 0.7."))
        True
    """
    if n_regions == 0:
        return rf"image anomaly score: {_SCORE}\."
    numbers = "|".join(str(number) for number in range(1, n_regions + 1))
    return rf"image anomaly score: {_SCORE}(; region ({numbers}): {_SCORE}){{0,{n_regions}}}\."
