"""The whole path against a real HTTP endpoint on the loopback interface."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from lvlm_ad.asking import AnswerStore
from lvlm_ad.datasets import load_dataset
from lvlm_ad.datasets.images import resize_image
from lvlm_ad.datasets.masks import resize_mask
from lvlm_ad.metrics import pixel_metrics
from lvlm_ad.prompts import MarkStyle, draw_marks
from lvlm_ad.regions import divide
from lvlm_ad.store import open_answers

SECRET = "sk-never-to-be-seen-42"


def picture_of(body):
    """Decode the last picture of a request."""
    uris = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
    return np.asarray(Image.open(BytesIO(base64.b64decode(uris[-1].partition(",")[2]))))


@pytest.fixture
def expected(small_data):
    """For each sample: the picture that should be sent, and a made-up answer with its scores."""
    found = {}
    for index, sample in enumerate(load_dataset("folder", small_data)):
        image = resize_image(sample.image, (768, 768))
        regions = divide(image)
        scores = {1 + (7 * index) % regions.count: round(0.05 * (index + 1), 2), regions.count: 0.3}
        image_score = round((0.37 * index) % 1, 2)
        text = f"image anomaly score: {image_score}; " + "; ".join(f"region {n}: {s}" for n, s in scores.items()) + "."
        found[sample.id] = (sample, regions, draw_marks(image, regions, MarkStyle()), image_score, scores, text)
    return found


@pytest.fixture
def answering(endpoint, expected):
    """An endpoint that knows each marked picture and gives its made-up answer; other pictures get a 400."""
    by_picture = {marked.tobytes(): text for _, _, marked, _, _, text in expected.values()}

    def reply(body):
        text = by_picture.get(picture_of(body).tobytes())
        return text if text is not None else (400, {"error": {"message": "an unexpected picture"}}, {})

    endpoint.reply = reply
    return endpoint


def bench(command, endpoint, data, *more, env=None):
    return command(
        *("bench", "--model", "gpt-4v", "--no-frame", "--dataset", "folder", "--data", data, "--json"),
        *("--set", f"base_url={endpoint.url}", "--set", "max_retries=0"),
        *more,
        env={"OPENAI_API_KEY": SECRET, **(env or {})},
    )


def test_metrics_equal_a_hand_computation(lvlm_ad_command, answering, small_data, expected):
    """One question an image, with the marked picture and the prompt; metrics equal those computed from the answers."""
    done = bench(lvlm_ad_command, answering, small_data)
    assert (done.returncode, len(answering.asked)) == (0, 12), done.stderr
    texts = {body["messages"][0]["content"][-1]["text"] for body in answering.asked}
    assert any("nut" in text and "nut1" not in text for text in texts)
    (run,) = json.loads(done.stdout)["runs"]
    metrics = run["metrics"]
    for category in ("bolt", "nut1"):
        rows = [row for row in expected.values() if row[0].category == category]
        labels, scores = [row[0].label for row in rows], [row[3] for row in rows]
        assert metrics["categories"][category]["image_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        masks, maps = [], []
        for sample, regions, _, _, region_scores, _ in rows:
            masks.append(resize_mask(sample.mask, (768, 768)))
            painted = np.zeros(regions.count + 1)
            for number, score in region_scores.items():
                painted[number - 1] = score
            maps.append(painted[regions.cells])
        truth, values = np.concatenate(masks).ravel(), np.concatenate(maps).ravel()
        by_hand = metrics["categories"][category]
        assert by_hand["pixel_auroc"] == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
        assert by_hand["pixel_ap"] == pytest.approx(average_precision_score(truth, values), abs=1e-12)
        assert by_hand["pixel_aupro"] == pytest.approx(pixel_metrics(masks, maps).aupro, abs=1e-12)
    both = [metrics["categories"][category]["pixel_auroc"] for category in ("bolt", "nut1")]
    assert metrics["mean"]["pixel_auroc"] == pytest.approx(sum(both) / 2, abs=1e-12)
    assert metrics["answers"] | {"ok": 12, "total": 12} == metrics["answers"]
    assert metrics["usage"]["input_tokens"] == 12 * 800
    assert metrics["usage"]["cost_usd"] is None


def test_predictions_hold_the_evidence(lvlm_ad_command, answering, small_data, expected):
    """Each line of predictions.jsonl has the answer, its key in the store, and the scores read from it."""
    done = bench(lvlm_ad_command, answering, small_data)
    folder = Path(json.loads(done.stdout)["runs"][0]["dir"])
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == list(expected)
    store = AnswerStore(open_answers(Path("runs/answers.sqlite")))
    for line in lines:
        _, regions, _, image_score, scores, text = expected[line["id"]]
        assert (line["text"], line["image_score"], line["division"]) == (text, image_score, regions.hash)
        assert {int(number): score for number, score in line["regions"].items()} == scores
        assert store.get(line["key"]).text == text
    manifest = json.loads((folder / "run.json").read_text())
    assert next(iter(manifest)) == "schema_version"


def test_nothing_is_asked_twice(lvlm_ad_command, answering, small_data):
    """The same command asks nothing; nor does another concurrency, time-out or key, nor a server that is gone."""
    first = bench(lvlm_ad_command, answering, small_data)
    assert len(answering.asked) == 12
    again = bench(lvlm_ad_command, answering, small_data)
    other = bench(
        *(lvlm_ad_command, answering, small_data, "--concurrency", 2, "--set", "timeout=9"),
        env={"OPENAI_API_KEY": "sk-another"},
    )
    assert len(answering.asked) == 12
    answering.close()
    offline = bench(lvlm_ad_command, answering, small_data)
    metrics = [json.loads(done.stdout)["runs"][0]["metrics"] for done in (first, again, other, offline)]
    for usage in (one.pop("usage") for one in metrics):
        assert usage["input_tokens"] == 9600
    assert metrics[0] == metrics[1] == metrics[2] == metrics[3]
    answering._thread.join()


@pytest.mark.parametrize(
    "change",
    [["--prompt", "general"], ["--set", "temperature=0.5"], ["--set", "number_size=20"], ["--set", "model=other"]],
    ids=["prompt", "option", "picture", "model"],
)
def test_a_changed_question_is_asked_anew(lvlm_ad_command, endpoint, small_data, change):
    """Another prompt, picture, sampling option or model is another question."""
    few = ("--category", "bolt", "--limit", 2)
    bench(lvlm_ad_command, endpoint, small_data, *few)
    assert len(endpoint.asked) == 2
    bench(lvlm_ad_command, endpoint, small_data, *few, *change)
    assert len(endpoint.asked) == 4


def test_a_wider_run_asks_only_what_is_new(lvlm_ad_command, endpoint, small_data):
    """Answers of a limited run serve the whole run."""
    bench(lvlm_ad_command, endpoint, small_data, "--limit", 2)
    bench(lvlm_ad_command, endpoint, small_data)
    assert len(endpoint.asked) == 12


def stored_answers(path):
    if not path.exists():
        return 0
    with closing(open_answers(path)) as database:
        return len(AnswerStore(database))


def test_kill_9_loses_and_repeats_nothing(answering, small_data, tmp_path):
    """After kill -9 in the middle, the same command asks for no image whose answer was stored, and ends with all."""
    inner, gate = answering.reply, threading.Semaphore(5)

    def slowly(body):
        gate.acquire()
        return inner(body)

    answering.reply = slowly
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4v", "--no-frame", "--data", str(small_data)),
        *("--set", f"base_url={answering.url}", "--concurrency", "3", "--out", str(tmp_path / "out"), "--json"),
    ]
    environment = {**os.environ, "OPENAI_API_KEY": SECRET}
    store = tmp_path / "out" / "answers.sqlite"
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while stored_answers(store) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    known = stored_answers(store)
    asked_before = [picture_of(body).tobytes() for body in answering.answered]
    assert known == 5
    in_flight = len(answering.asked) - len(answering.answered)
    for _ in range(50):
        gate.release()
    answering.asked.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    asked_again = [picture_of(body).tobytes() for body in answering.asked]
    assert len(asked_again) == 12 - known
    assert len(set(asked_again)) == len(asked_again)
    assert not set(asked_again) & set(asked_before[:known])
    assert in_flight <= 3
    assert stored_answers(store) == 12
    assert json.loads(done.stdout)["runs"][0]["metrics"]["answers"]["ok"] == 12


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
    return {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}]}


@pytest.mark.parametrize("kind", FAILURES)
def test_no_key_is_left_behind(lvlm_ad_command, endpoint, small_data, tmp_path, kind):
    """No file and no output of a run holds the key, whatever the endpoint does with it, also not in a debug log."""
    status, reply = FAILURES[kind]
    endpoint.reply = lambda _: reply()
    endpoint.models = [f"model-{SECRET}"]
    done = bench(
        *(lvlm_ad_command, endpoint, small_data, "--category", "bolt", "--limit", 2),
        env={"OPENAI_LOG": "debug"},
    )
    assert done.returncode == status, done.stderr
    assert len(endpoint.asked) > 0
    assert SECRET not in done.stdout + done.stderr
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("limit", [1, 6], ids=["fewer than eight questions", "more"])
@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1, model gpt-4o: no connection ("),
        ("http://no-such-host.invalid/v1", "http://no-such-host.invalid/v1, model gpt-4o: no connection ("),
        ("https://{}/v1", ", model gpt-4o: no connection ("),
        ("http://{}/html", "base_url may be wrong"),
        ("http://{}/v1", "status 500: out of order"),
    ],
)
def test_an_endpoint_out_of_reach_is_no_row(lvlm_ad_command, endpoint, small_data, tmp_path, address, says, limit):
    """Where every question fails: exit status 2, one line, no run; answers of earlier runs stay what they were."""
    page, failure = (200, b"<html>sign in</html>", {}), (500, {"error": {"message": "out of order"}}, {})
    endpoint.reply = lambda _: page if "html" in address else failure
    address = address.format(urlsplit(endpoint.url).netloc)
    done = bench(
        *(lvlm_ad_command, endpoint, small_data, "--limit", limit),
        *("--set", f"base_url={address}", "--set", "timeout=5"),
    )
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list((tmp_path / "runs").glob("*/run.json"))


def test_a_refused_key_ends_the_run_and_keeps_the_answers(lvlm_ad_command, endpoint, small_data):
    """After a fatal error: exit status 2, one line, no traceback, and what was answered is not asked again."""
    bench(lvlm_ad_command, endpoint, small_data, "--category", "bolt")
    endpoint.reply = lambda _: (404, {"error": {"message": "The model does not exist"}}, {})
    failed = bench(lvlm_ad_command, endpoint, small_data)
    assert failed.returncode == 2
    assert "The model does not exist" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert failed.stdout == ""
    endpoint.asked.clear()
    endpoint.reply = lambda _: "image anomaly score: 0.1."
    assert bench(lvlm_ad_command, endpoint, small_data).returncode == 0
    assert len(endpoint.asked) == 6


def test_failures_are_counted_and_asked_again(lvlm_ad_command, endpoint, small_data, completion):
    """Refused, truncated, unparsable and failed are four outcomes; exit status 3; only what failed is asked again."""
    odd = iter(
        [
            (200, completion("", message={"role": "assistant", "content": None, "refusal": "No."}), {}),
            (200, completion("image ano", finish_reason="length"), {}),
            "What a nice bolt.",
            (400, {"error": {"message": "bad luck"}}, {}),
            "I'm sorry, but I can't assist with that.",
        ]
    )
    endpoint.reply = lambda _: next(odd, "image anomaly score: 0.5.")
    done = bench(lvlm_ad_command, endpoint, small_data, "--category", "bolt", "--concurrency", 1)
    answers = json.loads(done.stdout)["runs"][0]["metrics"]["answers"]
    assert done.returncode == 3
    assert {k: answers[k] for k in ("ok", "refused", "truncated", "unparsable", "failed", "usable")} == {
        "ok": 1,
        "refused": 2,
        "truncated": 1,
        "unparsable": 1,
        "failed": 1,
        "usable": 1,
    }
    assert "5 of 6 images have no usable answer (2 refused, 1 unparsable, 1 truncated, 1 failed)" in done.stderr
    assert "bad luck" in done.stderr
    endpoint.asked.clear()
    again = bench(lvlm_ad_command, endpoint, small_data, "--category", "bolt")
    assert len(endpoint.asked) == 1
    assert json.loads(again.stdout)["runs"][0]["metrics"]["answers"]["failed"] == 0


def test_retry_failed_asks_again_what_gave_no_scores(lvlm_ad_command, endpoint, small_data, completion):
    """Only with --retry-failed are refused, filtered, cut off, empty and unreadable answers asked for again, once."""
    odd = [
        (200, completion("", message={"role": "assistant", "content": None, "refusal": "No."}), {}),
        (200, completion("", finish_reason="content_filter"), {}),
        (200, completion("image anomaly score: 0.5; region 1", finish_reason="length"), {}),
        (200, completion(""), {}),
        "What a nice bolt.",
    ]
    replies = iter(odd)
    endpoint.reply = lambda _: next(replies, "image anomaly score: 0.5.")
    arguments = (lvlm_ad_command, endpoint, small_data, "--category", "bolt", "--concurrency", 1)
    first = json.loads(bench(*arguments).stdout)["runs"][0]["metrics"]
    assert first["outcomes"] == {"empty": 1, "filtered": 1, "ok": 2, "refused": 1, "truncated": 1}
    assert len(endpoint.asked) == 6
    bench(*arguments)
    assert len(endpoint.asked) == 6
    forecast = bench(*arguments, "--retry-failed", "--dry-run")
    assert json.loads(forecast.stdout)["forecast"][0]["to_ask"] == 5
    done = bench(*arguments, "--retry-failed")
    assert (done.returncode, len(endpoint.asked)) == (0, 11)
    assert json.loads(done.stdout)["runs"][0]["metrics"]["outcomes"] == {"ok": 6}
    bench(*arguments, "--retry-failed")
    assert len(endpoint.asked) == 11


def test_retries_in_vain_are_told(lvlm_ad_command, endpoint, small_data, completion):
    """Asked anew without success, the answers stay what they were, and the command says why."""
    refusal = (200, completion("", message={"role": "assistant", "content": None, "refusal": "No."}), {})
    price = ("--set", "price_input=1000", "--set", "price_output=1000")
    arguments = (lvlm_ad_command, endpoint, small_data, "--category", "bolt", "--concurrency", 1, *price)
    endpoint.reply = lambda _: refusal
    bench(*arguments)
    endpoint.reply = lambda _: (500, {"error": {"message": "out of order"}}, {})
    done = bench(*arguments, "--retry-failed")
    assert done.returncode == 3
    assert json.loads(done.stdout)["runs"][0]["metrics"]["answers"]["refused"] == 6
    said = " ".join(done.stderr.split())
    assert "6 questions were asked again without success. bolt/good/000: " in said
    assert "status 500: out of order" in done.stderr
    endpoint.reply = lambda _: "image anomaly score: 0.5."
    limited = bench(*arguments, "--retry-failed", "--max-cost", 1)
    assert "5 questions were asked again without success" in " ".join(limited.stderr.split())
    assert "could exceed the limit of 1 USD" in limited.stderr


def test_the_schema_is_on_record(lvlm_ad_command, endpoint, small_data, tmp_path):
    """With a schema and without one, the JSON prompt makes two rows, and the table tells them apart."""
    answer = '{"image_anomaly_score": 0.5, "regions": []}'
    endpoint.reply = lambda _: answer
    arguments = (lvlm_ad_command, endpoint, small_data, "--category", "bolt", "--prompt", "json")
    bench(*arguments)
    bench(*arguments, "--set", 'takes=["temperature"]')
    assert len(endpoint.asked) == 12
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/run.json")]
    assert sorted(record["prompt"]["with_schema"] for record in records) == [False, True]
    assert "was not given the JSON schema" in (tmp_path / "runs" / "leaderboard.md").read_text()


def test_two_processes_on_one_folder_share_the_work(endpoint, small_data, tmp_path):
    """Two commands at once on one output folder: every question is asked once, and both end with all answers."""
    both = threading.Barrier(2)
    endpoint.reply = lambda _: time.sleep(0.2) or "image anomaly score: 0.5."
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4v", "--no-frame", "--data", str(small_data)),
        *("--set", f"base_url={endpoint.url}", "--concurrency", "2", "--out", str(tmp_path / "out"), "--json"),
    ]
    done = []

    def run():
        both.wait()
        environment = {**os.environ, "OPENAI_API_KEY": SECRET}
        done.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=False))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert len(endpoint.asked) == 12
    assert [json.loads(one.stdout)["runs"][0]["metrics"]["answers"]["ok"] for one in done] == [12, 12]


def test_an_ignored_schema_is_noticed(lvlm_ad_command, endpoint, small_data):
    """A server that takes the schema and answers in prose is named once; its answers are read all the same."""
    done = bench(lvlm_ad_command, endpoint, small_data, "--prompt", "json")
    assert done.returncode == 0
    assert done.stderr.count("ignores the schema") == 1
    assert endpoint.asked[0]["response_format"]["type"] == "json_schema"
    endpoint.reply = lambda _: '{"image_anomaly_score": 0.5, "regions": []}'
    kept = bench(lvlm_ad_command, endpoint, small_data, "--prompt", "json", "--out", "other")
    assert (kept.returncode, "ignores" in kept.stderr) == (0, False)
    bench(
        *(lvlm_ad_command, endpoint, small_data, "--prompt", "json", "--out", "none"), "--set", 'takes=["temperature"]'
    )
    assert "response_format" not in endpoint.asked[-1]


def test_what_it_costs_stands_in_the_leaderboard(lvlm_ad_command, answering, small_data):
    """Cost of the run, of an image, and of a point of image AUROC above 50."""
    done = bench(lvlm_ad_command, answering, small_data, "--set", "price_input=1000", "--set", "price_output=1000")
    metrics = json.loads(done.stdout)["runs"][0]["metrics"]
    board = json.loads(lvlm_ad_command("leaderboard", "--format", "json").stdout)
    (entry,) = board["groups"][0]["entries"]
    assert entry["cost_usd"] == pytest.approx(12 * 0.82)
    assert entry["usd_per_image"] == pytest.approx(0.82)
    points = 100 * metrics["mean"]["image_auroc"] - 50
    assert entry["usd_per_point"] == (pytest.approx(12 * 0.82 / points) if points > 0 else None)


def test_excluding_failures_changes_what_is_measured(lvlm_ad_command, endpoint, small_data, completion):
    """By default a refused image counts as normal; with exclude it is left out. Both say how many were measured."""
    refusal = (200, completion("", message={"role": "assistant", "content": None, "refusal": "No."}), {})
    seen = set()

    def reply(body):
        """Know defects by their red; decline the first good and the first defective image, whichever they are."""
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        with Image.open(BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
            red = (np.asarray(picture).astype(int) @ (1, -1, -1) > 100).any()
        if red not in seen:
            seen.add(red)
            return refusal
        return f"image anomaly score: {0.9 if red else 0.1}."

    endpoint.reply = reply
    arguments = (lvlm_ad_command, endpoint, small_data, "--category", "bolt", "--concurrency", 1)
    zero = json.loads(bench(*arguments).stdout)["runs"][0]["metrics"]["categories"]["bolt"]
    exclude = json.loads(bench(*arguments, "--on-failure", "exclude").stdout)["runs"][0]["metrics"]["categories"][
        "bolt"
    ]
    assert (zero["n_images"], zero["n_measured"], exclude["n_images"], exclude["n_measured"]) == (6, 6, 6, 4)
    low, high = zero["range"]["image_auroc"]
    # Two of three defective images beat all good ones; the third, counted as 0, ties with one of them.
    assert (low, zero["image_auroc"], high) == pytest.approx((4 / 9, 6.5 / 9, 1.0))
    assert exclude["image_auroc"] == 1.0
    assert len(endpoint.asked) == 6


def test_the_budget_stops_the_asking(lvlm_ad_command, endpoint, small_data):
    """No question is asked that could exceed --max-cost; the run ends with status 3 and goes on with a higher limit."""
    price = ("--set", "price_input=1000", "--set", "price_output=1000", "--concurrency", 4)
    done = bench(lvlm_ad_command, endpoint, small_data, *price, "--max-cost", 2.5)
    assert len(endpoint.asked) == 3
    assert done.returncode == 3
    assert "could exceed the limit of 2.5 USD" in done.stderr
    metrics = json.loads(done.stdout)["runs"][0]["metrics"]
    assert {name: metrics["answers"][name] for name in ("ok", "failed", "unasked")} == {
        "ok": 3,
        "failed": 0,
        "unasked": 9,
    }
    usage = metrics["usage"]
    assert usage["cost_usd"] == usage["spent_usd"] == pytest.approx(3 * 0.82)
    rest = bench(lvlm_ad_command, endpoint, small_data, *price, "--max-cost", 100)
    assert rest.returncode == 0
    usage = json.loads(rest.stdout)["runs"][0]["metrics"]["usage"]
    assert usage["cost_usd"] == pytest.approx(12 * 0.82)
    assert usage["spent_usd"] == pytest.approx(9 * 0.82)
    assert len(endpoint.asked) == 12


def test_a_dry_run_asks_nothing(lvlm_ad_command, endpoint, small_data):
    """It says how many questions there are, how many are answered, and what the rest will cost by what was paid."""
    price = ("--set", "price_input=1000", "--set", "price_output=1000")
    before = bench(lvlm_ad_command, endpoint, small_data, *price, "--dry-run")
    assert endpoint.asked == []
    bench(lvlm_ad_command, endpoint, small_data, *price, "--category", "bolt")
    after = bench(lvlm_ad_command, endpoint, small_data, *price, "--dry-run")
    assert len(endpoint.asked) == 6
    (first,), (second,) = (json.loads(done.stdout)["forecast"] for done in (before, after))
    assert (first["questions"], first["stored"], first["cost_usd"]) == (12, 0, None)
    assert (second["stored"], second["to_ask"]) == (6, 6)
    assert second["cost_usd"] == pytest.approx(6 * 0.82)


def test_a_dry_run_estimates_by_the_rule_of_the_models_family(lvlm_ad_command, small_data):
    """Before anything is asked: pictures by the preset's rule, the cost expected and at most; in a batch half."""
    asked = ("bench", "--model", "gpt-4o", "--no-frame", "--data", small_data, "--dry-run", "--json")
    live, batch = (
        json.loads(lvlm_ad_command(*asked, *more, env={"OPENAI_API_KEY": SECRET}).stdout)["forecast"][0]
        for more in ((), ("--batch",))
    )
    text = live["input_tokens"] / 12 - 765
    assert (live["basis"], live["to_ask"]) == ("rule", 12)
    assert 100 < text < 400
    assert live["cost_usd"] == pytest.approx((live["input_tokens"] * 2.5 + live["output_tokens"] * 10) / 1e6)
    assert live["at_most_usd"] == pytest.approx((live["input_tokens"] * 2.5 + 12 * 1024 * 10) / 1e6)
    assert live["seconds"] > 0
    assert batch["cost_usd"] == pytest.approx(live["cost_usd"] / 2)
    assert batch["seconds"] is None


def test_hostile_answers_do_no_harm(lvlm_ad_command, endpoint, small_data):
    """HTML, terminal escapes and a megabyte of digits are data: the run ends, and no escape reaches the terminal."""
    hostile = ["\x1b[2J\x1b]0;owned\x07<script>alert(1)</script>", "9" * 1_000_000, "[" * 500_000, "\u202eanomaly \x00"]
    endpoint.reply = lambda _: hostile[len(endpoint.asked) % 4]
    done = bench(lvlm_ad_command, endpoint, small_data, "--category", "bolt")
    assert done.returncode == 3
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.stderr)
    assert "Traceback" not in done.stderr
