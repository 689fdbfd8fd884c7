"""Anomaly maps, pixel by pixel: each map is sorted once, and a merge by ranges of score counts the thresholds.

The scores of normal pixels are most of the data. They stay in memory up to a limit, beyond it in one temporary file,
and the merge reads one range of scores of all maps at a time: memory is bounded, however many maps there are.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from lvlm_ad.errors import RunError
from lvlm_ad.metrics.curves import Steps, false_positives_below
from lvlm_ad.metrics.histograms import ScoreHistogram, components

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["THRESHOLDS", "PooledMaps", "SpillStore"]

IN_MEMORY = 1e9
"""Bytes that stay in memory: the sorted scores of about 400 maps of 768 x 768 pixels."""

RANGE_BYTES = 8e6
"""Normal scores that the merge reads at once: the fewer, the faster they are sorted in the processor's cache."""

PASS_BYTES = 80e6
"""Likewise of unsorted maps, all of which are read for each range."""

THRESHOLDS = 256
"""Most thresholds at which own maps are counted for resamples."""

Keep = Literal["sorted", "copies", "originals"]
"""How the normal scores are kept. ``sorted``: map by map, as ``histograms`` needs them. ``copies``: many maps in one
array. ``originals``: not copied, which takes less memory; map and mask must stay as they are."""

_MOST_PASSES = 16
"""Ranges into which unsorted maps are cut at most: each range is a pass over all of them."""

_SAMPLE = 100_000
"""Scores from which the ranges are chosen."""

_LOWEST_RATE = 1e-6
"""The false-positive rate of the highest threshold that is chosen from normal pixels."""


class PooledMaps:
    """A category's anomaly maps with their ground truth, added one by one; ``folder``: see ``SpillStore``."""

    def __init__(self, folder: Path | None = None, keep: Keep = "sorted") -> None:
        self._store, self._keep = SpillStore(folder), keep
        self._copies, self._copied = np.empty(0, np.bool_), 0
        self._total = 0
        self._normal: list[_Sorted | _Unsorted] = []
        self._anomalous: list[_Sorted] = []
        self._regions: list[int] = []
        self._lowest: list[Any] = []
        self._dtype: np.dtype[Any] = np.dtype(np.bool_)

    def __len__(self) -> int:
        return len(self._regions)

    def add(self, scores: NDArray[Any], mask: NDArray[np.bool_]) -> None:
        """Add a map.

        Args:
            scores: ``(H, W)``, finite real numbers, one or more.
            mask: ``(H, W)``, True where anomalous.

        Raises:
            RunError: the temporary file cannot be written.
        """
        labels, n_regions = components(mask)
        region = labels[mask]
        shares = (1.0 / np.bincount(region)[1:])[region - 1] if region.size else np.empty(0)
        self._add(scores, mask, scores[mask], shares, n_regions)

    def add_channels(
        self, scores: NDArray[Any], masks: NDArray[np.bool_], saturations: NDArray[np.int64] | Sequence[int]
    ) -> None:
        """Add a map whose defects have masks of their own, which may overlap: the overlap counted is sPRO.

        A pixel in two masks counts twice as anomalous. See ``lvlm_ad.metrics.spro``.

        Args:
            scores: ``(H, W)``, finite real numbers.
            masks: ``(K, H, W)``, K may be 0.
            saturations: ``(K,)``, how many pixels of each mask are enough, 1 or more.

        Raises:
            RunError: the temporary file cannot be written.
        """
        inside = [scores[mask] for mask in masks]
        shares = []
        for one, enough in zip(inside, saturations, strict=True):
            share = np.zeros(one.size)
            # Which of several equal scores at the end have a share does not matter: they enter at once.
            share[np.argsort(one, kind="stable")[-int(enough) :]] = 1.0 / int(enough)
            shares.append(share)
        empty = np.empty(0, scores.dtype)
        union = np.asarray(masks.any(axis=0))
        self._add(scores, union, np.concatenate([empty, *inside]), np.concatenate([np.empty(0), *shares]), len(masks))

    def _add(
        self,
        scores: NDArray[Any],
        mask: NDArray[np.bool_],
        inside: NDArray[Any],
        shares: NDArray[np.float64],
        n_regions: int,
    ) -> None:
        """Add the normal pixels outside a mask, and the anomalous ones with what each adds to the overlap."""
        if scores.dtype == np.float16:
            # Single precision sorts faster and compares alike.
            scores, inside = scores.astype(np.float32), inside.astype(np.float32)
        self._dtype = np.result_type(self._dtype, scores.dtype)
        self._lowest.append(scores.min())
        self._add_normal(scores, mask)
        self._total += mask.size - int(np.count_nonzero(mask))
        order = np.argsort(inside, kind="stable")
        columns = np.zeros(order.size, [("score", scores.dtype), ("share", np.float64), ("pixel", np.int32)])
        columns["score"], columns["share"], columns["pixel"] = inside[order], shares[order], order
        self._anomalous.append(_Sorted(self._store, columns))
        self._regions.append(n_regions)

    def _add_normal(self, scores: NDArray[Any], mask: NDArray[np.bool_]) -> None:
        if self._keep == "originals":
            self._normal.append(_Unsorted(scores, mask))
        elif self._keep == "sorted":
            self._normal.append(_Sorted(self._store, np.sort(scores[~mask])))
        else:
            normal = scores[~mask]
            end = self._copied + normal.size
            if end > self._copies.size or self._copies.dtype != self._dtype:
                larger = np.empty(max(end, 2 * self._copied), self._dtype)
                larger[: self._copied] = self._copies[: self._copied]
                self._copies = larger
            self._copies[self._copied : end] = normal
            self._copied = end
            if end * self._dtype.itemsize > IN_MEMORY / 4:
                self._sort_copies()

    def _sort_copies(self) -> None:
        if self._copied:
            copies = self._copies[: self._copied]
            copies.sort()
            self._normal.append(_Sorted(self._store, copies))
            self._copies, self._copied = np.empty(0, self._dtype), 0

    def merge(self, fpr_limit: float = 0.3) -> tuple[Steps, NDArray[Any]]:
        """Pool the pixels of all maps.

        Returns:
            The counts at each threshold, and the few thresholds, ascending, at which each map is counted for resamples:
            the lowest score of all, quantiles of the anomalous pixels, and as many of the normal pixels, at
            false-positive rates that fall by a constant factor: few normal pixels with high scores decide precision.
        """
        total = self._total
        # The threshold that gives most false positives below the limit lies just above the score of this rank.
        limit_rank = np.array([total - 1]) - false_positives_below(fpr_limit, total)
        ranks = _quantile_ranks(1 - np.geomspace(_LOWEST_RATE, 1.0, (THRESHOLDS - 1) // 2), total)
        lowest = np.array([min(self._lowest)], self._dtype)
        thresholds = [lowest]
        columns: list[list[NDArray[Any]]] = [[], [], [], [], []]
        n_lowest = n_below_limit = 0
        for pixels in self._ranges():
            if pixels.border == lowest[0]:
                n_lowest = pixels.n_equal
            levels, positives, overlap = pixels.levels()
            up_to, below = pixels.ranked(levels)
            for column, part in zip(columns, (levels, positives, total - up_to, total - below, overlap), strict=True):
                column.append(part)
            thresholds.append(pixels.at_ranks(ranks))
            at_limit = pixels.at_ranks(limit_rank)
            if at_limit.size:
                n_below_limit = total - int(pixels.ranked(at_limit)[0][0])
        # Free the buffer of the ranges, and each column's parts when they are joined.
        del pixels
        levels, positives, above, reached, overlap = (np.concatenate(columns.pop(0))[::-1] for _ in range(5))
        overlap /= max(1, sum(self._regions))
        steps = Steps(levels, positives, above, reached, total, overlap, n_lowest, n_below_limit)
        ranks = _quantile_ranks(np.linspace(0, 1, (THRESHOLDS - 1) // 2), steps.n_positives)
        thresholds.append(levels[::-1][np.searchsorted(np.cumsum(positives[::-1]), ranks, side="right")])
        return steps, np.unique(np.concatenate(thresholds))

    def take(self, indices: Sequence[int]) -> PooledMaps:
        """Return a pool of some of the maps, one or more, which shares their scores; only of those kept ``sorted``."""
        part = PooledMaps()
        # The temporary file is closed with its store.
        part._store, part._dtype = self._store, self._dtype
        for name in ("_normal", "_anomalous", "_regions", "_lowest"):
            setattr(part, name, [getattr(self, name)[at] for at in indices])
        part._total = sum(one.size for one in part._normal)
        return part

    def count_above(self, threshold: float) -> NDArray[np.int64]:
        """Count the pixels of each map that score more than a threshold: TP, FP and FN, ``(n, 3)``.

        Only of maps that are kept ``sorted`` and have one mask. Compared in float64, as by ``MapThreshold.above``.
        """
        rows = []
        for normal, anomalous in zip(self._normal, self._anomalous, strict=True):
            above = [
                one.size - int(np.searchsorted(one.all_scores(np.dtype(np.float64)), threshold, side="right"))
                for one in (anomalous, normal)
            ]
            rows.append([*above, anomalous.size - above[0]])
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def histograms(self, thresholds: NDArray[Any]) -> Iterator[ScoreHistogram]:
        """Count each map at the few thresholds: a pixel gets the highest one that it reaches as its score."""
        for scores, columns, n_regions in zip(self._normal, self._anomalous, self._regions, strict=True):
            from_below = np.searchsorted(scores.all_scores(thresholds.dtype), thresholds, side="left")
            normal = np.diff(from_below, append=scores.size)
            # In the order of the mask, so that sums are those of version 0.1.0 to the last digit.
            pixel, share = columns.all()["pixel"], columns.all()["share"]
            place, shares = np.empty(columns.size, np.intp), np.empty(columns.size)
            place[pixel] = np.searchsorted(thresholds, columns.all_scores(thresholds.dtype), side="right") - 1
            shares[pixel] = share
            anomalous, overlap = (np.bincount(place, weights, thresholds.size) for weights in (None, shares))
            yield ScoreHistogram.of(thresholds, normal, anomalous, overlap, n_regions)

    def _ranges(self) -> Iterator[_Range]:
        """Cut all pixels into ranges of score, lowest first; a range is valid until the next one."""
        self._sort_copies()
        total = self._total
        size = total * self._dtype.itemsize
        wanted = math.ceil(size / RANGE_BYTES)
        if any(isinstance(one, _Unsorted) for one in self._normal):
            wanted = min(math.ceil(size / PASS_BYTES), _MOST_PASSES)
        borders = np.array([min(self._lowest)], self._dtype)
        if wanted > 1:
            step = max(1, total // _SAMPLE)
            # Copies: a view would keep all scores of its map.
            sample = np.sort(np.concatenate([one.all_scores(self._dtype)[::step].copy() for one in self._normal]))
            quantiles = sample[np.linspace(0, sample.size - 1, wanted + 1).astype(int)[1:-1]]
            borders = np.unique(np.concatenate([borders, quantiles]))
        for one in (*self._normal, *self._anomalous):
            one.locate(borders)
        ranges = self._merged(len(borders), min(total, 2 * total // max(1, wanted)))
        before = 0
        for at, (border, (n_equal, normal)) in enumerate(zip(borders, ranges, strict=True)):
            anomalous = np.concatenate([one.within(at) for one in self._anomalous])
            yield _Range(border, before, n_equal, normal, anomalous)
            before += n_equal + normal.size

    def _merged(self, n_ranges: int, expected: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield how many normal scores lie at each range's border, and those above, sorted."""
        if len(self._normal) == 1 and isinstance(self._normal[0], _Sorted):
            yield from map(self._normal[0].above, range(n_ranges))
            return
        # One buffer for all ranges, which are about equally large.
        buffer = np.empty(expected, self._dtype)
        for at in range(n_ranges):
            n_equal = size = 0
            for one in self._normal:
                count, scores = one.above(at)
                if size + scores.size > buffer.size:
                    buffer = np.concatenate([buffer, np.empty_like(buffer), scores])
                buffer[size : size + scores.size] = scores
                n_equal, size = n_equal + count, size + scores.size
            buffer[:size].sort()
            yield n_equal, buffer[:size]


class _Range(NamedTuple):
    """The pixels of a range of scores."""

    border: Any
    """The lowest score."""
    before: int
    """Normal pixels with a lower score."""
    n_equal: int
    """Normal pixels with the lowest score; they may be very many."""
    normal: NDArray[Any]
    """The other normal pixels' scores, ascending."""
    anomalous: NDArray[Any]
    """The columns of the anomalous pixels."""

    def levels(self) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.float64]]:
        """Return the distinct scores of anomalous pixels, ascending, their number, and the sum of their shares."""
        order = np.argsort(self.anomalous["score"], kind="stable")
        scores = self.anomalous["score"][order]
        starts = np.flatnonzero(np.append(True, scores[1:] != scores[:-1])[: scores.size])
        # Added pairwise, so that millions of equal scores lose no digits.
        shares = np.add.reduceat(self.anomalous["share"][order], starts)
        return scores[starts], np.diff(starts, append=scores.size), shares

    def ranked(self, scores: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count the normal pixels up to each score of this range, and below it."""
        start = self.before + self.n_equal
        below = np.searchsorted(self.normal, scores, side="left")
        up_to = below.copy()
        # Only scores that normal pixels have too need the second search.
        shared = np.flatnonzero(below < self.normal.size)
        shared = shared[self.normal[below[shared]] == scores[shared]]
        up_to[shared] = np.searchsorted(self.normal, scores[shared], side="right")
        return start + up_to, np.where(scores == self.border, self.before, start + below)

    def at_ranks(self, ranks: NDArray[np.intp]) -> NDArray[Any]:
        """Return the scores at some ranks among all normal pixels; ranks outside this range are ignored."""
        inside = ranks[(ranks >= self.before) & (ranks < self.before + self.n_equal + self.normal.size)]
        places = inside - self.before - self.n_equal
        return np.array([self.border if at < 0 else self.normal[at] for at in places], self.normal.dtype)


def _quantile_ranks(shares: NDArray[np.float64], total: int) -> NDArray[np.intp]:
    """Return the ranks, from 0, of quantiles that are values of the data (the inverted distribution function)."""
    return np.ceil(total * shares - 1).clip(0, total - 1).astype(np.intp) if total else np.empty(0, np.intp)


class _Sorted:
    """Scores in ascending order, or columns ordered by their score, in the store."""

    def __init__(self, store: SpillStore, values: NDArray[Any]) -> None:
        self.size = values.size
        self._read = store.keep(values)
        self._left = self._right = np.empty(0, np.intp)

    def all(self) -> NDArray[Any]:
        return self._read(0, self.size)

    def all_scores(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        values = self.all()
        return (values["score"] if values.dtype.names else values).astype(dtype, copy=False)

    def locate(self, borders: NDArray[Any]) -> None:
        """Find the borders of the ranges."""
        scores = self.all_scores(borders.dtype)
        self._left = np.append(np.searchsorted(scores, borders, side="left"), self.size)
        self._right = np.searchsorted(scores, borders, side="right")

    def within(self, at: int) -> NDArray[Any]:
        """Return a range, its lower border included."""
        return self._read(int(self._left[at]), int(self._left[at + 1]))

    def above(self, at: int) -> tuple[int, NDArray[Any]]:
        """Return how many scores lie at the lower border of a range, and the scores above."""
        return int(self._right[at] - self._left[at]), self._read(int(self._right[at]), int(self._left[at + 1]))


class _Unsorted:
    """The normal scores of a map that the caller keeps, filtered for each range."""

    def __init__(self, values: NDArray[Any], mask: NDArray[np.bool_]) -> None:
        self._values, self._mask = values, mask
        self.size = mask.size - int(np.count_nonzero(mask))
        self._borders = np.empty(0)

    def all_scores(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        return self._values[~self._mask].astype(dtype, copy=False)

    def locate(self, borders: NDArray[Any]) -> None:
        self._borders = borders

    def above(self, at: int) -> tuple[int, NDArray[Any]]:
        """Return how many scores lie at the lower border of a range, and the scores above."""
        scores = self._values.astype(self._borders.dtype, copy=False)
        # No score lies below the first border.
        inside = (scores < self._borders[at + 1]) if at + 1 < self._borders.size else np.ones(scores.shape, np.bool_)
        if at > 0:
            inside &= scores >= self._borders[at]
        inside &= ~self._mask
        scores = scores[inside]
        higher = scores > self._borders[at]
        n_equal = scores.size - int(np.count_nonzero(higher))
        return n_equal, scores[higher] if n_equal else scores


class SpillStore:
    """Keeps arrays in memory up to a limit, beyond it in one temporary file without a name.

    Args:
        folder: where the file is made; None: the system's folder of temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def keep(self, values: NDArray[Any]) -> Callable[[int, int], NDArray[Any]]:
        """Keep an array; returns a function that reads its elements from a start to a stop."""
        self._bytes += values.nbytes
        if self._bytes <= IN_MEMORY:
            return lambda start, stop: values[start:stop]
        try:
            if self._file is None:
                self._file = TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - it lives as long as this
                weakref.finalize(self, self._file.close)
            file, dtype = self._file, values.dtype
            place = file.seek(0, 2)
            rest = memoryview(values.tobytes())
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            if self._file is not None:
                # Others on this disk may need the room to end well.
                self._file.close()
            raise RunError(
                f"The anomaly maps of a category take more than a gigabyte, and the rest cannot be written to "
                f"{self._folder or 'the folder of temporary files'}: {error.strerror}. Free some space, or have fewer "
                "images in a category."
            ) from error

        def read(start: int, stop: int) -> NDArray[Any]:
            file.seek(place + start * dtype.itemsize)
            return np.frombuffer(file.read((stop - start) * dtype.itemsize), dtype)

        return read
