"""``lvlm-ad compare --html``: runs side by side, where they disagree first."""

import json
from dataclasses import replace

import pytest

from lvlm_ad import bench
from lvlm_ad.compare import compare_runs
from lvlm_ad.errors import ConfigError
from lvlm_ad.report.cards import letter
from lvlm_ad.report.compare_page import write_comparison
from lvlm_ad.report.page import signed
from lvlm_ad.runs import read_run


@pytest.fixture
def runs(small_data, tmp_path):
    """Contrast, chance and oracle through the same regions, and contrast's own map."""
    settings = {"image_size": 96, "n_segments": 12, "min_area": 0}
    made = bench(data=small_data, settings=settings, out=tmp_path / "runs", resamples=50)
    return {run.manifest.row_name: read_run(run.dir) for run in made}


def test_runs_side_by_side(runs, tmp_path, open_page):
    """Every run's map on every card, the most different image first, each pair's differences in a table."""
    three = [runs[name] for name in ("contrast", "chance", "oracle")]
    opened = open_page(write_comparison(three, tmp_path / "page", resamples=100))
    page = opened.page
    assert page.locator("h1").text_content() == "A contrast against B chance, C oracle"
    card = page.locator(".card").first
    assert card.locator(".stack").count() == 5
    assert card.locator(".row").count() == 3
    found = compare_runs(runs["contrast"], runs["chance"], 100)
    table = page.locator("table").nth(1)
    assert table.locator("tbody th").all_text_contents() == list(found.categories)
    shown = table.locator("tfoot td").nth(3).text_content()
    assert shown.startswith(signed(found.mean["pixel_auroc"].difference))
    data = json.loads(page.locator("#data").text_content())
    apart = {
        one["id"]: max(run["placed"] for run in one["runs"]) - min(run["placed"] for run in one["runs"])
        for one in data["cards"]
    }
    order = page.locator(".card .name").all_text_contents()
    assert [apart[name] for name in order] == sorted(apart.values(), reverse=True)
    assert opened.complaints == []
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    violations = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in {"serious", "critical"}] == []


def test_a_letter_says_whose_a_map_is(runs, tmp_path, open_page):
    """However narrow its panel, and however much names have in common: on maps, lines, tables and in the large view."""
    long = "house-model-with-a-very-long-name-that-ends-in-"
    two = []
    for end in ("one", "two"):
        manifest = runs["contrast"].manifest
        model = manifest.model.model_copy(update={"name": long + end})
        two.append(replace(runs["contrast"], manifest=manifest.model_copy(update={"model": model})))
    page = open_page(write_comparison(two, tmp_path / "page", resamples=100), width=390).page
    card = page.locator(".card").first
    for at, wanted in enumerate("AB"):
        label = card.locator(".whose").nth(at)
        mark, box = label.locator("b").bounding_box(), label.bounding_box()
        assert label.locator("b").text_content() == wanted
        assert box["x"] <= mark["x"]
        assert mark["x"] + mark["width"] <= box["x"] + box["width"]
        assert card.locator(".row b").nth(at).text_content() == wanted
    assert page.locator("table").first.locator("tbody th").all_text_contents() == [f"A {long}one", f"B {long}two"]
    card.click()
    assert page.locator("#large-layers button").all_text_contents()[-2:] == ["Map A", "Map B"]
    assert page.locator("#large-words h3").all_text_contents() == [f"A {long}one", f"B {long}two"]


def test_a_run_beside_itself_is_said(runs, tmp_path):
    """The page says that both are one run."""
    page = write_comparison([runs["contrast"]] * 2, tmp_path / "page", resamples=100, pictures=False)
    assert "a run is compared with itself" in page.read_text()


@pytest.mark.parametrize(("at", "shown"), [(0, "A"), (25, "Z"), (26, "A2"), (53, "B3")])
def test_there_are_letters_for_any_number_of_runs(at, shown):
    """A to Z, then A2 and so on."""
    assert letter(at) == shown


def test_a_dense_row_has_no_map_and_takes_the_others_division(runs, tmp_path):
    """Marks come from the run that is divided; the dense row's panel is left out."""
    pair = [runs["contrast (dense)"], runs["contrast"]]
    page = write_comparison(pair, tmp_path / "page", resamples=100)
    data = json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])
    for card in data["cards"]:
        assert card["marks"]
        assert [bool(run["map"]) for run in card["runs"]] == [False, True]
    assert "differ in row" in page.read_text()


def test_the_command(runs, lvlm_ad_command):
    """Two or more runs to a page; the terminal takes two; one is no comparison."""
    folders = [run.dir for run in runs.values() if run.manifest.division.hash]
    done = lvlm_ad_command("compare", *folders, "--html", "page", "--no-pictures", "--json", "--resamples", 100)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"page": "page/index.html"}
    done = lvlm_ad_command("compare", *folders)
    assert (done.returncode, "--html DIR" in done.stderr) == (2, True)
    assert lvlm_ad_command("compare", folders[0]).returncode == 2
    with pytest.raises(ConfigError, match="two runs or more"):
        write_comparison([runs["contrast"]], folders[0])
