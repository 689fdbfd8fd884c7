"""The method that asks for an image score alone."""

import numpy as np
import pytest

from lvlm_ad.backend import Answer, Picture, Token
from lvlm_ad.methods.score import ImageScore
from lvlm_ad.presets import Protocol
from lvlm_ad.text2seg import parse


def test_the_unmarked_picture_is_asked_about_after_the_references(make_view, talk, photo):
    """One question shows the references, then the picture as it is; the finding is the score, without places."""
    references = (Picture.from_pixels(photo[:64, :64]), Picture.from_pixels(photo[64:128, :64]))
    view = make_view(photo, references=references)
    request, finding = talk(ImageScore(), view, Answer("image anomaly score: 0.85"))
    assert request.images == (*references, Picture.from_pixels(photo))
    assert request.options == {"format": "text", "n_regions": 0}
    assert "The product is: metal nut." in request.text
    assert "$" not in request.text
    assert (finding.image, finding.shapes, finding.status) == (0.85, (), "ok")


class Mirrored(ImageScore):
    """Shows pixels of its own, as methods did before views described pictures."""

    def picture(self, view):
        return view.image[:, ::-1]


def test_a_method_may_return_pixels_instead_of_a_picture(make_view, talk, photo):
    """Pixels of a user's own method are sent as the picture that they make."""
    request, finding = talk(Mirrored(), make_view(photo), Answer("image anomaly score: 0.85"))
    assert request.images == (Picture.from_pixels(photo[:, ::-1]),)
    assert finding.image == 0.85


def test_an_echo_of_the_question_is_no_score(make_view, talk):
    """A model that repeats the question gives no score; its example is in the format that is read."""
    request, finding = talk(ImageScore(), make_view(), lambda request: Answer(request.text))
    assert (finding.image, finding.status) == (None, "unparsable")
    assert parse(request.text.rpartition("\n")[2], 0).image == 0.9


def test_scoring_expected_takes_the_probabilities(make_view, talk):
    """With scoring=expected the score is its expected value over the tokens that could stand there."""
    answer = Answer(
        "image anomaly score: 0.9", tokens=(Token(21, "0.9", (("0.9", np.log(0.5)), ("0.5", np.log(0.5)))),)
    )
    _, finding = talk(ImageScore(), make_view(protocol=Protocol(scoring="expected")), answer)
    assert (finding.image, finding.expected) == (pytest.approx(0.7), 1)


@pytest.mark.parametrize(
    ("answer", "usable"),
    [
        (Answer("image anomaly score: 0.2"), True),
        (Answer("I see nothing."), False),
        (Answer("image anomaly score: 0.2;", outcome="truncated"), False),
        (Answer("No.", outcome="refused"), False),
        (Answer("", outcome="empty"), False),
    ],
)
def test_which_answers_need_not_be_asked_again(make_view, answer, usable):
    """An answer is usable if it is complete and has a score."""
    assert ImageScore().is_usable(answer, make_view()) == usable


def test_the_best_answer_says_whether_there_is_a_defect(make_view):
    """The oracle scores 1 with a defective pixel and 0 without."""
    mask = np.zeros((448, 672), bool)
    assert ImageScore().best_finding(make_view(), mask).image == 0
    mask[3, 4] = True
    assert ImageScore().best_finding(make_view(), mask).image == 1
