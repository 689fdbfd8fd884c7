"""The leaderboard as a page, in a real browser."""

from dataclasses import replace

import pytest

from lvlm_ad.leaderboard import Board, Entry, Group
from lvlm_ad.report.board_page import board_page
from lvlm_ad.report.figures import cost_plot
from lvlm_ad.runs import METRIC_NAMES

CATEGORIES = ["bolt", "nut"]


def entry(name, auroc, **changes):
    metrics = dict.fromkeys(METRIC_NAMES, auroc)
    given = {"kind": "ranked", "rank": 1, "coverage": 1.0, "cost_usd": 0.0, "run": f"{name}-run"}
    given |= {
        "categories": {one: dict(metrics) for one in CATEGORIES},
        "intervals": {"image_auroc": (auroc - 0.1, auroc)},
    }
    return Entry(name, metrics=metrics, **(given | changes))


@pytest.fixture
def board():
    rows = (
        entry("best", 0.9, cost_usd=2.0, usd_per_image=0.02, usd_per_point=0.05),
        entry("cheap", 0.8, rank=2, cost_usd=1.0, usd_per_image=0.01, notes=("said of it alone",)),
        entry("chance", 0.5, kind="frame", rank=None, usd_per_image=0.0),
        entry("paper", 0.95, kind="published", rank=None, coverage=None, cost_usd=None, run="", categories={}),
    )
    group = Group("mvtec: 2 categories", {"categories": CATEGORIES}, rows)
    other = Group("visa: 2 categories", {"categories": CATEGORIES}, (entry("alone", 0.7),))
    return Board((group, other))


def names(page, table=0):
    rows = page.locator("table.board").nth(table).locator("tbody tr:not([hidden]) th")
    return rows.all_text_contents()


def test_rows_sort_and_filter(board, tmp_path, open_page):
    """A click on a head orders by value, an empty cell last; the search hides what lacks a word, in all tables."""
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(board), encoding="utf-8")
    opened = open_page(path)
    page = opened.page
    assert names(page) == ["best", "cheap", "chance", "paper"]
    cost = page.locator("table.board").first.locator("th", has_text="USD/image")
    cost.click()
    page.wait_for_timeout(50)
    assert names(page) == ["best", "cheap", "chance", "paper"]
    cost.click()
    page.wait_for_timeout(50)
    assert names(page) == ["chance", "cheap", "best", "paper"]
    page.fill("#search", "CHEA")
    assert (names(page), names(page, 1)) == (["cheap"], [])
    assert page.locator("#kept").text_content() == "1 row"
    assert not page.locator(".group").nth(1).is_visible()
    page.fill("#search", "said of it alone")
    assert (names(page), names(page, 1)) == (["cheap"], []), "notes are searched"
    page.fill("#search", "nowhere to be found")
    assert page.locator("#kept").text_content() == "no rows"
    page.fill("#search", "")
    assert len(names(page)) == 4
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    assert opened.complaints == []


def test_best_second_and_their_company(board):
    """Marks are for ranked rows of their own group; a row alone is not called best."""
    page = board_page(board)
    table = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert table.count('class="best"') == len(METRIC_NAMES) == table.count('class="second"')
    other = page.partition("visa: 2 categories")[2]
    assert 'class="best"' not in other
    assert "Accuracy against cost" in page.partition("visa: 2 categories")[0]
    assert "Accuracy against cost" not in other, "nothing of it was paid for"


def test_the_oracle_is_no_method_on_the_front(board):
    """Frame rows are levels without a cost; the others stand where they cost and score."""
    plot = cost_plot(board.groups[0].entries)
    assert plot.alt == (
        "Image AUROC over the cost of an image: cheap 80.0 % at 0.01 USD; best 90.0 % at 0.02 USD; chance 50.0 %."
    )
    free = entry("local", 0.85, usd_per_image=0.0), entry("other", 0.85, usd_per_image=0.0)
    assert "local, other 85.0 % at 0 USD" in cost_plot([*board.groups[0].entries, *free]).alt
    assert cost_plot(free) is None


def test_reports_are_linked_where_they_are(board, tmp_path):
    """Beside the runs, and from another folder; a run without a report has no link."""
    report = tmp_path / "runs" / "best-run" / "report"
    report.mkdir(parents=True)
    (report / "index.html").write_text("")
    links = [board_page(board, tmp_path / "runs"), board_page(board, tmp_path / "runs", tmp_path)]
    assert 'href="best-run/report/index.html"' in links[0]
    assert 'href="runs/best-run/report/index.html"' in links[1]
    assert "cheap-run/report" not in links[0]
    assert "best-run/report" not in board_page(board)


def test_names_are_text(board, tmp_path, open_page):
    """Markup, quotes, escapes and dollars in a stranger's name run nothing and break nothing."""
    wild = "<img src=x onerror=alert(1)>\"' $\\frac{x} \x1b[31m\u202e"
    rows = (entry(wild, 0.9, cost_usd=1.0, usd_per_image=0.1, notes=(wild,)), entry("b", 0.8, usd_per_image=0.2))
    group = replace(board.groups[0], title=wild, entries=rows, conditions={"categories": [wild, "b"]})
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(Board((group,))), encoding="utf-8")
    opened = open_page(path)
    assert opened.complaints == []
    assert opened.page.locator("img").count() == 0
    assert names(opened.page)[0].startswith("<img src=x onerror=alert(1)>")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_no_serious_barrier(board, tmp_path, open_page, width, scheme):
    """axe-core finds nothing serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(board), encoding="utf-8")
    page = open_page(path, width=width, scheme=scheme).page
    found = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_bench_ends_with_a_leaderboard_and_a_report(lvlm_ad_command, small_data):
    """The page is linked from the leaderboard; the command writes it again, or elsewhere."""
    settings = ("--set", "image_size=96", "--set", "n_segments=12", "--set", "min_area=0")
    done = lvlm_ad_command("bench", "--data", small_data, "--report", "--resamples", 0, *settings, "--out", "runs")
    assert done.returncode == 0, done.stderr
    cwd = small_data.parent
    (report,) = (cwd / "runs").glob("*/report/index.html")
    assert report.parent.parent.name.startswith("contrast-folder")
    page = (cwd / "runs" / "leaderboard.html").read_text()
    assert f'href="{report.relative_to(cwd / "runs")}"' in page
    assert lvlm_ad_command("leaderboard", "runs", "--format", "html", "-o", "board.html").returncode == 0
    assert f'href="{report.relative_to(cwd)}"' in (cwd / "board.html").read_text()
