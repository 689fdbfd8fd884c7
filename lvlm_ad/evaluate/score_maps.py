"""Measures anomaly maps that somebody else made, as a row that stands beside the others."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.config import RunConfig, resolve
from lvlm_ad.evaluate.manifest import hash_of
from lvlm_ad.evaluate.map_files import find_maps, read_image_scores, read_map, resize_map
from lvlm_ad.evaluate.measure import Scored
from lvlm_ad.evaluate.rows import COUNTED, Measured, RowResult
from lvlm_ad.presets import Price
from lvlm_ad.progress import Progress, Silent
from lvlm_ad.runs import Manifest, PredictionRecord, Run, write_run
from lvlm_ad.versions import versions

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
    """Measure anomaly maps and write a run; one category's maps are held at a time.

    Args:
        maps: the folder with a map for every test image; see ``lvlm_ad.evaluate.map_files.find_maps``.
        config: the data set and how to measure; its models are not asked.
        name: of the row; empty: the folder's.
        image_scores: a file with image scores; None: each is the highest score of its map, as it is in its file.
        own_size: measure each map at its image's own size, not at the protocol's; maps of other sizes are stretched
            bilinearly in both cases.
        progress: hears how far it has come.

    Raises:
        ConfigError: a name or value is wrong.
        DataError: the data set, a map or a score cannot be used.
        RunError: the run cannot be written.
    """
    progress = progress or Silent()
    started, clock = datetime.now(UTC), perf_counter()
    plan = resolve(config)
    for note in plan.dataset.notes:
        progress.note(note)
    name = name or maps.resolve().name
    if not name.strip():
        raise ConfigError("The row needs a name; give it with --name.")
    files = find_maps(plan.dataset, maps)
    scores = None if image_scores is None else read_image_scores(image_scores, plan.dataset)
    scored_by = "highest" if image_scores is None else _hash(image_scores)
    side = None if own_size else plan.protocol.image_size
    result = RowResult(plan, counted=COUNTED["dense"])
    digest = hashlib.sha256()
    progress.start(name, len(plan.dataset))
    for category in plan.dataset.categories:
        for sample in plan.dataset:
            if sample.category == category:
                digest.update(json.dumps([sample.id, _hash(files[sample.id])]).encode())
                result.add(_measured(sample, files[sample.id], scores, side))
                progress.advance()
    progress.finish()
    facts = {
        "model": {
            "name": name,
            "kind": "maps",
            "plugin": "",
            "identity": {
                "maps": digest.hexdigest(),
                "image_scores": scored_by,
            },
            "row": "dense",
            "price": Price().model_dump(),
            "notes": ["image score: " + ("the map's highest" if scores is None else "given")],
        },
        "dataset": {
            "name": plan.dataset.name,
            "fingerprint": plan.dataset.fingerprint,
            "n_images": len(plan.dataset),
            "categories": list(plan.dataset.categories),
            "whole": plan.whole,
            "notes": list(plan.dataset.notes),
        },
        # 0 stands for each image's own size.
        "protocol": {"image_size": side or 0},
        "division": {"method": "", "options": {}, "hash": ""},
        "prompt": {},
        "on_failure": "zero",
        "seed": 0,
    }
    config_hash = hash_of(facts)
    manifest = Manifest.model_validate(
        {
            "config_hash": config_hash,
            **facts,
            "versions": versions(),
            "started": started.isoformat(timespec="seconds"),
            "seconds": perf_counter() - clock,
        }
    )
    folder = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name}-maps-{plan.dataset.name}-{config_hash[:8]}").lstrip(".-")
    run = Run(config.out / folder, manifest, result.metrics(paid=False), result.predictions, result.histograms)
    write_run(run)
    return run


def _measured(sample: Sample, path: Path, scores: Mapping[str, float] | None, side: int | None) -> Measured:
    values, mask = read_map(path), sample.mask
    image_score = float(values.max()) if scores is None else scores[sample.id]
    truth = None
    if mask is not None:
        size = mask.shape if side is None else (side, side)
        values, truth = resize_map(values, size), resize_mask(mask, size)
    record = PredictionRecord(
        id=sample.id,
        category=sample.category,
        label=sample.label,
        defect=sample.defect,
        image_score=image_score,
        regions={},
        n_regions=0,
        status="ok",
        notes=[],
        key="",
        text="",
        input_tokens=None,
        output_tokens=None,
        cost_usd=None,
        seconds=0.0,
        division="",
    )
    return Measured(record, Scored(sample.label, image_score, values, truth), stored=False)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
