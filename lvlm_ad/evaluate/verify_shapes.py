"""``leaderboard --verify``: the shapes of a run, measured again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvlm_ad.evaluate.counting import count_answer
from lvlm_ad.evaluate.measure_shapes import metrics_of_places
from lvlm_ad.evaluate.painting import paint_places, shapes_of
from lvlm_ad.evaluate.verify_metrics import EXACT, close

if TYPE_CHECKING:
    from lvlm_ad.evaluate.sources import Sources
    from lvlm_ad.metrics.histograms import ScoreHistogram
    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["count_again", "divides_itself", "measures_problem", "scores_of"]


def scores_of(record: PredictionRecord) -> list[float]:
    """Return the scores that an image's map can have, besides 0."""
    scores = (one.get("score") for one in record.shapes)
    return [*record.regions.values(), *(float(one) for one in scores if isinstance(one, int | float))]


def measures_problem(run: Run, record: PredictionRecord, histogram: ScoreHistogram | None) -> str:
    """Say whether the measures of an image's shapes fit its pixels by score; "" if they do.

    The IoU with bounding boxes does not follow from them, nor do the measures of points.
    """
    if histogram is None:
        return ""
    problem = "predictions.jsonl: the measures of shapes do not fit the pixel counts"
    places, measures = run.manifest.method.places, record.measures
    if not metrics_of_places(places) or (record.label and not histogram.n_regions):
        return problem if measures else ""
    named = histogram.scores > 0
    if not record.label:
        return "" if measures == {"false_alarm": float(named.any())} else problem
    anomalous, normal = histogram.anomalous, histogram.normal
    iou = int(anomalous[named].sum()) / int(anomalous.sum() + normal[named].sum())
    points = {"n_places", "n_components", "found"} if places == "points" else set()
    fits = measures.keys() - {"point_hit"} == {"iou_box", "iou_mask"} | points
    return "" if fits and close(iou, measures["iou_mask"], EXACT) else problem


def divides_itself(run: Run, record: PredictionRecord) -> bool:
    """Whether the cells of an image's map belong to its answer, not to the image's division."""
    return bool(record.shapes) or run.manifest.method.places != "regions"


def count_again(run: Run, record: PredictionRecord, sources: Sources) -> tuple[ScoreHistogram | None, dict[str, float]]:
    """Paint an image's shapes again, and count and measure them as ``count_answer`` does.

    Raises:
        ValueError: the record has what is no shape.
    """
    sample = sources.samples[record.id]
    regions = None if sources.divisions is None else sources.divisions.regions(sample)
    binary = bool(run.manifest.protocol.get("binary"))
    painted = paint_places(shapes_of(record), regions, sources.side, binary=binary)
    return count_answer(sample, record, painted, run.manifest.method.places)
