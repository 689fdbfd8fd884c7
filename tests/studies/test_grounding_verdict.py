"""The verdict of a grounding study is one short sentence; what else it found is a list."""

from pathlib import Path

import pytest

from lvlm_ad.studies import Study, figures_of
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
        "Of the corruptions, dark hurts most (35.9 points of image AUROC).",
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
