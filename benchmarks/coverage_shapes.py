"""How often the intervals of the metrics of shapes contain the true value.

    python benchmarks/coverage_shapes.py [--sets 1000]

IoUs of an image are 0 with the probability ``missed``, else from a beta distribution; points of an image are hits more
or less often, less often where there are many. A mean covers categories of different true values.
"""

import argparse
from collections.abc import Callable

import numpy as np

from lvlm_ad.metrics import shape_metrics
from lvlm_ad.metrics.shapes import ShapeEstimate, mean_of_shapes, shape_difference

Measures = list[dict[str, float]]

IOUS = {
    "often missed": (0.6, 5, 2),
    "seldom missed": (0.1, 8, 2),
    "never missed": (0.0, 2, 2),
    "nearly all": (0.95, 5, 2),
}
"""How often a defect is missed, and the two parameters of the beta distribution of the others."""


def ious(draw: np.random.Generator, missed: float, a: float, b: float, n: int) -> Measures:
    """Return the IoUs of n images."""
    values = np.where(draw.random(n) < missed, 0.0, draw.beta(a, b, n))
    return [{"iou_box": value, "iou_mask": value} for value in values.tolist()]


def points(draw: np.random.Generator, n: int) -> Measures:
    """Return the points of n images."""
    places = 1 + draw.poisson(2, n)
    hits = draw.binomial(places, draw.beta(2, 1, n) * np.where(places > 3, 0.6, 1.0))  # noqa: PLR2004 - many
    return [{"point_hit": hit / place, "n_places": float(place)} for hit, place in zip(hits, places, strict=True)]


def estimate(name: str, measures: Measures) -> ShapeEstimate:
    """Return a metric of a category."""
    return shape_metrics(measures, points=True).estimates[name]


def covered(truth: float, intervals: list[tuple[float, float]]) -> str:
    """Return how many intervals contain the truth, in percent, and how wide they are on average."""
    ends = np.array(intervals)
    share = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    return f"{100 * share:.1f} ({np.ptp(ends, axis=1).mean():.2f})"


def line(name: str, sizes: tuple[int, ...], find: Callable[[int], str]) -> None:
    """Print a line of the table."""
    print(f"| {name} | {' | '.join(find(size) for size in sizes)} |")


def main() -> None:
    """Print coverage in percent, and mean width, for 3 to 100 images of a category."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000)
    sets, draw, sizes = range(parser.parse_args().sets), np.random.default_rng(0), (3, 5, 10, 30, 100)
    print(f"| metric | {' | '.join(f'{size} images' for size in sizes)} |")
    for kind, (missed, a, b) in IOUS.items():
        for metric in ("miou_box", "acc_box_50"):
            truth = estimate(metric, ious(draw, missed, a, b, 200_000)).value
            line(
                f"{metric}, {kind}",
                sizes,
                lambda n, m=missed, a=a, b=b, t=truth, of=metric: covered(
                    t, [estimate(of, ious(draw, m, a, b, n)).interval for _ in sets]
                ),
            )
    truth = estimate("point_hit", points(draw, 200_000)).value
    line("point_hit", sizes, lambda n: covered(truth, [estimate("point_hit", points(draw, n)).interval for _ in sets]))
    five = [(0.5, 2 + at, 2) for at in range(5)]
    mean = float(np.mean([(1 - missed) * a / (a + b) for missed, a, b in five]))

    def of_mean(n: int) -> str:
        return covered(
            mean, [mean_of_shapes([estimate("miou_box", ious(draw, *one, n)) for one in five])[1] for _ in sets]
        )

    def of_difference(n: int) -> str:
        found = []
        for _ in sets:
            first = ious(draw, 0.5, 5, 2, n)
            second = [dict.fromkeys(one, 0.8 * one["iou_box"]) for one in first]
            found.append(shape_difference([estimate("miou_box", first)], [estimate("miou_box", second)])[1])
        return covered(0.2 * 0.5 * 5 / 7, found)

    line("mean of 5 categories", sizes, of_mean)
    line("difference on the same images", sizes, of_difference)


if __name__ == "__main__":
    main()
