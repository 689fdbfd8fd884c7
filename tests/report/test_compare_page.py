"""``lvlm-ad compare --html``: runs side by side, where they disagree first."""

import json

import pytest

from lvlm_ad import bench
from lvlm_ad.compare import compare_runs
from lvlm_ad.errors import ConfigError
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
    assert page.locator("h1").text_content() == "contrast against chance, oracle"
    card = page.locator(".card").first
    assert card.locator(".stack").count() == 4
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
