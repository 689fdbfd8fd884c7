"""Intervals contain the true value as often as the shared recipes ask, on answers with known components."""

import json

import numpy as np
import pytest

from lvlm_ad.metrics.stability import icc, repeats, variance_components


@pytest.fixture(scope="module")
def accepted(shared):
    """The range of coverage of each recipe that gives one as numbers."""
    recipes = json.loads((shared / "cases" / "statistics.json").read_text())["recipes"]
    return {one["id"]: one["accept"] for one in recipes}


def contained(intervals, truth):
    """How often an interval contains the true value."""
    return np.mean([low <= truth <= high for low, high in intervals])


def test_icc_is_covered_as_often_as_its_recipe_asks(accepted):
    """30 images, 3 repeats, SD 0.2 between images and 0.1 within: 0.8 is the truth in 2,000 sets."""
    draw = np.random.default_rng(0)
    found = [icc(draw.normal(0, 0.2, (30, 1)) + draw.normal(0, 0.1, (30, 3))).interval for _ in range(2000)]
    assert accepted["icc"][0] <= contained(found, 0.8) <= accepted["icc"][1]


def test_the_flip_rate_is_covered_as_often_as_its_recipe_asks(accepted):
    """50 images that alarm with probabilities from Beta(1/4, 1/4), asked twice: two answers disagree 1 time in 6."""
    draw = np.random.default_rng(0)
    answers = (draw.random((50, 2)) < draw.beta(0.25, 0.25, (50, 1)) for _ in range(600))
    found = [repeats(one, threshold=1).flip_rate.interval for one in answers]
    assert accepted["flip"][0] <= contained(found, 1 / 6) <= accepted["flip"][1]


def test_variance_components_are_covered_as_often_as_their_recipe_asks():
    """20 images, 4 conditions, 3 repeats, 300 sets: 87 to 97 % of the intervals hold the truth, and means are right."""
    draw = np.random.default_rng(0)
    truth = {"image": 0.04, "condition": 0.0025, "interaction": 0.01, "repeat": 0.0225}
    found = []
    for _ in range(300):
        parts = draw.normal(0, 0.2, (20, 1, 1)), draw.normal(0, 0.1, (20, 4, 1)), draw.normal(0, 0.15, (20, 4, 3))
        found.append(variance_components(sum(parts) + np.array([-0.0612, 0.0, 0.0, 0.0612])[:, None]))
    for name, value in truth.items():
        each = [getattr(one, name) for one in found]
        assert np.mean([one.value for one in each]) == pytest.approx(value, rel=0.1 if name == "condition" else 0.05)
        assert 0.87 <= contained([one.interval for one in each], value) <= 0.97
