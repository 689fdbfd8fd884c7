"""The page of an inspection: order, what is left out, and texts of unknown origin."""

import json

import pytest

from lvlm_ad import RunConfig
from lvlm_ad.decisions import fixed
from lvlm_ad.evaluate import Inspection, InspectionConfig
from lvlm_ad.evaluate.inspection_plan import InspectionPlan
from lvlm_ad.evaluate.inspection_results import InspectedPicture
from lvlm_ad.report import inspection_page
from lvlm_ad.report.inspection_page import write_inspection_page

HOSTILE = "</script><script>alert(1)</script>\u202e\x1b[31m"


@pytest.fixture
def inspection(tmp_path):
    """An inspection without pictures."""
    (tmp_path / "line").mkdir()
    config = InspectionConfig(tmp_path / "line", RunConfig(models="contrast"), out=tmp_path / "out")
    empty = Inspection(InspectionPlan.of(config, lambda _: None))
    empty.start()
    empty.found.decide(fixed(0.5))
    return empty


def data_of(page):
    """The rows in a page."""
    return json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])


def test_the_most_suspicious_pictures_come_first(inspection):
    """Pictures without a score come before all others, in a list of their own; equal scores in the folder's order."""
    for path, score in {"d": 0.2, "a": 0.9, "c": 0.9, "b": None}.items():
        inspection.found.put(InspectedPicture(path, score))
    page = write_inspection_page(inspection)
    assert [(row["path"], row["decision"]) for row in data_of(page)] == [
        ("b", "undecided"),
        ("a", "alarm"),
        ("c", "alarm"),
        ("d", "pass"),
    ]
    assert 'id="undecided"' in page.read_text()


def test_hostile_names_and_answers_are_texts(inspection):
    """Nothing ends the data, and control characters are shown by their code; addresses of files stay as they are."""
    row = InspectedPicture(f"{HOSTILE}.png", 0.9, reason=HOSTILE, note=HOSTILE, overlay=f"overlays/{HOSTILE}.png")
    inspection.found.put(row)
    page = write_inspection_page(inspection)
    text = page.read_text()
    assert text.count("<script") == text.count("</script>") == 3
    (shown,) = data_of(page)
    assert "\u202e" not in shown["path"] + shown["reason"] + shown["note"]
    assert shown["overlay"] == row.overlay


def test_a_page_says_what_it_leaves_out(inspection, monkeypatch):
    """Of very many pictures it shows the most suspicious; scores.csv has all."""
    monkeypatch.setattr(inspection_page, "_MOST", 2)
    for index in range(5):
        inspection.found.put(InspectedPicture(f"{index}.png", index / 10))
    page = write_inspection_page(inspection)
    assert [row["path"] for row in data_of(page)] == ["4.png", "3.png"]
    assert "2 of 5 pictures; scores.csv has all" in page.read_text()
