"""Measure how many pictures a second WinCLIP scores on a GPU as bfloat16 and as float32, and how far the two differ.

    python benchmarks/winclip_gpu.py

The model has the published architecture (ViT-B-16-plus-240) and random weights. Without a CUDA GPU, or with
``--small``, it is a tiny one on the CPU, which shows only that everything works.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from lvlm_ad_baselines.winclip import WinClip, WinClipOptions
from process import versions
from scipy.stats import spearmanr
from soft_pictures import soft_pictures

from lvlm_ad.baseline import View

DTYPES = ("float32", "bfloat16")


def tiny_clip(folder: Path) -> str:
    """Teach open_clip a model of 4 blocks and return its name."""
    vision = {"image_size": 64, "layers": 4, "width": 64, "head_width": 16, "patch_size": 16}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
    path = folder / "tiny-clip.json"
    path.write_text(json.dumps({"embed_dim": 48, "vision_cfg": vision, "text_cfg": text}))
    open_clip.add_model_config(path)
    return path.stem


def score(options: WinClipOptions, views: list[View]) -> tuple[list[Any], dict[str, float | None]]:
    """Score all views, the first twice; return the scores and what they took."""
    baseline = WinClip(options)
    # Loads the model and embeds the prompts.
    baseline.score(views[0])
    with ThreadPoolExecutor(baseline.concurrency) as pool:
        list(pool.map(baseline.score, views[: len(views) // 2]))
        statistics = baseline._batches.statistics  # noqa: SLF001 - no user needs it
        busy, began = statistics.busy, time.perf_counter()
        scores = list(pool.map(baseline.score, views))
    seconds = time.perf_counter() - began
    on_gpu = options.device == "cuda"
    figures = {
        "images_per_second": len(views) / seconds,
        "waiting": 1 - (statistics.busy - busy) / seconds,
        "memory_gb": torch.cuda.memory_reserved() / 1e9 if on_gpu else None,
    }
    baseline.close()
    del baseline
    torch.cuda.empty_cache()
    return scores, figures


def main() -> None:
    """Measure both data types and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a tiny model on the CPU and few pictures: a test")
    parser.add_argument("--images", type=int, help="pictures")
    args = parser.parse_args()
    large = torch.cuda.is_available() and not args.small
    # As large as those of MVTec AD, which are resized before they are scored.
    count, side = (args.images or 512, 1024) if large else (args.images or 4, 128)
    views = [View(picture, "brick", "") for picture in soft_pictures(count, side)]
    with tempfile.TemporaryDirectory() as work:
        model = "ViT-B-16-plus-240" if large else tiny_clip(Path(work))
        common = {"model": model, "pretrained": "random", "device": "cuda" if large else "cpu", "text_cache": work}
        found = {dtype: score(WinClipOptions(dtype=dtype, **common), views) for dtype in DTYPES}
    (full, figures), (half, half_figures) = (found[dtype] for dtype in DTYPES)
    maps = [np.concatenate([one.map.ravel() for one in scores]) for scores in (full, half)]
    record = {
        "device": torch.cuda.get_device_name() if large else f"CPU ({platform.machine()})",
        "model": f"{model}, random weights, {count} pictures of {side} x {side}",
        "versions": versions("torch", "open_clip_torch"),
        "float32": figures,
        "bfloat16": half_figures,
        "ratio": half_figures["images_per_second"] / figures["images_per_second"],
        "largest difference of image scores": max(abs(a.image - b.image) for a, b in zip(full, half, strict=True)),
        "rank correlation of the maps": float(spearmanr(*maps).statistic),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
