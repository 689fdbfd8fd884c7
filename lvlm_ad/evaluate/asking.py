"""Surrounds a model with what it takes to be asked: questions, the caller, batches."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lvlm_ad.asking import Asker, Batcher, Budget, Question
from lvlm_ad.baseline import Baseline, References
from lvlm_ad.datasets.images import read_image, resize_image
from lvlm_ad.detectors import BaselineDetector, ChatDetector, Detector, is_unusable
from lvlm_ad.errors import ConfigError, LvlmAdError, TransientError, UnaskedError
from lvlm_ad.evaluate.forecast import input_tokens, most_cost
from lvlm_ad.prompts import Questioner, reference_paths

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer, Backend, BatchBackend, Request
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.divide import Divisions
    from lvlm_ad.evaluate.stores import Stores
    from lvlm_ad.plugins import Model
    from lvlm_ad.progress import Progress

__all__ = ["Asking", "make_detector", "make_questioner", "planned_requests", "run_batches"]


class Asking:
    """A detector and what surrounds it.

    Attributes:
        detector: scores samples.
        prompt: the prompt's record for the manifest; empty for a baseline.
        workers: how many threads may use the detector at once.
    """

    def __init__(self, detector: Detector, prompt: dict[str, Any], workers: int) -> None:
        self.detector, self.prompt, self.workers = detector, prompt, workers


def make_questioner(plan: Plan, backend: Backend) -> Questioner:
    """Make what writes the questions.

    Raises:
        ConfigError: the prompt is wrong, reference images are wanting, the backend takes fewer pictures, or it gives no
            probabilities where scores are to be expected values.
    """
    schema = backend.capabilities.schema
    questioner = Questioner(plan.dataset, plan.protocol, plan.prompt, seed=plan.config.seed, schema=schema)
    most = backend.capabilities.max_images
    if most is not None and questioner.n_images > most:
        raise ConfigError(
            f"A question shows {questioner.n_images} pictures; {type(backend).__name__} takes at most {most}. "
            "Set fewer shots, or visual=marked."
        )
    _check_scoring(plan, backend)
    return questioner


def _check_scoring(plan: Plan, backend: Backend) -> None:
    """Refuse expected scores from a backend that gives no probabilities."""
    if plan.protocol.scoring == "expected" and not backend.capabilities.probabilities:
        hint = "; ask for them with --set logprobs=20" if "logprobs" in backend.Options.model_fields else ""
        raise ConfigError(
            f"scoring=expected needs the probabilities of tokens; the answers of {type(backend).__name__} come "
            f"without{hint}."
        )


def make_detector(
    plan: Plan,
    model: Model,
    plugin: Backend | Baseline,
    stores: Stores,
    budget: Budget,
    progress: Progress,
    batch: Batcher | None = None,
) -> Asking:
    """Surround a backend or baseline with what it takes to score a sample.

    Args:
        plan: what is measured.
        model: the model.
        plugin: its backend or baseline.
        stores: the output folder's files.
        budget: the limit on what may be spent.
        progress: hears what the user should know.
        batch: what has just asked the questions in batches; then nothing else is asked.
    """
    side, binary = plan.protocol.image_size, plan.protocol.binary
    if isinstance(plugin, Baseline):
        baseline = BaselineDetector(
            model.preset.name,
            plugin,
            image_size=side,
            references=_references(plan),
            seed=plan.config.seed,
            binary=binary,
        )
        return Asking(baseline, {}, plugin.concurrency or os.cpu_count() or 1)
    questioner = make_questioner(plan, plugin)

    def note(text: str) -> None:
        progress.note(f"{model.preset.name}: {text}")

    caller = Asker(
        plugin,
        stores.answers,
        model.preset.price,
        budget,
        pacing=model.preset.pacing,
        concurrency=plan.config.concurrency,
        locks=stores.locks,
        withheld=_withheld(plugin, stores, progress) if batch is None else _not_in_batch(batch),
        fresh=frozenset() if batch is None else batch.answered,
        estimate=lambda request: input_tokens(model, plugin, request),
        note=note,
    )
    detector = ChatDetector(
        caller,
        questioner,
        image_size=side,
        binary=binary,
        scoring=plan.protocol.scoring,
        retry_unusable=plan.config.retry_failed and batch is None,
        note=note,
    )
    prompt = {"name": plan.prompt.name, "hash": questioner.hash, "zero_knowledge": plan.prompt.zero_knowledge}
    if plan.prompt.format == "json":
        prompt["with_schema"] = plugin.capabilities.schema
    return Asking(detector, prompt, caller.workers)


def _withheld(backend: Backend, stores: Stores, progress: Progress) -> Callable[[str], LvlmAdError | None]:
    """Keep back the questions that wait in a batch: they are paid for already."""
    identity = backend.identity()
    sent = [batch for batch in stores.batches.open_batches(identity) if batch.file_id]
    if sent:
        count = sum(len(batch.keys) for batch in sent)
        progress.note(f"{count} questions wait in batches and are not asked again; --batch collects their answers.")

    def reason(key: str) -> LvlmAdError | None:
        # Looked up each time: another process may be sending a batch off meanwhile.
        batch = stores.batches.waits_in(identity, key)
        return None if batch is None else UnaskedError(f"waits in batch {batch}; --batch collects it")

    return reason


def _not_in_batch(batch: Batcher) -> Callable[[str], LvlmAdError | None]:
    return lambda key: batch.reasons.get(key) or TransientError("not answered in a batch")


def planned_requests(plan: Plan, questioner: Questioner, divisions: Divisions) -> Iterator[tuple[Sample, Request]]:
    """Write the question about each sample, several at a time but never many ahead: they hold pictures."""
    side = plan.protocol.image_size

    def one(sample: Sample) -> tuple[Sample, Request]:
        image = resize_image(sample.image, (side, side))
        return sample, questioner.request(sample, image, divisions.regions(sample))

    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead: deque[Future[tuple[Sample, Request]]] = deque()
        for sample in plan.dataset:
            ahead.append(pool.submit(one, sample))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def run_batches(
    plan: Plan,
    model: Model,
    backend: BatchBackend,
    divisions: Divisions,
    stores: Stores,
    budget: Budget,
    progress: Progress,
) -> Batcher:
    """Have all questions of a model answered in batches.

    Raises:
        ConfigError: a limit in money is set and the cost of a question cannot be bounded.
        FatalError: the endpoint refuses the batch.
    """
    questioner = make_questioner(plan, backend)
    identity = backend.identity()

    def questions() -> Iterator[Question]:
        progress.start(f"{model.preset.name}: writing questions", len(plan.dataset))
        for _, request in planned_requests(plan, questioner, divisions):
            yield Question(request.key(identity), request)
            progress.advance()
        progress.finish()

    def most(request: Request) -> float:
        if budget.limit is None:
            return 0.0
        cost = most_cost(model, backend, request)
        if cost is None:
            raise ConfigError(
                "--max-cost with --batch needs to know what a question costs at most; set image_tokens=RULE as "
                "docs/models.md says."
            )
        return cost

    def stale(request: Request, answer: Answer) -> bool:
        return plan.config.retry_failed and is_unusable(answer, int(request.options["n_regions"]))

    batcher = Batcher(
        backend,
        stores.answers,
        stores.batches,
        note=lambda text: progress.note(f"{model.preset.name}: {text}"),
        locks=stores.locks,
        most=most,
        allowance=None if budget.limit is None else budget.limit - budget.spent,
        stale=stale,
    )
    batcher.run(questions, lambda answered, total: progress.at(f"{model.preset.name}: batches", answered, total))
    for key in batcher.answered:
        answer = stores.answers.get(key)
        if answer is not None:
            usage = answer.usage
            cost = model.preset.price.cost(usage.input_tokens, usage.cached_tokens, usage.output_tokens, batch=True)
            budget.spent += cost or 0.0
    return batcher


def _references(plan: Plan) -> Callable[[str], References]:
    """Return a function from a category to its reference images, read once."""
    size = (plan.protocol.image_size, plan.protocol.image_size)

    @lru_cache(maxsize=2)
    def of(category: str) -> References:
        paths = reference_paths(plan.dataset, category, plan.protocol.shots, plan.config.seed)
        originals = tuple(read_image(path) for path in paths)
        return References(tuple(resize_image(image, size) for image in originals), originals)

    return of
