"""A run is recomputed from its own files, and whatever does not follow from them is named."""

import gzip
import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lvlm_ad
from lvlm_ad.asking import AnswerStore
from lvlm_ad.evaluate.decide import DecisionSettings, alarms_of, decide
from lvlm_ad.evaluate.groups import group_metrics
from lvlm_ad.evaluate.images import Images
from lvlm_ad.evaluate.manifests import hash_of
from lvlm_ad.evaluate.measure import measure_category
from lvlm_ad.evaluate.summary import summary
from lvlm_ad.evaluate.verify import verify_run, verify_runs
from lvlm_ad.log import Progress
from lvlm_ad.metrics.histograms import ScoreHistogram, ScoreHistograms
from lvlm_ad.runs import find_runs, read_run, write_run
from lvlm_ad.store import open_answers

FROZEN = Path(__file__).parents[1] / "data" / "v0_1"

TALKER = '''
from lvlm_ad.backend import Answer, Capabilities, Usage

class Talker:
    """Declines every fifth question; the seventh answer is longer than what a run keeps."""
    capabilities = Capabilities(concurrency=1)
    count = 0

    def answer(self, request):
        self.count += 1
        score = f"0.{1 + self.count % 9}"
        text = f"image anomaly score: {score}; region 1: {score}"
        if self.count % 5 == 0:
            text = "I can't help with that."
        elif self.count == 7:
            text = "image anomaly score: 0.7; " + "x" * 30_000
        return Answer(text, usage=Usage(800, None, 20))
'''


@pytest.fixture(scope="session")
def asked(grid, kept_data, tmp_path_factory):
    """A run of a chat model with intervals, prices, refusals and an answer that is cut."""
    folder = tmp_path_factory.mktemp("asked")
    (folder / "talker.py").write_text(TALKER)
    settings = {**grid, "price_input": 2.5, "price_output": 10.0, "price_date": "2026-01-01"}
    (run,) = lvlm_ad.bench(
        models=str(folder / "talker.py"),
        data=kept_data,
        settings=settings,
        out=folder,
        resamples=50,
        reference_rows=False,
    )
    return read_run(run.dir)


class Notes(Progress):
    """Keeps the notes."""

    def __init__(self, notes):
        super().__init__()
        self.note = notes.append


def changed(run, at=0, **values):
    """The run with one prediction changed."""
    records = list(run.predictions)
    records[at] = records[at].model_copy(update=values)
    return replace(run, predictions=records)


def with_metrics(run, place, **values):
    """The run with some metrics of the mean, or of a category, or of the whole, changed."""
    metrics = json.loads(json.dumps(run.metrics))
    part = metrics["categories"][place] if place in metrics["categories"] else metrics[place] if place else metrics
    part |= values
    return replace(run, metrics=metrics)


def with_manifest(run, **parts):
    """A forger's run: the hash of its configuration follows from what the manifest now says."""
    manifest = run.manifest.model_copy(update=parts)
    facts = manifest.model_dump(mode="json")
    for name in ("schema_version", "config_hash", "versions", "started", "seconds"):
        del facts[name]
    return replace(run, manifest=manifest.model_copy(update={"config_hash": hash_of(facts)}))


def measured_again(run):
    """A forger's run: its metrics follow from what it now holds."""
    images = {}
    for record, histogram in zip(run.predictions, run.histograms, strict=True):
        images.setdefault(record.category, Images()).add(record.label, record.image_score, histogram)
    resamples = run.metrics["intervals"]["resamples"]
    results = {
        category: measure_category(scored, run.manifest.on_failure, category, resamples)
        for category, scored in images.items()
    }
    categories = {name: one.metrics for name, one in results.items()}
    settings = DecisionSettings.recorded(run.metrics)
    decisions, alarms = decide(settings, run.predictions), alarms_of(settings, run.predictions)
    own = {"mean": summary(results), "categories": categories, "decisions": decisions}
    counted = run.manifest.on_failure, run.manifest.fpr_limit, resamples
    groups = group_metrics(run.predictions, ScoreHistograms.of(run.histograms), *counted, alarms)
    return replace(run, metrics={**run.metrics, **own, **groups})


def test_honest_runs_agree(finished, asked, kept_data):
    """Every row of a bench follows from its files, from the stored answers and from the data set."""
    runs = [*finished, asked]
    assert verify_runs(runs) == (runs, [])
    assert verify_runs(runs, kept_data) == (runs, [])


def test_runs_of_version_0_1_agree(tmp_path):
    """What version 0.1.0 wrote is recomputed to the same numbers; that its intervals are not checked is said once."""
    shutil.copytree(FROZEN / "out", tmp_path / "out")
    for packed in (tmp_path / "out").glob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
    runs = [read_run(folder) for folder in find_runs(tmp_path / "out")]
    notes = []
    kept, problems = verify_runs(runs, progress=Notes(notes))
    assert (len(kept), problems) == (len(runs), [])
    assert [f"{len(runs)} of {len(runs)} verified runs" in note for note in notes] == [True]
    assert {run.manifest.model.kind for run in kept} == {"backend", "baseline", "maps"}


def test_every_kind_of_tampering_is_named(on_disk):
    """A score, an answer, a label, a metric, a count, the settings: each change alone is noticed."""
    run = on_disk["contrast"]
    histogram, manifest = run.histograms[0], run.manifest
    fewer = manifest.dataset.model_copy(update={"name": "mvtec", "whole": True})
    division = manifest.division.model_copy(update={"hash": "0" * 64})
    twice = [run.predictions[0], run.predictions[0], *run.predictions[2:]]
    cases = [
        ("scores or status are not those", changed(run, image_score=0.99)),
        ("scores or status are not those", changed(run, regions={1: 1.0})),
        ("counts do not fit", changed(run, [one.label for one in run.predictions].index(True), label=False)),
        ("image_auroc of bolt", changed(run, label=True)),
        ("pixel_aupro of bolt is 0.99", with_metrics(run, "bolt", pixel_aupro=0.99)),
        ("image_auroc of the mean", with_metrics(run, "mean", image_auroc=0.5)),
        ("n_images of the mean", with_metrics(run, "mean", n_images=6000)),
        ("undefined of the mean", with_metrics(run, "mean", undefined={"image_ap": "the best model"})),
        ("the categories are not those", with_metrics(run, "categories", extra=run.metrics["categories"]["bolt"])),
        ("coverage", with_metrics(run, "", coverage=0.5)),
        ("answers", with_metrics(run, "answers", ok=0)),
        ("interval of bolt", with_metrics(run, "intervals", resamples=0)),
        ("more than any bench draws", with_metrics(run, "intervals", resamples=10**9)),
        ("pixels.npz is missing", replace(run, histograms=None)),
        (
            "counts do not fit the predicted scores",
            replace(run, histograms=[replace(histogram, scores=histogram.scores / 2), *list(run.histograms)[1:]]),
        ),
        ("hash", replace(run, manifest=manifest.model_copy(update={"seed": 7}))),
        ("the whole of mvtec has 1725 images", with_manifest(run, dataset=fewer)),
        ("the division is not that of the predictions", with_manifest(run, division=division)),
        ("an image occurs twice", replace(run, predictions=twice)),
    ]
    for says, case in cases:
        assert any(says in problem for problem in verify_run(case)), says


def test_scores_between_a_texts_digits_are_not_tampering(on_disk):
    """A score may differ from its text by less than the text's last digit."""
    run = on_disk["contrast"]
    score = run.predictions[0].image_score
    assert verify_run(changed(run, image_score=float(np.nextafter(score, 1)))) == []


def test_scores_need_their_answer(asked):
    """Scores without a text, from a refusal, or from a text that is cut are not trusted; the stored answer decides."""
    (problem,) = verify_run(asked)
    assert "the answer is cut" in problem
    refused = next(at for at, one in enumerate(asked.predictions) if one.image_score is None)
    cases = [
        changed(asked, text=""),
        changed(asked, refused, image_score=1.0, status="ok"),
        changed(asked, refused, status="ok"),
        changed(asked, outcome="truncated", image_score=1.0),
    ]
    for case in cases:
        assert any("scores or status are not those of the answer's text" in one for one in verify_run(case))
    with closing(open_answers(asked.dir.parent / "answers.sqlite")) as database:
        answers = AnswerStore(database)
        assert verify_run(asked, answers) == []
        other = changed(asked, text="image anomaly score: 0.9; region 1: 0.9", image_score=0.9, regions={1: 0.9})
        assert any("not the one in answers.sqlite" in one for one in verify_run(other, answers))


def test_money_tokens_and_intervals_are_recomputed(asked):
    """They decide ranks and the cost plot."""
    mean = asked.metrics["mean"]
    full = {"image_auroc": [0.9, 1.0]}
    free = [one.model_copy(update={"cost_usd": 0.0}) for one in asked.predictions]
    cases = [
        ("usage", with_metrics(asked, "usage", cost_usd=0.0)),
        ("usage", with_metrics(asked, "usage", cost_usd=None)),
        ("usage", with_metrics(asked, "usage", output_tokens=1)),
        ("usage", with_metrics(asked, "usage", seconds=0.0)),
        ("own price", replace(asked, predictions=free)),
        ("outcomes", with_metrics(asked, "", outcomes={"refused": 12})),
        (
            "interval of the mean",
            with_metrics(asked, "mean", interval={**mean["interval"], "image_auroc": [0.99, 1.0]}),
        ),
        ("interval of the mean", with_metrics(asked, "mean", interval={})),
        ("interval_over_categories of the mean", with_metrics(asked, "mean", interval_over_categories=full)),
        ("no_interval of bolt", with_metrics(asked, "bolt", no_interval={"image_auroc": "too good"})),
        ("few_images of bolt", with_metrics(asked, "bolt", few_images=[])),
        ("interval of bolt", with_metrics(asked, "bolt", interval={"image_auroc": [0, 1]})),
        ("range of the mean", with_metrics(asked, "mean", range={})),
    ]
    for says, case in cases:
        assert any(says in problem for problem in verify_run(case)), says


def test_own_maps_are_checked_as_far_as_counts_tell(on_disk):
    """Image metrics exactly, pixel metrics of a category within two points, the mean as that of the categories."""
    run = on_disk["contrast (dense)"]
    value = run.metrics["categories"]["bolt"]["pixel_auroc"]
    mean = run.metrics["mean"]["pixel_auroc"]
    near, far = (
        with_metrics(with_metrics(run, "bolt", pixel_auroc=value - by), "mean", pixel_auroc=mean - by / 2)
        for by in (0.001, 0.1)
    )
    assert not any("pixel_auroc of" in problem for problem in verify_run(near))
    assert any("pixel_auroc of bolt" in problem for problem in verify_run(far))
    assert any(
        "pixel_auroc of the mean" in one for one in verify_run(with_metrics(run, "mean", pixel_auroc=mean - 0.1))
    )


@pytest.fixture
def copied(finished, tmp_path):
    """The folder of a bench, which a test may change."""
    shutil.copytree(finished[0].dir.parent, tmp_path / "copied")
    return {run.manifest.row_name: run for run in map(read_run, find_runs(tmp_path / "copied"))}


def perfect(record, histogram):
    """All anomalous pixels under the highest score."""
    normal, anomalous = int(histogram.normal.sum()), int(histogram.anomalous.sum())
    counts = (np.array([normal, 0]), np.array([0, anomalous]), np.array([0.0, float(histogram.overlap.sum())]))
    scores = np.array([0.0, max(record.regions.values())])
    return ScoreHistogram(scores, *counts, histogram.n_regions) if anomalous else histogram


def test_the_data_set_decides_labels_and_pixels(copied, kept_data):
    """A forged run that agrees with itself does not agree with the data set: labels, moved pixels, lost masks."""
    run = copied["chance"]
    pairs = list(zip(run.predictions, run.histograms, strict=True))
    moved = [perfect(record, histogram) for record, histogram in pairs]
    lost = [histogram if record.category == "bolt" else None for record, histogram in pairs]
    good = next(at for at, one in enumerate(run.predictions) if not one.label)
    for says, forged in (
        ("pixel counts are not those", replace(run, histograms=moved)),
        ("pixel counts are not those", replace(run, histograms=lost)),
        ("label, kind of defect, object", changed(run, good, label=True)),
    ):
        write_run(measured_again(forged))
        assert verify_run(read_run(run.dir)) == []
        kept, (problem,) = verify_runs(list(copied.values()), kept_data)
        assert says in problem
        assert problem.startswith(str(run.dir))
        assert [one.dir for one in kept] == [one.dir for one in copied.values() if one.dir != run.dir]


def test_each_run_is_compared_with_its_own_data_set(copied, kept_data, tmp_path):
    """Folders by name: a forged label is found where the data set is given, wherever that is in the list."""
    run, demo = copied["chance"], tmp_path / "demo"
    name = run.manifest.dataset.name
    settings = {"image_size": 96, "division": "grid", "grid_rows": 4, "grid_columns": 4}
    others = lvlm_ad.bench(dataset="demo", data=demo, settings=settings, out=tmp_path / "other", limit=2, resamples=0)
    good = next(at for at, one in enumerate(run.predictions) if not one.label)
    write_run(measured_again(changed(run, good, label=True)))
    runs = [*copied.values(), *others]
    assert verify_runs(runs, {"demo": demo}) == (runs, [])
    for data in ({name: kept_data}, {name: kept_data, "demo": demo}):
        kept, (problem,) = verify_runs(runs, data)
        assert "label, kind of defect, object" in problem
        assert kept == [one for one in runs if one is not run]
    assert len(verify_runs(runs, {name: kept_data, "demo": kept_data})[1]) == 1 + len(others)


def test_own_images_in_several_folders_are_found_by_their_runs(copied, kept_data, tmp_path):
    """All are read as one layout, "folder": a run is compared with the folder that has its images, or none has them."""
    run = copied["chance"]
    name, empty, other = run.manifest.dataset.name, tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    shutil.copytree(kept_data, other)
    next(other.rglob("good/*.png")).unlink()
    assert verify_runs([run], {name: [empty, other, kept_data]}) == ([run], [])
    kept, (problem,) = verify_runs([run], {name: [empty, other]})
    assert kept == []
    assert problem.startswith(f"{run.dir}: ")
    assert str(empty) in problem
    assert str(other) in problem


@pytest.mark.parametrize("how", ["answers", "memory", "nested"])
def test_a_run_that_cannot_be_verified_hides_no_other(copied, how, monkeypatch):
    """A store of answers that is none, memory that is not there, values in values: the other runs are verified."""
    run, folder = copied["chance"], copied["chance"].dir.parent
    others = [one for one in copied.values() if one is not run]
    if how == "answers":
        (folder / "one").mkdir()
        run = replace(run, dir=run.dir.rename(folder / "one" / "chance"))
        (folder / "one" / "answers.sqlite").write_bytes(b"not a store")
    elif how == "memory":

        def read(place):
            if place == run.dir:
                raise MemoryError
            return read_run(place)

        monkeypatch.setattr("lvlm_ad.evaluate.verify.read_run", read)
    else:
        text = (run.dir / "run.json").read_text()
        (run.dir / "run.json").write_text(
            text.replace('"protocol": {', f'"protocol": {{"x": {"[" * 99 + "]" * 99},', 1)
        )
    kept, (problem,) = verify_runs([run, *others])
    assert kept == others
    assert run.dir.name in problem or str(run.dir.parent) in problem


def test_the_leaderboard_leaves_out_what_does_not_verify(copied, lvlm_ad_command, tmp_path):
    """The honest rows are ranked, the other is named, and the status tells a pipeline. A link is no submission."""
    run = copied["chance"]
    folder = run.dir.parent
    assert lvlm_ad_command("leaderboard", folder, "--verify").returncode == 0
    write_run(with_metrics(run, "mean", image_auroc=0.999))
    (folder / "link").symlink_to(copied["contrast"].dir)
    done = lvlm_ad_command("leaderboard", folder, "-f", "json", "--verify")
    assert done.returncode == 2
    assert f"{run.dir.name}: metrics.json: image_auroc of the mean is 0.999" in done.stderr
    assert f"{folder / 'link'} is a link" in done.stderr
    names = [entry["name"] for group in json.loads(done.stdout)["groups"] for entry in group["entries"]]
    assert "chance" not in names
    assert "contrast" in names
    alone = lvlm_ad_command("leaderboard", folder, "--data", tmp_path)
    assert (alone.returncode, "--data needs --verify" in alone.stderr) == (2, True)
