"""What a run's page says in figures: curves, calibration, which regions are named, where each image stands."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.metrics.histograms import ScoreHistograms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lvlm_ad.runs import PredictionRecord, Run

__all__ = ["Curves", "Reliability", "Times", "curves_of", "named_regions", "placed", "reliability_of", "times_of"]

_POINTS = 400
"""Of a curve that is drawn; finer steps than these no screen shows."""

_BINS = 10

_MINUTES = 180
"""Seconds from which on a time is given in minutes."""


@dataclass(frozen=True, eq=False)
class Curves:
    """One category's curves; each an array ``(2, n)`` of abscissas and ordinates in 0..1, None where undefined.

    Attributes:
        image_roc: false-positive rate and true-positive rate, over images.
        image_pr: recall and precision, over images.
        pixel_roc: as above, over pixels.
        pixel_pr: as above, over pixels.
        pro: false-positive rate and the mean overlap of regions.
    """

    image_roc: NDArray[np.float64] | None
    image_pr: NDArray[np.float64] | None
    pixel_roc: NDArray[np.float64] | None = None
    pixel_pr: NDArray[np.float64] | None = None
    pro: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Reliability:
    """Whether image scores are probabilities.

    Attributes:
        scores: mean image score of each bin of a tenth.
        rates: fraction of its images that are anomalous.
        counts: its images.
        error: expected calibration error, the mean of |score - rate| over images (Naeini et al., AAAI 2015).
    """

    scores: Sequence[float]
    rates: Sequence[float]
    counts: Sequence[int]
    error: float


@dataclass(frozen=True, eq=False)
class Times:
    """How long answers took, in a unit that makes handy numbers.

    Attributes:
        unit: "ms", "s" or "min".
        values: of each answer.
        median: half of them took no longer.
        late: 95 % of them took no longer.
    """

    unit: str
    values: NDArray[np.float64]
    median: float
    late: float

    def text(self, value: float) -> str:
        """Write a value of these with its unit."""
        return f"{value:.0f} {self.unit}" if value >= 100 else f"{value:.3g} {self.unit}"  # noqa: PLR2004 - three digits


def curves_of(run: Run) -> dict[str, Curves]:
    """Return the curves of each category, of the images that entered its metrics.

    Pixels of a dense row were counted at fixed thresholds, and its pixel curves go through those.
    """
    found: dict[str, Curves] = {}
    histograms = ScoreHistograms.of(run.histograms or [None] * len(run.predictions))
    for category in run.manifest.dataset.categories:
        chosen = [at for at in measured_places(run) if run.predictions[at].category == category]
        labels = np.array([run.predictions[at].label for at in chosen], dtype=np.float64)
        scores = np.array([run.predictions[at].image_score or 0.0 for at in chosen])
        roc, pr, _ = _curves(scores, 1 - labels, labels)
        pixels = histograms.take(chosen)
        if not chosen or not pixels.complete:
            found[category] = Curves(roc, pr)
            continue
        every = [pixels.arrays[name] for name in ("scores", "normal", "anomalous", "overlap")]
        regions = int(pixels.arrays["n_regions"].sum())
        found[category] = Curves(roc, pr, *_curves(every[0], every[1], every[2], every[3], regions))
    return found


def measured_places(run: Run) -> list[int]:
    """Return the places of the images that entered the metrics."""
    keep_all = run.manifest.on_failure == "zero"
    return [at for at, record in enumerate(run.predictions) if keep_all or record.image_score is not None]


def _curves(
    scores: NDArray[np.float64],
    normal: NDArray[np.float64],
    anomalous: NDArray[np.float64],
    overlap: NDArray[np.float64] | None = None,
    regions: int = 0,
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return ROC, precision over recall, and region overlap over the false-positive rate, thinned for drawing."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1) if scores.size else np.zeros(0, np.int64)
    false, true = np.cumsum(normal[order])[ends], np.cumsum(anomalous[order])[ends]
    if not ends.size or not true[-1] or not false[-1]:
        return None, None, None
    rate, recall = np.append(0, false / false[-1]), np.append(0, true / true[-1])
    precision = true / (true + false)
    pro = None
    if overlap is not None and regions:
        pro = _thinned(rate, np.append(0, np.cumsum(overlap[order])[ends] / regions))
    return _thinned(rate, recall), _thinned(recall, np.append(precision[0], precision)), pro


def _thinned(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    keep = np.unique(np.linspace(0, x.size - 1, min(x.size, _POINTS)).round().astype(int))
    return np.stack([x[keep], y[keep]])


def reliability_of(records: Sequence[PredictionRecord]) -> Reliability | None:
    """Return how often images of a given score are anomalous; None without any score."""
    known = [(one.image_score, one.label) for one in records if one.image_score is not None]
    if not known:
        return None
    scores, labels = np.array([score for score, _ in known]), np.array([label for _, label in known])
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    filled = [number for number in range(_BINS) if (bins == number).any()]
    means = [float(scores[bins == number].mean()) for number in filled]
    rates = [float(labels[bins == number].mean()) for number in filled]
    counts = [int((bins == number).sum()) for number in filled]
    error = sum(count * abs(a - b) for a, b, count in zip(means, rates, counts, strict=True)) / len(known)
    return Reliability(means, rates, counts, error)


def named_regions(records: Sequence[PredictionRecord]) -> tuple[list[int], list[float]]:
    """Return region numbers, and how often each is given a score above 0 where an image has it.

    Numbers run from the top left to the bottom right, so a slope is a habit of the model, not of the defects.
    """
    have: Counter[int] = Counter()
    named: Counter[int] = Counter()
    for record in records:
        have.update(range(1, record.n_regions + 1))
        named.update(number for number, score in record.regions.items() if score > 0)
    numbers = sorted(have)
    return numbers, [named[number] / have[number] for number in numbers]


def times_of(records: Sequence[PredictionRecord]) -> Times | None:
    """Return how long each answer of a model took; None where no model was asked."""
    seconds = np.array([one.seconds for one in records if one.key and one.seconds > 0])
    if not seconds.size:
        return None
    median, late = np.quantile(seconds, [0.5, 0.95])
    scale, unit = (0.001, "ms") if late < 1 else (1, "s") if late < _MINUTES else (60, "min")
    return Times(unit, seconds / scale, float(median) / scale, float(late) / scale)


def placed(run: Run) -> list[float | None]:
    """Return for each image on the right side of how many of its category's images of the other kind it stands, 0..1.

    1: a defective image above all good ones, or a good one below all defective ones. None where the other kind is
    absent, or the image was left out.
    """
    from lvlm_ad.metrics.delong import placements  # noqa: PLC0415 - brings scipy

    found: list[float | None] = [None] * len(run.predictions)
    for category in run.manifest.dataset.categories:
        chosen = [at for at in measured_places(run) if run.predictions[at].category == category]
        labels = np.array([run.predictions[at].label for at in chosen], dtype=np.bool_)
        if labels.all() or not labels.any():
            continue
        scores = np.array([run.predictions[at].image_score or 0.0 for at in chosen])
        for at, value in zip(chosen, placements(labels, scores), strict=True):
            found[at] = float(value)
    return found
