"""Pages of runs by other methods than regions: places, maps of places, and conversations question by question."""

import json
import re
from contextlib import ExitStack
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from lvlm_ad.evaluate.recorded import Conversations
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.log import Progress
from lvlm_ad.regions.shapes import Box, Mask, Point, Region
from lvlm_ad.report.places import draw_places
from lvlm_ad.report.run_pages import write_comparison, write_report
from lvlm_ad.report.steps import steps_of
from lvlm_ad.runs import read_run


def data_of(page):
    """What ``gallery.js`` is given."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text).group(1))


@pytest.fixture(scope="module")
def report(method_runs, kept_data, tmp_path_factory):
    """A function that writes the page of a run, once, and returns its gallery's data and its folder."""

    @cache
    def write(name, *, pictures=True):
        run, folder = read_run(method_runs[name].dir), tmp_path_factory.mktemp("report")
        page = write_report(run, folder, data=kept_data, pictures=pictures)
        return data_of(page), page.parent

    return write


def test_boxes_are_drawn_and_painted(report, method_runs):
    """Each image with a box has a layer of outlines and a map that is bright within the box."""
    data, folder = report("drawer (boxes)")
    records = method_runs["drawer (boxes)"].predictions
    assert [bool(card["runs"][0]["places"]) for card in data["cards"]] == [bool(record.shapes) for record in records]
    at = next(at for at, record in enumerate(records) if record.shapes)
    x1, y1, x2, y2 = records[at].shapes[0]["box"]
    score_map = np.asarray(Image.open(folder / "pictures" / data["cards"][at]["runs"][0]["map"]).convert("RGB"))
    layer = np.asarray(Image.open(folder / "pictures" / data["cards"][at]["runs"][0]["places"]))
    middle = round((y1 + y2) / 2), round((x1 + x2) / 2)
    assert score_map[middle].tolist() == [255, 234, 70]
    assert score_map[0, 0].tolist() == [0, 32, 77]
    assert layer[middle][3] == 0
    assert layer[round(y2) - 1, middle[1]].tolist() == [0, 225, 255, 255]
    assert not any(card["marks"] for card in data["cards"])


def test_a_single_question_is_shown_with_its_text(report, method_runs):
    """The text is stored once for all images; its picture is the image itself, which needs no copy."""
    data, folder = report("drawer (boxes)")
    steps = [card["runs"][0]["steps"] for card in data["cards"]]
    assert [len(one) for one in steps] == [1] * 6
    assert len(data["questions"]) == 1
    assert "box" in data["questions"][steps[0][0]["text"]]
    assert steps[0][0]["answer"] == method_runs["drawer (boxes)"].predictions[0].text
    assert steps[0][0]["picture"] == data["cards"][0]["image"]
    assert not list((folder / "pictures").glob("*step*"))


def test_a_conversation_is_shown_question_by_question(report):
    """Zoom's first question shows the whole marked picture, the next ones crops; each has a picture of its own."""
    data, folder = report("drawer (zoom)")
    steps = data["cards"][0]["runs"][0]["steps"]
    assert len(steps) == 3
    pictures = [np.asarray(Image.open(folder / "pictures" / step["picture"])) for step in steps]
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert all(data["questions"][step["text"]] and step["answer"] for step in steps)
    assert data["cards"][0]["marks"]


def test_without_pictures_the_answers_of_a_conversation_are_shown(report):
    """The page says why it shows no questions; methods without regions need no data set for their answers."""
    data, folder = report("drawer (zoom)", pictures=False)
    steps = data["cards"][0]["runs"][0]["steps"]
    assert [(step["picture"], step["text"]) for step in steps] == [("", None)] * 3
    assert all("image anomaly score" in step["answer"] for step in steps)
    text = (folder / "index.html").read_text()
    assert "The questions of drawer (zoom) are not shown: its method needs the data set" in text


def test_a_changed_answer_hides_what_was_asked(method_runs, kept_data):
    """Questions that follow from other answers were never asked, so they are not shown as if they were."""
    run = read_run(method_runs["drawer (zoom)"].dir)
    first = run.predictions[0]
    steps = [first.steps[0].model_copy(update={"key": "0" * 64}), *first.steps[1:]]
    with ExitStack() as stack:
        talks = Conversations(run, find_sources(run, kept_data, Progress(), stack))
        shown = steps_of(first.model_copy(update={"steps": steps}), talks, lambda name, _: name)
    assert [step["picture"] for step in shown] == ["", "step2", "step3"]
    assert [bool(step["text"]) for step in shown] == [False, True, True]


def test_methods_side_by_side(method_runs, kept_data, tmp_path):
    """A comparison shows the map of each, with the places of those that name some; a yes or no has neither."""
    runs = [read_run(method_runs[name].dir) for name in ("drawer", "drawer (boxes)")]
    page = write_comparison(runs, tmp_path / "page", resamples=50, data=kept_data)
    card = data_of(page)["cards"][0]
    assert all(one["map"] for one in card["runs"])
    assert card["marks"]
    assert "they differ in method (boxes" not in page.read_text()
    assert "they differ in method (regions and boxes" in page.read_text()
    method = runs[1].manifest.method.model_copy(update={"name": "score", "places": ""})
    score = replace(runs[1], manifest=runs[1].manifest.model_copy(update={"method": method}))
    data = data_of(write_comparison([runs[0], score], tmp_path / "other", resamples=50, data=kept_data))
    assert data["no_map"] == ["", "No map: the method score names no places"]


def test_the_page_names_the_method(report):
    """In its head and among the settings, with the options and the convention."""
    _, folder = report("drawer (boxes)")
    text = (folder / "index.html").read_text()
    assert "method boxes, qwen3_1000, prompt boxes" in text
    assert "<dt>convention: order</dt><dd>xyxy</dd>" in text
    assert "<dt>boxes: scored</dt><dd>False</dd>" in text


@pytest.mark.heavy
def test_places_and_questions_in_the_browser(report, open_page):
    """The enlarged image shows its places at once, and every question; tags in an answer stay text."""
    _, folder = report("drawer (boxes)")
    opened = open_page(folder / "index.html")
    page = opened.page
    page.click(".card >> nth=5")
    assert page.get_attribute("#large-layers button:text-is('Places')", "aria-pressed") == "true"
    assert page.locator("#large-stack img").count() == 3
    assert "<b>hole</b>" in page.inner_text(".step pre >> nth=-1")
    page.keyboard.press("4")
    assert page.locator("#large-stack img").count() == 2
    _, folder = report("drawer (zoom)")
    page.goto((folder / "index.html").resolve().as_uri())
    page.click(".card >> nth=0")
    assert page.locator(".step img").count() == 3
    assert page.inner_text(".step h4 >> nth=2") == "Question 3 of 3"
    assert opened.complaints == []


def test_places_of_every_shape_are_drawn():
    """Outlines of boxes, discs and masks; regions have marks instead; an empty place draws nothing."""
    one = np.zeros((40, 40, 4), np.uint8)
    assert np.array_equal(draw_places([Region(1, 0.5)], 40), one)
    for place in (Box(5, 20, 15, 35, 0.5), Point(20, 20, 0.5, radius=6), Mask(3, 30, np.ones((4, 4), bool), 1.0)):
        assert (draw_places([place], 40)[..., 3] > 0).sum() > 20
    # Scores of many places would hide the picture.
    many = draw_places([Box(0, 0, 40, 40, 0.5)] * 25, 40)
    assert many[20, 20, 3] == many[4, 4, 3] == 0


def test_many_questions_have_fewer_pictures(method_runs, kept_data):
    """A page of thousands of images with dozens of questions each would be as many files."""
    run = read_run(method_runs["drawer (zoom)"].dir)
    with ExitStack() as stack:
        talks = Conversations(run, find_sources(run, kept_data, Progress(), stack))
        shown = steps_of(run.predictions[0], talks, lambda name, _: name, most=1)
    assert [step["picture"] for step in shown] == ["step1", "", ""]
    assert all(step["text"] for step in shown)
