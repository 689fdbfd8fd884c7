"""``leaderboard --verify``: what the metrics of data sets are computed from, besides the pixels by score."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.evaluate.counting import channel_histogram, channels_of
from lvlm_ad.evaluate.painting import paint_places, shapes_of
from lvlm_ad.evaluate.verify_shapes import divides_itself
from lvlm_ad.metrics.binary import MapThreshold, count_binary_histogram
from lvlm_ad.text2seg import paint

if TYPE_CHECKING:
    from lvlm_ad.evaluate.sources import Sources
    from lvlm_ad.metrics.histograms import ScoreHistogram
    from lvlm_ad.metrics.spro import Channels
    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["channels_problem", "cut_problem", "same_histograms"]


def cut_problem(run: Run, record: PredictionRecord, histogram: ScoreHistogram | None) -> str:
    """Say whether TP, FP and FN of an image's map fit its pixels by score; "" if they do.

    The pixels of own maps are counted at few thresholds, so of these only the defective ones are compared.
    """
    cut = run.metrics.get("map_thresholds", {}).get(record.category)
    if histogram is None or (cut is None and record.cut is None):
        return ""
    problem = "predictions.jsonl: TP, FP and FN do not fit the pixel counts"
    if cut is None or record.cut is None:
        return problem
    if run.manifest.model.row == "dense":
        return "" if record.cut[0] + record.cut[2] == int(histogram.anomalous.sum()) else problem
    counted = count_binary_histogram(histogram, MapThreshold(cut["value"], "", ""))
    return "" if counted.tolist() == list(record.cut) else problem


def channels_problem(run: Run, record: PredictionRecord, histogram: ScoreHistogram | None, sources: Sources) -> str:
    """Count the defects of an image one by one again, and say whether the counts are others; "" if not.

    Of own maps only the totals are compared.
    """
    if record.is_left_out(run.manifest.on_failure):
        return ""
    problem = "channels.npz: the counts are not those of the data set's masks"
    sample = sources.samples[record.id]
    if run.manifest.model.row == "dense":
        return "" if _same_totals(histogram, channels_of(sample)) else problem
    if not run.manifest.method.places:
        return "" if histogram is None else problem
    regions = None if sources.divisions is None else sources.divisions.regions(sample)
    # Where images cannot be divided again, nobody knows the map.
    if regions is None and (run.manifest.division.hash or not divides_itself(run, record)):
        return ""
    binary = bool(run.manifest.protocol.get("binary"))
    if regions is None or divides_itself(run, record):
        painted = paint_places(shapes_of(record), regions, sources.side, binary=binary)
    else:
        painted = paint(record.regions, regions, binary=binary)
    return "" if same_histograms(histogram, channel_histogram(sample, painted)) else problem


def _same_totals(histogram: ScoreHistogram | None, truth: Channels | None) -> bool:
    if truth is None or histogram is None:
        return truth is None and histogram is None
    outside, inside = np.count_nonzero(~truth.masks.any(axis=0)), np.count_nonzero(truth.masks)
    counted = (int(histogram.normal.sum()), int(histogram.anomalous.sum()), histogram.n_regions)
    return counted == (int(outside), int(inside), len(truth.masks))


def same_histograms(one: ScoreHistogram | None, other: ScoreHistogram | None) -> bool:
    """Whether two images have the same pixels by score."""
    if one is None or other is None:
        return one is other
    columns = [(getattr(one, name), getattr(other, name)) for name in ("scores", "normal", "anomalous", "overlap")]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-6) for a, b in columns)
