"""The seven metrics, exact, those of shapes, and those that single data sets are reported with.

``curves`` computes AUROC, AP, F1-max and AUPRO from the counts at each threshold. ``histograms`` makes these counts of
maps that are constant on regions, ``own_maps`` of maps pixel by pixel. ``exact`` has the functions to call.
``bootstrap`` says how sure the numbers and their differences are. ``shapes`` measures the boxes, points,
cells and masks that an answer names.

Metrics of data sets: ``spro`` has MVTec LOCO AD's saturated overlap, ``groups`` its groups of anomalies and the objects
of Real-IAD, ``binary`` SegF1 and ClassF1 of MVTec AD 2, ``pimo`` AUPIMO, ``choices`` the accuracies of MMAD, and
``grid`` F1 at fixed thresholds. ``dataset_estimates`` has their intervals.
"""

from lvlm_ad.metrics.binary import BinaryMetrics, NormalScores, binary_metrics, count_binary
from lvlm_ad.metrics.choices import Choice, choice_accuracy, count_choices
from lvlm_ad.metrics.exact import (
    ImageMetrics,
    PixelMetrics,
    image_metrics,
    pixel_metrics,
    pixel_metrics_from_counts,
)
from lvlm_ad.metrics.grid import f1_grid
from lvlm_ad.metrics.groups import image_auroc_by_group, object_metrics
from lvlm_ad.metrics.histograms import CellCounts, count_cells
from lvlm_ad.metrics.named import NamedMetrics
from lvlm_ad.metrics.pimo import Aupimo, aupimo
from lvlm_ad.metrics.shapes import shape_measures, shape_metrics
from lvlm_ad.metrics.spro import Channels, au_spro

__all__ = [
    "Aupimo",
    "BinaryMetrics",
    "CellCounts",
    "Channels",
    "Choice",
    "ImageMetrics",
    "NamedMetrics",
    "NormalScores",
    "PixelMetrics",
    "au_spro",
    "aupimo",
    "binary_metrics",
    "choice_accuracy",
    "count_binary",
    "count_cells",
    "count_choices",
    "f1_grid",
    "image_auroc_by_group",
    "image_metrics",
    "object_metrics",
    "pixel_metrics",
    "pixel_metrics_from_counts",
    "shape_measures",
    "shape_metrics",
]
