"""Coverage of the intervals of a stability study: how often a 95 % interval contains the true value.

Answers with known components are simulated, a study's figures computed from them by ``lvlm_ad.metrics.stability``, and
the intervals that contain the truth counted. The goal is 93 to 97 %; figures whose rule promises less or more have
their own range. "none" counts studies without an interval.

    python benchmarks/study_coverage.py [--sets N] [--seed N] [RECIPE]...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtr

from lvlm_ad.metrics import stability
from lvlm_ad.metrics.stability import Measured

Draw = np.random.Generator
Found = Iterator[tuple[str, Measured, float]]

GOAL = (0.93, 0.97)
"""Coverage that a figure should have."""


@dataclass
class Count:
    """What happened to one figure in one setting."""

    truth: float
    contained: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    without: int = 0

    def add(self, found: Measured) -> None:
        """Add the figure of one study."""
        self.values.append(np.nan if found.value is None else found.value)
        if found.interval is None:
            self.without += 1
            return
        self.contained.append(found.interval[0] - 1e-12 <= self.truth <= found.interval[1] + 1e-12)
        self.widths.append(found.interval[1] - found.interval[0])


def flip_rate(draw: Draw, images: int, repeats: int) -> Found:
    """Images alarm with probabilities from Beta(1/4, 1/4); two answers disagree with probability 1/6."""
    chance = draw.beta(0.25, 0.25, (images, 1))
    found = stability.repeats(draw.random((images, repeats)) < chance, threshold=1)
    yield "flip rate", found.flip_rate, 1 / 6


def rare_flips(draw: Draw, images: int, repeats: int) -> Found:
    """One image in ten flips a coin, the others never change."""
    chance = np.where(draw.random((images, 1)) < 0.1, 0.5, 0.0)  # noqa: PLR2004 - one in ten
    found = stability.repeats(draw.random((images, repeats)) < chance, threshold=1)
    yield "flip rate", found.flip_rate, 0.05


def icc(draw: Draw, images: int, repeats: int) -> Found:
    """Normal scores, SD 0.2 between and 0.1 within images."""
    scores = draw.normal(0, 0.2, (images, 1)) + draw.normal(0, 0.1, (images, repeats))
    yield "ICC", stability.icc(scores), 0.8


def components(draw: Draw, images: int, repeats: int) -> Found:
    """The recipe variance_components of the shared cases."""
    truth = {"image": 0.04, "condition": 0.0025, "interaction": 0.01, "repeat": 0.0225}
    parts = (draw.normal(0, 0.2, (images, 1, 1)), draw.normal(0, 0.1, (images, 4, 1)))
    y = sum(parts) + np.array([-0.0612, 0, 0, 0.0612])[:, None] + draw.normal(0, 0.15, (images, 4, repeats))
    found = stability.variance_components(y)
    for name, value in truth.items():
        yield f"component {name}", getattr(found, name), value


def one_factor(draw: Draw, images: int, levels: int, *, tenths: bool) -> Found:
    """A factor that shifts each image on its own, SD 0.1, and all images by its level; repeats vary with SD 0.15."""
    offsets = np.linspace(-0.06, 0.06, levels)
    centre = draw.normal(0.5, 0.15, (images, 1))
    base = centre + draw.normal(0, 0.15, (images, 3))
    moved = centre + offsets + draw.normal(0, 0.1, (images, levels)) + draw.normal(0, 0.15, (images, levels))
    if tenths:
        # Rounding adds its own variance to every answer: 0.1 squared over 12.
        base, moved = base.round(1), moved.round(1)
    within = 0.0225 + (0.1**2 / 12 if tenths else 0)
    excess = 0.01 + offsets.var(ddof=1)
    found = stability.one_factor(base, moved)
    yield "factor: repeat", found.repeat, within
    yield "factor: total", found.total, within + excess
    yield "factor: excess", found.excess, excess
    yield "factor: share", found.share, excess / (within + excess)
    yield "factor: shift of a level", found.shifts[0], float(offsets[0])


def positions(draw: Draw, images: int, regions: int, *, preference: str) -> Found:
    """Regions differ in how often they are named; numbers add a preference, cyclically permuted."""
    added = {
        "none": np.zeros(regions),
        "slope": np.linspace(0.1, -0.1, regions),
        "first": np.append(0.15, np.zeros(regions - 1)),
    }[preference]
    numbers = 1 + (np.arange(regions)[:, None] + np.arange(regions)) % regions
    chance = 0.1 + 0.7 * draw.beta(0.5, 2, (images, regions, 1)) + added[numbers - 1]
    named = draw.random((images, regions, regions)) < chance
    found = stability.position_bias([numbers] * images, named)
    effects = added - added.mean()
    yield "position: effect of 1", found.effect[0], float(effects[0])
    yield "position: range", found.range, float(np.ptp(effects))
    centred = np.arange(regions) - (regions - 1) / 2
    yield "position: slope", found.slope, float(centred @ effects / (centred @ centred))


def votes(draw: Draw, images: int, repeats: int, *, tenths: bool) -> Found:
    """Answers around the image's own score; a vote of all answers averages their noise away."""
    labels = np.arange(2 * images) < images
    own = np.where(labels, 1.0, 0.0) + draw.normal(0, 0.6, 2 * images)
    scores = own[:, None] + draw.normal(0, 0.8, (2 * images, repeats))
    if tenths:
        scores = np.clip(np.round(2 * scores + 4), 0, 10) / 10
    found = stability.votes(labels, scores)

    def auroc(k: int) -> float:
        return float(ndtr(1 / np.sqrt(2 * (0.36 + 0.64 / k))))

    for k in (2, repeats):
        yield f"gain of {k} votes", found[k - 1].gain, _votes_truth(k) if tenths else auroc(k) - auroc(1)


def _votes_truth(k: int) -> float:
    """Return the gain on tenths, from many images."""
    if k not in _TRUTHS:
        draw, n = np.random.default_rng(0), 400_000
        scores = np.arange(2) + draw.normal(0, 0.6, (n, 2)) + draw.normal(0, 0.8, (k, n, 2))
        scores = np.clip(np.round(2 * scores + 4), 0, 10) / 10
        aurocs = []
        for part in (scores[:1], scores):
            good, bad = part.mean(axis=0).round(12).T
            good = np.sort(good)
            aurocs.append((np.searchsorted(good, bad) + np.searchsorted(good, bad, side="right")).mean() / (2 * n))
        _TRUTHS[k] = float(aurocs[1] - aurocs[0])
    return _TRUTHS[k]


_TRUTHS: dict[int, float] = {}


def shift(draw: Draw, images: int, *, skewed: bool) -> Found:
    """Marks raise the score by 0.05 on average; if skewed, by much on few images."""
    plain = draw.normal(0.5, 0.2, images)
    marked = plain + (draw.exponential(0.05, images) if skewed else draw.normal(0.05, 0.05, images))
    yield "paired shift", stability.paired_shift(marked, plain), 0.05


def maps(draw: Draw, images: int, repeats: int) -> Found:
    """Cells vary with an SD of each image's own; two uniform values of width w differ by w/3 on average."""
    width = draw.choice([0.0, 0.1, 0.3], images)
    stacks = width[:, None, None] * draw.random((images, repeats, 40))
    yield "map disagreement", stability.mean_map_disagreement(list(stacks)), 0.4 / 9


@dataclass(frozen=True)
class Recipe:
    """A simulation: its settings, and the coverage that figures may have where it is not the goal."""

    simulate: Callable[..., Found]
    settings: Sequence[dict]
    accept: dict[str, tuple[float, float]] = field(default_factory=dict)


RECIPES = {
    "flips": Recipe(flip_rate, [{"images": n, "repeats": r} for n in (20, 50, 200) for r in (2, 3, 5)]),
    "rare-flips": Recipe(rare_flips, [{"images": n, "repeats": r} for n in (50, 200) for r in (2, 5)]),
    "icc": Recipe(icc, [{"images": n, "repeats": r} for n, r in ((10, 3), (30, 3), (100, 2))]),
    "components": Recipe(
        components,
        [{"images": n, "repeats": 3} for n in (10, 20, 50)],
        # A description of a few chosen levels, from the plain jackknife.
        {"component condition": (0.89, 0.97)},
    ),
    "one-factor": Recipe(
        one_factor, [{"images": n, "levels": 4, "tenths": t} for n in (20, 50) for t in (False, True)]
    ),
    "positions": Recipe(
        positions,
        [
            {"images": n, "regions": q, "preference": p}
            for n, q in ((20, 6), (60, 12))
            for p in ("none", "slope", "first")
        ],
        # Its ends are bounds: the interval covers 95 % at least.
        {"position: range": (0.93, 1.0)},
    ),
    "votes": Recipe(
        votes,
        [{"images": n, "repeats": 5, "tenths": t} for n in (10, 30, 100) for t in (False, True)],
        # The jackknife counts what a pair of images adds by itself once for each class: too wide on few images.
        {"gain of 2 votes": (0.93, 0.99), "gain of 5 votes": (0.93, 0.99)},
    ),
    "shift": Recipe(shift, [{"images": n, "skewed": False} for n in (10, 30, 100)]),
    # Student's interval of so skewed differences needs more images.
    "skewed-shift": Recipe(
        shift, [{"images": n, "skewed": True} for n in (10, 30, 100)], {"paired shift": (0.89, 0.97)}
    ),
    "maps": Recipe(maps, [{"images": n, "repeats": 3} for n in (10, 30)]),
}


def counted(recipe: Recipe, setting: dict, sets: int, seed: int) -> dict[str, Count]:
    """Simulate studies and count."""
    draw = np.random.default_rng(seed)
    counts: dict[str, Count] = {}
    for _ in range(sets):
        for name, found, truth in recipe.simulate(draw, **setting):
            counts.setdefault(name, Count(truth)).add(found)
    return counts


def line(name: str, setting: dict, count: Count, accept: tuple[float, float]) -> tuple[str, bool]:
    """Return a row of the table, and whether coverage is in its range, two standard errors allowed."""
    coverage = float(np.mean(count.contained))
    margin = 2 * np.sqrt(0.95 * 0.05 / len(count.contained))
    inside = accept[0] - margin <= coverage <= accept[1] + margin
    words = ", ".join(f"{key} {value}" for key, value in setting.items())
    cells = (
        *(name, words, f"{100 * coverage:.1f}", f"{100 * accept[0]:.0f}-{100 * accept[1]:.0f}"),
        *(f"{np.mean(count.widths):.4f}", f"{np.nanmean(count.values):.4f} / {count.truth:.4f}", str(count.without)),
        "inside" if inside else "**outside**",
    )
    return f"| {' | '.join(cells)} |", inside


def main() -> int:
    """Print the table; the exit status is 1 if a figure is outside its range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help=f"of {', '.join(RECIPES)}; default: all")
    parser.add_argument("--sets", type=int, default=1000, help="simulated studies of each setting (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if unknown := set(options.recipes) - set(RECIPES):
        parser.error(f"no recipe is called {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    print("| figure | studies | coverage, % | goal | mean width | mean / truth | none | verdict |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    all_inside = True
    for recipe_name in options.recipes or RECIPES:
        recipe = RECIPES[recipe_name]
        for setting in recipe.settings:
            for name, count in counted(recipe, setting, options.sets, options.seed).items():
                row, inside = line(name, setting, count, recipe.accept.get(name, GOAL))
                print(row, flush=True)
                all_inside &= inside
    return 0 if all_inside else 1


if __name__ == "__main__":
    sys.exit(main())
