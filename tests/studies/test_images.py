"""The images of a study: a fair sample, the same for everybody, of which a larger one contains the smaller."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvlm_ad.datasets import Dataset, Sample
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate import RunConfig
from lvlm_ad.studies.images import choose_images, chosen_images


def dataset(*counts):
    """Make a data set with so many good and anomalous images of each category, of two kinds of defect."""
    samples = []
    for place, (good, anomalous) in enumerate(counts):
        name = f"part{place}"
        samples += [Sample(f"{name}/good/{one}", name, False, "good", Path()) for one in range(good)]
        kinds = ["bent" if one % 3 else "cut" for one in range(anomalous)]
        samples += [Sample(f"{name}/{kind}/{one}", name, True, kind, Path()) for one, kind in enumerate(kinds)]
    return Dataset("folder", Path(), tuple(samples))


SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)


@given(SIZES, st.integers(2, 30), st.integers(2, 30), st.integers(0, 5))
def test_more_images_are_the_same_images_and_others(counts, first, second, seed):
    """A study that is extended asks only about the images that are new."""
    fewer, more = sorted((first, second))
    whole = dataset(*counts)
    small, large = choose_images(whole, fewer, seed), choose_images(whole, more, seed)
    assert {one.id for one in small} <= {one.id for one in large}
    assert len(large) == min(more, len(whole))
    assert [one.id for one in whole if one.id in {two.id for two in large}] == [one.id for one in large]


def test_every_category_class_and_kind_is_there():
    """Eight of many images of two categories are two good and two anomalous ones of each, of both kinds."""
    chosen = choose_images(dataset((50, 50), (90, 20)), 8)
    assert {(one.category, one.label) for one in chosen} == {(f"part{at}", label) for at in (0, 1) for label in (0, 1)}
    assert [sum(one.category == name and one.label for one in chosen) for name in ("part0", "part1")] == [2, 2]
    assert {one.defect for one in chosen} == {"good", "bent", "cut"}


def test_another_seed_draws_other_images():
    """The draw is by the seed alone."""
    whole = dataset((40, 40))
    first, again, other = (choose_images(whole, 10, seed) for seed in (1, 1, 2))
    assert [one.id for one in first] == [one.id for one in again]
    assert [one.id for one in first] != [one.id for one in other]


def test_a_limit_and_a_single_image_are_refused(blocks):
    """--limit of bench takes the first images of each category, so a study does not take it."""
    config = RunConfig(models=["gpt-4o"], data=blocks, limit=3)
    with pytest.raises(ConfigError, match="--images, not --limit"):
        chosen_images(config, 10)
    with pytest.raises(ConfigError, match="2 images or more"):
        choose_images(dataset((3, 3)), 1)
    part, whole = (chosen_images(RunConfig(data=blocks), count) for count in (10, None))
    assert (part.whole, whole.whole, part.available, len(whole.dataset)) == (False, True, 40, 40)
