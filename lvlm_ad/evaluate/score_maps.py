"""Measures anomaly maps that another program made, as a row beside the others."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lvlm_ad.datasets.images import resize_mask, shown
from lvlm_ad.datasets.tables import decimal_points, read_table
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.escape import escaped
from lvlm_ad.evaluate.aupimo_maps import aupimo_of_maps
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.detectors import make_record
from lvlm_ad.evaluate.lost_truth import LostTruth
from lvlm_ad.evaluate.map_files import read_map, resize_map
from lvlm_ad.evaluate.map_oddities import MapOddities
from lvlm_ad.evaluate.rows import RowImage, RowResult, own_channels_of
from lvlm_ad.evaluate.score_names import MAP_SUFFIXES, SampleNames, expected_names
from lvlm_ad.limits import is_utf8
from lvlm_ad.log import Progress
from lvlm_ad.methods import Finding
from lvlm_ad.metrics.cut import count_lost
from lvlm_ad.presets import Price

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvlm_ad.datasets import Dataset, Sample
    from lvlm_ad.runs import Run

__all__ = ["find_maps", "read_image_scores", "score_maps"]

_EXAMPLES = 2
"""Names that a message quotes."""


def score_maps(
    maps: Path,
    config: RunConfig,
    *,
    name: str = "",
    image_scores: Path | None = None,
    own_size: bool = False,
    with_aupimo: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Measure anomaly maps and write a run; one category's maps are in memory at a time.

    Args:
        maps: the folder with a map for every test image; see ``find_maps``.
        config: the data set and how to measure; its models are not asked.
        name: the row's name; empty: the folder's.
        image_scores: a file with image scores; None: each is the highest score in the map's file.
        own_size: measure each map at its image's own size, not at the protocol's; maps of other sizes are stretched
            bilinearly in both cases.
        with_aupimo: whether to measure AUPIMO, too; the maps are then read a second time.
        progress: receives reports.

    Raises:
        ConfigError: a name or value is wrong.
        DataError: the data set, a map or a score cannot be used.
        RunError: the run cannot be written.

    Example:
        >>> score_maps(Path("maps"), RunConfig(data="mvtec"), name="patchcore")  # doctest: +SKIP
        <Run patchcore (dense) on folder: 1725 images, in runs/patchcore-maps-folder-b935c0bd>
    """
    progress, started = progress or Progress(), datetime.now(UTC)
    # Nobody gives maps of validation images.
    plan = replace(resolve(config), validation_images=())
    for note in plan.dataset.all_notes:
        progress.note(note)
    name = name or Path(os.path.realpath(maps)).name
    if not is_utf8(name):
        raise ConfigError(f"The name {escaped(name)} is not valid UTF-8; give another with --name.")
    if not name.strip():
        raise ConfigError("The row needs a name; give it with --name.")
    files = find_maps(plan.dataset, maps)
    scores = None if image_scores is None else read_image_scores(image_scores, plan.dataset)
    side = None if own_size else plan.protocol.image_size
    result, oddities = RowResult(plan, "dense"), MapOddities()
    lost = LostTruth(f"{side} x {side}", "Measure at a larger size with --size N, or with 0 at each image's own.")
    digest = hashlib.sha256()
    progress.start(name, len(plan.dataset))
    for sample in plan.dataset:
        digest.update(json.dumps([sample.id, _hash(files[sample.id])]).encode())
        values = read_map(files[sample.id])
        oddities.add(sample, values)
        image = _measured(sample, values, scores, side, lost)
        if sample.id in plan.with_channels:
            image = replace(image, own_channels=own_channels_of(sample, values))
        result.add(image)
        progress.advance()
    progress.finish()
    model = {
        "name": name,
        "kind": "maps",
        "plugin": "",
        "identity": {
            "maps": digest.hexdigest(),
            "image_scores": "highest" if image_scores is None else _hash(image_scores),
        },
        "row": "dense",
        "price": Price().model_dump(),
        "notes": [
            "image score: " + ("the map's highest" if scores is None else "given"),
            *oddities.notes(peaks_count=scores is None),
            *lost.notes(),
        ],
    }
    # An image size of 0 stands for each image's own.
    further = {"aupimo": aupimo_of_maps(plan.dataset, files, side)} if with_aupimo else {}
    return result.write({"model": model, "protocol": {"image_size": side or 0}}, started, {}, further=further)


def _measured(
    sample: Sample, values: NDArray[Any], scores: Mapping[str, float] | None, side: int | None, lost: LostTruth
) -> RowImage:
    mask = sample.mask
    image_score = float(values.max()) if scores is None else scores[sample.id]
    own_map = None
    if mask is not None:
        size = mask.shape if side is None else (side, side)
        own_map = resize_map(values, size), resize_mask(mask, size)
        if sample.label:
            lost.add(sample.id, *count_lost(mask, size))
    return RowImage(make_record(sample, Finding(image_score)), own_map=own_map)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def find_maps(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """Find the map of every sample; returns sample id -> file.

    A map has the path of its image in the data set, ``bottle/test/crack/000.npy``, or the sample's id as its path,
    ``bottle/crack/000.npy``; see ``SampleNames``.

    Raises:
        DataError: there is no such folder, a sample has no map, or several, or a map may be that of two samples.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {shown(folder)}; give the folder with the maps (--maps).")
    found = (path for path in _files_in(folder) if path.suffix.lower() in MAP_SUFFIXES)
    named = ((path.relative_to(folder).with_suffix("").as_posix(), path) for path in found)
    maps = SampleNames(dataset).collect(named, folder)
    missing = [sample for sample in dataset if sample.id not in maps]
    for name, files in maps.items():
        if len(files) > 1:
            raise DataError(f"{shown(name)} has several maps: {shown(files[0])} and {shown(files[1])}; keep one.")
    if missing:
        images = "an image" if len(missing) == 1 else f"{len(missing)} images"
        suffixes = ",".join(MAP_SUFFIXES)
        first = " or ".join(f"{shown(name)}{{{suffixes}}}" for name in expected_names(missing[0], dataset))
        held = _first(path.relative_to(folder).as_posix() for path in _files_in(folder))
        expected = f"the first is expected at {first}"
        raise DataError(f"{shown(folder)} contains no map of {images}; {expected}. Its first files are {held}.")
    return {name: files[0] for name, files in maps.items()}


def _first(names: Iterable[str]) -> str:
    """Return the first of some names, for a message that says which names were expected."""
    return " and ".join(shown(name) for name in islice(names, _EXAMPLES)) or "none"


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below, in order; links to folders are followed once."""
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))


def read_image_scores(path: Path, dataset: Dataset) -> dict[str, float]:
    """Read an image score for every sample; returns sample id -> score.

    The file is JSON, one object name -> score, or a table with the columns "image" and "score". Names are those that
    maps may have, with or without a suffix; see ``SampleNames``.

    Raises:
        DataError: the file cannot be read, a name may mean two samples, a sample has no score, or one is no finite
            number.
    """
    pairs = _pairs(path)
    by_id = SampleNames(dataset).collect(pairs, path)
    scores: dict[str, float] = {}
    for sample in dataset:
        values = by_id.get(sample.id, [])
        if len(values) != 1:
            names = " or ".join(map(shown, expected_names(sample, dataset)))
            what = "two scores" if values else "no score"
            held = "" if values else f" Its first names are {_first(name for name, _ in pairs)}."
            raise DataError(f"{shown(path)} has {what} for {names}.{held}")
        try:
            scores[sample.id] = float(values[0])
        except (TypeError, ValueError, OverflowError):
            scores[sample.id] = math.nan
        if not math.isfinite(scores[sample.id]):
            raise DataError(
                f"{shown(path)}: the score of {shown(sample.id)} is {values[0]!r:.50}, which is not a finite number."
            )
    return scores


def _pairs(path: Path) -> list[tuple[str, Any]]:
    """Read the names and scores in a file, including names that occur twice."""
    if path.suffix.lower() != ".json":
        table = read_table(path, ("image", "score"))
        if table.faults:
            raise DataError(table.faults[0])
        numbers = decimal_points([row["score"] for row in table.rows])
        return [(row["image"], number) for row, number in zip(table.rows, numbers, strict=True)]
    try:
        text = path.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("{"):
            # As pairs, so that a name that occurs twice is noticed.
            return list(json.loads(text, object_pairs_hook=lambda members: members))
        problem = "it is not an object"
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise DataError(f"{shown(path)} must be one object, name -> score; {problem}.")
