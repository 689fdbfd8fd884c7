"""Measure what WinCLIP costs on a CPU: CPU seconds for the prompts and for an image, and memory.

Compares lvlm-ad with anomalib, which needs an environment of its own for its older open_clip:

    python -m venv anomalib && anomalib/bin/pip install anomalib 'open_clip_torch<2.26.1'
    python benchmarks/winclip_speed.py --anomalib-python anomalib/bin/python

Both sides get the same random weights and pictures and compute in float32, in turns, each in a process of its own on
one thread, because threads that wait for each other use CPU time. Scores and maps of both sides are compared: with
``variant=zqhang`` lvlm-ad has anomalib's formulas.
"""
# ruff: noqa: PLC0415 - a side's packages exist in its own environment only

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from process import cpu_seconds, measured, run_json, versions

MODEL = "ViT-B-16-plus-240"
CATEGORY = "brick"
TOLERANCE = 1e-5

Score = Callable[[], Iterator[tuple[float, np.ndarray]]]
"""Yield the score and the map of each image."""


def lvlm_ad(folder: Path, images: np.ndarray, batch: int) -> dict[str, Any]:
    """Measure this package."""
    import torch
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions

    from lvlm_ad.baseline import View

    def built(cache: str) -> tuple[WinClip, float]:
        weights = str(folder / "weights.pt")
        baseline = WinClip(
            WinClipOptions(pretrained=weights, device="cpu", variant="zqhang", text_cache=cache, batch_size=batch)
        )
        method = baseline.method
        start = cpu_seconds()
        with torch.inference_mode():
            method.text(CATEGORY)
        return baseline, cpu_seconds() - start

    with tempfile.TemporaryDirectory() as cache:
        _, text = built(cache)
        baseline, text_again = built(cache)

        def score() -> Iterator[tuple[float, np.ndarray]]:
            views = [View(image, CATEGORY, "") for image in images]
            with ThreadPoolExecutor(2 * batch) as pool:
                for scores in pool.map(baseline.score, views):
                    yield scores.image, scores.map

        result = score_all(score, len(images))
        baseline.close()
    return {**result, "text": text, "text_again": text_again, "versions": versions("torch", "open_clip_torch")}


def anomalib(folder: Path, images: np.ndarray, batch: int) -> dict[str, Any]:
    """Measure anomalib, with our weights in place of those that it would download."""
    import torch
    from anomalib.models.image.winclip import torch_model

    torch_model.PRETRAINED = str(folder / "weights.pt")
    model = torch_model.WinClipModel().eval()
    mean = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
    std = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)

    def score() -> Iterator[tuple[float, np.ndarray]]:
        for at in range(0, len(images), batch):
            values = (images[at : at + batch] / np.float32(255) - mean) / std
            output = model(torch.from_numpy(values).permute(0, 3, 1, 2).contiguous())
            scores, maps = output.pred_score.reshape(-1), output.anomaly_map.reshape(-1, *images.shape[1:3])
            yield from ((float(score), pixels.numpy()) for score, pixels in zip(scores, maps, strict=True))

    with torch.inference_mode():
        start = cpu_seconds()
        model._collect_text_embeddings(CATEGORY)  # noqa: SLF001 - its setup() does no more for a class name
        text = cpu_seconds() - start
        result = score_all(score, len(images))
    return {**result, "text": text, "versions": versions("torch", "open_clip_torch", "anomalib")}


SIDES = {"lvlm-ad": lvlm_ad, "anomalib": anomalib}


def score_all(score: Score, count: int) -> dict[str, Any]:
    """Score all images; return scores, maps, CPU seconds per image, and the memory that it takes in GB."""
    took = measured(lambda: list(score()))
    scores, maps = zip(*took.result, strict=True)
    return {"cpu": took.cpu / count, "memory": took.growth, "scores": scores, "maps": [one.tolist() for one in maps]}


def make_inputs(folder: Path, count: int) -> None:
    """Write random weights and pictures."""
    import open_clip
    import torch

    torch.manual_seed(0)
    torch.save(open_clip.create_model(MODEL, pretrained=None).state_dict(), folder / "weights.pt")
    coarse = np.random.default_rng(0).integers(0, 255, (count, 30, 30, 3), dtype=np.uint8)
    np.save(folder / "images.npy", coarse.repeat(8, axis=1).repeat(8, axis=2))


def measure(args: argparse.Namespace, folder: Path, batch: int) -> dict[str, list[dict[str, Any]]]:
    """Measure both sides in turns and print a table; return the results of each side."""
    pythons = {"lvlm-ad": sys.executable, "anomalib": args.anomalib_python}
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in pythons}
    for _ in range(args.repeats):
        for side, python in pythons.items():
            command = (python, __file__, "--side", side, "--folder", folder, "--batches", batch)
            runs[side].append(run_json(*command, OMP_NUM_THREADS="1"))
    print(f"\n{f'{batch} at once':30} {'lvlm-ad':>9} {'anomalib':>9} {'anomalib / lvlm-ad':>18}")
    for name, key in (("prompts, CPU s", "text"), ("an image, CPU s", "cpu"), ("memory for images, GB", "memory")):
        one, other = (median(run[key] for run in runs[side]) for side in pythons)
        print(f"{name:30} {one:9.2f} {other:9.2f} {other / one:18.2f}")
    print(f"{'prompts, second time, CPU s':30} {median(run['text_again'] for run in runs['lvlm-ad']):9.3f}")
    return runs


def main() -> None:
    """Measure both sides and print the tables, or be one side."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--anomalib-python", help="Python of an environment with anomalib")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3, help="medians are printed")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="pictures at once")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side](args.folder, np.load(args.folder / "images.npy"), args.batches[0])))
        return
    if not args.anomalib_python:
        parser.error("give --anomalib-python; the script's docstring says how to make its environment")
    apart = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder, args.images)
        for batch in args.batches:
            runs = measure(args, folder, batch)
            ours, theirs = runs["lvlm-ad"][0], runs["anomalib"][0]
            differences = [np.abs(np.subtract(ours[key], theirs[key])).max() for key in ("scores", "maps")]
            apart = max(apart, *differences)
    for side, (run, *_) in runs.items():
        print(side, run["versions"])
    print(f"largest difference of scores and maps: {apart:.1e}")
    if apart > TOLERANCE:
        sys.exit("The two sides do not compute the same; open_clip 2.26.1 and later break anomalib's windows.")


if __name__ == "__main__":
    main()
