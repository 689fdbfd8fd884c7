"""A run in memory and its folder on disk, which may be a stranger's: what is read is checked, and no link leads out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from lvlm_ad.errors import ConfigError, MetricError, RunError, nearest, what_is_wrong
from lvlm_ad.escape import html
from lvlm_ad.files import read_arrays, read_file, write_file
from lvlm_ad.limits import (
    ARRAYS_BYTES,
    HISTOGRAM_BYTES,
    MANIFEST_BYTES,
    PREDICTION_BYTES,
    PREDICTIONS_BYTES,
    REGIONS,
    TOTAL_COUNT,
    check_plain,
)
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.regions.regions import PUBLISHED_AREA
from lvlm_ad.runs.measures import Measures
from lvlm_ad.runs.prediction_records import PredictionRecord
from lvlm_ad.runs.records import (
    METRIC_NAMES,
    METRIC_TITLES,
    SCHEMA_VERSION,
    DivisionRecord,
    Manifest,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Run",
    "Runs",
    "read_run",
    "write_run",
]

RESAMPLES_FILE = "resamples.npz"
"""A cache that bench writes after a run; see ``draws.py``."""

CHANNELS_FILE = "channels.npz"
"""Like ``pixels.npz``, of data sets with a mask for each defect."""

THRESHOLD_FILE = "threshold.jsonl"
"""Predictions of images besides the test images, from which the threshold was chosen."""


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run.

    Attributes:
        dir: its folder.
        manifest: everything that the numbers depend on.
        metrics: the content of metrics.json.
        predictions: one record per image, in the data set's order; empty if the run was read without them.
        histograms: each image's score histogram, in the same order; None if the run has none or was read without them.
        threshold_records: one record per image besides the test images that the threshold was chosen from.
        channels: like ``histograms``, of each defect by itself (``lvlm_ad.metrics.spro``); None where the data set's
            authors report no metric that needs it.
    """

    dir: Path
    manifest: Manifest
    metrics: Mapping[str, Any]
    predictions: Sequence[PredictionRecord]
    histograms: Sequence[ScoreHistogram | None] | None = None
    threshold_records: Sequence[PredictionRecord] = ()
    channels: Sequence[ScoreHistogram | None] | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return the predictions as a pandas frame: one row per image, one column per field of ``PredictionRecord``.

        Raises:
            ConfigError: pandas is not installed.
        """
        return _frame([record.model_dump() for record in self.predictions], list(PredictionRecord.model_fields))

    def check_labels(self) -> None:
        """Raise a ``RunError`` if the images have no labels: there are no metrics to show or to compare."""
        if not self.manifest.dataset.is_labelled:
            raise RunError(f"{self.dir}: the images have no labels, so the run has predictions but no metrics.")

    def __repr__(self) -> str:
        name, dataset = self.manifest.row_name, self.manifest.dataset.name
        return f"<Run {name} on {dataset}: {len(self.predictions)} images, in {self.dir}>"

    def _repr_html_(self) -> str:
        rows = [*self.metrics["categories"].items(), ("mean", self.metrics["mean"])]
        dataset = self.manifest.dataset
        return _table("Category", rows, f"{self.manifest.row_name} on {dataset.name}: {dataset.n_images} images")


class Runs(list[Run]):
    """A list of runs. Notebooks show it as a table.

    Example:
        >>> Runs().named("contrast")
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.ConfigError: There is no run of 'contrast'.
    """

    def named(self, name: str) -> Run:
        """Return the run of a model, such as "contrast" or "contrast (dense)".

        Raises:
            ConfigError: no run has this name; the message suggests the nearest names.
        """
        by_name = {run.manifest.row_name: run for run in self}
        if name not in by_name:
            raise ConfigError(f"There is no run of {name!r}.{nearest(name, by_name)}")
        return by_name[name]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame with one row per run: model, data set, metrics in 0..1, coverage, cost and folder.

        Raises:
            ConfigError: pandas is not installed.
        """
        columns = ["model", "dataset", "images", *METRIC_NAMES, "coverage", "cost_usd", "dir"]
        rows = [
            {
                "model": run.manifest.row_name,
                "dataset": run.manifest.dataset.name,
                "images": run.manifest.dataset.n_images,
                **{name: run.metrics["mean"].get(name) for name in METRIC_NAMES},
                "coverage": run.metrics.get("coverage"),
                "cost_usd": run.metrics["usage"]["cost_usd"],
                "dir": str(run.dir),
            }
            for run in self
        ]
        return _frame(rows, columns)

    def _repr_html_(self) -> str:
        return _table("Model", [(run.manifest.row_name, run.metrics["mean"]) for run in self])


def write_run(run: Run) -> None:
    """Write a run's files. ``run.json`` is written last, so a folder that has it is complete.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        run.dir.mkdir(parents=True, exist_ok=True)
        for name in ("run.json", RESAMPLES_FILE):
            (run.dir / name).unlink(missing_ok=True)
        _write_records(run.dir / "predictions.jsonl", run.predictions)
        if run.threshold_records:
            _write_records(run.dir / THRESHOLD_FILE, run.threshold_records)
        else:
            (run.dir / THRESHOLD_FILE).unlink(missing_ok=True)
        write_file(run.dir / "metrics.json", _json(run.metrics))
        for name, histograms in (("pixels.npz", run.histograms), (CHANNELS_FILE, run.channels)):
            if histograms is None:
                (run.dir / name).unlink(missing_ok=True)
            else:
                buffer = BytesIO()
                np.savez_compressed(buffer, allow_pickle=False, **dict(ScoreHistograms.of(histograms).arrays))
                write_file(run.dir / name, buffer.getvalue())
        write_file(run.dir / "run.json", _json(run.manifest.model_dump(mode="json")))
    except OSError as error:
        raise RunError(f"The run folder {run.dir} cannot be written: {error.strerror}.") from error


def read_run(folder: Path, *, predictions: bool = True) -> Run:
    """Read a run.

    Args:
        folder: the run's folder.
        predictions: whether to read the predictions and the score histograms, too; a leaderboard needs neither.

    Raises:
        RunError: a file is missing or damaged, or a newer version wrote it.

    Example:
        >>> read_run(Path("no-run"))
        Traceback (most recent call last):
            ...
        lvlm_ad.errors.RunError: The run no-run is incomplete: run.json cannot be read (No such file or directory).
    """
    with reading(folder, "run.json") as path:
        check_plain(folder.name)
        manifest = Manifest.model_validate_json(read_file(path, MANIFEST_BYTES))
    with reading(folder, "metrics.json") as path:
        text = read_file(path, MANIFEST_BYTES)
        Measures.model_validate_json(text)
        metrics = check_plain(json.loads(text))
    if not predictions:
        return Run(folder, manifest, metrics, [])
    expected = manifest.dataset.n_images
    with reading(folder, "predictions.jsonl") as path:
        records = _records(path, expected)
    histograms = _histograms(folder, "pixels.npz", expected)
    channels = _histograms(folder, CHANNELS_FILE, expected)
    with reading(folder, THRESHOLD_FILE) as path:
        others = _records(path, TOTAL_COUNT) if path.exists() else []
    run = Run(folder, manifest, metrics, records, histograms, others, channels)
    _check_files_agree(run)
    return run


def _histograms(folder: Path, name: str, expected: int) -> ScoreHistograms | None:
    """Read the score histograms of so many images; None if there is no such file."""
    with reading(folder, name) as path:
        if not path.exists():
            return None
        with path.open("rb") as archive:
            return ScoreHistograms(read_arrays(archive, min(ARRAYS_BYTES, (expected + 1) * HISTOGRAM_BYTES)))


def _write_records(path: Path, records: Iterable[PredictionRecord]) -> None:
    write_file(path, (record.line() for record in records))


def _records(path: Path, expected: int) -> list[PredictionRecord]:
    """Read the lines of predictions.jsonl, at most one more than expected."""
    if path.stat().st_size > PREDICTIONS_BYTES:
        raise ValueError(f"it is larger than {PREDICTIONS_BYTES:,} bytes")
    records: list[PredictionRecord] = []
    with path.open("rb") as file:
        while len(records) <= expected and (line := file.readline(PREDICTION_BYTES + 1)):
            if len(line) > PREDICTION_BYTES:
                raise ValueError(f"line {len(records) + 1} is longer than {PREDICTION_BYTES:,} bytes")
            records.append(PredictionRecord.model_validate_json(line))
    return records


@contextmanager
def reading(folder: Path, name: str, what: str = "run", advice: str = "") -> Iterator[Path]:
    """Give the path of a file in the folder of a run, and turn every error about it into a ``RunError``.

    Args:
        folder: the folder.
        name: the file.
        what: what the folder holds, for messages.
        advice: what to do if the file is damaged, one sentence.
    """
    advice = advice and f" {advice}"
    path = folder / name
    # A link out of the folder would read somebody else's file; a pipe never ends.
    # realpath() accepts links in a circle, which Path.resolve() may not.
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise RunError(f"{path} is a link out of the {what}'s folder.")
    if os.path.lexists(path) and not path.is_file():
        raise RunError(f"{path} is not a regular file.")
    try:
        yield path
    except OSError as error:
        raise RunError(f"The {what} {folder} is incomplete: {name} cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        problems = error.errors(include_url=False)
        if any(one["loc"] == ("schema_version",) and one["type"] == "less_than_equal" for one in problems):
            newest = f"this version reads schema {SCHEMA_VERSION} and older"
            raise RunError(f"A newer lvlm-ad wrote {path}; {newest}. Upgrade to read it.") from error
        place = ".".join(str(part) for part in problems[0]["loc"]) or "it"
        problem = f"{place} {what_is_wrong(problems[0])}"
        raise RunError(f"The {what} {folder} is damaged: {name}: {problem}.{advice}") from error
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise nearly anything
        problem = str(error) if type(error) in {MetricError, ValueError} else f"{error!r:.200}"
        raise RunError(f"The {what} {folder} is damaged: {name}: {problem.rstrip('.')}.{advice}") from error


def _check_files_agree(run: Run) -> None:
    """Check that predictions.jsonl and pixels.npz belong to run.json.

    Raises:
        RunError: they do not.
    """
    manifest, records, damaged = run.manifest, run.predictions, f"The run {run.dir} is damaged"
    expected = manifest.dataset.n_images
    if len(records) != expected:
        raise RunError(f"The run {run.dir} is incomplete: it has {len(records)} of {expected} predictions.")
    if {record.category for record in records} != set(manifest.dataset.categories):
        raise RunError(f"{damaged}: run.json names other categories than predictions.jsonl.")
    for record in records if manifest.model.kind != "maps" else ():
        if record.image_score is not None and not 0 <= record.image_score <= 1:
            raise RunError(f"{damaged}: predictions.jsonl: the score of {record.id} is not in 0..1.")
    if run.channels is not None and len(run.channels) != expected:
        counts = f"{len(run.channels)} images in {CHANNELS_FILE}, {expected} in predictions.jsonl"
        raise RunError(f"{damaged}: {counts}.")
    if run.histograms is None:
        return
    if len(run.histograms) != expected:
        counts = f"{len(run.histograms)} images in pixels.npz, {expected} in predictions.jsonl"
        raise RunError(f"{damaged}: {counts}.")
    limit = _max_regions(manifest.division)
    for record, one in zip(records, run.histograms, strict=True):
        fitting = limit if one is None else min(limit, int(one.normal.sum() + one.anomalous.sum()))
        if record.n_regions > fitting:
            raise RunError(
                f"{damaged}: {record.id} has {record.n_regions:,} regions, but only {fitting:,} fit into the image."
            )


def _max_regions(division: DivisionRecord) -> int:
    """Return how many regions an image can have: in a partition they do not overlap and have a minimum area."""
    if not division.method:
        return 0
    least = division.options.get("min_area")
    if division.method not in {"grid", "superpixel"} or not isinstance(least, int | float) or least <= 1:
        return REGIONS
    return min(REGIONS, int(PUBLISHED_AREA / least))


def _json(value: Mapping[str, Any]) -> str:
    # allow_nan=False: a NaN would be invalid JSON, and a defect of ours.
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _frame(rows: Sequence[Mapping[str, Any]], columns: list[str]) -> pd.DataFrame:
    try:
        import pandas as pd  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise ConfigError("to_frame() needs pandas; install it with: pip install 'lvlm-ad[pandas]'.") from error
    return pd.DataFrame(rows, columns=columns)


def _table(first: str, rows: Iterable[tuple[str, Mapping[str, Any]]], caption: str = "") -> str:
    """Return rows of metrics as an HTML table, in percent. Names may be a stranger's and are escaped."""
    heads = "".join(f"<th>{head}</th>" for head in (first, *METRIC_TITLES.values()))
    lines = []
    for name, metrics in rows:
        values = [metrics.get(metric) for metric in METRIC_NAMES]
        cells = "".join(f"<td>{'-' if value is None else f'{100 * value:.1f}'}</td>" for value in values)
        lines.append(f"<tr><th>{html(name)}</th>{cells}</tr>")
    above = f"<caption>{html(caption)}</caption>" if caption else ""
    return f"<table>{above}<thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
