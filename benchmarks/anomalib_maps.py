"""Measure the maps of a bench with anomalib's own metrics, and compare the numbers.

    python -m venv anomalib && anomalib/bin/pip install anomalib
    python benchmarks/anomalib_maps.py anomalib/bin/python [--dataset NAME --data FOLDER] [--map-format png]

``bench --maps`` writes the maps; ``lvlm-ad score`` reads them back; anomalib's side reads them with OpenCV into an
``ImageBatch`` and computes AUROC, F1-max and AUPRO with the metrics of its ``Evaluator``. The masks are the same.
Then both measure drawn maps with AUPRO at several limits and AUPIMO, where their definitions differ at the bounds.
"""
# ruff: noqa: PLC0415 - a side's packages exist in its own environment only

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from process import run_json, versions

METRICS = {
    "image_auroc": "image_AUROC",
    "image_f1_max": "image_F1Max",
    "pixel_auroc": "pixel_AUROC",
    "pixel_f1_max": "pixel_F1Max",
    "pixel_aupro": "pixel_AUPRO",
}
"""The metrics that both have, by our name and by anomalib's."""

LIMITS = (0.01, 0.05, 0.1, 0.3, 1.0)
BOUNDS = ((1e-5, 1e-4), (1e-3, 1e-1))


def bench(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Bench the reference rows and the models; return for each row and category its numbers, maps, masks and scores."""
    from PIL import Image

    import lvlm_ad
    from lvlm_ad.datasets import load_dataset
    from lvlm_ad.datasets.images import resize_mask
    from lvlm_ad.evaluate import RunConfig, score_maps
    from lvlm_ad.evaluate.map_writer import IMAGE_SCORES
    from lvlm_ad.evaluate.score_maps import find_maps

    data = {"dataset": options.dataset, "data": options.data, "limit": options.limit, "resamples": 0, "out": folder}
    runs = lvlm_ad.bench(models=options.model, maps=folder / "maps", map_format=options.map_format, **data)
    dataset = load_dataset(options.dataset, options.data).select(limit=options.limit)
    side = runs[0].manifest.protocol["image_size"]
    masks = {sample.id: folder / "masks" / f"{at}.png" for at, sample in enumerate(dataset)}
    (folder / "masks").mkdir()
    for sample in dataset:
        Image.fromarray(resize_mask(sample.mask, (side, side)).astype(np.uint8) * 255).save(masks[sample.id])
    rows = []
    for run in runs:
        model = run.manifest.model
        place = folder / "maps" / (f"{model.name}-dense" if model.row == "dense" else model.name)
        config = RunConfig(**data, settings={"image_size": side})
        again, files = score_maps(place, config, image_scores=place / IMAGE_SCORES), find_maps(dataset, place)
        for category in dataset.categories:
            images = [
                [str(files[one.id]), str(masks[one.id]), one.label, one.image_score or 0.0]
                for one in run.predictions
                if one.category == category
            ]
            both = [one.metrics["categories"][category] for one in (run, again)]
            rows.append({"row": f"{run.manifest.row_name}, {category}", "bench": both[0], "score": both[1]})
            rows[-1]["images"] = images
    return rows


def anomalib(rows: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Read the maps with OpenCV and measure them with anomalib."""
    import cv2
    import torch
    from anomalib.data import ImageBatch
    from anomalib.metrics import AUPRO, AUROC, Evaluator, F1Max

    pixels, images = ["anomaly_map", "gt_mask"], ["pred_score", "gt_label"]
    results = []
    for row in rows:
        evaluator = Evaluator(
            test_metrics=[
                *(kind(fields=images, prefix="image_") for kind in (AUROC, F1Max)),
                *(kind(fields=pixels, prefix="pixel_") for kind in (AUROC, F1Max, AUPRO)),
            ]
        )
        for path, mask_path, label, score in row["images"]:
            values = cv2.imread(path, cv2.IMREAD_UNCHANGED)
            # A PNG of 16 bits holds the score 1 as 65535.
            scores = values / np.float32(65535) if values.dtype == np.uint16 else values
            mask = cv2.imread(mask_path, cv2.IMREAD_UNCHANGED) > 0
            batch = ImageBatch(
                image=torch.zeros(1, 3, *scores.shape),
                anomaly_map=torch.from_numpy(scores)[None],
                gt_mask=torch.from_numpy(mask)[None],
                pred_score=torch.tensor([score]),
                gt_label=torch.tensor([label]),
            )
            for metric in evaluator.test_metrics:
                metric.update(batch)
        results.append({metric.name: float(metric.compute()) for metric in evaluator.test_metrics})
    return results


def draw_maps(path: Path) -> dict[str, tuple[Any, Any]]:
    """Draw maps of six normal and three anomalous images of 256 x 256 pixels; returns name -> masks, maps."""
    from scipy.ndimage import gaussian_filter

    draw = np.random.default_rng(0)
    masks = np.zeros((9, 256, 256), dtype=np.uint8)
    for at, mask in enumerate(masks[6:]):
        mask[60 : 90 + 10 * at, 100:140] = 1
    noise = np.stack([gaussian_filter(one, 3) for one in draw.normal(size=masks.shape)])
    smooth = (noise - noise.min()) / (noise.max() - noise.min()) / 2
    found = {
        "smooth maps": smooth + 0.25 * masks,
        "the same in 256 levels": np.round((smooth + 0.25 * masks) * 255) / 255,
        "nothing found at the bounds": smooth - 0.5 * masks * smooth,
        "everything found": smooth + 0.5 * masks,
        "one score": smooth * 0 + 0.5,
    }
    maps = {name: one.astype(np.float32) for name, one in found.items()}
    np.savez(path, masks=masks, **maps)
    return {name: (masks, one) for name, one in maps.items()}


def our_limits(drawn: dict[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Compute AUPRO at each limit and AUPIMO at each pair of bounds; of AUPIMO a list, or why there is none."""
    from lvlm_ad.metrics import pixel_metrics
    from lvlm_ad.metrics.pimo import aupimo

    results = []
    for masks, maps in drawn.values():
        row: dict[str, Any] = dict(pixel_metrics(masks, maps, limits=LIMITS).aupro_at)
        for bounds in BOUNDS:
            found = aupimo(masks, maps, bounds)
            row[found.name] = found.reason or list(found.per_image[6:])
        results.append(row)
    return results


def their_limits(path: str) -> list[list[Any]]:
    """Compute the same with anomalib, in the same order; where it raises, what it says."""
    import torch
    from anomalib.data import ImageBatch
    from anomalib.metrics import AUPIMO, AUPRO

    stored = np.load(path)
    masks = torch.from_numpy(stored["masks"]).bool()
    results = []
    for name in stored.files[1:]:
        maps = torch.from_numpy(stored[name])
        batch = ImageBatch(image=torch.zeros(len(maps), 3, 1, 1), anomaly_map=maps, gt_mask=masks)
        found: list[Any] = []
        for limit in LIMITS:
            aupro = AUPRO(fpr_limit=limit, fields=["anomaly_map", "gt_mask"])
            aupro.update(batch)
            found.append(float(aupro.compute()))
        for bounds in BOUNDS:
            aupimo = AUPIMO(fpr_bounds=bounds, return_average=False, force=True)
            aupimo.update(batch)
            try:
                found.append(aupimo.compute()[1].aupimos[6:].tolist())
            except (RuntimeError, ValueError) as error:
                found.append(str(error))
        results.append(found)
    return results


def show_limits(names: list[str], ours: list[dict[str, Any]], theirs: list[list[Any]]) -> None:
    """Print AUPRO at limits and AUPIMO of drawn maps side by side."""
    print("\n| drawn maps | metric | ours | anomalib | largest difference |\n|---|---|---:|---:|---:|")
    for name, row, their in zip(names, ours, theirs, strict=True):
        for (metric, value), other in zip(row.items(), their, strict=True):
            if isinstance(value, str) or isinstance(other, str):
                print(f"| {name} | {metric} | {value} | {other} | |")
                continue
            pair = np.atleast_1d(value), np.atleast_1d(other)
            shown = (" ".join(f"{one:.7f}" for one in numbers) for numbers in pair)
            print(f"| {name} | {metric} | {' | '.join(shown)} | {np.abs(pair[0] - pair[1]).max():.1e} |")
    print(
        "\nAUPRO differs by rounding to float32. anomalib's AUPIMO takes 300,000 equal steps of the threshold\n"
        "and begins and ends at the points nearest to the bounds: it differs where something is found near them."
    )


def show(rows: list[dict[str, Any]], theirs: list[dict[str, float]]) -> None:
    """Print the numbers side by side, and the largest differences."""
    largest: dict[str, float] = {}
    print("| row | metric | bench | score --maps | anomalib | anomalib - bench |\n|---|---|---:|---:|---:|---:|")
    for row, their in zip(rows, theirs, strict=True):
        for ours, name in METRICS.items():
            first, again = (row[side][ours] for side in ("bench", "score"))
            if first is None:
                continue
            difference = their[name] - first
            print(f"| {row['row']} | {ours} | {first:.7f} | {again:.7f} | {their[name]:.7f} | {difference:+.1e} |")
            for side, one in (("score --maps", again - first), ("anomalib", difference)):
                largest[f"{side}: {ours}"] = max(largest.get(f"{side}: {ours}", 0.0), abs(one))
    print("\nLargest difference from the bench:")
    for place, value in largest.items():
        print(f"  {place} {value:.1e}")


def main() -> None:
    """Run both sides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", help="the Python of an environment with anomalib")
    parser.add_argument("--dataset", default=None)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--map-format", default="tiff", choices=("tiff", "png"))
    options = parser.parse_args()
    options.dataset = options.dataset or ("demo" if options.data is None else "folder")
    with tempfile.TemporaryDirectory() as name:
        rows = bench(Path(name), options)
        task = Path(name, "task.json")
        task.write_text(json.dumps([{"images": row["images"]} for row in rows]))
        theirs = run_json(options.python, __file__, "--anomalib", task)
        drawn = draw_maps(Path(name, "drawn.npz"))
        at_limits = run_json(options.python, __file__, "--limits", Path(name, "drawn.npz"))["results"]
    print(f"anomalib's side: {theirs['versions']}\n")
    show(rows, theirs["results"])
    show_limits(list(drawn), our_limits(drawn), at_limits)


if __name__ == "__main__":
    if sys.argv[1] == "--limits":
        print(json.dumps({"results": their_limits(sys.argv[2])}))
    elif sys.argv[1] == "--anomalib":
        found = anomalib(json.loads(Path(sys.argv[2]).read_text()))
        used = versions("anomalib", "torch", "torchmetrics", "opencv-python-headless")
        print(json.dumps({"results": found, "versions": used}))
    else:
        main()
