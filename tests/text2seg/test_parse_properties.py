import json
import re
import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lvlm_ad.backend import Answer
from lvlm_ad.text2seg import parse, read, write
from lvlm_ad.text2seg.lexer import LONGEST, Text, plain
from lvlm_ad.text2seg.read import TOO_LONG
from lvlm_ad.text2seg.vocabulary import CLASSES

N = 40

FRAGMENTS = [
    "region 3: ", "Region 12", "regions 3-7", "image anomaly score: ", "has an anomaly score of ", "0.7; ",
    "region ", "Region #", "regions ", "section ", "image ", "anomaly ", "score", "scores ", "overall ", "Image",
    "is ", "of ", "to ", "and ", "for ", "the ", "an ", "has ", "with ", "scratch ",
    "out of ", "percent ", "cm ", "confidence ", ":", ": ", "; ", ", ", ". ", " - ",
    "-", "(", ")", "[", "]", "{", "}", '"', "'", '"score": ',
    '"region": ', '"regions": ', "=", "/", "%", "|", "| ", "\n", "\n\n", "\n  ",
    "- ", "* ", "**", "`", "```json\n", "#", "<think>", "</think>", "<box>", "</td>",
    "\u2013", "\uff1a", "\u00a0", "1", "3", "7", "12", "40", "41", "0",
    "0.7", "0.31", "0,25", ".5", "1.5", "99", "1e-2", "0.", "\u0663", "\U0001f534",
    "(0-10)", "1 to 10 ", "out of 10 ", "score (%) ", '"max": 10, ', "/10", "reference ", "image 2 ", "second ",
    "\u533a\u57df", "\u5206\u6570", "\u306f", "r\u00e9gion ", "d'", "\\boxed{", "\\frac{7}{10}",
    "<region id=", "/>", "<score>",
    "~~", "<del>", "</s>", "USER: ", "ASSISTANT: ", "Final answer: ", "no anomalous regions", "wait, ",
    "~", "..", "R3: ", "#3: ", "scores: [", "id: 3", "'3': ", "/* ", " */", "nd ",
]  # fmt: skip
soups = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)
scores = st.floats(0, 1).map(lambda value: round(value, 6))
answers = st.tuples(scores, st.dictionaries(st.integers(1, N), scores, max_size=N))
prose = st.sampled_from(
    [
        "The picture shows a bottle cap with 3 dents.",
        "Let me look at each region in turn.",
        "I compared region 3 with region 5 and found 2 scratches in region 7.",
        "Region 3 is about 0.5 cm wide.",
        "- Region 4: smooth\n- Region 6: 2 small holes",
        "<think>image anomaly score: 0.5; region 9: 0.5</think>",
        "Draft: image anomaly score: 0.123; region 2: 0.321.",
        'Draft: {"image_anomaly_score": 0.5, "regions": [{"region": 9, "score": 0.5}]}',
        "A { is not closed here.",
    ]
)


def usual_digits(text: str) -> str:
    """Return a plain text with the digits of all scripts as 0 to 9."""
    return "".join(str(unicodedata.digit(c)) if c.isdecimal() else c for c in plain(Text.of(text)).text)


SCALES = [(low, high) for low in (0, 1) for high in (3, 4, 5, 7, 9, 10, 20, 50, 100, 255, 1000)]


def written_values(text: str) -> set[float]:
    """Return every value that a number in a text may stand for, by a reading that shares nothing with the parser.

    A number above 1 is on a scale that the text states: one whose end stands in the text, or percent.
    """
    text = usual_digits(text)
    patterns = (r"[0-9]+", r"[0-9]*\.[0-9]+", r"[0-9]+,[0-9]+", r"[0-9.]+[eE]-?[0-9]+")
    found = {match.rstrip(".").replace(",", ".") for pattern in patterns for match in re.findall(pattern, text)}
    numbers = {float(number) for number in found if number.count(".") < 2}
    if "%" in text or "percent" in text:
        numbers |= {number / 100 for number in numbers}
    if "/" in text or "out of" in text or "frac" in text:
        numbers |= {a / b for a in numbers for b in numbers if b}
    stated = [(low, high) for low, high in SCALES if high in numbers or (high == 100 and "%" in text)]
    return numbers | {(number - low) / (high - low) for number in numbers for low, high in stated}


@given(st.text() | soups | st.text(alphabet="regionscore0123456789.,:;-(){}[]|\"' \n"), st.integers(0, N))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_scores_in_range(text, n_regions):
    """No text raises; scores lie in [0, 1], regions were drawn, and the status says what is there."""
    result = parse(text, n_regions)
    assert all(1 <= number <= n_regions for number in result.regions)
    assert all(0 <= score <= 1 for score in result.regions.values())
    assert list(result.regions) == sorted(result.regions)
    if result.image is None:
        assert result.status in {"refused", "unparsable"}
        assert not result.regions
    else:
        assert 0 <= result.image <= 1
        assert result.status == ("partial" if result.notes else "ok")


@given(soups, st.sampled_from(["ok", "refused", "truncated"]))
@settings(deadline=None)
def test_any_answer_can_be_read(text, outcome):
    """No answer raises, however it ended."""
    result = read(Answer(text, outcome=outcome), N)
    assert outcome in {"ok", result.status}


@given(soups)
@settings(max_examples=800, deadline=None)
def test_every_score_stands_in_the_text(text):
    """Each score is a number of the text, and each region is a number of the text or lies between two."""
    result = parse(text, N)
    values = written_values(text)
    assert {*result.regions.values(), *([] if result.image is None else [result.image])} <= values
    if result.regions:
        integers = [int(number) for number in re.findall("[0-9]+", usual_digits(text))]
        assert all(min(integers) <= number <= max(integers) for number in result.regions)


@given(st.text(alphabet="abcdefgh 0123456789.,:;-()/%\n"))
@settings(deadline=None)
def test_number_without_a_label_is_no_score(text):
    """A text that names neither image, region nor score holds no scores."""
    assert parse(text, N).image is None


@given(answers)
@settings(deadline=None)
def test_written_answer_is_read_back(answer):
    """What ``write`` writes, ``parse`` reads, to six decimals."""
    image, regions = answer
    result = parse(write(image, regions), N)
    assert (result.image, dict(result.regions), result.status) == (image, dict(sorted(regions.items())), "ok")


@given(answers, st.integers(0, N))
@settings(deadline=None)
def test_written_answer_is_read_like_any_other(answer, drawn):
    """What ``write`` writes has a short way; the long one, which a space at the end leads to, reads the same."""
    text = write(*answer)
    assert parse(text, drawn) == parse(f"{text} ", drawn)


@given(answers, st.integers(0, N), st.booleans(), st.sampled_from(["", " ", "\n "]))
@settings(deadline=None)
def test_an_answer_in_the_schema_is_read_like_any_other(answer, drawn, short, space):
    """JSON as it is asked for has a short way; the long one, which a space at the end leads to, reads the same."""
    image, regions = answer
    name, anomaly = ("id", "") if short else ("region", "anomaly_")
    listed = [{name: number, "score": score} for number, score in sorted(regions.items())]
    text = json.dumps({f"image_{anomaly}score": image, "regions": listed})
    text = re.sub(r"[][{},:]", lambda sign: f"{sign[0]}{space}", text).rstrip()
    assert parse(text, drawn) == parse(f"{text} ", drawn)


@given(
    answers,
    st.lists(prose, max_size=4),
    st.sampled_from(["{}", "```\n{}\n```", "**{}**", "> {}", "<answer>{}</answer>", "- {}"]),
)
@settings(deadline=None)
def test_reasoning_and_wrapping_change_nothing(answer, before, wrapping):
    """Prose and drafts before a statement, and markup around it, do not change what is read."""
    image, regions = answer
    text = "\n\n".join([*before, wrapping.format(write(image, regions or {1: image}))])
    result = parse(text, N)
    assert (result.image, dict(result.regions), result.status) == (
        image,
        dict(sorted((regions or {1: image}).items())),
        "ok",
    )


@pytest.mark.parametrize(
    "piece",
    [
        *("1", "0.", "[", "{", "(", "|\n", " ", "- ", "region 1,", "region 1-40, ", "region 1 ("),
        *("region 1\n", "image ", "\uff11", "\u200b"),
        *("score of ", "score: 0.5 to region 1, 1, ", '{"a":', '{"region":', "'", "<a", "<think>", "can't cannot "),
        *("user:", "<del>", "answer this format: "),
        *("| Region | Score |\n| 1 | 0.5 |\n", "region 1, 2: 0.5, 0.6, "),
    ],
)
@pytest.mark.parametrize("length", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_very_long_answer_is_read(piece, length):
    """Up to a megabyte of one piece is read like any other answer: no hang, no error; the statement after it counts."""
    text = piece * (length // len(piece))
    assert parse(f"{text}</think>\n\nimage anomaly score: 0.25", N).image == 0.25
    assert parse(text[:50_000], N).status in {"partial", "unparsable", "ok"}


def test_only_the_end_of_a_very_long_answer_is_read():
    """Of a text beyond the limit the end is read, and the result says so."""
    statement = "image anomaly score: 0.9; region 1: 0.9."
    result = parse(statement + " so" * LONGEST + "\nimage anomaly score: 0.2", N)
    assert (result.image, dict(result.regions), result.status, result.notes) == (0.2, {}, "partial", (TOO_LONG,))
    assert parse(statement + " so" * LONGEST, N).status == "unparsable"
    assert parse(statement + " " * LONGEST * 2, N).status == "ok"


LABELS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8) | st.text(
    alphabet="\u0430\u0431\u0432\u5340\u57df\u0e01\u0e02", min_size=1, max_size=8
)
KNOWN = frozenset(word for words in CLASSES.values() for word in words.split())
SEPARATORS = st.sampled_from([": ", " = ", " - ", " (", " \u2192 ", ":", " is "])


@given(LABELS, st.integers(1, N), SEPARATORS, st.integers(1, 9), st.sampled_from(["; ", "\n", ". ", ", "]))
@settings(max_examples=300, deadline=None)
def test_a_score_beside_a_number_is_read_or_told(label, number, separator, tenths, joint):
    """Whatever unknown word is used for a region, the score after its number is read, or a note quotes it."""
    assume(label not in KNOWN)
    text = f"image anomaly score: 0.95{joint}{label} {number}{separator}0.{tenths}{')' if '(' in separator else ''}."
    result = parse(text, N)
    read_as_region = dict(result.regions) == {number: tenths / 10}
    told = result.status == "partial" and any(f"0.{tenths}" in note for note in result.notes)
    assert read_as_region or told, (text, result)
