"""What chat models and baselines have in common: each is a detector, which predicts one sample at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lvlm_ad.backend import Outcome, Usage

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline, DenseScores, Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg import ScoreMap, Scores

__all__ = ["Detector", "Finalize", "Prediction", "RowFacts"]

Finalize = Callable[[str, Sequence[tuple[float, ...]]], Sequence[float]]
"""From a category's name and the parts of its images to its final image scores."""


@dataclass(frozen=True)
class Prediction:
    """A method's scores for one sample, and the evidence for them.

    Attributes:
        sample_id: the sample.
        scores: the scores read from the answer.
        score_map: the map, constant on cells.
        text: the answer's text.
        outcome: how the answer ended; "ok" for a baseline.
        key: the stored answer's key; empty for a baseline.
        stored: whether an earlier run asked the question.
        usage: tokens used.
        cost: USD; None if unknown.
        seconds: wall-clock seconds from question to answer.
        retry_error: why asking again failed, where ``--retry-failed`` asked again and the stored answer stayed.
        dense: a baseline's own scores; None for a chat model.
    """

    sample_id: str
    scores: Scores
    score_map: ScoreMap
    text: str = ""
    outcome: Outcome = "ok"
    key: str = ""
    stored: bool = False
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    seconds: float = 0.0
    retry_error: str = ""
    dense: DenseScores | None = None


@dataclass(frozen=True)
class RowFacts:
    """The part of a row's manifest that only its detector knows.

    Attributes:
        model: fields of the manifest's "model".
        protocol: names of the protocol's fields that influence the row; the division is recorded separately.
        prompt: the manifest's "prompt"; empty for a baseline.
        on_failure: "zero" or "exclude".
        seed: 0 where nothing depends on it.
    """

    model: Mapping[str, Any]
    protocol: set[str]
    prompt: Mapping[str, Any]
    on_failure: str
    seed: int


class Detector(Protocol):
    """One method in a bench: from a sample and its regions to a prediction.

    Attributes:
        model: the preset and the plugin's class.
        rows: the rows of the leaderboard that it fills.
        paid: whether its answers may cost money.
        workers: how many threads should call ``detect``; known after ``start``.
    """

    model: Model
    rows: tuple[Row, ...]
    paid: bool
    workers: int

    @property
    def plugin(self) -> Backend | Baseline:
        """The backend or baseline."""

    @property
    def finalize(self) -> Finalize | None:
        """Gives the final image scores of a category; None where the image scores are final."""

    def start(self) -> None:
        """Get ready to predict; with ``--batch``, have all questions answered."""

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample. Several threads call it."""

    def stop(self) -> None:
        """Start no new question; called when a run ends, early or not."""

    def forecast(self) -> dict[str, Any] | None:
        """Return what a run would ask and cost; None for a method that asks nothing."""

    def facts(self, row: Row) -> RowFacts:
        """Return this detector's part of a row's manifest."""
