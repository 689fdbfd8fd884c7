"""WinCLIP's price on a CPU, beside anomalib's: CPU seconds an image, of the prompts, and memory.

Both sides get the same random weights and the same drawn pictures and compute in float32, each run in a process of its
own, in turns; medians are printed with the ratio anomalib / ours. anomalib pins an older open_clip, so it needs an
environment of its own::

    python -m venv anomalib && anomalib/bin/pip install anomalib 'open_clip_torch<2.26.1'
    python benchmarks/winclip_speed.py --anomalib-python anomalib/bin/python

Scores and maps of both sides are compared first: with ``variant=zqhang`` ours are anomalib's formulas.
"""
# ruff: noqa: PLC0415 - a side's packages exist in its own environment only

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from process import cpu_seconds, measured, versions

MODEL = "ViT-B-16-plus-240"
CATEGORY = "brick"
GOALS = {"image": 1.1, "text": 3.0, "memory": 2.0}
"""anomalib / ours, at least."""
TOLERANCE = 1e-5


def ours(folder: Path, images: np.ndarray, batch: int) -> dict[str, Any]:
    """Measure this package."""
    import torch
    from lvlm_ad_baselines.winclip import WinClip, WinClipOptions

    from lvlm_ad.baseline import View

    with tempfile.TemporaryDirectory() as cache:
        options = {"pretrained": str(folder / "weights.pt"), "device": "cpu", "variant": "zqhang", "text_cache": cache}
        built = WinClip(WinClipOptions(**options))
        method = built.method
        with torch.inference_mode():
            start = cpu_seconds()
            method.text(CATEGORY)
            text = cpu_seconds() - start
            start = cpu_seconds()
            WinClip(WinClipOptions(**options)).method.text(CATEGORY)
            again = cpu_seconds() - start

            def run() -> list[tuple[float, np.ndarray]]:
                found = []
                for at in range(0, len(images), batch):
                    views = [View(image, CATEGORY, "") for image in images[at : at + batch]]
                    found += [(one.image, one.map) for one in method.scored(method.prepared(views))]
                return found

            result = taken(run, len(images))
        built.close()
    return {**result, "text": text, "text_again": again, "versions": versions("torch", "open_clip_torch")}


def anomalib(folder: Path, images: np.ndarray, batch: int) -> dict[str, Any]:
    """Measure anomalib, given our weights in place of those that it would fetch."""
    import torch
    from anomalib.models.image.winclip import torch_model

    torch_model.PRETRAINED = str(folder / "weights.pt")
    model = torch_model.WinClipModel().eval()
    with torch.inference_mode():
        start = cpu_seconds()
        model._collect_text_embeddings(CATEGORY)  # noqa: SLF001 - its setup() does this and no more for a class name
        text = cpu_seconds() - start
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

        def run() -> list[tuple[float, np.ndarray]]:
            found = []
            for at in range(0, len(images), batch):
                values = (images[at : at + batch] / np.float32(255) - np.float32(mean)) / np.float32(std)
                output = model(torch.from_numpy(values).permute(0, 3, 1, 2).contiguous())
                scores, maps = output.pred_score.reshape(-1), output.anomaly_map.reshape(-1, *images.shape[1:3])
                found += [(float(score), one.numpy()) for score, one in zip(scores, maps, strict=True)]
            return found

        result = taken(run, len(images))
    return {**result, "text": text, "versions": versions("torch", "open_clip_torch", "anomalib")}


def taken(run: Any, count: int) -> dict[str, Any]:
    """Run once, and return scores, maps, CPU and wall seconds an image, and the growth of memory in GB."""
    took = measured(run)
    return {
        "cpu": took.cpu / count,
        "wall": took.wall / count,
        "growth": took.growth,
        "peak": took.peak,
        "scores": [score for score, _ in took.result],
        "maps": [pixels.tolist() for _, pixels in took.result],
    }


def child(side: str, folder: Path, batch: int) -> None:
    """Measure one side in this process and write what was found beside the pictures."""
    found = {"ours": ours, "anomalib": anomalib}[side](folder, np.load(folder / "images.npy"), batch)
    (folder / "found.json").write_text(json.dumps(found))


def run_child(python: str, side: str, folder: Path, batch: int) -> dict[str, Any]:
    """Measure one side in a process of its own."""
    command = [python, __file__, "--side", side, "--folder", str(folder), "--batch", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads((folder / "found.json").read_text()))


def prepared(folder: Path, count: int) -> None:
    """Draw pictures and weights."""
    import open_clip
    import torch

    torch.manual_seed(0)
    torch.save(open_clip.create_model(MODEL, pretrained=None).state_dict(), folder / "weights.pt")
    coarse = np.random.default_rng(0).integers(0, 255, (count, 30, 30, 3), dtype=np.uint8)
    np.save(folder / "images.npy", coarse.repeat(8, axis=1).repeat(8, axis=2))


def main() -> None:
    """Measure both sides and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--anomalib-python", help="a Python in whose environment anomalib is installed")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="pictures at once")
    parser.add_argument("--side", choices=("ours", "anomalib"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        child(given.side, given.folder, given.batch)
        return
    if not given.anomalib_python:
        parser.error("--anomalib-python is wanted; see the head of this file")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(folder, given.images)
        pythons = {"ours": sys.executable, "anomalib": given.anomalib_python}
        apart = 0.0
        for batch in given.batches:
            runs: dict[str, list[dict[str, Any]]] = {side: [] for side in pythons}
            for _ in range(given.repeats):
                for side, python in pythons.items():
                    runs[side].append(run_child(python, side, folder, batch))
            one, other = runs["ours"][0], runs["anomalib"][0]
            for key in ("scores", "maps"):
                apart = max(apart, float(np.abs(np.subtract(one[key], other[key])).max()))
            if batch == given.batches[0]:
                for side, found in runs.items():
                    print(side, found[0]["versions"])
                print(f"\nlargest difference of scores and maps so far: {apart:.1e}\n")
                print(f"{'':34}{'ours':>9}{'anomalib':>10}{'ratio':>8}  goal")
                row("prompts, CPU s", runs, "text", GOALS["text"])
                print(f"{'prompts again, from disk, CPU s':34}{median(of['text_again'] for of in runs['ours']):9.3f}")
            row(f"an image, CPU s, batch {batch}", runs, "cpu", GOALS["image"])
            row(f"an image, wall s, batch {batch}", runs, "wall", None)
            row(f"memory for images, GB, batch {batch}", runs, "growth", GOALS["memory"])
            row(f"peak of the process, GB, batch {batch}", runs, "peak", None)
    print(f"\nlargest difference of scores and maps: {apart:.1e}")
    if apart > TOLERANCE:
        sys.exit("the two sides do not compute the same; open_clip 2.26.1 and later break anomalib's windows")


def row(name: str, runs: dict[str, list[dict[str, Any]]], key: str, goal: float | None) -> None:
    """Print medians and their ratio."""
    one, other = (median(found[key] for found in runs[side]) for side in ("ours", "anomalib"))
    print(f"{name:34}{one:9.2f}{other:10.2f}{other / one:8.2f}  {'' if goal is None else goal}")


if __name__ == "__main__":
    main()
