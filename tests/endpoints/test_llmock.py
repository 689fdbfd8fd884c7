"""The whole path against llmock, a mock server by others: its idea of OpenAI's interface was not formed by ours."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from lvlm_ad.asking import AnswerStore, Asker, Budget
from lvlm_ad.backend import Request
from lvlm_ad.errors import FatalError, RejectedError, TransientError
from lvlm_ad.plugins import build, find_model
from lvlm_ad.presets import Pacing, Price
from lvlm_ad.store import open_answers

pytestmark = pytest.mark.heavy
WHY = "the mock server llmock is not installed (it comes with the extra dev)"
testing = pytest.importorskip("llmock.testing", reason=WHY)
scenarios = pytest.importorskip("llmock.scenarios", reason=WHY)
ratelimit = pytest.importorskip("llmock.ratelimit", reason=WHY)
simulation = pytest.importorskip("llmock.simulation", reason=WHY)
batches = pytest.importorskip("llmock.routers.batch", reason=WHY)

CHAT = "/v1/chat/completions"
KEY = "sk-for-a-mock"
OK = 200


class Mock:
    """A running llmock that says back what it was asked; what is scripted concerns chat completions only."""

    def __init__(self, server):
        self._state = server.state
        self.url = server.base_url("openai")

    def fail(self, status, times=1, **how):
        """Answer the next requests with an error."""
        self._add(scenarios.Fail, status, times=times, **how)

    def delay(self, seconds, times=1):
        """Hold the next answers back."""
        self._add(scenarios.Delay, seconds, times=times)

    def reply(self, text, finish_reason):
        """Give this answer to the next request."""
        self._add(scenarios.Reply, text=text, finish_reason=finish_reason)

    def announce(self, a_minute):
        """Keep a limit of requests a minute and announce it in each answer's headers."""
        self._state.limiter.configure(ratelimit.LimitSettings(rpm=a_minute))

    @property
    def under_way(self):
        """How many requests arrived and are not answered."""
        return self._state.journal.in_flight

    @property
    def journal(self):
        """Every chat completion that was asked for and has ended, in order of arrival."""
        return [one for one in self._state.journal.records(wait=20) if one.path == CHAT]

    @property
    def statuses(self):
        """Their statuses, in that order."""
        return [one.status for one in self.journal]

    def reset(self):
        self._state.reset()
        self._state.limiter.configure(ratelimit.LimitSettings())

    def _add(self, kind, *arguments, **how):
        self._state.scenarios.add(kind(*arguments, match=scenarios.Match(path=CHAT), **how))


@pytest.fixture(scope="module")
def server():
    with testing.LLMockServer(responses=simulation.MockResponseSettings(response_style="echo")) as running:
        yield running


@pytest.fixture
def mock(server):
    """The server as if it had just been started."""
    fresh = Mock(server)
    fresh.reset()
    return fresh


@pytest.fixture
def store(tmp_path):
    with closing(open_answers(tmp_path / "answers.sqlite")) as database:
        yield AnswerStore(database)


@pytest.fixture
def caller(mock, store, monkeypatch):
    """Make a ``Asker`` of the preset gpt-4o, built as the command builds it, that asks the mock server."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    backends = []

    def make(concurrency=4, max_retries=5, **options):
        model, _ = find_model("gpt-4o", {"base_url": mock.url, **options})
        backends.append(build(model))
        pacing = Pacing(max_retries=max_retries)
        return Asker(backends[-1], store, Price(), Budget(None), pacing=pacing, concurrency=concurrency)

    yield make
    for backend in backends:
        backend.close()


def question(text):
    return Request((), f"question {text}")


def said_back(text):
    return f"Hello! You said: question {text}"


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503])
def test_what_may_pass_is_asked_again(mock, caller, status):
    """A conflict, a rate limit and failures of the server are asked again, and the answer counts."""
    mock.fail(status)
    assert caller().ask(question("a")).answer.text == said_back("a")
    assert mock.statuses == [status, OK]


@pytest.mark.parametrize("status", [409, 500, 502, 503])
def test_what_does_not_pass_fails_the_question_alone(mock, caller, store, status):
    """After the last retry the question fails with a TransientError, nothing is stored, and the next is answered."""
    asking = caller(max_retries=2)
    mock.fail(status, times=3, retry_after=0)
    with pytest.raises(TransientError) as failed:
        asking.ask(question("a"))
    assert type(failed.value) is TransientError
    assert (mock.statuses, len(store)) == ([status] * 3, 0)
    assert asking.ask(question("b")).answer.text == said_back("b")


def test_a_rate_limit_uses_up_no_retry(mock, caller):
    """A question that is turned away is asked until it is taken, however few retries a failure has."""
    mock.fail(429, times=3, retry_after=0.01)
    assert caller(max_retries=0).ask(question("a")).answer.text == said_back("a")
    assert mock.statuses == [429] * 3 + [OK]


@pytest.mark.parametrize("status", [400, 422])
def test_a_wrong_request_is_not_asked_again(mock, caller, store, status):
    """A RejectedError fails its question and no other, whether or not one was answered before."""
    asking = caller()
    for text in "ab":
        mock.fail(status)
        with pytest.raises(RejectedError):
            asking.ask(question(text))
        assert asking.ask(question(f"{text} again")).answer.text == said_back(f"{text} again")
    assert mock.statuses == [status, OK, status, OK]
    assert len(store) == 2


@pytest.mark.parametrize(("status", "reason"), [(401, "key"), (403, "key"), (404, "It (serves|lists) .*gpt-4o")])
def test_a_refused_key_or_model_ends_the_run(mock, caller, store, status, reason):
    """After 401, 403 or 404 every question raises a FatalError and none is asked; what was answered stays."""
    asking = caller()
    asking.ask(question("a"))
    mock.fail(status)
    for text in "bcd":
        with pytest.raises(FatalError, match=reason) as fatal:
            asking.ask(question(text))
        assert KEY not in str(fatal.value)
    assert mock.statuses == [OK, status]
    assert len(store) == 1


def test_retry_after_holds_every_thread(mock, caller):
    """From a 429 on no question goes, whoever asks it, until the time that the server wants to be left alone is up."""
    asking, wait = caller(concurrency=4), 1.5
    mock.delay(1.0, times=3)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(asking.ask, question(n)) for n in range(3)]
        while mock.under_way < 3:
            time.sleep(0.01)
        mock.fail(429, retry_after=wait)
        # One of these five goes fourth and is turned away; places that fall free meanwhile are for the others.
        asked += [pool.submit(asking.ask, question(n)) for n in range(3, 8)]
        assert {one.result().answer.text for one in asked} == {said_back(n) for n in range(8)}
    (refused,) = [one for one in mock.journal if one.status == 429]
    later = [one.started_at for one in mock.journal if one.seq > refused.seq]
    assert (len(later), min(later) - refused.ended_at >= wait) == (5, True)


def test_a_time_out_is_asked_again(mock, caller, store):
    """A question that is not answered within the time-out is asked again, and the late answer is not stored."""
    mock.delay(2.5)
    assert caller(timeout=1.0).ask(question("a")).answer.text == said_back("a")
    late, again, *_ = mock.journal
    assert late.duration >= 2.5
    assert again.started_at - late.started_at >= 1.0
    assert len(store) == 1


def test_a_burst_of_rate_limits_loses_and_repeats_nothing(mock, caller, store):
    """Forty questions through ten 429s: each has its own answer, and the server gave each answer once."""
    asking = caller(concurrency=16)
    mock.fail(429, times=10, retry_after=0.2)
    with ThreadPoolExecutor(24) as pool:
        asked = list(pool.map(lambda n: asking.ask(question(n)), range(40)))
    assert [one.answer.text for one in asked] == [said_back(n) for n in range(40)]
    assert len(store) == 40
    answered = Counter(one.fingerprint for one in mock.journal if one.status == OK)
    assert (len(answered), set(answered.values())) == (40, {1})
    assert Counter(mock.statuses) == {OK: 40, 429: 10}


@pytest.mark.parametrize(("reason", "outcome"), [("content_filter", "filtered"), ("length", "truncated")])
def test_filtered_and_cut_off_answers_are_kept(mock, caller, store, reason, outcome):
    """Either is an outcome of its own, stored, not asked again by itself, and with ``again`` asked once more."""
    mock.reply("image ano", reason)
    first = caller().ask(question("a"))
    assert (first.answer.outcome, first.answer.detail, first.stored) == (outcome, reason, False)
    assert store.get(first.key).outcome == outcome
    later = caller()
    kept = later.ask(question("a"))
    assert (kept.answer.outcome, kept.stored, mock.statuses) == (outcome, True, [OK])
    for _ in range(2):
        assert later.ask(question("a"), again=True).answer.text == said_back("a")
    assert mock.statuses == [OK, OK]
    assert store.get(first.key).outcome == "ok"


def test_announced_limits_are_kept(mock, caller, monkeypatch):
    """Twelve questions at five a minute, announced in the answers' headers: none is turned away."""
    # A minute of two seconds, for both sides: the server's clock runs faster, and the window is shorter.
    monkeypatch.setattr("lvlm_ad.asking.limiter._WINDOW", 2.0)
    monkeypatch.setattr(ratelimit, "time", SimpleNamespace(monotonic=lambda: 30 * time.monotonic()))
    mock.announce(5)
    asking = caller(concurrency=2)
    with ThreadPoolExecutor(12) as pool:
        asked = list(pool.map(lambda n: asking.ask(question(n)), range(12)))
    assert asked[0].answer.limits.requests_per_minute == 5
    assert mock.statuses == [OK] * 12


def bench(command, mock, data, *more):
    done = command(
        *("bench", "--model", "gpt-4o", "--no-reference-rows", "--dataset", "folder", "--data", data, "--json"),
        *("--division", "grid", "--prompt", "json", "--set", f"base_url={mock.url}"),
        *("--set", "price_input=1000", "--set", "price_output=1000", "--set", "price_batch=0.5"),
        *more,
        env={"OPENAI_API_KEY": KEY},
    )
    assert done.stdout, done.stderr
    return done, json.loads(done.stdout)["runs"][0]["metrics"]


def test_the_command_asks_each_image_once(lvlm_ad_command, mock, small_data):
    """The schema is filled by the server and read by us for all images; the same command then asks nothing."""
    done, first = bench(lvlm_ad_command, mock, small_data)
    assert (done.returncode, first["outcomes"], first["answers"]["ok"]) == (0, {"ok": 12}, 12), done.stderr
    assert mock.statuses == [OK] * 12
    assert len({one.fingerprint for one in mock.journal}) == 12
    again, second = bench(lvlm_ad_command, mock, small_data)
    assert (again.returncode, len(mock.journal)) == (0, 12), again.stderr
    assert second["mean"] == first["mean"]
    assert second["usage"]["spent_usd"] == 0


def test_the_command_in_a_batch(lvlm_ad_command, mock, small_data, monkeypatch):
    """Answers of llmock's Batch API are stored at a batch's price, and a live run afterwards asks nothing."""

    async def read_and_closed(request):
        found = await read(request)
        await request.close()
        return found

    # llmock leaves each upload open, of which Python warns when it is collected, in whichever test that is.
    read = batches._read_upload
    monkeypatch.setattr(batches, "_read_upload", read_and_closed)
    # llmock's batches know neither a schema nor a scripted reply; all else of the batch is as it comes.
    monkeypatch.setattr(batches, "build_mock_text", lambda **_: '{"image_anomaly_score": 0.5, "regions": []}')
    done, batch = bench(lvlm_ad_command, mock, small_data, "--batch")
    assert (done.returncode, batch["outcomes"], batch["answers"]["ok"]) == (0, {"ok": 12}, 12), done.stderr
    usage = batch["usage"]
    assert usage["spent_usd"] == pytest.approx((usage["input_tokens"] + usage["output_tokens"]) / 1000 * 0.5)
    database = open_answers(Path("runs/answers.sqlite"))
    store = AnswerStore(database)
    lines = Path(json.loads(done.stdout)["runs"][0]["dir"], "predictions.jsonl").read_text().splitlines()
    stored = [store.get(json.loads(line)["key"]) for line in lines]
    database.close()
    assert [one.batch for one in stored] == [True] * 12
    after, live = bench(lvlm_ad_command, mock, small_data)
    assert (after.returncode, live["mean"]) == (0, batch["mean"]), after.stderr
    assert mock.journal == []
