"""Bootstrap resamples of a test set: every metric of every resample, from counts.

An image that a resample draws twice counts twice. So the metrics of a resample follow from weighted sums of the images'
counts, and the sums of many resamples are one matrix product.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from lvlm_ad.metrics.curves import Steps, ap, aupro, auroc, f1_max

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistograms

__all__ = ["Pool", "draw_weights", "pool_images", "pool_pixels", "resampled", "seeded_generator"]

_AT_ONCE = 500_000
"""Numbers in one table of resamples by scores (4 MB); about a dozen tables exist at once."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Each image's counts at the S distinct scores of the category's positives, highest score first.

    Attributes:
        scores: ``(S,)``, the scores.
        positives: sparse ``(n, S)``, positives of image i with exactly score s.
        equal: sparse ``(n, S)``, negatives with exactly score s.
        between: sparse ``(n, S + 1)``, negatives above score s and below the one before; the last column: below all.
        overlap: sparse ``(n, S)``, for each ground-truth region of image i the fraction of it with exactly score s,
            summed over its regions; None where there are no regions.
        n_regions: float64 ``(n,)``, ground-truth regions of image i.
    """

    scores: NDArray[Any]
    positives: sparse.csr_array
    equal: sparse.csr_array
    between: sparse.csr_array
    overlap: sparse.csr_array | None = None
    n_regions: NDArray[np.float64] | None = None


def seeded_generator(*names: Any) -> np.random.Generator:
    """Return a random generator that depends on names alone: two runs then draw the same resamples."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def draw_weights(labels: NDArray[np.bool_], resamples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw resamples with replacement, each with as many good and as many defective images as the test set.

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


def pool_images(labels: NDArray[np.bool_], scores: NDArray[Any]) -> Pool:
    """Pool image scores: each image is one positive or one negative.

    Args:
        labels: bool ``(n,)``, True if anomalous.
        scores: ``(n,)``, finite.
    """
    return _pool(np.arange(labels.size), labels.size, scores, (~labels).astype(float), labels.astype(float))


def pool_pixels(histograms: ScoreHistograms) -> Pool:
    """Pool the pixels of a category's images, all of which have ground truth."""
    arrays = histograms.arrays
    image = np.repeat(np.arange(len(histograms)), arrays["lengths"])
    columns = (arrays[name].astype(np.float64) for name in ("scores", "normal", "anomalous", "overlap", "n_regions"))
    return _pool(image, len(histograms), *columns)


def _pool(
    image: NDArray[np.intp],
    n_images: int,
    scores: NDArray[Any],
    normal: NDArray[np.float64],
    anomalous: NDArray[np.float64],
    overlap: NDArray[np.float64] | None = None,
    n_regions: NDArray[np.float64] | None = None,
) -> Pool:
    """Sort entries (image, score, counts) into the columns of the positives' scores."""
    levels = np.unique(scores[anomalous > 0])
    # How many levels are not above a score, and how many are below it: where they differ, the score is a level.
    reached, below = (np.searchsorted(levels, scores, side=side) for side in ("right", "left"))
    on_level = reached > below
    column = levels.size - reached

    def table(values: NDArray[np.float64], chosen: NDArray[np.bool_], n_columns: int) -> sparse.csr_array:
        kept = chosen & (values > 0)
        return sparse.csr_array((values[kept], (image[kept], column[kept])), shape=(n_images, n_columns))

    return Pool(
        scores=levels[::-1],
        positives=table(anomalous, on_level, levels.size),
        equal=table(normal, on_level, levels.size),
        between=table(normal, ~on_level, levels.size + 1),
        overlap=None if overlap is None else table(overlap, on_level, levels.size),
        n_regions=n_regions,
    )


def resampled(pool: Pool, weights: NDArray[np.float64], fpr_limit: float = 0.3) -> dict[str, NDArray[np.float64]]:
    """Compute every metric of every resample.

    Args:
        pool: the counts.
        weights: float64 ``(R, n)``, how often each image counts.
        fpr_limit: the false-positive rate up to which AUPRO is taken, in (0, 1].

    Returns:
        "auroc", "ap", "f1_max" and, where there are regions, "aupro": float64 ``(R,)``, NaN where a resample has no
        positives, or no negatives where they are needed.
    """
    n_levels = pool.scores.size
    if not n_levels:
        names = ("auroc", "ap", "f1_max", *(() if pool.overlap is None else ("aupro",)))
        return {name: np.full(len(weights), np.nan) for name in names}
    step = max(1, _AT_ONCE // n_levels)
    parts = [_metrics(_steps(pool, weights[at : at + step]), fpr_limit) for at in range(0, len(weights), step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _steps(pool: Pool, weights: NDArray[np.float64]) -> Steps:
    """Add up the counts of each resample's images."""
    positives, equal, between = (weights @ table for table in (pool.positives, pool.equal, pool.between))
    above = between[:, :-1].cumsum(axis=1)
    above[:, 1:] += equal[:, :-1].cumsum(axis=1)
    overlap = None
    if pool.overlap is not None and pool.n_regions is not None:
        with np.errstate(invalid="ignore"):
            overlap = (weights @ pool.overlap) / (weights @ pool.n_regions)[:, None]
    return Steps(pool.scores, positives, above, above + equal, between.sum(axis=1) + equal.sum(axis=1), overlap)


def _metrics(steps: Steps, fpr_limit: float) -> dict[str, NDArray[np.float64]]:
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = np.where(steps.n_positives == 0, np.nan, f1_max(steps)[0])
        metrics = {"auroc": auroc(steps), "ap": ap(steps), "f1_max": f1}
        return metrics if steps.overlap is None else {**metrics, "aupro": aupro(steps, fpr_limit)}
