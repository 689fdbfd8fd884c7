"""The verdict of a grounding study is one short sentence; what else it found is a list."""

from pathlib import Path

import pytest

from lvlm_ad.studies import Number, Study, figures_of
from lvlm_ad.studies.grounding_verdict import findings, verdict


@pytest.fixture
def figures():
    """The figures of a study of all parts."""
    return figures_of(Study.read(Path(__file__).parents[1] / "data" / "studies" / "grounding"))


def test_the_verdict_is_hits_and_the_largest_loss(figures):
    """Hits and the largest loss are the verdict; every other part of the study has a finding."""
    assert verdict(figures) == (
        "60 % of the defects are hit (regions, marked), and pixel AP loses most by the scores of named regions "
        "(32 of 75 points lost)."
    )
    assert findings(figures) == [
        "0 % of the defects that cover below 0.5 % of the image are hit (regions, marked).",
        "Marks change image AUROC by -1.7 points [-12.5, +8.1] against an unmarked picture.",
        "No other size than 160 px is surely better.",
        "Of the corruptions, dark hurts most (35.9 points of image AUROC [19.2, 52.6]).",
        "Nothing suggests that images are remembered.",
    ]


def test_without_places_the_first_finding_is_the_verdict(figures):
    """Where no answer names places, the verdict is what the study says first, and no finding repeats it."""
    without = figures.model_copy(update={"methods": [], "losses": [], "marks": []})
    assert verdict(without) == "No other size than 160 px is surely better."
    assert findings(without) == findings(figures)[3:]


def test_a_map_without_loss_is_not_blamed(figures):
    """Where pixel AP is 100 %, the verdict names no loss."""
    loss = figures.losses[0]
    steps = [one.model_copy(update={"value": loss.steps[0].value, "lost": loss.steps[0].lost}) for one in loss.steps]
    perfect = figures.model_copy(update={"losses": [loss.model_copy(update={"steps": steps})]})
    assert verdict(perfect) == "60 % of the defects are hit (regions, marked)."


def said_of(figures, **drops):
    """Return what the verdict says of corruptions with these drops; of other kinds no image was answered."""

    def changed(one):
        if one.kind in drops:
            return one.model_copy(update={"drop": drops[one.kind]})
        points = [point.model_copy(update={"images": 0}) if point.level else point for point in one.points]
        return one.model_copy(update={"drop": Number(value=None, reason="no severity is answered"), "points": points})

    return findings(figures.model_copy(update={"corruptions": [changed(one) for one in figures.corruptions]}))[-2]


def test_only_corruptions_that_were_answered_are_named(figures):
    """A study that --max-cost ended says of which corruptions it knows nothing, and claims nothing of them."""
    unsure = Number(value=0.092, interval=(-0.01, 0.194))
    assert said_of(figures, blur=unsure) == (
        "Blur does not surely lower image AUROC (the largest drop, of blur: 9.2 points of image AUROC [-1.0, 19.4]); "
        "dark, noise, jpeg and downscale were not answered."
    )
    assert said_of(figures, blur=Number(value=0.0), dark=Number(value=-0.1)) == (
        "None of blur and dark lowers image AUROC; noise, jpeg and downscale were not answered."
    )
    assert said_of(figures) == ("What corruptions do is unknown: too few corrupted images were answered.")


def test_a_corruption_hurts_only_if_its_interval_excludes_0(figures):
    """A drop whose interval contains 0 is not said to hurt, nor one without an interval."""
    unsure, alone = Number(value=0.092, interval=(-0.01, 0.194)), Number(value=0.05)
    kinds = ("blur", "dark", "noise", "jpeg", "downscale")
    assert said_of(figures, **dict.fromkeys(kinds, alone)) == (
        "No corruption surely lowers image AUROC (the largest drop, of blur: 5.0 points of image AUROC, without an "
        "interval)."
    )
    others = dict.fromkeys(kinds[1:], Number(value=0.04, interval=(0.01, 0.07)))
    assert said_of(figures, blur=unsure, **others) == (
        "Of the corruptions, dark surely lowers image AUROC (4.0 points of image AUROC [1.0, 7.0])."
    )


def test_a_severity_that_was_not_answered_is_named(figures):
    """Where the study ended among the severities of a kind, its drop is said to be of the others."""
    blur, *others = figures.corruptions
    cut = blur.model_copy(update={"points": [*blur.points[:-1], blur.points[-1].model_copy(update={"images": 3})]})
    found = findings(figures.model_copy(update={"corruptions": [cut, *others]}))[-2]
    assert found.endswith("[19.2, 52.6]); blur was not answered at severity 5.")
