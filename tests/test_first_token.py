import math
from time import process_time

import pytest

from lvlm_ad.backend import FirstToken, first_token
from lvlm_ad.backend.tokens import sound_first

YES = [("Yes", -0.2), ("No", -1.7)]
FOUND = FirstToken("Yes", (("Yes", -0.2), ("No", -1.7)))


def pieces(*texts):
    """Pieces of an answer, in which "Yes" has alternatives."""
    return [(text, YES if text == "Yes" else [(text, -0.1)]) for text in texts]


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        pytest.param(["Yes", "."], None, id="first"),
        pytest.param(["**", "Yes", "**"], None, id="after markup"),
        pytest.param(["\n", " ", "▁", "Ġ", "Ċ", "_", "#", "`", "Yes"], "_#`Yes", id="after spaces of tokenizers"),
        pytest.param(["<think>", "No", "</think>", "\n\n", "Yes"], None, id="after reasoning"),
        pytest.param(["No", "</think>", "Yes", "<|im_end|>"], "Yes", id="reasoning and end removed by the server"),
        pytest.param(["<|begin_of_box|>", "Yes", "<|end_of_box|>"], None, id="after a special token"),
        pytest.param(["\ufffd", "", " ", "Yes"], "\ufffd Yes", id="after parts of a character"),
        pytest.param(["<|a|>", "Yes", " <|b|>", " there"], "Yes there", id="special tokens that the server removed"),
        pytest.param(["Yes", " ", "\ufffd", "\ufffd"], "Yes 裂", id="before a character of several tokens"),
        pytest.param(["Yes", " there", "</s>", ""], "Yes there\n", id="special tokens at the end"),
        pytest.param(["**", "Yes"], "**Yes**, there", id="the tokens of the end are missing"),
    ],
)
def test_the_first_token_is_the_one_with_which_the_answer_begins(texts, answer):
    """Reasoning, markup, spaces and special tokens before it are passed over."""
    assert first_token(pieces(*texts), answer) == FOUND


@pytest.mark.parametrize(
    ("texts", "answer"),
    [
        pytest.param(["Yes"], "No", id="another text"),
        pytest.param(["<think>"], "<think></think>Yes", id="the end is missing"),
        pytest.param(["No, Yes"], "Yes", id="the answer begins within a token"),
        pytest.param([], None, id="nothing"),
        pytest.param(["**", "\n"], None, id="markup alone"),
        pytest.param(["是"], None, id="no letters of ours"),
    ],
)
def test_a_token_that_may_not_begin_the_answer_is_not_taken(texts, answer):
    """Where the tokens are not those of the text, nobody knows with which the answer begins."""
    assert first_token(pieces(*texts), answer) is None


def test_a_token_without_probabilities_is_not_known():
    """Without alternatives, or with log-probabilities that are none, there is no first token."""
    assert first_token([("Yes", ())]) is None
    assert first_token([("Yes", [("Yes", math.nan)])]) is None
    assert first_token([("Yes", [("Yes", 5.0)])]) is None


@pytest.mark.parametrize(
    "hostile", [None, "Yes", FirstToken("Y" * 25, (("Yes", -1.0),)), FirstToken(5, ()), FirstToken("Yes", None)]
)
def test_what_is_no_first_token_is_not_stored(hostile):
    """A backend of somebody else may give anything."""
    assert sound_first(hostile) is None


def test_what_is_stored_of_a_first_token_is_bounded():
    """At most 64 alternatives of 24 characters, six decimals; what has no probability is left out."""
    likely = [("x" * 25, -1.0), ("No", -math.inf), ("Yes", -0.12345678), *[(f"{n}", -9.0) for n in range(100)]]
    found = sound_first(FirstToken("Yes", tuple(likely)))
    assert found.alternatives[0] == ("Yes", -0.123457)
    assert len(found.alternatives) == 64


@pytest.mark.parametrize("piece", ["a", "<s>", "*", "</think>", "<"])
def test_long_answers_take_linear_time(piece):
    """A hundred thousand tokens of any kind are searched in well under a second of processor time."""
    start = process_time()
    first_token([(piece, ())] * 100_000, f"{piece}" * 100_000)
    assert process_time() - start < 1
