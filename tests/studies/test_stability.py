"""A study of stability recovers what a scripted model does, and says exactly 0 of a model that repeats itself."""

import json
import shutil
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import typer
from scipy.special import ndtr

import lvlm_ad
from lvlm_ad.cli.stability_tables import show_stability
from lvlm_ad.cli.study_tables import exit_if_incomplete
from lvlm_ad.errors import ConfigError, RunError
from lvlm_ad.report.study_page import study_page
from lvlm_ad.studies import StabilityFigures, StabilityOptions, Study, price_stability, study_stability
from lvlm_ad.studies.stability_levels import FACTORS
from tests.studies.conftest import write_blocks
from tests.studies.test_runner import Stops

SMALL = StabilityOptions(images=12, repeats=2, levels=1)


def figures_of(study):
    """Return the figures of a study."""
    return StabilityFigures.model_validate(study.figures)


def contains(number, truth):
    """Whether an interval contains the truth."""
    return number.interval[0] <= truth <= number.interval[1]


def numbers(value):
    """Return every number with an interval in figures that were written as JSON."""
    if isinstance(value, dict):
        own = [value] if "interval" in value else []
        return own + [one for inner in value.values() for one in numbers(inner)]
    return [one for inner in value for one in numbers(inner)] if isinstance(value, list) else []


def test_a_model_that_repeats_itself_has_exactly_zero(base):
    """Whatever is varied that the model does not look at changes no figure: 0.0, not 1e-17."""
    study = study_stability(base(), StabilityOptions(images=12, levels=2))
    figures = figures_of(study)
    assert study.state == "complete"
    for group in figures.repeats.values():
        assert (group.flip_rate.value, group.unstable_fraction, group.within_sd) == (0.0, 0.0, 0.0)
        assert group.icc.value == 1.0
        assert group.flip_rate.interval[1] > 0, "0 of 12 images is no certainty"
    assert figures.map_test_retest.value == 0.0
    assert {one.sd for one in figures.metrics.values()} == {0.0}
    assert (figures.auroc.asking_sd, figures.auroc.asking) == (0.0, 0.0)
    assert {one.gain.value for one in figures.votes} == {0.0}
    for factor in figures.factors:
        if factor.factor == "resolution":
            continue
        assert (factor.total.value, factor.excess.value, factor.shift_variance) == (0.0, 0.0, 0.0)
        assert {(one.shift.value, one.flip_rate.value, one.auroc_change) for one in factor.levels} == {(0.0, 0.0, 0.0)}
    by_name = {one.factor: one for one in figures.factors}
    assert {one.map_difference.value for one in by_name["marks"].levels} == {0.0}
    assert {one.map_difference.value for one in by_name["resolution"].levels} == {None}
    assert "another size" in by_name["resolution"].levels[0].map_difference.reason
    assert study.verdict.startswith("Too few images to tell two versions 2 points apart")


def test_the_noise_of_asking_is_recovered(base):
    """Flip rate, spread and components are those of the scripted noise, within their intervals."""
    noise = 0.06
    study = study_stability(base(noise=noise, own=0.12), StabilityOptions(images=40, repeats=4, factors=("repeat",)))
    figures = figures_of(study)
    flat = study_stability(base(own=0.12), StabilityOptions(images=40, repeats=2, factors=("repeat",), name="flat"))
    runs = flat.runs(base().out / "studies" / "flat")
    truth = np.array([one.image_score for one in runs["base"].predictions])
    alarms = ndtr((truth - 0.5) / noise)
    assert contains(figures.repeats["all"].flip_rate, float(np.mean(2 * alarms * (1 - alarms))))
    assert figures.repeats["all"].within_sd == pytest.approx(noise, rel=3 / sqrt(2 * 40 * 3))
    between = float(truth.var(ddof=1))
    assert contains(figures.repeats["all"].icc, between / (between + noise**2))
    assert [one.what for one in study.left_out] == list(FACTORS)
    mean = [one for one in figures.votes if one.how == "mean"]
    assert [one.k for one in mean] == [1, 2, 3, 4]
    assert [one.one_subset for one in mean] == [False, False, False, True]
    assert mean[3].usd_per_image == pytest.approx(4 * mean[0].usd_per_image)
    each = figures.metrics["image_auroc"].each
    assert mean[0].auroc == pytest.approx(np.mean(each))
    assert figures.auroc.asking == pytest.approx(1.96 * sqrt(2) * figures.auroc.asking_sd, rel=1e-3)
    assert 0.3 < figures.auroc.asking_sd / figures.metrics["image_auroc"].sd < 3


def test_a_wording_that_shifts_all_scores_alike_is_named(base):
    """A shift that is the same for all images has no interval, and is a finding, not a lack of one."""
    options = StabilityOptions(images=12, repeats=2, levels=1, factors=("paraphrase",))
    study = study_stability(base(own=0.0, wording=0.1), options)
    shift = figures_of(study).factors[0].levels[0].shift
    assert shift.interval is None
    points = f"{100 * shift.value:+.1f}"
    assert (
        study.findings[-1]
        == f"Paraphrase (prompt class-2) shifts the score of each of the 12 images by {points} points."
    )


@pytest.mark.slow
def test_what_wordings_and_marks_add_is_recovered(base):
    """The shift of each level is that of a model without noise, within its interval; most variance is the wording's."""
    options = StabilityOptions(images=40, levels=4, factors=("paraphrase", "marks"))
    biased = {"wording": 0.08, "distraction": 0.004, "own": 0.05, "sharpness": 0.1}
    noisy = figures_of(study_stability(base(noise=0.04, **biased), options))
    truth = figures_of(study_stability(base(**biased), replace(options, name="truth")))
    pairs = [
        (level, true)
        for factor, other in zip(noisy.factors, truth.factors, strict=True)
        for level, true in zip(factor.levels, other.levels, strict=True)
    ]
    assert len(pairs) == 8
    assert sum(contains(level.shift, true.shift.value) for level, true in pairs) >= 7
    wording, marks = noisy.factors
    true_variance = np.var([one.shift.value for one in truth.factors[0].levels], ddof=1)
    assert contains(wording.excess, true_variance)
    assert wording.share.value > 0.5 > marks.share.value
    assert wording.shift_variance == pytest.approx(true_variance, rel=0.5)
    assert noisy.auroc.level


@pytest.mark.slow
def test_a_favourite_number_is_found(base):
    """A model that names number 3 more often is told from one whose defects lie there."""
    options = StabilityOptions(images=40, repeats=2, levels=7, factors=("numbering",))
    study = study_stability(base(named=0.3, favourite=3, points=False), options)
    assert study.findings[0].startswith("Number 3 is preferred: ")
    places = figures_of(study).positions
    effect = dict(zip(places.numbers, places.effect, strict=True))
    assert max(effect, key=lambda number: effect[number].value) == 3
    assert contains(effect[3], 0.3 * 15 / 16)
    assert contains(places.range, 0.3)
    assert places.chance == "at most 0.001"
    assert (places.numberings, places.images, places.p_value) == (8, 40, 0.001)
    study = study_stability(base(points=False), replace(options, name="none"))
    assert not any(one.startswith("Number") for one in study.findings)
    none = figures_of(study).positions
    assert (none.range.value, none.p_value) == (0.0, 1.0)
    without = study_stability(base(), replace(SMALL, factors=("repeat",), name="without"))
    assert [one.what for one in figures_of(without).undefined] == ["positions"]


@pytest.mark.slow
def test_a_crossed_factor_has_all_components(base):
    """--cross asks each level as often as the base; the repeat's component is the noise of asking."""
    options = StabilityOptions(images=30, repeats=3, levels=3, factors=("repeat",), cross="paraphrase")
    study = study_stability(base(noise=0.05, wording=0.1), options)
    parts = figures_of(study).components
    assert (parts.factor, parts.images, parts.answers) == ("paraphrase", 30, 3)
    assert contains(parts.repeat, 0.05**2)
    assert parts.condition.value > parts.interaction.value
    assert len(study.conditions) == 3 + 3 * 3
    with pytest.raises(ConfigError, match="--cross takes a factor that varies something"):
        study_stability(base(), replace(SMALL, cross="repeat"))


def test_good_images_alone_give_no_auroc_and_the_reason(base, tmp_path):
    """Verdict and page name what is missing: anomalous images, and not repeats; shifts of scores are given."""
    data = write_blocks(tmp_path / "data", 12)
    shutil.rmtree(data / "bolt" / "test" / "hole")
    study = study_stability(replace(base(noise=0.05), data=data), replace(SMALL, images=None, factors=("marks",)))
    assert study.state == "complete"
    assert study.verdict.startswith("Nothing can be said of image AUROC: there are no anomalous images")
    assert study.findings[0].startswith("No sure shift of the mean score: ")
    assert study_page(study).count("no anomalous image was answered twice") == 3


def test_other_reference_images_are_a_factor(base, asked):
    """With shots, disjoint sets of training images are levels, as many as there are; without, the reason is given."""
    options = StabilityOptions(images=6, repeats=2, levels=9, factors=("references",))
    study = study_stability(base(shots=3), options)
    (factor,) = figures_of(study).factors
    assert [one.level for one in factor.levels] == ["reference set 1", "reference set 2", "reference set 3"]
    assert len(asked()) == 6 * 5
    with pytest.raises(ConfigError, match="references cannot be varied: no normal images are shown"):
        study_stability(base(), options)
    with pytest.raises(ConfigError, match="too few normal training images for a second set of 7"):
        study_stability(base(shots=7), options)


def test_without_marks_wording_and_resolution_remain(base):
    """visual=image draws nothing, so numbers and marks are left out with the reason."""
    price = price_stability(base(visual="image"), SMALL)
    assert price["levels"] == {"paraphrase": 1, "resolution": 1}
    assert {one["what"]: one["reason"] for one in price["left_out"]} == {
        "numbering": "with visual=image no numbers are drawn",
        "marks": "no marks are drawn",
        "references": "no normal images are shown; --set shots=N shows some",
    }


def test_study_json_is_read_back(base):
    """What is written is read, without NaN; a newer or damaged file is refused, and runs stay in the folder."""
    config = base(noise=0.05)
    study = study_stability(config, SMALL)
    folder = config.out / "studies" / study.name
    assert study.name == "stability-Scripted-regions-folder"
    assert Study.read(folder) == Study.read(folder / "study.json") == study
    text = (folder / "study.json").read_text()
    assert "NaN" not in text
    assert numbers(study.figures)
    assert all(one["value"] is not None or one["reason"] for one in numbers(study.figures))
    assert {one.name for one in study.conditions} == set(study.runs(folder))
    raw = json.loads(text)
    (folder / "study.json").write_text(json.dumps({**raw, "schema_version": 99}))
    with pytest.raises(RunError, match="A newer lvlm-ad wrote"):
        Study.read(folder)
    raw["conditions"][0]["run"] = "../outside"
    (folder / "study.json").write_text(json.dumps(raw))
    with pytest.raises(RunError, match="not in its folder"):
        Study.read(folder).runs(folder)


def test_a_bench_before_leaves_less_to_ask(base, asked):
    """The study's base is the question of bench; the same study again asks nothing, a larger one what is new."""
    config = base(noise=0.05)
    lvlm_ad.bench(replace(config, reference_rows=False))
    assert len(asked()) == 40
    study_stability(config, SMALL)
    conditions = 1 + 1 + 4
    assert len(asked()) == 40 + 12 * (conditions - 1)
    study_stability(config, replace(SMALL, images=16))
    assert len(asked()) == 40 + 16 * (conditions - 1)
    price = price_stability(config, replace(SMALL, images=16))
    assert (price["questions"], price["stored"], price["to_ask"], price["cost_usd"]) == (96, 96, 0, 0.0)


def test_a_capped_study_says_what_can_be_said(base, asked):
    """With money for the repeats alone, these have figures, and the factors' images are missing."""
    study = study_stability(replace(base(noise=0.05), max_cost=0.03, concurrency=1), replace(SMALL, levels=2))
    figures = figures_of(study)
    assert (study.state, len(asked())) == ("capped", 29)
    assert study.spent_usd == pytest.approx(29 * 0.00102)
    assert [one.missing for one in study.conditions[:4]] == [0, 0, 7, 12]
    assert figures.repeats["all"].images == 12
    assert [one.images for one in figures.factors[0].levels] == [5, 0]
    assert figures.factors[0].levels[1].shift.value is None
    assert figures.factors[0].levels[1].shift.reason
    assert [one.unasked for one in study.conditions[:4]] == [0, 0, 7, 12]
    assert study.conditions[2].gaps == ["7 of 12 images were not asked (the limit of --max-cost was reached)"]
    assert figures.positions is None
    assert [one.reason for one in figures.undefined] == ["no image was answered under two numberings"]
    assert study.verdict.startswith("Incomplete, answers are missing for paraphrase, numbering, marks and resolution: ")


def test_numbers_are_compared_on_images_with_two_numberings(base):
    """What was not asked under other numbers neither counts as an image nor pulls effects towards 0."""
    options = replace(SMALL, levels=2, factors=("numbering",))
    always = base(named=1.0, favourite=7, points=False)
    study = study_stability(replace(always, max_cost=0.03, concurrency=1), options)
    places = figures_of(study).positions
    assert (places.images, places.numberings) == (5, 2)
    assert figures_of(study).factors[0].answered == figures_of(study).factors[0].levels[:1]
    assert study.verdict.startswith("Incomplete, answers are missing for numbering: ")
    whole = figures_of(study_stability(always, replace(options, levels=3))).positions
    assert (whole.images, whole.numberings) == (12, 4)
    assert whole.range.value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.0, 0.003, 0.013])
def test_a_study_that_is_capped_early_still_has_a_record(base, limit):
    """However few answers there are, figures without them are undefined with a reason, and the verdict says so."""
    study = study_stability(replace(base(noise=0.05), max_cost=limit, concurrency=1), replace(SMALL, cross="marks"))
    assert study.state == "capped"
    assert study.verdict.startswith("Incomplete, answers are missing for ")
    assert "nothing can be said yet" in study.verdict
    assert all(one["value"] is not None or one["reason"] for one in numbers(study.figures))


def test_ctrl_c_keeps_the_conditions_of_before(base):
    """Ctrl-C while a study is extended leaves what it said of later conditions: their answers are stored."""
    options = replace(SMALL, images=4, factors=("marks",))
    config = base(pause=0.02)
    study_stability(config, options)
    study = study_stability(config, replace(options, images=16), Stops(16 + 5))
    assert study.state == "interrupted"
    assert [one.problem for one in study.conditions] == ["", "interrupted", "interrupted"]
    again, marks = study.conditions[1:]
    assert 5 <= again.answered < 16
    assert marks.answered == 4
    assert marks.gaps == ["12 of 16 images were not asked (interrupted)"]


def test_an_endpoint_that_is_gone_is_the_reason(base, tmp_path, capsys):
    """Where questions fail, the study is incomplete and says which error came and what to do, as bench does."""
    options = StabilityOptions(images=6, repeats=2, factors=("repeat",))
    config = base(down=str(tmp_path / "down"), max_retries=0)
    study_stability(replace(config, max_cost=0.0083, concurrency=1), options)
    (tmp_path / "down").touch()
    study = study_stability(config, options)
    again = study.conditions[1]
    assert (again.answered, again.failed, again.unasked) == (2, 4, 0)
    assert study.state == "incomplete"
    assert study.verdict.startswith("Incomplete, answers are missing for asking again: ")
    show_stability(study, tmp_path, json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "repeat-1: 4 of 6 images failed (bolt/" in shown
    assert "Connection refused" in shown
    assert "The same command asks failed questions again." in shown
    assert "Connection refused" in study_page(study)
    with pytest.raises(typer.Exit) as left:
        exit_if_incomplete(study)
    assert left.value.exit_code == 3


def test_a_half_width_without_questions_is_refused(base):
    """It would do nothing: only the choice of a design within so many questions needs it."""
    with pytest.raises(ConfigError, match="--half-width chooses a design within --questions"):
        price_stability(base(), StabilityOptions(half_width=0.02))


def test_one_stored_answer_is_no_repeat(base):
    """A method whose repeats are the same question is refused."""
    from lvlm_ad.studies import Readings
    from lvlm_ad.studies.stability_repeats import check_repeats

    study = study_stability(base(), replace(SMALL, images=6, factors=("repeat",)))
    runs = study.runs(base().out / "studies" / study.name)
    records = tuple(runs[name].predictions for name in ("base", "repeat-1"))
    results = tuple(_Result(name) for name in ("base", "repeat-1"))
    check_repeats(Readings(results, records), [0, 1])
    with pytest.raises(ConfigError, match="base and repeat-1 have the same stored answer of bolt/"):
        check_repeats(Readings(results, (records[0], records[0])), [0, 1])


class _Result:
    """A condition's result, of which only the name is needed."""

    def __init__(self, name):
        from lvlm_ad.studies import Condition

        self.condition = Condition(name)


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"repeats": 1}, {}, "--repeats takes 2 or more"),
        ({"factors": ("wording",)}, {}, "There is no factor 'wording'"),
        ({"factors": ("paraphrase",)}, {"prompt": "json"}, "those of the prompt class, and this study asks json"),
        ({}, {"repeat": 2}, "sets repeat itself"),
        ({"questions": 3}, {}, "too few: 2 images asked twice take 4"),
        ({"questions": 100, "cross": "marks"}, {}, "leave --cross out"),
    ],
)
def test_mistakes_are_refused_before_anything_is_asked(base, asked, options, settings, message):
    """Each mistake is one clear error."""
    with pytest.raises(ConfigError, match=message):
        study_stability(base(**settings), replace(SMALL, **options))
    assert asked() == []


def test_a_threshold_of_each_run_is_refused(base):
    """All conditions are judged by one threshold, so it is a number."""
    with pytest.raises(ConfigError, match=r"takes a number, not 'conformal:0\.1'"):
        study_stability(replace(base(), threshold="conformal:0.1"), SMALL)


@pytest.mark.slow
def test_a_number_of_questions_chooses_the_design(base, asked):
    """Images come before repeats, and what the questions do not suffice for is left out with the reason."""
    price = price_stability(base(), StabilityOptions(questions=300))
    assert price["questions"] == 280
    assert (price["images"], price["repeats"], price["levels"]) == (40, 2, {"paraphrase": 2, "numbering": 3})
    assert {one["what"] for one in price["left_out"]} >= {"marks", "resolution"}
    assert "300 questions are too few" in price["left_out"][0]["reason"]
    rich = price_stability(base(), StabilityOptions(questions=10_000))
    assert (rich["images"], rich["repeats"]) == (40, 3)
    assert rich["levels"] == {"paraphrase": 2, "numbering": 3, "marks": 2, "resolution": 2}
    assert asked() == []
