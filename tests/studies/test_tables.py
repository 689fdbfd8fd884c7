"""How cells of a study's tables show numbers."""

import pytest

from lvlm_ad.studies import Number
from lvlm_ad.studies.tables import variance


@pytest.mark.parametrize(
    ("number", "text", "ends", "reason"),
    [
        (Number(value=0.02, interval=(0.01, 0.04)), "0.02000", "0.01000 to 0.04000", ""),
        (Number(value=-0.01, interval=(-0.03, 0.02)), "0.00000", "0.00000 to 0.02000", ""),
        (Number(value=-0.01, interval=(-0.03, -0.01)), "0.00000", "", "the whole interval lies below 0"),
        (Number(value=-0.01, reason="fewer than 3 images"), "0.00000", "", "fewer than 3 images"),
    ],
)
def test_a_variance_is_never_shown_below_zero(number, text, ends, reason):
    """Text and interval are cut off at 0, but never both ends; the cell keeps the estimate of study.json."""
    cell = variance(number)
    assert (cell.text, cell.ends, cell.value, cell.reason) == (text, ends, number.value, reason)
