"""Benches of methods that name shapes, or no places: what their files hold, and what verify finds in them."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

import lvlm_ad
from lvlm_ad.datasets.images import resize_mask
from lvlm_ad.evaluate.measure_shapes import metrics_of_places
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.log import Progress
from lvlm_ad.metrics import pixel_metrics, shape_measures
from lvlm_ad.metrics.shapes import SHAPE_METRICS
from lvlm_ad.regions.shapes import shapes_from_json
from lvlm_ad.report import run_pages
from lvlm_ad.report.decisions import decisions_of
from lvlm_ad.report.run_pages import write_report
from lvlm_ad.runs import METRIC_NAMES, read_run

SIZE = (96, 96)
METHODS = ("boxes", "points", "yes-no", "zoom")


@pytest.fixture(scope="module")
def oracles(kept_data, tmp_path_factory):
    """The row "oracle" of some methods, as it is on disk."""
    out = tmp_path_factory.mktemp("oracles")
    rows = {}
    for method in METHODS:
        runs = lvlm_ad.bench(
            models=["oracle"],
            data=kept_data,
            method=method,
            settings={"image_size": SIZE[0], "division": "grid"},
            out=out,
            resamples=50,
            reference_rows=False,
        )
        (run,) = [run for run in runs if run.manifest.model.name == "oracle"]
        rows[method] = read_run(run.dir)
    return rows


def test_a_run_holds_the_measures_of_each_image(oracles, kept_data):
    """Each image's are those of its shapes, painted pixel by pixel; the metrics are the means of the categories."""
    run = oracles["boxes"]
    samples = {sample.id: sample for sample in lvlm_ad.load_dataset("folder", kept_data)}
    maps, masks = [], []
    for record in run.predictions:
        mask = resize_mask(samples[record.id].mask, SIZE)
        union = np.zeros(SIZE, dtype=bool)
        for shape in shapes_from_json(record.shapes):
            union |= shape.mask(*SIZE)
        assert record.measures == shape_measures(union, mask)
        maps.append(union.astype(float))
        masks.append(mask)
    for category, entry in run.metrics["categories"].items():
        chosen = [at for at, record in enumerate(run.predictions) if record.category == category]
        ious = [run.predictions[at].measures.get("iou_mask") for at in chosen]
        assert entry["shapes"]["miou_mask"] == pytest.approx(np.mean([one for one in ious if one is not None]))
        pixels = pixel_metrics([masks[at] for at in chosen], [maps[at] for at in chosen])
        for name in ("auroc", "ap", "f1_max", "aupro"):
            assert entry[f"pixel_{name}"] == pytest.approx(getattr(pixels, name), abs=1e-12)
    assert run.metrics["mean"]["shapes"]["miou_box"] == 1


def test_points_in_defects_find_them_all(oracles):
    """The oracle's points lie in the defects, one in each; their discs overlap the masks in part."""
    entry = oracles["points"].metrics["mean"]["shapes"]
    assert (entry["point_hit"], entry["found"], entry["false_alarms"]) == (1, 1, 0)
    assert 0 < entry["miou_mask"] < 1


def test_a_method_without_places_has_no_pixel_metrics(oracles):
    """Its metrics of pixels say that there is no map; it has no metrics of shapes, and no image has a measure."""
    run = oracles["yes-no"]
    assert "shapes" not in run.metrics["mean"]
    assert not any(record.measures for record in run.predictions)
    assert run.metrics["mean"]["image_auroc"] == 1
    for name in METRIC_NAMES[3:]:
        assert run.metrics["mean"][name] is None
        assert run.metrics["mean"]["undefined"][name].endswith("the method gives no map")


@pytest.mark.slow
def test_the_page_of_a_run_has_its_metrics_of_shapes(oracles, tmp_path):
    """A table by category with the mean; a method without places has no such table."""
    page = write_report(oracles["points"], tmp_path / "page", pictures=False).read_text()
    assert page.count("Point hits</th>") == 1
    assert "Metrics of shapes by category" in page
    mapless = oracles["yes-no"]
    assert run_pages._report(mapless, decisions_of(mapless))["shape_titles"] == {}


def problems(run, data=None):
    """What verify says of a run."""
    with ExitStack() as stack:
        sources = None if data is None else find_sources(run, data, Progress(), stack)
        return verify_run(run, None, sources)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("with_data", [False, True])
def test_numbers_that_are_right_are_verified(oracles, kept_data, method, with_data):
    """Verify finds nothing wrong, from the run's files alone and with the data set."""
    assert problems(oracles[method], kept_data if with_data else None) == []


def changed(run, **changes):
    """The run with one defective image's record changed."""
    at = next(at for at, record in enumerate(run.predictions) if record.label)
    records = list(run.predictions)
    records[at] = records[at].model_copy(update=changes)
    return replace(run, predictions=records)


@pytest.mark.parametrize(
    ("measures", "without_data", "with_data"),
    [
        ({"iou_box": 1.0, "iou_mask": 0.4}, "do not fit the pixel counts", "not those of the data set's masks"),
        ({"iou_box": 0.4, "iou_mask": 1.0}, "miou_box", "not those of the data set's masks"),
        ({}, "do not fit the pixel counts", "not those of the data set's masks"),
        ({"false_alarm": 0.0}, "do not fit the pixel counts", "not those of the data set's masks"),
    ],
)
def test_measures_that_are_wrong_are_named(oracles, kept_data, measures, without_data, with_data):
    """An IoU that the pixel counts contradict, or the metrics, or the data set, is a problem."""
    run = changed(oracles["boxes"], measures=measures)
    assert any(without_data in one for one in problems(run))
    assert any(with_data in one for one in problems(run, kept_data))


def test_shapes_that_are_wrong_are_named(oracles, kept_data):
    """A box moved, a shape that is none, and a score that no pixel has are each reported."""
    run = oracles["boxes"]
    moved = changed(run, shapes=[{"box": [0, 0, 5, 5], "score": 1.0}])
    assert any("not those of the data set's masks" in one for one in problems(moved, kept_data))
    broken = changed(run, shapes=[{"box": [5, 0, 0, 5], "score": 1.0}])
    assert any("has no area" in one for one in problems(broken, kept_data))
    unpainted = changed(run, shapes=[{"box": [0, 0, 5, 5], "score": 0.5}])
    assert any("do not fit the predicted scores" in one for one in problems(unpainted))


def test_the_metrics_of_shapes_belong_to_places():
    """Regions and bare scores have none; points have two more than boxes."""
    assert metrics_of_places("regions") == metrics_of_places("") == ()
    assert metrics_of_places("cells") == tuple(SHAPE_METRICS)
    assert metrics_of_places("points") == (*SHAPE_METRICS, "point_hit", "found")
