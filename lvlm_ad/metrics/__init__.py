"""The seven metrics, exact, and those of shapes.

``curves`` computes AUROC, AP, F1-max and AUPRO from the counts at each threshold. ``histograms`` makes these counts of
maps that are constant on regions, ``own_maps`` of maps pixel by pixel. ``exact`` has the functions to call.
``bootstrap`` says how sure the numbers and their differences are. ``shapes`` measures the boxes, points,
cells and masks that an answer names.
"""

from lvlm_ad.metrics.exact import (
    ImageMetrics,
    PixelMetrics,
    image_metrics,
    pixel_metrics,
    pixel_metrics_from_counts,
)
from lvlm_ad.metrics.histograms import CellCounts, count_cells
from lvlm_ad.metrics.shapes import shape_measures, shape_metrics

__all__ = [
    "CellCounts",
    "ImageMetrics",
    "PixelMetrics",
    "count_cells",
    "image_metrics",
    "pixel_metrics",
    "pixel_metrics_from_counts",
    "shape_measures",
    "shape_metrics",
]
