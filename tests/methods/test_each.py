"""Tests of lvlm_ad.methods.each: one crop and one question for each region."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Answer
from lvlm_ad.methods.each import EachOptions, EachRegion
from lvlm_ad.presets import Protocol
from lvlm_ad.regions import Regions, divide
from lvlm_ad.regions.shapes import Region


def pixels(picture):
    """The pixels of a picture, uint8 (H, W, 3)."""
    return np.asarray(Image.open(BytesIO(picture.data)).convert("RGB"))


@pytest.fixture
def view(region_view):
    """A view of 16 regions of different greys; the file has four times as many pixels on each side."""
    image = np.zeros((96, 96, 3), np.uint8)
    for number in range(16):
        image[number // 4 * 24 : number // 4 * 24 + 24, number % 4 * 24 : number % 4 * 24 + 24] = 10 * number
    return region_view(image, original=np.kron(image, np.ones((4, 4, 1), np.uint8)), prompt="each")


def test_each_region_is_shown_enlarged_with_a_line_around_it(view, drive):
    """A crop holds its region at the file's own resolution, in the middle, and a white line that hides none of it."""
    method = EachRegion(EachOptions(each_size=192))
    _, (asked,) = drive(method, view, lambda _: "image anomaly score: 0.5.")
    assert len(asked) == method.most_questions(view) == 16
    shown = pixels(asked[5].images[0])  # region 6, which has room on all sides
    assert shown.shape == (192, 192, 3)
    assert (shown[48:144, 48:144] == 50).all()
    assert (shown[47, 48:144] == 255).all()
    assert (shown[144, 48:144] == 255).all()
    assert (shown[:40] != 255).all()
    assert asked[5].options == {"format": "text", "n_regions": 0}


def test_the_image_score_is_the_highest(view, drive):
    """Each answer is the score of its region; what is not usable is named and left out."""
    answers = [Answer(f"image anomaly score: {number / 100}.") for number in range(16)]
    answers[15] = Answer("", "refused")
    left = iter(answers)
    finding, _ = drive(EachRegion(), view, lambda _: next(left))
    assert finding.image == 0.14
    assert finding.shapes == tuple(Region(number + 1, number / 100) for number in range(15))
    assert finding.status == "partial"
    assert finding.notes[0].startswith("Region 16: ")


def test_without_a_usable_answer_there_is_no_score(view, drive):
    """The status is the first answer's."""
    finding, _ = drive(EachRegion(), view, lambda _: Answer("", "filtered"))
    assert (finding.image, finding.shapes, finding.status) == (None, (), "refused")


def test_an_image_without_regions_is_asked_about_as_a_whole(region_view, drive):
    """It gets an image score from one question, and no places."""
    image = np.full((96, 96, 3), 77, np.uint8)
    view = region_view(image, regions=divide(image, "grid", min_area=1e9), prompt="each")
    finding, ((asked,),) = drive(EachRegion(), view, lambda _: "image anomaly score: 0.4.")
    assert (finding.image, finding.shapes) == (0.4, ())
    assert (pixels(asked.images[0]) == 77).all()
    assert EachRegion().most_questions(view) == 1


def test_regions_of_one_pixel_have_a_crop(region_view, drive):
    """The smallest region gets a picture too, however small the file."""
    image = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    regions = Regions.from_labels(np.arange(1, 65).reshape(8, 8))
    view = region_view(image, regions=regions, prompt="each", original=image[:2, :3], protocol=Protocol())
    finding, (asked,) = drive(EachRegion(), view, lambda _: "image anomaly score: 0.4.")
    assert {request.images[0].size for request in asked} == {(448, 448)}
    assert len(finding.shapes) == 64


def test_the_best_finding_is_the_share_of_each_region(view):
    """Regions with defects have their share of defective pixels, and the image the highest share."""
    mask = np.zeros((96, 96), bool)
    mask[:12, :24] = mask[24:30, :24] = True
    best = EachRegion().best_finding(view, mask)
    assert (best.image, best.shapes) == (0.5, (Region(1, 0.5), Region(5, 0.25)))
    nothing = EachRegion().best_finding(view, np.zeros((96, 96), bool))
    assert (nothing.image, nothing.shapes) == (0.0, ())
