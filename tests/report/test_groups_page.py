"""The part of a run's page on kinds and sizes of defects."""

import re
from dataclasses import replace

import pytest

from lvlm_ad.evaluate.groups import group_metrics
from lvlm_ad.metrics.histograms import ScoreHistograms
from lvlm_ad.report.groups import group_tables
from lvlm_ad.report.run_pages import write_report


@pytest.fixture
def grouped(kept_run):
    """A run with two kinds of defect, one of them named like code, and half of the defects found."""
    records = [
        one.model_copy(update={"defect": "<script>alert(1)</script>" if one.label and at % 2 else one.defect})
        for at, one in enumerate(kept_run.predictions)
    ]
    alarms = {one.id: at % 3 == 0 for at, one in enumerate(records)}
    groups = group_metrics(records, ScoreHistograms.of(kept_run.histograms), "zero", 0.3, 50, alarms)
    return replace(kept_run, predictions=records, metrics={**kept_run.metrics, **groups})


def test_the_page_shows_kinds_and_sizes(grouped, tmp_path):
    """Numbers in percent, what was found, a plot of the sizes in words, and names of kinds as text."""
    text = write_report(grouped, tmp_path / "page", pictures=False).read_text()
    part = text.partition('<h2 id="defects">')[2].partition("<h2")[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in part
    assert "<script>alert" not in text
    for entries in (grouped.metrics["sizes"], *grouped.metrics["kinds"].values()):
        for entry in entries.values():
            assert f"{entry['found']} of {entry['judged']}" in part
            assert f">{100 * entry['image_auroc']:.1f}<" in part
    for size, entry in grouped.metrics["sizes"].items():
        assert f"{size} {100 * entry['image_auroc']:.1f}" in re.search('aria-label="(Image AUROC[^"]*)"', part)[1]


def test_an_older_run_has_no_such_part(report):
    """Neither a heading nor an empty table."""
    assert 'id="defects"' not in report.read_text()


def test_reasons_and_counting_are_said(grouped):
    """Of missing intervals, and of own maps that are counted at few thresholds."""
    metrics = {**grouped.metrics, "intervals": {"pixels": "256 thresholds", "rule": 2}}
    note = group_tables(metrics)["note"]
    assert "Pixels are counted at 256 thresholds." in note
    assert "No interval: a category has too few such defects" in note
    for entry in (*metrics["sizes"].values(), *(one for group in metrics["kinds"].values() for one in group.values())):
        entry.pop("no_interval", None)
    assert "No interval" not in group_tables(metrics)["note"]
    entry["undefined"] = {"image_auroc": "no image is normal"}
    assert "No value: no image is normal." in group_tables(metrics)["note"]
