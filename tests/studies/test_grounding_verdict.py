"""The verdict of a grounding study is one short sentence; what else it found is a list."""

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lvlm_ad.metrics.intervals import auroc_interval
from lvlm_ad.studies import Number, Study, figures_of
from lvlm_ad.studies.aurocs import auroc_change, auroc_contrast
from lvlm_ad.studies.corruptions import CORRUPTIONS
from lvlm_ad.studies.grounding_record import (
    ContaminationFigures,
    CorruptionFigures,
    GroundingFigures,
    MarkFigures,
    MethodFigures,
    PointFigures,
)
from lvlm_ad.studies.grounding_verdict import _Changes, findings, verdict


@pytest.fixture
def figures():
    """The figures of a study of all parts."""
    return figures_of(Study.read(Path(__file__).parents[1] / "data" / "studies" / "grounding"))


QUIET, UNKNOWN = "No sure sign that images are remembered", "mirrored images: too few answers"
MIRRORED = "mirrored images change image AUROC by"
SHIFTED = "The mean score (0 to 100) surely changes with marks on the picture"
GOOD, BAD = "[+7.0, +12.1]", "[+4.9, +11.0]"
HITS = "60 % [38, 78] of the defects are hit and 2 % of the normal area is named (regions, marked)"


def test_the_verdict_is_hits_and_the_largest_loss(figures):
    """Hits and the largest loss are the verdict; every other part of the study has a finding, with its interval."""
    assert verdict(figures) == (
        f"{HITS}; the largest loss of pixel AP is by the scores of the named regions, wrong ones included (32 [18, 45] "
        "of 75 points lost)."
    )
    assert findings(figures) == [
        "0 % [0, 43] of the defects that cover below 0.5 % of the image are hit (regions, marked).",
        "No sure change of image AUROC with marks on the picture (-1.7 points [-17.9, +13.1]).",
        f"{SHIFTED}: that of good images by +9.5 points {GOOD} and that of anomalous images by +7.9 points {BAD}.",
        "No size tried is surely better than 160 px (the best change, at 96 px: +0.0 points [-14.9, +14.9]).",
        "Dark surely lowers image AUROC by 35.9 points [10.8, 61.1], the largest sure drop of 5.",
        f"{QUIET} (without the image, image AUROC is 50 % [25, 75]; {MIRRORED} +1.2 points [-20.3, +23.2]).",
    ]


def test_without_places_the_first_finding_is_the_verdict(figures):
    """Where no answer names places, the verdict is what the study says first, and no finding repeats it."""
    without = figures.model_copy(update={"methods": [], "losses": [], "marks": []})
    assert verdict(without).startswith("No size tried is surely better than 160 px")
    assert [one[:20] for one in findings(without)] == [one[:20] for one in findings(figures)[4:]]


def test_a_map_without_loss_is_not_blamed(figures):
    """Where pixel AP is 100 %, the verdict names no loss."""
    loss = figures.losses[0]
    steps = [one.model_copy(update={"value": loss.steps[0].value, "lost": loss.steps[0].lost}) for one in loss.steps]
    perfect = figures.model_copy(update={"losses": [loss.model_copy(update={"steps": steps})]})
    assert verdict(perfect) == f"{HITS}."


def test_a_size_is_better_if_its_own_interval_says_so(figures):
    """The size with the highest AUROC may be unsure while another one is surely better: then that one is named."""
    base, *_ = (one for one in figures.resolution if one.condition == "base")
    sure = base.model_copy(update={"condition": "a", "level": 768, "change": Number(value=0.06, interval=(0.02, 0.1))})
    unsure = sure.model_copy(update={"level": 1024, "change": Number(value=0.07, interval=(-0.01, 0.15))})
    nothing = figures.model_copy(update={"marks": [], "corruptions": [], "contamination": []})
    (_, found) = findings(nothing.model_copy(update={"resolution": [base, sure, unsure]}))
    assert found.startswith("768 px surely changes image AUROC by +6.0 points [+1.")
    (_, found) = findings(nothing.model_copy(update={"resolution": [base, unsure]}))
    assert (
        found == "No size tried is surely better than 160 px (the best change, at 1024 px: +7.0 points [-1.0, +15.0])."
    )


@pytest.mark.parametrize(
    ("blind", "mirrored", "said"),
    [
        ((0.62, (0.55, 0.69)), (0.0, (-0.1, 0.1)), ["Without the image, image AUROC is 62 % [54, 70], not 50 %: "]),
        ((0.3, (0.2, 0.4)), (0.0, (-0.1, 0.1)), ["Without the image, image AUROC is 30 % [18, 42], not 50 %: "]),
        ((0.5, (0.4, 0.6)), (-0.1, (-0.12, -0.08)), ["Mirrored images change image AUROC by -10.0 points [-12."]),
        ((0.5, (0.44, 0.56)), (0.1, None), [f"{QUIET} (without the image, image AUROC is 50 % [44, 56]; {UNKNOWN})."]),
        ((0.5, None), (0.1, None), []),
    ],
)
def test_the_screen_says_what_was_measured(figures, blind, mirrored, said):
    """A sign has its interval and no verb of guilt; without a sign, what was asked is listed, and what was not."""
    kept = {one.condition: one for one in figures.contamination}
    screen = [
        kept["without-image"].model_copy(update={"auroc": Number(value=blind[0], interval=blind[1])}),
        kept["mirrored"].model_copy(update={"change": Number(value=mirrored[0], interval=mirrored[1])}),
    ]
    (_, *found) = findings(
        figures.model_copy(update={"marks": [], "resolution": [], "corruptions": [], "contamination": screen})
    )
    assert len(found) == len(said)
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True))


@pytest.mark.slow
def test_a_model_that_answers_at_random_has_no_finding():
    """Of 200 studies of 20 images, fewer than 10 % have a change that is sure."""
    draw, labels = np.random.default_rng(26), np.arange(20) < 10

    def is_sure():
        scores = draw.integers(0, 11, (20, 12)) / 10
        answers = SimpleNamespace(labels=labels, scores=scores, categories=np.full(20, "bolt"), parts=[""] * 20)
        found = _Changes.of(random_figures(answers))
        return any(one.sure for part in fields(found) for one in getattr(found, part.name))

    assert np.mean([is_sure() for _ in range(200)]) < 0.10


def random_figures(answers):
    """Return the figures of marks, three sizes, five corruptions and the screen from columns of scores."""
    nothing = Number(value=None)
    kept = {"missing": 0, "images": 20, "auroc": nothing, "pixel_ap": nothing, "hits": [], "usd_per_image": None,
            "seconds": None}  # fmt: skip

    def point(level, column):
        return PointFigures(
            condition=f"{level}" if column else "base", level=level, change=auroc_change(answers, column), **kept
        )

    def corruption(kind, first):
        drop = auroc_contrast(answers, [0, first], [1.0, -1.0])
        return CorruptionFigures(kind=kind, points=[point(0, 0), point(5, first)], slope=nothing, drop=drop)

    ends = auroc_interval(answers.labels, answers.scores[:, 1])
    blind = Number(value=ends.auroc, interval=ends.interval)
    method = MethodFigures(method="regions", pixel_aupro=nothing, false_share=None, condition="base", **kept)
    return GroundingFigures(
        methods=[method],
        marks=[
            MarkFigures(
                condition="base", against="regions", good=nothing, anomalous=nothing, auroc=auroc_change(answers, 2)
            )
        ],
        losses=[],
        resolution=[point(100, 0), *(point(level, 3 + at) for at, level in enumerate((200, 300, 400)))],
        corruptions=[corruption(kind, 7 + at) for at, kind in enumerate(CORRUPTIONS)],
        contamination=[
            ContaminationFigures(
                condition="without-image", images=20, missing=0, auroc=blind, change=nothing, suspicious=None
            ),
            ContaminationFigures(
                condition="mirrored",
                images=20,
                missing=0,
                auroc=nothing,
                change=auroc_change(answers, 6),
                suspicious=None,
            ),
        ],
        undefined=[],
    )


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
    found = said_of(figures, blur=unsure)
    assert found.startswith("Blur does not surely lower image AUROC (the largest drop, by blur: 9.2 points [")
    assert found.endswith("]); dark, noise, jpeg and downscale were not answered.")
    assert said_of(figures, blur=Number(value=0.0), dark=Number(value=-0.1)) == (
        "None of blur and dark surely lowers image AUROC (the largest drop, by blur: 0.0 points, without an "
        "interval: too few images); noise, jpeg and downscale were not answered."
    )
    assert said_of(figures) == ("What corruptions do is unknown: too few corrupted images were answered.")


def test_a_corruption_lowers_only_if_its_interval_excludes_0(figures):
    """A drop whose interval contains 0 is not said to be one, nor one without an interval."""
    unsure, alone = Number(value=0.092, interval=(-0.01, 0.194)), Number(value=0.05)
    kinds = ("blur", "dark", "noise", "jpeg", "downscale")
    assert said_of(figures, **dict.fromkeys(kinds, alone)) == (
        "No corruption surely lowers image AUROC "
        "(the largest drop, by blur: 5.0 points, without an interval: too few images)."
    )
    others = dict.fromkeys(kinds[1:], Number(value=0.04, interval=(0.025, 0.055)))
    found = said_of(figures, blur=unsure, **others)
    assert found.startswith("Dark surely lowers image AUROC by 4.0 points [1.")
    assert found.endswith("], the largest sure drop of 5.")


def test_a_severity_that_was_not_answered_is_named(figures):
    """Where the study ended among the severities of a kind, its drop is said to be of the others."""
    blur, *others = figures.corruptions
    cut = blur.model_copy(update={"points": [*blur.points[:-1], blur.points[-1].model_copy(update={"images": 3})]})
    found = findings(figures.model_copy(update={"corruptions": [cut, *others]}))[-2]
    assert found.endswith("the largest sure drop of 5; blur was not answered at severity 5.")


def test_a_base_that_asks_for_the_score_alone_is_no_picture_without_marks(figures):
    """Marked regions against a base of the method score differ in the question, and the finding says so."""
    (base, *_), (mark, *_) = figures.methods, figures.marks
    methods = [base.model_copy(update={"method": "score"}), base.model_copy(update={"condition": "regions-marked"})]
    marks = [mark.model_copy(update={"condition": "regions-marked", "against": "base"})]
    found = findings(figures.model_copy(update={"methods": methods, "marks": marks}))
    assert any("with a question about marked regions instead of one for a score alone" in one for one in found)
    assert not any("marks on the picture" in one for one in found)


@pytest.mark.parametrize(("share", "words"), [(0.002, "below 1 %"), (0.0, "0 %"), (0.006, "1 %")])
def test_a_small_share_is_not_called_zero(figures, share, words):
    """Only if no normal pixel is named, 0 % of the normal area is."""
    methods = [one.model_copy(update={"false_share": share}) for one in figures.methods]
    assert f"and {words} of the normal area is named" in verdict(figures.model_copy(update={"methods": methods}))


def test_marks_that_shift_all_scores_alike_are_a_finding(figures):
    """A change that is the same for all images has no interval, and is sure."""
    same = Number(value=0.15, reason="all images alike")
    marks = [one.model_copy(update={"good": same, "anomalous": same}) for one in figures.marks]
    found = findings(figures.model_copy(update={"marks": marks}))
    points = "+15.0 points (all images alike)"
    assert f"{SHIFTED}: that of good images by {points} and that of anomalous images by {points}." in found


def test_a_drop_that_no_single_image_changes_is_a_finding(figures):
    """Where image AUROC falls from perfect to chance, the jackknife has no spread, and the drop is sure."""
    drop = Number(value=0.5, reason="all images alike")
    worst = figures.corruptions[0].model_copy(update={"drop": drop})
    found = findings(figures.model_copy(update={"corruptions": [worst, *figures.corruptions[1:]]}))
    assert any(
        "surely lowers image AUROC by 50.0 points (all images alike), the largest sure drop" in one for one in found
    )
