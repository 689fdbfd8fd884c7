"""What the pages contain, without a browser."""

import html
import json
import re
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lvlm_ad.compare import compare_runs
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import ConfigError, DataError
from lvlm_ad.escape import escaped, visible
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.leaderboard import Board, Filters, Group, percent, published_board, signed
from lvlm_ad.log import Progress
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.report import heat
from lvlm_ad.report.board_page import board_page, cost_plot
from lvlm_ad.report.gallery import gallery, letter
from lvlm_ad.report.interval_words import interval_notes
from lvlm_ad.report.page import linked, render
from lvlm_ad.report.plots import save_plots
from lvlm_ad.report.run_pages import write_comparison, write_report
from lvlm_ad.report.run_plots import run_plots
from lvlm_ad.report.summary import curves_of
from lvlm_ad.runs import METRIC_NAMES, read_run
from lvlm_ad.text2seg import paint


def data_of(page):
    """The gallery's data in a page."""
    return json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])


def pixels(path, mode="RGB"):
    """A picture as an array."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert(mode))


def test_a_report_has_every_image_with_its_files(report, kept_run):
    """Each image is a card; its picture, marks and map stand beside the page, and the outline of a defect."""
    cards = data_of(report)["cards"]
    assert [card["id"] for card in cards] == [record.id for record in kept_run.predictions]
    for card, record in zip(cards, kept_run.predictions, strict=True):
        (answer,) = card["runs"]
        assert (answer["score"], answer["status"], answer["text"]) == (record.image_score, record.status, record.text)
        for name in (card["image"], card["marks"], answer["map"]):
            assert (report.parent / "pictures" / name).is_file()
        assert bool(card["truth"]) == card["label"]
    text = report.read_text()
    title = '<h2 id="images">Images</h2>'
    for part in (
        f"{100 * kept_run.metrics['mean']['pixel_auroc']:.1f}",
        kept_run.manifest.config_hash,
        "16 of 22",
        title,
    ):
        assert part in text


def test_layers_are_what_the_model_saw_and_answered(report, kept_run, images):
    """Marks on the image are the marked image; the map has each region's score; the outline surrounds the defect."""
    with ExitStack() as stack:
        sources = find_sources(kept_run, images, Progress(), stack)
        highest = max(max(one.regions.values(), default=0) for one in kept_run.predictions)
        for card, record in list(zip(data_of(report)["cards"], kept_run.predictions, strict=True))[::5]:
            sample = sources.samples[record.id]
            image, regions = resize_image(sample.image, (192, 192)), sources.divisions.regions(sample)
            marks = pixels(report.parent / "pictures" / card["marks"], "RGBA")
            stacked = np.where(marks[..., 3:] > 0, marks[..., :3], image)
            assert (stacked == draw_marks(image, regions, MarkStyle())).all()
            expected = heat(paint(record.regions, regions).dense() / highest)
            # Of the colours, 256 are enough.
            shown = pixels(report.parent / "pictures" / card["runs"][0]["map"])
            assert np.abs(shown.astype(int) - expected).max() <= 1
            if record.label:
                outline = pixels(report.parent / "pictures" / card["truth"], "RGBA")[..., 3] > 0
                mask = resize_mask(sample.mask, (192, 192))
                assert outline.any()
                assert not (outline & mask).any()
                rows, inside = np.nonzero(outline.any(axis=1))[0], np.nonzero(mask.any(axis=1))[0]
                assert rows.min() in {inside.min() - 1, 0}


def test_a_report_needs_the_measured_images(kept_run, images, tmp_path):
    """It asks for --data if it does not know where they are, and refuses other images."""
    with pytest.raises(DataError, match="name their folder with --data"):
        write_report(kept_run, tmp_path / "page")
    other = shutil.copytree(images, tmp_path / "other")
    first, second = sorted(other.glob("bolt/test/good/*"))[:2]
    shutil.copy(second, first)
    with pytest.raises(DataError, match="are not those that"):
        write_report(kept_run, tmp_path / "page", data=other)
    first.unlink()
    with pytest.raises(DataError, match="lacks 1 images"):
        write_report(kept_run, tmp_path / "page", data=other)


def test_the_command_writes_a_report(run_folder, images, lvlm_ad_command):
    """Beside the run, which stays as it is; a run that was copied here gets nothing else beside it."""
    done = lvlm_ad_command("report", run_folder, "--data", images, "--json")
    assert done.returncode == 0, done.stderr
    page = run_folder / "report" / "index.html"
    assert json.loads(done.stdout) == {"page": str(page)}
    assert all(card["marks"] for card in data_of(page)["cards"])
    assert [path.name for path in run_folder.parent.iterdir()] == ["run"]
    read_run(run_folder)
    done = lvlm_ad_command("report", "nowhere")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)


def test_plots_are_written_as_figures(kept_run, tmp_path):
    """As PDF and as PNG."""
    plots = run_plots(kept_run, {})[:1]
    save_plots(plots, tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"scores.pdf", "scores.png"}


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"hash": "other"}, "divides the images differently"),
        ({"method": "sam", "options": {"sam_model": "/etc", "sam_weights": "0" * 64}}, "has never used"),
    ],
)
def test_a_division_that_cannot_be_repeated_is_explained(kept_run, images, changes, note):
    """Pictures have no marks and no maps then; a model that a stranger's run names is not even looked for."""
    division = kept_run.manifest.division.model_copy(update=changes)
    run = replace(kept_run, manifest=kept_run.manifest.model_copy(update={"division": division}))
    with ExitStack() as stack:
        sources = find_sources(run, images, Progress(), stack)
    assert sources.divisions is None
    assert note in sources.note


def test_verdicts(kept_run, tmp_path):
    """Right above half of the other kind, even at half; an image without a score counts as 0 and has no verdict."""
    data, legend = gallery([kept_run], None, tmp_path, Progress())
    answers = [card["runs"][0] for card in data["cards"]]
    for answer in answers:
        expected = (
            {True: "right", False: "wrong"}[answer["separation"] > 0.5] if answer["separation"] != 0.5 else "even"
        )
        assert answer["verdict"] == ("" if answer["score"] is None else expected)
    assert "" in {answer["verdict"] for answer in answers}
    assert "Even: exactly half" in legend


def test_answers_are_whole_while_there_is_room(kept_run, tmp_path):
    """Up to 20 MB of answers; beyond that the beginning of each. A cut answer says so."""
    texts = ["short", "a" * 4000, "b" * 4001, "c" * 20_000]

    def shown(more):
        records = [
            one.model_copy(update={"text": text}) for one, text in zip(kept_run.predictions, texts, strict=False)
        ]
        records += [records[0].model_copy(update={"text": "d" * 20_000})] * more
        data, legend = gallery([replace(kept_run, predictions=records)], None, tmp_path, Progress())
        cards = [card["runs"][0] for card in data["cards"]]
        return [(len(card["text"]), card["more"]) for card in cards[:4]], "Answers are cut" in legend

    rest = "the run's files have the rest"
    assert shown(0) == ([(5, ""), (4000, ""), (4001, ""), (20_000, f"cut after 20,000 characters; {rest}")], False)
    cut = (4000, f"cut after 4,000 characters; {rest}")
    assert shown(1000) == ([(5, ""), (4000, ""), cut, cut], True)


def test_runs_side_by_side(comparison, two_runs):
    """Every image with the map of every run, and each pair's differences; the page says where runs are not alike."""
    text, data = comparison.read_text(), data_of(comparison)
    assert data["letters"] == ["A", "B"]
    assert all(all(run["map"] for run in card["runs"]) for card in data["cards"])
    found = compare_runs(*two_runs, 50)
    for difference in found.mean.values():
        assert signed(difference.difference) in text
    assert f"A {two_runs[0].manifest.row_name} minus B {two_runs[1].manifest.row_name}" in text


def test_an_own_map_has_no_map_in_the_gallery(kept_run, images, tmp_path):
    """Marks come from the run that is divided; the other says why it has no map. A run beside itself is mentioned."""
    manifest = kept_run.manifest
    update = {"model": manifest.model.model_copy(update={"row": "dense"})}
    update["division"] = manifest.division.model_copy(update={"hash": "", "method": ""})
    own = replace(kept_run, manifest=manifest.model_copy(update=update), dir=kept_run.dir.with_name("own"))
    page = write_comparison([own, kept_run], tmp_path / "page", resamples=50, data=images)
    for card in data_of(page)["cards"]:
        assert card["marks"]
        assert [bool(run["map"]) for run in card["runs"]] == [False, True]
    assert data_of(page)["no_map"] == ["No map: a run does not store a baseline's own maps", ""]
    page = write_comparison([kept_run] * 2, tmp_path / "page", resamples=50, pictures=False)
    assert "a run is compared with itself" in page.read_text()
    with pytest.raises(ConfigError, match="two runs or more"):
        write_comparison([kept_run], tmp_path / "page")


@pytest.mark.parametrize(("index", "shown"), [(0, "A"), (25, "Z"), (26, "A2"), (53, "B3")])
def test_there_are_letters_for_any_number_of_runs(index, shown):
    """A to Z, then A2 and so on."""
    assert letter(index) == shown


def test_a_run_of_other_regions_says_why_it_has_no_map(kept_run, images, tmp_path):
    """Beside a run whose regions are drawn; without pictures there is nothing to say."""
    division = kept_run.manifest.division.model_copy(update={"hash": "other"})
    other = replace(kept_run, manifest=kept_run.manifest.model_copy(update={"division": division}))
    with ExitStack() as stack:
        sources = find_sources(kept_run, images, Progress(), stack)
        data, _ = gallery([kept_run, other], sources, tmp_path, Progress())
        undivided, _ = gallery([kept_run], replace(sources, divisions=None, note="why"), tmp_path, Progress())
    assert data["no_map"] == ["", "No map: this run divides the image into other regions"]
    assert undivided["no_map"] == ["No map: the regions of this image are not available"]
    assert gallery([kept_run], None, tmp_path, Progress())[0]["no_map"] == [""]


def test_a_report_of_an_older_version_shows_no_interval(kept_run, tmp_path):
    """Its intervals were too narrow: the page says so, and how to get others; a run without resamples never had any."""
    page = write_report(kept_run, tmp_path, pictures=False).read_text()
    assert "an older version measured this run" in page
    assert 'class="ends"' not in page.partition('id="decisions"')[0]
    assert "95 % confidence intervals: " not in page
    metrics = {**kept_run.metrics, "intervals": {"resamples": 0}}
    assert interval_notes(metrics) == ["No intervals: the run was measured with --resamples 0."]


def test_a_report_says_what_an_interval_leaves_open(kept_run, tmp_path):
    """Why there is none, where images are few, and what an AUROC of 1 does not exclude: never "100.0 to 100.0"."""
    bolt = {**kept_run.metrics["categories"]["bolt"], "image_auroc": 1.0, "interval": {"image_auroc": [0.386, 1.0]}}
    bolt |= {"few_images": ["image_auroc"], "bound_at_extreme": {"image_auroc": 0.158}}
    reason = "all resamples alike"
    bolt["no_interval"] = {"pixel_ap": reason}
    nut = {**kept_run.metrics["categories"]["nut1"], "interval": {}, "no_interval": {"pixel_ap": reason}}
    mean = {**kept_run.metrics["mean"], "interval": {}, "no_interval": {"image_auroc": "a category has one image"}}
    mean["interval_over_categories"] = {"pixel_ap": [0.1, 0.9]}
    metrics = {**kept_run.metrics, "mean": mean, "categories": {"bolt": bolt, "nut1": nut}}
    metrics["intervals"] = {"level": 0.95, "resamples": 1000, "rule": 2}
    text = write_report(replace(kept_run, metrics=metrics), tmp_path, pictures=False).read_text()
    assert '<span class="ends">38.6\N{EN DASH}100.0</span><span class="ends">few images</span>' in text
    assert text.count('<span class="ends">no interval</span>') == 3
    assert '<span class="under">no interval</span>' in text
    assert "No interval for the mean (Image AUROC): a category has one image." in text
    assert f"No interval for bolt, nut1 (Pixel AP): {reason}." in text
    assert "A mean has an interval only where every category has one." in text
    assert "other kinds of objects, too: Pixel AP 10.0\N{EN DASH}90.0. 2 categories are few" in text
    assert "Few images: " in text
    assert "bolt: every defective image scores above every good one here;" in text
    assert "a true Image AUROC as low as 15.8 % can still give that." in text


def test_each_curve_has_its_category_as_title(kept_run):
    """In every plot of curves, the mean as well; a strange name is shown by its code."""
    curves = curves_of(kept_run)
    curves = {"<b>\u202e": curves["bolt"], "nut1": curves["nut1"]}
    kept_run = replace(kept_run, predictions=[])
    plots = run_plots(kept_run, curves)
    assert len(plots) == 5
    for plot in plots:
        titles = re.findall(r'<g id="[\w-]+-curve-\d">\s*<title>(.*?)</title>', plot.svg)
        assert titles == ["&lt;b&gt;\u27e8U+202E\u27e9", "nut1", "mean of 2 categories"], plot.name
    alone = run_plots(kept_run, {"nut1": curves["nut1"]})[0]
    assert re.findall(r"<title>(.*?)</title>", alone.svg) == ["nut1"]


def test_a_legend_covers_no_bar(kept_run):
    """It stands above the axes, whatever is drawn in them."""
    legends = 0
    for plot in run_plots(kept_run, {}):
        plot.figure.draw_without_rendering()
        for legend in plot.figure.legends:
            legends += 1
            assert legend.get_window_extent().y0 >= plot.figure.axes[0].get_window_extent().y1
        assert plot.figure.axes[0].get_legend() is None
    assert legends == 3


def test_strange_characters_are_shown_by_their_code_wherever_they_stand(run_folder, lvlm_ad_command):
    """In the title, headings, labels, settings, notes and answers, of a report, a comparison and a board."""
    strange = "\u202eA\x1b[2J\x9b\ufeff\u2066</script>"
    path = run_folder / "run.json"
    manifest = json.loads(path.read_text())
    manifest["model"].update(name=strange, notes=[strange], plugin=strange)
    manifest["model"]["identity"] = {strange: strange, "model": strange}
    manifest["protocol"][strange] = manifest["versions"][strange] = manifest["prompt"]["name"] = strange
    path.write_text(json.dumps(manifest))
    other = shutil.copytree(run_folder, run_folder.with_name("other"))
    for command in (
        ("report", run_folder, "--no-pictures", "-o", "report"),
        ("compare", run_folder, other, "--html", "compare", "--no-pictures", "--resamples", 100),
        ("leaderboard", run_folder.parent, "-f", "html", "-o", "board/index.html"),
    ):
        assert lvlm_ad_command(*command).returncode == 0
    pages = list(Path().glob("*/index.html"))
    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        assert not set(text) & set("\u202e\x1b\x9b\ufeff\u2066"), page
        assert text.count("<script") == text.count("</script>")
        assert "\u27e8U+202E\u27e9A\u241b[2J\u27e8U+009B\u27e9" in text


def test_unranked_rows_stand_in_a_block_of_their_own(make_entry):
    """Below the ranked ones, each with its reason, which its notes do not repeat."""
    reason = "some images were not answered"
    rows = (make_entry("a", 0.5), make_entry("b", 0.9, kind="apart", rank=None, reason=reason, notes=(reason, "more")))
    page = board_page(Board((Group("t", {"categories": []}, rows),)))
    table, _, below = page.partition("</table>")
    assert table.index(">a</th>") < table.index(">not ranked</th>") < table.index(f'<span class="why">{reason}</span>')
    assert "<strong>b</strong>: more" in below
    assert reason not in below


def test_best_and_second_are_marked(leaderboard):
    """Among the ranked rows of a table; a row that is ranked alone is not called best, and costs nothing."""
    first, _, second = leaderboard.read_text().partition("visa: 2 categories")
    assert first.count('class="best"') == first.count('class="second"') == len(METRIC_NAMES)
    assert 'class="best"' not in second
    assert "Accuracy against cost" in first
    assert "Accuracy against cost" not in second


def test_reports_arelinked_where_they_are(board, leaderboard, tmp_path):
    """From beside the runs and from another folder; a run without a report has no link."""
    assert 'href="best-run/report/index.html"' in leaderboard.read_text()
    assert "cheap-run/report" not in leaderboard.read_text()
    shutil.copytree(leaderboard.parent, tmp_path / "runs")
    rows = (replace(board.groups[0].entries[0], usd_per_image=None),)
    free = Board((replace(board.groups[0], entries=rows),))
    assert 'href="runs/best-run/report/index.html"' in board_page(free, tmp_path / "runs", tmp_path)
    assert "best-run/report" not in board_page(free)


def test_no_two_elements_share_an_id(board, report):
    """Two tables with plots of the same rows, and the plots of a report: what one defines, no other does."""
    again = Board((*board.groups, replace(board.groups[0], title="the same once more")))
    for page in (board_page(again), report.read_text()):
        ids = re.findall(r' id="([^"]*)"', page)
        assert len(ids) > 100
        assert len(set(ids)) == len(ids)
        assert {name for _, name in re.findall(r'(url\(#|xlink:href="#)([^)"]*)', page)} <= set(ids)


def test_the_front_is_of_ranked_rows(board, make_entry):
    """Reference rows are lines; rows that are not ranked are points beside the front and change nothing of it."""
    rows = board.groups[0].entries[:3]
    assert cost_plot(rows).alt == (
        "Image AUROC over the cost of an image: cheap (on the front) 80.0 % at 0.01 USD; best (on the front) 90.0 % "
        "at 0.02 USD; chance 50.0 %."
    )

    def front(entries):
        pattern = r'id="cost-line2d_\d+">\s*<path d="([^"]*)"[^>]*style="[^"]*--defect'
        return re.search(pattern, cost_plot(entries).svg)[1]

    # Within what is drawn already, so that the axes stay as they are.
    apart = make_entry("a", 0.9, kind="apart", usd_per_image=0.01)
    line = front(rows)
    assert front([*rows, apart]) == line
    assert front([*rows, replace(apart, kind="ranked")]) != line
    assert cost_plot([make_entry("free", 0.8, usd_per_image=0.0)]) is None
    assert cost_plot([make_entry("silent", 0.5, kind="apart", coverage=0.0, usd_per_image=0.1)]) is None


def test_a_plot_says_what_may_be_on_the_front(make_entry):
    """A dearer row of equal AUROC is off the observed front; it is grey only if another is surely better."""
    rows = [make_entry("cheap", 0.8, usd_per_image=0.01), make_entry("dear", 0.8, usd_per_image=0.02)]
    rows.append(make_entry("beaten", 0.5, usd_per_image=0.02, may_be_on_front=False))
    plot = cost_plot(rows)
    for words in ("cheap (on the front)", "dear (may be on the front)", "beaten (surely not on the front)"):
        assert words in plot.alt
    assert cost_plot(rows[:2]).svg.count("--muted") < plot.svg.count("--muted")


def test_a_board_says_what_surely_means(make_entry):
    """Below the plot, and where ranks are explained: the interval of the difference excludes 0."""
    rows = [make_entry("good", 0.9, rank=(1, 1), usd_per_image=0.01), make_entry("bad", 0.5, rank=(2, 2))]
    group = Group("title", {"dataset": "demo", "categories": ["a"]}, tuple(rows))
    page = html.unescape(board_page(Board((group,))))
    assert "surely better: the 95 % interval of their difference on the same images, corrected for all pairs" in page
    assert "surely more accurate (the 95 % interval of the difference excludes 0)" in page
    assert "certainly" not in page


@pytest.mark.parametrize("name", ["\u6a21\u578b", "\u05de\u05d5\u05d3\u05dc", "\U0001f916 $x$", "\u202ea\x1b"])
def test_a_plot_names_models_in_any_script(make_entry, name):
    """As text that the browser draws, without a warning; what acts on text is shown by its code."""
    svg = cost_plot([make_entry(name, 0.8, usd_per_image=0.01)]).svg
    texts = html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg)))
    assert escaped(name) in texts


def test_rows_at_one_point_share_a_label(board, make_entry):
    """Two names are written, the others counted; the words below the plot have all names."""
    twins = [make_entry(f"twin {at}", 0.8, usd_per_image=0.01) for at in range(5)]
    plot = cost_plot([*board.groups[0].entries[2:3], *twins])
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", plot.svg)
    assert [text for text in texts if "twin" in text or "more" in text] == ["twin 0", "twin 1", "and 3 more"]
    assert "twin 4" in plot.alt


@pytest.mark.slow
def test_a_bench_ends_with_a_leaderboard_and_a_report(lvlm_ad_command, small_data):
    """The leaderboard is linked to the report; a later command writes it elsewhere, in any format."""
    options = ("--division", "grid", "--set", "image_size=96", "--resamples", 0)
    done = lvlm_ad_command("bench", "--data", small_data, "--report", *options, "--out", "runs")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("dividing") == 1, "the report finds the divisions stored"
    (report,) = Path("runs").glob("*/report/index.html")
    assert report.parent.parent.name.startswith("contrast-folder")
    assert f'href="{report.relative_to("runs")}"' in Path("runs/leaderboard.html").read_text()
    for form in ("html", "table"):
        file = Path("new") / form / "board"
        done = lvlm_ad_command("leaderboard", "runs", "-f", form, "-o", file)
        assert (done.returncode, "contrast" in file.read_text()) == (0, True), done.stderr
    assert f'href="../../{report}"' in Path("new/html/board").read_text()
    Path("empty").mkdir()
    done = lvlm_ad_command("leaderboard", "empty")
    assert (done.returncode, "There is no run in empty;" in done.stderr) == (2, True)
    folders = [next(Path("runs").glob(f"{name}-folder-*")) for name in ("chance", "contrast")]
    done = lvlm_ad_command("compare", *folders, "--html", "page", "--no-pictures", "--json", "--resamples", 100)
    assert json.loads(done.stdout) == {"page": "page/index.html"}


def test_sources_of_published_rows_are_links():
    """Repositories and arXiv papers can be opened; the rest of the text stays text."""
    page = board_page(published_board(filters=Filters(shots=0)))
    assert '<a href="https://arxiv.org/abs/2311.02612" rel="noopener noreferrer">arXiv 2311.02612</a>' in page
    assert ">github.com/7HHHHH/VisualAD</a>. Rows of other methods" in page
    text = '<b>github.com/a/b</b> "arXiv 2311.02612"'
    assert "<b>" not in str(linked(text))
    assert "&lt;b&gt;<a href" in str(linked(text))


@given(st.text())
def test_data_cannot_end_its_element(text):
    """No text closes the script element or opens another; the browser reads what was written."""
    page = render("gallery.html", gallery_title="", legend="", cards={"text": text})
    block = page.partition('id="data">')[2].partition("</script>")[0]
    assert json.loads(block) == {"text": text}
    assert page.count("<script") == page.count("</script>") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text,\n\tÄ 漢字 \U0001f600", "plain text,\n\tÄ 漢字 \U0001f600"),
        ("\x1b[31mred\x07\x00", "\u241b[31mred\u2407\u2400"),
        ("abc\u202edef\u2066", "abc\u27e8U+202E\u27e9def\u27e8U+2066\u27e9"),
        ("a\xa0b\x9b", "a b\u27e8U+009B\u27e9"),
        ("\ud800", "\u27e8U+D800\u27e9"),
    ],
)
def test_control_characters_are_visible(text, shown):
    """Terminal escapes, marks of direction and lone surrogates are shown as such; ordinary text stays as it is."""
    assert visible(text) == shown


def test_only_the_pages_own_scripts_may_run():
    """The policy names each script by its hash and allows nothing else."""
    page = render("base.html", ["sortable.js"], title="</title><script>alert(1)</script>", made="2026-01-01")
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    policy = page.partition('Content-Security-Policy" content="')[2].partition('"')[0]
    assert "default-src &#39;none&#39;" in policy
    assert policy.count("sha256-") == 1
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert "http" not in policy


def test_numbers_are_written_for_readers():
    """Percent with one decimal, signs of differences, a dash where there is nothing."""
    assert percent(0.12345) == "12.3"
    assert [signed(value) for value in (0.123, -0.5, 0.0, -0.0001)] == ["+12.3", "-50.0", "0.0", "0.0"]
    assert {percent(None), signed(None)} == {"\N{EN DASH}"}


@pytest.mark.parametrize("place", ["report", "report/pictures", "report/pictures/00000.jpg", "report/figures"])
def test_nothing_is_written_through_a_strangers_links(place, run_folder, images, tmp_path, lvlm_ad_command):
    """Folders and files that lead elsewhere are refused, in one line."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "index.html").write_text("mine")
    link = run_folder / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(victim / "index.html" if place.endswith("jpg") else victim)
    options = ["--data", images] if "pictures" in place else ["--no-pictures", "--figures"]
    done = lvlm_ad_command("report", run_folder, *options)
    assert (done.returncode, "remove it" in done.stderr) == (2, True), done.stderr
    assert [path.name for path in victim.iterdir()] == ["index.html"]
    assert (victim / "index.html").read_text() == "mine"


def test_a_page_replaces_a_strangers_link(run_folder, tmp_path, lvlm_ad_command):
    """It is not followed. A file that the user names may be a device."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    pages = [run_folder / "report" / "index.html", run_folder.parent / "leaderboard.html"]
    (run_folder / "report").mkdir()
    for page in pages:
        page.symlink_to(victim)
    assert lvlm_ad_command("report", run_folder, "--no-pictures").returncode == 0
    assert {card["image"] for card in data_of(pages[0])["cards"]} == {""}
    assert lvlm_ad_command("leaderboard", run_folder.parent, "-f", "html").returncode == 0
    assert all(page.is_file() and not page.is_symlink() for page in pages)
    assert victim.read_text() == "mine"
    assert lvlm_ad_command("leaderboard", run_folder.parent, "-f", "csv", "-o", "/dev/null").returncode == 0
