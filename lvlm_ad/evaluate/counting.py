"""Counts the ground truth of one image in the cells of a map, and measures the shapes of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import image_size, resize_mask
from lvlm_ad.evaluate.measure_shapes import metrics_of_places
from lvlm_ad.evaluate.painting import shapes_of
from lvlm_ad.metrics import count_cells, shape_measures
from lvlm_ad.metrics.histograms import histogram_of_cells
from lvlm_ad.metrics.spro import Channels, count_channels, spro_histogram
from lvlm_ad.regions.shapes import Point

if TYPE_CHECKING:
    from lvlm_ad.datasets import Sample
    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics.histograms import ScoreHistogram
    from lvlm_ad.runs import PredictionRecord
    from lvlm_ad.text2seg import ScoreMap

__all__ = ["channel_histogram", "channels_of", "count_answer"]


def count_answer(
    sample: Sample, record: PredictionRecord, score_map: ScoreMap, places: Places
) -> tuple[ScoreHistogram | None, dict[str, float]]:
    """Measure one image whose cells belong to one answer, so that no count can be stored with a division.

    Args:
        sample: the image.
        record: its prediction.
        score_map: its map.
        places: the kind of place that the method answers with.

    Returns:
        Its pixels by score; None without ground truth. And what ``shape_measures`` returns; empty if the method names
        no shapes, or if no ground truth shows the defect: it may be lost at the map's size.
    """
    mask = sample.mask
    if mask is None:
        return None, {}
    regions = score_map.regions
    truth = resize_mask(mask, regions.shape)
    histogram = histogram_of_cells(count_cells(regions.cells, truth, regions.n_cells), score_map.values)
    if not metrics_of_places(places) or (sample.label and not truth.any()):
        return histogram, {}
    named = [one for one in shapes_of(record) if isinstance(one, Point) and one.score > 0]
    return histogram, shape_measures(score_map.dense() > 0, truth, named if places == "points" else None)


def channels_of(sample: Sample) -> Channels | None:
    """Return the defects of an image, each with its saturation area; None where ``defects_config.json`` is missing.

    Raises:
        ImageError: a mask cannot be read.
    """
    if not sample.label:
        return Channels.of([], [], image_size(sample.image_path))
    if sample.types is None or not sample.types.thresholds:
        return None
    found = sample.channels
    return Channels.of([one.mask for one in found], [one.saturation or 0 for one in found])


def channel_histogram(sample: Sample, score_map: ScoreMap) -> ScoreHistogram | None:
    """Count the channels of an image by the scores of a map; None where saturation areas are unknown.

    Saturation areas are pixels of the original picture. So the map is brought to that size, each pixel with the score
    of the one that ``resize_mask`` would take.
    """
    channels = channels_of(sample)
    if channels is None:
        return None
    cells = resize_mask(score_map.regions.cells, channels.masks.shape[1:])
    counts = count_channels(cells, channels.masks, score_map.values.size)
    return spro_histogram(counts, channels.saturations, score_map.values)
