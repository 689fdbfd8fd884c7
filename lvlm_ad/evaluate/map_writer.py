"""``bench --maps``: the anomaly map of every image by every row, in files that ``lvlm-ad score`` reads back."""

from __future__ import annotations

import csv
import re
import shutil
from collections import Counter
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import numpy as np

from lvlm_ad.datasets.images import shown
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.escape import csv_cell
from lvlm_ad.evaluate.map_files import MAP_FORMATS, write_map
from lvlm_ad.evaluate.score_names import file_names
from lvlm_ad.files import write_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detectors import Prediction
    from lvlm_ad.runs import PredictionRecord

__all__ = ["IMAGE_SCORES", "MapWriter"]

IMAGE_SCORES = "image_scores.csv"
"""The file beside a row's maps that ``lvlm-ad score --image-scores`` reads."""

_BYTES = {"tiff": 4.0, "png": 2.0, "npy": 4.0}
"""Bytes of a pixel, uncompressed."""

_COMPRESSED = 0.02
"""To this share of its size a map of regions shrinks at least, in a TIFF or PNG; a dense map hardly shrinks."""

_MEGABYTE = 1e6


class MapWriter:
    """Writes a bench's maps: a folder for each row, in it a file for each image, named and nested like the images.

    A map has the size at which the row is measured, ``image_size`` x ``image_size``. An image without an answer counts
    as the bench counts it: with ``--on-failure zero`` as an empty map and the image score 0, with ``exclude`` not at
    all. A map that is already there is replaced.

    Args:
        plan: what is measured, and the folder and format of the maps.
        root: the folder for all rows.

    Raises:
        ConfigError: the folder cannot be written to, holds maps in another format, or two models would share a folder.
    """

    def __init__(self, plan: Plan, root: Path) -> None:
        self._plan, self._root, self._suffix = plan, root, plan.config.map_format
        self._names = file_names(plan.dataset)
        # Maps of the same model by several methods do not replace each other.
        self._methods = {
            model.preset.name: f"-{plan.method_name}"
            for model in plan.models
            if plan.method_name != "regions" and model.plugin.follows_method
        }
        try:
            root.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=root):
                pass
        except OSError as error:
            raise ConfigError(
                f"Maps cannot be written to {shown(root)}: {error.strerror}. Give another folder with --maps."
            ) from error
        rows: tuple[Row, ...] = ("regions", "dense")
        folders = Counter(self.folder(model.preset.name, row) for model in plan.models for row in rows)
        for folder, count in folders.items():
            if count > 1:
                raise ConfigError(
                    f"Two models would write their maps to {shown(folder)}; run them one after the other, each with "
                    "another folder for --maps."
                )
            self._refuse_other_formats(folder)

    def _refuse_other_formats(self, folder: Path) -> None:
        """Raise ConfigError if a folder holds maps in another format: an image must have one map."""
        for kind in MAP_FORMATS:
            other = next(folder.rglob(f"*.{kind}"), None) if kind != self._suffix else None
            if other is not None:
                raise ConfigError(
                    f"{shown(folder)} holds maps in another format, such as {shown(other.name)}; give another folder "
                    f"with --maps, or --map-format {kind}."
                )

    def folder(self, name: str, row: Row) -> Path:
        """Return the folder of a row's maps."""
        kind = "-dense" if row == "dense" else self._methods.get(name, "")
        return self._root / re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}{kind}").lstrip(".-")

    def start(self, name: str, rows: Sequence[Row]) -> None:
        """Get ready for a model.

        Raises:
            RunError: the disk has too little room for its maps, or cannot be written to.
        """
        side, needed = self._plan.protocol.image_size, 0.0
        for row in rows:
            whole = row == "dense" or self._suffix == "npy"
            missing = sum(not self._path(name, row, sample.id).exists() for sample in self._plan.dataset)
            needed += missing * side**2 * _BYTES[self._suffix] * (1.0 if whole else _COMPRESSED)
            # Of an earlier run; this one may end before it has all scores.
            (self.folder(name, row) / IMAGE_SCORES).unlink(missing_ok=True)
        free = shutil.disk_usage(self._root).free
        if needed > free:
            raise RunError(
                f"The maps of {name} need about {needed / _MEGABYTE:,.0f} MB, but {shown(self._root)} has "
                f"{free / _MEGABYTE:,.0f} MB free. Make room, or give another folder with --maps."
            )

    def write(self, name: str, rows: Sequence[Row], sample: Sample, prediction: Prediction) -> None:
        """Write the maps of one image; several threads call it.

        Raises:
            RunError: a file cannot be written.
        """
        for row in rows:
            path = self._path(name, row, sample.id)
            try:
                if self._left_out(prediction.record):
                    path.unlink(missing_ok=True)
                    continue
                dense = prediction.dense if row == "dense" else None
                path.parent.mkdir(parents=True, exist_ok=True)
                write_map(path, prediction.score_map.dense() if dense is None else np.asarray(dense.map))
            except OSError as error:
                raise _unwritable(path, error) from error

    def write_scores(self, name: str, row: Row, records: Sequence[PredictionRecord]) -> None:
        """Write the image scores of a row, once all are final.

        Raises:
            RunError: the file cannot be written.
        """
        text, path = StringIO(newline=""), self.folder(name, row) / IMAGE_SCORES
        table = csv.writer(text)
        table.writerow(["image", "score"])
        for record in records:
            if not self._left_out(record):
                image = self._names[record.id]
                # A spreadsheet runs no name as a formula that begins with "./", and a reader finds the same file.
                table.writerow([image if csv_cell(image) == image else f"./{image}", record.image_score or 0.0])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text.getvalue())
        except OSError as error:
            raise _unwritable(path, error) from error

    def _path(self, name: str, row: Row, sample_id: str) -> Path:
        return self.folder(name, row) / f"{self._names[sample_id]}.{self._suffix}"

    def _left_out(self, record: PredictionRecord) -> bool:
        return record.image_score is None and self._plan.config.on_failure == "exclude"


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{shown(path)} cannot be written: {error.strerror}. Every answer so far is kept; make room or give another "
        "folder with --maps, and the same command continues."
    )
