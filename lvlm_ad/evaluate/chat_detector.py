"""A chat model in a bench: it inspects each image by the plan's method, and the finding becomes a map."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.asking import Asker
from lvlm_ad.asking.cost import input_tokens
from lvlm_ad.errors import LvlmAdError, RejectedError, TransientError, UnaskedError
from lvlm_ad.evaluate.conversation import Step, converse, error_text
from lvlm_ad.evaluate.detectors import Detector, Prediction, added, make_record, method_facts
from lvlm_ad.evaluate.forecast import forecast
from lvlm_ad.evaluate.painting import paint_places
from lvlm_ad.evaluate.stored_conversations import StoredConversations
from lvlm_ad.evaluate.views import Views, checked_model
from lvlm_ad.plugin_errors import plugin_code
from lvlm_ad.plugins import utc_today, whom_it_asks
from lvlm_ad.runs import TEXT_KEPT, StepRecord
from lvlm_ad.text2seg.finding import Chosen

if TYPE_CHECKING:
    from lvlm_ad.asking import Asked, Batcher
    from lvlm_ad.backend import Answer, Backend, Request
    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.methods import View
    from lvlm_ad.plugins import Model
    from lvlm_ad.regions import Regions
    from lvlm_ad.text2seg.finding import Finding

__all__ = ["ChatDetector"]

_UNANSWERED = (UnaskedError, TransientError, RejectedError)

_ADDED = ("input_tokens", "output_tokens", "cost_usd", "seconds")
"""What a record adds up over the questions of an image."""

_TEXTS_KEPT = 20 * TEXT_KEPT
"""Characters of all answers about an image that predictions.jsonl keeps."""


class ChatDetector(Detector["Backend"]):
    """A chat model, asked about each image."""

    paid = True

    def __init__(self, session: Session, model: Model, backend: Backend) -> None:
        super().__init__(session, model, backend)
        self._method = session.plan.method
        self.places = self._method.places
        self._asked_model = checked_model(session.plan, model, backend)
        self._views = Views(session, model, self._asked_model)
        if session.plan.config.batch:
            backend.check_batch()
        # Many more threads wait for answers than can draw at once.
        self._drawing = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._noted: set[str] = set()
        self._noting = threading.Lock()
        self._conversations = StoredConversations(self, self._views, self._is_stale)
        if whom := whom_it_asks(model, utc_today()):
            self._note(whom)

    def start(self) -> None:
        """Get ready to ask; with ``--batch``, have all questions answered."""
        session, model, plugin = self.session, self.model, self.plugin
        session.start_budget(model)
        batch = self._conversations.in_batches(self._note) if session.plan.config.batch else None
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
        self.workers, self.at_first = self._asker.workers, self._asker.at_first
        # Shared by all images, for questions that a method asks at the same time.
        self._threads = ThreadPoolExecutor(self.workers)

    def detect(self, sample: Sample, regions: Regions) -> Prediction:
        """Inspect one sample.

        If a question fails, the prediction has the status "failed"; if one was not asked, because it could exceed the
        limit in money or waits in a batch, "unasked". The same command then continues there.
        """
        method, protocol = self._method, self.session.plan.protocol
        with self._drawing:
            view = self._views.view(sample, regions)
        retry_errors: list[str] = []
        finding, steps = converse(method, view, lambda some: self._ask(some, view, retry_errors), self._drawing)
        if method.needs_questions and not finding.choices:
            # The conversation ended early; none of its answers counts, but every question does.
            finding = replace(finding, choices=(Chosen(None, finding.status),) * len(view.questions))
        answered = [one.asked for one in steps if one.asked is not None]
        notes = [*finding.notes, *(note for one in steps for note in one.notes)]
        if protocol.scoring == "expected" and finding.usable and not all(one.answer.tokens for one in answered):
            self._note_once(
                "The token probabilities of an answer are missing or do not fit its text; its scores count as written."
            )
        record = make_record(
            sample, finding, 0 if view.regions is None else view.regions.count, notes=notes, **self._evidence(steps)
        )
        score_map = paint_places(finding.shapes, view.regions, protocol.image_size, binary=protocol.binary)
        return Prediction(
            record,
            score_map,
            stored=all(one.asked is not None and one.asked.stored for one in steps),
            expected=finding.expected,
            retry_error=" ".join(retry_errors),
            spent=added(one.cost for one in answered if not one.stored),
            divided=method.needs_regions,
        )

    def inspect_unstretched(self, sample: Sample) -> tuple[View, Finding, list[Answer]]:
        """Inspect a sample at its own size, which may be no square: a check of how the model writes coordinates."""
        view = self._views.view(sample, None)
        view = replace(view, image=view.original)
        finding, steps = converse(self._method, view, lambda some: self._ask(some, view, []))
        return view, finding, [one.asked.answer for one in steps if one.asked is not None]

    def _ask(self, requests: Sequence[Request], view: View, retry_errors: list[str]) -> list[Step]:
        """Ask questions, at the same time if the backend can."""

        def ask(request: Request) -> Step:
            return self._ask_one(request, view, retry_errors)

        if len(requests) == 1 or self.workers == 1:
            return [ask(request) for request in requests]
        return list(self._threads.map(ask, requests))

    def _ask_one(self, request: Request, view: View, retry_errors: list[str]) -> Step:
        try:
            asked = self._asker.ask(request)
        except _UNANSWERED as error:
            return Step(request, None, error)
        notes: list[str] = []
        if self._retries and asked.stored and self._is_stale(asked.answer, view):
            try:
                asked = self._asker.ask(request, again=True)
            except _UNANSWERED as error:
                retry_errors.append(error_text(error))
                notes.append(f"The question was asked again, without success: {retry_errors[-1]}")
        return Step(request, asked, notes=(*self._schema_notes(request, asked.answer), *notes))

    def _evidence(self, steps: Sequence[Step]) -> dict[str, Any]:
        """Return the fields of a record that say what was asked and answered: the last question, and all of several."""
        if not steps:
            return {}
        last = next((one for one in steps if one.asked is None), steps[-1])
        key = last.request.key(self._asker.identity) if last.asked is None else last.asked.key
        answered = [one.asked for one in steps if one.asked is not None]
        if not answered:
            return {"key": key}
        answer = None if last.asked is None else last.asked.answer
        text = {} if answer is None else {"outcome": answer.outcome, "text": answer.text[:TEXT_KEPT]}
        kept = min(TEXT_KEPT, _TEXTS_KEPT // len(answered))
        records = [_step_record(one, kept) for one in answered]
        totals = {name: added(getattr(one, name) for one in records) for name in _ADDED}
        return {"key": key, **text, **totals, **({"steps": records} if len(steps) > 1 else {})}

    def stop(self) -> None:
        """Ask nothing more."""
        self._asker.stop()
        self.plugin.cancel_start()

    def forecast(self) -> dict[str, Any]:
        """Look up which questions are answered already, and estimate the cost of the others; see ``forecast``."""
        with self._conversations.followed("looking for stored answers") as conversations:
            return forecast(self, conversations)

    def facts(self, row: Row) -> dict[str, Any]:
        """Return this detector's part of a row's manifest."""
        plan, method, asked = self.session.plan, self._method, self._views.prompt
        prompt = {
            "name": asked.name,
            "hash": self._views.prompt_hash,
            "zero_knowledge": asked.zero_knowledge,
            **({"with_schema": self.plugin.capabilities.schema} if asked.format == "json" else {}),
        }
        fields = {"image_size", "binary", "shots", "prompt"}
        fields |= {"visual", "border_width", "number_size", "number_style"} if method.needs_regions else set()
        fields |= plan.protocol.newer_settings()
        by_regions = plan.method_name == "regions"
        method_record = {} if by_regions else method_facts(plan, self._asked_model)
        if method_record.get("convention"):
            prompt["own"] = "prompt" not in plan.config.settings
        return {
            "model": self.model_facts(row),
            "protocol": plan.protocol.model_dump(mode="json", include=fields),
            **({"division": self.session.divisions.facts} if method.needs_regions else {}),
            "prompt": prompt,
            **({"method": method_record} if method_record else {}),
            "on_failure": plan.config.on_failure,
            "seed": plan.config.seed if plan.protocol.shots or not by_regions else 0,
        }

    def _is_stale(self, answer: Answer, view: View) -> bool:
        """Return whether ``--retry-failed`` asks again: the stored answer is of no use, or was cut off."""
        if not self.session.plan.config.retry_failed:
            return False
        name = f"The method {self._method.implementation.__name__}"
        with plugin_code(f"{name} raised", name=name):
            return not self._method.is_usable(answer, view)

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


def _is_object_of(schema: Mapping[str, Any], text: str) -> bool:
    """Return whether a text is a JSON object with exactly the members that a schema requires."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and set(value) == set(schema.get("required", value))


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


def _step_record(asked: Asked, kept: int) -> StepRecord:
    answer = asked.answer
    return StepRecord(
        key=asked.key,
        text=answer.text[:kept],
        outcome=answer.outcome,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        cost_usd=asked.cost,
        seconds=answer.seconds,
    )
