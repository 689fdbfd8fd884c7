"""Own images: a page, a card and a column for each set; the order of models and of tables."""

import re

import pytest

from lvlm_ad.site import write_site

pytestmark = pytest.mark.slow


@pytest.fixture
def of_folder(make_run):
    """A function that makes a run of own images of some categories."""

    def make(name, auroc, categories, *, images="f", whole=True, **changes):
        facts = {"name": "folder", "fingerprint": images, "n_images": 80, "whole": whole, "notes": []}
        run = make_run(name, auroc, **changes)
        record = type(run.manifest.dataset).model_validate({**facts, "categories": categories})
        manifest = run.manifest.model_copy(update={"dataset": record})
        return type(run)(run.dir, manifest, run.metrics, run.predictions)

    return make


def titles_of(runs, folder):
    """Path of each page of a set of images -> its title."""
    site = write_site(runs, folder).parent
    pages = sorted((site / "datasets").iterdir())
    return {page.name: re.search("<h1>(.*)</h1>", page.read_text())[1] for page in pages}


def test_each_folder_of_own_images_has_a_page_a_card_and_a_column(of_folder, tmp_path):
    """Named by their categories, and each page has its own rows alone."""
    runs = [of_folder("one", 0.8, ["tiles"], images="1"), of_folder("two", 0.7, ["gears", "bolts"], images="2")]
    assert titles_of(runs, tmp_path / "site") == {
        "folder-bolts-gears.html": "Images of bolts, gears",
        "folder-tiles.html": "Images of tiles",
    }
    index = (tmp_path / "site" / "index.html").read_text()
    assert re.findall(r'<h3><a href="([^"]+)">', index) == [
        "datasets/folder-tiles.html",
        "datasets/folder-bolts-gears.html",
    ]
    assert len(re.findall(r'<th scope="col"(?: class="long")?>(?=<span class="word">Images)', index)) == 2
    tiles = (tmp_path / "site" / "datasets" / "folder-tiles.html").read_text()
    assert "models/one.html" in tiles
    assert "models/two.html" not in tiles


def test_a_part_of_own_images_is_on_the_page_of_the_whole(of_folder, tmp_path):
    """A limited run has another fingerprint, and yet it is of the same folder."""
    runs = [of_folder("one", 0.8, ["tiles"], images="1"), of_folder("one", 0.7, ["tiles"], images="2", whole=False)]
    assert list(titles_of(runs, tmp_path / "site")) == ["folder-tiles.html"]


def test_own_images_of_one_category_that_differ_are_two_sets(of_folder, tmp_path):
    """Two whole folders of the same name: the fingerprints tell them apart, in the title too."""
    runs = [of_folder("one", 0.8, ["tiles"], images="1" * 64), of_folder("one", 0.7, ["tiles"], images="2" * 64)]
    assert titles_of(runs, tmp_path / "site") == {
        "folder-tiles-11111111.html": "Images of tiles, images 11111111",
        "folder-tiles-22222222.html": "Images of tiles, images 22222222",
    }


def test_many_categories_that_begin_alike_have_different_titles(of_folder, tmp_path):
    """A title names three categories and counts the others."""
    runs = [of_folder("one", 0.8, [*"abcd", last], images=last * 64) for last in "xy"]
    assert set(titles_of(runs, tmp_path / "site").values()) == {
        "Images of a, b, c and 2 more, images xxxxxxxx",
        "Images of a, b, c and 2 more, images yyyyyyyy",
    }


def test_models_stand_best_first_and_reference_rows_last(make_run, make_reference_row, make_own_map, tmp_path):
    """By the first data set, where a row without a rank is below those with one; then by the next data set."""
    runs = [
        make_run("a-low", 0.6, dataset="mvtec"),
        make_run("b-high", 0.8, dataset="mvtec"),
        make_own_map("c-unranked", 0.9, dataset="mvtec"),
        make_run("d-elsewhere", 0.7, dataset="ours"),
        make_run("e-elsewhere", 0.9, dataset="ours"),
        make_reference_row("contrast", 0.95, dataset="mvtec"),
    ]
    index = (write_site(runs, tmp_path / "site").parent / "index.html").read_text()
    names = re.findall(r'<th scope="row" data-sort="([^"]+)"><a href="models/', index)
    assert names == ["b-high", "a-low", "c-unranked", "e-elsewhere", "d-elsewhere", "contrast"]
    assert "Sorted by MVTec AD, best first; reference rows last." in index


def test_the_table_with_the_most_ranked_rows_stands_first(make_run, make_reference_row, tmp_path):
    """A table of reference rows alone does not hide it, whatever their titles."""
    runs = [
        make_reference_row("contrast", 0.6, division="0"),
        *(make_run(f"model-{at}", 0.7, division="1", fingerprint="g") for at in range(2)),
    ]
    page = (write_site(runs, tmp_path / "site").parent / "datasets" / "demo.html").read_text()
    first = page.partition('id="group2"')[0]
    assert "models/model-1.html" in first
    assert "models/contrast.html" not in first
