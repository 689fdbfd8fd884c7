"""The pages of a site: complete, linked, harmless, the same for the same runs."""

import json
import re
import runpy
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.leaderboard import make_board
from lvlm_ad.log import Progress
from lvlm_ad.presets import ExportTargets
from lvlm_ad.site import Permissions, SiteOptions, write_site
from lvlm_ad.site.slugs import slugs

pytestmark = pytest.mark.slow

run_maker = runpy.run_path(str(Path(__file__).parents[1] / "leaderboard" / "conftest.py"))["run_maker"]

HOSTILE = '../../<script>alert(1)</script>"\x1b[31m\u202e' + "9" * 200
SETS = ("mvtec", "visa", "btad", "mpdd", "loco", "ours")


class Page(HTMLParser):
    """The addresses of a page and the names of its places."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.places, self.text = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        of = dict(attributes)
        self.places |= {of["id"]} if "id" in of else set()
        if tag == "a" or of.get("rel") == "alternate":
            self.links.append(of["href"])
        elif "src" in of or (tag == "link" and of["href"] != "data:,"):
            self.loaded.append(of.get("src", of.get("href")))

    def handle_data(self, data):
        self.text.append(data)


def pages_of(folder):
    """Path in the site -> its page."""
    found = folder.rglob("*.html")
    return {path.relative_to(folder).as_posix(): Page(path.read_text(encoding="utf-8")) for path in found}


def content_of(folder):
    """Path in the site -> bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_links(folder):
    """Every link of every page leads to a place of the site, or to a published source, and every picture is there."""
    pages = pages_of(folder)
    for name, page in pages.items():
        sources = [link for link in page.links if re.match(r"https://(github\.com|arxiv\.org/abs)/", link)]
        for link in (*page.links, *page.loaded):
            if link in sources and link not in page.loaded:
                continue
            assert not re.match(r"[a-z]+:|/", link), f"{name}: {link} leads out of the site"
            path, _, place = link.partition("#")
            target = (folder / name).parent / unquote(path) if path else folder / name
            assert target.is_file(), f"{name}: {link}"
            assert target.resolve().is_relative_to(folder.resolve()), f"{name}: {link}"
            if place:
                assert place in pages[target.resolve().relative_to(folder.resolve()).as_posix()].places, (
                    f"{name}: {link}"
                )
    return pages


@pytest.fixture(scope="module")
def thirty_runs(tmp_path_factory):
    """Thirty runs of six data sets: three chat models, contrast and chance; they are not on disk."""
    make_run, runs = run_maker(tmp_path_factory.mktemp("runs")), []
    for name in SETS:
        common = {"dataset": name, "fingerprint": name, "whole": name == "mvtec"}
        price = {"price": {"price_input": 1.5}}
        runs += [make_run(f"model-{at}", 0.6 + 0.1 * at, model=price, **common) for at in range(3)]
        frame = {"model": {"frame": True, "kind": "baseline"}, "prompt": ""}
        runs += [make_run(one, 0.5, **frame, **common) for one in ("contrast", "chance")]
    return runs


@pytest.fixture(scope="module")
def built(thirty_runs, tmp_path_factory):
    """The folder of a site of the thirty runs, which tests leave as it is."""
    return write_site(thirty_runs, tmp_path_factory.mktemp("built") / "site").parent


@pytest.fixture
def site(built, tmp_path):
    """A copy of that folder, which a test may change."""
    return Path(shutil.copytree(built, tmp_path / "site"))


def test_thirty_runs_of_six_data_sets_have_a_page_each_and_every_link_leads_somewhere(site):
    """A page for each data set and each model; the first one names them all; no page loads a file from elsewhere."""
    pages = check_links(site)
    assert {f"datasets/{name}.html" for name in SETS} <= set(pages)
    models = [f"models/{name}.html" for name in ("model-0", "model-1", "model-2", "contrast", "chance")]
    assert set(models) <= set(pages)
    assert {*models, *(f"datasets/{name}.html" for name in SETS)} <= {
        link.partition("#")[0] for link in pages["index.html"].links
    }


def test_the_first_page_says_which_model_is_best_and_whether_it_beats_contrast(site):
    """On each card the best rows of a table, with the difference to the row without weights and its interval."""
    text = re.sub(r"\s+", " ", " ".join(pages_of(site)["index.html"].text))
    assert text.count("model-2 is surely better than contrast: it scores 30.0 points of image AUROC more (") == len(
        SETS
    )
    assert "published results" in text
    assert "These runs were not verified" in text


def test_the_tables_of_a_data_set_are_those_of_the_leaderboard(site, thirty_runs):
    """Same titles, same rows, same order; published rows stand in a table of their own below."""
    page = (site / "datasets" / "mvtec.html").read_text(encoding="utf-8")
    group = next(one for one in make_board(thirty_runs).groups if one.conditions["dataset"] == "mvtec")
    assert re.findall(r'<h2 id="group\d">([^<]+)</h2>', page) == [group.title, "Published results: MVTec AD"]
    measured, published = page.split('id="group2"')
    for text, kinds in ((measured, {"ranked", "frame"}), (published, {"published"})):
        names = re.findall(r'<tr class="(\w+)".*?<th scope="row" data-sort="([^"]+)"', text, re.DOTALL)
        assert {kind for kind, _ in names} == kinds
    names = [
        name for _, name in re.findall(r'<tr class="(\w+)".*?<th scope="row" data-sort="([^"]+)"', measured, re.DOTALL)
    ]
    assert names == [entry.name for _, entry in group.rows() if entry.kind != "published"]


def test_the_same_runs_give_the_same_bytes(thirty_runs, site, tmp_path):
    """No time of building, no order of a set; and a site that is built again stays as it is."""
    before = content_of(site)
    write_site(thirty_runs, tmp_path / "again")
    assert content_of(tmp_path / "again") == before
    write_site(thirty_runs, site)
    assert content_of(site) == before


def test_the_page_on_submission_links_the_repository_of_the_runs(thirty_runs, site, tmp_path):
    """By the address and name in the file of exports; without them there is no link, but what to send and to whom."""
    targets = ExportTargets(source_url="https://example.org/runs?a=1&b=<2>", source_name="Our <runs>")
    own = write_site(thirty_runs[:3], tmp_path / "own", options=SiteOptions(targets=targets)).parent
    pages = {name: Page((folder / "submit.html").read_text()) for name, folder in (("own", own), ("plain", site))}
    assert "https://example.org/runs?a=1&b=<2>" in pages["own"].links
    texts = {name: re.sub(r"\s+", " ", " ".join(page.text)) for name, page in pages.items()}
    assert "pull request that adds the run's folder to the runs of this site: Our <runs> ." in texts["own"]
    assert "Send the run's folder to whoever publishes this site." in texts["plain"]
    assert not [link for link in pages["plain"].links if "://" in link]


def test_the_first_page_has_words_for_data_sets_and_training_data(site):
    """No names of the program stand on it; the feeds keep them."""
    text = re.sub(r"\s+", " ", " ".join(pages_of(site)["index.html"].text))
    assert "trained on synthetic anomalies" in text
    assert "trained on Expert-AD, whose images are of unknown origin" in text
    assert "MVTec AD 80 images, 2 categories " in text
    assert "VisA 80 images, 2 categories; a part of the test images" in text
    assert not re.search(r"expert-ad|mvtec|trained on (visa|synthetic\b(?! anomalies))", text)
    feed = (site / "feeds" / "published.json").read_text()
    assert {"expert-ad", "synthetic", "mvtec"} <= set(re.findall(r'"trained_on": "([^"]+)"', feed))


class Notes(Progress):
    """Keeps notes."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        """Keep one."""
        self.texts.append(text)


def test_pages_that_are_no_longer_made_go_and_nothing_else(thirty_runs, site):
    """Files of others stay, and so does a page that somebody changed, which one line names."""
    (site / "CNAME").write_text("example.org")
    (site / "datasets" / "notes.txt").write_text("mine")
    changed = site / "datasets" / "loco.html"
    changed.write_text("changed by hand")
    (site / "datasets" / "btad.html").unlink()  # what somebody deleted is no news
    notes = Notes()
    left = [run for run in thirty_runs if run.manifest.dataset.name in {"mvtec", "visa"}]
    write_site(left, site, progress=notes)
    (said,) = notes.texts
    assert said.startswith(f"{changed} is no longer part of the site. It was changed by hand and therefore kept")
    left = {path for path in content_of(site) if path.startswith("datasets/")}
    assert left == {"datasets/mvtec.html", "datasets/visa.html", "datasets/notes.txt", "datasets/loco.html"}
    assert ((site / "CNAME").read_text(), changed.read_text()) == ("example.org", "changed by hand")
    assert not [link for link in pages_of(site)["index.html"].links if "loco" in link]


def test_names_of_runs_do_no_harm(make_run, tmp_path):
    """Markup, escapes and paths of a model, a data set and a category are text; the names of files are plain."""
    runs = [
        make_run(HOSTILE, 0.8, dataset=HOSTILE, model={"label": "<b>x</b>", "notes": ["<i>note</i>"]}),
        make_run(f"{HOSTILE}2", 0.7, dataset=HOSTILE),
        make_run("Model", 0.6, dataset=HOSTILE),
        make_run("model", 0.5, dataset=HOSTILE),
    ]
    site = write_site(runs, tmp_path / "site").parent
    pages = check_links(site)
    assert all(re.fullmatch(r"[a-z0-9./-]+", name) for name in pages)
    assert len([name for name in pages if name.startswith("models/")]) == 4
    for name in pages:
        text = (site / name).read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<b>x</b>" not in text
        assert not {"\x1b", "\u202e"} & set(text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site"]


def test_names_of_files_differ_whatever_the_names():
    """Upper and lower case, paths, empty names, names of devices, names that end alike after 60 letters."""
    names = ["a", "A", "../a", "a-2", "", "\u65e5\u672c", "con", "x" * 99, "x" * 98, "index", "aux.v2"]
    found = slugs(names)
    assert len({slug.lower() for slug in found.values()}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", slug) for slug in found.values())
    assert (found["a"], found["a-2"]) == ("a", "a-2")
    assert (found["con"], found["index"]) == ("con-2", "index-2")


def test_no_file_is_named_like_a_device():
    """Windows reserves the names of devices up to the first dot; the number stands before it, and names differ."""
    names = ["nul.html", "NUL.html", "nul-2.html", "aux.v2", "lpt1.x.y", "con.", "com\u00b9.z", "console.html"]
    found = slugs(names)
    devices = {"con", "prn", "aux", "nul", *(f"{kind}{at}" for kind in ("com", "lpt") for at in range(10))}
    assert not {slug.partition(".")[0] for slug in found.values()} & devices
    assert len(set(found.values())) == len(names)
    assert (found["nul.html"], found["aux.v2"], found["console.html"]) == ("nul-3.html", "aux-2.v2", "console.html")


def test_pictures_need_a_permission():
    """The demo and VisA itself by default; other sets if their owner says so; none at all if that is wanted."""
    usual = Permissions()
    assert usual.why_not("demo", ["pills"]) == ""
    assert usual.why_not("visa", ["candle"]) == ""
    assert "no licence" in usual.why_not("visa", ["our-own-part"])
    assert "CC BY-NC-SA 4.0" in usual.why_not("mvtec", ["bottle"])
    assert usual.why_not("folder", ["x"]) != ""
    assert Permissions.of("folder").why_not("folder", ["x"]) == ""
    assert Permissions.of("none").why_not("demo", ["pills"]) != ""
    with pytest.raises(ConfigError, match=r"no data set 'mvtek'. Did you mean 'mvtec'"):
        Permissions.of("mvtek")


def test_without_permission_a_page_says_why_there_are_no_pictures(site):
    """And the site has no picture at all."""
    text = " ".join(pages_of(site)["models/model-1.html"].text)
    assert "No pictures of MVTec AD, BTAD, MVTec LOCO AD, MPDD: the licence" in re.sub(r"\s+", " ", text)
    assert not list(site.rglob("*.jpg"))


def test_the_site_says_what_was_verified(thirty_runs, tmp_path):
    """On the first page, on those of data sets, and on how to submit."""
    options = SiteOptions(verified=True, data=tmp_path)
    site = write_site(
        [run for run in thirty_runs if run.manifest.model.frame], tmp_path / "site", options=options
    ).parent
    for name in ("index.html", "datasets/mvtec.html", "submit.html"):
        assert "Every run was verified: its numbers were recomputed from its files, and its labels" in " ".join(
            pages_of(site)[name].text
        )


def test_the_site_says_which_data_sets_the_runs_were_compared_with(thirty_runs, tmp_path):
    """The first page names them; each page of a data set speaks of its own, and its rows have the note."""
    options = SiteOptions(verified=True, data={"mvtec": tmp_path})
    site = write_site(
        [run for run in thirty_runs if run.manifest.model.frame], tmp_path / "site", options=options
    ).parent
    texts = {name: " ".join(page.text) for name, page in pages_of(site).items()}
    whole = "Labels and pixel counts were compared with the images and masks of MVTec AD, not with those of "
    assert whole in texts["index.html"]
    assert whole in texts["submit.html"]
    assert "files, and its labels and pixel counts were compared with" in texts["datasets/mvtec.html"]
    assert "files. Labels and pixel counts were not compared" in texts["datasets/btad.html"]
    feed = json.loads((site / "feeds" / "leaderboard.json").read_text())["groups"]
    noted = {
        group["conditions"]["dataset"]
        for group in feed
        if any("were not compared with" in str(entry["notes"]) for entry in group["entries"])
    }
    assert noted == {group["conditions"]["dataset"] for group in feed} - {"mvtec"}


def test_prices_and_costs_stand_on_the_page_of_a_model(site):
    """The price list, the cost of an image, in all, and by category."""
    text = re.sub(r"\s+", " ", " ".join(pages_of(site)["models/model-1.html"].text))
    assert "Price: 1.50 USD per million input tokens." in text
    assert "0.0063" in text
    assert "480 of 480 images, over 6 runs" in text


def test_a_feed_is_linked_from_every_page(site):
    """As an alternative form of the page, for programs, and by a link on the first page."""
    pages = pages_of(site)
    for name, page in pages.items():
        assert any(link.endswith("feeds/leaderboard.json") for link in page.links), name
    assert "exports/evaluation-tables.json" in pages["index.html"].links
    assert 'type="application/feed+json" href="feeds/runs.json"' in (site / "index.html").read_text()
    assert json.loads((site / "feeds" / "leaderboard.json").read_text())["groups"]


def test_a_folder_without_runs_makes_a_site_of_published_results(lvlm_ad_command, tmp_path):
    """Before the first submission, and after the last was removed; without --site, no run is an error, as before."""
    empty = tmp_path / "submissions"
    empty.mkdir()
    (empty / ".gitkeep").touch()
    done = lvlm_ad_command("leaderboard", empty, "--verify", "--site", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert f"There is no run in {empty}: the site shows published results" in done.stderr
    pages = check_links(tmp_path / "site")
    assert sorted(pages) == ["index.html", "published.html", "submit.html"]
    texts = {name: re.sub(r"\s+", " ", " ".join(page.text)) for name, page in pages.items()}
    assert "No run is here yet; how to submit one ." in texts["index.html"]
    assert not [name for name in texts if "verified:" in texts[name] or "The runs of this site" in texts[name]]
    assert "The best on each data set" not in texts["index.html"]
    assert lvlm_ad_command("leaderboard", empty).returncode == 2
    (empty / "broken").mkdir()
    (empty / "broken" / "run.json").write_text("{}")
    refused = lvlm_ad_command("leaderboard", empty, "--site", tmp_path / "site")
    assert (refused.returncode, "can be shown" in refused.stderr) == (2, True)


def test_the_feed_of_new_runs_has_links_where_the_address_is_known(thirty_runs, site, tmp_path):
    """To the site, to itself, and of each run to the page of its model; without an address there are none."""
    address = "https://example.org/board"
    own = tmp_path / "own"
    write_site(thirty_runs, own, options=SiteOptions(targets=ExportTargets(site_url=address)))
    feed = json.loads((own / "feeds" / "runs.json").read_text())
    assert (feed["home_page_url"], feed["feed_url"]) == (f"{address}/", f"{address}/feeds/runs.json")
    assert len(feed["items"]) == 18
    for item in feed["items"]:
        path = item["url"].removeprefix(f"{address}/")
        assert path.startswith("models/model-")
        assert (own / path).is_file()
    assert "://" not in (site / "feeds" / "runs.json").read_text().replace("https://jsonfeed.org", "")
