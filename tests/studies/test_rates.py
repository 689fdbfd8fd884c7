"""Numbers of study.json lie in their range, and so do their intervals."""

from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.metrics.estimates import Estimate
from lvlm_ad.studies import Number, Study, figures_of
from lvlm_ad.studies.grounding_losses import loss_interval
from lvlm_ad.studies.stability_record import VoteFigures

FROZEN = Path(__file__).parents[1] / "data" / "studies"


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        ("grounding", ("methods", 0, "auroc", "value"), 1.7, r"figures.methods.0.auroc .*fraction in 0..1"),
        ("grounding", ("losses", 0, "steps", 0, "lost", "value"), 1.2, r"figures.losses.0.steps.0.lost .*in -1..1"),
        ("grounding", ("methods", 0, "false_share"), -0.5, r"figures.methods.0.false_share "),
        ("stability", ("repeats", "all", "flip_rate", "value"), 1.5, r"figures.repeats.all.flip_rate .*in 0..1"),
        ("stability", ("auroc", "asking"), -0.1, r"figures.auroc.asking "),
        ("stability", ("metrics", "image_auroc", "each"), [0.5, 7.0], r"figures.metrics.image_auroc.each.1 "),
        ("stability", ("factors", 0, "levels", 0, "shift", "value"), -3, r"factors.0.levels.0.shift .*in -1..1"),
        ("stability", ("factors", 0, "excess", "interval"), [0.2, 0.1], r"excess.interval .*lower end comes first"),
        ("stability", ("positions", "numbers"), [1], r"figures.positions .*must be equally long"),
        ("efficiency", ("rows", 0, "image_auroc", "value"), -0.2, r"figures.rows.0.image_auroc .*fraction in 0..1"),
        ("efficiency", ("rows", 0, "image_auroc", "interval"), [0.9, 0.1], r"the lower end comes first"),
    ],
)
def test_edited_figures_are_refused(kind, path, value, message):
    """A number out of its range or an interval that is turned around is one line that names the place."""
    study = Study.read(FROZEN / kind)
    place = study.figures
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(RunError, match=message):
        figures_of(study)


def test_an_interval_of_a_difference_ends_at_1():
    """Student's and the jackknife's intervals of few images are cut off at what a difference of metrics can be."""
    gain = Number(value=0.53, interval=(-0.05, 1.11))
    usd = {"usd_per_image": None, "one_subset": True}
    assert VoteFigures(k=3, how="mean", auroc=0.9, gain=gain, **usd).gain.interval == (-0.05, 1.0)
    study = Study.read(FROZEN / "stability")
    study.figures["factors"][0]["levels"][0]["shift"] = {"value": -0.9, "interval": [-1.4, -0.4]}
    study.figures["factors"][0]["total"] = {"value": 0.2, "interval": [-0.1, 1.4]}
    factor = figures_of(study).factors[0]
    assert factor.levels[0].shift.interval == (-1.0, -0.4)
    assert factor.total.interval == (0.0, 1.0)


def test_a_loss_stays_within_what_it_can_be():
    """A step gains at most what it gains in some resample, and loses at most what the step before had."""
    draw = np.random.default_rng(1)
    first, second = (np.clip(draw.normal(0.5, 0.2, 500), 0.1, 0.9) for _ in range(2))
    before = {"bolt": Estimate(0.6, (0.05, 0.95), images=2.0, draws=first)}
    after = {"bolt": Estimate(0.58, (0.04, 0.96), images=2.0, draws=first - 0.1 * second + 0.02)}
    low, high = loss_interval("pixel_aupro", before, after)[0]
    assert low == pytest.approx(np.min(0.1 * second - 0.02))
    assert 0.02 < high <= 0.95
    gone = {"bolt": Estimate(0.0, (0.0, 0.9), images=2.0, draws=0.0 * first)}
    assert loss_interval("pixel_aupro", before, gone)[0][1] == 0.95
