import math
from time import process_time

import pytest

from lvlm_ad.backend import Answer, FirstToken
from lvlm_ad.text2seg.yes_no import read_yes_no


def token(text, **likely):
    """A first token; the probabilities of its alternatives."""
    return FirstToken(text, tuple((word, math.log(p)) for word, p in likely.items()))


def test_the_probability_of_yes_is_its_share_of_yes_and_no():
    """Variants add up, what is neither does not count, and the word written need not be the likelier one."""
    likely = {" yes": 0.1, "Yes": 0.05, "YES,": 0.05, "▁No": 0.3, "**no": 0.1, "None": 0.2, "N": 0.2}
    found = read_yes_no(Answer("Yes.", first=token("Yes", **likely)))
    assert found.image == pytest.approx(0.2 / 0.6)
    assert (found.status, found.flags, found.source, found.notes) == ("ok", (), "probability", ())
    assert found.mass == pytest.approx(0.6)


def test_little_probability_for_yes_and_no_is_flagged():
    """Below 0.5 together, the share is kept, and the answer is partial."""
    found = read_yes_no(Answer("No", first=token("No", No=0.3, Yes=0.1, The=0.6)))
    assert found.image == pytest.approx(0.25)
    assert (found.status, found.flags) == ("partial", ("low_mass",))
    assert "0.4" in found.notes[0]
    rounded = FirstToken("Yes", (("Yes", -1.203973), ("No", -1.609438)))  # 0.3 and 0.2, as they are stored
    assert read_yes_no(Answer("Yes", first=rounded)).flags == ()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        pytest.param("Yes", token("No", No=0.9, Yes=0.1), id="not the answer's first word"),
        pytest.param("<think>No</think>Yes", token("No", No=0.9, Yes=0.1), id="of the reasoning"),
        pytest.param("Yes", token("Y", Y=0.9, N=0.1), id="half a word"),
        pytest.param("Yes", None, id="unknown"),
        pytest.param("Yes", token("Yes", The=0.9), id="no yes or no among the alternatives"),
    ],
)
def test_without_a_token_of_the_answer_the_words_count(text, first):
    """The score is then 1 or 0, and its source is the text."""
    found = read_yes_no(Answer(text, first=first))
    assert (found.image, found.status, found.source, found.mass) == (1.0, "ok", "text", None)


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("yes", 1.0),
        ("**No**, nothing.", 0.0),
        ("<b>Yes</b>", 1.0),
        ("\uff39\uff45\uff53\uff0c", 1.0),
        ("<think>No... yes?</think>\n\nNo.", 0.0),
        ("<|begin_of_box|>Yes<|end_of_box|>", 1.0),
        ("\\boxed{No}", 0.0),
        ("I looked closely.\nAnswer: no\nOn second thought:\n**Answer:** Yes.\n", 1.0),
        ("The final answer is no", 0.0),
        ('```json\n{"answer": "yes"}\n```', 1.0),
        ('{"reason": "a crack", "answer": "Yes"}', 1.0),
        ("<think>No crack? One.</think><location>left</location><type>crack</type><answer>Yes</answer>", 1.0),
        ("<location>left</location><answer>Yes</answer>\n<answer> no. </answer>", 0.0),
    ],
)
def test_words_that_say_yes_or_no(text, image):
    """The first word counts, else the last line that is only "Answer: yes", a JSON answer, or the last answer tag."""
    found = read_yes_no(Answer(text))
    assert (found.image, found.status, found.source) == (image, "ok", "text")


@pytest.mark.parametrize(
    "text",
    ["None", "Not sure", "Yes/No", "N", "Y", "A", "是", "Ja", "It is hard to tell.", "Yesterday", "no-one", "..."],
)
def test_other_words_say_neither(text):
    """Letters, words of other languages, and words that only begin so, do not count."""
    found = read_yes_no(Answer(text))
    assert (found.image, found.status, found.shapes) == (None, "unparsable", ())


@pytest.mark.parametrize(
    ("answer", "status", "image"),
    [
        (Answer("I'm sorry, I can't help with that."), "refused", None),
        (Answer("Yes", outcome="refused"), "refused", None),
        (Answer("", outcome="filtered", first=token("Yes", Yes=1.0)), "refused", None),
        (Answer("", outcome="empty"), "unparsable", None),
        (Answer("No, the", outcome="truncated"), "truncated", 0.0),
        (Answer("The picture", outcome="truncated"), "truncated", None),
        (Answer("Yes " + "x" * 100_001), "unparsable", None),
    ],
)
def test_how_an_answer_ended_decides_its_status(answer, status, image):
    """A refusal is never a no; of an answer that was cut off, the word is kept."""
    found = read_yes_no(answer)
    assert (found.status, found.image, found.source) == (status, image, "text")


@pytest.mark.parametrize(
    "part", ["\n", '{"answer" ', "answer:\n", "* ", "Answer: yes ", "{", "<think>", "answer", "<answer>"]
)
def test_reading_takes_linear_time(part):
    """A hundred thousand characters of any kind are read in a second."""
    start = process_time()
    read_yes_no(Answer(f"a {part * (100_000 // len(part))} b"))
    assert process_time() - start < 1.5
