"""Where the number of each region stands: the pixel of the region that is nearest to its centroid."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["nearest_to_centroids"]


class _Runs(NamedTuple):
    """Pixels of one cell beside each other in a row: some hundred times fewer than pixels. Each int64 ``(N,)``."""

    row: NDArray[np.int64]
    first: NDArray[np.int64]  # the column where it begins
    length: NDArray[np.int64]
    cell: NDArray[np.int32]


def nearest_to_centroids(cells: NDArray[np.int32], membership: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the pixel of each region that is nearest to the region's centroid.

    Args:
        cells: int32 ``(H, W)``, the cell of each pixel, 0..C-1.
        membership: bool ``(R, C)``: which cells each region covers, at least one.

    Returns:
        int64 ``(R, 2)``, (row, column); the first in reading order where several are equally near.

    Example:
        >>> nearest_to_centroids(np.zeros((3, 5), np.int32), np.ones((1, 1), np.bool_)).tolist()
        [[1, 2]]
    """
    if not len(membership):
        return np.empty((0, 2), dtype=np.int64)
    runs = _runs(cells)
    run, region = _runs_of_regions(runs.cell, membership)
    row, first, length = runs.row[run], runs.first[run], runs.length[run]
    begins = np.searchsorted(region, np.arange(len(membership)))
    area = np.add.reduceat(length, begins)
    middle_row = (np.add.reduceat(row * length, begins) / area)[region]
    # The columns of a run sum up to the mean of its ends times its length.
    middle_column = (np.add.reduceat((2 * first + length - 1) * length // 2, begins) / area)[region]
    # The nearest pixel of a run is on either side of the centroid, or at an end.
    sides = np.floor(middle_column).astype(np.int64) + np.array([[0], [1]])
    columns = np.clip(sides, first, first + length - 1)
    distances = (row - middle_row) ** 2 + (columns - middle_column) ** 2
    nearest = distances == np.minimum.reduceat(distances.min(axis=0), begins)[region]
    pixels = np.where(nearest, row * cells.shape[1] + columns, cells.size).min(axis=0)
    return np.stack(np.divmod(np.minimum.reduceat(pixels, begins), cells.shape[1]), axis=1)


def _runs(cells: NDArray[np.int32]) -> _Runs:
    """Return the runs of all cells in reading order."""
    flat, width = cells.ravel(), cells.shape[1]
    begins = np.ones(flat.size, dtype=np.bool_)
    begins[1:] = flat[1:] != flat[:-1]
    begins[::width] = True
    start = np.flatnonzero(begins)
    return _Runs(start // width, start % width, np.diff(start, append=flat.size), flat[start])


def _runs_of_regions(
    cell: NDArray[np.int32], membership: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which runs each region has: the indices of runs, and the region of each, in ascending order."""
    by_cell = np.argsort(cell, kind="stable")
    sizes = np.bincount(cell, minlength=membership.shape[1])
    begins = np.cumsum(sizes) - sizes
    region, covered = np.nonzero(membership)
    counts = sizes[covered]
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return by_cell[np.repeat(begins[covered], counts) + place], np.repeat(region, counts)
