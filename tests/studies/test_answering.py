"""An image that is answered one time and refused, unreadable or failed another time is a change."""

from dataclasses import replace
from pathlib import Path

import pytest

from lvlm_ad.cli.stability_tables import show_stability
from lvlm_ad.report.study_page import study_page
from lvlm_ad.studies import STUDY_FORMATS, StabilityFigures, StabilityOptions, Study, compare_studies, study_stability
from lvlm_ad.studies.stability_changes import OtherWays
from lvlm_ad.studies.stability_record import AnsweringFigures, AurocNoise
from lvlm_ad.studies.stability_verdict import Asked, verdict

FROZEN = Path(__file__).parents[1] / "data" / "studies" / "stability"
AGAIN = StabilityOptions(images=20, factors=("repeat",))


@pytest.fixture
def refusing(base):
    """A study of a model that refuses 15 % of questions at random and otherwise repeats itself."""
    return study_stability(base(refused=0.15), AGAIN)


def test_refusals_at_random_are_no_stability(refusing, base, capsys):
    """Verdict, finding, page, CSV, LaTeX and terminal count the images; flips and spread stay 0."""
    runs = refusing.runs(base().out / "studies" / refusing.name)
    each = list(zip(*(run.predictions for run in runs.values()), strict=True))
    usable = [sum(one.usable for one in records) for records in each]
    always, sometimes = usable.count(3), sum(0 < one < 3 for one in usable)
    assert sometimes > 3
    again = StabilityFigures.model_validate(refusing.figures).repeats["all"]
    assert (again.flip_rate.value, again.within_sd) == (0.0, 0.0)
    assert (again.answering.images, again.answering.times) == (20, 3)
    assert (again.answering.always, again.answering.sometimes) == (always, sometimes)
    low, high = again.answering.rate.interval
    assert 0 < low < sometimes / 20 < high < 1
    said = f"{sometimes} of 20 images were answered one time and not another"
    assert refusing.verdict.startswith(f"Perhaps too unstable to tell two versions 2 points apart: {said}; of those")
    assert said in refusing.findings[0]
    assert f"[{100 * low:.1f}, {100 * high:.1f}]" in refusing.findings[0]
    page = study_page(refusing)
    assert f"</strong>: {said}; of those answered every time" in page
    assert "Answered sometimes, %" in page
    assert f"{100 * sometimes / 20:.1f}" in STUDY_FORMATS["tex"](refusing)
    assert "repeats.answering.rate,all" in STUDY_FORMATS["csv"](refusing)
    show_stability(refusing, Path("out"), json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"Of 20 images asked up to 3 times, {always} were answered every time and {sometimes} (" in shown
    assert "ICC - (images have different numbers of answers)" in shown


def test_another_wording_that_loses_answers_changes_something(base):
    """A way of asking under which other images are answered is not among those that change nothing."""
    options = StabilityOptions(images=20, repeats=2, levels=1, factors=("marks",))
    ways = OtherWays.of(StabilityFigures.model_validate(study_stability(base(refused=0.15), options).figures))
    assert "images were answered either by the base or by" in ways.lost
    assert not ways.nothing_changed


def test_images_without_answers_are_compared(refusing, base):
    """Two studies are compared in how many images are answered one time and not another."""
    steady = study_stability(base(), replace(AGAIN, repeats=2, name="steady"))
    folder = base().out / "studies"
    found = compare_studies(folder / refusing.name, folder / steady.name)
    (row,) = [one for one in found.differences if one.name == "Answered one time and not another"]
    assert row.second == 0.0
    assert row.sure


def answered(sometimes):
    """Return what was asked of 1000 images of which some were answered one time and not another."""
    rate = {"value": sometimes / 1000, "interval": (0.0, 1.0)}
    counts = AnsweringFigures(images=1000, times=3, always=1000 - sometimes, sometimes=sometimes, rate=rate)
    return Asked(auroc=0.9, good=500, anomalous=500, answering=counts)


@pytest.mark.parametrize(
    ("sometimes", "said"),
    [
        (
            0,
            "Stable enough to tell two versions 2 points apart: asking again did not change image AUROC in this study;",
        ),
        (
            1,
            "Stable enough to tell two versions 2 points apart: 1 of 1000 images was answered one time and not",
        ),
        (20, "Perhaps too unstable to tell two versions 2 points apart: 20 of 1000 images were answered one time and"),
    ],
)
def test_the_verdict_counts_images_without_an_answer(sometimes, said):
    """A bench scores an image without an answer as normal: 2 % of such images may be a difference of 2 points."""
    noise = AurocNoise(asking_sd=0.0, asking=0.0, sampling=0.01, factor=None)
    assert verdict(noise, answered(sometimes), OtherWays()).startswith(said)


def test_a_study_that_does_not_count_them_says_nothing_of_it(capsys):
    """It does not know how many images were answered every time, and is shown without that."""
    study = Study.read(FROZEN)
    assert StabilityFigures.model_validate(study.figures).repeats["all"].answering is None
    assert "one time and not another (" not in study_page(study)
    show_stability(study, FROZEN, json=False)
    assert "answered every time" not in capsys.readouterr().out
