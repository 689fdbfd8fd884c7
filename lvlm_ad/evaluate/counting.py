"""Counts the ground truth of one image in the cells of an answer's map, and measures the answer's shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.measure_shapes import metrics_of_places
from lvlm_ad.evaluate.painting import shapes_of
from lvlm_ad.metrics import count_cells, shape_measures
from lvlm_ad.metrics.histograms import histogram_of_cells
from lvlm_ad.regions.shapes import Point

if TYPE_CHECKING:
    from lvlm_ad.datasets import Sample
    from lvlm_ad.methods.contract import Places
    from lvlm_ad.metrics.histograms import ScoreHistogram
    from lvlm_ad.runs import PredictionRecord
    from lvlm_ad.text2seg import ScoreMap

__all__ = ["count_answer"]


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
