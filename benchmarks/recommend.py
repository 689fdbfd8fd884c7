"""How often ``lvlm-ad recommend`` takes the right model, and what share of the full cost it needs.

The answers of six models of known image AUROC and price are simulated, round by round as the command asks, and its rule
decides. "Right": the true image AUROC of the model taken is below the best one's by the stated loss or the margin,
whichever is larger, at most. "Within margin": by the margin at most. "Sure": the stated loss is at most the margin.

    python benchmarks/recommend.py [--runs N] [--images N] [--margin POINTS] [--seed N] [SETTING]...
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from simulated import paired_scores, truth_of

from lvlm_ad.metrics.elimination import Race, ScoreTable, after_round, choice, critical_z
from lvlm_ad.studies.recommend_rounds import round_sizes

SETTINGS: dict[str, tuple[list[float], list[float], int]] = {
    "spread": ([0.95, 0.90, 0.85, 0.80, 0.70, 0.60], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 1),
    "two equal": ([0.95, 0.95, 0.85, 0.80, 0.70, 0.60], [6.0, 1.0, 5.0, 4.0, 3.0, 2.0], 1),
    "all equal": ([0.85] * 6, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 1),
    "best is cheapest": ([0.60, 0.70, 0.80, 0.85, 0.90, 0.95], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 1),
    "close": ([0.93, 0.92, 0.91, 0.90, 0.89, 0.88], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 1),
    "just beyond the margin": ([0.93] + [0.90] * 5, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 1),
    "15 categories": ([0.95, 0.90, 0.85, 0.80, 0.70, 0.60], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 15),
    "15 categories, two equal": ([0.95, 0.95, 0.85, 0.80, 0.70, 0.60], [6.0, 1.0, 5.0, 4.0, 3.0, 2.0], 15),
}
"""Setting -> image AUROC of each model before rounding to tenths, its cost per image; the number of categories."""


@dataclass(frozen=True)
class Outcome:
    """One simulated run."""

    lost: float
    stated: float
    sure: bool
    cost: float


def simulated(draw: np.random.Generator, setting: str, images: int, margin: float) -> Outcome:
    """Run the rounds once."""
    values, prices, categories = SETTINGS[setting]
    size = images // categories // 2
    labels, names, scores = [], [], []
    for number, (label, score) in enumerate(paired_scores(draw, values, [(size, size)] * categories)):
        order = np.argsort(np.concatenate([np.arange(size), np.arange(size)]), kind="stable")
        labels.append(label[order])
        names.append(np.full(label.size, f"{number:02}"))
        scores.append(score[:, order])
    # The order of a study: a pair of a good and an anomalous image of each category in turn.
    turn = np.argsort(np.concatenate([np.arange(2 * size) // 2 for _ in range(categories)]), kind="stable")
    table = ScoreTable(
        np.concatenate(labels)[turn], np.concatenate(names)[turn], np.concatenate(scores, axis=1)[:, turn]
    )
    sizes = round_sizes(turn.size, categories)
    race, cost, asked, z = Race.start(len(values)), 0.0, 0, critical_z(len(values), len(sizes))
    for end in sizes:
        cost += sum(prices[one] for one in race.left) * (end - asked)
        asked = end
        so_far = ScoreTable(table.labels[:end], table.categories[:end], table.scores[:, :end])
        race = after_round(race, so_far, prices, margin, z)
        if len(race.left) == 1:
            break
    taken = choice(race, so_far, prices, margin)
    truth = [truth_of(one)["auroc"] for one in values]
    loss = race.loss(taken)
    return Outcome(max(truth) - truth[taken], loss, loss <= margin, cost / (sum(prices) * turn.size))


def main() -> None:
    """Simulate every setting and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=f"of {', '.join(SETTINGS)}; default: all")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--margin", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    margin = given.margin / 100
    print(f"{given.runs} runs, {given.images} images, margin {given.margin:g} points")
    heads = ("right", "within margin", "sure", "sure but wrong", "share of cost")
    print(f"{'setting':26}", *(f"{head:>15}" for head in heads))
    for setting in given.settings or SETTINGS:
        draw = np.random.default_rng(given.seed)
        found = [simulated(draw, setting, given.images, margin) for _ in range(given.runs)]
        right = np.mean([one.lost <= max(one.stated, margin) for one in found])
        within = np.mean([one.lost <= margin for one in found])
        wrong = np.mean([one.sure and one.lost > margin for one in found])
        sure, cost = np.mean([one.sure for one in found]), np.mean([one.cost for one in found])
        print(f"{setting:26}", *(f"{one:15.0%}" for one in (right, within, sure, wrong, cost)), flush=True)


if __name__ == "__main__":
    main()
