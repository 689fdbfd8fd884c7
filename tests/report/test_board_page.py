"""The leaderboard as a page, in a real browser."""

import re
from dataclasses import replace

import pytest

from lvlm_ad.leaderboard import Board, Entry, Group
from lvlm_ad.report.board_page import board_page
from lvlm_ad.report.cost import cost_plot
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
    rows = page.locator("table.board").nth(table).locator("tbody.rows tr:not([hidden]) th")
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
    assert names(page) == ["cheap", "best", "chance", "paper"]
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


def test_the_frame_has_a_body_of_its_own(board, tmp_path, open_page):
    """Sorting moves a row within its body only; the first click on the rank, or on a name, puts the first one first."""
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(board), encoding="utf-8")
    page = open_page(path).page
    heads = page.locator("table.board").first.locator("thead th")
    assert page.locator("tbody.heading th").all_text_contents() == ["frame rows", "published"]
    for head, orders in ((0, [["best", "cheap"], ["cheap", "best"]]), (1, [["best", "cheap"], ["cheap", "best"]])):
        for order, direction in zip(orders, ("ascending", "descending"), strict=True):
            assert f"in {direction} order" in heads.nth(head).get_attribute("aria-label")
            heads.nth(head).press("Enter")
            page.wait_for_timeout(100)
            assert heads.nth(head).get_attribute("aria-sort") == direction
            assert names(page) == [*order, "chance", "paper"]


@pytest.mark.parametrize(
    ("column", "wanted", "kind", "left"),
    [
        ("I-AUROC", ">80", "", ["best", "paper"]),
        ("I-AUROC", ">= 80", "", ["best", "cheap", "paper"]),
        ("I-AUROC", "=90.0", "", ["best"]),
        ("I-AUROC", "95", "", ["paper"]),
        ("USD/image", "<=0.01", "", ["cheap", "chance"]),
        ("USD/image", "< 0,02", "", ["cheap", "chance"]),
        ("Answered", "=100", "", ["best", "cheap", "chance"]),
        ("rank", "<2", "", ["best"]),
        ("Model", "CHEA", "", ["cheap"]),
        ("all", "said of it", "", ["cheap"]),
        ("all", ">94", "", ["best", "cheap", "chance", "paper"]),
        ("all", "", "frame", ["chance"]),
        ("I-AUROC", ">50", "ranked", ["best", "cheap"]),
        ("Model", ">80", "", []),
    ],
)
def test_a_table_filters_by_column(board, tmp_path, open_page, column, wanted, kind, left):
    """A text, or a limit for numbers as they are shown; notes and the rows by category go along, other tables stay."""
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(board), encoding="utf-8")
    page = open_page(path).page
    group = page.locator(".group").first
    group.get_by_label("Column").select_option(label=column)
    group.get_by_label("Rows").select_option(value=kind)
    group.get_by_label("Text, or a limit").fill(wanted)
    assert names(page) == left
    assert names(page, 1) == ["alone"]
    count = len(left) or "no"
    assert group.locator(".found").text_content() == f"{count} row{'' if count == 1 else 's'}"
    assert group.locator(".heat").first.locator("tbody tr:visible").count() == len(
        [one for one in left if one != "paper"]
    )
    assert group.locator(".notes li:visible").count() == ("cheap" in left)
    shown = [name for name, row in (("frame rows", "chance"), ("published", "paper")) if row in left]
    assert group.locator("tbody.heading:visible th").all_text_contents() == shown
    if not left:
        group.get_by_role("button", name="Show all rows").click()
    assert (len(names(page)) == 4) == (len(left) in {0, 4})


def test_paper_shows_what_is_closed(board, tmp_path, open_page):
    """Every table by category is opened for printing and closed after it."""
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(board), encoding="utf-8")
    page = open_page(path).page
    closed = page.locator("details:not([open])")
    before = closed.count()
    assert before > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert closed.count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert closed.count() == before


def test_a_narrow_screen_keeps_names_in_sight(board, tmp_path, open_page):
    """The model's column stays while a table scrolls, heads do not break within words, and links can be touched."""
    path = tmp_path / "leaderboard.html"
    (tmp_path / "best-run" / "report").mkdir(parents=True)
    (tmp_path / "best-run" / "report" / "index.html").write_text("")
    categories = ["blackboard", "chessboard"]
    rows = tuple(replace(one, categories=dict.fromkeys(categories, one.metrics)) for one in board.groups[0].entries)
    group = replace(board.groups[0], conditions={"categories": categories}, entries=rows)
    path.write_text(board_page(Board((group,)), tmp_path), encoding="utf-8")
    page = open_page(path, width=390).page
    table = page.locator(".scroll").first
    table.evaluate("box => box.scrollLeft = 300")
    name, box = page.locator("tbody.rows th").first.bounding_box(), table.bounding_box()
    assert box["x"] <= name["x"] < box["x"] + 5
    assert page.locator("tbody.rows th a").first.bounding_box()["height"] >= 24
    heads = page.locator(".heat").first.locator("thead th")
    heights = [heads.nth(at).evaluate("head => head.getBoundingClientRect().height") for at in range(3)]
    one_line = heads.nth(1).evaluate("head => parseFloat(getComputedStyle(head).fontSize) * 1.5 * 2")
    assert max(heights) < one_line + 8
    plot = page.locator("figure svg:visible")
    assert plot.count() == 1
    assert plot.bounding_box()["width"] <= 390


def test_best_second_and_their_company(board):
    """Marks are for ranked rows of their own group; a row alone is not called best."""
    page = board_page(board)
    table = page.partition('<tbody class="rows">')[2].partition("</tbody>")[0]
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
    front = cost_plot([*board.groups[0].entries, entry("far above", 0.99, kind="apart", usd_per_image=0.001)])
    assert "far above (not ranked) 99.0 % at 0.001 USD" in front.alt
    assert cost_plot([entry("silent", 0.5, kind="apart", coverage=0.0, usd_per_image=0.1)]) is None, "nobody's AUROC"
    free = entry("local", 0.85, usd_per_image=0.0), entry("other", 0.85, usd_per_image=0.0)
    assert "local, other 85.0 % at 0 USD" in cost_plot([*board.groups[0].entries, *free]).alt
    assert cost_plot(free) is None


def test_the_front_is_of_ranked_rows(board):
    """Rows that are not ranked and stand above it change nothing of the line."""
    rows = board.groups[0].entries

    def line(entries):
        return re.search(r'id="cost-line2d_\d+">\s*<path d="([^"]*)"[^>]*style="[^"]*--defect', cost_plot(entries).svg)[
            1
        ]

    # Within what is drawn already, so that the axes stay as they are.
    apart = [entry("a", 0.9, kind="apart", usd_per_image=0.01), entry("b", 0.88, kind="apart", usd_per_image=0.015)]
    assert line([*rows, *apart]) == line(rows)
    assert line([*rows, replace(apart[0], kind="ranked")]) != line(rows)


def test_no_two_elements_share_an_id(board):
    """Two tables with plots of the same rows: what one plot defines, the other does not."""
    again = Board((*board.groups, replace(board.groups[0], title="the same once more")))
    ids = re.findall(r' id="([^"]*)"', board_page(again))
    twice = {one for one in ids if ids.count(one) > 1}
    assert len(ids) > 100
    assert not twice


def test_rows_at_one_point_share_a_short_label(board):
    """Two names, the others counted; the words for those who do not see it name all."""
    plot = cost_plot([*board.groups[0].entries, *(entry(f"twin {at}", 0.8, usd_per_image=0.01) for at in range(5))])
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
    assert [text for text in shown if "twin" in text or "more" in text] == ["twin 0", "and 4 more"]
    assert "twin 4" in plot.alt


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
    """axe-core finds nothing serious or critical, and no two parts of one name."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(board), encoding="utf-8")
    page = open_page(path, width=width, scheme=scheme).page
    found = axe.Axe().run(page).response["violations"]
    grave = [one["id"] for one in found if one["impact"] in {"serious", "critical"} or one["id"] == "landmark-unique"]
    assert grave == []
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


def test_a_leaderboard_of_an_empty_folder_and_to_a_new_one(lvlm_ad_command, kept_run, tmp_path):
    """A folder is named as written; the file's folder is made; a file that cannot be written is called by its name."""
    (tmp_path / "emptyd").mkdir()
    done = lvlm_ad_command("leaderboard", "emptyd")
    assert (done.returncode, "There is no run in emptyd;" in done.stderr) == (2, True)
    for form in ("html", "md", "table"):
        done = lvlm_ad_command("leaderboard", kept_run.dir, "-f", form, "-o", f"other/deep/{form}/board")
        assert (done.returncode, (tmp_path / "other" / "deep" / form / "board").is_file()) == (0, True), done.stderr
    done = lvlm_ad_command("leaderboard", kept_run.dir, "-f", "md", "-o", "/proc/board.md")
    assert (done.returncode, "/proc/board.md cannot be read or written" in done.stderr) == (2, True), done.stderr
