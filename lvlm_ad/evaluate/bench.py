"""The whole order: data set, divisions, each model's predictions, metrics, and the run on disk."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lvlm_ad.backend import Backend
from lvlm_ad.calls import AnswerStore, Budget, Caller
from lvlm_ad.datasets.images import read_image, resize_image
from lvlm_ad.detectors import Baseline, BaselineDetector, ChatDetector, Detector, Row
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.config import Plan, Progress, RunConfig, Silent, resolve
from lvlm_ad.evaluate.prepare import Divisions, divide_dataset
from lvlm_ad.evaluate.rows import Measured, RowResult, measure
from lvlm_ad.plugins import Model, build
from lvlm_ad.prompts import Questioner, reference_paths
from lvlm_ad.regions import DivisionStore
from lvlm_ad.runs import Manifest, Run, write_run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lvlm_ad.datasets import Sample

__all__ = ["bench", "built_plugin", "dry_run", "make_detector"]


def bench(config: RunConfig | None = None, progress: Progress | None = None, **options: Any) -> list[Run]:
    """Measure models on a data set and write a run for each row.

    Where the very same question was asked before, its answer is taken from ``answers.sqlite`` in the output folder.
    Each new answer is stored there before it is used, so that an interrupted bench goes on where it was.

    Args:
        config: what to measure; None: made from the options.
        progress: hears how far it has come.
        **options: fields of ``RunConfig``, such as ``models=["contrast"], dataset="mvtec", data=Path("mvtec")``.

    Returns:
        The runs, the models' in the order asked for, then the frame rows.

    Raises:
        ConfigError: a name, setting or value is wrong.
        PluginError: a plugin cannot be loaded or built.
        DataError: the data set cannot be used.
        FatalError: a model cannot be asked any further; every answer so far is kept.
        StoreError: a store cannot be read or written.
        RunError: a run cannot be written.
    """
    config = replace(config or RunConfig(), **options)
    progress = progress or Silent()
    plan = resolve(config)
    for note in plan.dataset.notes:
        progress.note(note)
    with ExitStack() as stack:
        built = [(model, built_plugin(model, stack)) for model in plan.models]
        for _, plugin in built:
            if isinstance(plugin, Backend):
                # What is wrong with the questions is said before anything is divided or paid.
                _questioner(plan, plugin)
        divisions = divide_dataset(plan, _division_store(plan, stack), progress)
        answers = stack.enter_context(closing(AnswerStore(config.out / "answers.sqlite")))
        spent = 0.0
        runs: list[Run] = []
        for model, plugin in built:
            budget = Budget(config.max_cost, spent)
            runs += _run_model(plan, model, plugin, divisions, answers, budget, progress)
            spent = budget.spent
    return runs


def dry_run(config: RunConfig, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Say what a bench would ask, without asking.

    Returns:
        For each chat model: "model", "questions", "stored" (answered before), "to_ask", and "cost_usd", estimated from
        what stored answers of the same model cost; None if there are none or the price is unknown.
    """
    progress = progress or Silent()
    plan = resolve(config)
    with ExitStack() as stack:
        built = [(model, built_plugin(model, stack)) for model in plan.models]
        divisions = divide_dataset(plan, _division_store(plan, stack), progress)
        store = stack.enter_context(closing(AnswerStore(config.out / "answers.sqlite")))
        return [
            _forecast(plan, model, plugin, divisions, store, progress)
            for model, plugin in built
            if isinstance(plugin, Backend)
        ]


def _forecast(
    plan: Plan, model: Model, backend: Backend, divisions: Divisions, store: AnswerStore, progress: Progress
) -> dict[str, Any]:
    questioner = _questioner(plan, backend)
    caller = Caller(backend, store, model.preset.price, Budget(None))
    side = plan.protocol.image_size

    def key(sample: Sample) -> str:
        image = resize_image(sample.image, (side, side))
        return questioner.request(sample, image, divisions.regions(sample)).key(caller.identity)

    progress.start(f"{model.preset.name}: looking for stored answers", len(plan.dataset))
    keys: set[str] = set()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(key, plan.dataset):
            keys.add(found)
            progress.advance()
    progress.finish()
    known = store.known(keys)
    costs = [caller.cost(answer) for answer in map(store.get, known) if answer is not None]
    paid = [cost for cost in costs if cost is not None]
    to_ask = len(keys) - len(known)
    estimate = to_ask * sum(paid) / len(paid) if paid else (0.0 if to_ask == 0 else None)
    return {
        "model": model.preset.name,
        "questions": len(keys),
        "stored": len(known),
        "to_ask": to_ask,
        "cost_usd": estimate,
    }


def built_plugin(model: Model, stack: ExitStack) -> Backend | Baseline:
    """Build a model's plugin and have it closed with the stack."""
    plugin: Backend | Baseline = build(model)
    if isinstance(plugin, Backend):
        stack.callback(plugin.close)
    return plugin


def _division_store(plan: Plan, stack: ExitStack) -> DivisionStore:
    return stack.enter_context(closing(DivisionStore(plan.config.out / "divisions.sqlite")))


def _questioner(plan: Plan, backend: Backend) -> Questioner:
    questioner = Questioner(plan.dataset, plan.protocol, plan.prompt, seed=plan.config.seed)
    most = backend.capabilities.max_images
    if most is not None and questioner.n_images > most:
        raise ConfigError(
            f"A question shows {questioner.n_images} pictures; {type(backend).__name__} takes at most {most}. "
            "Set fewer shots, or visual=marked."
        )
    return questioner


def _run_model(
    plan: Plan,
    model: Model,
    plugin: Backend | Baseline,
    divisions: Divisions,
    answers: AnswerStore,
    budget: Budget,
    progress: Progress,
) -> list[Run]:
    """Run one model and write a run for each of its rows."""
    started, clock = datetime.now(UTC), perf_counter()
    rows: tuple[Row, ...] = plugin.rows if isinstance(plugin, Baseline) else ("regions",)
    detector, prompt, workers = make_detector(plan, model, plugin, answers, budget)
    results = {row: RowResult(plan) for row in rows}
    progress.start(model.preset.name, len(plan.dataset))
    for measured in _predict(plan, detector, rows, divisions, workers, progress):
        for row, one in measured.items():
            results[row].add(one)
        shown = next(iter(measured.values()))
        asked_now = bool(model.preset.backend) and not shown.stored and shown.record.status != "failed"
        progress.advance(
            failed=shown.record.image_score is None,
            stored=shown.stored,
            cost=shown.record.cost_usd if asked_now else 0.0,
        )
    progress.finish()
    runs = []
    for row, result in results.items():
        facts = _facts(plan, model, plugin, row, divisions, prompt)
        config_hash = _hash(facts)
        manifest = Manifest.model_validate(
            {
                "config_hash": config_hash,
                **facts,
                "versions": _versions(),
                "started": started.isoformat(timespec="seconds"),
                "seconds": perf_counter() - clock,
            }
        )
        name = "-".join([model.preset.name, *(["dense"] if row == "dense" else []), plan.dataset.name, config_hash[:8]])
        folder = plan.config.out / re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")
        run = Run(folder, manifest, result.metrics(paid=bool(model.preset.backend)), result.predictions())
        write_run(run)
        runs.append(run)
    return runs


def make_detector(
    plan: Plan, model: Model, plugin: Backend | Baseline, answers: AnswerStore, budget: Budget
) -> tuple[Detector, dict[str, Any], int]:
    """Surround a backend or baseline with what it takes to score a sample.

    Returns:
        The detector, the prompt's record for the manifest, and how many threads may use it at once.
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
        return baseline, {}, os.cpu_count() or 1
    questioner = _questioner(plan, plugin)
    caller = Caller(plugin, answers, model.preset.price, budget)
    prompt = {"name": plan.prompt.name, "hash": questioner.hash, "zero_knowledge": plan.prompt.zero_knowledge}
    workers = min(plan.config.concurrency, plugin.capabilities.concurrency or plan.config.concurrency)
    return ChatDetector(caller, questioner, image_size=side, binary=binary), prompt, workers


def _predict(
    plan: Plan, detector: Detector, rows: Sequence[Row], divisions: Divisions, workers: int, progress: Progress
) -> Iterator[Mapping[Row, Measured]]:
    """Predict every sample in a pool of threads; results come in any order.

    After an error or an interruption no further question begins; answers under way are waited for, being paid for.
    """

    def one(sample: Sample) -> Mapping[Row, Measured]:
        prediction = detector.detect(sample, divisions.regions(sample))
        return measure(sample, prediction, rows, divisions, plan.protocol.image_size)

    pool = ThreadPoolExecutor(workers)
    try:
        # No list of the futures is kept: each holds its result, and a dense result holds a map.
        for done in as_completed({pool.submit(one, sample) for sample in plan.dataset}):
            yield done.result()
    except KeyboardInterrupt:
        progress.note("Stopping: waiting for the answers under way. Press Ctrl-C again to leave them.")
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _references(plan: Plan) -> Callable[[str], Sequence[NDArray[np.uint8]]]:
    """Return a function from a category to its reference images, read once."""
    size = (plan.protocol.image_size, plan.protocol.image_size)

    @lru_cache(maxsize=2)
    def of(category: str) -> Sequence[NDArray[np.uint8]]:
        paths = reference_paths(plan.dataset, category, plan.protocol.shots, plan.config.seed)
        return tuple(resize_image(read_image(path), size) for path in paths)

    return of


def _facts(
    plan: Plan, model: Model, plugin: Backend | Baseline, row: Row, divisions: Divisions, prompt: dict[str, Any]
) -> dict[str, Any]:
    """Return everything that decides the numbers."""
    frame, sees_truth = (plugin.frame, plugin.sees_truth) if isinstance(plugin, Baseline) else (False, False)
    dataset = plan.dataset
    return {
        "model": {
            "name": model.preset.name,
            "kind": model.preset.kind,
            "plugin": model.preset.plugin,
            "identity": plugin.identity(),
            "row": row,
            "frame": frame,
            "sees_truth": sees_truth,
            "price": model.preset.price.model_dump(),
        },
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "n_images": len(dataset),
            "categories": list(dataset.categories),
            "whole": plan.whole,
            "notes": list(dataset.notes),
        },
        "protocol": plan.protocol.model_dump(mode="json", include=_shaping(plugin, row)),
        "division": {
            "method": plan.protocol.division if row == "regions" else "",
            "options": plan.division.model_dump(mode="json") if row == "regions" else {},
            "hash": divisions.hash if row == "regions" else "",
        },
        "prompt": prompt,
        # A baseline does not fail.
        "on_failure": plan.config.on_failure if isinstance(plugin, Backend) else "zero",
        "seed": plan.config.seed if _seeded(plan, plugin) else 0,
    }


def _shaping(plugin: Backend | Baseline, row: Row) -> set[str]:
    """Return the fields of a protocol that shape a row; the division is recorded by itself, defaults filled in."""
    if isinstance(plugin, Backend):
        marks = {"prompt", "visual", "border_width", "number_size", "number_style"}
        return {"image_size", "binary", "shots", *marks}
    regions = {"binary"} if row == "regions" else set()
    return {"image_size"} | regions | (set() if plugin.frame else {"shots"})


def _seeded(plan: Plan, plugin: Backend | Baseline) -> bool:
    """Say whether the seed decides anything: random scores, or which reference images are shown."""
    if isinstance(plugin, Baseline) and (plugin.seeded or plugin.frame):
        return plugin.seeded
    return plan.protocol.shots > 0


def _hash(facts: Mapping[str, Any]) -> str:
    """Hash what decides the answers and the metrics; a price does not."""
    model = {name: value for name, value in facts["model"].items() if name != "price"}
    return hashlib.sha256(json.dumps({**facts, "model": model}, sort_keys=True).encode()).hexdigest()


def _versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    names = ("lvlm-ad", "numpy", "openai", "pillow", "scikit-image", "scipy")
    return {"python": platform.python_version(), "platform": platform.platform(), **{n: version(n) for n in names}}
