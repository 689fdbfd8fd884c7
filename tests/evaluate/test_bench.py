"""A bench from Python: what it returns, what it is told, and how much it holds."""

import gc
import sqlite3
import threading
import weakref
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest
from lvlm_ad_baselines.contrast import Contrast

import lvlm_ad
from lvlm_ad.baseline import DenseScores
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate import RunConfig, resolve
from lvlm_ad.evaluate.detectors import make_record
from lvlm_ad.evaluate.rows import RowImage, RowResult
from lvlm_ad.log import Progress
from lvlm_ad.methods import Finding
from lvlm_ad.runs import PredictionRecord, read_run

ROWS = ["contrast", "contrast (dense)", "chance", "chance (dense)", "oracle", "oracle (dense)"]


def test_a_bench_returns_its_runs_as_they_are_on_disk(finished, kept_data):
    """The reference rows, each with manifest, metrics, and a prediction for each image in the data set's order."""
    names = [run.manifest.row_name for run in finished]
    assert names == [name for name in ROWS if name in names]
    assert {"contrast", "contrast (dense)", "chance", "oracle"} <= set(names)
    ids = [sample.id for sample in lvlm_ad.load_dataset("folder", kept_data)]
    for run in finished:
        back = read_run(run.dir)
        assert [record.id for record in run.predictions] == ids
        assert (back.manifest, back.metrics, list(back.predictions)) == (run.manifest, run.metrics, run.predictions)
        assert len(back.histograms) == len(ids)
    assert finished.named("oracle").metrics["mean"]["image_auroc"] == 1.0


def test_all_rows_share_one_division(finished):
    """Every row through the regions has the same division, and so has each image's record; own maps have none."""
    hashes = {}
    for run in finished:
        divisions = tuple(record.division for record in run.predictions)
        hashes.setdefault(run.manifest.model.row, set()).add((run.manifest.division.hash, divisions))
    assert len(hashes["regions"]) == 1
    assert hashes["dense"] == {("", ("",) * 12)}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["whole file", "regions", "counts", "cells that are not there"])
def test_a_damaged_cache_is_made_again(red, kept_data, tmp_path, damage):
    """Wherever the damage is found, one note tells of it, and the numbers are those of a sound cache."""

    class Noting(Progress):
        notes = ()

        def note(self, text):
            self.notes = (*self.notes, text)

    once = {"models": [red], "reference_rows": False, "resamples": 0, "data": kept_data, "out": tmp_path}
    once["settings"] = {"image_size": 96, "division": "grid", "grid_rows": 4, "grid_columns": 4}
    before = lvlm_ad.bench(**once).named("red").metrics
    cache = tmp_path / "cache.sqlite"
    if damage == "whole file":
        cache.write_bytes(b"nothing" * 1000)
    else:
        with closing(sqlite3.connect(cache)) as database, database:
            new = {"regions": "x'00'", "counts": "'none'"}.get(damage, "(SELECT regions FROM divisions LIMIT 1)")
            database.execute(f"UPDATE divisions SET {'regions' if damage == 'regions' else 'counts'} = {new}")
    progress = Noting()
    after = lvlm_ad.bench(progress=progress, **once).named("red").metrics
    assert after["mean"] == before["mean"]
    (note,) = (one for one in progress.notes if "cache" in one)
    assert "cache.sqlite is renamed to cache.sqlite.damaged1" in note
    assert (tmp_path / "cache.sqlite.damaged1").is_file()


def test_runs_are_frames(finished):
    """A row an image, and a row a run, with the numbers as they are."""
    pytest.importorskip("pandas")
    run = finished.named("contrast")
    frame = run.to_frame()
    assert list(frame.columns) == list(PredictionRecord.model_fields)
    assert frame["image_score"].tolist() == [one.image_score for one in run.predictions]
    rows = finished.to_frame().set_index("model")
    assert rows.index.tolist() == [one.manifest.row_name for one in finished]
    assert rows.loc["contrast", "pixel_aupro"] == run.metrics["mean"]["pixel_aupro"]
    with pytest.raises(ConfigError, match=r"no run of 'contrst'\. Did you mean 'contrast'"):
        finished.named("contrst")


def test_texts_will_do_for_paths_numbers_and_one_model(kept_data, out):
    """As in a notebook; ``frame`` is the old name of ``reference_rows``."""
    old = RunConfig(models="oracle", data=str(kept_data), out=str(out), frame=False, limit="2")
    new = RunConfig(models=["oracle"], data=kept_data, out=out, reference_rows=False, limit=2)
    assert old == new
    assert old.with_options({"frame": True}).reference_rows is True
    assert old.with_options({"limit": 1}).reference_rows is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modles": []}, r"no field 'modles'\. Did you mean 'models'"),
        ({"models": [Contrast]}, r"models takes names, not <class .*Contrast.*FILE\.py:CLASS"),
        ({"limit": "many"}, "limit must be a whole number; got 'many'"),
        ({"engine": "rey"}, "engine must be 'local' or 'ray'; got 'rey'"),
        ({"concurrency": 0}, "concurrency must be 1 or more; got 0"),
        ({"max_cost": -1}, "max_cost must be 0 or more; got -1"),
        ({"resamples": 20}, "--resamples takes 0, or 50 or more, not 20"),
        ({"ray_address": "auto"}, "--ray-address needs --engine ray"),
        ({"settings": {"temperature": 1}}, "There is no setting 'temperature'"),
        ({"settings": {"grid_row": 1}}, "There is no setting 'grid_row'.*grid_rows"),
        ({"models": ["gpt-5-of-nobody"]}, "There is no model 'gpt-5-of-nobody'"),
        ({"models": ["vllm"], "settings": {"model": "m", "price_input": 1}, "max_cost": 1}, "that of vllm is unknown"),
    ],
)
def test_a_mistake_is_named_before_any_work(kept_data, options, message):
    """A wrong name, value or combination ends with one line that says what to change."""
    with pytest.raises(ConfigError, match=message):
        lvlm_ad.bench(**{"data": kept_data, **options})


@pytest.mark.parametrize("given", ["contrast", {"models": ["contrast"]}])
def test_bench_takes_a_config_or_its_fields(given):
    """Anything else as the first argument is answered with how to call it."""
    with pytest.raises(ConfigError, match=r"bench takes a RunConfig or its fields by name"):
        lvlm_ad.bench(given)


def test_settings_reach_their_owner(kept_data):
    """A setting goes to the protocol and to each model that has it."""
    plan = resolve(RunConfig(data=kept_data, settings={"n_segments": "30", "shots": "1"}))
    assert (plan.protocol.n_segments, plan.protocol.shots) == (30, 1)


def test_a_limit_keeps_both_labels(kept_data):
    """A limited run takes good and anomalous images in turn from each category."""
    dataset = resolve(RunConfig(data=kept_data, limit=2)).dataset
    labels = [(sample.category, sample.label) for sample in dataset]
    assert labels == [("bolt", False), ("bolt", True), ("nut1", False), ("nut1", True)]


def test_own_maps_of_one_category_at_most_are_held(grid, kept_data, out, monkeypatch):
    """However many categories there are, no more maps live than one has images and threads have under way."""
    alive, most, lock = set(), [], threading.Lock()

    def score(_self, view):
        pixels = np.full(view.image.shape[:2], 0.5)
        with lock:
            alive.add(id(pixels))
            most.append(len(alive))
        weakref.finalize(pixels, alive.discard, id(pixels))
        return DenseScores(0.5, pixels)

    monkeypatch.setattr(Contrast, "score", score)
    monkeypatch.setattr(Contrast, "concurrency", 2)
    lvlm_ad.bench(models=["contrast"], data=kept_data, settings=grid, out=out, reference_rows=False, resamples=0)
    gc.collect()
    assert not alive
    assert len(most) == 12
    assert max(most) <= 6 + 2 * 2


@pytest.fixture
def row(tmp_path):
    """A row of three images of one category, in progress; their final image scores are halves."""

    class Dataset(list):
        categories = ("bolt",)
        metrics = ()

    def sample_of(name):
        return SimpleNamespace(id=name, category="bolt")

    dataset = Dataset(sample_of(str(number)) for number in range(3))
    config = SimpleNamespace(on_failure="zero", out=tmp_path, resamples=0, fpr_limit=0.3)
    plan = SimpleNamespace(
        dataset=dataset,
        config=config,
        method_name="regions",
        protocol=SimpleNamespace(scoring="text"),
        threshold_images=[sample_of("other")],
        validation_images=(),
    )
    return RowResult(plan, "regions", lambda _, parts: [score / 2 for (score,) in parts])


def test_images_may_arrive_in_any_order(row):
    """Records are in the data set's order, with the category's final scores; reading them twice gives the same."""
    for name, score in (("2", 0.4), ("other", 1.0), ("0", 0.8), ("1", 0.6)):
        facts = {"is_labelled": True, "tags": {}, "part": ""}
        sample = SimpleNamespace(id=name, category="bolt", label=name != "0", defect="good", **facts)
        row.add(RowImage(make_record(sample, Finding(score)), parts=(score,)))
    for _ in range(2):
        assert [(one.id, one.image_score) for one in row.predictions] == [("0", 0.4), ("1", 0.3), ("2", 0.2)]
        assert [(one.id, one.image_score) for one in row.threshold_records] == [("other", 0.5)]
        assert len(row.histograms) == 3
    assert row.metrics(paid=False)["categories"]["bolt"]["image_auroc"] == 0.0


def test_public_functions():
    """The functions that the documentation names do what it says."""
    assert lvlm_ad.regions.divide(np.zeros((96, 96, 3), np.uint8), "grid").count == 256
    assert lvlm_ad.text2seg.parse("image anomaly score: 0.9; region 3: 0.7.", 5).regions == {3: 0.7}
    assert lvlm_ad.metrics.image_metrics([0, 1], [0.1, 0.2]).auroc == 1.0
    perfect = lvlm_ad.metrics.pixel_metrics([np.eye(4)], [np.eye(4)], fpr_limit=0.3)
    assert (perfect.auroc, perfect.ap, perfect.f1_max, perfect.aupro) == (1.0, 1.0, 1.0, 1.0)
    with pytest.raises(AttributeError, match="no attribute 'benhc'"):
        lvlm_ad.benhc  # noqa: B018 - the access is the test
    assert set(lvlm_ad.__all__) <= set(dir(lvlm_ad))
