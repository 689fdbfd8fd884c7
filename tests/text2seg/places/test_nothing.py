"""Words that say that there is no defect."""

import pytest

from lvlm_ad.text2seg.places.nothing import is_negated, says_nothing


@pytest.mark.parametrize(
    "text",
    [
        *(
            "No.",
            "None.",
            " nothing ",
            "**None**",
            "There are none.",
            "Nothing is anomalous.",
            "I looked closely; there are none in this picture.",
        ),
        *("There are no visible defects in the image.", "No obvious anomalies were found.", "No damage", "no objects"),
        *(
            "It doesn't show any irregularities.",
            "I can't see any flaws.",
            "I cannot find a defect.",
            "There is no flaw.",
        ),
        *("The tile does not have any visible defects.", "We did not observe any signs of damage."),
        *("The nut is normal.", "It looks intact.", "The surface appears to be flawless.", "They are defect-free."),
        *("None found.", "image anomaly score: 0.1; none", "No cell looks anomalous.", "No suspicious areas."),
        *("I am not able to detect any defects.", "It is free of visible defects.", "No issues were found."),
        *("No visible, obvious defects.", "No signs of damage.", "The capsule seems perfectly normal."),
    ],
)
def test_words_say_that_there_is_nothing(text):
    """The usual sentences are understood."""
    assert says_nothing(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "A scratch runs along the upper left part of the nut.",
            "Nothing else.",
            "If nothing is anomalous, answer with",
            "No idea.",
            "None of it is sharp.",
        ),
        *(
            "It is not normal.",
            "The nut does not look normal.",
            "It isn't really free of defects.",
            "The surface is mostly intact.",
            "a dent; none of it is deep",
            "The normal pattern is broken.",
            "No defects except a scratch.",
            "No defects, but a dent.",
        ),
        *("If there are no defects, the answer is empty.", "The rest of the tile looks normal.", "I can't see it."),
        *("The left half is intact. However, the right half is cracked.", "Otherwise it is normal.", "no" * 3000),
    ],
)
def test_other_words_do_not(text):
    """Defects, exceptions, conditions and the rest of a product say nothing about the whole."""
    assert not says_nothing(text)


@pytest.mark.parametrize(
    "label", ["no defect", "None", "normal", "No visible defects.", "good part", "defect-free", "OK"]
)
def test_a_label_denies_a_place(label):
    """A label that is nothing but a denial is one."""
    assert is_negated(label)


@pytest.mark.parametrize(
    "label", ["", "scratch", "not good", "normal wear", "no entry sign", "nonefect", "no clear obvious flaw"]
)
def test_a_label_that_says_more_does_not(label):
    """A label with any other word describes something."""
    assert not is_negated(label)
