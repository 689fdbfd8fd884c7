"""Where chat models and baselines meet: each makes a prediction from what it may see of a sample.

A chat model is asked about the marked picture. A baseline makes a dense map; that map is also averaged over the same
regions, written in the same answer format and read by the same Text2Segmentation, so that both are measured alike.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lvlm_ad.backend import Outcome, Usage
from lvlm_ad.baseline import Baseline, DenseScores, Truth, View, flaw_of
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import LvlmAdError, PluginError, RejectedError, TransientError, UnaskedError, where
from lvlm_ad.guard import guarded
from lvlm_ad.missing import missing_module
from lvlm_ad.text2seg import ScoreMap, Scores, Scoring, paint, parse, read, write

if TYPE_CHECKING:
    from lvlm_ad.asking import Asker
    from lvlm_ad.backend import Answer, Request
    from lvlm_ad.baseline import References
    from lvlm_ad.datasets import Sample
    from lvlm_ad.prompts import Questioner
    from lvlm_ad.regions import Regions

__all__ = [
    "IN_VAIN",
    "BaselineDetector",
    "ChatDetector",
    "Detector",
    "Prediction",
    "is_unusable",
]

IN_VAIN = "Asked anew in vain"
"""Begins the note on an answer that stayed as it was because asking anew failed."""


@dataclass(frozen=True)
class Prediction:
    """What a method says about one sample, and the evidence.

    Attributes:
        sample_id: the sample.
        scores: what was read from the answer.
        score_map: the map, constant on cells.
        text: the answer's text.
        outcome: how the answer ended; "ok" for a baseline.
        key: the stored answer's key; empty for a baseline.
        stored: whether the answer was asked in an earlier run.
        usage: tokens used.
        cost: USD, None if unknown.
        seconds: wall-clock seconds from question to answer, when it was asked.
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
    dense: DenseScores | None = None


class Detector(Protocol):
    """One method: from a sample and its division to a prediction."""

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample. Called from several threads."""

    def stop(self) -> None:
        """Begin nothing new; called when a run ends early."""


class ChatDetector:
    """A chat model: draws the picture, asks, reads the answer, paints.

    Args:
        caller: asks the backend.
        questioner: writes the questions.
        image_size: the side of the square that images are stretched to, in pixels.
        binary: paint 1 for every region named.
        scoring: whether scores are as written or expected values.
        retry_unusable: ask anew where a stored answer of an earlier run gives no scores or was cut off.
        note: is told, once, what the user should know of the endpoint.
    """

    def __init__(
        self,
        caller: Asker,
        questioner: Questioner,
        *,
        image_size: int,
        binary: bool = False,
        scoring: Scoring = "text",
        retry_unusable: bool = False,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._caller = caller
        self._questioner = questioner
        self._size = (image_size, image_size)
        self._binary = binary
        self._scoring: Scoring = scoring
        self._retry_unusable = retry_unusable
        self._note = note
        # Many more threads wait for answers than can draw at once.
        self._drawing = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._said: set[str] = set()
        self._saying = threading.Lock()

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Ask about one sample.

        A question that fails gives a prediction with status "failed"; one that was not asked, since it could exceed
        the limit in money or waits in a batch, "unasked".

        Raises:
            FatalError: no further question can succeed.
            StoreError: the answer could not be stored.
            ImageError: the image cannot be read.
        """
        with self._drawing:
            request = self._questioner.request(sample, resize_image(sample.image, self._size), regions)
        try:
            asked = self._caller.ask(request)
        except (UnaskedError, TransientError, RejectedError) as error:
            # A server's message may hold what no file can.
            reason = str(error).encode("utf-8", "replace").decode("utf-8")
            scores = Scores(None, {}, "unasked" if isinstance(error, UnaskedError) else "failed", (reason,))
            return Prediction(sample.id, scores, paint({}, regions), key=request.key(self._caller.identity))
        in_vain: tuple[str, ...] = ()
        if self._retry_unusable and asked.stored and is_unusable(asked.answer, regions.count):
            try:
                asked = self._caller.ask(request, again=True)
            except (UnaskedError, TransientError, RejectedError) as error:
                # What there is stays.
                in_vain = (f"{IN_VAIN}: {error}".encode("utf-8", "replace").decode("utf-8"),)
        answer = asked.answer
        scores = read(answer, regions.count, self._scoring)
        if self._scoring == "expected" and scores.usable and not answer.tokens:
            self._say_once(
                "An answer came without probabilities of its tokens that fit its text; its scores are taken as written."
            )
        if not self._keeps_schema(request, answer):
            scores = replace(scores, notes=(*scores.notes, "The answer is not the JSON object that was asked for."))
        scores = replace(scores, notes=(*scores.notes, *in_vain))
        return Prediction(
            sample_id=sample.id,
            scores=scores,
            score_map=paint(scores.regions, regions, binary=self._binary),
            text=answer.text,
            outcome=answer.outcome,
            key=asked.key,
            stored=asked.stored,
            usage=answer.usage,
            cost=asked.cost,
            seconds=answer.seconds,
        )

    def stop(self) -> None:
        """Ask nothing more."""
        self._caller.stop()

    def _keeps_schema(self, request: Request, answer: Answer) -> bool:
        """Look whether an answer is what its schema demands; some servers take a schema and ignore it."""
        capable = self._caller.backend.capabilities.schema
        if not capable or "schema" not in request.options or answer.outcome != "ok":
            return True
        if _is_object_of(request.options["schema"], answer.text):
            return True
        self._say_once(
            "The endpoint takes a JSON schema but ignores the schema: an answer came that is not the object "
            "that was asked for. Answers are read all the same."
        )
        return False

    def _say_once(self, text: str) -> None:
        with self._saying:
            said = text in self._said
            self._said.add(text)
        if not said:
            self._note(text)


def is_unusable(answer: Answer, n_regions: int) -> bool:
    """Say whether an answer is worth asking for again: it gives no scores, or was cut off."""
    scores = read(answer, n_regions)
    return not scores.usable or scores.status == "truncated"


def _is_object_of(schema: Mapping[str, Any], text: str) -> bool:
    """Say whether a text is a JSON object with exactly the members that a schema names."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and set(found) == set(schema["required"])


class BaselineDetector:
    """A baseline, measured through the regions by the very path that a chat model's answer takes.

    Args:
        name: the baseline's name, for messages.
        baseline: the method.
        image_size: the side of the square that images are stretched to, in pixels.
        references: category -> its reference images.
        seed: the run's seed.
        binary: paint 1 for every region named.
    """

    def __init__(
        self,
        name: str,
        baseline: Baseline,
        *,
        image_size: int,
        references: Callable[[str], References],
        seed: int,
        binary: bool = False,
    ) -> None:
        self._name = name
        self._baseline = baseline
        self._size = (image_size, image_size)
        self._references = references
        self._seed = seed
        self._binary = binary

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Score one sample.

        Raises:
            PluginError: the baseline gave scores of a wrong shape or range.
            ImageError: the image or the mask cannot be read.
        """
        dense = self._checked(self._scored(sample), sample)
        pooled = np.clip(regions.pool(dense.map), 0.0, 1.0)
        # As the questions ask: regions that are not anomalous at all are left out.
        text = write(dense.image, {number: score for number, score in enumerate(pooled.tolist(), start=1) if score > 0})
        scores = parse(text, regions.count)
        score_map = paint(scores.regions, regions, binary=self._binary)
        return Prediction(sample.id, scores, score_map, text=text, dense=dense)

    def stop(self) -> None:
        """There is nothing to stop."""

    def _scored(self, sample: Sample) -> DenseScores:
        view = self._view(sample)
        try:
            with guarded():
                return self._baseline.score(view)
        except LvlmAdError:
            raise
        except ModuleNotFoundError as error:
            named = f"The baseline {self._name}"
            raise PluginError(missing_module(named, error, of=type(self._baseline).__module__)) from error
        # An end of the process among them: it would end the whole command, without a word.
        except (Exception, SystemExit) as error:
            raise PluginError(f"The baseline {self._name} raised {where(error)} ({sample.id}).") from error

    def _view(self, sample: Sample) -> View:
        truth = None
        if self._baseline.sees_truth:
            mask = sample.mask
            truth = Truth(sample.label, None if mask is None else resize_mask(mask, self._size))
        original, references = sample.image, self._references(sample.category)
        return View(
            image=resize_image(original, self._size),
            category=sample.category,
            seed=f"{self._seed}/{sample.id}",
            references=references.images,
            truth=truth,
            original=original,
            original_references=references.originals,
        )

    def _checked(self, dense: Any, sample: Sample) -> DenseScores:
        wrong = flaw_of(dense, self._size)
        if "no numbers" in wrong:
            wrong += ": its weights are damaged, or its computing type is too narrow (--set dtype=float32)"
        if not wrong and dense.parts and type(self._baseline).finalize_category is Baseline.finalize_category:
            wrong = "gave parts, and has no finalize_category() to make image scores of them"
        if wrong:
            raise PluginError(f"The baseline {self._name} {wrong} ({sample.id}).")
        checked: DenseScores = dense
        return checked
