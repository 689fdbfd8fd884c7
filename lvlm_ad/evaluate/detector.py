"""What chat models and baselines have in common: each is a detector, which predicts one sample at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from lvlm_ad.backend import Outcome, Usage

if TYPE_CHECKING:
    from lvlm_ad.backend import Backend
    from lvlm_ad.baseline import Baseline, DenseScores, Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.manifest import RowFacts
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg import ScoreMap, Scores

__all__ = ["Detector", "Finalize", "Prediction"]

PluginT = TypeVar("PluginT", bound="Backend | Baseline")

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


class Detector(Generic[PluginT]):
    """One method in a bench: from a sample and its regions to a prediction.

    Attributes:
        rows: the rows of the leaderboard that it fills.
        paid: whether its answers may cost money.
        sees_truth: whether it is given the ground truth.
        workers: how many threads should call ``detect``; known after ``start``.
        finalize: computes the final image scores of a category; None where image scores are final.
    """

    rows: tuple[Row, ...] = ("regions",)
    paid: bool = False
    sees_truth: bool = False
    workers: int = 1
    finalize: Finalize | None = None

    def __init__(self, session: Session, model: Model, plugin: PluginT) -> None:
        self.session, self.model, self.plugin = session, model, plugin
        self.name = model.preset.name
        # A model that runs on this machine says now, not after an hour of dividing, that its weights are missing.
        plugin.identity()

    def start(self) -> None:
        """Get ready to predict; with ``--batch``, have all questions answered."""

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample. Several threads call it."""
        raise NotImplementedError

    def stop(self) -> None:
        """Start no new question; called when a run ends, early or not."""

    def forecast(self) -> dict[str, Any] | None:
        """Return what a run would ask and cost; None for a method that asks nothing."""
        return None

    def facts(self, row: Row) -> RowFacts:
        """Return this detector's part of a row's manifest."""
        raise NotImplementedError

    def model_facts(self, row: Row) -> dict[str, Any]:
        """Return the manifest's "model", which ``facts`` completes."""
        preset = self.model.preset
        return {
            "name": preset.name,
            "kind": preset.kind,
            "plugin": preset.plugin,
            "identity": self.plugin.identity(),
            "row": row,
            "price": preset.price.model_dump(),
            "frame": False,
            "sees_truth": self.sees_truth,
            "label": self.model.label,
            "notes": [],
        }
