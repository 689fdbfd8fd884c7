"""Tests of lvlm_ad.methods.zoom: what is asked in which order, and what becomes of the answers."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.backend import Answer
from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.errors import ConfigError
from lvlm_ad.methods.crops import Window, split
from lvlm_ad.methods.regions import NumberedRegions
from lvlm_ad.methods.zoom import Zoom, ZoomOptions
from lvlm_ad.presets import validated
from lvlm_ad.regions import Regions
from lvlm_ad.regions.shapes import Mask, Region
from lvlm_ad.text2seg import paint, paint_shapes

RED = (255, 0, 0)


def zoom(**options):
    """The method with these options."""
    return Zoom(ZoomOptions(**options))


def pixels(picture):
    """The pixels of a picture, uint8 (H, W, 3)."""
    return np.asarray(Image.open(BytesIO(picture.data)).convert("RGB"))


def with_defect(scale, row=60, column=76, side=5):
    """A grey image of 96 x 96 pixels times ``scale``, with a red square; and the mask at 96 x 96."""
    mask = np.zeros((96, 96), bool)
    mask[row : row + side, column : column + side] = True
    original = np.full((96 * scale, 96 * scale, 3), 128, np.uint8)
    original[np.kron(mask, np.ones((scale, scale), bool))] = RED
    return original, mask


def painted(finding, view):
    """The finding's map, (S, S): regions first, then the other places, the highest score of each pixel."""
    regions = {shape.number: shape.score for shape in finding.shapes if isinstance(shape, Region)}
    places = [shape for shape in finding.shapes if not isinstance(shape, Region)]
    return np.maximum(paint(regions, view.regions).dense(), paint_shapes(places, view.image.shape[:2]).dense())


def test_the_first_look_is_the_question_of_regions(region_view, drive):
    """The first question has the key under which the method regions stores its answer."""
    view = region_view(np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8))
    _, ((first,), closer) = drive(zoom(), view, lambda _: "image anomaly score: 0.5.")
    _, ((alone,),) = drive(NumberedRegions(), view, lambda _: "image anomaly score: 0.5.")
    assert first.key({}) == alone.key({})
    assert len({request.key({}) for request in [first, *closer]}) == 5


def test_the_most_suspicious_regions_are_looked_at(region_view, drive):
    """Regions come by score, then by variance of colour, then by number; the picture tells which one it is."""
    image = np.full((96, 96, 3), 128, np.uint8)
    for number in range(16):
        image[number // 4 * 24 : number // 4 * 24 + 24, number % 4 * 24 : number % 4 * 24 + 24] = 10 * number
    image[50:60, 50:60] += 40  # region 11
    texts = iter(["image anomaly score: 0.5; region 4: 0.2; region 9: 0.6."])
    _, (_, closer) = drive(
        zoom(zoom_budget=4, zoom_margin=0), region_view(image), lambda _: next(texts, "image anomaly score: 0.")
    )
    shown = [int(np.median(pixels(request.images[0]))) // 10 + 1 for request in closer]
    assert shown == [9, 4, 11, 1]


def test_a_closer_look_replaces_the_score_of_its_region(region_view, drive):
    """Pieces take the place of their region; the image score is the highest that is left."""
    texts = iter(
        ["image anomaly score: 0.9; region 6: 0.8; region 3: 0.3.", "image anomaly score: 0.6; region 1: 0.6."]
    )
    view = region_view()
    finding, _ = drive(zoom(zoom_budget=1), view, lambda _: next(texts))
    region, piece = finding.shapes
    assert (finding.image, finding.status, region) == (0.6, "ok", Region(3, 0.3))
    assert (piece.left, piece.top, piece.pixels.shape, piece.score) == (24, 24, (6, 6), 0.6)
    texts = iter(["image anomaly score: 0.9; region 6: 0.8; region 3: 0.3.", "image anomaly score: 0.1."])
    finding, _ = drive(zoom(zoom_budget=1), view, lambda _: next(texts))
    assert (finding.image, finding.shapes) == (0.3, (Region(3, 0.3),))


@pytest.mark.parametrize(
    "bad", [Answer("", "refused"), Answer("no idea"), Answer("image anomaly", "truncated"), Answer("", "empty")]
)
def test_a_closer_look_that_is_not_usable_changes_nothing(region_view, drive, bad):
    """The first look stands, and the finding says what was wrong."""
    answers = iter([Answer("image anomaly score: 0.9; region 6: 0.8."), bad])
    finding, _ = drive(zoom(zoom_budget=1), region_view(), lambda _: next(answers))
    assert (finding.image, finding.shapes, finding.status) == (0.9, (Region(6, 0.8),), "partial")
    assert finding.notes
    assert all(note.startswith("Closer look at region 6: ") for note in finding.notes)


def test_after_an_unusable_first_look_nothing_more_is_asked(region_view, drive):
    """There is no score to start from, so the finding is the first answer's."""
    finding, rounds = drive(zoom(), region_view(), lambda _: Answer("", "refused"))
    assert (finding.image, finding.status, len(rounds)) == (None, "refused", 1)


@pytest.mark.parametrize(("when", "score", "looks"), [("0.2-0.8", 0.1, 0), ("0.2-0.8", 0.8, 4), (0.3, 0.9, 4)])
def test_only_images_in_the_range_are_looked_at_closer(region_view, drive, when, score, looks):
    """``zoom_when`` is a range of first image scores, ends included; one number is the least score."""
    finding, rounds = drive(zoom(zoom_when=when), region_view(), lambda _: f"image anomaly score: {score}.")
    assert sum(map(len, rounds)) == 1 + looks
    assert finding.status == "ok"


@pytest.mark.parametrize("when", ["0.8-0.2", "-0.2", "often", "0-2", "nan-1"])
def test_a_range_that_is_none_is_refused(when):
    """The message says what to give."""
    with pytest.raises(ConfigError, match=r"zoom_when: give a range of scores from 0 to 1, such as 0\.2-0\.8"):
        validated(ZoomOptions, {"zoom_when": when}, "method zoom")


def test_a_model_that_is_blind_to_small_defects_finds_them_in_crops(region_view, drive):
    """A model that sees nothing of fewer than 50 pixels misses a defect of 25, and finds its very pixels by zoom."""
    original, mask = with_defect(scale=4)
    image = original[2::4, 2::4]
    view = replace(region_view(image), original=original)
    inside = view.regions.cells == 11  # region 12, which alone has any contrast
    window = Window.around(inside, 0.25)
    pieces = resize_mask(window.cut(split(inside, 16)), (96, 96))

    def answer(request):
        red = (pixels(request.images[0]) == RED).all(axis=2)
        if red.sum() < 50:
            return "image anomaly score: 0."
        return "image anomaly score: 1; " + "; ".join(f"region {n}: 1" for n in np.unique(pieces[red]) if n)

    missed, _ = drive(NumberedRegions(), view, answer)
    found, rounds = drive(zoom(zoom_budget=1), view, answer)
    assert (missed.image, found.image) == (0.0, 1.0)
    shown = painted(found, view) == 1
    assert shown[mask].all()
    assert shown.sum() == 36 * len(found.shapes) <= 4 * 36
    assert sum(map(len, rounds)) == zoom(zoom_budget=1).most_questions(view) == 2


@pytest.mark.parametrize("budget", [1, 3, 16, 100])
def test_as_many_questions_are_asked_as_forecast(region_view, drive, budget):
    """The first question and one for each region, up to the budget."""
    view = region_view()
    _, rounds = drive(zoom(zoom_budget=budget), view, lambda _: "image anomaly score: 0.5.")
    assert sum(map(len, rounds)) == zoom(zoom_budget=budget).most_questions(view) == 1 + min(budget, 16)


def test_the_best_finding_without_a_limit_is_that_of_the_finest_division(region_view):
    """Each pixel has the share of defective pixels in its piece, by brute force over the pieces of all regions."""
    view = region_view(np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8))
    mask = np.random.default_rng(1).random((96, 96)) < 0.02
    mask[:24, :24] = False
    finest, count = np.zeros((96, 96), int), 0
    for number in range(16):
        pieces = split(view.regions.cells == number, 16)
        finest += np.where(pieces > 0, pieces + count, 0)
        count += pieces.max()
    by_hand = paint(dict(enumerate(Regions.from_labels(finest).pool(mask).tolist(), 1)), Regions.from_labels(finest))
    best = zoom(zoom_budget=1000).best_finding(view, mask)
    assert best.image == 1
    assert np.abs(painted(best, view) - by_hand.dense()).max() < 1e-12
    assert all(isinstance(shape, Mask) for shape in best.shapes)


def test_the_best_finding_with_a_limit_is_between_regions_and_the_finest_division(region_view):
    """Only as many regions are refined as an image has questions, those with most defective pixels first."""
    view, mask = region_view(), np.zeros((96, 96), bool)
    mask[24:30, 24:30], mask[50:52, 50:52] = True, True
    best = zoom(zoom_budget=1).best_finding(view, mask)
    assert [type(shape) for shape in best.shapes] == [Region, Mask]
    assert best.shapes[0].number == 11
    nothing = zoom(zoom_budget=1).best_finding(view, np.zeros((96, 96), bool))
    assert (nothing.image, nothing.shapes) == (0.0, ())
