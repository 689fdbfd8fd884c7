"""The whole order: data set, divisions, each model's predictions, metrics, and the run on disk."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from lvlm_ad.asking import Budget
from lvlm_ad.backend import Backend, BatchBackend
from lvlm_ad.baseline import Baseline, Row
from lvlm_ad.detectors import Detector, is_unusable
from lvlm_ad.engines import Engine, engine_for
from lvlm_ad.errors import ConfigError, FatalError
from lvlm_ad.evaluate.asking import (
    make_detector,
    make_questioner,
    planned_requests,
    run_batches,
)
from lvlm_ad.evaluate.config import Plan, RunConfig, claimed_twice, not_a_config, resolve
from lvlm_ad.evaluate.divide import Divisions, divide_dataset
from lvlm_ad.evaluate.forecast import Planned, forecast, input_tokens, most_cost
from lvlm_ad.evaluate.manifest import facts_of, hash_of
from lvlm_ad.evaluate.places import remember_place
from lvlm_ad.evaluate.rows import COUNTED, Measured, RowResult, measure
from lvlm_ad.evaluate.stores import Stores, open_stores
from lvlm_ad.log import event
from lvlm_ad.progress import Progress, Silent
from lvlm_ad.runs import Manifest, Run, Runs, write_run
from lvlm_ad.text2seg import UNANSWERED
from lvlm_ad.versions import versions

if TYPE_CHECKING:
    from lvlm_ad.backend import Answer
    from lvlm_ad.datasets import Sample
    from lvlm_ad.plugins import Model

__all__ = ["bench", "dry_run"]


def bench(config: RunConfig | None = None, progress: Progress | None = None, **options: Any) -> Runs:
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
        FatalError: a model cannot be asked any further, or answered nothing; every answer so far is kept.
        StoreError: a store cannot be read or written.
        RunError: a run cannot be written.
    """
    if config is not None and not isinstance(config, RunConfig):
        raise ConfigError(not_a_config(config))
    config = (config or RunConfig()).with_options(options)
    progress = progress or Silent()
    plan = resolve(config)
    for note in (*plan.dataset.notes, *claimed_twice(plan.models)):
        progress.note(note)
    with ExitStack() as stack:
        engine = _engine(config, stack, progress)
        built = _built(plan, engine, stack)
        stores = stack.enter_context(open_stores(config.out))
        plan = _remembering(plan, stores)
        event(
            "bench",
            models=[model.preset.name for model, _ in built],
            dataset=plan.dataset.name,
            fingerprint=plan.dataset.fingerprint,
            images=len(plan.dataset),
            versions=versions(),
        )
        divisions = divide_dataset(plan, stores.divisions, progress, engine)
        event("divided", method=plan.protocol.division, hash=divisions.hash)
        remember_place(config.out, plan.dataset, config.mask_threshold, str(divisions.record.get("sam_model", "")))
        spent = 0.0
        runs = Runs()
        while built:
            model, plugin = built[0]
            budget = Budget(None if model.preset.price.free else config.max_cost, spent)
            runs += _run_model(plan, model, plugin, divisions, stores, budget, progress)
            spent = budget.spent
            # The next may need the memory.
            built.popleft()
            plugin.close()
    return runs


def dry_run(config: RunConfig, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Say what a bench would ask, without asking.

    Returns:
        For each chat model: "model", "questions", "stored" (answered before), "to_ask", and what ``forecast`` returns.
    """
    progress = progress or Silent()
    plan = resolve(config)
    with ExitStack() as stack:
        engine = _engine(config, stack, progress)
        built = _built(plan, engine, stack)
        stores = stack.enter_context(open_stores(config.out))
        plan = _remembering(plan, stores)
        divisions = divide_dataset(plan, stores.divisions, progress, engine)
        return [
            _forecast(plan, model, plugin, divisions, stores, progress)
            for model, plugin in built
            if isinstance(plugin, Backend)
        ]


def _remembering(plan: Plan, stores: Stores) -> Plan:
    """Have the hashes of files kept: without that every start reads the whole data set."""
    return replace(plan, dataset=replace(plan.dataset, hashed=stores.files))


def _engine(config: RunConfig, stack: ExitStack, progress: Progress) -> Engine:
    return engine_for(
        config.engine,
        stack,
        address=config.ray_address,
        settings=config.settings,
        concurrency=config.concurrency,
        note=progress.note,
    )


def _built(plan: Plan, engine: Engine, stack: ExitStack) -> deque[tuple[Model, Backend | Baseline]]:
    """Build every model; what is wrong with one or its questions is said before anything is divided or paid.

    Those that are still in the list when the stack ends are closed with it.
    """
    built: deque[tuple[Model, Backend | Baseline]] = deque()
    stack.callback(lambda: [plugin.close() for _, plugin in built])
    built.extend((model, engine.placed(model)) for model in plan.models)
    for model, plugin in built:
        # A model that runs here says now, not after an hour of dividing, that it is not here.
        plugin.identity()
        if isinstance(plugin, Backend):
            make_questioner(plan, plugin)
            if plan.config.batch and not isinstance(plugin, BatchBackend):
                raise ConfigError(f"{model.preset.name} takes no batches; leave --batch out.")
            if plan.config.batch and isinstance(plugin, BatchBackend):
                plugin.check_batch()
    return built


def _forecast(
    plan: Plan, model: Model, backend: Backend, divisions: Divisions, stores: Stores, progress: Progress
) -> dict[str, Any]:
    questioner, identity, batch = make_questioner(plan, backend), backend.identity(), plan.config.batch
    progress.start(f"{model.preset.name}: looking for stored answers", len(plan.dataset))
    found: dict[str, Planned] = {}
    answers: dict[str, Answer] = {}
    for _, request in planned_requests(plan, questioner, divisions):
        key = request.key(identity)
        most = most_cost(model, backend, request, batch=batch)
        found[key] = Planned(key, input_tokens(model, backend, request), most)
        answer = stores.answers.get(key)
        if answer is not None and not (plan.config.retry_failed and is_unusable(answer, request.options["n_regions"])):
            answers[key] = answer
        progress.advance()
    progress.finish()
    to_ask = [question for key, question in found.items() if key not in answers]
    workers = min(plan.config.concurrency, backend.capabilities.concurrency or plan.config.concurrency)
    if backend.capabilities.batches_internally:
        # Its seconds are shares of a batch's.
        workers = 1
    return {
        "model": model.preset.name,
        "questions": len(found),
        "stored": len(answers),
        "to_ask": len(to_ask),
        "gathers": backend.capabilities.batches_internally,
        **forecast(model, backend, to_ask, answers.values(), concurrency=workers, batch=batch),
    }


def _run_model(
    plan: Plan,
    model: Model,
    plugin: Backend | Baseline,
    divisions: Divisions,
    stores: Stores,
    budget: Budget,
    progress: Progress,
) -> list[Run]:
    """Run one model and write a run for each of its rows."""
    started, clock = datetime.now(UTC), perf_counter()
    rows: tuple[Row, ...] = plugin.rows if isinstance(plugin, Baseline) else ("regions",)
    batch = None
    if plan.config.batch and isinstance(plugin, BatchBackend):
        batch = run_batches(plan, model, plugin, divisions, stores, budget, progress)
    asking = make_detector(plan, model, plugin, stores, budget, progress, batch)
    settle = plugin.finalize_category if isinstance(plugin, Baseline) else None
    results = {row: RowResult(plan, settle, counted=COUNTED[row]) for row in rows}
    progress.start(model.preset.name, len(plan.dataset))
    for measured in _predict(plan, asking.detector, rows, divisions, asking.workers, progress):
        for row, one in measured.items():
            results[row].add(one)
        shown = next(iter(measured.values()))
        asked_now = bool(model.preset.backend) and not shown.stored and shown.record.status not in UNANSWERED
        progress.advance(
            failed=shown.record.image_score is None,
            stored=shown.stored,
            cost=shown.record.cost_usd if asked_now else 0.0,
        )
    progress.finish()
    if isinstance(plugin, Backend):
        _refuse_nothing(model, next(iter(results.values())))
    runs = []
    for row, result in results.items():
        facts = facts_of(plan, model, plugin, row, divisions, asking.prompt)
        config_hash = hash_of(facts)
        manifest = Manifest.model_validate(
            {
                "config_hash": config_hash,
                **facts,
                "versions": {**versions(), **plugin.environment()},
                "started": started.isoformat(timespec="seconds"),
                "seconds": perf_counter() - clock,
            }
        )
        name = "-".join([model.preset.name, *(["dense"] if row == "dense" else []), plan.dataset.name, config_hash[:8]])
        folder = plan.config.out / re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")
        run = Run(
            folder,
            manifest,
            result.metrics(paid=bool(model.preset.backend)),
            result.predictions,
            result.histograms,
        )
        write_run(run)
        event(
            "run", dir=str(folder), config_hash=config_hash, answers=run.metrics["answers"], usage=run.metrics["usage"]
        )
        runs.append(run)
    return runs


def _refuse_nothing(model: Model, result: RowResult) -> None:
    """Write no run, and so no row, where every question failed: it would measure the way to the endpoint.

    Raises:
        FatalError: every question failed.
    """
    records = result.predictions
    if records and all(record.status == "failed" for record in records):
        raise FatalError(
            f"{model.preset.name}: not one of {len(records)} questions was answered. {records[0].id}: "
            f"{' '.join(records[0].notes)}"
        )


def _predict(
    plan: Plan, detector: Detector, rows: Sequence[Row], divisions: Divisions, workers: int, progress: Progress
) -> Iterator[Mapping[Row, Measured]]:
    """Predict every sample in a pool of threads, begun in the data set's order; results come in any order.

    No more is begun than can be under way while results are taken in: each may hold a map. After an error or an
    interruption no further question begins; answers under way are waited for, being paid for.
    """

    def one(sample: Sample) -> Mapping[Row, Measured]:
        prediction = detector.detect(sample, divisions.regions(sample))
        return measure(sample, prediction, rows, divisions, plan.protocol.image_size)

    pool = ThreadPoolExecutor(workers)
    try:
        waiting = iter(plan.dataset)
        under_way: set[Future[Mapping[Row, Measured]]] = set()
        while True:
            under_way |= {pool.submit(one, sample) for sample in islice(waiting, 2 * workers - len(under_way))}
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            while done:
                yield done.pop().result()
    except KeyboardInterrupt:
        progress.note("Stopping: waiting for the answers under way. Press Ctrl-C again to leave them.")
        raise
    finally:
        detector.stop()
        pool.shutdown(wait=True, cancel_futures=True)
