"""Image AUROC of conditions against each other: values by plain counting, intervals that cover."""

from types import SimpleNamespace

import numpy as np
import pytest

from lvlm_ad.studies.aurocs import auroc_change, auroc_contrast


def answers(scores, labels, categories=None, parts=None):
    """Make readings of scores alone."""
    names = np.array(["bolt"] * len(labels) if categories is None else categories)
    parts = [""] * len(labels) if parts is None else parts
    return SimpleNamespace(
        scores=np.asarray(scores, float), labels=np.asarray(labels, bool), categories=names, parts=parts
    )


def plain_auroc(scores, labels):
    """Count the pairs in the right order, ties half."""
    first, second = scores[labels][:, None], scores[~labels]
    return float(((first > second) + 0.5 * (first == second)).mean())


def test_values_are_those_of_pairs():
    """A contrast is the weighted sum of AUROCs, the mean over categories, on images that all conditions answered."""
    draw = np.random.default_rng(0)
    labels, categories = draw.random(60) < 0.5, np.repeat(["bolt", "nut"], 30)
    scores = (draw.random((60, 3)) + labels[:, None] * [0.5, 0.3, 0.1]).round(1)
    scores[4, 1] = np.nan
    found = auroc_contrast(answers(scores, labels, categories), [0, 1, 2], [0.5, 1.0, -1.5])
    there = ~np.isnan(scores).any(axis=1)
    expected = []
    for name in ("bolt", "nut"):
        rows = there & (categories == name)
        expected.append(sum(w * plain_auroc(scores[rows, at], labels[rows]) for at, w in enumerate((0.5, 1.0, -1.5))))
    assert found.value == pytest.approx(np.mean(expected))
    both = answers(scores[there], labels[there], categories[there])
    assert auroc_change(both, 0, 2).value == pytest.approx(auroc_contrast(both, [0, 2], [1, -1]).value)


def test_the_interval_of_a_contrast_covers():
    """Over 300 draws of 40 images, 95 % intervals of a difference of AUROCs contain the truth nearly as often."""
    draw = np.random.default_rng(3)
    labels = np.arange(40) < 20

    def sample(n, kinds):
        own = draw.normal(size=n)
        return np.stack([own + draw.normal(size=n) + 1.5 * kinds, own + draw.normal(size=n) + 1.0 * kinds], axis=1)

    many = np.arange(40_000) < 20_000
    large = sample(many.size, many)
    from lvlm_ad.metrics.curves import placements

    truth = placements(many, large[:, 0]).mean() - placements(many, large[:, 1]).mean()
    intervals = [auroc_contrast(answers(sample(40, labels), labels), [0, 1], [1, -1]).interval for _ in range(300)]
    assert np.mean([low <= truth <= high for low, high in intervals]) >= 0.92


def test_what_is_undefined_has_a_reason():
    """Without a category of both classes there is no value; with one image of a class there is no interval."""
    nothing = answers([[0.1, 0.2], [0.3, np.nan]], [False, True])
    for found in (auroc_change(nothing, 1), auroc_contrast(nothing, [0, 1], [1, -1])):
        assert found.value is None
        assert found.reason.startswith("no category has good and anomalous images")
    one = answers([[0.1, 0.2], [0.3, 0.4], [0.2, 0.1]], [False, True, False])
    assert (auroc_change(one, 1).interval, auroc_change(one, 1).reason) == (
        None,
        "a category has fewer than 2 good or 2 anomalous images",
    )
    assert auroc_contrast(one, [0, 1], [1, -1]).reason == "undefined without one of the images"


def test_images_of_one_object_are_not_independent():
    """Two equal images of each object are as uncertain as one of each; taken for independent, they would be surer."""
    draw = np.random.default_rng(4)
    labels = np.arange(24) < 12
    scores = draw.normal(size=(24, 2)) + labels[:, None] * [1.5, 1.0]
    doubled, kinds = np.repeat(scores, 2, axis=0), np.repeat(labels, 2)
    grouped = answers(doubled, kinds, parts=[f"part {at // 2}" for at in range(48)])
    once, apart = answers(scores, labels), answers(doubled, kinds)
    contrasts = [auroc_contrast(one, [0, 1], [1, -1]) for one in (once, grouped)]
    assert contrasts[1].interval == pytest.approx(contrasts[0].interval)
    widths = [np.ptp(auroc_change(one, 0, 1).interval) for one in (once, grouped, apart)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)
    assert widths[2] < 0.85 * widths[1]
