"""What the metrics would have been with other test images: the bootstrap over images, from counts.

An image that is drawn twice counts twice. So every metric of a resample follows from weighted sums of each image's
counts at the distinct scores of positives, and the sums of many resamples are one matrix product.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from lvlm_ad.metrics.curves import overlap_run
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Pool",
    "draw_weights",
    "generator_of",
    "pool_images",
    "pool_pixels",
    "resampled",
]

_AT_ONCE = 500_000
"""Numbers in one table of resamples by scores, of which a dozen are held: 4 MB."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Each image's counts at the S distinct scores of the category's positives, highest score first.

    Between two of these only negatives lie, and there no metric has a corner; how many they are is enough.

    Attributes:
        positives: sparse ``(n, S)``, positives of image i with exactly score s.
        equal: sparse ``(n, S)``, negatives with exactly score s.
        between: sparse ``(n, S + 1)``, negatives above score s and below the one before; the last column: below all.
        overlap: sparse ``(n, S)``, for each ground-truth region of image i the fraction of it with exactly score s,
            added up over its regions; None where there are no regions.
        n_regions: float64 ``(n,)``, ground-truth regions of image i.
    """

    positives: sparse.csr_array
    equal: sparse.csr_array
    between: sparse.csr_array
    overlap: sparse.csr_array | None = None
    n_regions: NDArray[np.float64] | None = None


def generator_of(*names: Any) -> np.random.Generator:
    """Return a source of randomness that is the same wherever the names are: resamples of two runs are then paired."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def draw_weights(labels: NDArray[np.bool_], resamples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw resamples of the images, as many good and as many defective ones as there are.

    Args:
        labels: bool ``(n,)``, True if anomalous.
        resamples: R.
        generator: the source of randomness.

    Returns:
        float64 ``(R, n)``: how often each image is drawn.
    """
    weights = np.zeros((resamples, labels.size))
    for stratum in (np.flatnonzero(labels), np.flatnonzero(~labels)):
        if stratum.size:
            equal = np.full(stratum.size, 1 / stratum.size)
            weights[:, stratum] = generator.multinomial(stratum.size, equal, size=resamples)
    return weights


def pool_images(labels: NDArray[np.bool_], scores: NDArray[np.floating[Any]]) -> Pool:
    """Pool image scores: each image is one positive or one negative.

    Args:
        labels: bool ``(n,)``, True if anomalous.
        scores: ``(n,)``, finite.
    """
    image = np.arange(labels.size)
    ones = np.ones(labels.size)
    return _pool(image, np.asarray(scores), ones * ~labels, ones * labels, None, None, labels.size)


def pool_pixels(histograms: ScoreHistograms | Sequence[ScoreHistogram]) -> Pool:
    """Pool the pixels of a category's images, all of which have ground truth."""
    arrays = ScoreHistograms.of(histograms).arrays
    image = np.repeat(np.arange(len(histograms)), arrays["lengths"])
    scores, normal, anomalous, overlap, regions = (
        arrays[name].astype(np.float64) for name in ("scores", "normal", "anomalous", "overlap", "n_regions")
    )
    return _pool(image, scores, normal, anomalous, overlap, regions, len(histograms))


def _pool(
    image: NDArray[np.intp],
    scores: NDArray[Any],
    normal: NDArray[np.float64],
    anomalous: NDArray[np.float64],
    overlap: NDArray[np.float64] | None,
    regions: NDArray[np.float64] | None,
    n: int,
) -> Pool:
    """Sort entries (image, score, counts) into the columns of the positives' scores."""
    levels = np.unique(scores[anomalous > 0])
    size = levels.size
    # How many levels are at or below a score, and how many below it: where they differ, it is one of them.
    reached, below = (np.searchsorted(levels, scores, side=side) for side in ("right", "left"))
    on = reached > below
    column = size - reached

    def table(values: NDArray[np.float64], chosen: NDArray[np.bool_], columns: int) -> sparse.csr_array:
        kept = chosen & (values > 0)
        return sparse.csr_array((values[kept], (image[kept], column[kept])), shape=(n, columns))

    shares = None if overlap is None else table(overlap, on, size)
    return Pool(table(anomalous, on, size), table(normal, on, size), table(normal, ~on, size + 1), shares, regions)


def resampled(pool: Pool, weights: NDArray[np.float64], fpr_limit: float = 0.3) -> dict[str, NDArray[np.float64]]:
    """Compute every metric of every resample, as exactly as of the images themselves.

    Args:
        pool: the counts.
        weights: float64 ``(R, n)``, how often each image counts.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

    Returns:
        "auroc", "ap", "f1_max" and, where there are regions, "aupro": float64 ``(R,)``, NaN where a resample has no
        positives, or no negatives where they are needed.
    """
    step = max(1, _AT_ONCE // max(1, pool.positives.shape[1]))
    parts = [_metrics(pool, weights[start : start + step], fpr_limit) for start in range(0, len(weights), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _metrics(pool: Pool, weights: NDArray[np.float64], fpr_limit: float) -> dict[str, NDArray[np.float64]]:
    positives, equal, between = (weights @ table for table in (pool.positives, pool.equal, pool.between))
    found = positives.cumsum(axis=1)
    # Negatives that score higher than each level, and that or higher.
    above = between[:, :-1].cumsum(axis=1)
    above[:, 1:] += equal[:, :-1].cumsum(axis=1)
    reached = above + equal
    total = positives.sum(axis=1)
    normal = between.sum(axis=1) + equal.sum(axis=1)
    nothing = np.full(len(weights), np.nan)
    if not positives.shape[1]:
        return dict.fromkeys(("auroc", "ap", "f1_max", *(["aupro"] if pool.overlap is not None else [])), nothing)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Within one score, half of the pairs count.
        auroc = (positives * (normal[:, None] - (above + reached) / 2)).sum(axis=1) / (total * normal)
        predicted = found + reached
        precision = np.divide(found, predicted, out=np.zeros_like(found), where=predicted > 0)
        ap = (positives * precision).sum(axis=1) / total
        f1 = (2 * found / (total[:, None] + predicted)).max(axis=1)
        none = total == 0
        metrics = {"auroc": auroc, "ap": np.where(none, np.nan, ap), "f1_max": np.where(none, np.nan, f1)}
        if pool.overlap is not None and pool.n_regions is not None:
            gained = (weights @ pool.overlap) / (weights @ pool.n_regions)[:, None]
            metrics["aupro"] = _aupro(gained, above, reached, fpr_limit * normal)
    return metrics


def _aupro(
    gained: NDArray[np.float64], above: NDArray[np.float64], reached: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integrate the overlap over the false positives up to a number of them, divided by it."""
    area: NDArray[np.float64] = (gained * overlap_run(above, reached, end[:, None])).sum(axis=1)
    return area / end
