"""A run that was tampered with, or is incomplete, is found out from its own files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad import bench
from lvlm_ad.evaluate.manifest import hash_of
from lvlm_ad.evaluate.measure import Scored, measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.evaluate.verify_all import verify_runs
from lvlm_ad.metrics.histograms import ScoreHistogram
from lvlm_ad.runs import read_run, write_run


@pytest.fixture
def runs(small_data, tmp_path):
    """Rows of contrast through the regions and by its own map, of chance and oracle, on disk."""
    settings = {"image_size": 96, "n_segments": 12, "min_area": 0}
    made = bench(data=small_data, settings=settings, out=tmp_path / "runs", resamples=50)
    return {run.manifest.row_name: read_run(run.dir) for run in made}


def test_honest_runs_agree(runs, tmp_path, small_data):
    """Every row of a bench, binary maps too, says what its answers say."""
    settings = {"image_size": 96, "n_segments": 12, "min_area": 0, "binary": True}
    flat, *_ = bench(
        models=["contrast"], frame=False, data=small_data, settings=settings, out=tmp_path / "b", resamples=50
    )
    for run in (*runs.values(), read_run(flat.dir)):
        assert verify_run(run) == [], run.manifest.row_name


def changed(run, at=0, **values):
    records = list(run.predictions)
    records[at] = records[at].model_copy(update=values)
    return replace(run, predictions=records)


def test_every_kind_of_tampering_is_named(runs):
    """A score, an answer, a label, a metric, a count, the settings: each alone is noticed."""
    run = runs["contrast"]
    worse = dict(run.metrics["categories"]["bolt"], pixel_aupro=0.99)
    histogram = run.histograms[0]
    cases = {
        "scores or status are not those": changed(run, image_score=0.99),
        "scores or status are not those of": changed(run, regions={1: 1.0}),
        "counts do not fit": changed(run, [one.label for one in run.predictions].index(True), label=False),
        "image_auroc of bolt": changed(run, label=True),
        "pixel_aupro of bolt is 0.99": replace(
            run, metrics={**run.metrics, "categories": {**run.metrics["categories"], "bolt": worse}}
        ),
        "image_auroc of the mean": replace(
            run, metrics={**run.metrics, "mean": {**run.metrics["mean"], "image_auroc": 0.5}}
        ),
        "coverage": replace(run, metrics={**run.metrics, "coverage": 0.5}),
        "counts of answers": replace(run, metrics={**run.metrics, "answers": {**run.metrics["answers"], "ok": 0}}),
        "pixels.npz is missing": replace(run, histograms=None),
        "counts do not fit the predicted scores": replace(
            run, histograms=[replace(histogram, scores=histogram.scores / 2), *run.histograms[1:]]
        ),
        "pixels.npz: 11 images": replace(run, histograms=run.histograms[1:]),
        "hash": replace(run, manifest=run.manifest.model_copy(update={"seed": 7})),
    }
    for says, case in cases.items():
        assert any(says in problem for problem in verify_run(case)), says


@pytest.fixture
def asked(small_data, tmp_path, endpoint, completion):
    """A run of a chat model with intervals, prices, refusals and a cut answer."""

    def reply(_body):
        number = len(endpoint.asked)
        if number % 5 == 0:
            return 200, completion("I can't help with that."), {}
        if number % 7 == 0:
            return 200, completion("image anomaly score: 0.7; " + "x" * 30_000), {}
        return 200, completion(f"image anomaly score: 0.{1 + number % 9}; region 1: 0.{1 + number % 9}"), {}

    endpoint.reply = reply
    settings = {"image_size": 96, "n_segments": 12, "min_area": 0, "base_url": endpoint.url, "model": "m"}
    settings |= {"price_input": 2.5, "price_output": 10.0, "price_date": "2026-01-01"}
    (run,) = bench(models=["vllm"], frame=False, data=small_data, settings=settings, out=tmp_path / "a", resamples=50)
    return read_run(run.dir)


def test_what_a_chat_model_did_not_say_is_no_score(asked):
    """Scores without a text, from a refusal or from a text that is cut are not taken on trust."""
    wrong = verify_run(asked)
    assert len(wrong) == 1
    assert "the answer is cut" in wrong[0]
    records = [one for one in asked.predictions if len(one.text) < 20_000]
    honest = replace(asked, predictions=[one for one in asked.predictions if len(one.text) < 20_000])
    refused = next(at for at, one in enumerate(records) if one.image_score is None)
    said = "scores or status are not those of the answer's text"
    assert not any(said in problem for problem in verify_run(honest))
    for case in (
        changed(honest, text=""),
        changed(honest, refused, image_score=1.0, status="ok"),
        changed(honest, refused, status="ok"),
        changed(honest, refused, text=""),
        changed(honest, outcome="truncated", image_score=1.0),
    ):
        assert any(said in problem for problem in verify_run(case))


def test_money_tokens_and_intervals_are_recomputed(asked):
    """They decide ranks and the cost plot."""
    metrics = asked.metrics
    usage, mean = metrics["usage"], metrics["mean"]
    bolt = metrics["categories"]["bolt"]
    cases = {
        "tokens, cost or seconds": [
            {**metrics, "usage": {**usage, name: value}}
            for name, value in (("cost_usd", 0.0), ("cost_usd", None), ("output_tokens", 1), ("seconds", 0.0))
        ],
        "the intervals of the mean": [
            {**metrics, "mean": {**mean, "interval": {**mean["interval"], "image_auroc": [0.99, 1.0]}}},
            {**metrics, "mean": {**mean, "interval": {}}},
            {**metrics, "mean": {**mean, "interval_over_categories": {}}},
        ],
        "the intervals of bolt": [
            {**metrics, "categories": {**metrics["categories"], "bolt": {**bolt, "interval": {"image_auroc": [0, 1]}}}}
        ],
        "the number of resamples": [{**metrics, "intervals": {"resamples": 10**9}}],
    }
    for says, forged in cases.items():
        for one in forged:
            assert any(says in problem for problem in verify_run(replace(asked, metrics=one))), (says, one)


def test_runs_of_the_same_images_must_agree_on_the_truth(runs):
    """Most are believed; whose labels or masks differ is named, though alone it could not be found out."""
    paths = list(runs.values())
    assert verify_runs(paths)[1] == []
    run = runs["contrast"]
    at = [one.label for one in run.predictions].index(True)
    histogram = run.histograms[at]
    shifted = replace(histogram, anomalous=histogram.anomalous + 1, normal=histogram.normal - 1)
    for other in (
        changed(run, [one.label for one in run.predictions].index(False), label=True),
        replace(run, histograms=[shifted if at == number else one for number, one in enumerate(run.histograms)]),
    ):
        write_run(_measured_again(other))
        assert verify_run(read_run(run.dir)) == []
        kept, (problem,) = verify_runs(paths)
        assert [one.dir for one in kept] == [one.dir for one in paths if one.dir != run.dir]
        assert (
            f"{run.dir}: runs of the same images disagree: {'mask' if other.histograms != run.histograms else 'label'}"
            in problem
        )
    # Two runs that disagree: neither can be believed.
    kept, problems = verify_runs([runs["contrast"], runs["chance"]])
    assert kept == []
    assert len(problems) == 2


def _measured_again(run):
    """A forger's run: its metrics follow from what it now holds."""
    images = {}
    for record, histogram in zip(run.predictions, run.histograms, strict=True):
        images.setdefault(record.category, []).append(Scored(record.label, record.image_score, np.empty(0), histogram))
    resamples = run.metrics["intervals"]["resamples"]
    found = {
        category: measure_category(scored, run.manifest.on_failure, category, resamples)
        for category, scored in images.items()
    }
    measured = {"mean": summary(found), "categories": {name: one.metrics for name, one in found.items()}}
    return replace(run, metrics={**run.metrics, **measured})


def _under_another_hash(run, **parts):
    """A forger's run: the hash of its configuration follows from what the manifest now says."""
    manifest = run.manifest.model_copy(update=parts)
    facts = manifest.model_dump(mode="json")
    for name in ("schema_version", "config_hash", "versions", "started", "seconds"):
        del facts[name]
    return replace(run, manifest=manifest.model_copy(update={"config_hash": hash_of(facts)}))


def test_what_decides_the_table_is_held_against_the_predictions(runs, asked):
    """Scoring, categories, images, division, size, kind of model, cost: each forged with all that follows from it."""
    run = runs["contrast"]
    manifest = run.manifest
    dataset, model = manifest.dataset, asked.manifest.model
    fewer = dataset.model_copy(update={"categories": dataset.categories[:1]})
    whole = dataset.model_copy(update={"name": "mvtec", "whole": True})
    division = manifest.division.model_copy(update={"hash": "0" * 64})
    twice = [run.predictions[0], run.predictions[0], *run.predictions[2:]]
    free = [one.model_copy(update={"cost_usd": 0.0}) for one in asked.predictions]
    usage = asked.metrics["usage"]
    cases = {
        "there is no scoring 'foo'": _under_another_hash(run, protocol={**manifest.protocol, "scoring": "foo"}),
        "the categories are not those": _under_another_hash(run, dataset=fewer),
        "the whole of mvtec has 1725 images": _under_another_hash(run, dataset=whole),
        "the division is not that of the predictions": _under_another_hash(run, division=division),
        "measured at no size": _under_another_hash(run, protocol={**manifest.protocol, "image_size": None}),
        f"an image twice: {run.predictions[0].id}": replace(run, predictions=twice),
        "called a baseline": _under_another_hash(asked, model=model.model_copy(update={"kind": "baseline"})),
        "not that of the tokens at the run's own price": replace(
            asked,
            predictions=free,
            metrics={**asked.metrics, "usage": {**usage, "cost_usd": 0.0, "spent_usd": 0.0}},
        ),
        "more was spent": replace(asked, metrics={**asked.metrics, "usage": {**usage, "spent_usd": 1e6}}),
        "the outcomes": replace(asked, metrics={**asked.metrics, "outcomes": {"refused": len(asked.predictions)}}),
        "there are no intervals": replace(run, metrics={**run.metrics, "intervals": {"resamples": 0}}),
    }
    for says, case in cases.items():
        assert any(says in problem for problem in verify_run(case)), says


def test_what_a_table_says_of_a_run_follows_from_it(asked):
    """Numbers of images, ranges and reasons are recomputed; words of a forger's own are not shown."""
    mean = asked.metrics["mean"]
    assert {"image_auroc", "pixel_aupro"} <= mean["range"].keys()
    for forged in (
        {"n_measured": 1},
        {"n_images": 6000},
        {"range": {**mean["range"], "image_auroc": [0.9, 1.0]}},
        {"range": {}},
        {"undefined": {"image_ap": "the best model of 2026"}},
        {"pixel_aupro_rescaled": 1.0},
    ):
        (name,) = forged
        told = replace(asked, metrics={**asked.metrics, "mean": {**mean, **forged}})
        assert any(name in problem and "the mean" in problem for problem in verify_run(told)), forged
    more = {**asked.metrics["categories"], "extra": asked.metrics["categories"]["bolt"]}
    told = replace(asked, metrics={**asked.metrics, "categories": more})
    assert any("the categories are not those" in problem for problem in verify_run(told))


def test_moved_pixels_are_found_by_runs_that_cut_the_images_alike(runs):
    """Anomalous pixels put under the best region: a run by itself agrees, beside two honest ones it does not."""
    run = runs["chance"]

    def perfect(record, histogram):
        top = max(record.regions.values())
        normal, anomalous, overlap = (
            int(histogram.normal.sum()),
            int(histogram.anomalous.sum()),
            float(histogram.overlap.sum()),
        )
        if not anomalous:
            return histogram
        counts = (np.array([normal, 0]), np.array([0, anomalous]), np.array([0.0, overlap]))
        return ScoreHistogram(np.array([0.0, top]), *counts, histogram.n_regions)

    moved = [perfect(record, histogram) for record, histogram in zip(run.predictions, run.histograms, strict=True)]
    forged = _measured_again(replace(run, histograms=moved))
    assert forged.metrics["mean"]["pixel_auroc"] > 0.95 > run.metrics["mean"]["pixel_auroc"]
    assert verify_run(forged) == []
    everybody = [runs["contrast"], runs["oracle"], run]
    assert verify_runs(everybody)[1] == []
    write_run(forged)
    kept, (problem,) = verify_runs(everybody)
    assert [one.dir for one in kept] == [one.dir for one in everybody[:2]]
    assert f"{run.dir}: runs of the same division disagree on the pixels of its regions" in problem


def test_counts_left_out_are_missed_by_the_others(runs):
    """Pixels of all images but one category set to nothing: the others have masks."""
    run = runs["chance"]
    kept = [
        histogram if record.category == "bolt" else None
        for record, histogram in zip(run.predictions, run.histograms, strict=True)
    ]
    forged = _measured_again(replace(run, histograms=kept))
    assert verify_run(forged) == []
    write_run(forged)
    _, (problem,) = verify_runs([runs["contrast"], runs["oracle"], run])
    assert f"{run.dir}: runs of the same images disagree: mask of " in problem


def test_a_submission_is_a_folder_not_a_link(runs, tmp_path):
    """A link could lead to anything."""
    run = runs["chance"]
    link = tmp_path / "link"
    link.symlink_to(run.dir)
    kept, (problem,) = verify_runs([read_run(link, predictions=False)])
    assert kept == []
    assert "is a link" in problem


def test_dense_rows_are_checked_as_far_as_counts_tell(runs):
    """Their image metrics exactly, their pixel metrics within two points."""
    run = runs["contrast (dense)"]
    mean = run.metrics["mean"]
    near = replace(run, metrics={**run.metrics, "mean": {**mean, "pixel_auroc": mean["pixel_auroc"] - 0.001}})
    far = replace(run, metrics={**run.metrics, "mean": {**mean, "pixel_auroc": mean["pixel_auroc"] - 0.1}})
    assert verify_run(near) == []
    assert any("pixel_auroc of the mean" in problem for problem in verify_run(far))


def test_the_leaderboard_leaves_out_what_does_not_verify(runs, lvlm_ad_command):
    """The honest rows are ranked, the other is named, and the status tells a pipeline."""
    run = runs["chance"]
    folder = run.dir.parent
    assert lvlm_ad_command("leaderboard", folder, "--verify").returncode == 0
    mean = {**run.metrics["mean"], "image_auroc": 0.999}
    write_run(replace(run, metrics={**run.metrics, "mean": mean}))
    assert lvlm_ad_command("leaderboard", folder, "-f", "json").returncode == 0
    done = lvlm_ad_command("leaderboard", folder, "-f", "json", "--verify")
    assert done.returncode == 2
    assert f"{run.dir.name}: metrics.json: image_auroc of the mean is 0.999" in done.stderr
    names = [entry["name"] for group in json.loads(done.stdout)["groups"] for entry in group["entries"]]
    assert "chance" not in names
    assert "contrast" in names


def test_scores_between_a_texts_digits_are_not_tampering(runs):
    """A score may differ from its text by less than the text's last digit."""
    run = runs["contrast"]
    score = run.predictions[0].image_score
    assert verify_run(changed(run, image_score=float(np.nextafter(score, 1)))) == []
