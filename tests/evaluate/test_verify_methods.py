"""A run of any method is verified by leading its conversations again with its recorded answers."""

from contextlib import ExitStack, closing
from dataclasses import replace

import pytest

from lvlm_ad.asking import AnswerStore
from lvlm_ad.backend import Answer, Request
from lvlm_ad.evaluate.recorded import Conversations, recorded_answers
from lvlm_ad.evaluate.sources import find_sources
from lvlm_ad.evaluate.verify import verify_run
from lvlm_ad.log import Progress
from lvlm_ad.runs import read_run
from lvlm_ad.store import open_answers

NEEDS_DATA = "predictions.jsonl: the answers cannot be read again: its method needs the data set; name it with --data"


@pytest.fixture
def opened(method_runs, kept_data):
    """A function that reads a run again, with its images and its stored answers."""
    with ExitStack() as stack:

        def read(name, *, data=True):
            run = read_run(method_runs[name].dir)
            answers = stack.enter_context(closing(open_answers(run.dir.parent / "answers.sqlite")))
            sources = find_sources(run, kept_data, Progress(), stack) if data else None
            return run, AnswerStore(answers), sources

        yield read


def changed(run, at=0, **fields):
    """The run with other fields of one prediction."""
    predictions = list(run.predictions)
    predictions[at] = predictions[at].model_copy(update=fields)
    return replace(run, predictions=predictions)


@pytest.mark.parametrize("name", ["drawer", "drawer (boxes)", "drawer (zoom)", "oracle (boxes)"])
def test_a_run_of_each_method_verifies(opened, name):
    """With the data set: each answer is to the question that the method asks, and leads to the recorded finding."""
    assert verify_run(*opened(name)) == []


def test_schemas_and_images_of_a_threshold_verify(bench, endpoint, kept_data):
    """A question that demands a schema is written again with it; images that only set the threshold are passed over."""
    endpoint.reply = lambda _: '{"image_anomaly_score": 0.5, "regions": []}'
    settings = {"prompt": "json", "number_size": 7, "border_width": 1}
    run = bench(method="votes", categories=("bolt",), settings=settings, threshold="reference:0.5")
    assert "response_format" in endpoint.asked[0]
    assert len(run.predictions) * 3 < len(endpoint.asked)
    with ExitStack() as stack:
        assert verify_run(run, None, find_sources(run, kept_data, Progress(), stack)) == []


def test_methods_without_regions_verify_without_the_data_set(opened):
    """Their answers are read in the recorded convention; of a method with regions nothing could be read."""
    run, _, _ = opened("drawer (boxes)", data=False)
    assert verify_run(run) == []
    zoom, answers, _ = opened("drawer (zoom)", data=False)
    assert verify_run(zoom, answers) == [NEEDS_DATA]


def test_an_image_of_several_questions_has_them_all(opened):
    """Each question with its key and its answer, whose pictures are drawn again."""
    run, _, sources = opened("drawer (zoom)")
    talks, record = Conversations(run, sources), run.predictions[0]
    _, requests = talks.again(record, recorded_answers(record))
    assert talks.has_texts
    assert [talks.is_key(request, step.key) for request, step in zip(requests, record.steps, strict=True)] == [True] * 3
    assert len({request.images[-1].digest for request in requests}) == 3


@pytest.mark.parametrize(
    ("name", "field", "change", "problem"),
    [
        ("drawer (boxes)", "image_score", lambda score: 1 - score, "scores or status are not those of the answer"),
        ("drawer (boxes)", "flags", lambda _: ["clipped"], "scores or status are not those of the answer"),
        ("drawer (boxes)", "text", lambda text: f"{text} ", "not the one in answers.sqlite"),
        ("drawer (zoom)", "spread", lambda _: 0.5, "scores or status are not those of the answer"),
        ("drawer (zoom)", "steps", lambda steps: [*steps, steps[0]], "more answers than questions of the method"),
        ("oracle (boxes)", "shapes", lambda _: [{"box": [0, 0, 9, 9], "score": 1.0}], "not those of the ground truth"),
    ],
)
def test_what_does_not_follow_from_the_answers_is_named(opened, name, field, change, problem):
    """A score, a flag, an answer or a place that somebody changed."""
    run, answers, sources = opened(name)
    wrong = changed(run, **{field: change(getattr(run.predictions[0], field))})
    assert any(problem in one for one in verify_run(wrong, answers, sources))


def test_an_answer_to_another_question_is_named(opened):
    """Two images whose answers are exchanged, keys and all: neither was asked that question."""
    run, _, sources = opened("drawer (boxes)")
    one, other = run.predictions[:2]
    names = ("key", "text", "outcome", "image_score", "shapes", "status", "notes", "flags", "measures")
    swapped = changed(run, 0, **{name: getattr(other, name) for name in names})
    swapped = changed(swapped, 1, **{name: getattr(one, name) for name in names})
    assert any("to another question than the method asks" in one for one in verify_run(swapped, None, sources))


def test_a_method_that_is_not_installed_is_not_run(opened):
    """A stranger's run may name a file of code: it is not opened, and its answers cannot be read again."""
    run, answers, _ = opened("drawer (boxes)")
    for name in ("unknown", "/tmp/evil.py"):
        method = run.manifest.method.model_copy(update={"name": name})
        other = replace(run, manifest=run.manifest.model_copy(update={"method": method}))
        assert any(f"no method '{name}' is installed" in one for one in verify_run(other, answers))


def test_another_version_of_a_method_is_not_used(opened):
    """The recorded options say which sentences it wrote; answers to others are not read by it."""
    run, _, _ = opened("drawer (boxes)")
    method = run.manifest.method.model_copy(update={"options": {**run.manifest.method.options, "sentences": "x"}})
    other = Conversations(replace(run, manifest=run.manifest.model_copy(update={"method": method})))
    assert other.problem == "the installed method boxes is another than the run's"


@pytest.mark.parametrize("field", [{"order": "zyx"}, {"mirrored": True}])
def test_a_convention_that_this_version_does_not_know_is_not_used(opened, field):
    """A stranger's run, or one of a later version, whose answers could only be read wrongly: its pages have none."""
    run, _, sources = opened("drawer (boxes)")
    method = run.manifest.method.model_copy(update={"convention": {**run.manifest.method.convention, **field}})
    other = Conversations(replace(run, manifest=run.manifest.model_copy(update={"method": method})), sources)
    assert "the run's convention" in other.problem


def test_stored_answers_are_preferred(method_runs, tmp_path):
    """They are whole and have probabilities; without them the recorded texts are read."""
    record = method_runs["drawer (boxes)"].predictions[0].model_copy(update={"text": "cut", "key": "k"})
    with closing(open_answers(tmp_path / "answers.sqlite")) as database:
        answers = AnswerStore(database)
        assert recorded_answers(record, answers) == [Answer("cut")]
        answers.put("k", Answer("whole"), request=Request((), "?"), identity={})
        assert recorded_answers(record, answers)[0].text == "whole"
