"""Reads and writes run folders. A folder may be a stranger's: what is read is checked, and no link leads out of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from lvlm_ad.errors import MetricError, RunError
from lvlm_ad.files import read_arrays, write_file
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.runs.records import SCHEMA_VERSION, Manifest, Measures, PredictionRecord
from lvlm_ad.runs.run import Run

__all__ = ["find_runs", "only_run", "read_run", "read_runs", "write_run"]


def write_run(run: Run) -> None:
    """Write a run's files. ``run.json`` is written last, so a folder that has it is complete.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        run.dir.mkdir(parents=True, exist_ok=True)
        (run.dir / "run.json").unlink(missing_ok=True)
        lines = (record.model_dump_json().encode() + b"\n" for record in run.predictions)
        write_file(run.dir / "predictions.jsonl", lines)
        write_file(run.dir / "metrics.json", _json(run.metrics))
        if run.histograms is None:
            (run.dir / "pixels.npz").unlink(missing_ok=True)
        else:
            buffer = BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **dict(ScoreHistograms.of(run.histograms).arrays))
            write_file(run.dir / "pixels.npz", buffer.getvalue())
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
    with _reading(folder, "run.json") as path:
        manifest = Manifest.model_validate_json(path.read_bytes())
    with _reading(folder, "metrics.json") as path:
        text = path.read_bytes()
        Measures.model_validate_json(text)
        metrics = json.loads(text)
    if not predictions:
        return Run(folder, manifest, metrics, [])
    with _reading(folder, "predictions.jsonl") as path, path.open("rb") as lines:
        records = [PredictionRecord.model_validate_json(line) for line in lines]
        _check_records(folder, manifest, records)
    with _reading(folder, "pixels.npz") as path:
        histograms = _read_histograms(path) if path.exists() else None
    if histograms is not None and len(histograms) != len(records):
        counts = f"{len(histograms)} images in pixels.npz, {len(records)} in predictions.jsonl"
        raise RunError(f"The run {folder} is damaged: {counts}.")
    return Run(folder, manifest, metrics, records, histograms)


def find_runs(root: Path) -> list[Path]:
    """Return the run folders in a folder, sorted by name; or the folder itself if it is a run.

    Raises:
        RunError: there is no such folder.
    """
    if (root / "run.json").is_file():
        return [root]
    if not root.is_dir():
        raise RunError(f"There is no folder {root}; run 'lvlm-ad bench' first or name the folder given to --out.")
    return sorted(path.parent for path in root.glob("*/run.json"))


def only_run(root: Path) -> Path:
    """Return the one run of a folder, or the folder itself if it is a run.

    Raises:
        RunError: the folder has no run, or several.
    """
    folders = find_runs(root)
    if not folders:
        raise RunError(f"{root} is not a run and contains none.")
    if len(folders) > 1:
        raise RunError(f"{root} contains {len(folders)} runs; name one, such as {folders[0]}.")
    return folders[0]


def read_runs(root: Path, known: Iterable[Run] = ()) -> tuple[list[Run], list[str]]:
    """Read all runs of a folder, without their predictions.

    Args:
        root: the folder.
        known: runs of the folder that need not be read, because this process has just written them.

    Returns:
        The runs, and one message for each run that cannot be read: a damaged run must not hide the others.

    Raises:
        RunError: there is no such folder.
    """
    runs: list[Run] = []
    in_memory = {run.dir: run for run in known}
    folders = find_runs(root)
    without_manifest = sorted({path.parent for path in root.glob("*/predictions.jsonl")} - set(folders))
    problems = [f"The run {folder} is incomplete: run.json is missing." for folder in without_manifest]
    for folder in folders:
        try:
            runs.append(in_memory.get(folder) or read_run(folder, predictions=False))
        except RunError as error:
            problems.append(str(error))
    return runs, problems


@contextmanager
def _reading(folder: Path, name: str) -> Iterator[Path]:
    """Give the path of one of a run's files, and turn every error about it into a ``RunError``."""
    path = folder / name
    # A link out of the folder would read somebody else's file; a pipe never ends.
    if not path.resolve().is_relative_to(folder.resolve()):
        raise RunError(f"{path} is a link out of the run's folder.")
    if path.exists() and not path.is_file():
        raise RunError(f"{path} is not a regular file.")
    try:
        yield path
    except OSError as error:
        raise RunError(f"The run {folder} is incomplete: {name} cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        problems = error.errors(include_url=False)
        if any(one["loc"] == ("schema_version",) and one["type"] == "less_than_equal" for one in problems):
            newest = f"this version reads schema {SCHEMA_VERSION} and older"
            raise RunError(f"A newer lvlm-ad wrote {path}; {newest}. Upgrade to read it.") from error
        place = ".".join(str(part) for part in problems[0]["loc"]) or "it"
        raise RunError(f"The run {folder} is damaged: {name}: {place}: {problems[0]['msg']}.") from error
    except (ValueError, MetricError) as error:
        raise RunError(f"The run {folder} is damaged: {name}: {error}") from error


def _read_histograms(path: Path) -> ScoreHistograms:
    try:
        with path.open("rb") as archive:
            return ScoreHistograms(read_arrays(archive))
    except (OSError, MetricError):
        raise
    except Exception as error:  # a damaged archive makes zipfile and NumPy raise nearly anything
        raise ValueError(f"{error!r:.200}") from error


def _check_records(folder: Path, manifest: Manifest, records: Sequence[PredictionRecord]) -> None:
    """Check that predictions.jsonl belongs to run.json.

    Raises:
        RunError: it does not.
    """
    expected = manifest.dataset.n_images
    if len(records) != expected:
        raise RunError(f"The run {folder} is incomplete: it has {len(records)} of {expected} predictions.")
    if {record.category for record in records} != set(manifest.dataset.categories):
        raise RunError(f"The run {folder} is damaged: run.json names other categories than predictions.jsonl.")
    scores = {} if manifest.model.kind == "maps" else {record.id: record.image_score for record in records}
    for image, score in scores.items():
        if score is not None and not 0 <= score <= 1:
            raise RunError(f"The run {folder} is damaged: predictions.jsonl: the score of {image} is not in 0..1.")


def _json(value: Mapping[str, Any]) -> str:
    # allow_nan=False: a NaN would be invalid JSON, and a defect of ours.
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
