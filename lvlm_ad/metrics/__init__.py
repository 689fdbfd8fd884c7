"""The seven metrics, exact, from pixel arrays or from counts; pure functions."""

from lvlm_ad.metrics.counts import CellCounts, count_cells, pixel_metrics_from_counts
from lvlm_ad.metrics.image import ImageMetrics, image_metrics
from lvlm_ad.metrics.pixel import PixelMetrics, pixel_metrics

__all__ = [
    "CellCounts",
    "ImageMetrics",
    "PixelMetrics",
    "count_cells",
    "image_metrics",
    "pixel_metrics",
    "pixel_metrics_from_counts",
]
