"""Pages in a browser: names of any length, tables of many columns, headings of many words."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from lvlm_ad.datasets.readers import READERS
from lvlm_ad.leaderboard import group_tables, make_board
from lvlm_ad.report.board_page import board_page
from lvlm_ad.report.group_page import group_page
from lvlm_ad.report.run_pages import write_comparison
from lvlm_ad.site import write_site

pytestmark = pytest.mark.heavy

_PAGES = runpy.run_path(str(Path(__file__).parents[1] / "report" / "conftest.py"))
kept_run, renamed = _PAGES["kept_run"], _PAGES["renamed"]

LONG = "m" * 200

OVERFLOWING = """() => [...document.querySelectorAll("header *, nav *, main *")].filter((one) => {
  const css = getComputedStyle(one);
  const isBox = css.display !== "inline" && css.overflowX === "visible" && one.clientWidth > 0 && !one.closest("svg");
  return isBox && one.scrollWidth > one.clientWidth + 1;
}).map((one) => `${one.tagName}.${one.className}`)"""
"""The elements whose content is wider than they are."""


@pytest.fixture
def long_names(make_run):
    """Runs of models with very long names and of one without a name, by twelve kinds of defect."""
    price = {"price": {"price_input": 1.0}}
    runs = [make_run(name, 0.9 - at / 10, model=price) for at, name in enumerate((f"{LONG}1", f"{LONG}2", " "))]
    runs.append(make_run(f"{LONG}r", 0.5, model={"frame": True, "kind": "baseline"}, prompt=""))
    for run in runs:
        run.metrics["kinds"] = {"a": {f"kind{at}": {"n": 4, "image_auroc": 0.5} for at in range(12)}}
    return runs


@pytest.mark.parametrize("width", [390, 1280])
def test_a_name_of_200_letters_overflows_nothing(long_names, kept_run, tmp_path, open_page, width):
    """On leaderboards, by groups of images, on every page of a site, and where runs are compared."""
    board = make_board(long_names)
    (tmp_path / "board.html").write_text(board_page(board), encoding="utf-8")
    kinds = group_tables(board, long_names, "kind")
    (tmp_path / "kinds.html").write_text(group_page(kinds, board), encoding="utf-8")
    write_site(long_names, tmp_path / "site")
    two = [renamed(kept_run, LONG), renamed(kept_run, f"{LONG}2", lambda score: 1 - score)]
    write_comparison(two, tmp_path / "compared", resamples=50, pictures=False)
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > 8
    for path in pages:
        page = open_page(path, width=width).page
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.evaluate(OVERFLOWING) == [], path
    assert "(no name)" in (tmp_path / "site" / "index.html").read_text()


def test_a_table_of_nineteen_columns_fits_a_wide_window(make_run, tmp_path, open_page):
    """MVTec LOCO AD has six metrics of its own: at 1,900 px no column is cut, and at 1,280 px the page still fits."""
    metrics = READERS["loco"].metrics
    runs = [make_run(f"model-{at}", 0.9 - at / 10, dataset="loco", mean=dict.fromkeys(metrics, 0.6)) for at in range(3)]
    for run in runs:
        run.metrics["reported"] = list(metrics)
        run.metrics["mean"]["interval"] |= {name: [0.5, 0.7] for name in metrics}
    path = tmp_path / "loco.html"
    path.write_text(board_page(make_board(runs)), encoding="utf-8")
    page = open_page(path, width=1900).page
    assert page.locator("table.board").first.locator("thead th").count() > 18
    cut = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).length"
    assert page.evaluate(cut) == 0
    for width in (390, 1280, 1344, 1900):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        left = page.locator("h1").bounding_box()["x"]
        assert page.locator(".scroll").first.bounding_box()["x"] <= left + 1


def test_titles_of_own_images_make_no_tall_head(make_run, tmp_path, open_page):
    """At 390 px a title of many words, or of one long word, takes few lines."""
    runs, long = [], "housing_of_the_left_bearing_with_seal_v2"
    sets = (["front of housing", "rear of housing", "left side door"], [long], ["screw"])
    for at, categories in enumerate(sets):
        run = make_run("model", 0.8, dataset="folder", fingerprint=str(at))
        dataset = run.manifest.dataset.model_copy(update={"categories": categories})
        runs.append(replace(run, manifest=run.manifest.model_copy(update={"dataset": dataset})))
    site = write_site(runs, tmp_path / "site")
    head = open_page(site, width=390).page.locator("#models ~ .scroll thead").first
    assert head.locator("th").count() == 6
    assert head.bounding_box()["height"] < 90
