"""How far a category's metrics would have been from what they are, had other images been tested."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.metrics.bootstrap import BootstrapSamples, mean_of, mean_over_drawn
from lvlm_ad.metrics.resampling import Pool, draw_weights, generator_of, pool_images, pool_pixels, resampled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.metrics.histograms import ScoreHistograms

__all__ = ["CategoryImages", "drawn_categories", "draws_of", "mean_intervals", "measured"]

_AT_ONCE = 1_000_000
"""Weights that are held at once: 8 MB, and as much again twice while they are made and multiplied."""


@dataclass(frozen=True, eq=False)
class CategoryImages:
    """A category's images, as far as its metrics need them.

    Attributes:
        labels: bool ``(n,)``, True if anomalous.
        scores: float64 ``(n,)``, image scores.
        histograms: of the pixels of each; None where not every image has ground truth.
    """

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    histograms: ScoreHistograms | None

    def pools(self) -> dict[str, Pool]:
        """Return what is resampled, "image" and "pixel"."""
        pixels = {} if self.histograms is None else {"pixel": pool_pixels(self.histograms)}
        return {"image": pool_images(self.labels, self.scores), **pixels}


def measured(tested: CategoryImages, fpr_limit: float = 0.3) -> dict[str, float | None]:
    """Return the metrics of the images themselves, ``image_auroc`` and so on; None where undefined."""
    found = _metrics(tested.pools(), np.ones((1, tested.labels.size)), fpr_limit)
    return {name: None if np.isnan(values[0]) else float(values[0]) for name, values in found.items()}


def draws_of(
    tested: CategoryImages, points: Mapping[str, Any], resamples: int, *names: Any, fpr_limit: float = 0.3
) -> dict[str, BootstrapSamples]:
    """Return the metrics of resamples.

    Args:
        tested: the images.
        points: each metric's exact value. Resampled values are moved by as much as the counts miss it, which is nothing
            unless pixels were counted on a grid.
        resamples: R, 1 or more.
        names: what the resamples are drawn by; with the same names and labels they are of the same images.
        fpr_limit: for AUPRO.

    Returns:
        For each metric whose exact value is defined R values; nothing where there is only one image of a kind, which
        would be drawn each time.
    """
    labels = tested.labels
    if 1 in (np.count_nonzero(labels), np.count_nonzero(~labels)):
        return {}
    generator = generator_of("images", *names, labels.astype(int).tolist())
    step = max(1, _AT_ONCE // max(1, labels.size))
    pools = tested.pools()
    parts = [
        _metrics(pools, draw_weights(labels, min(step, resamples - start), generator), fpr_limit)
        for start in range(0, resamples, step)
    ]
    counted = measured(tested, fpr_limit)
    found = {}
    for name, own in counted.items():
        exact = points.get(name)
        if exact is not None and own is not None:
            values = np.clip(np.concatenate([part[name] for part in parts]) + (exact - own), 0.0, 1.0)
            found[name] = BootstrapSamples(exact, values, _edge(name, tested))
    return found


def _edge(name: str, tested: CategoryImages) -> float:
    """Return half of the least that a metric can lie below 1: one normal sample stands just above one anomalous one."""
    kind, _, metric = name.partition("_")
    if kind == "pixel" and tested.histograms is not None:
        anomalous, normal = (int(tested.histograms.arrays[of].sum()) for of in ("anomalous", "normal"))
    else:
        anomalous, normal = int(tested.labels.sum()), int((~tested.labels).sum())
    parts = {"ap": anomalous * (anomalous + 1), "f1_max": 2 * anomalous + 1}.get(metric, anomalous * normal)
    return 0.5 / max(2, parts)


def mean_intervals(draws: Mapping[str, Mapping[str, BootstrapSamples]]) -> dict[str, dict[str, list[float]]]:
    """Return the intervals of the means over categories.

    Args:
        draws: category -> metric -> its draws.

    Returns:
        "interval", with the categories as they are: metric -> [low, high]; and, if there are several,
        "interval_over_categories", with categories drawn as well.
    """
    found: dict[str, dict[str, list[float]]] = {"interval": {}}
    if len(draws) > 1:
        found["interval_over_categories"] = {}
    for name in dict.fromkeys(name for one in draws.values() for name in one):
        table = [one[name] for one in draws.values() if name in one]
        means = {
            "interval": mean_of(table),
            "interval_over_categories": mean_over_drawn(table, drawn_categories(draws)),
        }
        for kind, into in found.items():
            ends = means[kind].interval()
            if ends is not None:
                into[name] = list(ends)
    return found


def drawn_categories(names: Iterable[str]) -> np.random.Generator:
    """Return what draws categories: the same ones for every metric and method."""
    return generator_of("categories", list(names))


def _metrics(
    pools: Mapping[str, Pool], weights: NDArray[np.float64], fpr_limit: float
) -> dict[str, NDArray[np.float64]]:
    return {
        f"{kind}_{name}": values
        for kind, pool in pools.items()
        for name, values in resampled(pool, weights, fpr_limit).items()
    }
