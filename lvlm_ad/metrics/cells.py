"""Ground truth counted in cells: for maps that are constant on cells, no pixel array is needed after that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.inputs import components

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CellCounts", "count_cells"]


@dataclass(frozen=True, eq=False)
class CellCounts:
    """One image's ground truth, counted in its C cells.

    The N triples (cell, component, pixels) say how many pixels of a component lie in a cell; absent pairs have none.

    Attributes:
        normal: int64 ``(C,)``, normal pixels of each cell.
        cell: int32 ``(N,)``, 0..C-1.
        component: int32 ``(N,)``, 0..K-1.
        pixels: int64 ``(N,)``, 1 or more.
        n_components: K, the 8-connected regions of the mask.

    Example:
        >>> import numpy as np
        >>> counts = count_cells(np.array([[0, 0, 1]]), np.array([[0, 255, 255]]))
        >>> counts.component_sizes
        array([2])
    """

    normal: NDArray[np.int64]
    cell: NDArray[np.int32]
    component: NDArray[np.int32]
    pixels: NDArray[np.int64]
    n_components: int

    @property
    def component_sizes(self) -> NDArray[np.int64]:
        """Pixels of each component, int64 ``(K,)``."""
        sizes = np.zeros(self.n_components, dtype=np.int64)
        np.add.at(sizes, self.component, self.pixels)
        return sizes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays to store."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> CellCounts:
        """Rebuild counts from ``to_arrays``."""
        triples = {name: arrays[name] for name in ("normal", "cell", "component", "pixels")}
        return cls(**triples, n_components=int(arrays["n_components"]))


def count_cells(cells: NDArray[Any], mask: NDArray[Any], n_cells: int | None = None) -> CellCounts:
    """Count a ground truth in cells.

    Args:
        cells: integers ``(H, W)``, the cell of each pixel, 0..C-1.
        mask: ``(H, W)``, anomalous where not 0.
        n_cells: C; None: one more than the highest cell.

    Raises:
        MetricError: the shapes differ, or cells are not integers 0..C-1.

    Example:
        >>> import numpy as np
        >>> counts = count_cells(np.array([[0, 0, 1]]), np.array([[0, 255, 255]]))
        >>> counts.normal, counts.cell, counts.pixels
        (array([1, 0]), array([0, 1], dtype=int32), array([1, 1]))
    """
    truth, cells = np.asarray(mask) != 0, np.asarray(cells)
    if cells.shape != truth.shape or truth.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise MetricError(f"Cells of shape {cells.shape} and a mask of shape {truth.shape}: both must be (H, W).")
    if cells.dtype.kind not in "iu":
        raise MetricError(f"Cells must be integers, not {cells.dtype}.")
    lowest, highest = (int(cells.min()), int(cells.max())) if cells.size else (0, -1)
    total = highest + 1 if n_cells is None else n_cells
    if lowest < 0 or highest >= total:
        raise MetricError(f"Cells are numbered {lowest}..{highest}; they must lie in 0..{total - 1}.")
    labels, n_components = components(truth)
    pair = cells[truth].astype(np.int64) * n_components + labels[truth] - 1
    pairs, pixels = np.unique(pair, return_counts=True)
    cell, component = np.divmod(pairs, max(n_components, 1))
    return CellCounts(
        normal=np.bincount(cells[~truth], minlength=total).astype(np.int64),
        cell=cell.astype(np.int32),
        component=component.astype(np.int32),
        pixels=pixels.astype(np.int64),
        n_components=n_components,
    )
