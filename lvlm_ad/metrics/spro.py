"""Saturated per-region overlap (sPRO): defects with a mask each, that count as found before all of it is covered.

Bergmann et al., IJCV 130:947-969 (2022), for MVTec LOCO AD. A channel is one mask file of an image; channels may
overlap. A missing part may have its place anywhere in a large area, so it is enough to find S pixels of its channel,
the saturation area. At threshold t, sPRO of a channel is min(pixels of it that score t or more, S) / S. AU-sPRO is the
area under the curve of the mean sPRO over all channels of all images against the false-positive rate, which is taken
over the pixels outside all channels. The area is divided by the limit of the false-positive rate.

Only the S highest scores of a channel count, 1 / S each. So AU-sPRO is computed as AUPRO is, from one histogram of each
map, whose "overlap" is saturated. With S equal to the area of the channel, sPRO is PRO.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics.checks import check_scores
from lvlm_ad.metrics.groups import group_members
from lvlm_ad.metrics.histograms import CellCounts, ScoreHistogram, ScoreHistograms
from lvlm_ad.metrics.named import NamedMetrics, at_limit, mean_metric, overlap_at_limits
from lvlm_ad.metrics.own_maps import PooledMaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.curves import Steps

__all__ = [
    "Channels",
    "au_spro",
    "au_spro_from_histograms",
    "count_channels",
    "spro_at",
    "spro_histogram",
]

_UNPAIRED = "Each map needs the channels of its image, and each image needs a group where groups are given."


@dataclass(frozen=True, eq=False)
class Channels:
    """The defects of one image, each with a mask of its own.

    Attributes:
        masks: bool ``(K, H, W)``, at the size of the original picture; K is 0 for a good image.
        saturations: int64 ``(K,)``, the saturation areas, 1..area.

    Example:
        >>> Channels.of(np.array([[[0, 7, 7]]]), [1]).masks.tolist()
        [[[False, True, True]]]
    """

    masks: NDArray[np.bool_]
    saturations: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        masks: Sequence[NDArray[Any]] | NDArray[Any],
        saturations: Sequence[int],
        size: tuple[int, int] | None = None,
    ) -> Channels:
        """Make one channel of each mask.

        Args:
            masks: K arrays ``(H, W)``, anomalous where not 0.
            saturations: ``(K,)``, the saturation areas; ``lvlm_ad.datasets.channels`` takes them from
                defects_config.json.
            size: ``(H, W)`` of the image; needed only for a good image, which has no mask.

        Raises:
            MetricError: sizes differ, a mask is empty, or a saturation area is not in 1..area.
        """
        shapes = {np.shape(one) for one in masks} | ({size} if size else set())
        if len(shapes) != 1 or len(masks) != len(saturations):
            found = f"{len(masks)} masks of sizes {sorted(shapes)} and {len(saturations)} saturation areas"
            raise MetricError(f"An image has {found}; each mask needs one, and the size of the image.")
        stacked = np.array([np.asarray(one) != 0 for one in masks], dtype=np.bool_).reshape(-1, *shapes.pop())
        for at, (mask, enough) in enumerate(zip(stacked, saturations, strict=True)):
            area = int(np.count_nonzero(mask))
            if not 1 <= enough <= area:
                raise MetricError(f"Mask {at} of an image has {area} pixels; its saturation area cannot be {enough}.")
        return cls(stacked, np.array(saturations, dtype=np.int64))


def spro_at(scores: NDArray[Any], channels: Channels, threshold: float) -> NDArray[np.float64]:
    """Return the sPRO of each channel of an image at one threshold, float64 ``(K,)``.

    Args:
        scores: ``(H, W)``.
        channels: of the same size.
        threshold: pixels with this score or a higher one are found.

    Example:
        >>> channels = Channels.of(np.array([[[0, 1, 1]], [[1, 1, 1]]]), [1, 3])
        >>> spro_at(np.array([[0.1, 0.5, 0.9]]), channels, 0.9).round(3).tolist()
        [1.0, 0.333]
    """
    found = np.count_nonzero(channels.masks & (scores >= threshold), axis=(1, 2))
    return np.asarray(np.minimum(found / channels.saturations, 1.0))


def count_channels(cells: NDArray[Any], masks: NDArray[np.bool_], n_cells: int) -> CellCounts:
    """Count the pixels of an image's channels in its cells.

    In the result ``component`` is the number of the channel; a pixel in two channels counts in both.

    Args:
        cells: integers ``(H, W)``, the cell of each pixel, 0..C-1, at the size of the masks.
        masks: bool ``(K, H, W)``.
        n_cells: C.

    Raises:
        MetricError: the sizes differ, or a cell is out of range.

    Example:
        >>> counts = count_channels(np.array([[0, 0, 1]]), np.array([[[0, 1, 1]], [[0, 1, 0]]], bool), 2)
        >>> counts.normal.tolist(), counts.cell.tolist(), counts.component.tolist(), counts.pixels.tolist()
        ([1, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1])
    """
    if cells.shape != masks.shape[1:] or cells.min() < 0 or cells.max() >= n_cells:
        found = f"Cells {int(cells.min())}..{int(cells.max())} of shape {cells.shape}, masks of shape {masks.shape[1:]}"
        raise MetricError(f"{found}: both must have one shape, and cells lie in 0..{n_cells - 1}.")
    table = np.array([np.bincount(cells[mask], minlength=n_cells) for mask in masks]).reshape(-1, n_cells)
    channel, cell = np.nonzero(table)
    return CellCounts(
        normal=np.bincount(cells[~masks.any(axis=0)], minlength=n_cells),
        cell=cell.astype(np.int32),
        component=channel.astype(np.int32),
        pixels=table[channel, cell].astype(np.int64),
        n_components=len(masks),
    )


def spro_histogram(counts: CellCounts, saturations: NDArray[np.int64], scores: NDArray[Any]) -> ScoreHistogram:
    """Count a map that is constant on cells, with saturated overlap.

    Args:
        counts: of the channels, see ``count_channels``.
        saturations: int64 ``(K,)``, see ``Channels``.
        scores: ``(C,)``, the score of each cell, finite.

    Returns:
        A histogram whose ``overlap`` is what each score adds to the sPRO of the channels, summed over them;
        ``anomalous`` counts a pixel in two channels twice. It can be stored, joined and resampled like the histogram of
        a map. Its AUPRO is AU-sPRO; its other metrics have no meaning.

    Raises:
        MetricError: the number of scores or saturation areas does not fit.
    """
    if scores.shape != counts.normal.shape or saturations.shape != (counts.n_components,):
        raise MetricError(
            f"{counts.normal.size} cells and {counts.n_components} channels have scores of shape {scores.shape} and "
            f"saturation areas of shape {saturations.shape}."
        )
    check_scores(scores, "the scores of cells")
    levels, place = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True)
    inside = np.zeros((counts.n_components, levels.size), dtype=np.int64)
    np.add.at(inside, (counts.component, place[counts.cell]), counts.pixels)
    normal = np.zeros(levels.size, dtype=np.int64)
    np.add.at(normal, place, counts.normal)
    # From the highest score down, until the saturation area is full.
    reached = np.minimum(inside[:, ::-1].cumsum(axis=1), saturations[:, None])
    added = np.diff(reached, axis=1, prepend=0)[:, ::-1]
    overlap = (added / saturations[:, None]).sum(axis=0)
    return ScoreHistogram.of(levels, normal, inside.sum(axis=0), overlap, counts.n_components)


def au_spro(
    maps: Iterable[NDArray[Any]] | NDArray[Any],
    channels: Iterable[Channels],
    limits: Sequence[float] = (0.05,),
    groups: Sequence[str | None] | None = None,
    names: Sequence[str] = (),
) -> NamedMetrics:
    """Compute AU-sPRO of anomaly maps, exactly, from every distinct score.

    Args:
        maps: n arrays ``(H, W)``, finite real numbers at the size of the original pictures; read once.
        channels: n, the defects of each image.
        limits: false-positive rates up to which the area is taken, in (0, 1]; 0.05 is the published one.
        groups: the group of each anomalous image, None for good ones, see ``group_members``; None: all images together.
        names: see ``group_members``.

    Returns:
        For each limit such as 0.05 "au_spro@0.05"; with groups also "au_spro_NAME@0.05" for each group, whose mean
        "au_spro@0.05" then is. None where there is no channel, or no pixel outside all of them.

    Raises:
        MetricError: numbers or sizes differ, a score is not a finite number, or a limit is out of range.

    Example:
        >>> truth = Channels.of(np.array([[[0, 1, 1, 1]]]), [1])
        >>> au_spro([np.array([[0.1, 0.2, 0.9, 0.2]])], [truth], [0.05, 0.3]).values
        {'au_spro@0.05': 1.0, 'au_spro@0.3': 1.0}
    """
    chosen = {"": None} if groups is None else dict.fromkeys(group_members(groups, names))
    pools = {name: PooledMaps(keep="copies") for name in chosen}
    members, n_maps = list(groups or ()), 0
    for index, (one, truth) in enumerate(zip_longest(maps, channels)):
        if one is None or truth is None or (groups is not None and index >= len(members)):
            raise MetricError(_UNPAIRED)
        scores = np.asarray(one)
        if scores.shape != truth.masks.shape[1:]:
            raise MetricError(f"Image {index}: map of shape {scores.shape}, masks of shape {truth.masks.shape[1:]}.")
        check_scores(scores, f"the scores of image {index}")
        for name, pool in pools.items():
            if groups is None or members[index] is None or members[index] == name:
                pool.add_channels(scores, truth.masks, truth.saturations)
        n_maps = index + 1
    if n_maps < len(members):
        raise MetricError(_UNPAIRED)
    return _of_groups({name: pool.merge()[0] if len(pool) else None for name, pool in pools.items()}, limits)


def au_spro_from_histograms(
    histograms: ScoreHistograms | Sequence[ScoreHistogram],
    limits: Sequence[float] = (0.05,),
    groups: Sequence[str | None] | None = None,
    names: Sequence[str] = (),
    *,
    metric: str = "au_spro",
) -> NamedMetrics:
    """Compute what ``au_spro`` gives for the maps that the histograms were counted from.

    Args:
        histograms: n, see ``spro_histogram``.
        limits: see ``au_spro``.
        groups: see ``au_spro``.
        names: see ``au_spro``.
        metric: the metric's name in the result. Where the saturation areas are not known and the areas of the channels
            stand in for them, the value is not AU-sPRO and needs another name, such as "pro_by_file".

    Example:
        >>> counts = count_channels(np.array([[0, 0, 1]]), np.array([[[0, 1, 1]]], bool), 2)
        >>> au_spro_from_histograms([spro_histogram(counts, np.array([1]), np.array([0.2, 0.7]))]).values
        {'au_spro@0.05': 1.0}
    """
    joined = ScoreHistograms.of(histograms)
    if groups is None:
        return _of_groups({"": joined.steps()}, limits, metric)
    members = group_members(groups, names)
    return _of_groups(
        {name: joined.take(at).steps() if at.size else None for name, at in members.items()}, limits, metric
    )


def _of_groups(steps: dict[str, Steps | None], limits: Sequence[float], metric: str = "au_spro") -> NamedMetrics:
    """Compute the metric of each group, and the groups' mean; the group "" is that of all images."""
    found = NamedMetrics({})
    for name, one in steps.items():
        called = f"{metric}_{name}" if name else metric
        if one is None:
            found |= NamedMetrics.without([at_limit(called, limit) for limit in limits], "no image")
        else:
            found |= overlap_at_limits(called, one, limits)
    if "" in steps:
        return found
    means = NamedMetrics({})
    for limit in limits:
        groups = found.only([at_limit(f"{metric}_{name}", limit) for name in steps])
        means |= mean_metric(at_limit(metric, limit), groups)
    return means | found
