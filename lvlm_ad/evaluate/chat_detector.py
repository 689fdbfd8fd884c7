"""A chat model in a bench: draw the picture, ask, read the answer, paint the scores.

Also all its questions at once: their forecast (``--dry-run``), and their batches (``--batch``).
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from math import ceil
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from lvlm_ad.asking import Asker, Batcher
from lvlm_ad.asking.cost import input_tokens, most_cost
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.engines import in_order
from lvlm_ad.errors import ConfigError, LvlmAdError, RejectedError, TransientError, UnaskedError
from lvlm_ad.evaluate.detectors import Detector, Prediction, make_record
from lvlm_ad.prompts import Questioner
from lvlm_ad.runs import TEXT_KEPT
from lvlm_ad.text2seg import Scores, paint, read

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, BatchBackend, Capabilities, Request
    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.presets import ModelPreset
    from lvlm_ad.regions import Regions

__all__ = ["ChatDetector"]

_UNANSWERED = (UnaskedError, TransientError, RejectedError)

_USUAL_OUTPUT = 120
"""Tokens of an answer in the published format with some ten regions; reasoning would come on top."""
_FIRST_TOKEN, _TOKENS_A_SECOND = 2.0, 50.0
"""Seconds until an answer begins, and its speed: typical of hosted models."""


class ChatDetector(Detector["Backend"]):
    """A chat model, asked about the marked picture."""

    paid = True

    def __init__(self, session: Session, model: Model, backend: Backend) -> None:
        super().__init__(session, model, backend)
        self._questioner = _questioner_of(session.plan, backend)
        if session.plan.config.batch:
            backend.check_batch()
        # Many more threads wait for answers than can draw at once.
        self._drawing = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._noted: set[str] = set()
        self._noting = threading.Lock()
        if asked := _asked_model(model.preset):
            self._note(asked)

    def start(self) -> None:
        """Get ready to ask; with ``--batch``, have all questions answered."""
        session, model, plugin = self.session, self.model, self.plugin
        session.start_budget(free=model.preset.price.free)
        batch = self._batches() if session.plan.config.batch else None
        self._asker = Asker(
            plugin,
            session.answers,
            model.preset.price,
            session.budget,
            pacing=model.preset.pacing,
            concurrency=session.plan.config.concurrency,
            locks=session.locks,
            withheld=_waiting(session, plugin) if batch is None else _not_in(batch),
            fresh=frozenset() if batch is None else batch.answered,
            estimate=lambda request: input_tokens(model.preset.price, plugin.capabilities, request),
            note=self._note,
        )
        self._retries = batch is None
        self.workers = self._asker.workers

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Ask about one sample.

        A question that fails gives a prediction with status "failed"; one that was not asked, because it could exceed
        the limit in money or waits in a batch, "unasked".
        """
        protocol = self.session.plan.protocol
        with self._drawing:
            request = self._write(sample, regions)
        try:
            asked = self._asker.ask(request)
        except _UNANSWERED as error:
            scores = Scores(None, {}, "unasked" if isinstance(error, UnaskedError) else "failed", (_text(error),))
            record = make_record(sample, scores, regions.count, key=request.key(self._asker.identity))
            return Prediction(record, paint({}, regions))
        retry_error = ""
        if self._retries and asked.stored and self._is_stale(request, asked.answer):
            try:
                asked = self._asker.ask(request, again=True)
            except _UNANSWERED as error:
                retry_error = _text(error)
        answer = asked.answer
        scores = read(answer, regions.count, protocol.scoring)
        notes = [*scores.notes, *self._schema_notes(request, answer)]
        if retry_error:
            notes.append(f"The question was asked again, without success: {retry_error}")
        if protocol.scoring == "expected" and scores.usable and not answer.tokens:
            self._note_once(
                "The token probabilities of an answer are missing or do not fit its text; its scores count as written."
            )
        record = make_record(
            sample,
            scores,
            regions.count,
            notes=notes,
            key=asked.key,
            outcome=answer.outcome,
            text=answer.text[:TEXT_KEPT],
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            cost_usd=asked.cost,
            seconds=answer.seconds,
        )
        score_map = paint(scores.regions, regions, binary=protocol.binary)
        return Prediction(record, score_map, asked.stored, scores.expected, retry_error)

    def stop(self) -> None:
        """Ask nothing more."""
        self._asker.stop()

    def forecast(self) -> dict[str, Any]:
        """Look up which questions are answered already, and estimate the cost of the others.

        Where the model has answered questions of this run before, their mean decides; else the rule and a usual answer.

        Returns:
            "model", "questions", "stored", "to_ask", "gathers" (whether the backend batches internally),
            "input_tokens", "output_tokens", "cost_usd", "at_most_usd" and "seconds" (None where unknown), and "basis":
            "stored answers", "rule" or "none".
        """
        session, price, able = self.session, self.model.preset.price, self.plugin.capabilities
        config, progress, identity = session.plan.config, session.progress, self.plugin.identity()
        progress.start(f"{self.name}: looking for stored answers", len(session.plan.asked))
        tokens: dict[str, int | None] = {}
        most: dict[str, float | None] = {}
        answers: dict[str, Answer] = {}
        with self._requests() as requests:
            for request in requests:
                key = request.key(identity)
                answer = session.answers.get(key)
                if answer is None or self._is_stale(request, answer):
                    tokens[key] = input_tokens(price, able, request)
                    most[key] = most_cost(price, able, request, batch=config.batch)
                else:
                    answers[key] = answer
                progress.advance()
        progress.finish()
        by_rule = [one for one in tokens.values() if one is not None]
        used, written, seconds = _usual(able, answers.values())
        usual = used if used is not None else fmean(by_rule) if by_rule else None
        count = len(tokens)
        tokens_in = None if usual is None else round(count * usual)
        tokens_out = round(count * written)
        cost = None if tokens_in is None else price.cost(tokens_in, None, tokens_out, batch=config.batch)
        # Where a backend batches internally, the seconds of an answer are its share of a batch.
        at_once = 1 if able.batches_internally else min(config.concurrency, able.concurrency or config.concurrency)
        unknown = config.batch or (seconds is None and count > 0)
        return {
            "model": self.name,
            "questions": count + len(answers),
            "stored": len(answers),
            "to_ask": count,
            "gathers": able.batches_internally,
            "input_tokens": tokens_in if count else 0,
            "output_tokens": tokens_out,
            "cost_usd": 0.0 if count == 0 or price.free else cost,
            "at_most_usd": None if None in most.values() else sum(one or 0.0 for one in most.values()),
            "seconds": None if unknown else ceil(count / at_once) * (seconds or 0.0),
            "basis": "stored answers" if used is not None else "rule" if by_rule else "none",
        }

    def facts(self, row: Row) -> dict[str, Any]:
        """Return this detector's part of a row's manifest."""
        plan = self.session.plan
        prompt = {
            "name": plan.prompt.name,
            "hash": self._questioner.hash,
            "zero_knowledge": plan.prompt.zero_knowledge,
            **({"with_schema": self.plugin.capabilities.schema} if plan.prompt.format == "json" else {}),
        }
        fields = {"image_size", "binary", "shots", "prompt", "visual", "border_width", "number_size", "number_style"}
        # Recorded only where it is not the default, so that runs of versions without the setting keep their hash.
        fields |= {"scoring"} if plan.protocol.scoring != "text" else set()
        return {
            "model": self.model_facts(row),
            "protocol": plan.protocol.model_dump(mode="json", include=fields),
            "division": self.session.divisions.facts,
            "prompt": prompt,
            "on_failure": plan.config.on_failure,
            "seed": plan.config.seed if plan.protocol.shots else 0,
        }

    def _write(self, sample: Sample, regions: Regions) -> Request:
        side = self.session.plan.protocol.image_size
        return self._questioner.request(sample, resize_image(sample.image, (side, side)), regions)

    @contextmanager
    def _requests(self) -> Iterator[Iterator[Request]]:
        """Write the question about each sample, several at a time but never many ahead, since they hold pictures."""

        def request(sample: Sample) -> Request:
            return self._write(sample, self.session.divisions.regions(sample))

        with closing(in_order(request, self.session.plan.asked, os.cpu_count() or 1)) as requests:
            yield (question for _, question in requests)

    def _is_stale(self, request: Request, answer: Answer) -> bool:
        """Return whether ``--retry-failed`` asks again: the stored answer gives no scores, or was cut off."""
        if not self.session.plan.config.retry_failed:
            return False
        scores = read(answer, int(request.options["n_regions"]))
        return not scores.usable or scores.status == "truncated"

    def _batches(self) -> Batcher:
        """Have all questions answered in batches; the session's budget pays."""
        session, price = self.session, self.model.preset.price
        budget, progress = session.budget, session.progress

        def most(request: Request) -> float:
            if budget.limit is None:
                return 0.0
            cost = most_cost(price, self.plugin.capabilities, request, batch=True)
            if cost is None:
                raise ConfigError(
                    "--max-cost with --batch needs to know what a question costs at most; set image_tokens=RULE as "
                    "docs/models.md says."
                )
            return cost

        batcher = Batcher(
            cast("BatchBackend", self.plugin),
            session.answers,
            session.batches,
            note=self._note,
            locks=session.locks,
            most=most,
            allowance=None if budget.limit is None else budget.limit - budget.spent,
            stale=self._is_stale,
        )
        with ExitStack() as stack:

            def questions() -> Iterator[Request]:
                progress.start(f"{self.name}: writing questions", len(session.plan.asked))
                for request in stack.enter_context(self._requests()):
                    yield request
                    progress.advance()
                progress.finish()

            batcher.run(questions, lambda answered, total: progress.at(f"{self.name}: batches", answered, total))
        for key in batcher.answered:
            if (answer := session.answers.get(key)) is not None:
                usage = answer.usage
                cost = price.cost(usage.input_tokens, usage.cached_tokens, usage.output_tokens, batch=True)
                budget.spent += cost or 0.0
        return batcher

    def _schema_notes(self, request: Request, answer: Answer) -> list[str]:
        """Check an answer against its schema: some servers take a schema and ignore it."""
        demanded = self.plugin.capabilities.schema and "schema" in request.options and answer.outcome == "ok"
        if not demanded or _is_object_of(request.options["schema"], answer.text):
            return []
        self._note_once(
            "The endpoint accepts a JSON schema but ignores it: an answer is not a JSON object of that schema. "
            "Answers are read anyway."
        )
        return ["The answer is not a JSON object of the schema."]

    def _note(self, text: str) -> None:
        self.session.progress.note(f"{self.name}: {text}")

    def _note_once(self, text: str) -> None:
        with self._noting:
            new = text not in self._noted
            self._noted.add(text)
        if new:
            self._note(text)


def _asked_model(preset: ModelPreset) -> str:
    """Say which model is asked, where, and when its provider removes it; empty if there is no option "model"."""
    asked, where, end = preset.options.get("model"), preset.options.get("base_url"), preset.end_of_life
    if not asked:
        return ""
    removes = "removed" if end and end <= datetime.now(UTC).date() else "removes"
    until = f"; the provider {removes} this model on {end}" if end else ""
    return f"asks {asked}{f' at {where}' if where else ''}{until}."


def _usual(able: Capabilities, answers: Iterable[Answer]) -> tuple[float | None, float, float | None]:
    """Return what a question uses: input tokens by the stored answers, output tokens, seconds; None where unknown."""
    used = [
        (one.usage.input_tokens, one.usage.output_tokens, one.seconds)
        for one in answers
        if one.usage.input_tokens is not None and one.usage.output_tokens is not None
    ]
    longest = able.max_output_tokens or _USUAL_OUTPUT
    written = fmean(one[1] for one in used) if used else float(min(_USUAL_OUTPUT, longest))
    timed = [one[2] for one in used if one[2] > 0]
    if timed:
        seconds: float | None = fmean(timed)
    else:
        # The speed of a model on this machine is unknown until it has answered.
        seconds = None if able.batches_internally else _FIRST_TOKEN + written / _TOKENS_A_SECOND
    return fmean(one[0] for one in used) if used else None, written, seconds


def _text(error: LvlmAdError) -> str:
    """Return a message without characters that no file can hold; a server may send them."""
    return str(error).encode("utf-8", "replace").decode("utf-8")


def _is_object_of(schema: Mapping[str, Any], text: str) -> bool:
    """Return whether a text is a JSON object with exactly the members that a schema names."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(value) == set(schema["required"])


def _waiting(session: Session, backend: Backend) -> Callable[[str], LvlmAdError | None]:
    """Return a function that says why a question is not asked: those that wait in a batch are paid for already."""
    batches, identity = session.batches, backend.identity()
    count = sum(len(batch.keys) for batch in batches.open_batches(identity) if batch.file_id)
    if count:
        session.progress.note(
            f"{count} questions wait in batches and are not asked again; --batch collects their answers."
        )

    def reason(key: str) -> LvlmAdError | None:
        # Looked up each time: another process may send a batch in the meantime.
        batch = batches.waits_in(identity, key)
        return None if batch is None else UnaskedError(f"waits in batch {batch}; --batch collects it")

    return reason


def _not_in(batch: Batcher) -> Callable[[str], LvlmAdError | None]:
    """Return a function that says why a question has no answer after its batch."""
    return lambda key: batch.reasons.get(key) or TransientError("not answered in a batch")


def _questioner_of(plan: Plan, backend: Backend) -> Questioner:
    """Make the object that writes the questions; refuse a plan that the backend cannot follow."""
    able, name = backend.capabilities, backend.implementation.__name__
    questioner = Questioner(plan.dataset, plan.protocol, plan.prompt, seed=plan.config.seed, schema=able.schema)
    if able.max_images is not None and questioner.n_images > able.max_images:
        raise ConfigError(
            f"A question shows {questioner.n_images} pictures; {name} takes at most {able.max_images}. "
            "Set fewer shots, or visual=marked."
        )
    if plan.protocol.scoring == "expected" and not able.probabilities:
        hint = "; ask for them with --set logprobs=20" if "logprobs" in backend.Options.model_fields else ""
        raise ConfigError(f"scoring=expected needs the probabilities of tokens, which {name} does not return{hint}.")
    return questioner
