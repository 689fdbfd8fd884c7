"""The 95 % intervals of every metric, of its mean over categories, and of differences."""

from lvlm_ad.metrics.auroc_intervals import (
    AurocInterval,
    Interval,
    auroc_interval,
    mean_auroc_interval,
    over_categories,
)
from lvlm_ad.metrics.differences import difference_interval
from lvlm_ad.metrics.resampled_intervals import mover_mean, pixel_interval, pixel_mean, smoothed_interval

__all__ = [
    "AurocInterval",
    "Interval",
    "auroc_interval",
    "difference_interval",
    "mean_auroc_interval",
    "mover_mean",
    "over_categories",
    "pixel_interval",
    "pixel_mean",
    "smoothed_interval",
]
