"""The numbers behind the plots."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.report.run_plots import mean_curve, run_plots
from lvlm_ad.report.summary import curves_of, naming_rates, separations_of, times_of
from lvlm_ad.runs import PredictionRecord, Run


def record(label, score, regions=None, n_regions=4, **others):
    """A prediction with the given label, image score and scores of regions."""
    values = {
        "id": "a",
        "category": "a",
        "label": label,
        "defect": "x" if label else "good",
        "image_score": score,
        "regions": regions or {},
        "n_regions": n_regions,
        "status": "ok",
        "notes": [],
        "key": "",
        "text": "",
        "input_tokens": None,
        "output_tokens": None,
        "cost_usd": None,
        "seconds": 0.0,
        "division": "",
    }
    return PredictionRecord.model_validate(values | others)


def plots_of(records):
    """The plots of a run that has these predictions and no curves."""
    return {plot.name: plot for plot in run_plots(Run(Path(), None, {"mean": {}}, records), {})}


def test_the_area_under_a_curve_is_the_metric(kept_run):
    """What is drawn is what was measured: each metric is the area below its curve."""
    for category, curves in curves_of(kept_run).items():
        metrics = kept_run.metrics["categories"][category]
        for name in ("image", "pixel"):
            x, y = curves[f"{name}_roc"]
            assert np.trapezoid(y, x) == pytest.approx(metrics[f"{name}_auroc"], abs=1e-12)
            x, y = curves[f"{name}_pr"]
            assert (np.diff(x) * y[1:]).sum() == pytest.approx(metrics[f"{name}_ap"], abs=1e-12)
        x, y = curves["pro"]
        at, height = np.append(x[x <= 0.3], 0.3), np.append(y[x <= 0.3], np.interp(0.3, x, y))
        assert np.trapezoid(height, at) / 0.3 == pytest.approx(metrics["pixel_aupro"], abs=1e-12)


def test_the_thick_curve_has_the_mean_area(kept_run):
    """ROC curves are joined by straight lines, precision over recall by steps."""
    curves = list(curves_of(kept_run).values())
    x = (np.arange(20_000) + 0.5) / 20_000
    mean = kept_run.metrics["mean"]
    roc = mean_curve([one["pixel_roc"] for one in curves], x)
    assert roc.mean() == pytest.approx(mean["pixel_auroc"], abs=1e-4)
    pr = mean_curve([one["pixel_pr"] for one in curves], x, steps=True)
    assert pr.mean() == pytest.approx(mean["pixel_ap"], abs=1e-4)


def test_a_category_without_defects_has_no_curves(kept_run):
    """Undefined curves are left out."""
    good = [one.model_copy(update={"label": False}) for one in kept_run.predictions]
    assert curves_of(replace(kept_run, predictions=good, histograms=None)) == {"bolt": {}, "nut1": {}}


def test_separations_average_to_the_auroc(kept_run):
    """The fraction of the other kind that an image is separated from; its mean over a kind is the AUROC."""
    separations = separations_of(kept_run)
    for category, metrics in kept_run.metrics["categories"].items():
        for label in (True, False):
            own = [
                separation
                for separation, one in zip(separations, kept_run.predictions, strict=True)
                if one.category == category and one.label == label
            ]
            assert np.mean(own) == pytest.approx(metrics["image_auroc"])


def test_how_often_a_region_is_named_among_images_that_have_it():
    """Region 3 is in one of two images and named there: always. A score of 0 does not name a region."""
    records = [record(True, 1, {1: 0.5, 2: 0.0}, 2), record(True, 1, {1: 0.1, 3: 1.0}, 3)]
    assert naming_rates(records) == {1: 1.0, 2: 0.0, 3: 1.0}


@pytest.mark.parametrize(
    ("seconds", "median", "p95"),
    [
        ([0.012, 0.02, 0.04], "20 ms", "38 ms"),
        ([1.0, 2.0, 30.0], "2 s", "27.2 s"),
        ([0.1, 240.0, 600.0], "4 min", "9.4 min"),
        ([60_000.0], "1000 min", "1000 min"),
    ],
)
def test_times_have_a_suitable_unit(seconds, median, p95):
    """The one that suits the 95th percentile; only answers of a model count."""
    times = times_of([*(record(True, 1, key="k", seconds=one) for one in seconds), record(True, 1, seconds=9.0)])
    assert (times.text(times.median), times.text(times.p95)) == (median, p95)
    assert times_of([record(True, 1, seconds=9.0)]) is None


def test_plots_name_their_lines():
    """Median and mean are drawn with their value; where no region is named there is no plot of regions."""
    records = [
        record(True, 0.9, {1: 0.5}, 400, key="k", seconds=0.02),
        record(False, 0.1, {}, 400, key="k", seconds=0.03),
    ]
    plots = plots_of(records)
    assert "median, 25 ms" in plots["latency"].svg
    assert plots["latency"].alt == "Time to answer: half within 25 ms, 95 % within 29.5 ms."
    assert "mean, 0.12 %" in plots["numbers"].svg
    assert "1 good image, mean 0.10, 1 defective image, mean 0.90" in plots["scores"].alt
    assert "numbers" not in plots_of([record(True, 0.9, {1: 0.0})])
