import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.backend import Answer, Token, number_tokens
from lvlm_ad.text2seg import parse, read

N = 40


def answer(*pieces, **fields):
    """An answer of pieces: each a certain text, or a mapping from texts, the written first, to probabilities."""
    listed = [{piece: 1.0} if isinstance(piece, str) else piece for piece in pieces]
    written = [next(iter(piece)) for piece in listed]
    likely = [[(text, math.log(p)) for text, p in piece.items()] for piece in listed]
    tokens = number_tokens(zip(written, likely, strict=True))
    return Answer("".join(written), tokens=tokens, **fields)


def image_score(*pieces):
    return read(answer("image anomaly score: ", *pieces, "."), N, "expected").image


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        pytest.param(["0", ".", {"7": 0.6, "8": 0.3, "2": 0.1}], 0.42 + 0.24 + 0.02, id="one decimal"),
        pytest.param(["0", ".", {"7": 0.3, "8": 0.2}], 0.6 * 0.7 + 0.4 * 0.8, id="renormalised"),
        pytest.param(
            ["0", ".", {"7": 0.5, "8": 0.5}, {"5": 0.75, "1": 0.25}],
            0.75 + (0.75 * 0.05 + 0.25 * 0.01),
            id="two decimals",
        ),
        pytest.param([{"0": 0.9, "1": 0.1}, ".", {"7": 0.5, "9": 0.5}], 0.1 + 0.9 * 0.8, id="an alternative 1 is 1"),
        pytest.param([{"1": 0.6, "0": 0.4}], 0.6, id="a bare 1"),
        pytest.param([{"0": 0.8, "1": 0.2}], 0.2, id="a bare 0"),
        pytest.param([{"1": 0.6, "0": 0.4}, ".", "0"], 0.6, id="1.0"),
        pytest.param(["1", ".", {"0": 0.6, "5": 0.4}], 1.0, id="nothing above 1"),
        pytest.param([{"0.7": 0.5, "0.8": 0.25, "1.0": 0.25}], 0.35 + 0.2 + 0.25, id="a token that is a number"),
        pytest.param([{"0.7": 0.5, "0": 0.25, "0.": 0.25}], 0.7, id="alternatives that are its beginning"),
        pytest.param([{"0": 0.5, "0.9": 0.5}, ".", "7"], 0.5 * 0.7 + 0.5 * 0.9, id="an alternative that is a number"),
        pytest.param([{"0": 0.5, "0.7": 0.5}, ".", {"7": 0.5, "9": 0.5}], 0.8, id="an alternative that says the same"),
        pytest.param([{".7": 0.5, ".8": 0.5}], 0.75, id="without a zero"),
        pytest.param(["0", {".7": 0.5, ".8": 0.5}], 0.75, id="a token of point and digit"),
        pytest.param(["0.", {"75": 0.5, "80": 0.25, "8": 0.25}], 0.375 + 0.2 + 0.2, id="two digits in a token"),
        pytest.param(["0.", {"7": 0.5, "85": 0.5}, "5"], 0.5 * 0.75 + 0.5 * 0.85, id="a longer alternative"),
        pytest.param(
            ["0", ".", {"7": 0.5, " 8": 0.25, "8;": 0.2, "x": 0.05}], 0.7, id="what does not go on the number"
        ),
        pytest.param([{" 0": 0.4, " 1": 0.2, "0": 0.2, "1": 0.2}], 0.4, id="spaces before a number"),
        pytest.param([{"0": 0.4, "2": 0.2, "10": 0.2, "00": 0.1, ".": 0.1}, ".", "7"], 0.7, id="no score in [0, 1]"),
        pytest.param([{"0": 0.5, "1.": 0.5}, ".", "5"], 0.5 * 0.5 + 0.5, id="1. is 1"),
        pytest.param([{"1": 0.5, "0.": 0.5}], 1.0, id="a beginning of unknown end"),
    ],
)
def test_expected_values(pieces, expected):
    """The value is that of a computation by hand."""
    assert image_score(*pieces) == pytest.approx(expected, abs=1e-6)


digits = st.dictionaries(st.sampled_from("0123456789"), st.floats(1e-6, 1), min_size=1)


@given(st.floats(1e-6, 1), st.floats(0, 1), st.lists(digits, min_size=1, max_size=5))
@settings(deadline=None)
def test_the_formula(zero, one, decimals):
    """Digit by digit, E = P(1) + P(0) (sum of each decimal's mean digit times its weight)."""
    first = {"0": zero, **({"1": one} if one else {})}
    means = [sum(int(d) * p for d, p in each.items()) / sum(each.values()) for each in decimals]
    tail = sum(mean / 10**place for place, mean in enumerate(means, start=1))
    assert image_score(first, ".", *decimals) == pytest.approx((one + zero * tail) / (zero + one), abs=1e-4)


@pytest.mark.parametrize(
    "written",
    ["70%", "7/10", "7 out of 10", "0,7", "\uff10.\uff17", "0.7/1.0", "0.70000000000000007", "7e-1", "+0.7"],
)
def test_a_number_that_is_no_plain_decimal_is_taken_as_written(written):
    """Percentages, fractions, decimal commas and the like keep their written value."""
    pieces = [{letter: 0.5, "1": 0.25, "0": 0.25} if letter.isdigit() else letter for letter in written]
    scores = read(answer("image anomaly score: ", *pieces, "."), N, "expected")
    assert scores == parse(f"image anomaly score: {written}.", N)
    assert scores.image == pytest.approx(0.7)
    assert scores.expected == 0


HALF = {"7": 0.5, "9": 0.5}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("image anomaly score: 0.2; region 3: ", "."),
        ("**Image anomaly score**: 0.2\n- **Region 3** (top \u201cleft\u201d): **", "**"),
        ("<think>region 3: 0.1</think>\u200bimage anomaly score \u2192 0.2; re\u200bgion 3 => ", "."),
        ("a draft, region 3: 0.1 </think> image anomaly score: 0.2; region 3: ", ""),
        (
            "<|channel|>analysis<|message|>region 3: 0.1<|end|><|channel|>final<|message|>image score: 0.2; region 3: ",
            "</s>",
        ),
        ("USER: region 3: 0.1? ASSISTANT: image anomaly score: ~~0.9~~ 0.2; region 3: <del>0.1</del> ", "\nUSER: Next"),
        ('```json\n{"image_anomaly_score": 0.2, "regions": [{"region": 3, "score": ', "}]}\n```"),
        ('{"image_anomaly_score": 0.2, "regions": {"region\u200b 3": "', ' (a scratch)"}}'),
        ('{"image_anomaly_score": 0.2, "regions": ["region 4: 0.1; region 3: ', '"]}'),
        ("Image score: 0.2\n\n| Region | Score |\n|---|---|\n| 4 | 0.1 |\n| 3 | ", " |"),
        ("image score: 0.2<table><tr><td>Region 3</td><td>", "</td></tr></table>"),
        ("<box>0.5 0.5</box> image score: 0.2. The model's region's 9, regions 3 and 4: ", " and 0.1"),
        ("  \u2003 x" * 5_000 + "\nimage anomaly score: 0.2; region 3: ", "  "),
    ],
    ids=[
        "text",
        "bold",
        "reasoning",
        "template",
        "channels",
        "turns",
        "json",
        "json string",
        "json list",
        "table",
        "html",
        "list",
        "long",
    ],
)
def test_a_score_is_weighed_wherever_it_stands(before, after):
    """Wherever the reader takes a score from, the score's own tokens are weighed, and no other score changes."""
    given = answer(*before, "0", ".", HALF, *after)
    scores = read(given, N, "expected")
    written = parse(given.text, N)
    assert written.regions[3] == 0.7
    assert scores.regions == {**written.regions, 3: pytest.approx(0.8)}
    assert (scores.image, scores.status, scores.notes) == (0.2, written.status, written.notes)
    assert scores.expected == 1 + len(scores.regions)


def test_which_scores_there_are_does_not_depend_on_probabilities():
    """The text alone decides which verdict counts, and whether a region has two scores."""
    given = answer(
        *"image score: 0.",
        HALF,
        *"; region 1: 0.5; region 1: 0.",
        {"5": 0.5, "6": 0.5},
        *". So the image score is 0.7.",
    )
    scores = read(given, N, "expected")
    assert (scores.image, dict(scores.regions), scores.status) == (pytest.approx(0.8), {1: pytest.approx(0.55)}, "ok")


def test_a_region_stands_for_a_missing_image_score():
    """The highest expected value is taken, not the highest written one."""
    scores = read(answer(*"region 1: 0.", {"7": 0.1, "1": 0.9}, *"; region 2: 0.5."), N, "expected")
    assert (scores.image, scores.regions[1]) == (0.5, pytest.approx(0.16))


def test_a_number_whose_tokens_are_not_known_is_taken_as_written():
    """So is one whose own token is not among the alternatives; the count says how many are expected values."""
    whole = answer(*"image score: 0.", HALF, *"; region 1: 0.", HALF)
    first = next(at for at, token in enumerate(whole.tokens) if token.start > 20)
    cut = read(replace(whole, tokens=whole.tokens[:first]), N, "expected")
    assert (cut.image, cut.regions[1], cut.expected) == (pytest.approx(0.8), 0.7, 1)
    gap = read(replace(whole, tokens=whole.tokens[:1] + whole.tokens[2:]), N, "expected")
    assert (gap.image, gap.regions[1], gap.expected) == (0.7, pytest.approx(0.8), 1)
    token = whole.tokens[-1]
    other = replace(token, alternatives=tuple((text, p) for text, p in token.alternatives if text != "7"))
    assert read(replace(whole, tokens=(*whole.tokens[:-1], other)), N, "expected").regions[1] == 0.7
    assert read(whole, N).regions[1] == 0.7


def test_a_token_that_holds_more_than_the_number_is_not_weighed():
    """If the borders of the tokens are not those of the number, the number counts as written."""
    assert image_score("0", ".", {"7.": 0.5, "8.": 0.5}) == 0.7
    assert image_score("0", ".", {"7;": 0.5, "8;": 0.5}) == 0.7


def test_a_cut_off_answer_is_weighed_too():
    """Of a truncated answer, what is readable has expected values; half a number has none."""
    scores = read(
        answer(*"image score: 0.", HALF, *"; region 1: ", {"0": 0.5, "1": 0.5}, outcome="truncated"), N, "expected"
    )
    assert (scores.image, dict(scores.regions), scores.status) == (pytest.approx(0.8), {}, "truncated")


FRAGMENTS = [
    "region 3: ", "regions 3-7 ", "image anomaly score: ", "an anomaly score of ", "0.7", "; ", ". ", "\n", "%", "/10",
    "0", "1", "1.0", ".5", "0.25", "3", "12", " ", "{", "}", '"', '"score": ', '"region": ', ", ", "| ", "<think>",
    "</think>", "</td>", "\u200b", "=>", "**", "-",
]  # fmt: skip
soups = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join)
probabilities = st.dictionaries(st.text("0123456789. ", max_size=4), st.floats(1e-9, 1), max_size=6)


def split(data, text):
    """Cut a text anywhere."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=len(text))))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(soups, st.data(), st.sampled_from(["ok", "truncated"]))
@settings(deadline=None)
def test_what_is_certain_is_as_written(text, data, outcome):
    """Where every token is certain, both scorings agree exactly."""
    given = answer(*split(data, text), outcome=outcome)
    expected = read(given, N, "expected")
    assert replace(expected, expected=0) == read(given, N)


@given(soups, st.data())
@settings(deadline=None)
def test_expected_values_lie_in_range(text, data):
    """Whatever the alternatives: the same scores are there, in [0, 1], with the same status."""
    pieces = [{piece: 1.0, **data.draw(probabilities)} for piece in split(data, text)]
    given = answer(*pieces)
    expected, written = read(given, N, "expected"), read(given, N)
    assert list(expected.regions) == list(written.regions)
    assert (expected.status, expected.notes) == (written.status, written.notes)
    assert (expected.image is None) == (written.image is None)
    assert all(0 <= score <= 1 for score in [*expected.regions.values(), expected.image or 0.0])


@given(
    soups,
    st.lists(
        st.builds(
            Token,
            st.integers(-5, 100),
            st.text("0123456789.x", max_size=4),
            st.lists(st.tuples(st.text(max_size=4), st.floats(-1e6, 0)), max_size=4).map(tuple),
        ),
        max_size=20,
    ),
)
@settings(deadline=None)
def test_no_tokens_raise(text, tokens):
    """Tokens that have nothing to do with the text change nothing but, at most, a score within [0, 1]."""
    scores = read(Answer(text, tokens=tuple(tokens)), N, "expected")
    assert all(0 <= score <= 1 for score in [*scores.regions.values(), scores.image or 0.0])


def test_number_tokens_are_the_digits_and_points():
    """Only tokens of digits and points are kept, with such alternatives, spaces around them included."""
    pieces = [
        ("Score", []),
        (": ", [(": ", -0.1)]),
        (" 0", [(" 0", -0.1), ("no", -3.0), (" 1\n", -4.0), (" 0,", -5.0)]),
    ]
    pieces += [(".", [(".", 0.0)]), ("7x", [("7x", 0.0)]), (";", [])]
    tokens = number_tokens(pieces)
    assert tokens == (Token(8, "0", ((" 0", -0.1), (" 1\n", -4.0))), Token(9, ".", ((".", 0.0),)))


@pytest.mark.parametrize(
    ("pieces", "text", "starts"),
    [
        pytest.param([" 0", ".", "7", "<|end|>"], "0.7", [0, 1, 2], id="a space taken off, a special token"),
        pytest.param(["so 1", "0.5", "</think>", "\n", "0", ".", "7"], "0.7", [0, 1, 2], id="reasoning taken off"),
        pytest.param(["\ufffd", "\ufffd", "0", ".", "7"], "\U0001f600 0.7", [2, 3, 4], id="a letter of two tokens"),
        pytest.param(["0", ".", "7"], "10.7", [], id="a digit more"),
        pytest.param(["0", ".", "7", "5"], "0.7", [], id="a digit less"),
        pytest.param(["0", ".", "8"], "0.7", [], id="another digit"),
        pytest.param(["0.7", "<row_1>", " ", "0.5"], "0.7 0.5", [0, 4], id="a special token that the server removed"),
        pytest.param([], "0.7", [], id="no tokens"),
    ],
)
def test_tokens_are_found_in_a_text(pieces, text, starts):
    """The text may lack what the tokens spell around its numbers; if the numbers differ, no token is kept."""
    tokens = number_tokens([(piece, [(piece, -0.1)]) for piece in pieces], text)
    assert [token.start for token in tokens] == starts
    assert all(text.startswith(token.text, token.start) for token in tokens)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.1])
def test_a_token_with_an_impossible_probability_is_left_out(value):
    """A positive log-probability, or none, makes a token's alternatives worthless; a tiny excess is rounding."""
    assert number_tokens([("0", [("0", -1.0), ("1", value)])]) == ()
    assert number_tokens([("0", [("0", 1e-6), ("1", -math.inf)])]) == (Token(0, "0", (("0", 0.0),)),)
