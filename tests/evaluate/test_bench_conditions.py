"""Benches that ask the same images again under one changed condition, behind a real HTTP endpoint."""

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from lvlm_ad.asking import AnswerStore
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.recorded import Conversations
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.log import Progress
from lvlm_ad.methods import numbers_of
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
    """What ``leaderboard --verify`` finds wrong with a run: with and without the data set."""

    def verify(run):
        with ExitStack() as stack:
            answers = AnswerStore(stack.enter_context(closing(open_answers(run.dir.parent / "answers.sqlite"))))
            sources = find_sources(run, kept_data, Progress(), stack)
            return verify_run(run, answers) + verify_run(run, None, sources)

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


def test_a_page_shows_the_picture_with_the_numbers_that_it_bore(ask, kept_data):
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


@pytest.mark.parametrize("method", ["votes", "zoom", "pairs", "score"])
def test_other_methods_have_no_numbering(ask, method):
    """Their questions number no regions, or other ones."""
    with pytest.raises(ConfigError, match=f"numbering=1 .* --method {method} has no such numbers"):
        ask(method, numbering=1)
