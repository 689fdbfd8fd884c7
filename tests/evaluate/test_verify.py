"""A run that was tampered with, or is incomplete, is found out from its own files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad import bench
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.runs import read_run, write_run


@pytest.fixture
def runs(small_data, tmp_path):
    """Rows of contrast through the regions and by its own map, of chance and oracle, on disk."""
    settings = {"image_size": 96, "n_segments": 12, "min_area": 0}
    made = bench(data=small_data, settings=settings, out=tmp_path / "runs", resamples=0)
    return {run.manifest.row_name: read_run(run.dir) for run in made}


def test_honest_runs_agree(runs, tmp_path, small_data):
    """Every row of a bench, binary maps too, says what its answers say."""
    settings = {"image_size": 96, "n_segments": 12, "min_area": 0, "binary": True}
    flat, *_ = bench(
        models=["contrast"], frame=False, data=small_data, settings=settings, out=tmp_path / "b", resamples=0
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
    tally = run.tallies[0]
    cases = {
        "scores are not those": changed(run, image_score=0.99),
        "scores are not those of": changed(run, regions={1: 1.0}),
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
        "pixels.npz is missing": replace(run, tallies=None),
        "counts do not fit the predicted scores": replace(
            run, tallies=[replace(tally, scores=tally.scores / 2), *run.tallies[1:]]
        ),
        "pixels.npz: 11 images": replace(run, tallies=run.tallies[1:]),
        "hash": replace(run, manifest=run.manifest.model_copy(update={"seed": 7})),
    }
    for says, case in cases.items():
        assert any(says in problem for problem in verify_run(case)), says


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
