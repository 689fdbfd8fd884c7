"""A baseline's map becomes region scores, and what it must not give is refused."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lvlm_ad.baseline import Baseline, DenseScores, View
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import ImageError, PluginError
from lvlm_ad.evaluate.detectors import BaselineDetector
from lvlm_ad.plugins import build, find_model
from lvlm_ad.regions import divide

SIZE = 128


@pytest.fixture
def sample(kept_data):
    return load_dataset("folder", kept_data)[-1]


@pytest.fixture
def regions(sample):
    return divide(resize_image(sample.image, (SIZE, SIZE)), n_segments=12, max_area=1e9)


def detector(baseline, seed=0):
    """A detector of a baseline, in a bench of images of 128 x 128 pixels."""
    plan = SimpleNamespace(
        config=SimpleNamespace(seed=seed),
        protocol=SimpleNamespace(image_size=SIZE, shots=0, reference_set=0, binary=False),
        dataset=SimpleNamespace(references={}),
    )
    model = SimpleNamespace(preset=SimpleNamespace(name="test"))
    return BaselineDetector(SimpleNamespace(plan=plan), model, baseline)


class Fixed(Baseline):
    """Gives the scores it was made with."""

    def __init__(self, image, pixels):
        super().__init__()
        self.scores = DenseScores(image, pixels)
        self.views = []

    def score(self, view):
        self.views.append(view)
        return self.scores


def test_a_map_is_averaged_over_regions_and_read_back(sample, regions):
    """As regions, each region's score is the mean of the map in it, to the six decimals of the answer's format."""
    pixels = np.random.default_rng(0).random((SIZE, SIZE))
    prediction = detector(Fixed(0.25, pixels)).detect(sample, regions)
    assert prediction.record.image_score == 0.25
    for number in range(1, regions.count + 1):
        mean = pixels[regions.membership[number - 1][regions.cells]].mean()
        assert prediction.record.regions[number] == pytest.approx(mean, abs=5.1e-7)
    assert prediction.record.text.startswith("image anomaly score: 0.25; region 1: ")


def test_a_baseline_does_not_see_the_truth(sample, regions):
    """Only a baseline that declares it is shown label and mask."""
    honest = Fixed(0.5, np.zeros((SIZE, SIZE)))
    detector(honest).detect(sample, regions)
    assert honest.views[0].truth is None
    assert honest.views[0].image.shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("image", "pixels", "says"),
    [
        (0.5, np.zeros((4, 4)), "shape"),
        (1.5, np.zeros((SIZE, SIZE)), "outside"),
        (float("nan"), np.zeros((SIZE, SIZE)), "outside"),
        (0.5, np.full((SIZE, SIZE), np.nan), "outside"),
        (0.5, np.full((SIZE, SIZE), -0.1), "outside"),
    ],
)
def test_wrong_scores_are_refused(sample, regions, image, pixels, says):
    """A map of another size, scores outside [0, 1] and NaN are errors that name the baseline and the sample."""
    with pytest.raises(PluginError, match=f"baseline test .*{says}.*|baseline test .*{sample.id}"):
        detector(Fixed(image, pixels)).detect(sample, regions)


def test_the_oracle_answers_the_defective_fraction(sample, regions):
    """Label as image score, and in each region the fraction of its pixels that are defective."""
    oracle = build(find_model("oracle", {})[0])
    prediction = detector(oracle).detect(sample, regions)
    mask = resize_mask(sample.mask, (SIZE, SIZE))
    assert prediction.record.image_score == 1.0
    for number in range(1, regions.count + 1):
        fraction = mask[regions.membership[number - 1][regions.cells]].mean()
        assert prediction.record.regions.get(number, 0.0) == pytest.approx(fraction, abs=5.1e-7)


def test_chance_depends_on_the_seed_alone(sample, regions):
    """The same seed gives the same scores, another seed others; the image is not looked at."""
    chance = build(find_model("chance", {})[0])
    first, again, other = (detector(chance, seed=seed).detect(sample, regions) for seed in (0, 0, 1))
    assert first.record.text == again.record.text != other.record.text


def test_only_baselines_that_look_at_pixels_read_them(sample, regions, tmp_path):
    """Of an image that is cut off behind its header, chance and oracle have scores; contrast reports the damage."""
    cut = tmp_path / sample.image_path.name
    cut.write_bytes(sample.image_path.read_bytes()[:200])
    damaged = replace(sample, image_path=cut)
    for name in ("chance", "oracle"):
        baseline = build(find_model(name, {})[0])
        whole, part = (detector(baseline).detect(one, regions) for one in (sample, damaged))
        assert part.record.text == whole.record.text
    with pytest.raises(ImageError, match="damaged or truncated"):
        detector(build(find_model("contrast", {})[0])).detect(damaged, regions)


def test_chance_is_uniform():
    """Over many samples the image scores of chance are spread evenly over [0, 1)."""
    from scipy.stats import kstest

    chance = build(find_model("chance", {})[0])
    image = np.zeros((16, 16, 3), np.uint8)
    scores = [chance.score(View(image, "c", f"0/{n}")).image for n in range(500)]
    assert kstest(scores, "uniform").pvalue > 0.001
