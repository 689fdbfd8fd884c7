"""The methods whose answers hold coordinates: boxes, points, masks."""

import json

import numpy as np
import pytest
from scipy import ndimage

from lvlm_ad.backend import Answer, Picture
from lvlm_ad.conventions import convention_names, load_convention
from lvlm_ad.methods import AskedModel
from lvlm_ad.methods.boxes import Boxes
from lvlm_ad.methods.masks import Masks
from lvlm_ad.methods.points import Points
from lvlm_ad.presets import preset_names

SIZE = 448, 672
"""Rows and columns of the view's picture."""
METHODS = (Boxes, Points, Masks)


def scored(method):
    return method(method.Options(scored=True))


@pytest.fixture
def mask():
    """Three defects: a rectangle, a slanted line and a single pixel."""
    mask = np.zeros(SIZE, bool)
    mask[10:50, 100:180] = True
    mask[np.arange(100, 160), np.arange(300, 360)] = True
    mask[447, 671] = True
    return mask


@pytest.mark.parametrize("method", METHODS)
def test_the_unmarked_picture_comes_last(make_view, talk, photo, method):
    """The references come first, then the picture as it is; the answer's format is text."""
    references = (Picture.from_pixels(photo[:64, :64]),)
    view = make_view(photo, prompt=method.prompt, convention="gemini_1000", references=references)
    request, _ = talk(method(), view, Answer("[]"))
    assert request.images == (*references, Picture.from_pixels(photo))
    assert request.options == {"format": "text"}


@pytest.mark.parametrize(
    ("convention", "form", "range_"),
    [
        ("gemini_1000", '"box_2d": [y1, x1, y2, x2]', "to 1000 at its right edge, y from 0 at the top to 1000"),
        ("qwen25_seen", '"bbox_2d": [x1, y1, x2, y2]', "to 672 at its right edge, y from 0 at the top to 448"),
        ("sent_pixels", '"box_2d": [x1, y1, x2, y2]', "to 672 at its right edge, y from 0 at the top to 448"),
        ("unit_1", '"bbox_2d": [x1, y1, x2, y2]', "to 1 at its right edge, y from 0 at the top to 1 at"),
        ("coco_sent", '"box_2d": [x, y, width, height]', "x, y is the upper left corner"),
        ("centre_1", '"box_2d": [x, y, width, height]', "x, y is the centre"),
    ],
)
@pytest.mark.parametrize("method", [Boxes(), scored(Boxes)])
def test_the_question_states_the_convention(make_view, talk, method, convention, form, range_):
    """Order, key and range stand in the question, with scores or without."""
    request, _ = talk(method, make_view(prompt=method.prompt, convention=convention), Answer("[]"))
    assert form in request.text
    assert range_ in request.text
    assert ('"score"' in request.text) == method.options.scored
    assert "$" not in request.text


def test_seen_pixels_are_stated_as_the_model_sees_them(make_view, talk):
    """A picture that the model shrinks is described by its size after that."""
    view = make_view(np.zeros((1080, 1920, 3), np.uint8), prompt="boxes", convention="claude_1568")
    request, _ = talk(Boxes(), view, Answer("[]"))
    assert "to 1456 at its right edge, y from 0 at the top to 819" in request.text


@pytest.mark.parametrize(("convention", "pair"), [("gemini_1000", '"point": [y, x]'), ("unit_1", '"point_2d": [x, y]')])
def test_the_question_states_how_points_are_written(make_view, talk, convention, pair):
    """Points are asked for in the model's order."""
    for method in (Points(), scored(Points)):
        request, _ = talk(method, make_view(prompt=method.prompt, convention=convention), Answer("[]"))
        assert pair in request.text


@pytest.mark.parametrize(
    "prompt", [name for name in preset_names("prompts") if name.startswith(("boxes", "points", "masks"))]
)
def test_every_prompt_names_the_product_and_its_echo_is_no_finding(make_view, talk, prompt):
    """The question names the product and leaves no placeholder; a model that repeats it has found no place."""
    method = {"boxes": Boxes, "points": Points, "masks": Masks}[prompt.partition("-")[0]]
    method = scored(method) if prompt.endswith("scored") else method()
    conventions = {"boxes-paligemma": "paligemma_1024", "points-molmo": "molmo_100"}
    view = make_view(prompt=prompt, convention=conventions.get(prompt, "gemini_1000"))
    request, finding = talk(method, view, lambda request: Answer(request.text))
    assert ("metal nut" in request.text) == (prompt != "boxes-paligemma")
    assert "$" not in request.text
    assert finding.shapes == ()


def test_scores_stand_in_the_finding_where_they_are_asked_for(make_view, talk):
    """With scored, image score and scores of boxes are the stated ones; without, a box scores 1."""
    said = {"image_anomaly_score": 0.4, "boxes": [{"box_2d": [0, 0, 500, 500], "label": "dent", "score": 0.3}]}
    method = scored(Boxes)
    _, finding = talk(method, make_view(prompt=method.prompt, convention="gemini_1000"), Answer(json.dumps(said)))
    assert (finding.image, [box.score for box in finding.shapes], finding.status) == (0.4, [0.3], "ok")
    bare = '[{"box_2d": [0, 0, 500, 500], "label": "dent"}]'
    _, finding = talk(Boxes(), make_view(prompt="boxes", convention="gemini_1000"), Answer(bare))
    assert (finding.image, [box.score for box in finding.shapes], finding.status) == (1.0, [1.0], "ok")
    _, finding = talk(method, make_view(prompt=method.prompt, convention="gemini_1000"), Answer(bare))
    assert finding.status == "partial"
    assert {"no_score", "no_image_score"} <= set(finding.flags)


def test_the_prompt_follows_the_option():
    """With scored, another prompt is used; the class is left as it is."""
    assert [scored(method).prompt for method in METHODS] == ["boxes-scored", "points-scored", "masks-scored"]
    assert [method().prompt for method in METHODS] == ["boxes", "points", "masks"]


@pytest.mark.parametrize(
    ("method", "cannot"),
    [
        (Boxes(), {"molmo_100", "molmo2_1000"}),
        (scored(Boxes), {"molmo_100", "molmo2_1000", "paligemma_1024", "florence_1000", "kosmos_32"}),
        (Masks(), set(convention_names()) - {"gemini_1000"}),
        (Points(), {name for name in convention_names() if load_convention(name).points is None}),
    ],
)
def test_which_models_cannot_and_why(method, cannot):
    """A model without a convention, or whose convention lacks the places asked for, is refused with the reason."""
    assert "--set convention=NAME" in method.why_not(AskedModel("house"))
    refused = {name for name in convention_names() if method.why_not(AskedModel(convention=load_convention(name)))}
    assert refused == cannot
    for name in refused:
        assert name in method.why_not(AskedModel(convention=load_convention(name)))


def test_a_model_without_a_convention_of_its_own_draws_no_masks():
    """Masks are for models whose makers document them; boxes and points can be asked of others, too."""
    model = AskedModel("house", convention=load_convention("gemini_1000"), state_convention=True)
    assert Masks().why_not(model) == "its masks are not documented"
    assert [method().why_not(model) for method in (Boxes, Points)] == ["", ""]


@pytest.mark.parametrize(
    ("answer", "usable"),
    [
        (Answer('[{"box_2d": [0, 0, 500, 500], "label": "dent"}]'), True),
        (Answer("[]"), True),
        (Answer('[{"box_2d": [0, 0, 500, 500], "label": "dent"}', outcome="truncated"), False),
        (Answer("I like it."), False),
        (Answer("", outcome="refused"), False),
    ],
)
def test_which_answers_need_not_be_asked_again(make_view, answer, usable):
    """An answer is usable if it is complete and says where or that there is nothing."""
    assert Boxes().is_usable(answer, make_view(convention="gemini_1000")) == usable


def test_the_best_boxes_are_those_of_the_defects(make_view, mask):
    """One box for each 8-connected defect, around its pixels; with scores, the fraction of it that is defective."""
    view = make_view(convention="sent_pixels")
    finding = Boxes().best_finding(view, mask)
    assert [(box.x1, box.y1, box.x2, box.y2, box.score) for box in finding.shapes] == [
        (100, 10, 180, 50, 1),
        (300, 100, 360, 160, 1),
        (671, 447, 672, 448, 1),
    ]
    assert finding.image == 1
    assert [box.score for box in scored(Boxes).best_finding(view, mask).shapes] == [1, pytest.approx(1 / 60), 1]
    assert Boxes().best_finding(view, np.zeros(SIZE, bool)) == type(finding)(0.0)


def test_the_best_points_lie_deepest_in_the_defects(make_view, mask):
    """Each point is a pixel of its own defect, and none of that defect lies farther from the outside."""
    view = make_view(convention="sent_pixels")
    points = Points().best_finding(view, mask).shapes
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    at = [(int(point.y), int(point.x)) for point in points]
    assert [labels[place] for place in at] == [1, 2, 3]
    assert [depth[place] for place in at] == [depth[labels == number].max() for number in (1, 2, 3)]
    assert {point.radius for point in points} == {0.05 * 448}
    (first, *_) = scored(Points).best_finding(view, mask).shapes
    assert first.score == mask[first.mask(*SIZE)].mean()


def test_the_best_masks_are_the_defects(make_view, mask):
    """The union of the masks is the ground truth, pixel by pixel."""
    finding = Masks().best_finding(make_view(convention="gemini_1000"), mask)
    assert len(finding.shapes) == 3
    np.testing.assert_array_equal(np.any([shape.mask(*SIZE) for shape in finding.shapes], axis=0), mask)
