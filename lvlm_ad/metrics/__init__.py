"""The seven metrics, exact.

``curves`` computes AUROC, AP, F1-max and AUPRO from the counts at each threshold. ``histograms`` makes these counts of
maps that are constant on regions, ``own_maps`` of maps pixel by pixel. ``exact`` has the functions to call.
``bootstrap`` says how sure the numbers and their differences are.
"""

from lvlm_ad.metrics.exact import (
    ImageMetrics,
    PixelMetrics,
    image_metrics,
    pixel_metrics,
    pixel_metrics_from_counts,
)
from lvlm_ad.metrics.histograms import CellCounts, count_cells

__all__ = [
    "CellCounts",
    "ImageMetrics",
    "PixelMetrics",
    "count_cells",
    "image_metrics",
    "pixel_metrics",
    "pixel_metrics_from_counts",
]
