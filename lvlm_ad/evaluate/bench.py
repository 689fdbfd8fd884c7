"""``bench`` and ``dry_run``: the whole order, from a configuration to runs on disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError, FatalError
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.manifest import make_manifest, run_folder
from lvlm_ad.evaluate.rows import RowImage, RowResult, images_of_rows
from lvlm_ad.evaluate.session import Session
from lvlm_ad.log import Progress, event
from lvlm_ad.plugins import clashes
from lvlm_ad.presets import preset_names
from lvlm_ad.runs import Run, Runs, write_run
from lvlm_ad.text2seg import UNANSWERED

if TYPE_CHECKING:
    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.detector import Detector, Prediction

__all__ = ["bench", "dry_run"]


def bench(config: RunConfig | None = None, progress: Progress | None = None, **options: Any) -> Runs:
    """Measure models on a data set and write a run for each row.

    A question that was asked before is answered from ``answers.sqlite`` in the output folder. Each new answer is stored
    there before it is used, so an interrupted bench continues where it stopped.

    Args:
        config: what to measure; None: made from the options.
        progress: receives reports on how far the bench has come.
        **options: fields of ``RunConfig``, such as ``models=["contrast"], dataset="mvtec", data=Path("mvtec")``.

    Returns:
        The runs: the models' in the order of ``config.models``, then the reference rows.

    Raises:
        ConfigError: a name, setting or value is wrong.
        PluginError: a plugin cannot be loaded or built.
        DataError: the data set cannot be used.
        FatalError: a model cannot be asked any further, or answered nothing; every answer so far is kept.
        StoreError: a store cannot be read or written.
        RunError: a run cannot be written.

    Example:
        >>> runs = bench(models=["contrast"], dataset="mvtec", data="mvtec")  # doctest: +SKIP
        >>> runs.named("contrast").metrics["mean"]["image_auroc"]  # doctest: +SKIP
        0.63
        >>> bench(modles=["contrast"])
        Traceback (most recent call last):
        ...
        lvlm_ad.errors.ConfigError: RunConfig has no field 'modles'. Did you mean 'models'?
    """
    if config is not None and not isinstance(config, RunConfig):
        raise ConfigError(
            f"bench takes a RunConfig or its fields by name, as bench(models=['contrast']); {config!r:.80} is neither."
        )
    plan = resolve((config or RunConfig()).with_options(options))
    progress = progress or Progress()
    for note in plan.dataset.notes:
        progress.note(note)
    warnings = clashes(preset_names("models"))
    for name in dict.fromkeys(name for model in plan.models for name in (model.preset.name, model.preset.plugin)):
        if name in warnings:
            progress.note(warnings[name])
    with Session.started(plan, progress) as (session, detectors):
        return Runs(run for detector in detectors for run in _runs_of(session, detector))


def dry_run(config: RunConfig, progress: Progress | None = None) -> list[dict[str, Any]]:
    """Estimate what a bench would ask and cost, without asking.

    Returns:
        For each chat model what ``lvlm_ad.evaluate.questions.forecast`` returns.
    """
    with Session.started(resolve(config), progress or Progress()) as (_, detectors):
        return [forecast for detector in detectors if (forecast := detector.forecast()) is not None]


def _runs_of(session: Session, detector: Detector[Any]) -> list[Run]:
    """Run one model and write a run for each of its rows.

    Raises:
        FatalError: not one question was answered: the row would measure the connection, not the model.
    """
    started, plan, name = datetime.now(UTC), session.plan, detector.name
    detector.start()
    results = {row: RowResult(plan, row, detector.finalize) for row in detector.rows}
    retries: list[str] = []
    session.progress.start(name, len(plan.dataset))
    for prediction, images in _predictions(session, detector):
        for row, image in images.items():
            results[row].add(image)
        if prediction.retry_error:
            retries.append(f"{prediction.sample_id}: {prediction.retry_error[:300]}")
        image = next(iter(images.values()))
        paid_now = detector.paid and not image.stored and image.record.status not in UNANSWERED
        session.progress.advance(
            failed=image.record.image_score is None,
            stored=image.stored,
            cost=image.record.cost_usd if paid_now else 0.0,
        )
    session.progress.finish()
    if retries:
        session.progress.note(f"{name}: {len(retries)} questions were asked again without success. {min(retries)}")
    runs = []
    for row, result in results.items():
        records = result.predictions
        if all(record.status == "failed" for record in records):
            raise FatalError(
                f"{name}: not one of {len(records)} questions was answered. {records[0].id}: "
                f"{' '.join(records[0].notes)}"
            )
        manifest = make_manifest(plan, detector.facts(row), started, detector.plugin.environment())
        folder = run_folder(plan.config.out, manifest)
        run = Run(folder, manifest, result.metrics(paid=detector.paid), records, result.histograms)
        write_run(run)
        answers, usage = run.metrics["answers"], run.metrics["usage"]
        event("run", dir=str(folder), config_hash=manifest.config_hash, answers=answers, usage=usage)
        runs.append(run)
    return runs


def _predictions(session: Session, detector: Detector[Any]) -> Iterator[tuple[Prediction, Mapping[Row, RowImage]]]:
    """Predict every sample in a pool of threads, started in the data set's order; results come in any order.

    No more are started than can be under way while results are taken: each may hold a map. After an error or Ctrl-C no
    further question is started; those under way are waited for, because they are paid for.
    """

    def predict(sample: Sample) -> tuple[Prediction, Mapping[Row, RowImage]]:
        prediction = detector.detect(sample, session.divisions.regions(sample))
        return prediction, images_of_rows(session, detector.rows, sample, prediction)

    pool = ThreadPoolExecutor(detector.workers)
    try:
        waiting = iter(session.plan.dataset)
        under_way: set[Future[tuple[Prediction, Mapping[Row, RowImage]]]] = set()
        while True:
            room = 2 * detector.workers - len(under_way)
            under_way |= {pool.submit(predict, sample) for sample in islice(waiting, room)}
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            while done:
                yield done.pop().result()
    except KeyboardInterrupt:
        session.progress.note("Stopping: waiting for the answers under way. Press Ctrl-C again to leave them.")
        raise
    finally:
        detector.stop()
        pool.shutdown(wait=True, cancel_futures=True)
