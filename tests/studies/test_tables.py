"""How cells of a study's tables show numbers."""

from pathlib import Path

import pytest

from lvlm_ad.cli.study_tables import ends
from lvlm_ad.leaderboard import usd
from lvlm_ad.studies import Number, Study, tables_of
from lvlm_ad.studies.tables import decimal, percent, points, variance

FROZEN = Path(__file__).parents[1] / "data" / "studies"


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


@pytest.mark.parametrize(
    ("cell", "text", "written"),
    [
        (percent(Number(value=1.0, interval=(1.0, 1.0))), "100.0", ""),
        (points(Number(value=0.0, interval=(-0.0001, 0.0001))), "0.0", ""),
        (points(Number(value=-0.01, interval=(-0.02, -0.0001))), "-1.0", "-2.0 to 0.0"),
        (decimal(Number(value=-0.0001, interval=(-0.02, 0.03))), "0.000", "-0.020 to 0.030"),
        (decimal(-0.0001), "0.000", ""),
    ],
)
def test_no_interval_without_width_and_no_negative_zero(cell, text, written):
    """An interval whose ends are written alike is not shown, and what rounds to 0 has no sign."""
    assert (cell.text, cell.ends) == (text, written)


def test_the_terminal_writes_intervals_as_the_page():
    """In the terminal, too, ends written alike are left out and a 0 has no minus; neither has an amount."""
    assert ends(Number(value=0.5, interval=(0.5, 0.5)), 100) == ""
    assert ends(Number(value=0.0, interval=(-0.0001, 0.2)), 100) == " [0.0, 20.0]"
    assert usd(-0.0) == "0.00"


def test_the_base_has_no_change_against_itself():
    """Curves say "base" where a change would be 0 by construction; the truth itself loses 0 without an interval."""
    tables = {one.title: one for one in tables_of(Study.read(FROZEN / "grounding"))}
    assert [cells[1].text for _, cells in tables["Resolution"].rows].count("base") == 1
    severities = tables["Corruptions by severity"].rows
    assert {cells[1].text == "base" for name, cells in severities if name.endswith("severity 0")} == {True}
    ideal = [cells for name, cells in tables["Where quality is lost"].rows if name.endswith("the truth itself")]
    assert {(cell.text, cell.ends) for cells in ideal for cell in cells} == {("100.0", ""), ("0.0", "")}
    assert any("AUPRO: " in name for name, _ in tables["Where quality is lost"].rows)
