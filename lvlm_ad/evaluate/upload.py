"""The folder that the server of MVTec AD 2 takes, written while its images without labels are predicted."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from lvlm_ad.datasets.ad2_upload import (
    BINARY_MAPS,
    MAPS,
    UPLOAD_SPLITS,
    half_scores,
    map_name,
    write_binary_map,
    write_half_map,
)
from lvlm_ad.datasets.images import image_size, resize_mask, shown
from lvlm_ad.errors import RunError, listed
from lvlm_ad.evaluate.manifests import hash_of
from lvlm_ad.evaluate.map_files import read_map, resize_map
from lvlm_ad.metrics.binary import MapThreshold, NormalScores

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lvlm_ad.baseline import Row
    from lvlm_ad.datasets import Sample
    from lvlm_ad.evaluate.config import Plan
    from lvlm_ad.evaluate.detectors import Detector, Prediction
    from lvlm_ad.runs import PredictionRecord

__all__ = ["UploadWriter", "upload_folder"]

_THREADS = 4

_HALVES = 65536
"""Numbers that two bytes can hold."""

_NO_DIVISION = {"method": "", "options": {}, "hash": ""}


def upload_folder(out: Path, plan: Plan, facts: Mapping[str, Any]) -> Path:
    """Return the folder of a row: the same for both splits and for every object, and another for other conditions.

    Args:
        out: the folder for runs.
        plan: what is predicted.
        facts: what ``Detector.facts`` returned for the row.
    """
    model, division = facts["model"], facts.get("division", _NO_DIVISION)
    # With a limit, thresholds come from fewer validation images.
    limited = {} if plan.config.limit is None else {"limit": plan.config.limit}
    # The hashes of the division and of the prompt depend on the images and objects of this bench.
    prompt = plan.own_prompts.get(model["name"], plan.prompt).model_dump(mode="json", exclude={"name", "description"})
    asked = {"prompt": {**facts["prompt"], "hash": prompt}} if "prompt" in facts else {}
    digest = hash_of({**facts, "division": {**division, "hash": ""}, **asked, **limited})
    parts = [model["name"], *(["dense"] if model["row"] == "dense" else [])]
    parts += [] if plan.method_name == "regions" else [plan.method_name]
    name = "-".join([*parts, plan.dataset.name, "upload", digest[:8]])
    return out / re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-")


class UploadWriter:
    """Writes the maps of one model: for each of its rows a folder, to which both splits are added.

    A map is brought to the image's own height and width: scores of regions by the nearest pixel, so that they stay as
    they are, own maps bilinearly. All that follows is computed from the rounded scores in the files: the threshold of
    an object, mean + 3 standard deviations of all scores of its validation images, and the binary maps.

    An image without an answer has an empty map, since the server wants one of each; as a validation image it is left
    out.

    Args:
        plan: what is predicted; its data set is a split of MVTec AD 2 without labels.
        detector: the model, started.
    """

    def __init__(self, plan: Plan, detector: Detector[Any]) -> None:
        self._plan, self._split = plan, UPLOAD_SPLITS[plan.dataset.split]
        self._tested = {sample.id for sample in plan.dataset}
        self._folders = {row: upload_folder(plan.config.out, plan, detector.facts(row)) for row in detector.rows}
        # Of each float16, by its bits: the sums do not depend on which image comes first.
        self._normal: dict[tuple[Row, str], NDArray[np.int64]] = {}
        self._images: dict[tuple[Row, str], int] = {}
        self._distinct, self._merged = dict.fromkeys(detector.rows, 0), dict.fromkeys(detector.rows, 0)
        self._counting = threading.Lock()
        for row in detector.rows:
            self._remove_binary_maps(row)

    def write(self, rows: Sequence[Row], sample: Sample, prediction: Prediction) -> None:
        """Write the maps of a test image, or count the scores of a validation image; several threads call it.

        Raises:
            RunError: a file cannot be written.
        """
        size = image_size(sample.image_path)
        for row in rows:
            dense = prediction.dense if row == "dense" else None
            if dense is None:
                scores = resize_mask(prediction.score_map.dense(), size)
            else:
                scores = resize_map(np.asarray(dense.map), size)
            halves, distinct, merged = half_scores(scores)
            if sample.id not in self._tested:
                if prediction.record.image_score is not None:
                    self._count(row, sample.category, halves)
                continue
            path = self._path(row, MAPS, sample)
            try:
                write_half_map(path, halves)
            except OSError as error:
                raise _unwritable(path, error) from error
            with self._counting:
                self._distinct[row] += distinct
                self._merged[row] += merged

    def finish(self, row: Row, records: Sequence[PredictionRecord]) -> dict[str, Any]:
        """Cut the maps of a row at the thresholds, once all images were predicted.

        Args:
            row: the row.
            records: the predictions of its test images.

        Returns:
            "upload" of metrics.json: "folder" (its name), "split" (the folder of the split), "n_maps", "unanswered"
            (how many maps are empty for want of an answer), "distinct_scores" (added up over the images),
            "equal_scores" (how many of these became equal to another in float16), "thresholds" (object -> value, rule,
            source), and "no_binary_maps" (why there are none; "" if there are).

        Raises:
            RunError: a file cannot be written.
        """
        plan = self._plan
        thresholds = {name: self._threshold(row, name) for name in plan.dataset.categories}
        without = [name for name, one in thresholds.items() if one is None]
        chosen = {name: one for name, one in thresholds.items() if one is not None}
        if not without:
            self._cut(row, chosen)
        return {
            "folder": self._folders[row].name,
            "split": self._split,
            "n_maps": len(records),
            "unanswered": sum(record.image_score is None for record in records),
            "distinct_scores": self._distinct[row],
            "equal_scores": self._merged[row],
            "thresholds": {
                name: {"value": one.value, "rule": one.rule, "source": one.source} for name, one in chosen.items()
            },
            "no_binary_maps": f"no prediction of a validation image of {listed(without, 8)}" if without else "",
        }

    def _remove_binary_maps(self, row: Row) -> None:
        """Remove those of an earlier bench: they do not belong to the scores that are written now."""
        folders = {self._folders[row] / BINARY_MAPS}
        for sample in self._plan.dataset:
            path = self._path(row, BINARY_MAPS, sample)
            path.unlink(missing_ok=True)
            folders |= {path.parent, path.parent.parent}
        for folder in sorted(folders, reverse=True):
            # The other split may still have some.
            with suppress(OSError):
                folder.rmdir()

    def _count(self, row: Row, category: str, halves: NDArray[np.float16]) -> None:
        counts, key = np.bincount(halves.view(np.uint16).ravel(), minlength=_HALVES), (row, category)
        with self._counting:
            self._normal[key] = self._normal.get(key, 0) + counts
            self._images[key] = self._images.get(key, 0) + 1

    def _threshold(self, row: Row, category: str) -> MapThreshold | None:
        counts = self._normal.get((row, category))
        if counts is None:
            return None
        bits, normal = np.flatnonzero(counts), NormalScores()
        normal.add(bits.astype(np.uint16).view(np.float16), counts[bits])
        count = self._images[row, category]
        return normal.threshold(source=f"validation/good, {count} image{'' if count == 1 else 's'}")

    def _cut(self, row: Row, thresholds: Mapping[str, MapThreshold]) -> None:
        """Write the binary map of each image from the map in its file."""

        def cut(sample: Sample) -> None:
            path = self._path(row, BINARY_MAPS, sample)
            try:
                write_binary_map(path, thresholds[sample.category].above(read_map(self._path(row, MAPS, sample))))
            except OSError as error:
                raise _unwritable(path, error) from error

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(cut, self._plan.dataset))

    def _path(self, row: Row, part: str, sample: Sample) -> Path:
        return self._folders[row] / map_name(part, sample.category, self._split, sample.image_path.stem)


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{shown(path)} cannot be written: {error.strerror}. Every answer so far is kept: make room and give the "
        "same command again."
    )
