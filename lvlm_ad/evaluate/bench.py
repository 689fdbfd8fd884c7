"""A bench: the whole order, from a configuration to runs on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from lvlm_ad.errors import CacheError, ConfigError, FatalError
from lvlm_ad.evaluate.bench_session import BenchSession
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.map_writer import MapWriter
from lvlm_ad.evaluate.rows import RowImage, RowResult, images_of_rows
from lvlm_ad.evaluate.unlabelled_rows import UnlabelledResult
from lvlm_ad.evaluate.upload import UploadWriter
from lvlm_ad.log import Progress
from lvlm_ad.plugins import clashes
from lvlm_ad.presets import preset_names
from lvlm_ad.runs import Run, Runs
from lvlm_ad.store import put_aside

if TYPE_CHECKING:
    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.bench_series import BenchSeries
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detectors import Detector, Prediction
    from lvlm_ad.evaluate.session import Session
    from lvlm_ad.plugins import Model
    from lvlm_ad.workers import Workers

__all__ = ["bench", "bench_plan", "dry_run", "forecast_plan", "with_sound_cache", "without_key"]

T = TypeVar("T")


def bench(
    config: RunConfig | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
    **options: Any,
) -> Runs:
    """Measure models on a data set and write a run for each row.

    Answers to earlier questions come from ``answers.sqlite`` in the output folder. Each new answer is stored there
    before it is used, so an interrupted bench continues where it stopped.

    Args:
        config: what to measure; None: made from the options.
        progress: receives reports on how far the bench has come.
        workers: processes of this machine that divide images and draw pictures; the caller closes them. None: the
            bench's own.
        **options: fields of ``RunConfig``, such as ``models=["contrast"], dataset="mvtec", data=Path("mvtec")``.

    Returns:
        The runs: the models' in the order of ``config.models``, then the reference rows.

    Raises:
        ConfigError: a name, setting or value is wrong.
        PluginError: a plugin cannot be loaded or built.
        DataError: the data set cannot be used.
        FatalError: a model cannot be asked any further, or answered nothing; every answer so far is kept.
        StoreError: a store cannot be read or written.
        RunError: a run or a map cannot be written.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("good", "bent"):
        ...         folder = Path(root, "bolts", kind)
        ...         folder.mkdir(parents=True)
        ...         Image.new("L", (64, 64)).save(folder / "0.png")
        ...     conditions = {"division": "grid", "image_size": 64}
        ...     runs = bench(models=["contrast"], dataset="folder", data=Path(root, "bolts"), settings=conditions,
        ...                  out=Path(root, "runs"), reference_rows=False)
        ...     runs.named("contrast").metrics["mean"]["image_auroc"]
        0.5
        >>> bench(modles=["contrast"])
        Traceback (most recent call last):
        ...
        lvlm_ad.errors.ConfigError: RunConfig has no field 'modles'. Did you mean 'models'?
    """
    if config is not None and not isinstance(config, RunConfig):
        raise ConfigError(
            f"bench takes a RunConfig or its fields by name, as bench(models=['contrast']); {config!r:.80} is neither."
        )
    plan = resolve((config or RunConfig()).with_options(options), unlabelled=True)
    return bench_plan(plan, progress or Progress(), workers)


def bench_plan(
    plan: Plan, progress: Progress, workers: Workers | None = None, series: BenchSeries | None = None
) -> Runs:
    """Measure what a plan says; see ``bench``. ``series``: the benches that this one belongs to, as in a study."""
    for note in plan.dataset.all_notes:
        progress.note(note)
    warnings = clashes(preset_names("models"))
    for name in dict.fromkeys(name for model in plan.models for name in (model.preset.name, model.preset.plugin)):
        if name in warnings:
            progress.note(warnings[name])

    maps = None if plan.config.maps is None else MapWriter(plan, plan.config.maps)

    def measure() -> Runs:
        with BenchSession.started(plan, progress, workers, series) as (session, detectors):
            session.kept_pictures.trim()
            return Runs(run for detector in detectors for run in _runs_of(session, detector, maps))

    return with_sound_cache(measure, plan, progress)


def dry_run(
    config: RunConfig, progress: Progress | None = None, workers: Workers | None = None
) -> list[dict[str, Any]]:
    """Estimate what a bench would ask and cost, without asking; no key is needed. The arguments are those of ``bench``.

    Returns:
        For each chat model what ``ChatDetector.forecast`` returns.
    """
    plan, progress = resolve(config, unlabelled=True), progress or Progress()
    for note in plan.dataset.remarks:
        progress.note(note)
    return forecast_plan(plan, progress, workers)


def forecast_plan(plan: Plan, progress: Progress, workers: Workers | None = None) -> list[dict[str, Any]]:
    """Estimate what a plan would ask and cost; see ``dry_run``."""
    plan = replace(plan, models=tuple(without_key(model) for model in plan.models))

    def forecasts() -> list[dict[str, Any]]:
        with BenchSession.started(plan, progress, workers) as (_, detectors):
            return [forecast for detector in detectors if (forecast := detector.forecast()) is not None]

    return with_sound_cache(forecasts, plan, progress)


def with_sound_cache(work: Callable[[], T], plan: Plan, progress: Progress) -> T:
    """Do the work; if the cache turns out to be damaged, do it again with a new one. The cache holds no answers."""
    try:
        return work()
    except CacheError as error:
        aside = put_aside(plan.config.stores_folder / "cache.sqlite")
        progress.note(f"The cache is damaged ({error.__cause__ or error}): {aside}. Starting again with a new one.")
        return work()


def without_key(model: Model) -> Model:
    """Return a model that can be built without a key: it will not be asked."""
    options = {**model.preset.options, **model.plugin.Options.keyless}
    return replace(model, preset=model.preset.model_copy(update={"options": options}))


def _runs_of(session: Session, detector: Detector[Any], maps: MapWriter | None) -> list[Run]:
    """Run one model and write a run for each of its rows.

    Raises:
        FatalError: not one question was answered: the row would measure the connection, not the model.
    """
    started, plan, name = datetime.now(UTC), session.plan, detector.name
    if maps is not None and not detector.places:
        session.progress.note(f"{name}: --method {plan.method_name} gives no map, so none is written.")
        maps = None
    if maps is not None:
        maps.start(name, detector.rows)
    detector.start()
    upload = None if plan.is_labelled or not detector.places else UploadWriter(plan, detector)
    results: dict[Row, RowResult | UnlabelledResult] = {
        row: RowResult(plan, row, detector.finalize, detector.places)
        if plan.is_labelled
        else UnlabelledResult(plan, detector.finalize)
        for row in detector.rows
    }
    retries: list[str] = []
    session.progress.start(name, len(plan.asked))
    for prediction, images in _predictions(session, detector, maps, upload):
        for row, image in images.items():
            results[row].add(image)
        if prediction.retry_error:
            retries.append(f"{prediction.record.id}: {prediction.retry_error[:300]}")
        image = next(iter(images.values()))
        session.progress.advance(
            failed=not image.record.usable,
            stored=image.stored,
            cost=image.spent,
        )
    session.progress.finish()
    if retries:
        session.progress.note(f"{name}: {len(retries)} questions were asked again without success. {min(retries)}")
    runs = []
    for row, result in results.items():
        records = result.predictions
        if all(record.status == "failed" for record in records):
            asked = "questions" if plan.method_name == "regions" else "images"
            raise FatalError(
                f"{name}: none of {len(records)} {asked} was answered. The first, {records[0].id}: "
                f"{' '.join(records[0].notes)}"
            )
        if maps is not None:
            maps.write_scores(name, row, records)
        more = {} if upload is None else {"upload": upload.finish(row, records)}
        facts, environment = detector.facts(row), detector.plugin.environment()
        runs.append(result.write(facts, started, environment, paid=detector.paid, **more))
    return runs


def _predictions(
    session: Session, detector: Detector[Any], maps: MapWriter | None, upload: UploadWriter | None
) -> Iterator[tuple[Prediction, Mapping[Row, RowImage]]]:
    """Predict every sample in a pool of threads, started in the data set's order; results come in any order.

    No more are started than can be under way while results are taken: each may hold a map. After an error or Ctrl-C no
    further question is started; those under way are waited for, because they are paid for.
    """
    tested = {sample.id for sample in session.plan.dataset}

    def predict(sample: Sample) -> tuple[Prediction, Mapping[Row, RowImage]]:
        prediction = detector.detect(sample, session.divisions.regions(sample))
        if maps is not None and sample.id in tested:
            maps.write(detector.name, detector.rows, sample, prediction)
        if upload is not None:
            upload.write(detector.rows, sample, prediction)
        return prediction, images_of_rows(session, detector.rows, sample, prediction, detector.places)

    pool = ThreadPoolExecutor(detector.workers)
    under_way: set[Future[tuple[Prediction, Mapping[Row, RowImage]]]] = set()
    finished: SimpleQueue[Future[tuple[Prediction, Mapping[Row, RowImage]]]] = SimpleQueue()

    def next_finished() -> Future[tuple[Prediction, Mapping[Row, RowImage]]]:
        one = finished.get()
        under_way.remove(one)
        return one

    try:
        waiting, most = iter(session.plan.asked), detector.at_first or 2 * detector.workers
        while True:
            for sample in islice(waiting, most - len(under_way)):
                one = pool.submit(predict, sample)
                under_way.add(one)
                one.add_done_callback(finished.put)
            if not under_way:
                return
            yield next_finished().result()
            most = min(most + 1, 2 * detector.workers)
    except KeyboardInterrupt:
        if any(one.running() for one in under_way):
            session.progress.note("Stopping: waiting for the answers under way. Press Ctrl-C again to leave them.")
        raise
    finally:
        detector.stop()
        pool.shutdown(wait=True, cancel_futures=True)
