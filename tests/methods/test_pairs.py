"""Tests of lvlm_ad.methods.pairs: which reference image is shown beside an image, and how."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Answer, Picture
from lvlm_ad.errors import ConfigError
from lvlm_ad.methods.pairs import Pairs, PairsOptions
from lvlm_ad.methods.regions import NumberedRegions
from lvlm_ad.presets import Protocol

GREYS = (20, 200, 120, 90, 140)


class Pool(list):
    """Plain images of these greys; counts how often one is read."""

    read = 0

    def __init__(self, greys=GREYS):
        super().__init__(np.full((96, 96, 3), grey, np.uint8) for grey in greys)

    def __getitem__(self, index):
        self.read += 1
        return super().__getitem__(index)

    def __iter__(self):
        return (self[index] for index in range(len(self)))


def pixels(picture):
    """The pixels of a picture, uint8 (H, W, 3)."""
    return np.asarray(Image.open(BytesIO(picture.data)).convert("RGB"))


def pairs(shots=1):
    """The method with this many reference images."""
    return Pairs(PairsOptions(pair_shots=shots))


def test_the_nearest_references_stand_left_of_the_marked_image(region_view, drive):
    """The left half is the reference image as it is, the right half the picture that regions would show."""
    view = region_view(pool=Pool())
    _, (asked,) = drive(pairs(3), view, lambda _: "image anomaly score: 0.5.")
    _, ((alone,),) = drive(NumberedRegions(), view, lambda _: "image anomaly score: 0.5.")
    assert [int(pixels(request.images[0])[0, 0, 0]) for request in asked] == [120, 140, 90]
    for request in asked:
        (picture,) = request.images
        assert picture.size == (96 + 3 + 96, 96)
        assert (pixels(picture)[:, 99:] == pixels(alone.images[0])).all()
        assert "The left half of the picture" in request.text
        assert request.options == alone.options
    assert len(asked) == pairs(3).most_questions(view)


@pytest.mark.parametrize("visual", ["image+marked", "image+marks"])
def test_a_second_picture_stays_as_it_is(region_view, drive, visual):
    """Where the protocol shows two pictures, the first becomes the pair; the protocol's references come before it."""
    protocol = Protocol(image_size=96, border_width=1, number_size=7, visual=visual)
    reference = Picture.from_pixels(np.zeros((96, 96, 3), np.uint8))
    view = region_view(pool=Pool(), protocol=protocol, references=(reference,))
    _, ((asked,),) = drive(pairs(), view, lambda _: "image anomaly score: 0.5.")
    _, ((alone,),) = drive(NumberedRegions(), view, lambda _: "image anomaly score: 0.5.")
    assert (asked.images[0], asked.images[2]) == (reference, alone.images[2])
    assert (pixels(asked.images[1])[:, 99:] == view.image).all()
    assert "There are two pictures. The left half of the first shows" in asked.text


def test_answers_are_averaged(region_view, drive):
    """Each reference gives one answer; unusable ones are left out of the mean."""
    answers = iter(
        [Answer("image anomaly score: 0.2; region 4: 0.5."), Answer("", "refused"), Answer("image anomaly score: 0.4.")]
    )
    finding, _ = drive(pairs(3), region_view(pool=Pool()), lambda _: next(answers))
    assert finding.image == pytest.approx(0.3)
    assert [(one.number, one.score) for one in finding.shapes] == [(4, 0.25)]
    assert finding.status == "partial"


def test_a_pool_is_read_once(region_view, drive):
    """Its descriptors are kept, so that a further image reads only the reference that it is shown with."""
    pool, method = Pool(), pairs()
    for _ in range(3):
        drive(method, region_view(pool=pool), lambda _: "image anomaly score: 0.5.")
    assert pool.read == len(GREYS) + 3
    _, ((asked,),) = drive(method, region_view(pool=Pool((30, 40))), lambda _: "image anomaly score: 0.5.")
    assert pixels(asked.images[0])[0, 0, 0] == 40


def test_an_image_is_not_compared_with_itself(region_view, drive):
    """A good image that sets a threshold is in the pool too; the others are shown, and there must be enough."""
    image = np.full((96, 96, 3), 120, np.uint8)
    _, (asked,) = drive(pairs(4), region_view(image, pool=Pool()), lambda _: "image anomaly score: 0.5.")
    assert [int(pixels(request.images[0])[0, 0, 0]) for request in asked] == [140, 90, 200, 20]
    with pytest.raises(ConfigError, match=r"other normal training images \(pair_shots=5\), but bolt has 4"):
        drive(pairs(5), region_view(image, pool=Pool()), lambda _: "")


def test_too_few_training_images_are_an_error(region_view, drive):
    """The message says how many there are and what to do."""
    with pytest.raises(ConfigError, match=r"\(pair_shots=2\), but bolt has 1\. Set a smaller pair_shots"):
        drive(pairs(2), region_view(pool=Pool((30,))), lambda _: "")
    with pytest.raises(ConfigError, match=r"bolt has none\. Add images"):
        drive(pairs(), region_view(), lambda _: "")
