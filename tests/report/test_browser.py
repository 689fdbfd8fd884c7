"""The pages in a real browser, opened from disk."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from lvlm_ad.compare import compare_runs
from lvlm_ad.leaderboard import Board, signed
from lvlm_ad.report.board_page import board_page
from lvlm_ad.report.run_pages import write_comparison, write_report
from lvlm_ad.runs import read_run

pytestmark = pytest.mark.heavy

wait_until = runpy.run_path(str(Path(__file__).parents[1] / "waiting.py"))["wait_until"]

FROZEN = Path(__file__).parents[1] / "data" / "v0_1"

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<a href='javascript:alert(1)'>x</a> \x1b]0;owned\x07\x1b[31m \u202eevil\u202c " + "w" * 30_000
)


def names(page):
    """The names of the cards on the screen."""
    return page.locator(".card .name").all_text_contents()


def rows(page, table=0):
    """The models of a leaderboard's visible rows."""
    return page.locator("table.board").nth(table).locator("tbody.rows tr:not([hidden]) th").all_text_contents()


@pytest.mark.parametrize("name", ["report", "comparison", "leaderboard", "published"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_pages_are_quiet_fit_the_screen_and_have_no_barrier(name, width, scheme, request, open_page):
    """No request leaves the page, no error, nothing wider than the screen; axe-core finds nothing serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    opened = open_page(request.getfixturevalue(name), width=width, scheme=scheme)
    page = opened.page
    assert [url for url in opened.requested if not url.startswith(("file:", "data:"))] == []
    assert opened.complaints == []
    # The checker enters by the debugger, which the page's policy does not bind.
    for view in ("page",) if name in {"leaderboard", "published"} else ("page", "large view"):
        if view == "large view":
            page.locator(".card").first.click()
        violations = axe.Axe().run(page).response["violations"]
        serious = [one["id"] for one in violations if one["impact"] in {"serious", "critical"}]
        assert serious == [], view
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_gallery_filters_and_orders(report, open_page, kept_run):
    """By category, kind, status, verdict and words; the number of images is shown, and one button clears all."""
    page = open_page(report).page
    records = kept_run.predictions
    assert names(page) == [one.id for one in records]
    page.select_option("#f-category", "bolt")
    assert names(page) == [one.id for one in records if one.category == "bolt"]
    page.select_option("#f-status", "refused")
    refused = [one.id for one in records if one.category == "bolt" and one.status == "refused"]
    assert names(page) == refused
    assert page.locator("#count").text_content() == f"{len(refused)} of {len(records)} images"
    page.locator("#clear").click()
    page.fill("#f-text", records[5].id.upper())
    assert names(page) == [records[5].id]
    page.locator("#clear").click()
    page.select_option("#f-order", "high")
    scores = {one.id: -1 if one.image_score is None else one.image_score for one in records}
    shown = [scores[name] for name in names(page)]
    assert shown == sorted(scores.values(), reverse=True)
    page.select_option("#f-verdict", "wrong")
    assert all("wrong" in text for text in page.locator(".card .words").all_text_contents())


def test_the_large_view_shows_layers_and_its_address(report, open_page, kept_run):
    """Keys open, step, switch layers and close; the address opens the same image elsewhere; the words are plain."""
    page = open_page(report).page
    start = page.url
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#large-name").text_content() == names(page)[0]
    page.keyboard.press("ArrowRight")
    shown = names(page)[1]
    assert page.locator("#large-name").text_content() == shown
    text = page.locator("#large-words p").nth(1).text_content()
    score = r"(Image score 0\.\d\d|No image score, which counts as 0)"
    assert re.match(rf"{score}: (above|below) \d+ % of the (good|defective) images\b", text), text
    before = page.locator("#large-stack img").count()
    page.keyboard.press("3")
    assert page.locator("#large-stack img").count() == before + 1
    address = page.url
    assert address.startswith(f"{start}#image=")
    page.keyboard.press("Escape")
    wait_until(page, "location.hash === ''")
    wait_until(page, "(name) => document.activeElement.querySelector('.name')?.textContent === name", arg=shown)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "f-text"
    other = open_page(report)
    other.page.goto(address)
    other.page.reload()
    assert other.page.locator("#large-name").text_content() == shown
    other.page.goto(f"{start}#image=%")
    other.page.reload()
    assert len(names(other.page)) == len(kept_run.predictions)
    assert other.complaints == []


def test_the_large_view_keeps_its_buttons_on_a_narrow_screen(report, open_page):
    """Wherever the words are scrolled to."""
    page = open_page(report, width=390).page
    page.locator(".card").first.click()
    large = page.locator("#large")
    large.evaluate("dialog => { dialog.style.maxHeight = '300px'; dialog.scrollTop = 1e6; }")
    edge = large.bounding_box()
    for name in ("#large-before", "#large-close", "#large-layers button >> nth=0"):
        box = page.locator(name).bounding_box()
        assert edge["y"] <= box["y"]
        assert box["y"] + box["height"] <= edge["y"] + edge["height"]


def test_an_answer_is_text_and_runs_nothing(kept_run, tmp_path, open_page):
    """Markup, scripts, terminal escapes and marks of direction are shown as characters; a long answer is cut."""
    changes = {"text": HOSTILE, "notes": [HOSTILE[:300]], "defect": "<b>x</b>"}
    hostile = [one.model_copy(update=changes) for one in kept_run.predictions]
    opened = open_page(write_report(replace(kept_run, predictions=hostile), tmp_path / "hostile", pictures=False))
    page = opened.page
    page.locator(".card").first.click()
    text = page.locator("#large-words pre").text_content()
    assert text.startswith("</script><script>document.title=")
    assert "\u241b]0;owned\u2407\u241b[31m \u27e8U+202E\u27e9evil" in text
    assert text.endswith("cut after 20,000 characters; the run's files have the rest")
    assert page.title() == "gpt-4o on folder"
    assert page.locator("#large-words img").count() == 0
    assert opened.complaints == []
    page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'document.title = 1';"
        " document.body.append(one); }"
    )
    assert page.title() == "gpt-4o on folder"
    assert any("Content Security Policy" in text for text in opened.complaints)


def test_four_thousand_images_stay_fluid(kept_run, tmp_path, open_page):
    """The page contains all of them and draws sixty at a time."""
    records = [
        one.model_copy(update={"id": f"{one.category}/{number:04}", "text": "image anomaly score: 0.5 " * 40})
        for number, one in enumerate(kept_run.predictions * (4000 // len(kept_run.predictions) + 1))
    ][:4000]
    path = write_report(replace(kept_run, predictions=records, histograms=None), tmp_path / "many", pictures=False)
    page = open_page(path).page
    assert page.locator("#count").text_content() == "4000 of 4000 images"
    assert len(names(page)) == 60
    page.locator("#after").click()
    assert page.locator("#page-at").text_content() == "page 2 of 67"
    assert names(page)[0] == records[60].id
    page.fill("#f-text", "3999")
    assert names(page) == [records[3999].id]


def test_runs_side_by_side(comparison, two_runs, open_page):
    """A letter says whose each map and line is, however narrow the screen; the largest differences come first."""
    page = open_page(comparison, width=390).page
    card = page.locator(".card").first
    for index, wanted in enumerate("AB"):
        label = card.locator(".run-label").nth(index)
        mark, box = label.locator("b").bounding_box(), label.bounding_box()
        assert label.locator("b").text_content() == wanted
        assert box["x"] <= mark["x"]
        assert mark["x"] + mark["width"] <= box["x"] + box["width"]
        assert card.locator(".row b").nth(index).text_content() == wanted
    difference = compare_runs(*two_runs, 50).mean["image_auroc"].difference
    assert page.locator("table").nth(1).locator("tfoot td").first.text_content().startswith(signed(difference))
    apart = page.evaluate(
        "JSON.parse(document.getElementById('data').textContent).cards.map((card) =>"
        " [card.id, Math.abs(card.runs[0].separation - card.runs[1].separation)])"
    )
    order = sorted(range(len(apart)), key=lambda index: -apart[index][1])
    assert names(page) == [apart[index][0] for index in order]
    card.click()
    assert page.locator("#large-layers button").all_text_contents()[-2:] == ["Map A", "Map B"]


def test_tables_sort(report, leaderboard, open_page, kept_run):
    """By value, upwards and downwards; empty cells last; the mean and the sections stay where they are."""
    page = open_page(report).page
    head = page.locator("table.sortable").first.locator("thead th").nth(5)
    values = {name: one["pixel_auroc"] for name, one in kept_run.metrics["categories"].items()}
    down = sorted(values, key=lambda name: -values[name])
    for expected in (down, down[::-1]):
        head.press("Enter")
        page.wait_for_timeout(50)
        assert page.locator("table.sortable").first.locator("tbody th").all_text_contents() == expected
    page = open_page(leaderboard).page
    heads = page.locator("table.board").first.locator("thead th")
    cost, rank = heads.filter(has_text="USD/image"), heads.first
    for head, orders in ((cost, ["best cheap", "cheap best"]), (rank, ["best cheap", "cheap best"])):
        for order in orders:
            head.click()
            page.wait_for_timeout(50)
            assert rows(page) == [*order.split(), "chance", "paper"]
    assert page.locator("tbody.heading th").all_text_contents() == ["reference rows", "published"]


@pytest.mark.parametrize(
    ("column", "wanted", "kind", "left"),
    [
        ("I-AUROC", ">= 80", "", ["best", "cheap", "paper"]),
        ("I-AUROC", "95", "", ["paper"]),
        ("USD/image", "< 0,02", "", ["cheap", "chance"]),
        ("Answered", "=100", "", ["best", "cheap", "chance"]),
        ("rank", "<2", "", ["best"]),
        ("all", "a note of its own", "", ["cheap"]),
        ("all", "", "frame", ["chance"]),
        ("I-AUROC", ">50", "ranked", ["best", "cheap"]),
        ("Model", ">80", "", []),
        ("I-AUROC", "\u226580 <95", "", ["best", "cheap"]),
        ("all", "auroc>80 usd/image<=0.001", "", []),
        ("all", "I-AUROC >= 80, USD/image < 0.02", "", ["cheap"]),
        ("all", "image_auroc<60 %", "", ["chance"]),
        ("all", "Model: che", "", ["cheap"]),
        ("all", ">80", "", ["best", "cheap", "chance", "paper"]),
        ("all", "nonsense>80", "", ["best", "cheap", "chance", "paper"]),
    ],
)
def test_a_table_filters_by_column(leaderboard, open_page, column, wanted, kind, left):
    """A text, or a limit for numbers as they are shown; notes and the rows by category follow, other tables do not."""
    page = open_page(leaderboard).page
    group = page.locator(".group").first
    group.get_by_label("Column").select_option(label=column)
    group.get_by_label("Rows").select_option(value=kind)
    group.get_by_label("Text, or a limit").fill(wanted)
    assert (rows(page), rows(page, 1)) == (left, ["alone"])
    assert group.locator(".count").text_content() == f"{len(left) or 'no'} row{'' if len(left) == 1 else 's'}"
    by_category = group.locator(".heat").first.locator("tbody tr:visible th").all_text_contents()
    assert by_category == [name for name in left if name != "paper"]
    assert group.locator(".notes li:visible").count() == ("cheap" in left)
    headings = [name for name, row in (("reference rows", "chance"), ("published", "paper")) if row in left]
    assert group.locator("tbody.heading:visible th").all_text_contents() == headings
    if not left:
        group.get_by_role("button", name="Show all rows").click()
        assert len(rows(page)) == 4


def test_a_note_of_all_rows_stands_once_and_is_not_filtered(board, open_page, tmp_path):
    """The notes of single rows are hidden with their rows."""
    group = board.groups[0]
    entries = tuple(replace(one, notes=(*one.notes, "a shared note")) for one in group.entries)
    path = tmp_path / "shared.html"
    path.write_text(board_page(Board((replace(group, entries=entries),))), encoding="utf-8")
    page = open_page(path).page
    notes = page.locator(".group .notes li")
    assert notes.first.text_content() == "all rows: a shared note"
    assert sum("a shared note" in text for text in notes.all_text_contents() if not text.startswith("paper")) == 1
    page.locator(".group").get_by_label("Text, or a limit").fill("nothing like this")
    assert page.locator(".group .notes li:visible").all_text_contents() == ["all rows: a shared note"]


@pytest.mark.parametrize(
    ("column", "wanted", "says"),
    [
        ("all", "auroc>80 <90", "Shows rows with I-AUROC > 80 and I-AUROC < 90, by the numbers as shown."),
        ("PRO", ">5", "Shows rows with PRO > 5, by the numbers as shown."),
        ("all", "gpt", "Shows rows with “gpt” in any column or note."),
        ("Model", "gpt", "Shows rows with “gpt” in Model."),
        ("all", ">80", "A limit needs a column. Choose one, or write its heading before the limit: I-AUROC>80."),
        ("all", "x>8", "No column is called “x”. Choose one, or write its heading before the limit: I-AUROC>80."),
        ("all", "", ""),
    ],
)
def test_a_filter_says_which_columns_it_reads(leaderboard, open_page, column, wanted, says):
    """And a limit without a column asks for one, instead of trying every number."""
    group = open_page(leaderboard).page.locator(".group").first
    group.get_by_label("Column").select_option(label=column)
    group.get_by_label("Text, or a limit").fill(wanted)
    assert group.locator(".reads").text_content() == says


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_better_and_worse_differ_in_colour_and_sign(tmp_path, open_page, scheme):
    """Blue with a triangle upwards, orange with one downwards; no difference has neither, and the page says so."""
    names = ("contrast-folder-afc5fe2f", "chance-folder-9a2c38f4", "oracle-folder-84cd3123")
    runs = [read_run(FROZEN / "out" / name) for name in names]
    page = open_page(write_comparison(runs, tmp_path, resamples=50, pictures=False), scheme=scheme).page
    found = page.evaluate(
        "() => [...document.querySelectorAll('td .value')].map((one) =>"
        " [one.textContent[0], getComputedStyle(one).color, getComputedStyle(one, '::before').content])"
    )
    looks = {sign: {(colour, mark) for own, colour, mark in found if own == sign} for sign in "+-"}
    assert {sign: len(of) for sign, of in looks.items()} == {"+": 1, "-": 1}
    (better,), (worse,) = looks.values()
    assert better[0] != worse[0]
    assert ("▲" in better[1], "▼" in worse[1]) == (True, True)
    assert "Blue" in page.locator("p.note", has_text="Differences in percentage points").text_content()


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_letters_of_plots_are_legible(report, leaderboard, open_page, width):
    """At least 12 pixels high as shown, on any screen."""
    for path in (report, leaderboard):
        heights = open_page(path, width=width).page.evaluate(
            "() => [...document.querySelectorAll('figure svg')].filter((svg) => svg.clientWidth).flatMap((svg) =>"
            " [...svg.querySelectorAll('text, tspan')].map((one) =>"
            " parseFloat(getComputedStyle(one).fontSize) * svg.clientWidth / svg.viewBox.baseVal.width))"
        )
        assert len(heights) > 10
        assert min(heights) >= 12, path


def test_a_pointer_near_a_thin_line_meets_its_name(report, open_page):
    """The line of a category is a broad target, though it is drawn thin."""
    page = open_page(report).page
    group = page.locator("#pro-curve-0")
    group.scroll_into_view_if_needed()
    titles = group.evaluate(
        "(group) => { const path = group.querySelector('path'), met = [];"
        " for (let part = 0.1; part < 1; part += 0.1) {"
        "   const at = path.getPointAtLength(path.getTotalLength() * part).matrixTransform(path.getScreenCTM());"
        "   const hit = document.elementFromPoint(at.x, at.y - 2)?.closest('g[id*=curve]');"
        "   if (hit) met.push(hit.querySelector('title').textContent); }"
        " return met; }"
    )
    assert "bolt" in titles


def test_paper_says_what_it_leaves_out(kept_run, leaderboard, tmp_path, open_page):
    """Images of other pages and the rest of the answers; rows that a filter hides. A screen does not show it."""
    records = [one.model_copy(update={"id": f"x/{at}"}) for at, one in enumerate(kept_run.predictions * 3)]
    path = write_report(replace(kept_run, predictions=records, histograms=None), tmp_path / "many", pictures=False)
    board_says = "This printout has 2 of 5 rows, as filtered."
    for file, text in ((path, f"This printout has 60 of {len(records)} images"), (leaderboard, board_says)):
        page = open_page(file).page
        if file == leaderboard:
            page.fill(".wanted >> nth=0", "auroc>90")
        assert not page.locator("#printed").is_visible()
        page.emulate_media(media="print")
        assert page.locator("#printed").is_visible()
        assert page.locator("#printed").text_content().startswith(text)


def test_bold_and_underline_mean_one_thing(leaderboard, open_page):
    """In the rows of a table only the best value is bold, and only the second is underlined."""
    page = open_page(leaderboard).page
    looks = page.evaluate(
        "() => [...document.querySelectorAll('tbody.rows :is(td, th, a, .value)')].map((one) => {"
        " const css = getComputedStyle(one);"
        " return [one.closest('td, th').className, css.fontWeight > 500, css.textDecorationLine === 'underline']; })"
    )
    assert {name for name, bold, _ in looks if bold} == {"best"}
    assert {name for name, _, line in looks if line} == {"second"}
    assert "bold and the second best is underlined" in page.locator(".explanations").text_content()


def test_one_search_goes_over_all_tables(leaderboard, open_page):
    """Names and notes are searched; tables without a match are hidden; all tables are printed unfolded."""
    page = open_page(leaderboard).page
    for words, found in (("CHEA", ["cheap"]), ("a note of its own", ["cheap"]), ("nowhere", [])):
        page.fill("#search", words)
        assert (rows(page), rows(page, 1)) == (found, [])
        assert page.locator("#kept").text_content() == ("1 row" if found else "no rows")
    assert not page.locator(".group").nth(1).is_visible()
    page.fill("#search", "")
    assert len(rows(page)) == 4
    closed = page.locator("details:not([open])")
    before = closed.count()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert (before > 0, closed.count()) == (True, 0)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert closed.count() == before


def test_a_narrow_screen_keeps_names_in_sight(leaderboard, open_page):
    """The model's column stays while a table scrolls, links can be touched, and one plot fits the screen."""
    page = open_page(leaderboard, width=390).page
    table = page.locator(".scroll").first
    table.evaluate("box => box.scrollLeft = 300")
    name, box = page.locator("tbody.rows th").first.bounding_box(), table.bounding_box()
    assert box["x"] <= name["x"] < box["x"] + 5
    assert page.locator("tbody.rows th a").first.bounding_box()["height"] >= 24
    plot = page.locator("figure svg:visible")
    assert plot.count() == 1
    assert plot.bounding_box()["width"] <= 390


def test_a_strangers_name_is_text(board, make_entry, tmp_path, open_page):
    """Markup, quotes, escapes and dollars in a name run nothing and break nothing."""
    wild = "<img src=x onerror=alert(1)>\"' $\\frac{x} \x1b[31m\u202e"
    entries = (make_entry(wild, 0.9, cost_usd=1.0, usd_per_image=0.1, notes=(wild,)), make_entry("b", 0.8))
    group = replace(board.groups[0], title=wild, entries=entries, conditions={"categories": [wild, "b"]})
    path = tmp_path / "leaderboard.html"
    path.write_text(board_page(Board((group,))), encoding="utf-8")
    opened = open_page(path)
    assert opened.complaints == []
    assert opened.page.locator("img").count() == 0
    assert rows(opened.page)[0].startswith("<img src=x onerror=alert(1)>")


def test_published_rows_are_filtered_by_their_conditions(published, open_page):
    """By training data, and by reference images; rows of runs stand first."""
    page = open_page(published).page
    headings = page.locator("table.board").first.locator("tbody.heading th").all_text_contents()
    assert headings == ["not ranked", "published"]
    section = page.locator("section.group").first
    section.locator("select.column").select_option(label="Trained on")
    section.locator("input.wanted").fill("nothing")
    assert rows(page) == ["WinCLIP", "WinCLIP", "GPT-4V-AD", "MuSc [transductive]"]
    section.locator("input.wanted").fill("visa")
    assert len(rows(page)) == 5
    third = page.locator("section.group").nth(2)
    third.locator("input.wanted").fill("Shots>=2 Bal.acc.>80")
    assert rows(page, 2) == ["Qwen2.5-VL-7B", "Qwen2.5-VL-7B"]
