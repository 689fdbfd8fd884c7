"""An image cut into numbered regions, the options that all methods of division share, and stored divisions."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lvlm_ad.deferred import deferrable, deferred
from lvlm_ad.errors import CacheError, StoreError
from lvlm_ad.files import read_arrays
from lvlm_ad.regions.positions import nearest_to_centroids
from lvlm_ad.store import CACHE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.store import Database

PUBLISHED_AREA = 768 * 768
"""The image area, in pixels, to which the area limits refer."""


@deferrable("cells", "membership")
@dataclass(frozen=True, eq=False)
class Regions:
    """The division of one image.

    R regions are numbered from 1. C cells are the finest pieces: whatever scores the regions get, a map of them is
    constant on each cell. In a partition each region is one cell, and one more cell holds the pixels that no region
    covers. Masks that overlap give one cell for each set of regions that meet somewhere.

    Attributes:
        cells: int32 ``(H, W)``, the cell of each pixel, 0..C-1; every cell has at least one pixel.
        membership: bool ``(R, C)``; row r-1 says which cells region number r covers.

    Example:
        >>> regions = Regions.from_labels(np.array([[1, 1, 2, 0]]))
        >>> regions.count, regions.n_cells, regions.cells.tolist()
        (2, 3, [[0, 0, 1, 2]])
    """

    cells: NDArray[np.int32]
    membership: NDArray[np.bool_]

    @classmethod
    def from_labels(cls, labels: NDArray[Any]) -> Regions:
        """Make the regions of a partition.

        Args:
            labels: integers ``(H, W)``: the number of each pixel's region, 1..R without gaps; 0 outside all regions.
        """
        count = int(labels.max(initial=0))
        uncovered = bool((labels == 0).any())
        membership = np.eye(count, count + int(uncovered), dtype=np.bool_)
        cells = np.where(labels == 0, count, labels.astype(np.int32) - 1).astype(np.int32)
        return cls(cells=cells, membership=membership)

    @classmethod
    def from_masks(cls, masks: NDArray[np.bool_]) -> Regions:
        """Make the regions of masks that may overlap and leave gaps.

        Args:
            masks: bool ``(R, H, W)``; region number r is ``masks[r - 1]``.
        """
        count, height, width = masks.shape
        flat = masks.reshape(count, height * width)
        cells, first = np.zeros(height * width, dtype=np.int64), np.zeros(1, dtype=np.int64)
        # 64 masks at a time become one number for each pixel: numbers sort much faster than rows of bits.
        for start in range(0, count, 64):
            bits = np.zeros((height * width, 8), dtype=np.uint8)
            packed = np.packbits(flat[start : start + 64], axis=0)
            bits[:, : len(packed)] = packed.T
            values, split = np.unique(bits.view(">u8")[:, 0], return_inverse=True)
            _, first, cells = np.unique(cells * len(values) + split, return_index=True, return_inverse=True)
        return cls(cells=cells.reshape(height, width).astype(np.int32), membership=flat[:, first])

    @property
    def count(self) -> int:
        """The number of regions, R."""
        return int(self.membership.shape[0])

    @property
    def n_cells(self) -> int:
        """The number of cells, C."""
        return int(self.membership.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """The image's (height, width)."""
        height, width = self.cells.shape
        return int(height), int(width)

    def renumbered(self, numbers: Sequence[int]) -> Regions:
        """Return the same regions under other numbers.

        Args:
            numbers: a permutation of 1..R; region ``numbers[0]`` becomes number 1, and so on.

        Example:
            >>> regions = Regions.from_labels(np.array([[1, 1, 2]]))
            >>> regions.renumbered([2, 1]).membership.tolist()
            [[False, True], [True, False]]
        """
        return Regions(deferred(lambda: self.cells), self.membership[[number - 1 for number in numbers]])

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) over cells and membership; equal for equal divisions only."""
        digest = hashlib.sha256(repr((self.cells.shape, self.membership.shape)).encode())
        digest.update(np.ascontiguousarray(self.cells, dtype="<i4").tobytes())
        digest.update(np.packbits(self.membership).tobytes())
        return digest.hexdigest()

    @cached_property
    def cell_areas(self) -> NDArray[np.int64]:
        """Pixels of each cell, int64 ``(C,)``."""
        return np.bincount(self.cells.ravel(), minlength=self.n_cells).astype(np.int64)

    def pool(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Average a dense map over each region.

        Args:
            values: float ``(H, W)``.

        Returns:
            float64 ``(R,)``, the mean over the pixels of each region.
        """
        # Converted once for both counts.
        cells = self.cells.ravel().astype(np.intp)
        sums, areas = (np.bincount(cells, weights, self.n_cells) for weights in (values.ravel(), None))
        # Not a matrix product: BLAS would start threads for so little, and their waiting costs more than the work.
        region, cell = np.nonzero(self.membership)
        total, area = (np.bincount(region, of[cell], self.count) for of in (sums, areas))
        return total / area

    def positions(self) -> NDArray[np.int64]:
        """Return where each region's number stands: the pixel of the region that is nearest to its centroid.

        Returns:
            int64 ``(R, 2)``, (row, column); the first in reading order where several are equally near.
        """
        return nearest_to_centroids(self.cells, self.membership)


class DivisionOptions(BaseModel):
    """Options of a method of division."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    in_one_process: ClassVar[bool] = False
    """Whether one process divides all images, because its model is too large to be loaded in several."""

    min_area: Annotated[float, Field(ge=0)] = 600
    """A region is kept if it is larger than this many pixels of a 768 x 768 image."""
    max_area: Annotated[float, Field(gt=0)] = 120_000
    """A region is kept if it is smaller than this many pixels of a 768 x 768 image."""

    def identity(self) -> dict[str, Any]:
        """Return, as JSON, everything that the regions of an image depend on, and nothing else.

        Raises:
            ConfigError: a model's weights cannot be found.
        """
        return self.model_dump(mode="json")

    def record(self) -> dict[str, Any]:
        """Return what a run's manifest records: the identity, and the names that the user gave.

        Raises:
            ConfigError: a model's weights cannot be found.
        """
        return self.identity()

    def release(self) -> None:
        """Free the memory of a model; called when a data set is divided."""

    def fits(self, areas: NDArray[np.int64], pixels: int) -> NDArray[np.bool_]:
        """Tell which regions are neither too small nor too large.

        Args:
            areas: int64 ``(R,)``, the pixels of each region.
            pixels: the pixels of the image; the limits scale with them.

        Returns:
            bool ``(R,)``.
        """
        scale = pixels / PUBLISHED_AREA
        return (areas > self.min_area * scale) & (areas < self.max_area * scale)


@dataclass(frozen=True, slots=True)
class StoredDivision:
    """One image's division and the pixel counts of its ground truth, packed as compressed npz bytes for storage."""

    hash: str
    n_regions: int
    regions: bytes  # cells and membership
    counts: bytes | None  # named count arrays; None for an image without ground truth

    @classmethod
    def pack(cls, regions: Regions, counts: Mapping[str, NDArray[Any]] | None) -> StoredDivision:
        """Pack a division and its counts."""
        cells = regions.cells.astype(np.min_scalar_type(max(regions.n_cells - 1, 0)))
        return cls(
            hash=regions.hash,
            n_regions=regions.count,
            regions=_pack({"cells": cells, "membership": regions.membership}),
            counts=None if counts is None else _pack(counts),
        )


class DivisionStore:
    """Divisions in ``cache.sqlite``; each is written whole or not at all.

    Every method raises ``StoreError`` if the file cannot be read or written, or what it reads is damaged.

    Args:
        database: what ``store.open_cache`` returns.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, keys: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Return key -> (``Regions.hash``, number of regions), of the keys that are stored."""
        # Left to itself, SQLite reads the rows, and their cells with them.
        query = """
            SELECT key, hash, n_regions FROM divisions INDEXED BY known WHERE key IN (SELECT value FROM json_each(?))
            AND typeof(hash) = 'text' AND typeof(n_regions) = 'integer'
        """
        rows = self._database.read(query, (json.dumps(list(keys)),))
        return {key: (digest, count) for key, digest, count in rows}

    def regions(self, key: str) -> Regions:
        """Read one division; its arrays are unpacked when they are first used."""
        rows = self._database.read("SELECT hash, regions FROM divisions WHERE key = ?", (key,))
        if not rows:
            raise CacheError(
                f"The cache {self._database.path} has no division {key}. Delete the cache; lvlm-ad makes it again."
            )
        digest, packed = rows[0]
        unpack = partial(_unpacked, packed, self._database.path)
        regions = Regions(deferred(partial(unpack, "cells")), deferred(partial(unpack, "membership")))
        # As ``Regions.hash`` would compute it.
        regions.__dict__["hash"] = digest
        return regions

    def unreadable(self) -> int:
        """Count the divisions that cannot be read, or differ from their hash."""
        damaged = 0
        for key, *facts in self._database.read("SELECT key, hash, n_regions FROM divisions"):
            try:
                stored = self.regions(key)
                self.counts(key)
                regions = Regions(stored.cells, stored.membership)
                damaged += [regions.hash, regions.count] != facts
            except StoreError:
                damaged += 1
        return damaged

    def counts(self, key: str, only: str = "") -> dict[str, NDArray[Any]] | None:
        """Read the count arrays stored with a division; None where the image has no ground truth.

        Args:
            key: the division.
            only: the name of one array that is wanted; empty: all.
        """
        rows = self._database.read("SELECT counts FROM divisions WHERE key = ?", (key,))
        if not rows or rows[0][0] is None:
            return None
        try:
            arrays = read_arrays(BytesIO(rows[0][0]), only=only)
            return arrays if only else _checked("counts", arrays)
        except Exception as error:
            # A damaged archive raises one of many exceptions.
            raise self._database.kind.error(self._database.path, "read", error) from error

    def put(self, key: str, division: StoredDivision) -> None:
        """Store a division; the first one under a key stays, unless ``known`` could not use it."""
        query = """
            INSERT INTO divisions VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
            SET (hash, n_regions, regions, counts) =
                (excluded.hash, excluded.n_regions, excluded.regions, excluded.counts)
            WHERE typeof(hash) <> 'text' OR typeof(n_regions) <> 'integer'
        """
        row = (key, division.hash, division.n_regions, division.regions, division.counts)
        with self._database.transaction(durable=False) as database:
            database.execute(query, row)

    def put_counts(self, key: str, counts: Mapping[str, NDArray[Any]]) -> None:
        """Replace the count arrays of a division."""
        with self._database.transaction(durable=False) as database:
            database.execute("UPDATE divisions SET counts = ? WHERE key = ?", (_pack(counts), key))


def _unpacked(packed: bytes, path: Path, name: Literal["cells", "membership"]) -> NDArray[Any]:
    """Return an array of a stored division; ``CacheError`` if it is damaged."""
    try:
        if name == "cells":
            return _checked("regions", read_arrays(BytesIO(packed)))["cells"].astype(np.int32)
        membership = read_arrays(BytesIO(packed), only=name)[name]
        if membership.ndim != 2:  # noqa: PLR2004 - regions and cells
            raise ValueError(f"membership has the shape {membership.shape}")  # noqa: TRY301 - one message for all damage
        return membership.astype(np.bool_)
    except Exception as error:
        # A damaged archive raises one of many exceptions.
        raise CACHE.error(path, "read", error) from error


def _checked(column: str, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return arrays if they can be the regions or the counts of an image; raise ValueError or KeyError otherwise."""
    if column == "regions":
        cells, membership = arrays["cells"], arrays["membership"]
        inside, size = cells, membership.shape[1] if membership.ndim == 2 else -1  # noqa: PLR2004 - regions and cells
    else:
        inside, size = arrays.get("cell", np.empty(0, np.int32)), arrays["normal"].size
    if inside.dtype.kind not in "iu" or (inside.size and not 0 <= int(inside.min()) <= int(inside.max()) < size):
        raise ValueError(f"{column} name cells that do not exist")
    return arrays


def _pack(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays as compressed npz bytes, without pickle."""
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()
