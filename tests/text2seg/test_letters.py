"""Which option an answer commits to."""

import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.text2seg.letters import read_choice

OPTIONS = ("Scratch.", "Dent.", "Hole.", "None of these.")
YES_NO = ("Yes.", "No.")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" (b) ", "B"),
        ("[C]", "C"),
        ("B.", "B"),
        ("B)", "B"),
        ("**B**", "B"),
        ("**B.**", "B"),
        ("`D`", "D"),
        ('"A"', "A"),
        ("a", "A"),
        ("A.", "A"),
        ("- C", "C"),
        ("\uff22", "B"),
        ("B: Dent.", "B"),
        ("B. Dent", "B"),
        ("(B) dent.", "B"),
        ("B) **Dent.**", "B"),
        ("b) dent", "B"),
        ("A - Scratch", "A"),
        ("C Hole.", "C"),
        ("Hole (C)", "C"),
        ("D: None of these.", "D"),
        ("B. There is a dent at the rim.", "B"),
        ("B\n\nThe rim is dented.", "B"),
        ("B. A dent is visible.", "B"),
        ("B, because I see a dent.", "B"),
        ("Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("Answer: (b).", "B"),
        ("answer: b", "B"),
        ("Answer: B. Dent.", "B"),
        ("The answer is B.", "B"),
        ("The correct answer is **C**.", "C"),
        ("The answer is option D.", "D"),
        ("Final answer: C", "C"),
        ("The picture shows a round hole near the rim, so the answer is C.", "C"),
        ("A scratch would be longer. Option B is wrong, too.\nAnswer: C", "C"),
        ("Option B", "B"),
        ("The correct option is B.", "B"),
        ("I choose C.", "C"),
        ("Option B: Dent.", "B"),
        ("B is correct.", "B"),
        ("Option C is the right one, because of the rim.", "C"),
        ("The answer is (B) Dent.", "B"),
        ('{"answer": "B"}', "B"),
        ('```json\n{"reason": "a hole", "answer": "C"}\n```', "C"),
        ("<answer>B</answer>", "B"),
        ("<think>A? No, C.</think>B", "B"),
        ("<think>Is it A or C?</think>There is a hole. <answer>C</answer>", "C"),
        ("\\boxed{B}", "B"),
        ("So it is a hole: \\boxed{C}", "C"),
        ("Hole.", "C"),
        ("hole", "C"),
        ("NONE OF THESE", "D"),
        ("Answer: Hole.", "C"),
    ],
)
def test_an_answer_that_commits_to_one_option(text, letter):
    """A letter alone, with its text or an explanation, a statement, or an option's exact text choose that option."""
    chosen = read_choice(Answer(text), OPTIONS)
    assert (chosen.option, chosen.status) == ("ABCD".index(letter), "ok")


@pytest.mark.parametrize(
    "text",
    [
        "A scratch is visible on the left.",
        "A dent can be seen.",
        "Answer: A dent can be seen.",
        "The answer is a dent at the rim.",
        "I see a hole.",
        "A or B",
        "A, B",
        "A and B",
        "(A) and (B)",
        "A/B",
        "AB",
        "A. B. C.",
        "A: Scratch. B: Dent.",
        "Answer: A or B",
        "Answer: A, C",
        "Answer: A\nAnswer: B",
        "B. No, wait. The answer is C.",
        "Option A or option C",
        "Both A and C.",
        "Not B.",
        "The answer is not B.",
        "B: Hole.",
        "Option B: Hole.",
        "B is not correct.",
        "Answer: B. Hole.",
        "Hole (B)",
        "E",
        "(e)",
        "Answer: E",
        "E: Something else.",
        "Z",
        "1",
        "?",
        "B?",
        "Bent.",
        "Because of the light it is hard to tell.",
        "There is a hole and a dent.",
        "Hole. Dent.",
        "It depends.",
        "Yes.",
        "\u00c9",
        "<script>alert(1)</script>",
    ],
)
def test_anything_else_chooses_nothing(text):
    """Articles, two letters, letters that are no option, contradictions and mere descriptions are no guess."""
    chosen = read_choice(Answer(text), OPTIONS)
    assert (chosen.option, chosen.status) == (None, "unparsable")


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("Yes", 0),
        ("no.", 1),
        ("**No.**", 1),
        ("A: Yes.", 0),
        ("B", 1),
        ("A: No.", None),
        ("C", None),
        ("Yes/No", None),
        ("Yes, there is a defect.", None),
        ("Yes or no?", None),
    ],
)
def test_yes_and_no_are_options(text, option):
    """The exact text of an option counts, a sentence that begins with it does not."""
    assert read_choice(Answer(text), YES_NO).option == option


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer("I'm sorry, but I can't assist with that."), "refused"),
        (Answer("B", "refused"), "refused"),
        (Answer("", "filtered"), "refused"),
        (Answer("", "empty"), "unparsable"),
        (Answer("B", "truncated"), "truncated"),
        (Answer("B. The hole is", "truncated"), "truncated"),
    ],
)
def test_an_answer_that_is_none(answer, status):
    """An answer that was cut off, refused or is empty chooses nothing, whatever its text."""
    chosen = read_choice(answer, OPTIONS)
    assert (chosen.option, chosen.status) == (None, status)


def test_an_options_text_goes_before_a_letter():
    """Where "A scratch." is the text of B, it chooses B; texts that two options share choose neither."""
    assert read_choice(Answer("A scratch."), ("Dent.", "A scratch.")).option == 1
    assert read_choice(Answer("Hole"), ("Hole.", "hole", "Dent.")).option is None
    assert read_choice(Answer("B"), ("Hole.", "hole", "Dent.")).option == 1
    assert read_choice(Answer("B: hole"), ("Hole.", "hole", "Dent.")).option == 1


@pytest.mark.parametrize("text", ["A " * 20_000, "Answer: " * 5_000, "(" * 10_000, "[{" * 5_000, "answer is " * 9_000])
def test_hostile_answers_end(text):
    """Long repetitive texts are read, too, and choose nothing."""
    assert read_choice(Answer(text), OPTIONS).option is None
