"""``lvlm-ad report``: a folder that stands by itself."""

import json
import shutil
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.progress import Silent
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.report.cards import gallery
from lvlm_ad.report.layers import write_layers
from lvlm_ad.report.overview import heat
from lvlm_ad.report.sources import find_sources
from lvlm_ad.runs import read_run
from lvlm_ad.text2seg import paint


def pixels(path, mode="RGB"):
    with Image.open(path) as picture:
        return np.asarray(picture.convert(mode))


def test_layers_are_what_the_model_saw_and_said(small_run, tmp_path):
    """Marks over the image are the marked image; the map holds each region's score; the outline hugs the defect."""
    with ExitStack() as stack:
        sources = find_sources(small_run, None, Silent(), stack)
        layers = write_layers([small_run], sources, tmp_path, Silent())
        for record, files in zip(small_run.predictions, layers, strict=True):
            sample = sources.samples[record.id]
            image, regions = resize_image(sample.image, (96, 96)), sources.divisions.regions(sample)
            marks = pixels(tmp_path / files["marks"], "RGBA")
            covered = marks[..., 3:] > 0
            assert (np.where(covered, marks[..., :3], image) == draw_marks(image, regions, MarkStyle())).all()
            highest = max(max(one.regions.values()) for one in small_run.predictions)
            expected = heat(paint(record.regions, regions).dense() / highest)
            assert (pixels(tmp_path / files["maps"][0]) == expected).all()
            assert bool(files["truth"]) == record.label
            if record.label:
                outline = pixels(tmp_path / files["truth"], "RGBA")[..., 3] > 0
                mask = resize_mask(sample.mask, (96, 96))
                assert outline.any()
                assert not (outline & mask).any()
                rows, columns = np.nonzero(outline)
                inside = np.nonzero(mask)
                assert (rows.min(), columns.max()) == (inside[0].min() - 1, inside[1].max() + 1)


def cards_of(page):
    return json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])


def test_a_report_of_a_run(small_run, lvlm_ad_command):
    """One command, knowing by itself where the images are; every image is a card with its files beside the page."""
    done = lvlm_ad_command("report", small_run.dir, "--json", "--figures")
    assert done.returncode == 0, done.stderr
    page = small_run.dir / "report" / "index.html"
    assert json.loads(done.stdout) == {"page": str(page)}
    cards = cards_of(page)["cards"]
    assert [card["id"] for card in cards] == [record.id for record in small_run.predictions]
    for card in cards:
        (answer,) = card["runs"]
        for name in (card["image"], card["marks"], answer["map"]):
            assert (page.parent / "pictures" / name).is_file()
        assert bool(card["truth"]) == card["label"]
    text = page.read_text()
    assert f"{100 * small_run.metrics['mean']['pixel_auroc']:.1f}" in text
    assert small_run.manifest.config_hash in text
    assert {path.suffix for path in (page.parent / "figures").iterdir()} == {".pdf", ".png"}
    assert read_run(small_run.dir).metrics == small_run.metrics, "the report is no part of the run"


def test_a_report_without_its_images(small_run, small_data, lvlm_ad_command, tmp_path):
    """Moved images are found with --data, other images are refused, and --no-pictures needs none."""
    elsewhere = small_data.rename(tmp_path / "moved")
    done = lvlm_ad_command("report", small_run.dir)
    assert done.returncode == 2
    assert "small" in done.stderr
    assert lvlm_ad_command("report", small_run.dir, "--data", elsewhere).returncode == 0
    first = next(elsewhere.glob("*/test/good/000.png"))
    shutil.copy(first.with_name("001.png"), first)
    done = lvlm_ad_command("report", small_run.dir, "--data", elsewhere)
    assert done.returncode == 2
    assert "not those that" in done.stderr
    done = lvlm_ad_command("report", small_run.dir, "--no-pictures", "-o", tmp_path / "bare")
    assert done.returncode == 0
    assert {card["image"] for card in cards_of(tmp_path / "bare" / "index.html")["cards"]} == {""}


def test_a_report_of_a_copied_run_leaves_nothing_beside_it(small_run, small_data, lvlm_ad_command, tmp_path):
    """A repository of submissions stays as it is; marks and maps are drawn all the same."""
    copy = shutil.copytree(small_run.dir, tmp_path / "submissions" / "one")
    done = lvlm_ad_command("report", copy, "--data", small_data, "-o", tmp_path / "page")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in copy.parent.iterdir()] == ["one"]
    assert all(card["marks"] for card in cards_of(tmp_path / "page" / "index.html")["cards"])


def test_an_image_without_an_answer_is_neither_right_nor_wrong(small_run, tmp_path):
    """Where it stands is kept: it counts as 0. What the endpoint said of it is shown."""
    first, *rest = small_run.predictions
    lost = first.model_copy(update={"image_score": None, "status": "refused", "notes": ["declined"], "text": ""})
    data, _ = gallery([replace(small_run, predictions=[lost, *rest])], None, tmp_path, Silent())
    cards = [card["runs"][0] for card in json.loads(data)["cards"]]
    assert cards[0] == cards[0] | {"verdict": "", "score": None, "notes": ["declined"]}
    assert cards[0]["placed"] is not None
    assert any(card["verdict"] for card in cards[1:])


def test_answers_are_whole_while_there_is_room(small_run, tmp_path):
    """A page holds all that the run does up to 20 MB of text, or the beginning of each; what is cut is said."""
    texts = ["short", "a" * 4000, "b" * 4001, "c" * 20_000]

    def shown(more):
        records = [
            one.model_copy(update={"text": text}) for one, text in zip(small_run.predictions, texts, strict=False)
        ]
        records += [records[0].model_copy(update={"text": "d" * 20_000})] * more
        # The images of a category are more than the run's; where they stand is not asked here.
        run = replace(small_run, predictions=records, histograms=None)
        data, legend = gallery([run], None, tmp_path, Silent())
        cards = [card["runs"][0] for card in json.loads(data)["cards"]]
        return [(len(card["text"]), card["more"]) for card in cards[:4]], "Answers are cut" in legend

    whole = "the whole answer is in answers.sqlite"
    assert shown(0) == ([(5, ""), (4000, ""), (4001, ""), (20_000, f"cut after 20,000 characters; {whole}")], False)
    assert shown(1000) == (
        [
            (5, ""),
            (4000, ""),
            (4000, "cut after 4,000 characters; 1 more are in predictions.jsonl"),
            (4000, f"cut after 4,000 characters; 16,000 more are in predictions.jsonl; {whole}"),
        ],
        True,
    )


def test_what_cannot_be_divided_again_is_said(small_run):
    """A run whose division is not this version's has pictures without marks and maps, and says so."""
    division = small_run.manifest.division.model_copy(update={"hash": "other"})
    run = type(small_run)(
        small_run.dir,
        small_run.manifest.model_copy(update={"division": division}),
        small_run.metrics,
        small_run.predictions,
        small_run.histograms,
    )
    with ExitStack() as stack:
        sources = find_sources(run, None, Silent(), stack)
    assert sources.divisions is None
    assert "divides the images otherwise" in sources.note


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_no_run_to_report(lvlm_ad_command, place):
    """One line that says what is missing."""
    done = lvlm_ad_command("report", place)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
