import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lvlm_ad.asking import Asker, Budget, BudgetSpentError, retries
from lvlm_ad.backend import Answer, Backend, Request, ScriptedBackend, Usage
from lvlm_ad.errors import (
    FatalError,
    LvlmAdError,
    RateLimitError,
    RejectedError,
    TransientError,
    UnaskedError,
    UnusableReplyError,
)
from lvlm_ad.presets import Pacing, Price

PRICE = Price(price_input=1.0, price_output=10.0)
NO_RETRY = Pacing(max_retries=0)


def question(text):
    return Request((), text)


class Replying(Backend):
    """Calls a function with the question and how often it came; it returns a text, an answer, or an error to raise."""

    def __init__(self, script):
        super().__init__()
        self._script = script
        self.asked = []
        self.lock = threading.Lock()

    def answer(self, request):
        with self.lock:
            times = self.asked.count(request.text)
            self.asked.append(request.text)
        reply = self._script(request.text, times)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Answer) else Answer(reply)


class Slow(Backend):
    """Answers once for each release of its gate; each answer costs one dollar."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.asked = 0

    def answer(self, request):
        self.asked += 1
        self.gate.acquire()
        return Answer(request.text, usage=Usage(input_tokens=10**6, output_tokens=0))


def asker_of(store, script, price=PRICE, limit=None, pacing=NO_RETRY, **options):
    """Return an asker and its backend, which answers by a function of the question and how often it came."""
    backend = Replying(script)
    return Asker(backend, store, price, Budget(limit), pacing=pacing, **options), backend


def ask_all(asker, questions, *, threads=1):
    """Ask every question, many at once or in order; return the text or the error of each, in order."""

    def ask(text):
        try:
            return asker.ask(question(text)).answer.text
        except LvlmAdError as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(ask, questions))


def bad_is(error):
    """A script that raises an error for questions that begin with "bad"."""
    return lambda text, _: error if text.startswith("bad") else "yes"


def test_a_question_is_asked_once(store):
    """The second time, and in a second run, the stored answer is given and the backend is not asked."""
    first, backend = asker_of(store, lambda *_: "yes")
    assert first.ask(question("a")).stored is False
    assert first.ask(question("a")).stored is True
    second, other = asker_of(store, lambda *_: "no")
    asked = second.ask(question("a"))
    assert (asked.answer.text, asked.stored) == ("yes", True)
    assert (backend.asked, other.asked) == (["a"], [])


def test_refusals_are_kept_as_refusals(store):
    """A refusal is paid for: it is recorded with its outcome and comes back as a refusal, never as an answer."""
    asker, backend = asker_of(store, lambda *_: Answer("no", "refused"))
    for _ in range(2):
        assert asker.ask(question("a")).answer.outcome == "refused"
    assert len(backend.asked) == 1


def test_failures_are_not_stored(store):
    """A failed question leaves nothing behind and is asked again; an exception of a backend's own names the backend."""
    asker, _ = asker_of(store, lambda _, times: "fine" if times else ConnectionError("reset"))
    with pytest.raises(TransientError, match="Replying raised ConnectionError: reset"):
        asker.ask(question("a"))
    assert len(store) == 0
    assert asker.ask(question("a")).answer.text == "fine"


def test_two_who_ask_the_same_at_once_pay_once(store):
    """While a question is under way, the same question waits for its answer."""
    backend = Slow()
    asker = Asker(backend, store, PRICE, Budget(None))
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(asker.ask, question("a")) for _ in range(6)]
        backend.gate.release(6)
    assert backend.asked == 1
    assert sorted(one.result().stored for one in asked) == [False, True, True, True, True, True]


def test_a_lone_surrogate_is_replaced(store):
    """Characters that UTF-8 cannot encode are replaced before the answer is stored."""
    asker, _ = asker_of(store, lambda *_: Answer("score \ud800", detail="\udfff"))
    assert asker.ask(question("a")).answer.text == "score ?" == asker.ask(question("a")).answer.text


def test_a_script_in_order_is_not_stored(store):
    """Each run asks a list of answers from its beginning: the n-th answer belongs to the n-th question."""
    for _ in range(2):
        asker = Asker(ScriptedBackend(script=["one", "two"]), store, PRICE, Budget(None))
        assert ask_all(asker, "ab") == ["one", "two"]
    assert len(store) == 0


def test_after_a_fatal_error_nothing_is_asked(store):
    """The first fatal error ends the asking; stored answers are still given."""
    asker, backend = asker_of(store, bad_is(FatalError("the key is refused")))
    answer, *errors = ask_all(asker, ["a", "bad", "b"])
    assert answer == "yes"
    assert [str(error) for error in errors] == ["the key is refused"] * 2
    assert backend.asked == ["a", "bad"]
    assert asker.ask(question("a")).stored


def test_an_endpoint_out_of_reach_is_given_up(store):
    """When the first eight questions all fail, the ninth is not asked; after a stored answer the run goes on."""
    asker, backend = asker_of(store, bad_is(TransientError("no connection")))
    errors = ask_all(asker, [f"bad{n}" for n in range(9)])
    assert [type(error) for error in errors] == [TransientError] * 7 + [FatalError] * 2
    assert "first 8 questions all failed. The last error: no connection" in str(errors[-1])
    assert len(backend.asked) == 8
    for _ in range(2):
        asker, _ = asker_of(store, bad_is(TransientError("status 400")))
        assert asker.ask(question("a")).answer.text == "yes"
    assert [type(error) for error in ask_all(asker, [f"bad{n}" for n in range(12)])] == [TransientError] * 12


COUNTED = Answer("yes", usage=Usage(input_tokens=1000, cached_tokens=400, output_tokens=100))
PRICES = {"price_input": 2.0, "price_cached": 1.0, "price_output": 10.0, "price_batch": 0.5}


@pytest.mark.parametrize(
    ("answer", "prices", "cost"),
    [
        pytest.param(COUNTED, PRICES, (600 * 2 + 400 * 1 + 100 * 10) / 1e6, id="cached"),
        pytest.param(Answer("yes", usage=COUNTED.usage, batch=True), PRICES, 2600e-6 / 2, id="batch"),
        pytest.param(Answer("no usage"), PRICES, None, id="no counts"),
        pytest.param(COUNTED, {}, None, id="no price"),
        pytest.param(Answer("", "filtered"), PRICES, 0.0, id="filtered"),
        pytest.param(Answer("", "filtered"), {}, None, id="filtered, no price"),
        pytest.param(
            Answer("yes", seconds=9.0),
            {"price_input": 0, "price_output": 0, "price_per_hour": 2.0},
            9 * 2 / 3600,
            id="machine",
        ),
    ],
)
def test_cost_comes_from_tokens_and_prices(store, answer, prices, cost):
    """Cached tokens and batches have prices of their own; what is unknown is not 0, except for a declined question."""
    asker, _ = asker_of(store, lambda *_: answer, Price(**prices))
    for _ in range(2):
        assert asker.ask(question("a")).cost == (cost if cost is None else pytest.approx(cost))


@pytest.mark.parametrize(("limit", "asked"), [(0, 0), (0.5, 1), (1, 1), (3, 3), (3.5, 3)])
def test_the_budget_holds_with_many_questions_at_once(store, limit, asked):
    """No more is asked than the limit pays for, however many threads ask; the first question alone may exceed it."""
    backend = Slow()
    asker = Asker(backend, store, PRICE, Budget(limit))
    backend.gate.release(10)
    results = ask_all(asker, map(str, range(10)), threads=10)
    assert backend.asked == asked == 10 - sum(isinstance(result, BudgetSpentError) for result in results)


@pytest.mark.parametrize(
    ("limit", "first", "tokens", "spent"),
    [
        pytest.param(0.35, Answer("yes", usage=Usage(100_000, None, 0)), 1_000, 0.1 + 99 * 0.001, id="dear"),
        pytest.param(2.5, Answer("", "filtered"), 10**6, 2.0, id="free"),
    ],
)
def test_the_first_answer_does_not_decide_alone(store, limit, first, tokens, spent):
    """After a dear answer, cheaper ones make room for more questions; after a free one, the next is asked alone."""
    backend = Replying(lambda text, _: first if text == "0" else Answer("yes", usage=Usage(tokens, None, 0)))
    budget = Budget(limit)
    asker = Asker(backend, store, PRICE, budget)
    ask_all(asker, ["0"])
    ask_all(asker, map(str, range(1, 100)), threads=32)
    assert budget.spent == pytest.approx(spent)


@pytest.mark.parametrize("outcome", ["ok", "truncated", "empty"])
def test_an_answer_without_token_counts_blinds_the_limit(store, outcome):
    """Under a limit, an answer of unknown cost ends the asking, however it ended."""
    asker, _ = asker_of(store, lambda *_: Answer("x", outcome), limit=5)
    asker.ask(question("a"))
    with pytest.raises(BudgetSpentError, match="without token counts"):
        asker.ask(question("b"))


def test_money_spent_on_another_model_counts():
    """Money spent on another model counts against the limit."""
    with pytest.raises(BudgetSpentError), Budget(1.0, spent=1.0).question():
        pass


@pytest.fixture
def _quick(monkeypatch):
    """Waits between attempts take a hundredth of their time."""
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0.005)
    monkeypatch.setattr(retries, "_LONGEST_WAIT", 0.02)
    monkeypatch.setattr(retries, "_LONGEST_START", 0.02)


@pytest.mark.usefixtures("_quick")
def test_a_transient_error_is_asked_again_so_often_and_no_more(store):
    """With three retries a question is asked four times; one that succeeds in between is answered."""

    def script(text, times):
        return TransientError("status 500") if text == "never" or times < 2 else "at last"

    asker, backend = asker_of(store, script, pacing=Pacing(max_retries=3))
    never, late = ask_all(asker, ["never", "late"], threads=2)
    assert (backend.asked.count("never"), backend.asked.count("late")) == (4, 3)
    assert isinstance(never, TransientError)
    assert late == "at last"


HALF = Answer("half", "truncated", usage=Usage(10**6, None, 0))
"""Costs one dollar."""


def unusable(answer=None):
    return UnusableReplyError("a reply that is none", answer=answer)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(
    ("replies", "text"),
    [
        ([unusable(HALF), Answer("whole", usage=Usage(10**6, None, 0))], "whole"),
        ([unusable(HALF), unusable(HALF)], "half"),
        ([unusable(), unusable(HALF)], "half"),
        ([unusable(HALF), unusable()], "half"),
        ([unusable(HALF), RejectedError("no")], "half"),
        ([unusable(HALF), FatalError("no credit")], "half"),
        ([unusable(), unusable()], None),
        ([unusable(), TransientError("busy"), TransientError("busy"), Answer("late")], "late"),
    ],
)
def test_what_may_be_cut_off_is_asked_for_once_more(store, replies, text):
    """A second reply counts if it is better, else what came is stored; nothing is asked a third time for that."""
    asker, backend = asker_of(store, lambda _, times: replies[times], pacing=Pacing(max_retries=5))
    (given,) = ask_all(asker, ["q"])
    assert len(backend.asked) == len(replies)
    assert given == text if text else isinstance(given, UnusableReplyError)
    assert (store.get(question("q").key(asker.identity)) is not None) == (text is not None)


@pytest.mark.usefixtures("_quick")
def test_where_asking_once_more_does_not_help_it_is_left_out(store):
    """An endpoint that never says how an answer ended is asked twice once; after a good answer again twice."""
    asker, backend = asker_of(
        store, lambda text, _: Answer("good") if text == "good" else unusable(HALF), pacing=Pacing(max_retries=5)
    )
    ask_all(asker, ["a", "b", "c", "good", "d"])
    assert backend.asked == ["a", "a", "b", "c", "good", "d", "d"]


@pytest.mark.usefixtures("_quick")
def test_both_replies_count_towards_the_limit_on_costs(store):
    """A reply that was paid for and replaced is spent money."""
    asker, _ = asker_of(
        store, lambda _, times: unusable(HALF) if times == 0 else HALF, pacing=Pacing(max_retries=5), limit=9.0
    )
    ask_all(asker, ["a", "b"])
    assert asker._budget.spent == pytest.approx(4.0)


@pytest.mark.usefixtures("_quick")
def test_being_turned_away_is_no_failure(store):
    """After a rate limit a question is asked again, however often, whatever the number of retries."""
    asker, backend = asker_of(store, lambda _, times: RateLimitError("slow down") if times < 9 else "yes")
    assert ask_all(asker, map(str, range(20)), threads=32) == ["yes"] * 20
    assert len(backend.asked) == 200


@pytest.mark.usefixtures("_quick")
def test_an_outage_is_waited_out_if_the_endpoint_has_answered_before(store):
    """During an outage of an endpoint that has answered, attempts do not count as retries; otherwise they do."""
    gone = TransientError("no connection", unreached=True)
    asker, _ = asker_of(store, lambda text, times: gone if text != "0" and times < 9 else "yes")
    assert ask_all(asker, map(str, range(5))) == ["yes"] * 5
    asker, _ = asker_of(store, lambda *_: gone, pacing=Pacing(max_retries=2))
    assert ask_all(asker, ["never"]) == [gone]


@pytest.mark.usefixtures("_quick")
def test_a_server_that_loads_its_model_is_waited_for(store, monkeypatch):
    """While the model is loaded, attempts do not count as retries; a note says why. It is no wait without end."""
    notes, loading = [], TransientError("status 503: Loading model", starting=True)
    asker, _ = asker_of(store, lambda _, times: loading if times < 9 else "yes", note=notes.append)
    assert ask_all(asker, ["a"]) == ["yes"]
    assert notes == ["status 503: Loading model. The model is being loaded; trying again for up to 15 minutes."]
    monkeypatch.setattr(retries, "PATIENCE", 0.05)
    asker, _ = asker_of(store, lambda *_: loading)
    assert ask_all(asker, ["b"]) == [loading]


@pytest.mark.usefixtures("_quick")
def test_waiting_in_vain_ends_the_run(store, monkeypatch):
    """If eight questions in a row waited in vain, the others do not wait as long each; an answer in between counts."""
    monkeypatch.setattr(retries, "PATIENCE", 0.01)
    asker, backend = asker_of(store, bad_is(RateLimitError("slow down")))
    results = ask_all(asker, ["a", *(f"bad{n}" for n in range(7)), "b", *(f"bad{n}" for n in range(7, 20))])
    assert [type(result) for result in results] == [str, *[RateLimitError] * 7, str, *[RateLimitError] * 7] + [
        FatalError
    ] * 6
    assert "No question was answered within" in str(results[-1])
    assert "slow down. Run the same command later; answers are kept." in str(results[-1])
    assert "bad15" not in backend.asked


def test_a_wait_that_is_asked_for_is_waited(store):
    """After a rate limit with a wait, nothing is sent until it is over."""
    times_asked = []

    def script(text, times):
        times_asked.append((time.monotonic(), text))
        return RateLimitError("slow", wait=0.5) if (text, times) == ("0", 0) else "yes"

    asker, _ = asker_of(store, script, concurrency=1)
    assert ask_all(asker, map(str, range(10)), threads=32) == ["yes"] * 10
    turned_away = next(at for at, text in times_asked if text == "0")
    later = [at for at, _ in times_asked if at > turned_away]
    assert min(later) - turned_away >= 0.5


def test_a_wait_of_hours_ends_the_run(store):
    """When the endpoint asks for a wait of hours, the run ends and says so; it does not wait."""
    asker, _ = asker_of(store, lambda *_: RateLimitError("daily limit", wait=7200))
    until = r"until 20\d\d-\d\d-\d\d \d\d:\d\d UTC\. Run the same command later; answers are kept\.$"
    with pytest.raises(FatalError, match=rf"Rate limited for 7200 s \(daily limit\), {until}"):
        asker.ask(question("a"))


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), -3.0, 1e300])
def test_a_wait_that_is_none_is_unknown(wait):
    """No backend can make a run wait for a time that is not one."""
    assert TransientError("busy", wait=wait).wait is None


@pytest.mark.parametrize(("replies_before", "answered"), [(2, True), (3, False)])
def test_patience_begins_when_a_question_is_first_turned_away(store, monkeypatch, replies_before, answered):
    """A question that is turned away for longer than the patience fails; time before that does not count."""
    monkeypatch.setattr(retries, "PATIENCE", 5.0)
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0.001)
    clock = [0.0]
    monkeypatch.setattr(retries, "monotonic", lambda: clock[0])

    def script(_, times):
        clock[0] += 3.0
        return RateLimitError("slow") if times < replies_before else "yes"

    asker, _ = asker_of(store, script)
    (result,) = ask_all(asker, ["a"])
    assert (result == "yes") if answered else (type(result) is RateLimitError)


def test_a_wait_of_nothing_does_not_spin(store):
    """An endpoint that says "again at once" for ever is asked with growing pauses all the same."""
    asker, backend = asker_of(store, lambda *_: RateLimitError("again", wait=0.0))
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(ask_all, asker, ["a"])
        time.sleep(1.0)
        asker.stop()
    assert isinstance(result.result()[0], TransientError)
    assert 1 <= len(backend.asked) <= 6


@pytest.mark.parametrize(
    ("questions", "kinds"),
    [
        pytest.param(["bad0", "a", "b"], [RejectedError, str, str], id="the first"),
        pytest.param(["a", "bad0", "b"], [str, RejectedError, str], id="one of many"),
        pytest.param([*(f"bad{n}" for n in range(20)), "a"], [RejectedError] * 20 + [str], id="a whole category"),
    ],
)
def test_a_rejected_question_fails_alone(store, questions, kinds):
    """A rejected question fails without a retry and ends no run, nor do eight in a row; a note tells of these."""
    notes = []
    asker, backend = asker_of(store, bad_is(RejectedError("image too large")), pacing=Pacing(), note=notes.append)
    results = ask_all(asker, questions)
    assert [type(result) for result in results] == kinds
    assert backend.asked == questions
    assert len(notes) == (len(questions) > 8)
    assert all("8 questions in a row were rejected" in note and "image too large" in note for note in notes)


@pytest.mark.parametrize("answered_before", ["by nobody", "in an earlier run", "in this run"])
def test_a_reason_that_all_questions_share_ends_the_run(store, answered_before):
    """Eight rejections for a shared reason end the run, unless an answer of this run shows that it is not shared."""
    if answered_before == "in an earlier run":
        asker_of(store, lambda *_: "yes")[0].ask(question("a"))
    asker, backend = asker_of(store, bad_is(RejectedError("no setting 'seed'", shared=True)))
    results = ask_all(asker, ["a"] * (answered_before != "by nobody") + [f"bad{n}" for n in range(12)])
    errors = [type(result) for result in results if result != "yes"]
    goes_on = answered_before == "in this run"
    assert errors == [RejectedError] * 12 if goes_on else [RejectedError] * 7 + [FatalError] * 5
    assert goes_on or "rejects every question. The last error: no setting 'seed'" in str(results[-1])
    assert len([text for text in backend.asked if text != "a"]) == (12 if goes_on else 8)


@pytest.mark.parametrize(("peculiar", "shared"), [(True, False), (False, True)])
def test_an_older_backend_says_peculiar(peculiar, shared):
    """It is the opposite of what ``shared`` says."""
    assert RejectedError("no", peculiar=peculiar).shared is shared


@pytest.mark.parametrize("slow", ["yes", None])
@pytest.mark.parametrize("error", [TransientError("reset"), RejectedError("no setting", shared=True)])
def test_failures_do_not_forestall_the_answers_under_way(store, slow, error):
    """While the ninth question is under way, eight failures end nothing; if it fails as well, the run ends."""
    failed = threading.Event()

    def script(text, _):
        return (failed.wait(30) and slow) or error if text == "slow" else error

    asker, backend = asker_of(store, script)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(ask_all, asker, ["slow"])
        while "slow" not in backend.asked:
            time.sleep(0.001)
        errors = ask_all(asker, [f"bad{n}" for n in range(10)])
        assert [type(one) for one in errors] == [type(error)] * 10
        failed.set()
        (result,) = late.result()
    assert result == "yes" if slow else type(result) is FatalError
    assert type(ask_all(asker, ["bad11"])[0]) is (type(error) if slow else FatalError)


def test_a_rejection_does_not_forestall_the_answers_under_way(store):
    """The first reply is a rejection, since it comes fastest: the others are answered, and it alone fails."""
    all_there = threading.Barrier(3)

    def script(text, _):
        all_there.wait(10)
        if text == "bad":
            return RejectedError("could not process image")
        time.sleep(0.3)
        return "yes"

    asker, _ = asker_of(store, script)
    error, *others = ask_all(asker, ["bad", "a", "b"], threads=3)
    assert (type(error), *others) == (RejectedError, "yes", "yes")


def test_asking_again_replaces_the_stored_answer(store):
    """On demand, a question of an earlier run is asked again, once; if that fails, its stored answer stays."""
    first, _ = asker_of(store, lambda *_: Answer("no", "refused"))
    key = first.ask(question("a")).key
    failing, _ = asker_of(store, lambda *_: TransientError("reset"))
    with pytest.raises(TransientError):
        failing.ask(question("a"), again=True)
    second, backend = asker_of(store, lambda *_: "yes")
    assert second.ask(question("a")).answer.outcome == "refused"
    assert second.ask(question("a"), again=True).answer.text == "yes"
    assert second.ask(question("a"), again=True).stored is True
    assert len(backend.asked) == 1
    assert store.get(key).text == "yes"


def test_a_withheld_question_is_not_asked(store):
    """A question that waits in a batch is not asked; the error says why."""
    asker, backend = asker_of(store, lambda *_: "yes", withheld=lambda _: UnaskedError("waits in batch b1"))
    with pytest.raises(UnaskedError, match="waits in batch b1"):
        asker.ask(question("a"))
    assert backend.asked == []


def test_stopping_ends_retries_and_waits(store):
    """After a stop no question is asked, and none is asked again."""
    asker, backend = asker_of(store, lambda *_: TransientError("reset"), pacing=Pacing(max_retries=1000))
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(ask_all, asker, ["a"])
        while not backend.asked:
            pass
        asker.stop()
    assert isinstance(result.result()[0], TransientError)
    with pytest.raises(UnaskedError, match="the run was ended"):
        asker.ask(question("b"))
    assert "b" not in backend.asked


def test_the_first_questions_count_towards_a_token_limit(store):
    """Before any answer, an estimate of tokens makes a limit per minute hold from the first question on."""
    gate = threading.Event()
    asker, backend = asker_of(
        store,
        lambda *_: gate.wait(30) and Answer("yes", usage=Usage(100, None, 0)),
        pacing=Pacing(tokens_per_minute=1000),
        estimate=lambda _: 400,
    )
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ask_all, asker, map(str, range(8)), threads=8)
        while len(backend.asked) < 2:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(backend.asked) == 2
        asker.stop()
        gate.set()
