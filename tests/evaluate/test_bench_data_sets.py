"""Every published data set, on a miniature tree of it: a model behind an endpoint beside a baseline and the oracle."""

import runpy

import pytest

import lvlm_ad
from lvlm_ad.datasets.readers import READERS
from lvlm_ad.evaluate.verify import verify_runs
from lvlm_ad.report.run_pages import write_report
from lvlm_ad.runs import read_run

TREES = {
    "loco": "loco",
    "autovi": "autovi",
    "mvtec-ad-2": "ad2",
    "real-iad": "realiad",
    "real-iad-d3": "realiad_d3",
    "real-iad-variety": "realiad_variety",
    "btad": "btad/BTech_Dataset_transformed",
    "mpdd": "mpdd",
    "dtd-synthetic": "dtd_synthetic",
    "goodsad": "goodsad",
    "ksdd": "ksdd",
    "ksdd2": "ksdd2",
    "dagm": "dagm",
    "bmad": "bmad",
    "yes-no": "yesno",
    "head-ct": "headct",
    "kaputt": "kaputt",
    "meta-json": "meta",
    "mmad": "mmad",
}
"""Data set -> the folder of a right tree."""
PAGES = {"loco", "mvtec-ad-2", "real-iad", "yes-no"}
"""Data sets whose pages show what no other's do: groups, lights, views, no masks."""
OWN = {"demo", "folder", "mvtec", "visa", "mmad-similar"}
"""Data sets that have tests of their own, or the tree of another."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trees(shared, tmp_path_factory):
    """The folder of all trees."""
    folder = tmp_path_factory.mktemp("trees")
    runpy.run_path(str(shared / "tools" / "mk_layouts.py"))["make"](folder)
    return folder


def test_every_data_set_has_a_tree():
    """A new reader needs a tree here."""
    assert set(TREES) | OWN == set(READERS)


@pytest.mark.parametrize("name", TREES)
def test_a_data_set_is_measured_from_its_tree_to_its_pages(name, trees, red, endpoint, tmp_path, monkeypatch):
    """All images are answered; the authors' metrics have a value or a reason; the runs can be verified and shown."""
    if name == "kaputt":
        pytest.importorskip("pyarrow")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    endpoint.reply = lambda _: "image anomaly score: 0.7; region 2: 0.9"
    grid = {"division": "grid", "grid_rows": 3, "grid_columns": 3, "image_size": 96}
    root = trees / TREES[name]
    runs = lvlm_ad.bench(
        models=["gpt-4v", red, "oracle"],
        reference_rows=False,
        dataset=name,
        data=root,
        out=tmp_path,
        resamples=0,
        settings={"base_url": endpoint.url, "max_retries": 0, **grid},
    )
    assert {run.metrics["coverage"] for run in runs} == {1.0}
    for run in runs:
        mean = run.metrics["mean"]
        for metric in READERS[name].metrics:
            if metric != "choice_accuracy":
                assert mean.get(metric, mean["undefined"].get(metric)) is not None, (metric, mean)
    assert verify_runs([read_run(run.dir) for run in runs], root)[1] == []
    assert endpoint.asked
    if name in PAGES:
        write_report(runs[0], tmp_path / "report")
        assert name in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
