"""The seven metrics, exact.

``curves`` computes AUROC, AP, F1-max and AUPRO from the counts at each threshold. The other modules make these counts:
``image`` from image scores, ``histograms`` from maps that are constant on regions, ``own_maps`` from maps pixel by
pixel, ``resampling`` from bootstrap resamples. ``intervals`` says how sure the numbers and their differences are.
"""

from lvlm_ad.metrics.histograms import CellCounts, count_cells
from lvlm_ad.metrics.image import ImageMetrics, image_metrics
from lvlm_ad.metrics.pixel import PixelMetrics, pixel_metrics, pixel_metrics_from_counts

__all__ = [
    "CellCounts",
    "ImageMetrics",
    "PixelMetrics",
    "count_cells",
    "image_metrics",
    "pixel_metrics",
    "pixel_metrics_from_counts",
]
