"""Intervals, ranks, costs, decisions and metrics of boxes and of data sets equal stored numeric cases."""

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from lvlm_ad.regions.shapes import Box
from lvlm_ad.text2seg import paint_shapes

DOOR = runpy.run_path(str(Path(__file__).with_name("shared_cases.py")))
CASES = Path(__file__).parents[2] / "shared" / "cases" / "statistics.json"


def stored_cases():
    """Every case; where the folder is absent, one that is skipped."""
    if not CASES.is_file():
        return [{"id": "absent"}]
    return json.loads(CASES.read_text())["cases"]


@pytest.fixture(scope="module")
def arrays(shared):
    """The large arrays of the cases."""
    return np.load(shared / "cases" / "statistics.npz")


def resolved(value, arrays):
    """Replace a reference to an array by the array."""
    return arrays[value[4:]] if isinstance(value, str) and value.startswith("npz:") else value


def differences(found, expected, tolerance, where=""):
    """Name every place where two results differ by more than the tolerance."""
    if isinstance(expected, str) and expected.endswith("inf"):
        expected = float(expected)
    if isinstance(expected, dict) and isinstance(found, dict):
        pairs = {name: (found.get(name, "absent"), expected.get(name, "absent")) for name in {**found, **expected}}
    elif isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        pairs = dict(enumerate(zip(found, expected, strict=True)))
    else:
        number = isinstance(found, int | float) and isinstance(expected, int | float)
        same = math.isclose(found, expected, rel_tol=0, abs_tol=tolerance) if number else found == expected
        return [] if same else [f"{where}: {found!r}, expected {expected!r}"]
    return [line for name, pair in pairs.items() for line in differences(*pair, tolerance, f"{where}/{name}")]


@pytest.mark.parametrize("case", stored_cases(), ids=lambda case: case["id"])
def test_a_statistic_equals_its_case(case, arrays):
    """The function gives what the case expects, in the same form."""
    inputs = {name: resolved(value, arrays) for name, value in case["inputs"].items()}
    assert differences(DOOR["statistic"](case["quantity"], inputs), case["expected"], case["tol"]) == []


def grounding_cases():
    """Every answer with places; where the folder is absent, one that is skipped."""
    path = CASES.with_name("grounding_cases.json")
    return json.loads(path.read_text()) if path.is_file() else [{"name": "absent"}]


@pytest.mark.parametrize("case", grounding_cases(), ids=lambda case: case["name"])
def test_an_answer_with_places_is_read_as_its_case_says(case, shared):  # noqa: ARG001 - skips where it is absent
    """Status, image score, shapes to 1e-6 pixels, flags and source are those of the case."""
    found = DOOR["grounding"](case)
    assert differences(found, case["expect"], 1e-6) == []
    assert len(found["shapes"]) == case["n"]


def grounding_files():
    """Every file of box metrics; where the folder is absent, one that is skipped."""
    return sorted(CASES.parent.glob("grounding_metrics_*.npz")) or [CASES.with_name("grounding_metrics_absent.npz")]


@pytest.mark.parametrize("path", grounding_files(), ids=lambda path: path.stem)
def test_the_metrics_of_boxes_equal_those_counted_by_pixel(path, shared):
    """IoU, ACC@IoU, false alarms and pixel metrics of boxes equal a brute-force count of pixels, to 1e-12."""
    case = dict(np.load(shared / "cases" / path.name))
    found = DOOR["grounding_metrics"](case["masks"], case["shapes"])
    for name in case.keys() - {"masks", "shapes", "maps", "gt_boxes"}:
        np.testing.assert_allclose(found[name], case[name], rtol=0, atol=1e-12, equal_nan=True, err_msg=name)


@pytest.mark.parametrize("path", grounding_files(), ids=lambda path: path.stem)
def test_the_maps_of_boxes_equal_those_painted_by_pixel(path, shared):
    """Each pixel has the highest score of the boxes that hold its centre, exactly."""
    case = dict(np.load(shared / "cases" / path.name))
    for at, expected in enumerate(case["maps"]):
        boxes = [Box(*numbers) for image, *numbers in case["shapes"].tolist() if image == at]
        assert (paint_shapes(boxes, expected.shape).dense() == expected).all()


def dataset_cases():
    """Every case of the metrics of data sets, with its name; where the folder is absent, one that is skipped."""
    path = CASES.with_name("dataset_metrics.json")
    return list(json.loads(path.read_text())["cases"].items()) if path.is_file() else [("absent", {})]


@pytest.fixture(scope="module")
def of_datasets(shared):
    """The file of these cases and its arrays."""
    cases = shared / "cases"
    return json.loads((cases / "dataset_metrics.json").read_text()), np.load(cases / "dataset_metrics.npz")


@pytest.mark.parametrize(("name", "case"), dataset_cases(), ids=lambda one: one if isinstance(one, str) else "")
def test_a_metric_of_data_sets_equals_its_case(name, case, of_datasets):
    """AUPRO at limits, AU-sPRO, groups, AUPIMO, SegF1, fixed grids, views and MMAD's numbers come out to 1e-12."""
    file, stored = of_datasets
    arrays = {array: stored[f"{name}/{array}"] for array in case["arrays"]}
    found = DOOR["dataset_metric"](case, arrays, file["defects_config"])
    assert differences(found, case["expected"], file["tolerance"]) == []


def test_mmads_own_numbers_come_out_as_its_script_gives_them(of_datasets):
    """With the record lost after each answer without a letter, the numbers are those of MMAD's script, to 1e-9."""
    from lvlm_ad.metrics.choices import as_published

    case = of_datasets[0]["cases"]["mmad"]
    found = as_published(DOOR["mmad_choices"](case["answers"]))
    percent = {source: {name: 100 * value for name, value in row.items()} for source, row in found.items()}
    assert differences(percent, case["public"]["MMAD summary.py"], 1e-9) == []
