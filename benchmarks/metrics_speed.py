"""What exact metrics cost, and what other packages compute from the same maps.

One category of drawn maps, twice: smooth maps, as most detectors give, and maps that are constant on cells with scores
in tenths, as language models give. Each way runs in a process of its own, on one thread; its values are compared with
exact ones, counted at every distinct score. Then the counting path at the size of MVTec AD and VisA::

    python -m venv peers && peers/bin/pip install anomalib adeval
    python benchmarks/metrics_speed.py --peers-python peers/bin/python

Without ``--peers-python`` the other packages are left out. ``--before FOLDER`` also measures another checkout of this
package in the same run, and prints the ratios. ``--large 4000`` measures only one category, of so many maps of a
baseline: the time and the memory of a bench, with a temporary file of 2.4 MB a map.

The peers need 10 GB of memory. All of it needs Linux. The tables are Markdown.
"""
# ruff: noqa: PLC0415 - a side's packages exist in its own environment only

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from process import Measured, measured, versions

KINDS = {"smooth": "smooth maps", "cells": "maps constant on cells, scores in tenths"}
NAMES = {"auroc": "AUROC", "ap": "AP", "f1_max": "F1-max", "aupro": "AUPRO"}
CELLS = 60
"""In an image; about what the default superpixel division gives."""
LIMIT = 0.3
"""The false-positive rate up to which AUPRO is integrated."""
SETS = {"MVTec AD": (1725, 467, 15), "VisA": (2162, 962, 12)}
"""Images, good ones among them, categories: of the test splits."""
FASTER, MEMORY = 50, 0.2
"""Goals: times the exact peers' speed, at least; GB above the maps, at most."""


# The maps.


def blobs(draw: np.random.Generator, size: int) -> np.ndarray:
    """Draw a mask of one to three ellipses, bool ``(size, size)``."""
    rows, columns = np.mgrid[:size, :size] / size
    mask = np.zeros((size, size), dtype=bool)
    for _ in range(draw.integers(1, 4)):
        row, column, radius = draw.uniform((0.15, 0.15, 0.02), (0.85, 0.85, 0.12))
        mask |= (rows - row) ** 2 + 2 * (columns - column) ** 2 < radius**2
    return mask


def cell_map(draw: np.random.Generator, size: int) -> np.ndarray:
    """Draw cells: the nearest of some points, int64 ``(size, size)``."""
    from scipy.spatial import cKDTree

    places = np.stack(np.mgrid[:size, :size], axis=-1).reshape(-1, 2) / size
    return np.asarray(cKDTree(draw.random((CELLS, 2))).query(places)[1]).reshape(size, size)


def drawn(folder: Path, kind: str, count: int, size: int) -> None:
    """Write maps.npy (float32), masks.npy (bool), for cells cells.npy and scores.npy too; every third image is good."""
    from scipy import ndimage

    draw = np.random.default_rng(0)
    masks = np.zeros((count, size, size), dtype=bool)
    maps = np.zeros((count, size, size), dtype=np.float32)
    cells = np.zeros((count, size, size), dtype=np.uint8)
    scores = np.zeros((count, CELLS), dtype=np.float32)
    for at in range(count):
        if at % 3:
            masks[at] = blobs(draw, size)
        if kind == "smooth":
            coarse = draw.random((size // 32, size // 32), dtype=np.float32)
            maps[at] = ndimage.zoom(coarse, 32, order=1) + 0.5 * ndimage.gaussian_filter(
                masks[at].astype(np.float32), 20
            )
        else:
            cells[at] = cell_map(draw, size) if at < 10 else cells[at % 10]  # noqa: PLR2004 - drawing takes long
            scores[at] = judged(draw, np.bincount(cells[at][masks[at]], minlength=CELLS))
            maps[at] = scores[at][cells[at]]
    np.save(folder / "maps.npy", maps)
    np.save(folder / "masks.npy", masks)
    np.save(folder / "cells.npy", cells)
    np.save(folder / "scores.npy", scores)


def judged(draw: np.random.Generator, defects: np.ndarray, *, tenths: bool = True) -> np.ndarray:
    """Draw scores of cells, most near 0, higher at defects: a language model's tenths, or any; float32 ``(C,)``."""
    sure = draw.beta(0.3, 3, len(defects)) + (defects > 0) * draw.beta(2, 2, len(defects))
    return np.asarray(np.round(np.minimum(sure, 1), 1) if tenths else sure, dtype=np.float32)


# The ways. Each returns its values by name.

Values = dict[str, float]


def exact(masks: np.ndarray, maps: np.ndarray) -> Values:
    """Count at every distinct score; plain and slow, and written apart from the package's own code."""
    from scipy import ndimage

    levels, inverse = np.unique(maps, return_inverse=True)
    step = (len(levels) - 1 - inverse.reshape(maps.shape)).astype(np.int32)
    true = np.cumsum(np.bincount(step[masks], minlength=len(levels)))
    false = np.cumsum(np.bincount(step[~masks], minlength=len(levels)))
    overlap, regions = np.zeros(len(levels), dtype=np.longdouble), 0
    for truth, steps in zip(masks, step, strict=True):
        labels, count = ndimage.label(truth, structure=np.ones((3, 3)))
        for region in range(1, count + 1):
            inside = steps[labels == region]
            np.add.at(overlap, inside, np.longdouble(1) / len(inside))
        regions += count
    recall, rate = true / true[-1], np.append(0, false / false[-1])
    over = np.append(0, np.cumsum(overlap) / regions).astype(np.float64)
    within = rate < LIMIT
    area = np.trapezoid(np.append(over[within], np.interp(LIMIT, rate, over)), np.append(rate[within], LIMIT))
    return {
        "auroc": float(np.trapezoid(np.append(0, recall), rate)),
        "ap": float(np.sum(np.diff(recall, prepend=0) * true / (true + false))),
        "f1_max": float(np.max(2 * true / (true[-1] + true + false))),
        "aupro": float(area / LIMIT),
    }


def ours(masks: np.ndarray, maps: np.ndarray) -> Values:
    """Give the package all maps at once."""
    from lvlm_ad.metrics import pixel_metrics

    return shown(pixel_metrics(masks, maps))


def streamed(masks: np.ndarray, maps: np.ndarray) -> Values:
    """Give the package one map at a time."""
    from lvlm_ad.metrics import pixel_metrics

    return shown(pixel_metrics(iter(masks), iter(maps)))


def shown(found: Any) -> Values:
    """Return a result's values."""
    return {name: getattr(found, name) for name in NAMES}


def scikit_learn(masks: np.ndarray, maps: np.ndarray) -> Values:
    """Compute all but AUPRO, which scikit-learn does not have."""
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    truth, scores = masks.reshape(-1), maps.reshape(-1)
    precision, recall, _ = precision_recall_curve(truth, scores)
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    return {
        "auroc": float(roc_auc_score(truth, scores)),
        "ap": float(average_precision_score(truth, scores)),
        "f1_max": float(np.nanmax(f1)),
    }


def anomalib(masks: np.ndarray, maps: np.ndarray) -> Values:
    """Compute AUPRO alone: anomalib's own class, without its collection of results."""
    import torch
    from anomalib.metrics.aupro import _AUPRO

    metric = _AUPRO(fpr_limit=LIMIT)
    metric.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
    return {"aupro": float(metric.compute())}


def adeval(masks: np.ndarray, maps: np.ndarray) -> Values:
    """Accumulate map by map; adeval wants the range of scores beforehand. Its "aupr" is no AP and it has no F1."""
    from adeval import EvalAccumulator

    np.trapz = np.trapezoid  # type: ignore[attr-defined] # noqa: NPY201 - adeval 1.1.0 calls it, NumPy 2.4 lacks it
    metric = EvalAccumulator(0.0, 1.0, float(maps.min()), float(maps.max()))
    for one, truth in zip(maps, masks, strict=True):
        metric.add_anomap(one, truth.astype(np.uint8))
    metric.add_image(np.array([0.0, 1.0]), np.array([0, 1]))
    found = metric.summary()
    return {"auroc": float(found["p_auroc"]), "ap": float(found["p_aupr"]), "aupro": float(found["p_aupro"])}


WAYS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], Values], tuple[str, ...]]] = {
    "exact": (exact, ()),
    "ours": (ours, ("numpy",)),
    "ours, one map at a time": (streamed, ("numpy",)),
    "before": (ours, ("numpy",)),
    "before, one map at a time": (streamed, ("numpy",)),
    "scikit-learn": (scikit_learn, ("scikit-learn",)),
    "anomalib": (anomalib, ("anomalib", "torch")),
    "adeval": (adeval, ("adeval",)),
}
PEERS = ("scikit-learn", "anomalib", "adeval")


def child(way: str, folder: Path) -> None:
    """Measure one way in this process and write what was found beside the maps."""
    call, packages = WAYS[way]
    masks, maps = np.load(folder / "masks.npy"), np.load(folder / "maps.npy")
    call(masks[:2], maps[:2])  # imports are not measured
    took = measured(lambda: call(masks, maps))
    found = {"cpu": took.cpu, "growth": took.growth, "values": took.result, "versions": versions(*packages)}
    (folder / "found.json").write_text(json.dumps(found))


def run_child(way: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Measure one way in a process of its own, on one thread."""
    python = given.peers_python if way in PEERS and way != "scikit-learn" else sys.executable
    command = [python, __file__, "--way", way, "--folder", str(folder)]
    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    if way.startswith("before"):
        environment["PYTHONPATH"] = given.before
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{way} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads((folder / "found.json").read_text()))


def compare_ways(kind: str, given: argparse.Namespace) -> None:
    """Print the table of one kind of maps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn(folder, kind, given.images, given.size)
        ways = [
            way
            for way in WAYS
            if (given.peers_python or way not in PEERS) and (given.before or not way.startswith("before"))
        ]
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for turn in range(given.repeats):
            for way in ways:
                if way != "exact" or not turn:
                    runs[way].append(run_child(way, folder, given))
        rows = {
            way: (median(one["cpu"] for one in found), median(one["growth"] for one in found))
            for way, found in runs.items()
        }
        values = {way: found[0]["values"] for way, found in runs.items()}
        if kind == "cells":
            once, model, found = counted(folder)
            rows["ours, counts"], values["ours, counts"] = (model.cpu, model.growth), found
    print(f"\n{given.images} {KINDS[kind]}, {given.size} x {given.size}\n")
    print("| way | CPU s | MB above the maps |", *(f"{title} |" for title in NAMES.values()), "furthest from exact |")
    print("|---|---:|---:|" + "---:|" * (len(NAMES) + 1))
    for way, (cpu, growth) in rows.items():
        cells = [f"{values[way][key]:.6f}" if key in values[way] else "" for key in NAMES]
        apart = max(abs(value - values["exact"][key]) for key, value in values[way].items())
        print(
            f"| {way} | {cpu:.4g} | {1000 * growth:.0f} |",
            " | ".join(cells),
            "|",
            "" if way == "exact" else f"{apart:.0e}",
            "|",
        )
    print(f"\nours above the maps: {1000 * rows['ours'][1]:.0f} MB (goal {1000 * MEMORY:.0f})")
    if given.peers_python:
        peers = rows["scikit-learn"][0] + rows["anomalib"][0]
        print(f"scikit-learn and anomalib together / ours: {peers / rows['ours'][0]:.0f} (goal {FASTER})")
    if given.before:
        for way in ("ours", "ours, one map at a time"):
            print(f"before / {way}: {rows[way.replace('ours', 'before')][0] / rows[way][0]:.2f}")
    if kind == "cells":
        print(f"counting the ground truth in cells, once for all models: {once.cpu:.2f} CPU s")
    print("versions:", {name: text for found in runs.values() for name, text in found[0]["versions"].items()})


def counted(folder: Path) -> tuple[Measured, Measured, Values]:
    """Measure the counting path: counting once, a model, its values."""
    from lvlm_ad.metrics import count_cells, pixel_metrics_from_counts

    cells, masks = np.load(folder / "cells.npy"), np.load(folder / "masks.npy")
    scores = list(np.load(folder / "scores.npy"))
    once = measured(lambda: [count_cells(*pair, CELLS) for pair in zip(cells, masks, strict=True)])
    model = measured(lambda: pixel_metrics_from_counts(once.result, scores))
    return once, model, shown(model.result)


# A whole data set.


def whole_set(name: str, size: int, *, tenths: bool) -> None:
    """Print what a further model costs on a data set whose ground truth is counted."""
    from lvlm_ad.evaluate.measure import Images, measure_category, summary
    from lvlm_ad.metrics import count_cells
    from lvlm_ad.metrics.histograms import histogram_of_cells

    images, good, n_categories = SETS[name]
    draw = np.random.default_rng(0)
    places = [cell_map(draw, size) for _ in range(10)]
    every = {f"category {number}": Images() for number in range(n_categories)}

    def count_all() -> list[Any]:
        empty = np.zeros((size, size), dtype=bool)
        return [count_cells(places[at % 10], empty if at < good else blobs(draw, size), CELLS) for at in range(images)]

    counts = count_all()
    for at, truth in enumerate(counts):
        defects = np.bincount(truth.cell, truth.pixels, minlength=CELLS)
        values = judged(draw, defects, tenths=tenths)
        histogram = histogram_of_cells(truth, values)
        every[f"category {at % n_categories}"].add(at >= good, float(values.max()), histogram)
    stored = sum(array.nbytes for truth in counts for array in truth.to_arrays().values())

    def all_metrics(resamples: int) -> dict[str, Any]:
        return summary({name: measure_category(of, "zero", name, resamples) for name, of in every.items()})

    all_metrics(10)
    plain, resampled = measured(lambda: all_metrics(0)), measured(lambda: all_metrics(1000))
    low, high = resampled.result["interval"]["pixel_auroc"]
    auroc = f"{plain.result['pixel_auroc']:.4f}, {low:.4f} to {high:.4f}"
    scores = "tenths" if tenths else "any"
    print(
        f"| {name}, {scores} | {images:,} | {stored / 1e6:.1f} | {plain.cpu:.3f} | {1000 * plain.growth:.0f} |", end=" "
    )
    print(f"{resampled.cpu:.1f} | {1000 * resampled.growth:.0f} | {auroc} |")


def large_category(count: int, size: int) -> None:
    """Print what a bench's category of so many maps of a baseline costs."""
    from lvlm_ad.evaluate.measure import Images, measure_category

    draw = np.random.default_rng(0)
    coarse = draw.random((64, 64), dtype=np.float32)
    ground = np.kron(coarse, np.ones((size // 64, size // 64), dtype=np.float32))

    def category(number: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            images = Images(Path(folder))
            for at in range(number):
                mask = blobs(draw, size) if at % 3 else np.zeros((size, size), dtype=bool)
                one = 0.4 * ground + 0.4 * draw.random(ground.shape, dtype=np.float32) + np.float32(0.2) * mask
                images.add(bool(at % 3), float(one.max()), own_map=(one, mask))
            return measure_category(images, "zero", "large", 1000).metrics

    category(6)
    took = measured(lambda: category(count))
    values = {name: took.result[f"pixel_{name}"] for name in NAMES}
    print(f"{count:,} maps of {size} x {size}, {count * size * size * 4 / 1e9:.1f} GB, drawn one by one:")
    print(f"{took.cpu:.0f} CPU s, {took.wall:.0f} s, at most {took.peak:.2f} GB of memory;", values)


def main() -> None:
    """Measure all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers-python", help="a Python in whose environment anomalib and adeval are installed")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--size", type=int, default=768, help="of the maps; a multiple of 32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--before", help="the root of another checkout of this package, to be measured beside it")
    parser.add_argument("--large", type=int, help="how many maps; measures one large category of a baseline alone")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        child(given.way, given.folder)
        return
    if given.large:
        large_category(given.large, given.size)
        return
    for kind in KINDS:
        compare_ways(kind, given)
    print(f"\nA further model on a counted data set ({CELLS} cells an image)\n")
    heads = (
        "data set, scores",
        "images",
        "counts, MB",
        "CPU s",
        "MB",
        "with 1,000 resamples, CPU s",
        "MB",
        "pixel AUROC",
    )
    print("|", " | ".join(heads), "|")
    print("|---|---:|---:|---:|---:|---:|---:|---|")
    for name in SETS:
        for tenths in (True, False):
            whole_set(name, given.size, tenths=tenths)


if __name__ == "__main__":
    main()
