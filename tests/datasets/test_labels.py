"""Label words of lists: normal, anomalous, kinds of defect, and what cannot be told."""

import pytest

from lvlm_ad.datasets.labels import read_label


@pytest.mark.parametrize(
    "word",
    [
        *(
            "good",
            " Normal ",
            "OK",
            "okay",
            "pass",
            "Passed",
            "negative",
            "NEG",
            "0",
            "0.0",
            "False",
            "no",
            "io",
            "i.O.",
        ),
        *("in order", "In_Order", "non-defective", "Nondefective", "defect-free", "fault free", "no defect", "not bad"),
        *("normal_test", "test-good", "train normal", "without defects"),
    ],
)
def test_words_for_normal(word):
    """Each usual word for a normal image means one, in any case, with spaces, hyphens and the name of a split."""
    assert read_label(word) == ("good", True)


@pytest.mark.parametrize("word", ["1", "1.0", "Bad", "DEFECT", "abnormal", "abnormal_test", "Anomalous", "true"])
def test_words_for_anomalous_without_a_kind(word):
    """Each means anomalous and names no kind."""
    assert read_label(word) == ("bad", True)


@pytest.mark.parametrize("word", ["NG", "nok", "not OK", "not_good", "fail", "positive", "reject", "no good", "yes"])
def test_other_words_for_anomalous_are_kinds_of_their_own(word):
    """They name the kind as they stand, so that ids stay as they were."""
    assert read_label(word) == (word, True)


@pytest.mark.parametrize("word", ["chipped tooth", "banana", "no_cap", "wood", "gold rim", "2", "missing hole", "裂"])
def test_any_other_word_names_a_kind_of_defect(word):
    """It is anomalous, and not among the known words, so that it is shown to the user."""
    assert read_label(word) == (word, False)


@pytest.mark.parametrize(
    "word", ["", "nomal", "goood", "good?", "almost ok", "normal/abnormal", "-1", "0.5", "nan", "unknown", "test", "?"]
)
def test_what_cannot_be_told_is_no_label(word):
    """A mistyped word for normal, a score, a part of the data set and a missing value never become a defect."""
    assert read_label(word) == ("", False)
