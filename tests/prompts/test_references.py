"""Which normal training images a question shows."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from lvlm_ad.datasets import Dataset, Sample
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate import RunConfig
from lvlm_ad.evaluate.config import resolve
from lvlm_ad.prompts import reference_paths, reference_sets


def dataset(*counts, **changes):
    """A data set with a category of so many training images for each count."""
    samples, references = [], {}
    for number, count in enumerate(counts):
        category = f"part{number}"
        sample = Sample(f"{category}/0", category, label=False, defect="good", image_path=Path("0.png"))
        samples.append(replace(sample, **changes))
        references[category] = tuple(Path(f"{category}/{at}.png") for at in range(count))
    return Dataset("parts", Path("parts"), tuple(samples), references)


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(("count", "shots"), [(1, 1), (5, 1), (9, 4), (30, 2), (100, 3), (240, 16)])
def test_the_sets_of_reference_images_are_disjoint(count, shots, seed):
    """Set 0 has the images that were always shown; with the others it leaves less than a set over."""
    data = dataset(count)
    sets = [reference_paths(data, "part0", shots, seed, number) for number in range(reference_sets(data, shots))]
    assert sets[0] == random.Random(f"{seed}/part0").sample(data.references["part0"], shots)
    assert len(set().union(*sets)) == len(sets) * shots > count - shots
    with pytest.raises(
        ConfigError, match=f"reference_set={len(sets)} does not exist: the {count} normal training image"
    ):
        reference_paths(data, "part0", shots, seed, len(sets))


def test_as_many_sets_as_the_smallest_category_has():
    """A set is one of every category."""
    assert [reference_sets(dataset(9, 5, 40), shots) for shots in (1, 2, 5, 6)] == [5, 2, 1, 0]
    assert reference_sets(dataset(9, references=(Path("own.png"),)), 1) == 1
    with pytest.raises(ValueError, match="at least 1, not 0"):
        reference_sets(dataset(9), 0)


def test_images_with_references_of_their_own_have_one_set():
    """There is nothing to choose, so another set is refused before anything is read."""
    own = dataset(9, references=(Path("own.png"),))
    with pytest.raises(ConfigError, match="in parts each image has reference images of its own"):
        resolve(RunConfig(settings={"reference_set": 1, "shots": 1}), own)
    assert resolve(RunConfig(settings={"shots": 1}), own).protocol.shots == 1
