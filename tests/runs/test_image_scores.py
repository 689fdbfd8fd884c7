"""Image scores are read quickly, and exactly as the whole predictions say."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.runs import StepRecord, current_intervals, image_scores, read_run, write_run

FROZEN = Path(__file__).parents[1] / "data" / "v0_1" / "out"
TEXT = 'a text with ,"regions":{} and ,"cost_usd":9.0 and "image_score":1 in it'


@pytest.fixture
def run(tmp_path):
    """A run of a chat model on 22 images, whose answers look like fields and every third of which has no score."""
    run = read_run(Path(shutil.copytree(next(FROZEN.glob("chance-*")), tmp_path / "run")))
    predictions = [
        one.model_copy(
            update={
                "text": TEXT,
                "cost_usd": at / 8,
                "image_score": None if at % 3 == 0 else at / 22,
                "part": f"object {at // 2}",
            }
        )
        for at, one in enumerate(run.predictions)
    ]
    model = run.manifest.model.model_copy(update={"kind": "backend"})
    manifest = run.manifest.model_copy(update={"model": model, "on_failure": "exclude"})
    written = replace(run, manifest=manifest, predictions=predictions)
    write_run(written)
    return written


def test_scores_are_those_of_the_predictions(run):
    """Whether they are read from the file or from memory, sorted by category and id; NaN without a score."""
    for found in (image_scores(run), image_scores(replace(run, predictions=[]))):
        expected = sorted(run.predictions, key=lambda one: (one.category, one.id))
        assert found.images == tuple((one.category, one.id, one.label, one.part) for one in expected)
        scores = [np.nan if one.image_score is None else one.image_score for one in expected]
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.costs, [one.cost_usd for one in expected])


def test_costs_are_those_of_a_whole_conversation(run):
    """The questions of a conversation have texts and costs of their own, which are not the image's."""
    step = StepRecord(key="k", text=TEXT, cost_usd=5.0, seconds=1.0)
    predictions = [one.model_copy(update={"steps": [step, step]}) for one in run.predictions]
    write_run(replace(run, predictions=predictions))
    found = image_scores(replace(run, predictions=[]))
    assert sorted(found.costs) == sorted(one.cost_usd for one in run.predictions)


def test_categories_have_the_images_with_a_score(run):
    """Their labels and places; a category with one kind of image is left out."""
    found = image_scores(run)
    for name, (labels, places) in found.by_category().items():
        assert [(found.images[place][0], found.images[place][2]) for place in places] == [
            (name, label) for label in labels
        ]
        assert not np.isnan(found.scores[places]).any()
    good = [one for one in run.predictions if not one.label]
    dataset = run.manifest.dataset.model_copy(update={"n_images": len(good)})
    manifest = run.manifest.model_copy(update={"dataset": dataset})
    assert image_scores(replace(run, manifest=manifest, predictions=good)).by_category() == {}


def test_a_missing_score_counts_as_the_run_says(run):
    """As "no anomaly reported" it is 0; what is no chat model costs nothing."""
    model = run.manifest.model.model_copy(update={"kind": "baseline"})
    found = image_scores(
        replace(run, manifest=run.manifest.model_copy(update={"on_failure": "zero", "model": model}), predictions=[])
    )
    assert (found.scores == 0).sum() >= sum(one.image_score is None for one in run.predictions)
    assert not found.costs.any()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.split("\n", 1)[1], "21 of 22"),
        (lambda text: text[:-30], "damaged"),
        (lambda text: text.replace('"label":true', '"label":1', 1), "label"),
        (lambda text: re.sub('"image_score":0.[0-9]+', '"image_score":1e999', text, count=1), "infinite"),
        (lambda text: text[:0], "0 of 22"),
    ],
)
def test_damaged_predictions_are_an_error_that_names_them(run, change, problem):
    """Too few lines, half a line, a field of a wrong type, an infinite score."""
    path = run.dir / "predictions.jsonl"
    path.write_text(change(path.read_text()))
    with pytest.raises(RunError, match=problem):
        image_scores(replace(run, predictions=[]))


def test_intervals_of_an_older_rule_are_left_out():
    """Those of today's rule stay."""
    measures = {"image_auroc": 0.9, "interval": {"image_auroc": [0.8, 1.0]}}
    metrics = {"mean": measures, "categories": {"a": measures}, "intervals": {"resamples": 1000}}
    found = current_intervals(metrics)
    assert (found["mean"]["interval"], found["categories"]["a"]["interval"]) == ({}, {})
    metrics["intervals"]["rule"] = 2
    assert current_intervals(metrics) == metrics
