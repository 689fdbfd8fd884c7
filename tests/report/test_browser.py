"""The report in a real browser, opened from disk."""

from dataclasses import replace

import pytest

from lvlm_ad.report.run_page import write_report

HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    "<a href='javascript:alert(1)'>x</a> \x1b]0;owned\x07\x1b[31m \u202eevil\u202c " + "w" * 1_000_000
)


@pytest.fixture(scope="module")
def report(kept_run, tmp_path_factory):
    return write_report(kept_run, tmp_path_factory.mktemp("report"))


def names(page):
    return page.locator(".card .name").all_text_contents()


def test_it_opens_from_disk_and_asks_nothing_of_the_network(report, open_page):
    """Every picture comes from beside the page; nothing complains."""
    opened = open_page(report)
    opened.page.locator("#images").scroll_into_view_if_needed()
    opened.page.locator(".card img").first.wait_for()
    opened.page.wait_for_function("[...document.images].some((one) => one.naturalWidth > 0)")
    folder = report.parent.resolve().as_uri()
    assert [url for url in opened.asked if not url.startswith((folder, "data:"))] == []
    assert opened.complaints == []
    assert opened.page.title() == "contrast on folder"


def test_cards_filter_and_sort(report, open_page, kept_run):
    """Filters keep what they name; the order follows the scores; text finds names."""
    page = open_page(report).page
    assert len(names(page)) == len(kept_run.predictions)
    page.select_option("#f-category", "bolt")
    page.select_option("#f-defect", "hole")
    wanted = {one.id: one.image_score for one in kept_run.predictions if one.category == "bolt" and one.label}
    assert set(names(page)) == set(wanted)
    page.select_option("#f-order", "high")
    assert names(page) == sorted(wanted, key=lambda one: -wanted[one])
    page.select_option("#f-order", "low")
    assert names(page) == sorted(wanted, key=lambda one: wanted[one])
    page.fill("#f-text", "001")
    assert names(page) == ["bolt/hole/001"]
    assert page.locator("#found").text_content() == f"1 of {len(kept_run.predictions)} images"
    page.fill("#f-text", "nothing like it")
    assert names(page) == []
    assert not page.locator("#pages").is_visible()
    page.click("#clear")
    assert len(names(page)) == len(kept_run.predictions)
    assert not page.locator("#clear").is_visible()


def test_the_address_names_the_enlarged_image(report, open_page):
    """It can be sent to others; the browser's back closes the view and stays on the page."""
    page = open_page(report).page
    start = page.url
    page.locator(".card").nth(1).click()
    page.locator("#large-after").click()
    shown = page.locator("#large-name").text_content()
    assert shown == names(page)[2]
    address = page.url
    assert address.startswith(f"{start}#image=")
    page.go_back()
    page.locator("#large").wait_for(state="hidden")
    assert page.url == start
    other = open_page(report).page
    other.goto(address)
    other.reload()
    assert other.locator("#large-name").text_content() == shown
    other.locator("#large-close").click()
    other.wait_for_function("location.hash === ''")
    other.goto(f"{start}#image=%22%3E%3Cimg%20src=x%3E")
    assert not other.locator("#large").is_visible()
    broken = open_page(report)
    broken.page.goto(f"{start}#image=%")
    broken.page.reload()
    assert len(names(broken.page)) > 0
    assert broken.complaints == []


def test_the_keyboard_steps_opens_and_toggles(report, open_page):
    """Arrows move between cards and images, Enter opens, digits switch layers, Escape comes back to the card."""
    page = open_page(report).page
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator("#large-name").text_content() == names(page)[1]
    page.keyboard.press("ArrowRight")
    assert page.locator("#large-name").text_content() == names(page)[2]
    before = page.locator("#large-stack img").count()
    page.keyboard.press("3")
    assert page.locator("#large-stack img").count() == before + 1
    page.keyboard.press("3")
    assert page.locator("#large-stack img").count() == before
    page.keyboard.press("Escape")
    assert not page.locator("#large").is_visible()
    # The close event comes after the browser has put the focus back by itself.
    focused = "document.activeElement.querySelector('.name')?.textContent"
    page.wait_for_function(f"(name) => {focused} === name", arg=names(page)[2])
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "f-text"


def test_a_card_shows_every_step(report, open_page):
    """The picture with its ground truth, the marked picture, and the map with its ground truth."""
    page = open_page(report).page
    page.select_option("#f-defect", "hole")
    stacks = page.locator(".card").first.locator(".stack")
    shown = [stacks.nth(at).locator("img").evaluate_all("all => all.map((one) => one.src)") for at in range(3)]
    kinds = [[name.rpartition("/")[2].partition(".")[0].partition("-")[2] for name in names] for names in shown]
    assert kinds == [["", "truth"], ["", "marks"], ["map0", "truth"]]
    assert stacks.count() == 3
    page.select_option("#f-defect", "good")
    assert page.locator(".card").first.locator(".stack").nth(1).locator("img").count() == 2


def test_the_large_view_keeps_its_buttons_in_sight(report, open_page):
    """On a telephone, wherever the words are scrolled to."""
    page = open_page(report, width=390).page
    page.locator(".card").first.click()
    large = page.locator("#large")
    large.evaluate("dialog => { dialog.style.maxHeight = '300px'; dialog.scrollTop = 1e6; }")
    assert large.evaluate("dialog => dialog.scrollTop") > 0
    edge = large.bounding_box()
    for name in ("#large-before", "#large-after", "#large-close", "#large-layers button >> nth=0"):
        box = page.locator(name).bounding_box()
        assert edge["y"] <= box["y"]
        assert box["y"] + box["height"] <= edge["y"] + edge["height"]


def test_an_even_image_is_called_so(kept_run, tmp_path, open_page):
    """Where all scores are the same no image is right or wrong, and the filter finds them; the page says what it is."""
    records = [one.model_copy(update={"image_score": 0.5}) for one in kept_run.predictions]
    records[0] = records[0].model_copy(update={"image_score": None, "status": "refused"})
    run = replace(kept_run, predictions=records, histograms=None)
    page = open_page(write_report(run, tmp_path / "even", pictures=False)).page
    others = records[0].category
    page.select_option("#f-category", next(one.category for one in records if one.category != others))
    page.select_option("#f-verdict", "even")
    assert len(names(page)) == sum(one.category != others for one in records)
    assert "even" in page.locator(".card .row").first.text_content()
    page.select_option("#f-verdict", "right")
    assert names(page) == []
    page.select_option("#f-category", others)
    page.select_option("#f-verdict", "none")
    assert names(page) == [records[0].id]
    assert "Even: exactly half" in page.locator("#images + .note").text_content()


def test_the_table_sorts(report, open_page, kept_run):
    """A click orders the categories by a column, by value, and the mean stays below."""
    page = open_page(report).page
    heads = page.locator("table.sortable").first.locator("thead th")
    heads.nth(5).click()
    page.wait_for_function("document.querySelector('th[aria-sort]')")
    page.wait_for_timeout(50)
    shown = page.locator("table.sortable tbody th").all_text_contents()
    values = {name: one["pixel_auroc"] for name, one in kept_run.metrics["categories"].items()}
    assert shown == sorted(values, key=lambda name: -values[name])
    heads.nth(5).press("Enter")
    page.wait_for_timeout(50)
    assert page.locator("table.sortable tbody th").all_text_contents() == shown[::-1]
    assert page.locator("table.sortable tfoot th").text_content() == "mean"


def test_an_answer_is_text_and_runs_nothing(kept_run, tmp_path, open_page):
    """Markup, scripts, terminal escapes, marks of direction and a megabyte: shown as characters, cut, and counted."""
    records = [
        one.model_copy(
            update={"text": HOSTILE, "defect": "<b>x</b>" if one.label else "good", "notes": [HOSTILE[:300]]}
        )
        for one in kept_run.predictions
    ]
    run = replace(kept_run, predictions=records)
    page_file = write_report(run, tmp_path / "hostile")
    opened = open_page(page_file)
    page = opened.page
    page.locator(".card").first.click()
    said = page.locator("#large-words pre").text_content()
    assert said.startswith("</script><script>document.title=")
    assert "\u241b]0;owned\u2407\u241b[31m \u27e8U+202E\u27e9evil" in said
    assert said.endswith("cut after 20,000 characters; the whole answer is in answers.sqlite")
    assert len(said) < 21_000
    assert page.title() == "contrast on folder"
    assert page.locator("#large-words img").count() == 0
    assert opened.complaints == []


def test_what_is_injected_does_not_run(report, open_page):
    """The policy stops a script even if one came into the page."""
    opened = open_page(report)
    opened.page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'document.title = 1';"
        " document.body.append(one); }"
    )
    assert opened.page.title() == "contrast on folder"
    assert any("Content Security Policy" in text for text in opened.complaints)


def test_four_thousand_images_stay_fluid(kept_run, tmp_path, open_page):
    """The page holds all, draws sixty, and fetches pictures only where the reader is."""
    records = [
        one.model_copy(update={"id": f"{one.category}/{number:04}", "text": "image anomaly score: 0.5 " * 40})
        for number, one in enumerate(list(kept_run.predictions) * (4000 // len(kept_run.predictions) + 1))
    ][:4000]
    page_file = write_report(replace(kept_run, predictions=records, histograms=None), tmp_path / "many", pictures=False)
    page = open_page(page_file).page
    sync_api = pytest.importorskip("playwright.sync_api")
    sync_api.expect(page.locator("#found")).to_have_text("4000 of 4000 images")
    sync_api.expect(page.locator(".card")).to_have_count(60)
    page.locator("#after").click()
    sync_api.expect(page.locator("#page-at")).to_have_text("page 2 of 67")
    assert names(page)[0] == records[60].id
    page.fill("#f-text", "3999")
    sync_api.expect(page.locator(".card")).to_have_count(1)
    images = page.evaluate("document.images.length")
    assert images == 0


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_serious_barrier(report, open_page, width, scheme):
    """axe-core finds nothing serious or critical, with the large view open and closed; a phone scrolls one way."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = open_page(report, width=width, scheme=scheme).page
    # Rows are heads of rows, not buttons.
    assert page.locator("tbody th[tabindex], tfoot th[tabindex]").count() == 0
    assert page.locator("thead th[tabindex]").count() > 0
    # The checker is a script from elsewhere: it enters by the debugger, which the page's policy does not bind.
    for view in ("page", "large"):
        if view == "large":
            page.locator(".card").first.click()
        found = axe.Axe().run(page).response["violations"]
        serious = [
            f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found if one["impact"] in {"serious", "critical"}
        ]
        assert serious == [], view
    assert page.evaluate("document.documentElement.scrollWidth") <= width
