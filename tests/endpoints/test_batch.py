"""Batches against a real HTTP server, through the command and through ``Batcher``."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from lvlm_ad.asking import AnswerStore, Batcher, BatchLedger, Locks
from lvlm_ad.backend import Request
from lvlm_ad.errors import FatalError, TransientError
from lvlm_ad.plugins import build, find_model
from lvlm_ad.store import open_answers

SECRET = "sk-batch-secret-0123"
SMALL = ("--no-reference-rows", "--no-report", "--division", "grid", "--resamples", "0")
SMALL += ("--set", "image_size=96", "--set", "grid_rows=4", "--set", "grid_columns=4")
PRICE = ("--set", "price_input=1000", "--set", "price_output=1000", "--set", "price_batch=0.5")


def bench(command, endpoint, data, *more):
    return command(
        *("bench", "--model", "gpt-4o", "--dataset", "folder", "--data", data, "--json", *PRICE, *SMALL),
        *("--set", f"base_url={endpoint.url}"),
        *more,
        env={"OPENAI_API_KEY": SECRET},
    )


def metrics(done):
    return json.loads(done.stdout)["runs"][0]["metrics"]


@pytest.mark.slow
def test_a_bench_in_a_batch(lvlm_ad_command, batches, small_data, tmp_path):
    """All questions go in one file and are stored under the keys of live questions, at a batch's price."""
    done = bench(lvlm_ad_command, batches, small_data, "--batch")
    assert done.returncode == 0, done.stderr
    assert (len(batches.batches), len(batches.asked), len(set(batches.asked)), batches.live) == (1, 12, 12, [])
    usage = metrics(done)["usage"]
    assert metrics(done)["answers"]["ok"] == 12
    assert usage["cost_usd"] == usage["spent_usd"] == pytest.approx(12 * 0.82 / 2)
    again = bench(lvlm_ad_command, batches, small_data)
    assert again.returncode == 0
    assert batches.live == []
    assert metrics(again)["usage"]["cost_usd"] == pytest.approx(12 * 0.82 / 2)
    assert metrics(again)["usage"]["spent_usd"] == 0
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


@pytest.mark.slow
def test_references_for_a_threshold_go_in_the_same_batch(lvlm_ad_command, batches, small_data):
    """Test images and references are asked in one batch; another threshold later asks nothing."""
    done = bench(lvlm_ad_command, batches, small_data, "--batch", "--threshold", "reference:0.5")
    assert (len(batches.batches), len(set(batches.asked)), batches.live) == (1, 18, [])
    assert metrics(done)["usage"]["spent_usd"] == pytest.approx(18 * 0.82 / 2)
    assert metrics(done)["decisions"]["asked"] == {"images": 6, "usable": 6}
    again = bench(lvlm_ad_command, batches, small_data, "--batch", "--threshold", "reference:0.6")
    assert (metrics(again)["usage"]["spent_usd"], len(batches.batches)) == (0, 1)


@pytest.mark.slow
def test_an_inspection_in_a_batch(lvlm_ad_command, batches, small_data):
    """Pictures without labels go in one batch too; the same command later asks nothing."""
    arguments = (
        *("inspect", small_data / "bolt" / "test", "--model", "gpt-4o", "--batch", "--json", *PRICE),
        *("--division", "grid", "--set", "image_size=96", "--set", f"base_url={batches.url}"),
    )
    done = lvlm_ad_command(*arguments, env={"OPENAI_API_KEY": SECRET})
    shown = json.loads(done.stdout)
    assert (shown["pictures"], shown["undecided"], len(batches.batches), batches.live) == (6, 0, 1, [])
    assert shown["spent_usd"] == pytest.approx(6 * 0.82 / 2)
    again = json.loads(lvlm_ad_command(*arguments, env={"OPENAI_API_KEY": SECRET}).stdout)
    assert (again["spent_usd"], len(batches.batches)) == (0, 1)


ZOOM = ("--method", "zoom", "--set", "zoom_budget=1", "--category", "bolt", "--batch")


@pytest.mark.slow
def test_rounds_of_a_conversation_survive_a_restart_between_them(lvlm_ad_command, batches, small_data):
    """Questions that follow from answers go into the next batch; interrupted between two, nothing is asked twice."""
    batches.state = lambda number: "failed" if number == 1 else "completed"
    stopped = bench(lvlm_ad_command, batches, small_data, *ZOOM)
    assert (stopped.returncode, sizes(batches)) == (2, [6, 6])
    first, refused = batches.asked[:6], batches.asked[6:]
    done = bench(lvlm_ad_command, batches, small_data, *ZOOM)
    assert done.returncode == 0, done.stderr
    assert (sizes(batches), batches.live) == ([6, 6, 6], [])
    assert batches.asked[12:] == refused
    assert not set(first) & set(refused)
    usage = metrics(done)["usage"]
    assert (usage["questions"], usage["cost_usd"]) == (12, pytest.approx(12 * 0.82 / 2))
    assert usage["spent_usd"] == pytest.approx(6 * 0.82 / 2)
    live = bench(lvlm_ad_command, batches, small_data, *ZOOM[:-1])
    assert (batches.live, metrics(live)["mean"]) == ([], metrics(done)["mean"])


@pytest.mark.slow
def test_kill_9_while_the_second_round_waits(batches, small_data, tmp_path):
    """Killed while later questions are under way in a batch, the same command collects that batch."""
    gate = threading.Event()
    batches.state = lambda number: "completed" if gate.is_set() or number == 0 else "in_progress"
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4o", "--data", str(small_data), *ZOOM),
        *("--set", f"base_url={batches.url}", "--out", str(tmp_path / "out"), "--json", *SMALL),
    ]
    environment = {**os.environ, "OPENAI_API_KEY": SECRET}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while len(batches.batches) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        process.kill()
    gate.set()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sizes(batches) == [6, 6]
    assert metrics(done)["answers"]["ok"] == 6


@pytest.mark.slow
def test_kill_9_while_waiting(batches, small_data, tmp_path):
    """Killed while a batch is under way, the same command continues it; a live run meanwhile asks nothing."""
    gate = threading.Event()
    batches.state = lambda _: "completed" if gate.is_set() else "in_progress"
    command = [
        *(sys.executable, "-m", "lvlm_ad", "bench", "--model", "gpt-4o", "--data", str(small_data)),
        *("--set", f"base_url={batches.url}", "--out", str(tmp_path / "out"), "--json", *SMALL),
    ]
    environment = {**os.environ, "OPENAI_API_KEY": SECRET}
    process = subprocess.Popen([*command, "--batch"], env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "Waiting for batches" in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    live = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert live.returncode == 3
    assert "12 questions wait in batches" in live.stderr
    assert "--batch collects" in live.stderr
    assert batches.live == []
    gate.set()
    done = subprocess.run([*command, "--batch"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(batches.batches) == 1
    assert metrics(done)["answers"]["ok"] == 12


@pytest.mark.slow
def test_retry_failed_in_a_batch(lvlm_ad_command, batches, small_data, completion):
    """With --retry-failed, declined questions are asked again in a batch and replaced; without it they are not."""
    batches.reply = lambda _: (200, completion("", message={"role": "assistant", "content": None, "refusal": "No."}))
    assert bench(lvlm_ad_command, batches, small_data, "--batch").returncode == 3
    batches.reply = lambda _: (200, completion("image anomaly score: 0.5."))
    assert bench(lvlm_ad_command, batches, small_data, "--batch").returncode == 3
    assert len(batches.batches) == 1
    done = bench(lvlm_ad_command, batches, small_data, "--batch", "--retry-failed")
    assert done.returncode == 0
    assert len(batches.batches) == 2
    assert metrics(done)["usage"]["spent_usd"] == pytest.approx(12 * 0.82 / 2)


@pytest.mark.slow
def test_a_limit_in_money_bounds_a_batch(lvlm_ad_command, batches, small_data):
    """No question that could exceed the limit goes into a batch; each counts with the longest answer possible."""
    limits = ("--batch", "--max-cost", 2, "--set", "max_tokens=100", "--set", "image_tokens=fixed 800")
    done = bench(lvlm_ad_command, batches, small_data, *limits)
    assert done.returncode == 3
    each = metrics(done)["answers"]["ok"]
    assert 0 < each < 12
    assert len(batches.asked) == each
    assert "could exceed the limit" in done.stderr
    refused = bench(lvlm_ad_command, batches, small_data, *limits[:-2])
    assert refused.returncode == 2
    assert "image_tokens=RULE" in refused.stderr


@pytest.mark.slow
def test_an_interrupted_batch_counts_towards_the_limit(lvlm_ad_command, batches, small_data):
    """The same command, interrupted and given again, sends no more than its limit allows."""
    limits = ("--batch", "--max-cost", 2, "--set", "max_tokens=100", "--set", "image_tokens=fixed 800")
    batches.state = lambda _: "failed"
    assert bench(lvlm_ad_command, batches, small_data, *limits).returncode == 2
    batches.batches.clear()
    gate, looks = [], []
    batches.state = lambda _: looks.append(1) or ("completed" if gate else "in_progress")
    asked = ("--model", "gpt-4o", "--dataset", "folder", "--data", small_data, *PRICE, *SMALL)
    command = [sys.executable, "-m", "lvlm_ad", "bench", *asked, "--set", f"base_url={batches.url}", *limits]
    for _ in range(2):
        # Killed once it has looked after its batch.
        looked, end = len(looks), time.monotonic() + 60
        with subprocess.Popen([*map(str, command)], env={**os.environ, "OPENAI_API_KEY": SECRET}) as process:
            while len(looks) == looked and time.monotonic() < end and process.poll() is None:
                time.sleep(0.05)
            process.kill()
        assert len(looks) > looked
    assert len(batches.batches) == 1
    gate.append(1)
    done = bench(lvlm_ad_command, batches, small_data, *limits)
    assert done.returncode == 3
    assert metrics(done)["usage"]["spent_usd"] <= 2


@pytest.mark.slow
def test_an_endpoint_without_batches_is_refused_before_anything(lvlm_ad_command, batches, small_data):
    """Backends and presets that take no batches say so at once."""
    done = bench(lvlm_ad_command, batches, small_data, "--batch", "--set", 'takes=["temperature"]')
    assert (done.returncode, "does not support batches" in done.stderr) == (2, True)
    (Path("a.json")).write_text('["x"]')
    done = lvlm_ad_command("bench", "--model", "scripted", "--set", "file=a.json", "--batch", "--no-reference-rows")
    assert (done.returncode, "ScriptedBackend does not support batches" in done.stderr) == (2, True)
    assert batches.batches == {}


@pytest.fixture
def batcher(batches, tmp_path):
    """Make a Batcher against the endpoint, on the same file each time."""
    database = open_answers(tmp_path / "answers.sqlite")
    locks = Locks(database)
    backends = []

    def make(**options):
        model, _ = find_model("openai", {"model": "m", "base_url": batches.url})
        backend, notes = build(model), []
        backends.append(backend)
        store, ledger = AnswerStore(database), BatchLedger(database)
        made = Batcher(backend, store, ledger, locks=locks, note=notes.append, sleep=lambda _: None, **options)
        made.backend, made.store, made.ledger, made.notes = backend, store, ledger, notes
        return made

    yield make
    for backend in backends:
        backend.close()
    locks.close()
    database.close()


@pytest.fixture
def other_locks(tmp_path):
    """The locks of another command on the same file."""
    with closing(open_answers(tmp_path / "answers.sqlite")) as database, closing(Locks(database)) as locks:
        yield locks


def questions(count):
    return [Request((), f"question {n}") for n in range(count)]


def keys_of(backend, count):
    return [request.key(backend.identity()) for request in questions(count)]


def lines_of(backend, count):
    return b"".join(map(backend.batch_line, keys_of(backend, count), questions(count)))


def run(batcher, count):
    batcher.run(lambda: questions(count), lambda *_: None)


def run_interrupted(batcher, count):
    """Send the batches, and be interrupted while waiting for their answers."""

    def interrupt(_seconds):
        raise KeyboardInterrupt

    batcher._sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        run(batcher, count)


def test_a_question_in_a_batch_is_that_of_a_live_run(batcher, batches):
    """What goes into a file is what a live question sends, which is told not to be streamed."""
    one = batcher()
    run(one, 1)
    one.backend.answer(questions(1)[0])
    ((line,),) = batches.files.values()
    assert [line["body"] | {"stream": False}] == batches.live


def test_what_expired_goes_into_the_next_batch(batcher, batches, completion):
    """A batch that expired half-way keeps its answers; only the others are sent again, by the same command."""
    order = {}

    def reply(body):
        at = order.setdefault(json.dumps(body), len(order))
        return None if len(batches.batches) == 1 and at >= 5 else (200, completion("image anomaly score: 0.5."))

    batches.reply = reply
    batches.state = lambda number: "expired" if number == 0 else "completed"
    one = batcher()
    run(one, 12)
    assert any("left 7 of 12 questions unanswered" in note for note in one.notes)
    assert sizes(batches) == [12, 7]
    assert (len(one.store), one.reasons) == (12, {})
    run(batcher(), 12)
    assert sizes(batches) == [12, 7], "what is answered is not sent again"


def test_a_batch_that_answers_nothing_is_not_sent_for_ever(batcher, batches):
    """When nothing of a batch is answered, nothing is sent again, and each question has a reason."""
    batches.reply = lambda _: None
    batches.state = lambda _: "expired"
    one = batcher()
    run(one, 12)
    assert sizes(batches) == [12]
    assert len(one.reasons) == 12
    assert all("could not be done in time" in str(reason) for reason in one.reasons.values())


def test_a_refused_batch_ends_the_run(batcher, batches):
    """A batch that fails validation is named with its reason; the next command sends a new one."""
    batches.state = lambda number: "failed" if number == 0 else "completed"
    with pytest.raises(FatalError, match="batch_0 was refused by the endpoint: failed: enqueued token limit reached"):
        run(batcher(), 3)
    run(batcher(), 3)
    assert sizes(batches) == [3, 3]


def test_single_questions_may_fail_and_be_declined(batcher, batches, completion):
    """In a batch too, a filter and a refusal are outcomes; a wrong request fails by itself, sent once."""
    odd = {
        0: (400, {"error": {"message": "filtered", "code": "content_filter"}}),
        1: (200, completion("", message={"role": "assistant", "content": None, "refusal": "No."})),
        2: (400, {"error": {"message": "this image is odd"}}),
        3: (200, completion("image ano", finish_reason="length")),
        4: (500, {"error": {"message": "oops"}}),
    }
    order = {}

    def reply(body):
        at = order.setdefault(json.dumps(body), len(order))
        return odd.get(at, (200, completion("image anomaly score: 0.5.")))

    batches.reply = reply
    one = batcher()
    run(one, 12)
    answers = [one.store.get(key) for key in keys_of(one.backend, 12)]
    outcomes = Counter(answer.outcome for answer in answers if answer is not None)
    assert outcomes == {"filtered": 1, "ok": 7, "refused": 1, "truncated": 1}
    assert sizes(batches) == [12, 1]
    assert sorted(str(reason).split()[-1].strip(".") for reason in one.reasons.values()) == ["odd", "oops"]


def test_no_question_that_could_exceed_the_limit_is_sent(batcher, batches):
    """The questions sent may cost together what is allowed; those under way from before count too."""
    run(batcher(most=lambda _: 1.0, allowance=5.0), 12)
    assert sizes(batches) == [5]
    batches.state = lambda _: "in_progress"
    run_interrupted(batcher(most=lambda _: 1.0, allowance=3.0), 12)
    batches.state = lambda _: "completed"
    second = batcher(most=lambda _: 1.0, allowance=3.0)
    run(second, 12)
    assert sizes(batches) == [5, 3]
    assert sum("could exceed the limit" in str(reason) for reason in second.reasons.values()) == 4


def sizes(batches):
    """How many questions were in each batch."""
    return [len(batches.files[batch["input_file_id"]]) for batch in batches.batches.values()]


def test_files_stay_within_the_endpoints_limits(batcher, batches):
    """More questions, or more bytes, than a file may hold go into several batches."""
    one = batcher()
    one.backend.max_batch_requests = 5
    run(one, 12)
    assert [len(lines) for lines in batches.files.values()] == [5, 5, 2]
    two = batcher()
    two.backend.max_batch_bytes = 2 * len(two.backend.batch_line("k" * 64, Request((), "question 10")))
    run(two, 17)
    assert [len(lines) for lines in list(batches.files.values())[3:]] == [2, 2, 1]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_run_killed_between_two_steps_is_continued(batcher, batches, tmp_path, steps):
    """Killed before the upload, after it, or after a start that was not written down: each question is sent once."""
    first = batcher()
    keys, identity = keys_of(first.backend, 3), first.backend.identity()
    label = first.ledger.begin(identity, keys)
    if steps >= 1:
        (tmp_path / "f.jsonl").write_bytes(lines_of(first.backend, 3))
        file_id = first.backend.upload_batch(tmp_path / "f.jsonl")
        first.ledger.record(label, "file_id", file_id)
    if steps >= 2:
        first.backend.start_batch(file_id, label)
    second = batcher()
    run(second, 3)
    assert (len(batches.files), len(batches.batches), second.answered) == (1, 1, set(keys))
    assert first.ledger.open_batches(identity) == []


@pytest.mark.parametrize("better", [True, False])
def test_an_answer_that_may_be_cut_off_goes_into_one_more_batch(batcher, batches, completion, better):
    """The second answer takes its place if it is complete; else it stays as a truncated one, and is not sent again."""

    def reply(body):
        sure = "question 0" not in json.dumps(body) or (better and len(batches.batches) > 1)
        return 200, completion("whole" if sure else "half", finish_reason="stop" if sure else "abort")

    batches.reply = reply
    one = batcher()
    run(one, 3)
    key = keys_of(one.backend, 1)[0]
    assert [len(lines) for lines in batches.files.values()] == [3, 1]
    stored = one.store.get(key)
    assert (stored.text, stored.outcome, stored.batch) == (("whole", "ok") if better else ("half", "truncated")) + (
        True,
    )


def test_a_start_whose_reply_is_lost_is_not_repeated(batcher, batches):
    """When the reply to the start of a batch is lost, the batch is looked for before another is started."""
    first = batcher()
    start = first.backend.start_batch

    def losing(file_id, label):
        start(file_id, label)
        raise TransientError("reset")

    first.backend.start_batch = losing
    run(first, 3)
    assert (len(batches.batches), len(first.store)) == (1, 3)


def test_one_process_at_a_time_sends_batches(batcher, batches, other_locks):
    """While another command sends batches for a model, this one waits, and then finds the answers stored."""
    gate = threading.Event()
    batches.state = lambda _: "completed" if gate.is_set() else "in_progress"
    first, second = batcher(), batcher()
    second._locks = other_locks
    waiting = threading.Event()
    first._sleep = lambda _: waiting.set() or time.sleep(0.01)
    second._sleep = lambda _: gate.set() or time.sleep(0.01)
    thread = threading.Thread(target=run, args=(first, 3))
    thread.start()
    assert waiting.wait(30)
    run(second, 3)
    thread.join(timeout=30)
    assert (len(batches.batches), len(first.store)) == (1, 3)
    assert any("Another command" in note for note in second.notes)


def test_a_question_that_another_process_asks_stays_out(batcher, batches, other_locks):
    """What a live run has locked does not go into a batch."""
    first = batcher()
    locked = keys_of(first.backend, 3)[1]
    assert other_locks.take(locked)
    run(first, 3)
    assert locked not in batches.asked
    assert "another command is asking it" in str(first.reasons[locked])


def test_a_renewed_answer_takes_its_place_after_an_interruption(batcher, batches, completion):
    """Asked again in a batch that is interrupted and continued, a question gets its new answer."""
    stale = {"stale": lambda _request, answer: answer.outcome != "ok"}
    batches.reply = lambda _: (200, completion("", message={"role": "assistant", "content": None, "refusal": "No."}))
    run(batcher(), 2)
    batches.reply = lambda _: (200, completion("yes"))
    gate = []
    batches.state = lambda number: "completed" if number == 0 or gate else "in_progress"
    run_interrupted(batcher(**stale), 2)
    gate.append(1)
    third = batcher(**stale)
    run(third, 2)
    assert len(batches.batches) == 2
    assert [third.store.get(key).text for key in keys_of(third.backend, 2)] == ["yes", "yes"]


@pytest.mark.parametrize(
    ("status", "message", "reason"), [(404, "no such route", "no such route"), (401, "wrong key", "key is refused: w")]
)
def test_a_refused_upload_blocks_nothing(batcher, batches, status, message, reason):
    """It ends the run with the endpoint's reason; the questions are free again."""
    batches.refuse = (status, {"error": {"message": message}})
    first = batcher()
    with pytest.raises(FatalError, match=reason):
        run(first, 2)
    assert first.ledger.waits_in(first.backend.identity(), keys_of(first.backend, 2)[0]) is None
    batches.refuse = None
    run(batcher(), 2)
    assert len(first.store) == 2


def test_a_batch_that_is_gone_blocks_nothing(batcher):
    """A note says so; its questions are free again."""
    first = batcher()
    key = keys_of(first.backend, 2)[0]
    label = first.ledger.begin(first.backend.identity(), [key])
    first.ledger.record(label, "file_id", "file-gone")
    first.ledger.record(label, "batch_id", "batch_gone")
    assert first.ledger.waits_in(first.backend.identity(), key) == "batch_gone"
    second = batcher()
    run(second, 2)
    assert any("is gone" in note for note in second.notes)
    assert first.ledger.waits_in(first.backend.identity(), key) is None
    run(batcher(), 2)
    assert len(first.store) == 2


def test_answers_of_another_selection_are_kept(batcher, batches):
    """A batch that is continued by a run over fewer images brings all its answers into the store."""
    gate = []
    batches.state = lambda _: "completed" if gate else "in_progress"
    first = batcher()
    run_interrupted(first, 8)
    gate.append(1)
    run(batcher(), 2)
    assert (len(first.store), len(batches.batches)) == (8, 1)


def test_two_models_batches_are_kept_apart(batcher):
    """A batch belongs to the model that it was sent for."""
    first = batcher()
    first.ledger.begin({"other": "model"}, ["k"])
    run(batcher(), 2)
    assert len(first.ledger.open_batches({"other": "model"})) == 1


def test_an_endpoint_that_stumbles_is_called_again(batcher, batches):
    """Failures of the server between two looks do not lose the batch; a lasting one ends the run and keeps it."""
    batches.stumbles = 3
    first = batcher()
    run(first, 2)
    assert (len(first.store), len(batches.batches)) == (2, 1)
    batches.stumbles = 10**6
    with pytest.raises(FatalError, match=r"cannot be reached: .* status 500"):
        run(batcher(), 3)
    batches.stumbles = 0
    run(batcher(), 3)
    assert (len(first.store), len(batches.batches)) == (3, 2)
