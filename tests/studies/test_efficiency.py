"""A study of efficiency finds which scripted models are worth their price, and says nothing of what has none."""

import re
from dataclasses import replace
from math import sqrt

import pytest
from scipy.special import ndtr

from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.runs import usd_per_image
from lvlm_ad.studies import (
    EfficiencyFigures,
    EfficiencyOptions,
    StabilityFigures,
    StabilityOptions,
    Study,
    price_efficiency,
    study_efficiency,
    study_stability,
)

CHEAP, DEAR = 1.0, 10.0
"""USD per million tokens; a question has 1,020."""


def priced(usd, **options):
    """Return the options of a model that costs so many USD per million tokens."""
    return {"price_input": usd, "price_output": usd, **options}


def figures_of(study):
    """Return the figures of a study."""
    return EfficiencyFigures.model_validate(study.figures)


def front_of(figures, metric="image_auroc", cost="usd"):
    """Return one front, its rows by condition."""
    front = next(one for one in figures.fronts if (one.metric, one.cost) == (metric, cost))
    return front, {row.condition.split("-")[0]: row for row in front.rows}


def test_dominated_twin_and_unpriced_models_are_told(models):
    """What is worse and dearer is off the front; an equal twin stays; without a price there is no place on it."""
    config = models(
        good=priced(CHEAP, sharpness=0.4),
        twin=priced(CHEAP, sharpness=0.4),
        poor=priced(DEAR, sharpness=0.02, points=False),
        unpriced={"sharpness": 0.4},
    )
    study = study_efficiency(config)
    figures = figures_of(study)
    front, rows = front_of(figures)
    assert [rows[name].on_front for name in ("good", "twin", "poor", "unpriced")] == [True, True, False, None]
    assert [rows[name].possible for name in ("good", "twin", "poor", "unpriced")] == [True, True, False, None]
    assert [rows[name].standing for name in ("good", "twin", "poor", "unpriced")] == ["on", "on", "off", None]
    assert rows["unpriced"].cost is None
    assert "set price_input and price_output" in rows["unpriced"].reason
    assert rows["poor"].cost == pytest.approx(1020 * DEAR / 1e6)
    by_model = {one.model: one for one in figures.rows}
    assert by_model["good"].usd_per_image.value == pytest.approx(1020 * CHEAP / 1e6)
    assert by_model["unpriced"].usd_per_image.value is None
    assert by_model["unpriced"].image_auroc == by_model["good"].image_auroc
    (step,) = front.steps
    assert step.cost_per_point.value == pytest.approx(
        step.extra_cost / (100 * (by_model["good"].image_auroc.value - 0.5))
    )
    assert study.verdict.startswith("Highest image AUROC measured: ")
    assert study.verdict.endswith(
        " by good with method regions and twin with method regions, for 0.00102 USD an image; nothing that was "
        "measured is cheaper."
    )
    dear = models(poor=priced(DEAR, sharpness=0.02), unpriced={"sharpness": 0.4})
    assert study_efficiency(dear).verdict.endswith(
        "; 100.0 % [89.9, 100.0] by unpriced with method regions, at an unknown price, is higher."
    )
    _, places = front_of(figures, "pixel_ap")
    assert (places["good"].on_front, places["poor"].on_front) == (True, False)
    _, tokens = front_of(figures, cost="tokens")
    assert tokens["unpriced"].cost == 1020


@pytest.mark.slow
def test_a_better_and_dearer_model_has_a_price_per_point(models):
    """Both are on the front; the step between them has a price only where the gain is surely above 0."""
    config = models(plain=priced(CHEAP, sharpness=0.06), sharp=priced(DEAR, sharpness=0.4))
    study = study_efficiency(config)
    front, rows = front_of(figures_of(study))
    assert {name: row.on_front for name, row in rows.items()} == {"plain": True, "sharp": True}
    _, second = front.steps
    assert second.extra_cost == pytest.approx(1020 * (DEAR - CHEAP) / 1e6)
    assert second.gain.interval[0] > 0
    low, high = second.cost_per_point.interval
    assert low < second.cost_per_point.value < high
    assert second.cost_per_point.value == pytest.approx(second.extra_cost / (100 * second.gain.value))
    assert study.verdict.endswith("everything cheaper is surely worse.")
    alike = models(plain=priced(CHEAP, sharpness=0.12), sharp=priced(DEAR, sharpness=0.14))
    close = study_efficiency(alike, EfficiencyOptions(name="close"))
    front, _ = front_of(figures_of(close))
    assert front.steps[-1].cost_per_point.value is None or front.steps[-1].gain.interval[0] > 0
    assert re.search(
        r"; for 0\.00102 USD, [\d.]+ % \[.*\] by plain with method regions, which is not surely worse\.$", close.verdict
    )


def test_hours_of_a_machine_are_a_price(models):
    """A model of this machine has no cost until its machine has a price; then an answer costs its seconds."""
    options = EfficiencyOptions(images=8)
    study = study_efficiency(models(local={"plugin": "Local", "pause": 0.02}), options)
    (row,) = figures_of(study).rows
    assert row.usd_per_image.value is None
    assert row.usd_per_image.reason.endswith("set price_per_hour")
    assert study.verdict.startswith("No price is known. Highest image AUROC measured: ")
    repeated = study_stability(
        models(local={"plugin": "Local"}), StabilityOptions(images=8, repeats=2, factors=("repeat",))
    )
    assert {one.usd_per_image for one in StabilityFigures.model_validate(repeated.figures).votes} == {None}
    config = models(local={"plugin": "Local", "pause": 0.02, "price_per_hour": 36})
    study = study_efficiency(config, options)
    (row,) = figures_of(study).rows
    assert row.usd_per_image.value == pytest.approx(row.seconds.value * 36 / 3600)
    assert row.seconds.value >= 0.02
    (run,) = study.runs(config.out / "studies" / study.name).values()
    assert run.metrics["usage"]["cost_usd"] == pytest.approx(8 * row.usd_per_image.value)
    assert verify_run(run) == []


WIDE = EfficiencyOptions(methods=("regions", "zoom", "score"), image_sizes=(160, 240), votes=(1, 3), images=12)


@pytest.mark.slow
def test_combinations_share_what_they_ask(models, asked):
    """A closer look and votes begin with the answers of regions; the price counts each question once."""
    config = models(one=priced(CHEAP, sharpness=0.2, noise=0.05))
    config = replace(config, settings={key: one for key, one in config.settings.items() if key != "image_size"})
    price = price_efficiency(config, WIDE)
    by_name = {one["name"]: one for one in price["conditions"]}
    assert list(by_name) == [
        f"one-{way}"
        for size in (160, 240)
        for way in (f"regions-{size}", f"regions-{size}-votes-3", f"zoom-{size}", f"score-{size}")
    ]
    assert [
        by_name[f"one-{way}"]["to_ask"] for way in ("regions-160", "regions-160-votes-3", "zoom-160", "score-160")
    ] == [12, 24, 48, 12]
    shared = [by_name[f"one-{way}"]["shared"] for way in ("regions-160", "regions-160-votes-3", "zoom-160")]
    assert (shared, price["shared"], price["stored"]) == ([0, 12, 12], 48, 0)
    assert "no answer is stored yet" in price["unpriced"]["one"]
    assert [one["what"] for one in price["left_out"]] == ["zoom, mean of 3 answers", "score, mean of 3 answers"]
    assert asked() == []
    study = study_efficiency(config, WIDE)
    assert study.state == "complete"
    # Closer looks are priced as 4 an image; 6 of them show the same as another one.
    assert price["to_ask"] == 2 * (12 + 24 + 48 + 12)
    assert len(asked()) == len(set(asked())) == 2 * (12 + 24 + 42 + 12)
    figures = figures_of(study)
    assert len(figures.rows) == 8
    assert {one.image_size for one in figures.rows} == {160, 240}
    again = price_efficiency(config, WIDE)
    assert (again["to_ask"], again["cost_usd"], again["questions"]) == (0, 0.0, again["stored"])
    study_efficiency(config, WIDE)
    assert len(asked()) == 2 * (12 + 24 + 42 + 12)


def test_where_closer_looks_pay(models):
    """Closer looks have their gain and their extra price for all images and by size of the defects."""
    figures = figures_of(study_efficiency(models(one=priced(CHEAP, sharpness=0.2)), replace(WIDE, image_sizes=())))
    (pair,) = figures.zoom
    assert (pair.first, pair.second) == ("one-zoom", "one-regions")
    assert [(one.kind, one.name, one.anomalous) for one in pair.groups] == [("all", "", 6), ("size", "2 to 10 %", 6)]
    by_name = {one.condition: one for one in figures.rows}
    zoom, plain = (by_name[one] for one in (pair.first, pair.second))
    for group in pair.groups:
        assert group.image_auroc.value == pytest.approx(zoom.image_auroc.value - plain.image_auroc.value)
        assert group.pixel_ap.value == pytest.approx(zoom.pixel_ap.value - plain.pixel_ap.value)
    assert pair.groups[0].extra_usd.value == pytest.approx(zoom.usd_per_image.value - plain.usd_per_image.value)
    assert zoom.usd_per_image.value == pytest.approx(5 * plain.usd_per_image.value)
    assert by_name["one-score"].pixel_ap.reason == "the method gives no map"


def test_votes_have_a_gain_and_a_price(models):
    """The mean of k answers is what the repeats give; a model that repeats itself gains exactly 0."""
    options = EfficiencyOptions(votes=(1, 3), images=12)
    figures = figures_of(study_efficiency(models(one=priced(CHEAP, sharpness=0.1, noise=0.1)), options))
    (gains,) = figures.votes
    assert [one.k for one in gains.votes] == [1, 2, 3]
    by_votes = {one.votes: one for one in figures.rows}
    assert gains.votes[2].auroc == pytest.approx(by_votes[3].image_auroc.value), (
        "the run with votes is all answers together"
    )
    assert by_votes[3].usd_per_image.value == pytest.approx(3 * by_votes[1].usd_per_image.value)
    assert gains.votes[2].usd_per_image == pytest.approx(by_votes[3].usd_per_image.value)
    same = figures_of(study_efficiency(models(same=priced(CHEAP, sharpness=0.1)), options))
    assert {one.gain.value for one in same.votes[0].votes} == {0.0}
    front, _ = front_of(same)
    assert [row.on_front for row in front.rows] == [True, False], "as good and three times as dear"


@pytest.mark.slow
def test_known_quality_is_recovered(models):
    """Image AUROC and the gain of votes are those of the scripted noise, within their intervals."""
    options = {"sharpness": 0.1, "own": 0.02, "noise": 0.1}
    figures = figures_of(study_efficiency(models(one=priced(CHEAP, **options)), EfficiencyOptions(votes=(1, 3))))
    truth = {k: float(ndtr(0.1 / sqrt(2 * (0.02**2 + 0.1**2 / k)))) for k in (1, 3)}
    for row in figures.rows:
        low, high = row.image_auroc.interval
        assert low <= truth[row.votes] <= high
    low, high = figures.votes[0].votes[2].gain.interval
    assert 0 < low <= truth[3] - truth[1] <= high


def test_quality_is_that_of_the_runs(models):
    """Where every image is answered, values and intervals are those of metrics.json, on the same resamples."""
    guesses = {"points": False, "named": 0.5}
    config = models(one=priced(CHEAP, sharpness=0.1, **guesses), two=priced(CHEAP, noise=0.1, **guesses))
    study = study_efficiency(config)
    runs = study.runs(config.out / "studies" / study.name)
    for row in figures_of(study).rows:
        mean = runs[row.condition].metrics["mean"]
        for name in ("image_auroc", "pixel_ap"):
            assert getattr(row, name).value == mean[name]
            assert list(getattr(row, name).interval) == pytest.approx(mean["interval"][name], abs=1e-12)
        assert row.usd_per_image.value == pytest.approx(usd_per_image(runs[row.condition].metrics))


def test_closer_looks_by_category(models, two_categories):
    """The gain over all images is the mean of the categories' gains."""
    config = replace(models(one=priced(CHEAP, sharpness=0.1)), data=two_categories)
    study = study_efficiency(config, EfficiencyOptions(methods=("zoom",)))
    groups = figures_of(study).zoom[0].groups
    assert [(one.kind, one.name, one.anomalous) for one in groups] == [
        ("all", "", 8),
        ("size", "2 to 10 %", 8),
        ("category", "bolt", 4),
        ("category", "nut", 4),
    ]
    gains = [one.image_auroc.value for one in groups]
    assert gains[0] == pytest.approx((gains[2] + gains[3]) / 2)


def test_a_capped_study_compares_what_it_can(models, asked):
    """A combination that answered fewer than half of the images is named and leaves the others their images."""
    config = replace(models(one=priced(CHEAP, sharpness=0.1), two=priced(CHEAP)), max_cost=0.016, concurrency=1)
    study = study_efficiency(config, EfficiencyOptions(images=12))
    figures = figures_of(study)
    assert (study.state, len(asked())) == ("capped", 15)
    assert [one.missing for one in figures.rows] == [0, 9]
    assert figures.images == 12
    assert [(one.what, one.reason) for one in figures.not_compared] == [
        ("two-regions", "answered 3 of 12 images, fewer than half; 9 were not asked")
    ]
    assert " by one with method regions, for " in study.verdict
    rest = study_efficiency(replace(config, max_cost=None), EfficiencyOptions(images=12))
    assert (rest.state, len(asked())) == ("complete", 24)
    folder = config.out / "studies" / study.name
    assert Study.read(folder) == rest
    assert "NaN" not in (folder / "study.json").read_text()


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"votes": (0,)}, {}, "--votes takes 1 or more; got 0"),
        ({"image_sizes": (160,)}, {}, "given twice"),
        ({"methods": ("votes",)}, {}, "Votes are asked with --votes 3"),
        ({"methods": ("score",), "votes": (2,)}, {}, "--votes 2 needs --method regions"),
        ({}, {"repeat": 1}, "sets repeat itself"),
        ({}, {"sharpnes": 1}, "There is no setting 'sharpnes'. Did you mean 'sharpness'"),
    ],
)
def test_mistakes_are_refused_before_anything_is_asked(models, asked, options, settings, message):
    """Each mistake is one clear error."""
    config = models(one=priced(CHEAP))
    config = replace(config, settings={**config.settings, **settings})
    with pytest.raises(ConfigError, match=message):
        study_efficiency(config, EfficiencyOptions(**options))
    assert asked() == []


def test_a_model_is_needed(models):
    """Without a model there is nothing to compare."""
    with pytest.raises(ConfigError, match="name one or more as --model"):
        study_efficiency(models())


def test_a_setting_holds_for_what_has_it(models):
    """A setting of one model or one method is not refused by the others."""
    config = models(one=priced(CHEAP), other={"plugin": "Local"})
    config = replace(config, settings={**config.settings, "zoom_budget": 2})
    price = price_efficiency(config, EfficiencyOptions(methods=("regions", "zoom"), votes=(), images=4))
    assert [one["to_ask"] for one in price["conditions"]] == [4, 8, 4, 8]


def test_equal_combinations_are_named_together(models):
    """Two models with the same quality at the same price are both named as the best."""
    config = models(
        one=priced(CHEAP, sharpness=0.4), two=priced(CHEAP, sharpness=0.4), dear=priced(DEAR, sharpness=0.4)
    )
    verdict = study_efficiency(config, EfficiencyOptions(images=12)).verdict
    assert " by one with method regions and two with method regions, for " in verdict
    assert verdict.endswith("; nothing that was measured is cheaper.")
    free = models(one={"sharpness": 0.4}, two={"sharpness": 0.4})
    unknown = study_efficiency(free, EfficiencyOptions(images=12, name="unpriced"))
    assert " by one with method regions and two with method regions, " in unknown.verdict
