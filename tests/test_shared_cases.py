"""Intervals, ranks, costs and decisions equal published numeric cases, to the tolerance that each case states."""

import json
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

DOOR = runpy.run_path(str(Path(__file__).with_name("shared_cases.py")))
CASES = Path(__file__).parents[2] / "shared" / "cases" / "statistics.json"


def stored_cases():
    """Every case that something computes; where the folder is absent, one that is skipped."""
    if not CASES.is_file():
        return [{"id": "absent"}]
    return [one for one in json.loads(CASES.read_text())["cases"] if one["quantity"] not in DOOR["STABILITY"]]


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


def test_what_nothing_computes_is_said():
    """Quantities of a model's stability raise an error that names them."""
    for name in DOOR["STABILITY"]:
        with pytest.raises(NotImplementedError, match=name):
            DOOR["statistic"](name, {})
