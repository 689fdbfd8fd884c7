"""What the verdict of a stability study says of each reason why two versions may seem to differ."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lvlm_ad.metrics.stability import one_factor
from lvlm_ad.studies import Number, Study, figures_of
from lvlm_ad.studies.aurocs import auroc_change
from lvlm_ad.studies.changes import Change, simultaneous
from lvlm_ad.studies.stability_changes import OtherWays
from lvlm_ad.studies.stability_findings import findings
from lvlm_ad.studies.stability_record import AurocNoise, PositionFigures
from lvlm_ad.studies.stability_verdict import Asked, verdict

FROZEN = Path(__file__).parents[1] / "data" / "studies" / "stability"

ASKED = Asked(auroc=0.9, good=500, anomalous=500, varied=("asking again", "marks"))


def noise(asking=0.0, sampling=0.01):
    """Return the errors of image AUROC."""
    return AurocNoise(asking_sd=None, asking=asking, sampling=sampling, factor=None)


def changed(value, *interval, words="marks (wide)"):
    """Return a change of image AUROC at one level."""
    return Change(words, Number(value=value, interval=interval or None), 1000)


STILL = changed(0.0, -0.001, 0.001, words="marks (none)")

AGAIN = "asked twice, image AUROC differs by less than 1.0 points in 95 of 100 cases"
IMAGES = "1000 images give the difference of two versions to ±1.4 points, even if each is asked about others."
WIDE = "marks (wide) changes image AUROC by"
UNLESS = "unless both are asked in the same way"
MORE = "with about 2300 images, asking again would change less than 2 points."
STEADY = "asking again did not change image AUROC in this study"
NONE = "none of 2 other ways of asking surely changes image AUROC"
SMALL = "the largest change is +0.5 points [-0.5, +1.5] by marks (wide)"


@pytest.mark.parametrize(
    ("asking", "changes", "said"),
    [
        (
            0.03,
            (),
            f"Too unstable with 1000 images: {AGAIN.replace('1.0', '3.0')}; {MORE}",
        ),
        (0.01, (changed(-0.03, -0.035, -0.025),), f"Too unstable, {UNLESS}: {AGAIN}; {WIDE} -3.0 points [-3.5, -2.5]."),
        (
            0.01,
            (changed(0.03, 0.01, 0.05), STILL),
            f"Perhaps too unstable, {UNLESS}: {AGAIN}; {WIDE} +3.0 points [+1.0, +5.0], the largest sure change of 2.",
        ),
        (
            0.01,
            (changed(0.01, 0.005, 0.015), STILL),
            f"Stable enough: {AGAIN}; {WIDE} +1.0 points [+0.5, +1.5], the largest sure change of 2; {IMAGES}",
        ),
        (
            0.0,
            (changed(0.005, -0.005, 0.015), STILL),
            f"Stable enough: {STEADY}; {NONE}, {SMALL}; {IMAGES}",
        ),
    ],
)
def test_the_verdict_is_as_strong_as_the_interval(asking, changes, said):
    """A change beyond 2 points by its whole interval is too much, one beyond by its value alone perhaps."""
    found = verdict(noise(asking), ASKED, OtherWays(changes))
    assert found.replace(" to tell two versions 2 points apart", "") == said


@pytest.mark.parametrize("change", [changed(0.03, -0.01, 0.07), changed(0.005, -0.015, 0.025), changed(0.005)])
def test_a_change_that_may_be_large_forbids_stable_enough(change):
    """Where an interval reaches 2 points, or is unknown, the images are too few to say that nothing changes as much."""
    found = verdict(noise(), ASKED, OtherWays((STILL, change)))
    assert found.startswith(
        "Too few images to tell two versions 2 points apart: marks (wide) may change image AUROC by as much ("
    )


def test_the_difference_of_two_versions_decides():
    """Stable enough needs ±2 points for the difference of two versions; the images needed follow from it."""
    assert verdict(noise(sampling=0.0141), ASKED, OtherWays()).startswith("Stable enough")
    found = verdict(noise(sampling=0.0195), ASKED, OtherWays((STILL,)))
    assert found.startswith(
        "Too few images to tell two versions 2 points apart: 1000 images give the difference of two versions to ±2.8 "
        "points if each is asked about others, and about 2000 give ±2; so far, asking again and marks did not change"
    )


def test_without_an_interval_too_few_images_come_first():
    """However large other changes are, the first words are that the images are too few, then how many are needed."""
    for one in (noise(asking=0.1, sampling=None), noise(sampling=None)):
        found = verdict(one, ASKED, OtherWays((changed(0.3),)))
        assert found.startswith(
            "Too few images to say whether two versions 2 points apart can be told: with 1000 images"
        )
        assert re.search(r"Ask about (\d+) or more \(--images \1\)\.$", found)


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        (("asking again",), "asking again did not change image AUROC in this study;"),
        (("asking again", "marks", "resolution"), "asking again, marks and resolution did not change image AUROC in"),
    ],
)
def test_only_what_was_answered_is_called_harmless(varied, said):
    """Factors without answers are not among those that change nothing; a whole study has no word before its verdict."""
    found = verdict(noise(), replace(ASKED, varied=varied), OtherWays())
    assert found.startswith(f"Stable enough to tell two versions 2 points apart: {said}")
    missing = verdict(noise(), replace(ASKED, varied=varied, missing=("numbering", "references")), OtherWays())
    assert missing == f"Incomplete, answers are missing for numbering and references: s{found[1:]}"


@pytest.mark.parametrize(("good", "anomalous", "lacking"), [(9, 0, "anomalous"), (0, 9, "good")])
def test_one_kind_of_image_is_the_reason(good, anomalous, lacking):
    """With images of one kind alone nothing is said of repeats."""
    asked = replace(ASKED, auroc=None, good=good, anomalous=anomalous)
    assert verdict(noise(asking=None, sampling=None), asked, OtherWays()) == (
        f"Nothing can be said of image AUROC: there are no {lacking} images, and it needs both kinds."
    )


def test_the_largest_sure_shift_is_a_finding():
    """It is named with an interval that holds for all changes together; without factors there is none."""
    figures = figures_of(Study.read(FROZEN))
    factor = figures.factors[1]
    large = factor.levels[0].model_copy(update={"shift": Number(value=-0.3, interval=(-0.41, -0.19))})
    changed = figures.model_copy(
        update={"factors": [figures.factors[0], factor.model_copy(update={"levels": [large, *factor.levels[1:]]})]}
    )
    (found,) = findings(OtherWays.of(changed))
    assert found.startswith("Numbering (other numbers, no. 1) shifts the mean score by -30.0 points [")
    low, high = map(float, re.search(r"\[(.*), (.*)\]", found).groups())
    assert low < -41
    assert -19 < high < 0
    assert findings(OtherWays.of(figures.model_copy(update={"factors": []}))) == []


def test_a_shift_that_may_be_chance_is_none():
    """Where no interval excludes 0, the finding says so, how many there are, and the largest."""
    one = Change("numbering (no. 1)", Number(value=0.18, interval=(-0.02, 0.38)), 20)
    assert findings(OtherWays(shifts=(one,) * 11)) == [
        "No sure shift of the mean score: the largest of 11 is +18.0 points [-2.0, +38.0] by numbering (no. 1)."
    ]


def test_a_shift_of_every_image_by_the_same_is_exact():
    """Without an interval it is still the surest shift; of a few images it is said of these, and not called sure."""
    still = Change("marks (wide)", Number(value=0.02, interval=(-0.01, 0.05)), 90)
    same = Change("paraphrase (prompt class-2)", Number(value=0.15, reason="all images alike"), 90)
    (found,) = simultaneous([same])
    assert found.sure
    assert (found.least, found.most) == (0.15, 0.15)
    said = "Paraphrase (prompt class-2) shifts the score of each of the {} images by +15.0 points, the largest{} shift"
    assert findings(OtherWays(shifts=(still, found))) == [f"{said.format(90, ' sure')} of 2."]
    assert findings(OtherWays(shifts=(still, replace(same, images=3)))) == [f"{said.format(3, '')} of 2."]
    none = Change("marks (thin)", Number(value=0.0, reason="all images alike"), 90)
    assert not none.equal
    assert not none.sure


@pytest.mark.slow
def test_a_model_that_answers_at_random_has_no_finding():
    """Of 200 studies of 20 images under 11 ways of asking, fewer than 10 % have a change that is sure."""
    figures, draw = figures_of(Study.read(FROZEN)), np.random.default_rng(26)
    labels, level = np.arange(20) < 10, figures.factors[0].levels[0]

    def has_finding():
        scores = draw.integers(0, 11, (20, 14)) / 10
        answers = SimpleNamespace(labels=labels, scores=scores, categories=np.full(20, "bolt"), parts=[""] * 20)
        levels = [
            level.model_copy(
                update={"images": 20, "auroc_difference": auroc_change(answers, column), "shift": Number.of(shift)}
            )
            for column, shift in zip(range(3, 14), one_factor(scores[:, :3], scores[:, 3:]).shifts, strict=True)
        ]
        factor = figures.factors[0].model_copy(update={"levels": levels})
        ways = OtherWays.of(figures.model_copy(update={"factors": [factor]}))
        assert len(ways.aurocs) == len(ways.shifts) == 11
        return ways.sure is not None or not findings(ways)[0].startswith("No sure shift")

    assert np.mean([has_finding() for _ in range(200)]) < 0.10


def test_flips_by_another_way_of_asking_are_a_finding():
    """Where scores shift alike, image AUROC stays, but decisions at a threshold flip: more often than asked again."""
    figures = figures_of(Study.read(FROZEN))
    factor = figures.factors[1]
    flips = factor.levels[0].model_copy(
        update={"images": 100, "flip_rate": Number(value=0.25, interval=(0.175, 0.343))}
    )
    ways = OtherWays.of(figures.model_copy(update={"factors": [factor.model_copy(update={"levels": [flips] * 3})]}))
    still = figures.repeats["all"].model_copy(update={"flip_rate": Number(value=0.0, interval=(0.0, 0.037))})
    said = findings(ways, still)[0]
    assert said.startswith(
        "Numbering (other numbers, no. 1) flips 25.0 % [15.8, 36.4] of the decisions at the threshold"
    )
    assert said.endswith(", the most of 3 ways of asking; asking again flips 0.0 % [0.0, 3.7].")
    noisy = still.model_copy(update={"flip_rate": Number(value=0.2, interval=(0.15, 0.26))})
    assert not any("flips" in one for one in findings(ways, noisy))


def preference(*effects, p_value=0.001):
    """Return how often regions are named with numbers 1, 2 and so on, by value and half width of each effect."""
    numbers = list(range(1, len(effects) + 1))
    return PositionFigures(
        images=40,
        numberings=4,
        numbers=numbers,
        frequency=[0.1] * len(numbers),
        effect=[Number(value=value, interval=(value - half, value + half)) for value, half in effects],
        range=Number(value=0.5, interval=(0.38, 0.57)),
        slope=Number(value=0.0),
        p_value=p_value,
        adjusted_p_value=p_value,
    )


@pytest.mark.parametrize(
    ("effects", "p_value", "said"),
    [
        (((0.38, 0.05), (-0.12, 0.05), (0.01, 0.05)), 0.001, "Number 1 is preferred: the same region is named more"),
        (((-0.38, 0.05), (0.12, 0.05)), 0.02, "Number 1 is avoided: the same region is named less often with it than"),
        (((0.38, 0.05), (-0.12, 0.05)), 0.06, None),
        (((0.05, 0.049), (-0.05, 0.06)), 0.03, None),
        (((0.38, 0.05), (-0.12, 0.05)), None, None),
    ],
)
def test_a_preferred_number_is_a_finding(effects, p_value, said):
    """It is named with its interval if numbers surely differ and this one surely stands out, and else not."""
    found = findings(OtherWays(), positions=preference(*effects, p_value=p_value))
    assert [one[: len(said or "")] for one in found] == ([said] if said else [])
    if said:
        assert re.search(
            r"\([+-]38\.0 points \[.*\] against the average number\)\. If numbers did not matter, .* a probability of",
            found[0],
        )
