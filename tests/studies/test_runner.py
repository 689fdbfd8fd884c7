"""Running a study: one bench for each condition, one model, one budget, nothing asked twice."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

import lvlm_ad
from lvlm_ad.errors import ConfigError, FatalError
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.evaluate.verify import verify_runs
from lvlm_ad.log import Progress
from lvlm_ad.runs import read_run
from lvlm_ad.studies import Condition, Readings, StudyDesign, chosen_images, forecast_study, run_study
from lvlm_ad.studies.maps import StudyMaps

SIZES = (
    Condition("base"),
    Condition("larger", "resolution", "320 px", {"image_size": 320}),
    Condition("grey", "marks", "grey numbers", {"number_style": "grey"}),
)


def design(config, count=8, conditions=SIZES):
    """Make a study of so many images."""
    return StudyDesign("three", config, chosen_images(config, count), conditions)


def test_each_condition_is_a_run_beside_shared_answers(base, asked):
    """A bench before and a study after ask only what is new; runs lie in the study's folder, answers do not."""
    config = base()
    lvlm_ad.bench(replace(config, reference_rows=False, limit=4))
    before = len(asked())
    study = design(config, 40)
    planned = forecast_study(study)
    assert [(one["questions"], one["stored"]) for _, one in planned] == [(40, 4), (40, 0), (40, 0)]
    results = run_study(study)
    assert (before, len(asked())) == (4, 120), "4 of the base were stored, 40 each are new"
    assert len(set(asked())) == 120
    folders = {one.run.dir.parent for one in results.results}
    assert folders == {config.out / "studies" / "three"}
    assert not list(folders.pop().glob("*.sqlite"))
    assert (config.out / "answers.sqlite").exists()
    for one in results.results:
        assert read_run(one.run.dir).manifest.config_hash == one.run.manifest.config_hash
    run_study(study)
    assert len(asked()) == 120


def test_readings_are_arrays_of_the_runs(base):
    """Scores, named regions, maps, tokens and costs are those of the records, image by image."""
    readings = Readings.of(run_study(design(base(noise=0.05))))
    first = readings.runs[0].predictions
    assert readings.scores.shape == (8, 3)
    assert readings.scores[:, 0].tolist() == [one.image_score for one in first]
    assert readings.labels.sum() == 4
    assert readings.ids == tuple(one.id for one in first)
    assert readings.columns("resolution", "marks") == [1, 2]
    assert [dict(one) for one in readings.named(2)] == [one.regions for one in readings.runs[2].predictions]
    assert readings.costs == pytest.approx(np.full((8, 3), 1020 / 1e6))
    assert (readings.input_tokens == 1000).all()
    assert readings.auroc([0, 1]).tolist() == [readings.metric("image_auroc")[one] for one in (0, 1)]
    with StudyMaps.opened(readings) as maps:
        assert maps.alike(0) == [0, 2]
        row = next(row for row, record in enumerate(first) if record.regions)
        scores, areas = maps.cells(row, [0, 2])
        assert areas.tolist() == [1600.0] * 16
        assert scores.sum(axis=1).tolist() == pytest.approx([sum(first[row].regions.values())] * 2)


def test_pictures_and_regions_of_a_run_are_found_again(base):
    """A report of a condition's run finds images and divisions, though its stores are elsewhere."""
    run = run_study(design(base())).results[1].run
    with ExitStack() as stack:
        sources = find_sources(read_run(run.dir), None, Divided(), stack)
        assert sources.divisions.hash == run.manifest.division.hash
    assert verify_runs([run]) == ([run], [])


class Divided(Progress):
    """Fails if an image is divided."""

    def start(self, stage, total):
        raise AssertionError(f"{stage}: {total}")


def test_a_model_is_built_once(base, asked):
    """Conditions that ask the same model with the same options share it; it is closed when another one is asked."""
    other = Condition("other", "model option", "favourite 5", {"favourite": 5})
    run_study(design(base(), conditions=(*SIZES, other)))
    assert asked("built", "closed") == ["built", "closed", "built", "closed"]


def test_one_budget_for_the_whole_study(base, asked):
    """--max-cost stops the study, not each condition; what is missing is missing, and never scored 0."""
    config = replace(base(), max_cost=0.0125, concurrency=1)
    results = run_study(design(config))
    assert len(asked()) == 12, "12 questions of 0.00102 USD fit"
    assert results.spent == pytest.approx(12 * 0.00102)
    readings = Readings.of(results)
    assert readings.missing.tolist() == [0, 4, 8]
    assert np.isnan(readings.scores[:, 2]).all()
    assert np.isnan(readings.metric("image_auroc")[2])
    run_study(design(replace(config, max_cost=None)))
    assert len(asked()) == 24


def test_an_unknown_cost_is_not_0(base, asked):
    """Where a model has no price, nothing says what the study spent; a rerun, which asks nothing, spends 0."""
    config = base()
    unpriced = replace(config, settings={key: one for key, one in config.settings.items() if "price" not in key})
    assert run_study(design(unpriced)).spent is None
    assert len(asked()) == 24
    assert run_study(design(unpriced)).spent == 0.0


def test_a_condition_that_fails_leaves_the_others(base):
    """A model that refuses one condition for good is asked under the others; without its base nothing can be said."""
    paraphrase = Condition("other", "paraphrase", "class-2", {"prompt": "class-2"})
    study = design(base(), conditions=(SIZES[0], paraphrase, SIZES[2]))
    text = lvlm_ad.presets.load_prompt("class-2").text[:30]
    results = run_study(replace(study, config=base(forbidden=text)))
    assert [one.run is None for one in results.results] == [False, True, False]
    assert "does not take such a question" in results.results[1].problem
    assert [one.condition.name for one in results.of_factor("marks")] == ["grey"]
    with pytest.raises(FatalError, match="does not take such a question"):
        run_study(replace(study, config=base(forbidden="a")))


def test_ctrl_c_keeps_what_is_there(base, monkeypatch):
    """After Ctrl-C the conditions so far are read, and the others are named as missing."""
    from lvlm_ad.studies import runner

    whole = runner.bench_plan

    def interrupted(plan, *others):
        if plan.protocol.image_size == 320:
            raise KeyboardInterrupt
        return whole(plan, *others)

    monkeypatch.setattr(runner, "bench_plan", interrupted)
    results = run_study(design(base()))
    assert results.interrupted
    assert [one.problem for one in results.results] == ["", "interrupted", "interrupted before it began"]


class Stops(Progress):
    """Ends the program with Ctrl-C when so many images are answered or looked up."""

    def __init__(self, *done):
        self.stage, self.done, self.at_ends = "", 0, done

    def start(self, stage, total):
        self.stage = f"{stage} {total}"

    def advance(self, steps=1, **_):
        self.done += steps * ("Scripted" in self.stage)
        if "Scripted" in self.stage and self.done in self.at_ends:
            raise KeyboardInterrupt


def test_stored_answers_count_after_ctrl_c(base, asked):
    """Of the condition in which Ctrl-C came, every answer is used; none is asked for after it; a second one ends it."""
    study = design(base(pause=0.02), 16)
    results = run_study(study, Stops(16 + 3))
    count = len(asked())
    assert 16 + 3 <= count < 32
    assert results.interrupted
    assert [one.problem for one in results.results] == ["", "interrupted", "interrupted before it began"]
    assert Readings.of(results).missing.tolist() == [0, 32 - count]
    twice = run_study(study, Stops(count + 1, count + 2))
    assert [one.run is None for one in twice.results] == [False, True, True]
    assert [one.problem for one in twice.results] == ["", "interrupted", "interrupted before it began"]
    run_study(study)
    assert len(asked()) == len(set(asked())) == 48


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ((), "must begin with its base"),
        ((SIZES[1],), "must begin with its base"),
        ((SIZES[0], SIZES[1], SIZES[1]), "2 conditions named 'larger'"),
    ],
)
def test_a_wrong_design_is_refused(base, conditions, message):
    """Mistakes in a study's definition are errors before anything is asked."""
    with pytest.raises(ConfigError, match=message):
        design(base(), conditions=conditions)


def test_conditions_that_are_the_same_are_refused(base):
    """A condition that changes nothing is no level of a factor."""
    same = Condition("same", "marks", "as ever", {"border_width": 1})
    with pytest.raises(ConfigError, match="base and same ask exactly the same"):
        run_study(design(base(), conditions=(SIZES[0], same)))
    wrong = Condition("wrong", "marks", "loud", {"number_style": "loud"})
    with pytest.raises(ConfigError, match="marks = loud: "):
        run_study(design(base(), conditions=(SIZES[0], wrong)))
    with pytest.raises(ConfigError, match="contrast is a baseline"):
        run_study(design(replace(base(), models=["contrast"], settings={}), conditions=SIZES[:1]))
