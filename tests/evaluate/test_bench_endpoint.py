"""A bench of a chat model behind a real HTTP endpoint on the loopback interface."""

import base64
import json
import re
import time
from contextlib import closing
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from scipy.stats import mannwhitneyu

from lvlm_ad.asking import AnswerStore
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_image, resize_mask
from lvlm_ad.errors import FatalError
from lvlm_ad.evaluate.views import Views
from lvlm_ad.metrics import pixel_metrics
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.regions import divide
from lvlm_ad.runs import read_run
from lvlm_ad.store import open_answers

SECRET = "sk-never-to-be-seen-42"
SIZE = (96, 96)
PRICE = {"price_input": 1000, "price_output": 1000}
"""An answer of the endpoint has 820 tokens, so it costs 0.82 USD."""


def picture_of(body):
    """Decode the last picture of a request."""
    uris = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
    return np.asarray(Image.open(BytesIO(base64.b64decode(uris[-1].partition(",")[2]))).convert("RGB"))


def refusal(completion):
    """A reply with which the model declines."""
    return 200, completion("", message={"role": "assistant", "content": None, "refusal": "No."}), {}


@pytest.fixture
def expected(kept_data):
    """For each sample: its regions, the picture that should be sent, a made-up image score, region scores and text."""
    rows = {}
    for index, sample in enumerate(load_dataset("folder", kept_data)):
        image = resize_image(sample.image, SIZE)
        regions = divide(image, "grid", grid_rows=4, grid_columns=4, min_area=0)
        scores = {1 + (7 * index) % regions.count: round(0.05 * (index + 1), 2), regions.count: 0.3}
        image_score = round((0.37 * index) % 1, 2)
        text = f"image anomaly score: {image_score}; " + "; ".join(f"region {n}: {s}" for n, s in scores.items()) + "."
        rows[sample.id] = (sample, regions, draw_marks(image, regions, MarkStyle()), image_score, scores, text)
    return rows


@pytest.fixture
def answering(endpoint, expected):
    """An endpoint that knows each marked picture and gives its made-up answer; other pictures get a 400."""
    by_picture = {marked.tobytes(): text for _, _, marked, _, _, text in expected.values()}

    def reply(body):
        text = by_picture.get(picture_of(body).tobytes())
        return text if text is not None else (400, {"error": {"message": "an unexpected picture"}}, {})

    endpoint.reply = reply
    return endpoint


def test_few_questions_are_prepared_before_the_first_answer(bench, answering, monkeypatch):
    """The first questions are not delayed by the drawing of many more; in the end each image is asked about."""
    prepared, before = [], []
    reply, view = answering.reply, Views.view

    def counted(views, sample, regions):
        prepared.append(sample.id)
        return view(views, sample, regions)

    def slowly(body):
        if not before:
            time.sleep(0.5)
            before.append(len(prepared))
        return reply(body)

    monkeypatch.setattr(Views, "view", counted)
    answering.reply = slowly
    bench(concurrency=1)
    assert before == [2]
    assert len(answering.asked) == len(prepared) == 12


def test_metrics_equal_a_computation_from_the_answers(bench, answering, expected):
    """One question an image, with marked picture and class name; metrics are those of the answers' scores, painted."""
    run = bench()
    assert len(answering.asked) == 12
    texts = {body["messages"][0]["content"][-1]["text"] for body in answering.asked}
    assert any("nut" in text and "nut1" not in text for text in texts)
    for category in ("bolt", "nut1"):
        rows = [row for row in expected.values() if row[0].category == category]
        good, bad = ([row[3] for row in rows if row[0].label is label] for label in (False, True))
        auroc = mannwhitneyu(bad, good).statistic / (len(bad) * len(good))
        measured = run.metrics["categories"][category]
        assert measured["image_auroc"] == pytest.approx(auroc, abs=1e-12)
        masks, maps = [], []
        for sample, regions, _, _, region_scores, _ in rows:
            masks.append(resize_mask(sample.mask, SIZE))
            painted = np.zeros(regions.count + 1)
            for number, score in region_scores.items():
                painted[number - 1] = score
            maps.append(painted[regions.cells])
        by_pixel = pixel_metrics(masks, maps)
        for name in ("auroc", "ap", "f1_max", "aupro"):
            assert measured[f"pixel_{name}"] == pytest.approx(getattr(by_pixel, name), abs=1e-12)
    both = [run.metrics["categories"][category]["pixel_auroc"] for category in ("bolt", "nut1")]
    assert run.metrics["mean"]["pixel_auroc"] == pytest.approx(sum(both) / 2, abs=1e-12)
    assert run.metrics["answers"] | {"ok": 12, "total": 12} == run.metrics["answers"]
    assert run.metrics["usage"] | {"input_tokens": 12 * 800, "cost_usd": None} == run.metrics["usage"]


def test_predictions_hold_the_evidence(bench, answering, expected, out):
    """Each line of predictions.jsonl has the answer, its key in the store, and the scores read from it."""
    run = bench()
    back = read_run(run.dir)
    assert (back.manifest, back.metrics, list(back.predictions)) == (run.manifest, run.metrics, list(run.predictions))
    lines = [json.loads(line) for line in (run.dir / "predictions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == list(expected)
    with closing(open_answers(out / "answers.sqlite")) as database:
        for line in lines:
            _, regions, _, image_score, scores, text = expected[line["id"]]
            assert (line["text"], line["image_score"], line["division"]) == (text, image_score, regions.hash)
            assert {int(number): score for number, score in line["regions"].items()} == scores
            assert AnswerStore(database).get(line["key"]).text == text
    assert next(iter(json.loads((run.dir / "run.json").read_text()))) == "schema_version"
    assert len(answering.asked) == 12


def test_nothing_is_asked_twice(bench, answering, monkeypatch):
    """The same bench asks nothing; nor does another concurrency, time-out or key, nor one without the server."""
    first, again = bench(), bench()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    other = bench({"timeout": 9}, concurrency=2)
    assert len(answering.asked) == 12
    answering.reply = lambda _: (500, {"error": {"message": "gone"}}, {})
    metrics = [dict(run.metrics) for run in (first, again, other, bench())]
    for usage in (one.pop("usage") for one in metrics):
        assert usage["input_tokens"] == 9600
    assert all(one == metrics[0] for one in metrics)


def test_a_changed_question_is_asked_again(bench, endpoint):
    """Another prompt, sampling option, picture or model is another question; more images ask only for the new ones."""
    few = {"categories": ("bolt",), "limit": 2}
    bench(**few)
    changes = ({"prompt": "general"}, {"temperature": 0.5}, {"number_size": 20}, {"model": "other"})
    for asked, change in enumerate(changes, start=1):
        assert len(endpoint.asked) == 2 * asked
        bench(change, **few)
    assert len(endpoint.asked) == 10
    bench()
    assert len(endpoint.asked) == 20


def test_a_price_is_no_other_run(bench, endpoint):
    """The price does not enter the run's identity; a sampling option does."""
    first = bench(limit=1)
    assert bench(PRICE, limit=1).dir == first.dir
    assert bench({"temperature": 1}, limit=1).dir != first.dir
    assert len(endpoint.asked) == 4


FAILURES = {
    "answers that quote it": (0, lambda: f"image anomaly score: 0.5. {SECRET}"),
    "a refusal that quotes it": (3, lambda: (200, completion_of(None, refusal=f"Not with {SECRET}"), {})),
    "a model named so": (0, lambda: (200, {**completion_of("image anomaly score: 0.1."), "model": SECRET}, {})),
    "failures": (2, lambda: (500, {"error": {"message": f"oops {SECRET}"}}, {})),
    "wrong requests": (2, lambda: (400, {"error": {"message": f"bad {SECRET}"}}, {})),
    "a limit": (2, lambda: (429, {"error": {"message": SECRET}}, {"retry-after": "86400"})),
    "a refused key": (2, lambda: (401, {"error": {"message": f"Incorrect API key provided: {SECRET}."}}, {})),
    "an unknown model": (2, lambda: (404, {"error": {"message": f"no model for {SECRET}"}}, {})),
    "garbage": (2, lambda: (200, f"<html>{SECRET}</html>".encode(), {})),
}


def completion_of(text, **message):
    """A completion with as little in it as a server may send."""
    return {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}]}


@pytest.mark.parametrize("kind", FAILURES)
def test_no_key_is_left_behind(bench_command, endpoint, out, kind):
    """No file and no output of a run holds the key, whatever the endpoint does with it."""
    status, reply = FAILURES[kind]
    endpoint.reply = lambda _: reply()
    endpoint.models = [f"model-{SECRET}"]
    done = bench_command("--category", "bolt", "--limit", 2, "--log", out / "log.jsonl")
    assert done.returncode == status, done.stderr
    assert len(endpoint.asked) > 0
    assert SECRET not in done.stdout + done.stderr
    for path in out.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1, model gpt-4o: no connection ("),
        ("https://{}/v1", ", model gpt-4o: no connection ("),
        ("http://{}/html", "base_url may be wrong"),
        ("http://{}/v1", "status 500: out of order"),
    ],
)
def test_an_endpoint_out_of_reach_is_no_row(bench_command, endpoint, out, address, says):
    """Where every question fails: exit status 2, one line, no run."""
    page, failure = (200, b"<html>sign in</html>", {}), (500, {"error": {"message": "out of order"}}, {})
    endpoint.reply = lambda _: page if "html" in address else failure
    address = address.format(urlsplit(endpoint.url).netloc)
    done = bench_command("--limit", 1, "--set", f"base_url={address}", "--set", "timeout=5")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(out.glob("*/run.json"))


def test_a_fatal_error_keeps_the_answers(bench, endpoint):
    """After a fatal error, what was answered is not asked again."""
    bench(categories="bolt")
    endpoint.reply = lambda _: (404, {"error": {"message": "The model does not exist"}}, {})
    with pytest.raises(FatalError, match="The model does not exist"):
        bench()
    endpoint.asked.clear()
    endpoint.reply = lambda _: "image anomaly score: 0.1."
    assert bench().metrics["answers"]["ok"] == 12
    assert len(endpoint.asked) == 6


@pytest.mark.parametrize(
    ("status", "error", "counted"),
    [
        (400, {"message": "cannot identify image file"}, "failed"),
        (413, {"message": "The picture has too many bytes"}, "failed"),
        (400, {"message": "inappropriate content", "code": "content_filter"}, "refused"),
    ],
)
def test_a_first_picture_that_is_refused_ends_no_run(bench, endpoint, status, error, counted):
    """Even asked alone, and alone again by the same command, a refused picture is counted and the others answered."""
    pictures = []

    def reply(body):
        pictures.append(picture_of(body).tobytes())
        return (status, {"error": error}, {}) if pictures[-1] == pictures[0] else "image anomaly score: 0.5."

    endpoint.reply = reply
    for asked_again in (0, counted == "failed"):
        answers = bench(categories="bolt", concurrency=1).metrics["answers"]
        assert (answers[counted], answers["ok"]) == (1, 5)
        assert len(pictures) == 6 + asked_again


def test_a_day_that_is_used_up_ends_the_run(bench, endpoint):
    """After one question the run ends and says until when; what was answered is kept."""
    bench(categories="bolt")
    endpoint.asked.clear()
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time() + 36000) * 1000)}
    error = {"message": "free-models-per-day", "metadata": {"headers": headers}}
    endpoint.reply = lambda _: (429, {"error": error}, {})
    with pytest.raises(FatalError, match=r"Rate limited for 3\d{4} s .*free-models-per-day.* until 20.* UTC"):
        bench(concurrency=1)
    assert len(endpoint.asked) == 1
    endpoint.reply = lambda _: "image anomaly score: 0.1."
    assert bench().metrics["answers"]["ok"] == 12
    assert len(endpoint.asked) == 7


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"finish_reason": "length", "message": {"content": None}}, "allow more with --set max_tokens=N"),
        ({"message": {"content": "", "reasoning": "It is scratched."}}, "all text came as reasoning"),
        ({"finish_reason": None, "message": {"content": ""}}, "may be cut off (finish reason: none)"),
    ],
)
def test_what_would_end_the_same_way_is_not_asked_again(bench_command, endpoint, completion, choice, says):
    """An answer without text names the reason and the setting; asking again, which costs the same, is not advised."""
    endpoint.reply = lambda _: (200, completion("", **choice), {})
    done = bench_command("--category", "bolt", "--concurrency", 1, "--set", "max_retries=1")
    said = " ".join(done.stderr.split())
    assert (done.returncode, says in said, "--retry-failed" in said) == (3, True, False)
    # Where the end is unknown, a question is asked once more, as long as it is not known that this is in vain.
    assert (len(endpoint.asked) in range(7, 13)) if "finish" in says else (len(endpoint.asked) == 6)


def test_failures_are_counted_and_asked_again(bench_command, endpoint, completion):
    """Refused, truncated, unparsable and failed are four outcomes; exit status 3; only what failed is asked again."""
    odd = iter(
        [
            refusal(completion),
            (200, completion("image ano", finish_reason="length"), {}),
            "What a nice bolt.",
            (400, {"error": {"message": "bad luck"}}, {}),
            "I'm sorry, but I can't assist with that.",
        ]
    )
    endpoint.reply = lambda _: next(odd, "image anomaly score: 0.5.")
    done = bench_command("--category", "bolt", "--concurrency", 1)
    answers = json.loads(done.stdout)["runs"][0]["metrics"]["answers"]
    assert done.returncode == 3
    counts = {"ok": 1, "refused": 2, "truncated": 1, "unparsable": 1, "failed": 1, "usable": 1}
    assert answers | counts == answers
    assert "5 of 6 images have no usable answer: 2 refused, 1 unparsable, 1 truncated, 1 failed" in done.stderr
    assert "bad luck" in done.stderr
    assert "--retry-failed" in done.stderr
    endpoint.asked.clear()
    again = bench_command("--category", "bolt")
    assert len(endpoint.asked) == 1
    assert json.loads(again.stdout)["runs"][0]["metrics"]["answers"]["failed"] == 0


def test_retry_failed_asks_again_what_gave_no_scores(bench, bench_command, endpoint, completion):
    """Only with --retry-failed are refused, filtered, cut off, empty and unreadable answers asked for again, once."""
    replies = iter(
        [
            refusal(completion),
            (200, completion("", finish_reason="content_filter"), {}),
            (200, completion("image anomaly score: 0.5; region 1", finish_reason="length"), {}),
            (200, completion(""), {}),
            "What a nice bolt.",
        ]
    )
    endpoint.reply = lambda _: next(replies, "image anomaly score: 0.5.")
    options = {"categories": "bolt", "concurrency": 1}
    first = bench(**options)
    assert first.metrics["outcomes"] == {"empty": 1, "filtered": 1, "ok": 2, "refused": 1, "truncated": 1}
    bench(**options)
    assert len(endpoint.asked) == 6
    forecast = bench_command("--category", "bolt", "--retry-failed", "--dry-run")
    assert json.loads(forecast.stdout)["forecast"][0]["to_ask"] == 5
    assert bench(**options, retry_failed=True).metrics["outcomes"] == {"ok": 6}
    bench(**options, retry_failed=True)
    assert len(endpoint.asked) == 11


def test_retries_without_success_are_reported(bench, bench_command, endpoint, completion):
    """If asking again fails, the answers stay what they were, and the command says why."""
    endpoint.reply = lambda _: refusal(completion)
    bench(PRICE, categories="bolt")
    endpoint.reply = lambda _: (500, {"error": {"message": "out of order"}}, {})
    price = [part for name, value in PRICE.items() for part in ("--set", f"{name}={value}")]
    arguments = ("--category", "bolt", "--concurrency", 1, "--retry-failed", *price)
    done = bench_command(*arguments)
    assert done.returncode == 3
    assert json.loads(done.stdout)["runs"][0]["metrics"]["answers"]["refused"] == 6
    assert "6 questions were asked again without success. bolt/good/000: " in " ".join(done.stderr.split())
    assert "status 500: out of order" in done.stderr
    endpoint.reply = lambda _: "image anomaly score: 0.5."
    limited = " ".join(bench_command(*arguments, "--max-cost", 1).stderr.split())
    assert "5 questions were asked again without success" in limited
    assert "could exceed the limit of 1 USD" in limited


def test_an_ignored_schema_is_noticed_and_on_record(bench_command, endpoint, out):
    """A server that takes the schema and answers in prose is named once; runs with and without schema are two rows."""
    done = bench_command("--prompt", "json")
    assert done.returncode == 0
    assert " ".join(done.stderr.split()).count("ignores it") == 1
    assert endpoint.asked[0]["response_format"]["type"] == "json_schema"
    done = bench_command("--prompt", "json", "--set", 'takes=["temperature"]')
    assert "ignores" not in done.stderr
    assert "response_format" not in endpoint.asked[-1]
    records = [json.loads(path.read_text()) for path in out.glob("*/run.json")]
    assert sorted(record["prompt"]["with_schema"] for record in records) == [False, True]


def test_excluding_failures_changes_what_is_measured(bench, endpoint, completion):
    """By default a refused image counts as normal; with exclude it is left out. Both say how many were measured."""
    seen = set()

    def reply(body):
        """Know defects by their red; decline the first good and the first defective image, whichever they are."""
        red = (picture_of(body).astype(int) @ (1, -1, -1) > 100).any()
        if red not in seen:
            seen.add(red)
            return refusal(completion)
        return f"image anomaly score: {0.9 if red else 0.1}."

    endpoint.reply = reply
    zero, exclude = (
        bench(categories="bolt", concurrency=1, on_failure=mode).metrics["categories"]["bolt"]
        for mode in ("zero", "exclude")
    )
    assert (zero["n_images"], zero["n_measured"], exclude["n_images"], exclude["n_measured"]) == (6, 6, 6, 4)
    low, high = zero["range"]["image_auroc"]
    # Two of three defective images beat all good ones; the third, counted as 0, ties with one of them.
    assert (low, zero["image_auroc"], high) == pytest.approx((4 / 9, 6.5 / 9, 1.0))
    assert exclude["image_auroc"] == 1.0
    assert len(endpoint.asked) == 6


def test_the_budget_stops_the_asking(bench, bench_command, endpoint):
    """No question is asked that could exceed --max-cost; the run ends with status 3 and goes on with a higher limit."""
    price = [part for name, value in PRICE.items() for part in ("--set", f"{name}={value}")]
    done = bench_command(*price, "--concurrency", 4, "--max-cost", 2.5)
    assert (done.returncode, len(endpoint.asked)) == (3, 3)
    assert "could exceed the limit of 2.5 USD" in done.stderr
    metrics = json.loads(done.stdout)["runs"][0]["metrics"]
    assert metrics["answers"] | {"ok": 3, "failed": 0, "unasked": 9} == metrics["answers"]
    assert metrics["usage"]["cost_usd"] == metrics["usage"]["spent_usd"] == pytest.approx(3 * 0.82)
    usage = bench(PRICE, max_cost=100).metrics["usage"]
    assert usage["cost_usd"] == pytest.approx(12 * 0.82)
    assert usage["spent_usd"] == pytest.approx(9 * 0.82)
    assert len(endpoint.asked) == 12


def test_a_dry_run_asks_nothing(bench, bench_command, endpoint):
    """It says how many questions there are, how many are answered, and what the rest will cost by what was paid."""
    price = [part for name, value in PRICE.items() for part in ("--set", f"{name}={value}")]
    before = bench_command(*price, "--dry-run")
    assert endpoint.asked == []
    bench(PRICE, categories="bolt")
    after = bench_command(*price, "--dry-run")
    assert len(endpoint.asked) == 6
    (first,), (second,) = (json.loads(done.stdout)["forecast"] for done in (before, after))
    assert (first["questions"], first["stored"], first["cost_usd"]) == (12, 0, None)
    assert (second["stored"], second["to_ask"], second["basis"]) == (6, 6, "stored answers")
    assert second["cost_usd"] == pytest.approx(6 * 0.82)


def test_a_dry_run_estimates_by_the_rule_of_the_models_family(lvlm_ad_command, kept_data, tmp_path):
    """Before anything is asked: pictures by the preset's rule, the cost expected and at most; in a batch half."""
    asked = ("bench", "--model", "gpt-4o", "--no-frame", "--data", kept_data, "--limit", 1, "--division", "grid")
    live, batch = (
        json.loads(
            lvlm_ad_command(
                *(*asked, "--dry-run", "--json", "--out", tmp_path / "runs", *more), env={"OPENAI_API_KEY": SECRET}
            ).stdout
        )["forecast"][0]
        for more in ((), ("--batch",))
    )
    text = live["input_tokens"] / 2 - 765
    assert (live["basis"], live["to_ask"]) == ("rule", 2)
    assert 100 < text < 400
    assert live["cost_usd"] == pytest.approx((live["input_tokens"] * 2.5 + live["output_tokens"] * 10) / 1e6)
    assert live["at_most_usd"] == pytest.approx((live["input_tokens"] * 2.5 + 2 * 1024 * 10) / 1e6)
    assert live["seconds"] > 0
    assert batch["cost_usd"] == pytest.approx(live["cost_usd"] / 2)
    assert batch["seconds"] is None


@pytest.mark.parametrize("tokens", [2**62, 2**80, -7])
def test_a_count_that_cannot_be_leaves_the_answer_usable(bench_command, endpoint, completion, tokens, out):
    """The cost is unknown, the scores count, and the same command goes on from the stored answers."""

    def reply(_):
        body = completion("image anomaly score: 0.5.")
        return 200, {**body, "usage": {**body["usage"], "completion_tokens": tokens}}, {}

    endpoint.reply = reply
    first = bench_command()
    asked = len(endpoint.asked)
    second = bench_command()
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert asked == len(endpoint.asked) > 0
    run = read_run(next(path.parent for path in out.glob("*/run.json")))
    assert run.metrics["usage"]["cost_usd"] is None
    assert {record.output_tokens for record in run.predictions} == {None}
    assert run.metrics["coverage"] == 1


@pytest.mark.slow
def test_hostile_answers_do_no_harm(bench_command, endpoint):
    """HTML, terminal escapes and a megabyte of digits are data: the run ends, and no escape reaches the terminal."""
    hostile = ["\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>", "9" * 1_000_000, "[" * 500_000, "\u202eanomaly \x00"]
    endpoint.reply = lambda _: hostile[len(endpoint.asked) % 4]
    done = bench_command("--category", "bolt")
    assert done.returncode == 3
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.stderr)
    assert "Traceback" not in done.stderr
