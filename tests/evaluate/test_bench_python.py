"""The Python interface: what users call without the command line."""

import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import lvlm_ad
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate import RunConfig, resolve
from lvlm_ad.metrics import image_metrics, pixel_metrics
from lvlm_ad.runs import PredictionRecord, Runs, read_run


def test_bench_returns_the_runs(small_data, tmp_path):
    """Texts will do for paths and for a single model; a run holds manifest, metrics and predictions, as on disk."""
    (run,) = lvlm_ad.bench(models="oracle", data=str(small_data), out=str(tmp_path / "out"), frame=False)
    assert run.manifest.model.name == "oracle"
    assert run.metrics["mean"]["image_auroc"] == 1.0
    assert [record.id for record in run.predictions] == [s.id for s in lvlm_ad.load_dataset("folder", small_data)]
    assert repr(run) == f"<Run oracle on {run.manifest.dataset.name}: 12 images, in {run.dir}>"
    back = read_run(run.dir)
    assert (back.manifest, back.metrics, list(back.predictions)) == (run.manifest, run.metrics, list(run.predictions))


def test_runs_are_frames_and_tables(small_data, tmp_path):
    """A row an image, and a row a run, with the numbers as they are; in a notebook as tables, of any name."""
    pytest.importorskip("pandas")
    runs = lvlm_ad.bench(data=small_data, out=tmp_path, resamples=0)
    run = runs.named("contrast")
    frame = run.to_frame()
    assert list(frame.columns) == list(PredictionRecord.model_fields)
    assert frame["id"].tolist() == [one.id for one in run.predictions]
    assert frame.groupby("label")["image_score"].max()[True] == max(
        one.image_score for one in run.predictions if one.label
    )
    rows = runs.to_frame().set_index("model")
    assert rows.index.tolist() == [one.manifest.row_name for one in runs]
    assert rows.loc["oracle", "image_auroc"] == 1.0
    assert rows.loc["contrast", "pixel_aupro"] == run.metrics["mean"]["pixel_aupro"]
    assert rows.loc["contrast", "dir"] == str(run.dir)
    shown = ET.fromstring(run._repr_html_())
    cells = ["".join(cell.itertext()) for cell in shown.findall("tbody/tr")[-1]]
    assert cells[:2] == ["mean", f"{100 * run.metrics['mean']['image_auroc']:.1f}"]
    with pytest.raises(ConfigError, match=r"no run of 'contrst'\. Did you mean 'contrast'"):
        runs.named("contrst")
    model = run.manifest.model.model_copy(update={"name": "<script>"})
    hostile = replace(run, manifest=run.manifest.model_copy(update={"model": model}))
    assert "<script>" not in Runs([hostile])._repr_html_() + hostile._repr_html_()


def test_all_models_are_cut_alike(small_data, tmp_path):
    """Every row through the regions carries the same division hash, and each image's record the same one."""
    runs = lvlm_ad.bench(data=small_data, out=tmp_path)
    through = [run for run in runs if run.manifest.model.row == "regions"]
    assert len({run.manifest.division.hash for run in through}) == 1
    assert len({tuple(record.division for record in run.predictions) for run in through}) == 1
    other = lvlm_ad.bench(data=small_data, out=tmp_path, settings={"division": "grid"})
    assert other[0].manifest.division.hash != runs[0].manifest.division.hash


def test_a_price_is_no_other_run(small_data, tmp_path, endpoint):
    """The price does not enter the run's identity; a sampling option does."""
    config = RunConfig(models=("gpt-4v",), data=small_data, out=tmp_path, frame=False)
    endpoint.reply = lambda _: "image anomaly score: 0.1."
    settings = {"base_url": endpoint.url}

    def folder(**more):
        return lvlm_ad.bench(config, settings={**settings, **more}, limit=1)[0].dir

    first = folder()
    assert folder(price_input=1, price_output=1) == first
    assert folder(temperature=1) != first


def test_settings_reach_what_knows_them(small_data):
    """A setting goes to the protocol or to each model that has it; one that nothing has is an error."""
    plan = resolve(RunConfig(data=small_data, settings={"n_segments": "30", "shots": "1"}))
    assert (plan.protocol.n_segments, plan.protocol.shots) == (30, 1)
    with pytest.raises(ConfigError, match=r"Nothing has a setting 'temperature'"):
        resolve(RunConfig(data=small_data, settings={"temperature": "1"}))


def test_a_limit_keeps_both_labels(small_data):
    """A limited run takes good and anomalous images in turn from each category."""
    dataset = resolve(RunConfig(data=small_data, limit=2)).dataset
    assert [(sample.category, sample.label) for sample in dataset] == [
        ("bolt", False),
        ("bolt", True),
        ("nut1", False),
        ("nut1", True),
    ]


def test_public_functions():
    """The functions that the documentation names do what it says."""
    assert lvlm_ad.regions.divide(np.zeros((96, 96, 3), np.uint8), "grid").count == 256
    assert lvlm_ad.text2seg.parse("image anomaly score: 0.9; region 3: 0.7.", 5).regions == {3: 0.7}
    assert lvlm_ad.metrics.image_metrics([0, 1], [0.1, 0.2]) == image_metrics([0, 1], [0.1, 0.2])
    perfect = pixel_metrics([np.eye(4)], [np.eye(4)], fpr_limit=0.3)
    assert (perfect.auroc, perfect.ap, perfect.f1_max, perfect.aupro) == (1.0, 1.0, 1.0, 1.0)
    with pytest.raises(AttributeError, match="no attribute 'benhc'"):
        lvlm_ad.benhc  # noqa: B018 - the access is the test


def test_the_public_names_are_listed():
    """Before any of them is used, so that notebooks complete them."""
    code = "import lvlm_ad; print(*dir(lvlm_ad))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(lvlm_ad.__all__) <= set(done.stdout.split())
