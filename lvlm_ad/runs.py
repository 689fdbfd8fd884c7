"""A run on disk: manifest, predictions and metrics. The schema is versioned; older versions are read, newer refused."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from pydantic import ValidationError

from lvlm_ad.arrays import read_arrays
from lvlm_ad.errors import ConfigError, MetricError, RunError, nearest
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.notebook import category_table, prediction_frame, row_frame, row_table
from lvlm_ad.packed import Predictions
from lvlm_ad.records import METRIC_NAMES, SCHEMA_VERSION, Manifest, Measures, PredictionRecord
from lvlm_ad.store import write_file

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "METRIC_NAMES",
    "Manifest",
    "PredictionRecord",
    "Run",
    "Runs",
    "find_runs",
    "only_run",
    "read_run",
    "read_runs",
    "write_run",
]

_FILES = {"Manifest": "run.json", "Measures": "metrics.json", "PredictionRecord": "predictions.jsonl"}

_NO_ARCHIVE = (BadZipFile, zlib.error, TokenError)
"""What NumPy lets through of a damaged pixels.npz."""


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run.

    Attributes:
        dir: its folder.
        manifest: everything the numbers depend on.
        metrics: the content of metrics.json.
        predictions: one record an image, in the data set's order.
        histograms: what is kept of each image's pixels, in the same order; None if the run holds none or was read without.
    """

    dir: Path
    manifest: Manifest
    metrics: Mapping[str, Any]
    predictions: Sequence[PredictionRecord]
    histograms: Sequence[ScoreHistogram | None] | None = None

    def to_frame(self) -> pd.DataFrame:
        """Return the predictions as a pandas frame, a row an image.

        Raises:
            ConfigError: pandas is not installed.
        """
        return prediction_frame(self.predictions)

    def __repr__(self) -> str:
        of = self.manifest.row_name, self.manifest.dataset.name, len(self.predictions), str(self.dir)
        return "<Run {} on {}: {} images, in {}>".format(*of)

    def _repr_html_(self) -> str:
        return category_table(self.manifest, self.metrics)


class Runs(list[Run]):
    """Runs, as a list that a notebook shows as a table."""

    def named(self, name: str) -> Run:
        """Return the run of a model, such as "contrast" or "contrast (dense)".

        Raises:
            ConfigError: there is none of this name (the nearest are named).
        """
        found = {run.manifest.row_name: run for run in self}
        if name not in found:
            raise ConfigError(f"There is no run of {name!r}.{nearest(name, found)}")
        return found[name]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas frame, a row a run: model, data set, the seven metrics in 0..1, coverage, cost, folder.

        Raises:
            ConfigError: pandas is not installed.
        """
        return row_frame(self._rows())

    def _rows(self) -> list[tuple[Manifest, Mapping[str, Any], str]]:
        return [(run.manifest, run.metrics, str(run.dir)) for run in self]

    def _repr_html_(self) -> str:
        return row_table(self._rows())


def write_run(run: Run) -> None:
    """Write a run's files, each whole or not at all; ``run.json`` last, so that a folder with one is complete.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        run.dir.mkdir(parents=True, exist_ok=True)
        (run.dir / "run.json").unlink(missing_ok=True)
        write_file(run.dir / "predictions.jsonl", _lines(run.predictions))
        write_file(run.dir / "metrics.json", _json(run.metrics))
        if run.histograms is None:
            (run.dir / "pixels.npz").unlink(missing_ok=True)
        else:
            write_file(run.dir / "pixels.npz", _npz(ScoreHistograms.of(run.histograms).arrays))
        write_file(run.dir / "run.json", _json(run.manifest.model_dump(mode="json")))
    except OSError as error:
        raise RunError(f"The run folder {run.dir} cannot be written: {error.strerror}.") from error


def read_run(folder: Path, *, predictions: bool = True) -> Run:
    """Read a run.

    Args:
        folder: the run's folder.
        predictions: whether to read the predictions and the histograms of pixels too; a leaderboard needs none.

    Raises:
        RunError: a file is missing or damaged, or was written by a newer version.
    """
    try:
        _check_files(folder)
        raw = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        version = raw["schema_version"]
        if version > SCHEMA_VERSION:
            raise RunError(f"{folder} was written by a newer lvlm-ad (schema {version}); upgrade to read it.")
        records: list[PredictionRecord] = []
        histograms: ScoreHistograms | None = None
        if predictions:
            # Runs of older versions have none.
            if (folder / "pixels.npz").is_file():
                with (folder / "pixels.npz").open("rb") as archive:
                    histograms = ScoreHistograms(read_arrays(archive))
            with (folder / "predictions.jsonl").open(encoding="utf-8") as lines:
                records = [PredictionRecord.model_validate_json(line) for line in lines]
        text = (folder / "metrics.json").read_text(encoding="utf-8")
        Measures.model_validate_json(text)
        metrics = json.loads(text)
        manifest = Manifest.model_validate(raw)
        if predictions:
            _check_together(folder, manifest, records, histograms)
        return Run(folder, manifest, metrics, records, histograms)
    except OSError as error:
        raise RunError(
            f"The run {folder} is incomplete: {error.filename} cannot be read ({error.strerror})."
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        file = _FILES[error.title]
        raise RunError(f"The run {folder} is damaged: {file}: {place or 'it'}: {first['msg']}.") from error
    except MetricError as error:
        raise RunError(f"The run {folder} is damaged: pixels.npz: {error}") from error
    except (ValueError, LookupError, TypeError, EOFError, RecursionError, SyntaxError, *_NO_ARCHIVE) as error:
        raise RunError(f"The run {folder} is damaged: {error!r:.200}.") from error


def find_runs(root: Path) -> list[Path]:
    """Return the run folders in a folder, or the folder itself if it is one; sorted by name."""
    if (root / "run.json").is_file():
        return [root]
    if not root.is_dir():
        raise RunError(f"There is no folder {root}; run 'lvlm-ad bench' first or name the folder given to --out.")
    return sorted(path.parent for path in root.glob("*/run.json"))


def only_run(root: Path) -> Path:
    """Return the run folder that a folder is, or the only one that it holds.

    Raises:
        RunError: there is none, or there are several.
    """
    found = find_runs(root)
    if len(found) != 1:
        some = f"holds {len(found)} runs; name one, such as {found[0]}" if found else "is no run and holds none"
        raise RunError(f"{root} {some}.")
    return found[0]


def read_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Read all runs of a folder, without their predictions.

    Returns:
        The runs, and for each that cannot be read what is wrong with it: one damaged run must not hide the others.

    Raises:
        RunError: there is no such folder.
    """
    runs: list[Run] = []
    folders = find_runs(root)
    begun = sorted({path.parent for path in root.glob("*/predictions.jsonl")} - set(folders))
    problems = [f"The run {folder} is incomplete: run.json is missing." for folder in begun]
    for folder in folders:
        try:
            runs.append(read_run(folder, predictions=False))
        except RunError as error:
            problems.append(str(error))
    return runs, problems


def _check_files(folder: Path) -> None:
    """Refuse what is no file of the run's own: a link out of its folder would have others' files read, a pipe none.

    Raises:
        RunError: there is such a one.
    """
    for name in ("run.json", "metrics.json", "predictions.jsonl", "pixels.npz"):
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        if (path.exists() or path.is_symlink()) and not (inside and path.is_file()):
            raise RunError(
                f"{path} is no file of the run, but {'a link out of it' if not inside else 'another thing'}."
            )


def _check_together(
    folder: Path, manifest: Manifest, records: Sequence[PredictionRecord], histograms: ScoreHistograms | None
) -> None:
    """Hold the files of a run against each other.

    Raises:
        RunError: they are not of one run.
    """
    if len(records) != manifest.dataset.n_images:
        raise RunError(
            f"The run {folder} is incomplete: {len(records)} of {manifest.dataset.n_images} predictions are there."
        )
    if histograms is not None and len(histograms) != len(records):
        raise RunError(
            f"The run {folder} is damaged: {len(histograms)} images in pixels.npz, {len(records)} predicted."
        )
    if {record.category for record in records} != set(manifest.dataset.categories):
        raise RunError(f"The run {folder} is damaged: run.json names other categories than predictions.jsonl.")
    if manifest.model.kind != "maps":
        _check_scores(records)


def _check_scores(records: Sequence[PredictionRecord]) -> None:
    for record in records:
        if record.image_score is not None and not 0 <= record.image_score <= 1:
            raise ValueError(f"predictions.jsonl: the score of {record.id} is not in 0..1")


def _lines(records: Iterable[PredictionRecord]) -> Iterator[bytes]:
    lines = records.lines() if isinstance(records, Predictions) else map(_line, records)
    return (line + b"\n" for line in lines)


def _line(record: PredictionRecord) -> bytes:
    return record.model_dump_json().encode()


def _json(value: Any) -> str:
    # allow_nan=False: a NaN here is a mistake of ours and must not reach a file as invalid JSON.
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()
