"""Points in an answer."""

import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import load_convention
from lvlm_ad.text2seg.places import read_points


def points(text, convention="qwen3_1000", sent=(1000, 500), outcome="ok", **options):
    """Read points."""
    return read_points(Answer(text, outcome), load_convention(convention), sent, **options)


def places(finding):
    """The place of each point."""
    return [(point.x, point.y) for point in finding.shapes]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qwen3_1000", '[{"point_2d": [100, 200]}, {"point_2d": [300, 400]}]'),
        ("gemini_1000", '[{"point": [200, 100]}, {"point": [400, 300]}]'),
        ("gemini_1000", '{"points": [{"x": 100, "y": 200}, {"point": {"x": 300, "y": 400}}]}'),
        ("qwen3_1000", "[[100, 200], [300, 400]]"),
        ("qwen3_1000", "One at [100, 200], one at [300, 400]."),
        ("qwen3_1000", "One at (100, 200), one at (300, 400)."),
        ("minicpm_1000", "<point>100 200</point><point>300 400</point>"),
        ("molmo_100", '<points x1="10.0" y1="20.0" x2="30" y2="40" alt="pits">pits</points>'),
        ("molmo_100", '<point x="10" y="20" alt="pit">pit</point> <point x="30" y="40" alt="pit">pit</point>'),
        ("molmo2_1000", '<points coords="1 1 100 200 2 300 400">pits</points>'),
        ("molmo2_1000", '<points coords="1 1 777 777;2 1 100 200 2 300 400">pits</points>'),
    ],
)
def test_two_points_are_read_in_any_notation(name, text):
    """Both points are read in the model's order of axes; of several pictures the last counts."""
    finding = points(text, name)
    assert places(finding) == [(100, 100), (300, 200)]
    assert (finding.image, finding.status, finding.flags) == (1.0, "ok", ())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("qwen3_1000", '[{"point_2d": [1, 2, 3]}, {"point_2d": [100, 200]}]'),
        ("qwen3_1000", '[{"bbox_2d": [1, 2, 3, 4]}, {"point_2d": [100, 200]}]'),
        ("molmo_100", '<points x1="10.0" y1="20.0" x2="30" alt="pits">pits</points>'),
        ("molmo2_1000", '<points coords="1 1 100 200 2 300">pits</points>'),
    ],
)
def test_a_point_without_two_numbers_is_left_out(name, text):
    """Too many or too few numbers are flagged, and the sound point is used."""
    finding = points(text, name)
    assert (places(finding), finding.flags, finding.status) == ([(100, 100)], ("bad_shape",), "partial")


def test_a_point_a_little_outside_is_moved_to_the_edge():
    """Up to a tenth of the range outside, a point is cut to the picture; farther away it is not of the convention."""
    assert places(points("[1050, 200]")) == [(1000, 100)]
    assert points("[1050, 200]").flags == ("clipped",)
    assert points("[1150, 200]").flags == ("not_convention",)


def test_the_radius_is_a_share_of_the_shorter_side():
    """Without a radius the disc has 5 % of the shorter side."""
    assert points("[100, 200]").shapes[0].radius == 25
    assert points("[100, 200]", radius=3).shapes[0].radius == 3


def test_nothing_found_is_said_in_words_and_labels():
    """Words and negated labels give an image score of 0."""
    assert points("There are none.", "molmo2_1000").image == 0
    negated = points('<point x="10" y="20" alt="no defect">no defect</point>', "molmo_100")
    assert (negated.image, negated.flags) == (0, ("negated",))


def test_scores_of_points_count():
    """A point has its own score, and the highest stands for the image."""
    finding = points('[{"point_2d": [1, 2], "score": 0.4}, {"point_2d": [30, 40], "score": 0.6}]', scored=True)
    assert [point.score for point in finding.shapes] == [0.4, 0.6]
    assert (finding.image, finding.flags) == (0.6, ("no_image_score",))


def test_a_model_that_writes_patches_gives_no_points():
    """Two patches are the corners of a box, not a point."""
    assert points("<patch_index_0004><patch_index_0005>", "kosmos_32").shapes == ()
