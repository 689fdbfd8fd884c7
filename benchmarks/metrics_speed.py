"""What exact metrics cost, and what other packages compute from the same maps.

One category of drawn maps, twice: smooth maps, as most detectors give, and maps that are constant on cells with scores
in tenths, as language models give. Each way runs in a process of its own, on one thread; its values are compared with
exact ones, counted at every distinct score. Then the counting path at the size of MVTec AD and VisA::

    python -m venv peers && peers/bin/pip install anomalib adeval
    python benchmarks/metrics_speed.py --peers-python peers/bin/python

Without ``--peers-python`` the other packages are left out. ``--large 4000`` measures only one category, of so many maps
of a baseline: the time and the memory of a bench, with a temporary file of 2.4 MB a map.

The peers need 10 GB of memory. All of it needs Linux. The tables are Markdown.
"""
# ruff: noqa: PLC0415 - a side's packages exist in its own environment only

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from process import measured, run_json, versions

KINDS = {"smooth": "smooth maps", "cells": "maps constant on cells, scores in tenths"}
NAMES = {"auroc": "AUROC", "ap": "AP", "f1_max": "F1-max", "aupro": "AUPRO"}
CELLS = 60
"""In an image; about what the default superpixel division gives."""
LIMIT = 0.3
"""The false-positive rate up to which AUPRO is integrated."""
SETS = {"MVTec AD": (1725, 467, 15), "VisA": (2162, 962, 12)}
"""Images, good ones among them, categories: of the test splits."""


def blobs(draw: np.random.Generator, size: int) -> np.ndarray:
    """Draw a mask of one to three ellipses, bool ``(size, size)``."""
    rows, columns = np.mgrid[:size, :size] / size
    mask = np.zeros((size, size), dtype=bool)
    for _ in range(draw.integers(1, 4)):
        row, column, radius = draw.uniform((0.15, 0.15, 0.02), (0.85, 0.85, 0.12))
        mask |= (rows - row) ** 2 + 2 * (columns - column) ** 2 < radius**2
    return mask


def cell_map(draw: np.random.Generator, size: int) -> np.ndarray:
    """Draw cells: the nearest of some points, integers ``(size, size)``."""
    from scipy.spatial import cKDTree

    places = np.indices((size, size)).reshape(2, -1).T / size
    _, nearest = cKDTree(draw.random((CELLS, 2))).query(places)
    return np.asarray(nearest).reshape(size, size)


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


def shown(metrics: Any) -> Values:
    """Return the four metrics by name."""
    return {name: getattr(metrics, name) for name in NAMES}


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
    from anomalib.metrics.aupro import _AUPRO  # type: ignore[import-not-found, unused-ignore]

    metric = _AUPRO(fpr_limit=LIMIT)
    metric.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
    return {"aupro": float(metric.compute())}


def adeval(masks: np.ndarray, maps: np.ndarray) -> Values:
    """Accumulate map by map; adeval wants the range of scores beforehand. Its "aupr" is no AP and it has no F1."""
    from adeval import EvalAccumulator  # type: ignore[import-not-found, unused-ignore]

    np.trapz = np.trapezoid  # type: ignore[attr-defined, unused-ignore] # noqa: NPY201 - adeval 1.1.0 calls it, NumPy 2.4 lacks it
    metric = EvalAccumulator(0.0, 1.0, float(maps.min()), float(maps.max()))
    for one, truth in zip(maps, masks, strict=True):
        metric.add_anomap(one, truth.astype(np.uint8))
    metric.add_image(np.array([0.0, 1.0]), np.array([0, 1]))
    result = metric.summary()
    return {"auroc": float(result["p_auroc"]), "ap": float(result["p_aupr"]), "aupro": float(result["p_aupro"])}


WAYS: dict[str, tuple[Callable[[np.ndarray, np.ndarray], Values], tuple[str, ...]]] = {
    "exact": (exact, ()),
    "ours": (ours, ("numpy",)),
    "ours, one map at a time": (streamed, ("numpy",)),
    "scikit-learn": (scikit_learn, ("scikit-learn",)),
    "anomalib": (anomalib, ("anomalib", "torch")),
    "adeval": (adeval, ("adeval",)),
}
PEERS = ("scikit-learn", "anomalib", "adeval")


class Row(NamedTuple):
    """A way's CPU seconds, GB above the maps, values and versions."""

    cpu: float
    growth: float
    values: Values
    versions: dict[str, str]


def child(way: str, folder: Path) -> None:
    """Measure one way in this process and print the result as JSON."""
    call, packages = WAYS[way]
    masks, maps = np.load(folder / "masks.npy"), np.load(folder / "maps.npy")
    call(masks[:2], maps[:2])  # imports are not measured
    took = measured(lambda: call(masks, maps))
    print(json.dumps({"cpu": took.cpu, "growth": took.growth, "values": took.result, "versions": versions(*packages)}))


def run_child(way: str, folder: Path, peers_python: str | None) -> Row:
    """Measure one way in a process of its own, on one thread."""
    python = peers_python if way in ("anomalib", "adeval") else sys.executable
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return Row(**run_json(python, __file__, "--way", way, "--folder", folder, **one_thread))


def compare_ways(kind: str, options: argparse.Namespace) -> None:
    """Print the table of one kind of maps."""
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn(folder, kind, options.images, options.size)
        for way in WAYS if options.peers_python else [way for way in WAYS if way not in PEERS]:
            repeats = 1 if way == "exact" else options.repeats
            runs = [run_child(way, folder, options.peers_python) for _ in range(repeats)]
            rows[way] = runs[0]._replace(cpu=median(one.cpu for one in runs), growth=median(one.growth for one in runs))
        if kind == "cells":
            rows["ours, counts"] = counted(folder)
    print(f"\n{options.images} {KINDS[kind]}, {options.size} x {options.size}\n")
    print("| way | CPU s | MB above the maps |", *(f"{title} |" for title in NAMES.values()), "furthest from exact |")
    print("|---|---:|---:|" + "---:|" * (len(NAMES) + 1))
    exactly = rows["exact"].values
    for way, row in rows.items():
        cells = " | ".join(f"{row.values[key]:.6f}" if key in row.values else "" for key in NAMES)
        apart = max(abs(value - exactly[key]) for key, value in row.values.items())
        furthest = "" if way == "exact" else f"{apart:.0e}"
        print(f"| {way} | {row.cpu:.4g} | {1000 * row.growth:.0f} | {cells} | {furthest} |")
    if options.peers_python:
        peers = rows["scikit-learn"].cpu + rows["anomalib"].cpu
        print(f"scikit-learn and anomalib together / ours: {peers / rows['ours'].cpu:.0f}")
    print("versions:", {name: text for row in rows.values() for name, text in row.versions.items()})


def counted(folder: Path) -> Row:
    """Measure the metrics from counts; print what counting costs, once for all models."""
    from lvlm_ad.metrics import count_cells, pixel_metrics_from_counts

    cells, masks = np.load(folder / "cells.npy"), np.load(folder / "masks.npy")
    scores = list(np.load(folder / "scores.npy"))
    once = measured(lambda: [count_cells(*pair, CELLS) for pair in zip(cells, masks, strict=True)])
    print(f"\ncounting the ground truth in cells, once for all models: {once.cpu:.2f} CPU s")
    model = measured(lambda: pixel_metrics_from_counts(once.result, scores))
    return Row(model.cpu, model.growth, shown(model.result), {})


def whole_set(name: str, size: int, *, tenths: bool) -> None:
    """Print what a further model costs on a data set whose ground truth is counted."""
    from lvlm_ad.evaluate.images import Images
    from lvlm_ad.evaluate.measure import measure_category
    from lvlm_ad.evaluate.summary import summary
    from lvlm_ad.metrics import count_cells
    from lvlm_ad.metrics.histograms import histogram_of_cells

    images, good, n_categories = SETS[name]
    draw = np.random.default_rng(0)
    places = [cell_map(draw, size) for _ in range(10)]
    scored, stored = [], 0
    for at in range(images):
        mask = np.zeros((size, size), dtype=bool) if at < good else blobs(draw, size)
        truth = count_cells(places[at % 10], mask, CELLS)
        values = judged(draw, np.bincount(truth.cell, truth.pixels, minlength=CELLS), tenths=tenths)
        scored.append((at >= good, values, truth))
        stored += sum(array.nbytes for array in truth.to_arrays().values())

    def all_metrics(resamples: int) -> dict[str, Any]:
        categories = {f"category {number}": Images() for number in range(n_categories)}
        for at, (label, values, truth) in enumerate(scored):
            histogram = histogram_of_cells(truth, values)
            categories[f"category {at % n_categories}"].add(label, float(values.max()), histogram)
        return summary({name: measure_category(one, "zero", name, resamples) for name, one in categories.items()})

    all_metrics(10)
    plain, resampled = measured(lambda: all_metrics(0)), measured(lambda: all_metrics(1000))
    low, high = resampled.result["interval"]["pixel_auroc"]
    auroc = f"{plain.result['pixel_auroc']:.4f}, {low:.4f} to {high:.4f}"
    costs = " | ".join(f"{took.cpu:.3f} | {1000 * took.growth:.0f}" for took in (plain, resampled))
    print(f"| {name}, {'tenths' if tenths else 'any'} | {images:,} | {stored / 1e6:.1f} | {costs} | {auroc} |")


def large_category(count: int, size: int) -> None:
    """Print what a bench's category of so many maps of a baseline costs."""
    from lvlm_ad.evaluate.images import Images
    from lvlm_ad.evaluate.measure import measure_category

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
    parser.add_argument("--size", type=int, default=768, help="of the maps; a multiple of 64")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", type=int, help="how many maps; measures one large category of a baseline alone")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        child(options.way, options.folder)
    elif options.large:
        large_category(options.large, options.size)
    else:
        for kind in KINDS:
            compare_ways(kind, options)
        print(f"\nA further model on a counted data set ({CELLS} cells an image)\n")
        print(
            "| data set, scores | images | counts, MB | CPU s | MB | with 1,000 resamples, CPU s | MB | pixel AUROC |"
        )
        print("|---|---:|---:|---:|---:|---:|---:|---|")
        for name in SETS:
            for tenths in (True, False):
                whole_set(name, options.size, tenths=tenths)


if __name__ == "__main__":
    main()
