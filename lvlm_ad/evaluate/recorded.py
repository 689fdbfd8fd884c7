"""Repeats the conversations of a run with its recorded answers: nothing is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.backend import Answer, Capabilities
from lvlm_ad.conventions import Convention
from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.errors import ConfigError, LvlmAdError
from lvlm_ad.evaluate.conversation import replay
from lvlm_ad.evaluate.views import view_of
from lvlm_ad.methods import AskedModel
from lvlm_ad.plugins.methods import load_method, method_names
from lvlm_ad.presets import Protocol, load_prompt, preset_names, validated
from lvlm_ad.prompts import Questioner
from lvlm_ad.prompts.drawing import ImageFile
from lvlm_ad.runs import TEXT_KEPT
from lvlm_ad.text2seg.finding import Finding

if TYPE_CHECKING:
    from lvlm_ad.asking import AnswerStore
    from lvlm_ad.backend import Request
    from lvlm_ad.evaluate.sources import Sources
    from lvlm_ad.methods import Method, View
    from lvlm_ad.presets import PromptPreset
    from lvlm_ad.runs import Manifest, PredictionRecord, Run, StepRecord

__all__ = ["Conversations", "asked_of", "is_cut", "recorded_answers"]


class Conversations:
    """The conversations of a run.

    Args:
        run: the run, read with its predictions.
        sources: its images; None: questions have blank pictures, which suffices only for methods without regions and
            without training images.

    Attributes:
        problem: why they cannot be repeated; empty if they can.
        withholds_image: whether its questions show no picture of the inspected image.
        has_texts: whether questions have the texts that were asked: without the data set, or with another prompt than
            the run's, they are empty.
    """

    def __init__(self, run: Run, sources: Sources | None = None) -> None:
        self._manifest, self._sources = run.manifest, sources
        self._method, self.problem = _method(run.manifest)
        if self._method is not None and not self.problem:
            self.problem = _missing(self._method, sources)
        self._asked = AskedModel(run.manifest.model.name)
        try:
            self._asked = _model(run.manifest)
        except ConfigError as error:
            self.problem = self.problem or str(error)
        self._protocol, self._prompt = _protocol(run.manifest), _prompt(run.manifest)
        self._questioner = None if self.problem else self._questions()
        self.withholds_image = self._protocol.withhold == "image"
        self.has_texts = self._questioner is not None and self._questioner.hash == run.manifest.prompt.hash

    def again(self, record: PredictionRecord, answers: Sequence[Answer]) -> tuple[Finding, list[Request]]:
        """Inspect an image again with recorded answers, as ``replay`` does.

        Raises:
            LvlmAdError: the method does not keep its contract, the image cannot be read, or ``problem`` is not empty.
        """
        if self._method is None or self.problem:
            raise LvlmAdError(self.problem)
        return replay(self._method, self._view(self._method, record), answers)

    def best(self, record: PredictionRecord) -> Finding | None:
        """Return the answer of a model that knows the defects of an image, as in the row "oracle".

        Returns:
            The finding; None without the data set.

        Raises:
            LvlmAdError: the image or its mask cannot be read.
        """
        if self._method is None or self.problem or self._sources is None:
            return None
        side, sample = self._protocol.image_size, self._sources.samples[record.id]
        finding = Finding(float(sample.label))
        if (mask := sample.mask) is not None:
            finding = self._method.best_finding(self._view(self._method, record), resize_mask(mask, (side, side)))
        return replace(finding, image=float(sample.label))

    def has_image(self, record: PredictionRecord) -> bool:
        """Whether the image is known, or none is needed; images that set a threshold are no test images."""
        return self._sources is None or record.id in self._sources.samples

    def is_key(self, request: Request, key: str) -> bool:
        """Whether a stored answer's key is that of a question."""
        return request.key(self._manifest.model.identity) == key

    def _questions(self) -> Questioner | None:
        """Return what fills the prompt and reads reference images; None without the data set or the prompt."""
        method, prompt = self._method, self._prompt
        if self._sources is None or self._sources.dataset is None or method is None or prompt is None:
            return None
        try:
            return Questioner(
                self._sources.dataset,
                self._protocol,
                prompt,
                seed=self._manifest.seed,
                placeholders=method.placeholders,
                pooled=method.needs_pool,
            )
        except LvlmAdError:
            return None

    def _view(self, method: Method, record: PredictionRecord) -> View:
        side, sources = self._protocol.image_size, self._sources
        sample = None if sources is None else sources.samples[record.id]
        divisions = sources.divisions if sources and method.needs_regions else None
        return view_of(
            record.id,
            record.category,
            # Without the cache, which may come with the run, from a stranger.
            ImageFile(sample.image_path, sample.depth, side) if sample else _Blank(side),
            divisions.regions(sample) if divisions and sample else None,
            method=method,
            protocol=self._protocol,
            prompt=self._prompt,
            questioner=self._questioner,
            seed=self._manifest.seed,
            model=self._asked,
            has_texts=self.has_texts,
            sample=sample,
        )


class _Blank:
    """Stands in for an image that is not at hand."""

    def __init__(self, side: int) -> None:
        self.image = self.original = np.zeros((side, side, 3), np.uint8)


def _method(manifest: Manifest) -> tuple[Method | None, str]:
    """Return the run's method, and why its conversations cannot be repeated."""
    recorded = manifest.method
    # A stranger's run must not decide which code is run.
    if recorded.name not in method_names():
        return None, f"no method {recorded.name!r:.60} is installed"
    try:
        method, _ = load_method(recorded.name, recorded.options)
    except LvlmAdError as error:
        return None, str(error)
    other = method.identity() != recorded.options
    return method, f"the installed method {recorded.name} is another than the run's" if other else ""


def _missing(method: Method, sources: Sources | None) -> str:
    """Say which part of the data set a method needs and does not have; empty if nothing is missing."""
    if sources is None:
        needs = method.needs_regions or method.needs_pool or method.needs_questions
        return "its method needs the data set; name it with --data" if needs else ""
    if method.needs_regions and sources.divisions is None:
        return sources.note or "the run was not divided"
    return ""


def _protocol(manifest: Manifest) -> Protocol:
    recorded = {name: value for name, value in manifest.protocol.items() if name in Protocol.model_fields}
    return Protocol.model_validate({**recorded, "name": "recorded"})


def _prompt(manifest: Manifest) -> PromptPreset | None:
    """Return the run's prompt if it is one of this version; None for a file of the user."""
    # A stranger's run must not decide which files are opened.
    name = manifest.prompt.name
    return load_prompt(name) if name in preset_names("prompts") else None


def _model(manifest: Manifest) -> AskedModel:
    """Return what the method knew of the model, as far as it is recorded; ``ConfigError`` if it cannot be read."""
    recorded = dict(manifest.method.convention)
    stated = bool(recorded.pop("stated", False))
    convention = validated(Convention, recorded, "the run's convention") if recorded else None
    able = Capabilities(schema=bool(manifest.prompt.with_schema))
    return AskedModel(manifest.model.name, able, convention, stated)


def asked_of(record: PredictionRecord) -> Sequence[PredictionRecord | StepRecord]:
    """Return key, text and outcome of each answer about an image; of a single one the record itself has them."""
    return record.steps or ([record] if record.key else [])


def recorded_answers(record: PredictionRecord, stored: AnswerStore | None = None) -> list[Answer]:
    """Return the answers about an image, in their order: whole ones where they are stored.

    Args:
        record: the image's prediction.
        stored: stored answers; None: those in ``predictions.jsonl``, which may be cut and have no probabilities.
    """
    asked = asked_of(record)
    found = [stored.get(one.key) if stored is not None and one.key else None for one in asked]
    return [whole or Answer(one.text, one.outcome) for whole, one in zip(found, asked, strict=True)]


def is_cut(record: PredictionRecord) -> bool:
    """Whether an answer about an image may be longer than ``predictions.jsonl`` keeps."""
    return any(len(text) >= TEXT_KEPT for text in [record.text, *(step.text for step in record.steps)])
