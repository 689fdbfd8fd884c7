"""The method that asks for one word."""

import numpy as np
import pytest

from lvlm_ad.backend import Answer, FirstToken, Picture
from lvlm_ad.methods.yes_no import YesNo


def test_the_score_is_the_probability_of_yes(make_view, talk, photo):
    """One question about the unmarked picture ends in a request for one word; P(yes) is the image score."""
    answer = Answer("No", first=FirstToken("No", (("No", np.log(0.6)), ("Yes", np.log(0.2)))))
    request, finding = talk(YesNo(), make_view(photo, prompt="yes-no"), answer)
    assert request.images == (Picture.from_pixels(photo),)
    assert request.text.endswith("yes if it is anomalous, no if it is not.")
    assert (finding.image, finding.source, finding.shapes) == (pytest.approx(0.25), "probability", ())


@pytest.mark.parametrize(("text", "score"), [("Yes.", 1.0), ("no", 0.0), ("It may be.", None)])
def test_without_probabilities_the_word_counts(make_view, talk, text, score):
    """Without a first token the text decides between 1 and 0."""
    _, finding = talk(YesNo(), make_view(prompt="yes-no"), Answer(text))
    assert (finding.image, finding.source) == (score, "text")


def test_an_echo_of_the_question_is_no_answer(make_view, talk):
    """A model that repeats the question answers neither yes nor no."""
    _, finding = talk(YesNo(), make_view(prompt="yes-no"), lambda request: Answer(request.text))
    assert finding.image is None


def test_the_best_answer_says_whether_there_is_a_defect(make_view):
    """The oracle scores 1 with a defective pixel and 0 without."""
    mask = np.zeros((448, 672), bool)
    assert YesNo().best_finding(make_view(), mask).image == 0
    mask[3, 4] = True
    assert YesNo().best_finding(make_view(), mask).image == 1
