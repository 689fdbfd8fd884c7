"""The numbers behind the plots."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.report.figures import mean_curve, run_plots
from lvlm_ad.report.summary import curves_of, named_regions, placed, reliability_of, times_of
from lvlm_ad.runs import PredictionRecord, Run


def record(label, score, regions=None, n_regions=4, **others):
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
    """The plots of a run that has these answers and no curves."""
    return run_plots(Run(Path(), None, {"mean": {}}, records), {})


def test_the_area_under_a_curve_is_the_metric(kept_run):
    """What is drawn is what was measured: areas under the ROC curves are the AUROCs."""
    for category, curves in curves_of(kept_run).items():
        metrics = kept_run.metrics["categories"][category]
        assert np.trapezoid(curves.image_roc[1], curves.image_roc[0]) == pytest.approx(
            metrics["image_auroc"], abs=1e-12
        )
        assert np.trapezoid(curves.pixel_roc[1], curves.pixel_roc[0]) == pytest.approx(
            metrics["pixel_auroc"], abs=1e-12
        )
        within = curves.pro[0] <= 0.3
        at = np.append(curves.pro[0][within], 0.3)
        area = np.trapezoid(np.append(curves.pro[1][within], np.interp(0.3, *curves.pro)), at) / 0.3
        assert area == pytest.approx(metrics["pixel_aupro"], abs=1e-12)
        steps = np.diff(curves.pixel_pr[0]) * curves.pixel_pr[1][1:]
        assert steps.sum() == pytest.approx(metrics["pixel_ap"], abs=1e-12)


def test_the_thick_curve_has_the_mean_area(kept_run):
    """Of a ROC curve along straight lines, of precision over recall along steps."""
    curves = list(curves_of(kept_run).values())
    at = (np.arange(20_000) + 0.5) / 20_000
    mean = kept_run.metrics["mean"]
    roc = mean_curve([one.pixel_roc for one in curves], at)
    assert roc.mean() == pytest.approx(mean["pixel_auroc"], abs=1e-4)
    for name in ("image", "pixel"):
        pr = mean_curve([getattr(one, f"{name}_pr") for one in curves], at, steps=True)
        assert pr.mean() == pytest.approx(mean[f"{name}_ap"], abs=1e-4)


def test_a_category_without_defects_has_no_curves(kept_run):
    """Undefined, not a diagonal."""
    good = [one.model_copy(update={"label": False}) for one in kept_run.predictions]
    curves = curves_of(replace(kept_run, predictions=good, histograms=None))
    assert {(one.image_roc, one.pixel_roc) for one in curves.values()} == {(None, None)}


def test_reliability_by_hand():
    """0.92 and 0.98 with one defect: bin mean 0.95, rate 0.5; 0.05 without: 0.05, 0. Error (2 * 0.45 + 0.05) / 3."""
    found = reliability_of([record(True, 0.92), record(False, 0.98), record(False, 0.05), record(True, None)])
    assert found.scores == pytest.approx([0.05, 0.95])
    assert found.rates == pytest.approx([0.0, 0.5])
    assert list(found.counts) == [1, 2]
    assert found.error == pytest.approx(0.95 / 3)
    assert reliability_of([record(True, None)]) is None
    assert reliability_of([record(True, 1.0)]).counts == [1]


def test_how_often_a_region_is_named_where_it_exists():
    """Region 3 exists in one of two images and is named there: always. A score of 0 names nothing."""
    records = [record(True, 1, {1: 0.5, 2: 0.0}, 2), record(True, 1, {1: 0.1, 3: 1.0}, 3)]
    assert named_regions(records) == ([1, 2, 3], [1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("seconds", "median", "late"),
    [
        ([0.012, 0.02, 0.04], "20 ms", "38 ms"),
        ([1.0, 2.0, 30.0], "2 s", "27.2 s"),
        ([0.1, 240.0, 600.0], "4 min", "9.4 min"),
        ([60_000.0], "1000 min", "1000 min"),
    ],
)
def test_times_have_a_handy_unit(seconds, median, late):
    """That of the 95th percentile; answers that no model gave do not count."""
    records = [record(True, 1, key="k", seconds=one) for one in seconds]
    found = times_of([*records, record(True, 1, seconds=9.0)])
    assert (found.text(found.median), found.text(found.late)) == (median, late)
    assert times_of([record(True, 1, seconds=9.0)]) is None


def test_plots_name_their_lines():
    """Median and mean are drawn with their value; where no region is named there is no plot, and one image is one."""
    records = [
        record(True, 0.9, {1: 0.5}, 400, key="k", seconds=0.02),
        record(False, 0.1, {}, 400, key="k", seconds=0.03),
    ]
    plots = {plot.name: plot for plot in plots_of(records)}
    assert "median, 25 ms" in plots["latency"].svg
    assert "time to answer, ms" in plots["latency"].svg
    assert plots["latency"].alt == "Time to answer: half within 25 ms, 95 % within 29.5 ms."
    assert "mean, 0.12 %" in plots["numbers"].svg
    assert "in 0.12 % of images on average" in plots["numbers"].alt
    assert "1 good image, mean 0.10, 1 defective image, mean 0.90" in plots["scores"].alt
    assert "numbers" not in {plot.name for plot in plots_of([record(True, 0.9, {1: 0.0})])}


def test_where_an_image_stands(kept_run):
    """The fraction of the other kind that it stands on the right side of; its mean over a kind is the AUROC."""
    places = placed(kept_run)
    for category, metrics in kept_run.metrics["categories"].items():
        own = [
            place
            for place, one in zip(places, kept_run.predictions, strict=True)
            if one.category == category and one.label
        ]
        assert np.mean(own) == pytest.approx(metrics["image_auroc"])
