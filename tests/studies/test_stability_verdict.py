"""What the verdict of a stability study says of each reason why two versions may seem to differ."""

from dataclasses import replace
from pathlib import Path

import pytest

from lvlm_ad.studies import Number, Study, figures_of
from lvlm_ad.studies.stability_record import AurocNoise
from lvlm_ad.studies.stability_verdict import Asked, findings, verdict

FROZEN = Path(__file__).parents[1] / "data" / "studies" / "stability"

ASKED = Asked(auroc=0.9, good=50, anomalous=50, varied=("asking again", "marks"))


def noise(asking=0.0, sampling=0.01, factor=0.0, proven=None):
    """Return the errors of image AUROC; a proven change is that of one level."""
    level = "marks (wide)"
    largest = factor if proven is None else proven
    return AurocNoise(
        asking_sd=None,
        asking=asking,
        sampling=sampling,
        factor=largest,
        level=level,
        proven=proven,
        proven_level="" if proven is None else level,
    )


@pytest.mark.parametrize(
    ("asking", "proven", "said"),
    [
        (0.03, None, "asking again changes image AUROC by up to 3.0 points."),
        (0.01, 0.03, "marks (wide) changes image AUROC by 3.0 points (asking again: by up to 1.0 points)."),
        (None, 0.03, "marks (wide) changes image AUROC by 3.0 points."),
    ],
)
def test_the_largest_change_is_named(asking, proven, said):
    """Beside the change at a level stands that of asking again, which it includes."""
    found = verdict(noise(asking, proven=proven), ASKED)
    assert found == f"Too unstable to tell two versions 2 points apart: {said}"


def test_a_change_that_may_be_chance_names_no_level():
    """A large change of a level whose interval holds 0 is no instability, and no proof of stability either."""
    found = verdict(noise(factor=0.03), ASKED)
    assert found.startswith("Too few images to tell two versions 2 points apart: another way of asking changes")
    assert "marks" not in found
    assert "marks" not in verdict(noise(factor=0.03, sampling=0.05), ASKED)


def test_without_an_interval_too_few_images_come_first():
    """However large other changes are, the first words are that the images are too few."""
    for one in (noise(asking=0.1, sampling=None), noise(sampling=None), noise(proven=0.1, sampling=None)):
        assert verdict(one, ASKED).startswith("Too few images to say whether two versions 2 points apart can be told")


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        (("asking again",), "asking again does not change image AUROC, and"),
        (("asking again", "marks", "resolution"), "asking again, marks and resolution do not change image AUROC, and"),
    ],
)
def test_only_what_was_answered_is_called_harmless(varied, said):
    """Factors without answers are not among those that change nothing; a whole study has no word before its verdict."""
    found = verdict(noise(), replace(ASKED, varied=varied))
    assert found.startswith(f"Stable enough to tell two versions 2 points apart: {said}")
    missing = verdict(noise(), replace(ASKED, varied=varied, missing=("numbering", "references")))
    assert missing == f"Incomplete, not all was asked of numbering and references: s{found[1:]}"


@pytest.mark.parametrize(("good", "anomalous", "lacking"), [(9, 0, "anomalous"), (0, 9, "good")])
def test_one_kind_of_image_is_the_reason(good, anomalous, lacking):
    """With images of one kind alone nothing is said of repeats."""
    asked = replace(ASKED, auroc=None, good=good, anomalous=anomalous)
    assert verdict(noise(asking=None, sampling=None, factor=None), asked) == (
        f"Nothing can be said of image AUROC: there are no {lacking} images, and it needs both kinds."
    )


def test_the_largest_shift_is_a_finding():
    """It is named with its interval in points of the score; without factors there is none."""
    figures = figures_of(Study.read(FROZEN))
    factor = figures.factors[1]
    large = factor.levels[0].model_copy(update={"shift": Number(value=-0.3, interval=(-0.41, -0.19))})
    changed = figures.model_copy(
        update={"factors": [figures.factors[0], factor.model_copy(update={"levels": [large, *factor.levels[1:]]})]}
    )
    assert findings(changed) == [
        "Scores shift most with numbering (other numbers, no. 1): by -30.0 points of 0 to 100 [-41.0, -19.0]."
    ]
    assert findings(figures.model_copy(update={"factors": []})) == []
