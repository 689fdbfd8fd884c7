"""What it costs to paint an answer's boxes and to count the ground truth in the map's cells, and to measure the boxes.

    python benchmarks/paint_shapes.py [--side 896] [--boxes 100]

Compares with cutting the image into every piece that the boxes make (``Regions.from_masks``), which gives the same map.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from lvlm_ad.metrics import CellCounts, PixelMetrics, count_cells, pixel_metrics_from_counts, shape_measures
from lvlm_ad.regions import Regions
from lvlm_ad.regions.shapes import Box
from lvlm_ad.text2seg import ScoreMap, paint, paint_shapes


def boxes_of(draw: np.random.Generator, side: int, count: int) -> list[Box]:
    """Return boxes of any size and place, with scores in hundredths."""
    corners = np.sort(draw.uniform(0, side, (count, 2, 2)), axis=1)
    return [Box(*low, *high, float(draw.integers(1, 101)) / 100) for low, high in corners.tolist()]


def milliseconds(action: Callable[[], object], repeats: int) -> float:
    """Return how long an action takes, at best."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=896)
    parser.add_argument("--boxes", type=int, default=100)
    options = parser.parse_args()
    draw, size = np.random.default_rng(0), (options.side, options.side)
    boxes = boxes_of(draw, options.side, options.boxes)
    mask = np.zeros(size, dtype=np.bool_)
    for one in boxes_of(draw, options.side // 8, 3):
        one.window(*size).fill(mask, value=True)

    def as_shapes() -> tuple[ScoreMap, CellCounts]:
        painted = paint_shapes(boxes, size)
        return painted, count_cells(painted.regions.cells, mask, painted.regions.n_cells)

    def as_regions() -> tuple[ScoreMap, CellCounts]:
        regions = Regions.from_masks(np.stack([one.mask(*size) for one in boxes]))
        painted = paint({number: one.score for number, one in enumerate(boxes, start=1)}, regions)
        return painted, count_cells(regions.cells, mask, regions.n_cells)

    found = [pixel_metrics_from_counts([counts], [painted.values]) for painted, counts in (as_shapes(), as_regions())]
    union = as_shapes()[0].dense() > 0
    print(f"{options.boxes} boxes, {options.side} x {options.side} pixels, milliseconds an image")
    print(f"painted and counted as shapes:   {milliseconds(as_shapes, 10):8.1f}")
    print(f"the same as regions:             {milliseconds(as_regions, 2):8.1f}")
    print(f"metrics of shapes:               {milliseconds(lambda: shape_measures(union, mask), 10):8.1f}")
    print(f"largest difference of AUROC, AP, F1-max, AUPRO: {largest(*found):.0e}")


def largest(one: PixelMetrics, other: PixelMetrics) -> float:
    """Return by how much two results differ at most."""
    return max(abs(getattr(one, name) - getattr(other, name)) for name in ("auroc", "ap", "f1_max", "aupro"))


if __name__ == "__main__":
    main()
