"""A site of real runs, by the command: what it contains, what it leaves out, and how it looks in a browser."""

import json
import re
import runpy
import shutil
from pathlib import Path

import pytest

from lvlm_ad.site import write_site

pytestmark = pytest.mark.heavy

check_links, content_of = map(
    runpy.run_path(str(Path(__file__).with_name("test_site.py"))).get, ("check_links", "content_of")
)

PAGES = (
    *("index.html", "published.html", "submit.html", "datasets/demo.html", "datasets/mvtec.html"),
    *("models/seer-large.html", "models/contrast.html", "studies/stability"),
)
"""One page of each kind at least; of a study, the beginning of its folder's name."""


@pytest.fixture(scope="session")
def built(many_runs, in_process, built_once):
    """The site of 37 runs of six data sets and three studies; tests leave it as it is."""

    def build(folder):
        done = in_process(["leaderboard", many_runs, "--site", folder / "site", "--gallery", "btad"])
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == f"site: {folder / 'site' / 'index.html'}"

    return built_once("built", build) / "site"


def path_of(folder, name):
    """The file of a page of ``PAGES``."""
    if name.endswith(".html"):
        return folder / name
    return next(folder.glob(f"{name}*/index.html"))


def test_every_link_of_a_site_of_real_runs_leads_somewhere(built):
    """Pages of six data sets, five models and three studies, pictures, feeds; each page is small."""
    pages = check_links(built)
    assert [
        len([name for name in pages if name.startswith(f"{kind}/")]) for kind in ("datasets", "models", "studies")
    ] == [6, 5, 3]
    assert all((built / name).stat().st_size < 400_000 for name in pages)
    assert {"study.json", "study.csv", "study.tex", "index.html"} == {
        path.name for path in path_of(built, "studies/stability").parent.iterdir()
    }


def test_pictures_are_of_permitted_data_sets_alone(built):
    """The demo and VisA by default, BTAD by --gallery: the others have none."""
    shown = {path.parent.name for path in (built / "pictures").rglob("*.jpg")}
    assert shown == {"demo", "visa", "btad"}
    assert len(list((built / "pictures" / "seer-large" / "demo").glob("*.jpg"))) == 6
    page = (built / "models" / "seer-large.html").read_text(encoding="utf-8")
    assert "CC BY 4.0. Available at github.com/amazon-science/spot-diff." in page
    assert "No pictures of MVTec AD, MPDD: the licence" in page
    assert str(built.parent.parent) not in page


def test_a_page_of_a_model_has_its_methods_side_by_side(built):
    """With paired differences, on the same images."""
    page = (built / "models" / "seer-large.html").read_text(encoding="utf-8")
    assert "Methods side by side" in page
    assert "boxes [" in page


def test_false_runs_and_studies_are_left_out_if_runs_are_verified(many_runs, in_process, tmp_path):
    """The pages say that the others were verified, and the exit status stops a pipeline."""
    sent, site = tmp_path / "sent", tmp_path / "site"
    shutil.copytree(
        many_runs,
        sent,
        ignore=lambda _, names: [one for one in names if "-" in one and "demo" not in one],
    )
    false = next(sent.glob("seer-large-demo-*")) / "metrics.json"
    metrics = json.loads(false.read_text())
    metrics["mean"]["image_auroc"] = 0.99
    false.write_text(json.dumps(metrics))
    done = in_process(["leaderboard", sent, "--verify", "--site", site])
    assert done.returncode == 2
    assert "3 studies are left out: --verify cannot recompute figures of studies." in done.stderr
    assert "image_auroc" in done.stderr
    text = (site / "index.html").read_text(encoding="utf-8")
    assert "Every run was verified: its numbers were recomputed from its files." in text
    assert "seer-small" in text
    assert not (site / "studies").exists()
    assert "0.99" not in (site / "feeds" / "leaderboard.csv").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--format", "html"], "--data, --gallery and --exports, not --format."),
        (["--shots", "0"], "and --exports, not --shots."),
        (["--published"], "and --exports, not --published."),
        (["--gallery", "mvtek"], "--gallery: there is no data set 'mvtek'. Did you mean 'mvtec'?"),
        (["--exports", "nothing.toml"], "nothing.toml"),
    ],
)
def test_options_that_do_not_go_together_are_refused(many_runs, in_process, tmp_path, more, message):
    """One clear line, and nothing is written."""
    done = in_process(["leaderboard", many_runs, "--site", tmp_path / "site", *more])
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "site").exists()


def test_options_of_a_site_need_one(many_runs, in_process):
    """--gallery and --data alone would do nothing."""
    for more, message in (
        (["--gallery", "demo"], "--gallery needs --site"),
        (["--data", "x"], "--data needs --verify or --site"),
    ):
        done = in_process(["leaderboard", many_runs, *more])
        assert (done.returncode, message in done.stderr) == (2, True)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (1920, "dark")])
def test_pages_are_quiet_fit_the_screen_and_have_no_barrier(name, width, scheme, built, open_page):
    """Only files of the site are requested, no error, nothing wider than the screen; axe finds nothing serious."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    opened = open_page(path_of(built, name), width=width, scheme=scheme)
    page = opened.page
    assert [url for url in opened.requested if not url.startswith((built.as_uri(), "data:"))] == []
    assert opened.complaints == []
    violations = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in {"serious", "critical"}] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].every((one) => one.complete && one.naturalWidth)")


def test_the_keyboard_reaches_every_page(built, open_page):
    """Tab goes from the skip link over the site's links to the first card, and Enter opens it."""
    page = open_page(built / "index.html").page
    reached = []
    for _ in range(7):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent"))
    assert reached == [
        "Skip to content",
        "Leaderboard",
        "Models",
        "Published results",
        "Submit a run",
        "Downloads",
        "MVTec AD",
    ]
    page.keyboard.press("Enter")
    page.wait_for_url("**/datasets/mvtec.html")


def test_published_results_are_filtered_in_the_page(built, open_page):
    """By training data, shots and method; without scripts every row is there."""
    page = open_page(built / "published.html").page
    rows = page.locator("tr.published:visible")
    total = rows.count()
    search = page.get_by_role("search")
    search.get_by_label("Trained on").select_option("nothing")
    search.get_by_label("Shots").select_option("0")
    search.get_by_label("Method").select_option("regions")
    names = page.locator("tr.published:visible th").all_text_contents()
    assert names
    assert all(name.startswith("GPT-4V-AD") for name in names)
    assert page.locator("#kept").text_content().endswith(" rows")
    assert total > len(names)
    assert total == page.locator("tr.published").count()


def test_print_has_every_category_and_no_controls(built, open_page):
    """Paper cannot be unfolded, and has no use for links of the site."""
    page = open_page(built / "models" / "seer-large.html").page
    page.emulate_media(media="print")
    assert page.locator("nav.site").is_hidden()
    tables = page.locator("section.tables table")
    assert tables.count() > 1
    assert all(tables.nth(at).bounding_box()["height"] > 20 for at in range(tables.count()))


def test_print_is_dark_on_light_whatever_the_colour_scheme(built, open_page):
    """Paper is white: a reader's dark scheme does not make the text light."""
    page = open_page(built / "index.html", scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    colour = page.evaluate("getComputedStyle(document.body).color")
    assert max(map(int, re.findall(r"\d+", colour))) < 60


def test_the_same_runs_give_the_same_site(many_runs, built, in_process, tmp_path):
    """Pictures and plots too."""
    done = in_process(["leaderboard", many_runs, "--site", tmp_path / "again", "--gallery", "btad"])
    assert done.returncode == 0
    assert content_of(tmp_path / "again") == content_of(built)


def test_long_and_hostile_names_fit_a_phone_and_run_nothing(make_run, tmp_path, open_page):
    """Of a model, a label, a data set, a category and a note."""
    hostile = "<img src=x onerror=\"document.title='owned'\">\x1b[31m\u202e" + "9" * 150
    runs = [
        make_run(f"{hostile}{at}", 0.6 + at / 10, dataset=hostile, model={"label": hostile, "notes": [hostile]})
        for at in range(2)
    ]
    folder = write_site(runs, tmp_path / "site").parent
    for path in sorted(folder.rglob("*.html")):
        opened = open_page(path, width=390)
        assert opened.complaints == [], path.name
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        assert opened.page.title() != "owned"
