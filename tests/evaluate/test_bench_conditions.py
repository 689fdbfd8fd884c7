"""Benches that ask the same images again under one changed condition, behind a real HTTP endpoint."""

import base64
import json
import re
from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

import lvlm_ad
from lvlm_ad.asking import AnswerStore
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.recorded import Conversations
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.log import Progress
from lvlm_ad.methods import numbers_of
from lvlm_ad.report.run_pages import write_report
from lvlm_ad.report.steps import steps_of
from lvlm_ad.runs import read_run
from lvlm_ad.store import open_answers

CATEGORY = {"categories": ("bolt",)}
"""Six images are enough."""
SMALL_NUMBERS = {"number_size": 7, "border_width": 1}


@pytest.fixture
def ask(bench, endpoint):
    """Bench the six images under these settings; returns the run and how many questions the endpoint got."""

    def run(method="regions", **settings):
        before = len(endpoint.asked)
        done = bench({**SMALL_NUMBERS, **settings}, method=method, **CATEGORY)
        return done, len(endpoint.asked) - before

    return run


@pytest.fixture
def verified(kept_data):
    """What ``leaderboard --verify`` finds wrong with a run: with the data set and, where that is possible, without."""

    def verify(run):
        with ExitStack() as stack:
            answers = AnswerStore(stack.enter_context(closing(open_answers(run.dir.parent / "answers.sqlite"))))
            sources = find_sources(run, kept_data, Progress(), stack)
            alone = verify_run(run, answers) if run.manifest.method.name in {"regions", "score"} else []
            return alone + verify_run(run, None, sources)

    return verify


def test_a_repeat_of_regions_is_the_vote_of_its_number(ask):
    """Votes asks repeats 0, 1 and 2, whose stored answers regions uses; repeat 3 is new."""
    runs = [ask("votes", votes=3), *(ask(repeat=repeat) for repeat in range(4))]
    assert [asked for _, asked in runs] == [18, 0, 0, 0, 6]
    votes, *repeats = [run for run, _ in runs]
    steps = [[step.key for step in record.steps] for record in votes.predictions]
    assert steps == [[run.predictions[at].key for run in repeats[:3]] for at in range(6)]


def test_repeated_votes_share_no_question(ask):
    """Repeat r of k votes asks the k repeats of regions from r * k on."""
    runs = [ask("votes", votes=2, repeat=repeat) for repeat in range(3)]
    assert [asked for _, asked in runs] == [12] * 3
    assert [ask(repeat=repeat)[1] for repeat in range(6)] == [0] * 6


@pytest.mark.parametrize("vary", ["renumber", "paraphrase"])
def test_repeated_votes_of_other_questions_are_repeats_of_each(ask, vary):
    """Votes that differ anyway take the repeat as it is; the first one is that of regions."""
    assert [ask("votes", votes=2, vary=vary, repeat=repeat)[1] for repeat in range(2)] == [12, 12]
    assert ask(repeat=1)[1] == 0


def test_every_question_of_a_conversation_is_repeated(ask, endpoint):
    """Zoom asks all three questions of each image again; its first look is the repeat of regions."""
    endpoint.reply = lambda _: "image anomaly score: 0.5; region 1: 0.5."
    settings = {"zoom_budget": 2, "zoom_pieces": 4}
    assert [ask("zoom", repeat=repeat, **settings)[1] for repeat in (0, 1)] == [18, 18]
    assert ask(repeat=1)[1] == 0


def test_repeats_are_runs_of_their_own(ask, verified):
    """The manifest names the repeat unless it is 0; each run has its folder, and verifies."""
    first, second = ask()[0], ask(repeat=1)[0]
    assert "repeat" not in first.manifest.protocol
    assert second.manifest.protocol["repeat"] == 1
    assert first.dir != second.dir
    assert first.manifest.prompt.hash == second.manifest.prompt.hash
    assert [verified(run) for run in (first, second)] == [[], []]
    assert verified(ask("score", repeat=1)[0]) == []


def test_a_repeat_has_a_seed_of_its_own(ask, endpoint):
    """An endpoint with a fixed seed would give the same answer once more."""
    for repeat in (0, 2):
        ask(repeat=repeat, seed=5)
    assert [body["seed"] for body in endpoint.asked] == [5] * 6 + [7] * 6


def test_renumbered_regions_are_measured_under_their_own_numbers(ask, endpoint, verified):
    """A model that always names number 1 accuses the region that bears it; records, maps and metrics name that one."""
    endpoint.reply = lambda _: "image anomaly score: 0.8; region 1: 0.8."
    usual, other = ask()[0], ask(numbering=2)[0]
    assert "numbering" not in usual.manifest.protocol
    assert other.manifest.protocol["numbering"] == 2
    assert usual.manifest.prompt.hash != other.manifest.prompt.hash
    assert all(record.regions == {1: 0.8} for record in usual.predictions)
    for record in other.predictions:
        assert record.regions == {numbers_of(record.division, 16, 2)[0]: 0.8}
        assert "region 1: 0.8" in record.text
    assert other.metrics["mean"]["pixel_auroc"] != usual.metrics["mean"]["pixel_auroc"]
    assert verified(other) == []


def test_a_numbering_is_the_vote_of_its_number(ask):
    """Votes with vary=renumber has asked numberings 0, 1 and 2."""
    assert ask("votes", votes=3, vary="renumber")[1] == 18
    assert [ask(numbering=numbering)[1] for numbering in range(4)] == [0, 0, 0, 6]


def test_scores_under_wrong_numbers_do_not_verify(ask, endpoint, verified):
    """Scores that somebody put under the numbers of the answer's text are found."""
    endpoint.reply = lambda _: "image anomaly score: 0.8; region 1: 0.8."
    run = ask(numbering=1)[0]
    predictions = [one.model_copy(update={"regions": {1: 0.8}}) for one in run.predictions]
    assert any(
        "not those of the answer's text" in problem for problem in verified(replace(run, predictions=predictions))
    )


def test_a_page_shows_the_picture_with_the_numbers_that_it_bore(ask, kept_data, tmp_path):
    """The question of a renumbered run is drawn again, and it is the one that was asked."""
    run = read_run(ask(numbering=1)[0].dir)
    saved = {}

    def save(name, picture):
        saved[name] = picture
        return name

    with ExitStack() as stack:
        talks = Conversations(run, find_sources(run, kept_data, Progress(), stack))
        (step,) = steps_of(run.predictions[0], talks, save)
    assert step["picture"] in saved
    assert "numbers were drawn" in step["text"]
    page = write_report(run, tmp_path / "page", data=kept_data).read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page).group(1))
    steps = [card["runs"][0]["steps"] for card in data["cards"]]
    assert all(len(one) == 1 and one[0]["picture"] for one in steps)


@pytest.mark.parametrize(
    ("method", "settings", "problem"),
    [
        *(
            (name, {"numbering": 1}, f"--method {name} has no such numbers")
            for name in ("votes", "zoom", "pairs", "score")
        ),
        ("regions", {"numbering": 1, "visual": "image"}, "visual=image draws none"),
        ("regions", {"reference_set": 1}, "shots=0 shows none"),
        (
            "regions",
            {"reference_set": 1, "shots": 2},
            r"the 3 normal training images of bolt in .* for 1 disjoint set of 2",
        ),
        ("regions", {"reference_set": 3, "shots": 1}, "enough for 3 disjoint sets of 1 .* numbered from 0"),
    ],
)
def test_conditions_that_cannot_be_are_refused(ask, endpoint, method, settings, problem):
    """Nothing is asked; the message says what to change."""
    with pytest.raises(ConfigError, match=problem):
        ask(method, **settings)
    assert endpoint.asked == []


def words_of(body):
    """What is sent besides the pictures' data, in lower case."""
    (message,) = body["messages"]
    kept = [{**one, "image_url": ""} if one["type"] == "image_url" else one for one in message["content"]]
    return json.dumps({**body, "messages": [{**message, "content": kept}]}).lower()


def parts_of(body):
    """The pictures of a question, and its text."""
    *pictures, text = body["messages"][0]["content"]
    return [base64.b64decode(one["image_url"]["url"].partition(",")[2]) for one in pictures], text["text"]


def test_each_reference_set_shows_other_images(ask, endpoint, verified):
    """Three sets of one of three training images are disjoint; the first is the one that was always shown."""
    shown = []
    for reference_set in (None, 0, 1, 2):
        run, _ = ask(shots=1, **({} if reference_set is None else {"reference_set": reference_set}))
        assert run.manifest.protocol.get("reference_set") == (reference_set or None)
        shown.append(parts_of(endpoint.asked[-1])[0][0])
        assert verified(run) == []
    assert shown[0] == shown[1]
    assert len(set(shown)) == 3
    assert len(endpoint.asked) == 18


NEAREST = """
import numpy as np
from lvlm_ad.baseline import Baseline, DenseScores

class Nearest(Baseline):
    def score(self, view):
        distance = np.abs(view.image.astype(float) - view.references[0]).mean(axis=2) / 255
        return DenseScores(float(distance.mean()), distance)
"""


def test_baselines_get_the_same_reference_set(kept_data, out, grid, tmp_path):
    """Their manifests name it, and their scores follow from it."""
    (tmp_path / "nearest.py").write_text(NEAREST)
    options = {"models": str(tmp_path / "nearest.py"), "data": kept_data, "out": out, "resamples": 0, **CATEGORY}
    found = [
        lvlm_ad.bench(settings={**grid, "shots": 1, "reference_set": reference_set}, reference_rows=False, **options)[0]
        for reference_set in (0, 1)
    ]
    assert [run.manifest.protocol.get("reference_set") for run in found] == [None, 1]
    assert found[0].dir != found[1].dir
    assert found[0].predictions[0].image_score != found[1].predictions[0].image_score


def test_without_its_name_an_object_is_called_object(ask, endpoint, verified):
    """The word bolt stands nowhere in what is sent; the pictures are the same."""
    settings = {"prompt": "types", "shots": 1}
    ask(**settings)
    run, _ = ask(withhold="name", **settings)
    named, unnamed = endpoint.asked[:6], endpoint.asked[6:]
    assert all("bolt" in words_of(body) for body in named)
    assert not any("bolt" in words_of(body) for body in unnamed)
    assert all("The product is: object." in parts_of(body)[1] for body in unnamed)
    assert all("these kinds of defect: any." in parts_of(body)[1] for body in unnamed)
    assert sorted(parts_of(body)[0] for body in named) == sorted(parts_of(body)[0] for body in unnamed)
    assert run.manifest.protocol["withhold"] == "name"
    assert verified(run) == []


@pytest.mark.parametrize(
    "settings", [{"method": "votes", "vary": "paraphrase"}, {"method": "each"}, {"method": "pairs"}]
)
def test_no_method_tells_a_withheld_name(ask, endpoint, settings):
    """Paraphrases, crops and pairs call it an object, too."""
    ask(withhold="name", **settings)
    assert endpoint.asked
    assert not any("bolt" in words_of(body) for body in endpoint.asked)


@pytest.mark.parametrize("method", ["regions", "zoom", "pairs", "score"])
def test_without_the_image_only_references_are_shown(ask, endpoint, verified, method):
    """The text is the same with and without; so is the number of reference images."""
    endpoint.reply = lambda _: "image anomaly score: 0.5; region 1: 0.5."
    ask(method, shots=1)
    usual = [parts_of(body) for body in endpoint.asked]
    endpoint.asked.clear()
    run, _ = ask(method, shots=1, withhold="image")
    blind = [parts_of(body) for body in endpoint.asked]
    # One question for all images: nothing in it depends on the image, but for the number of regions.
    assert len(blind) < len(usual)
    assert {text for _, text in blind} == {text for _, text in usual}
    assert all(len(pictures) == 1 for pictures, _ in blind)
    assert {pictures[0] for pictures, _ in blind} == {pictures[0] for pictures, _ in usual}
    assert verified(run) == []


def test_a_page_shows_no_picture_that_was_not_sent(ask, kept_data):
    """A reference image is not shown as if it were the picture that was asked about."""
    run = read_run(ask(withhold="image", shots=1)[0].dir)
    with ExitStack() as stack:
        talks = Conversations(run, find_sources(run, kept_data, Progress(), stack))
        (step,) = steps_of(run.predictions[0], talks, lambda name, _: name)
    assert step["picture"] == ""
    assert "The product is: bolt." in step["text"]


def test_the_plain_image_bears_no_marks(ask, endpoint, verified):
    """One picture, the same as of the method score at the same size; the text says that there are no marks."""
    ask("score")
    (plain,) = {tuple(pictures) for pictures, _ in map(parts_of, endpoint.asked[:1])}
    usual = ask()[0]
    endpoint.asked.clear()
    run, _ = ask(visual="image")
    asked = [parts_of(body) for body in endpoint.asked]
    assert plain in {tuple(pictures) for pictures, _ in asked}
    assert all("borders and numbers of its regions are not drawn on it" in text for _, text in asked)
    assert run.manifest.protocol["visual"] == "image"
    assert run.manifest.prompt.hash != usual.manifest.prompt.hash
    assert verified(run) == []


@pytest.mark.parametrize("method", ["zoom", "pairs", "votes"])
def test_methods_of_numbered_regions_may_show_plain_images(ask, endpoint, verified, method):
    """Every question has one picture, and says that the marks are not drawn."""
    endpoint.reply = lambda _: "image anomaly score: 0.5; region 1: 0.5."
    run, _ = ask(method, visual="image")
    for pictures, text in map(parts_of, endpoint.asked):
        assert len(pictures) == 1
        assert "of its regions are not drawn on it" in text
    assert verified(run) == []
