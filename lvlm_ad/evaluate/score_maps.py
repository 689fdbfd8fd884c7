"""Measures anomaly maps that another program made, as a row beside the others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lvlm_ad.datasets.masks import resize_mask
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.manifest import RowFacts, Stopwatch, make_manifest, run_folder
from lvlm_ad.evaluate.map_files import find_maps, read_image_scores, read_map, resize_map
from lvlm_ad.evaluate.measure import Scored
from lvlm_ad.evaluate.rows import RowImage, RowResult, own_map_record
from lvlm_ad.presets import Price
from lvlm_ad.progress import Progress, Silent
from lvlm_ad.runs import Run, write_run

if TYPE_CHECKING:
    from lvlm_ad.datasets import Sample

__all__ = ["score_maps"]


def score_maps(
    maps: Path,
    config: RunConfig,
    *,
    name: str = "",
    image_scores: Path | None = None,
    own_size: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Measure anomaly maps and write a run; one category's maps are in memory at a time.

    Args:
        maps: the folder with a map for every test image; see ``lvlm_ad.evaluate.map_files.find_maps``.
        config: the data set and how to measure; its models are not asked.
        name: the row's name; empty: the folder's.
        image_scores: a file with image scores; None: each is the highest score in the map's file.
        own_size: measure each map at its image's own size, not at the protocol's; maps of other sizes are stretched
            bilinearly in both cases.
        progress: receives reports.

    Raises:
        ConfigError: a name or value is wrong.
        DataError: the data set, a map or a score cannot be used.
        RunError: the run cannot be written.

    Example:
        >>> score_maps(Path("maps"), RunConfig(data="mvtec"), name="patchcore")  # doctest: +SKIP
        <Run patchcore (dense) on folder: 1725 images, in runs/patchcore-maps-folder-b935c0bd>
    """
    progress, watch = progress or Silent(), Stopwatch()
    plan = resolve(config)
    for note in plan.dataset.notes:
        progress.note(note)
    name = name or maps.resolve().name
    if not name.strip():
        raise ConfigError("The row needs a name; give it with --name.")
    files = find_maps(plan.dataset, maps)
    scores = None if image_scores is None else read_image_scores(image_scores, plan.dataset)
    side = None if own_size else plan.protocol.image_size
    result = RowResult(plan, "dense")
    digest = hashlib.sha256()
    progress.start(name, len(plan.dataset))
    for sample in plan.dataset:
        digest.update(json.dumps([sample.id, _hash(files[sample.id])]).encode())
        result.add(_measured(sample, files[sample.id], scores, side))
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
        "notes": ["image score: " + ("the map's highest" if scores is None else "given")],
    }
    # An image size of 0 stands for each image's own.
    manifest = make_manifest(plan, RowFacts(model, {"image_size": side or 0}), watch)
    metrics = result.metrics(paid=False)
    run = Run(run_folder(config.out, manifest), manifest, metrics, result.predictions, result.histograms)
    write_run(run)
    return run


def _measured(sample: Sample, path: Path, scores: Mapping[str, float] | None, side: int | None) -> RowImage:
    values, mask = read_map(path), sample.mask
    image_score = float(values.max()) if scores is None else scores[sample.id]
    truth = None
    if mask is not None:
        size = mask.shape if side is None else (side, side)
        values, truth = resize_map(values, size), resize_mask(mask, size)
    scored = Scored(sample.label, image_score, values, truth)
    return RowImage(own_map_record(sample, image_score), scored, stored=False)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
