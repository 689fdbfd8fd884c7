import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from lvlm_ad.asking import Asker, Budget, BudgetSpentError, retries
from lvlm_ad.backend import Answer, Backend, Request, ScriptedBackend, Usage
from lvlm_ad.errors import FatalError, RateLimitError, RejectedError, TransientError, UnaskedError
from lvlm_ad.presets import Pacing, Price

PRICE = Price(price_input=1.0, price_output=10.0)


def asker_of(store, script, price=PRICE, limit=None):
    backend = ScriptedBackend(script=script)
    return Asker(backend, store, price, Budget(limit), pacing=Pacing(max_retries=0)), backend


def question(text):
    return Request((), text)


def test_a_question_is_asked_once(store):
    """The second time, and in a second run, the stored answer is given and the backend is not asked."""
    first, backend = asker_of(store, lambda _: "yes")
    assert first.ask(question("a")).stored is False
    assert first.ask(question("a")).stored is True
    second, other = asker_of(store, lambda _: "no")
    asked = second.ask(question("a"))
    assert (asked.answer.text, asked.stored) == ("yes", True)
    assert (len(backend.requests), len(other.requests)) == (1, 0)


def test_refusals_are_kept_as_refusals(store):
    """A refusal is paid for: it is recorded with its outcome and comes back as a refusal, never as an answer."""
    asking, backend = asker_of(store, lambda _: Answer("no", "refused"))
    for _ in range(2):
        assert asking.ask(question("a")).answer.outcome == "refused"
    assert len(backend.requests) == 1


def test_failures_are_not_stored(store):
    """A failed question leaves nothing behind and is asked again."""
    answers = iter([TransientError("reset"), "fine"])

    def script(_request):
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    asking, _ = asker_of(store, script)
    with pytest.raises(TransientError):
        asking.ask(question("a"))
    assert len(store) == 0
    assert asking.ask(question("a")).answer.text == "fine"


def test_two_who_ask_the_same_at_once_pay_once(store):
    """While a question is under way, the same question waits for its answer."""
    backend = Slow()
    asking = Asker(backend, store, PRICE, Budget(None))
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(asking.ask, question("a")) for _ in range(6)]
        backend.gate.release(6)
    assert backend.asked == 1
    assert sorted(one.result().stored for one in asked) == [False, True, True, True, True, True]


def test_stored_answers_show_that_the_endpoint_was_in_reach(store):
    """A resumed run with some stored answers and many failing questions goes on; it is not given up."""

    def script(request):
        if request.text.startswith("bad"):
            raise TransientError("status 400")
        return "yes"

    first, _ = asker_of(store, script)
    first.ask(question("a"))
    again, _ = asker_of(store, script)
    again.ask(question("a"))
    for n in range(12):
        with pytest.raises(TransientError):
            again.ask(question(f"bad{n}"))


def test_a_lone_surrogate_is_replaced(store):
    """Characters that UTF-8 cannot encode are replaced before the answer is stored."""
    asking, _ = asker_of(store, lambda _: Answer("score \ud800", detail="\udfff"))
    assert asking.ask(question("a")).answer.text == "score ?" == asking.ask(question("a")).answer.text


def test_a_foreign_exception_fails_one_question(store):
    """An exception of a backend's own fails the question, names the backend, and does not end the run."""

    def script(_request):
        raise ConnectionError("reset")

    asking, _ = asker_of(store, script)
    with pytest.raises(TransientError, match="ScriptedBackend raised ConnectionError: reset"):
        asking.ask(question("a"))


def test_a_script_in_order_is_not_stored(store):
    """Each run asks a list of answers from its beginning: the n-th answer belongs to the n-th question."""
    for _ in range(2):
        asking, _ = asker_of(store, ["one", "two"])
        assert [asking.ask(question(text)).answer.text for text in "ab"] == ["one", "two"]
    assert len(store) == 0


def test_money_spent_on_another_model_counts():
    """Money spent on another model counts against the limit."""
    with pytest.raises(BudgetSpentError), Budget(1.0, spent=1.0).question():
        pass


def test_after_a_fatal_error_nothing_is_asked(store):
    """The first fatal error ends the asking; stored answers are still given."""
    asked = []

    def script(request):
        asked.append(request.text)
        if request.text == "bad":
            raise FatalError("the key is refused")
        return "yes"

    asking, _ = asker_of(store, script)
    asking.ask(question("a"))
    for text in ("bad", "b"):
        with pytest.raises(FatalError, match="key is refused"):
            asking.ask(question(text))
    assert asked == ["a", "bad"]
    assert asking.ask(question("a")).stored


def test_an_endpoint_out_of_reach_is_given_up(store):
    """When the first eight questions all fail, the ninth is not asked."""
    asked = []

    def script(request):
        asked.append(request)
        raise TransientError("no connection")

    asking, _ = asker_of(store, script)
    for n in range(7):
        with pytest.raises(TransientError):
            asking.ask(question(str(n)))
    for n in (8, 9):
        with pytest.raises(FatalError, match=r"first 8 questions all failed\..*no connection"):
            asking.ask(question(str(n)))
    assert len(asked) == 8


def test_cost_comes_from_tokens_and_prices(store):
    """Cached tokens are billed at their own price; without a price or a count the cost is unknown, not 0."""
    answer = Answer("yes", usage=Usage(input_tokens=1000, cached_tokens=400, output_tokens=100))
    price = Price(price_input=2.0, price_cached=1.0, price_output=10.0)
    asking, _ = asker_of(store, [answer, Answer("no usage")], price)
    assert asking.ask(question("a")).cost == pytest.approx((600 * 2 + 400 * 1 + 100 * 10) / 1e6)
    assert asking.ask(question("b")).cost is None
    assert Asker(ScriptedBackend(script=[]), store, Price(), Budget(None)).cost(answer) is None


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


@pytest.mark.parametrize(("limit", "asked"), [(0, 0), (0.5, 1), (1, 1), (3, 3), (3.5, 3)])
def test_the_budget_holds_with_many_questions_at_once(store, limit, asked):
    """No more is asked than the limit pays for, however many threads ask; the first question alone may exceed it."""
    backend = Slow()
    asking = Asker(backend, store, PRICE, Budget(limit))
    outcomes = []

    def ask(n):
        try:
            outcomes.append(asking.ask(question(str(n))).cost)
        except BudgetSpentError as error:
            outcomes.append(str(error))

    with ThreadPoolExecutor(10) as pool:
        pool.map(ask, range(10))
        backend.gate.release(10)
    assert backend.asked == asked == outcomes.count(1.0)
    assert len(outcomes) == 10


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
        given = self._script(request.text, times)
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, Answer) else Answer(given)


def asking_all(store, script, questions, *, threads=32, **options):
    """Ask every question, many at once or in order; return the backend and each answer or error, in order."""
    backend = Replying(script)
    asking = Asker(backend, store, PRICE, Budget(None), **options)

    def ask(text):
        try:
            return asking.ask(question(text)).answer.text
        except (TransientError, RejectedError, FatalError) as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return backend, list(pool.map(ask, questions))


@pytest.fixture
def _quick(monkeypatch):
    """Waits between attempts take a hundredth of their time."""
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0.005)
    monkeypatch.setattr(retries, "_LONGEST_WAIT", 0.02)


@pytest.mark.usefixtures("_quick")
def test_a_transient_error_is_asked_again_so_often_and_no_more(store):
    """With three retries a question is asked four times; one that succeeds in between is answered."""
    backend, (never, late) = asking_all(
        store,
        lambda text, times: TransientError("status 500") if text == "never" or times < 2 else "at last",
        ["never", "late"],
        pacing=Pacing(max_retries=3),
    )
    assert (backend.asked.count("never"), backend.asked.count("late")) == (4, 3)
    assert isinstance(never, TransientError)
    assert late == "at last"


@pytest.mark.usefixtures("_quick")
def test_being_turned_away_is_no_failure(store):
    """After a rate limit a question is asked again, however often, whatever the number of retries."""
    backend, found = asking_all(
        store,
        lambda _, times: RateLimitError("slow down") if times < 9 else "yes",
        [str(n) for n in range(20)],
        pacing=Pacing(max_retries=0),
    )
    assert found == ["yes"] * 20
    assert len(backend.asked) == 200


@pytest.mark.usefixtures("_quick")
def test_an_outage_is_waited_out_if_the_endpoint_has_answered_before(store):
    """During an outage of an endpoint that has answered, attempts do not count as retries; otherwise they do."""
    gone = TransientError("no connection", unreached=True)
    _, found = asking_all(
        store,
        lambda text, times: gone if text != "0" and times < 9 else "yes",
        [str(n) for n in range(5)],
        threads=1,
        pacing=Pacing(max_retries=0),
    )
    assert found == ["yes"] * 5
    _, (error,) = asking_all(store, lambda *_: gone, ["never"], pacing=Pacing(max_retries=2))
    assert error is gone


def test_a_wait_that_is_asked_for_is_waited(store):
    """After a rate limit with a wait, nothing is sent until it is over."""
    times_asked = []

    def script(text, times):
        times_asked.append((time.monotonic(), text))
        return RateLimitError("slow", wait=0.5) if (text, times) == ("0", 0) else "yes"

    _, found = asking_all(store, script, [str(n) for n in range(10)], concurrency=1)
    assert found == ["yes"] * 10
    turned_away = next(at for at, text in times_asked if text == "0")
    later = [at for at, _ in times_asked if at > turned_away]
    assert min(later) - turned_away >= 0.5


def test_a_wait_of_hours_ends_the_run(store):
    """When the endpoint asks for a wait of hours, the run ends and says so; it does not wait."""
    _, (error,) = asking_all(store, lambda *_: RateLimitError("daily limit", wait=7200), ["a"])
    assert isinstance(error, FatalError)
    assert "Rate limited for 7200 s (daily limit)" in str(error)


def test_being_turned_away_for_ever_ends(store, monkeypatch):
    """A question that is turned away for longer than the patience fails."""
    monkeypatch.setattr(retries, "PATIENCE", 0.0)
    _, (error,) = asking_all(store, lambda *_: RateLimitError("slow down"), ["a"])
    assert type(error) is RateLimitError


def test_a_question_refused_as_wrong_ends_the_run_if_none_was_taken(store):
    """A refused image size is wrong with every image: the first refusal is fatal and nothing else is asked."""
    backend, found = asking_all(store, lambda *_: RejectedError("status 400: image too large"), "abc", threads=1)
    assert all(isinstance(error, FatalError) and "image too large" in str(error) for error in found)
    assert len(backend.asked) == 1


def test_a_rejection_does_not_forestall_the_answers_under_way(store):
    """The first reply is a rejection, since it comes fastest: the others are answered, and it alone fails."""
    asked = threading.Barrier(3)

    def script(text, _):
        asked.wait(10)
        if text == "bad":
            return RejectedError("could not process image")
        time.sleep(0.3)
        return "yes"

    _, found = asking_all(store, script, ["bad", "a", "b"], threads=3)
    assert (type(found[0]), *found[1:]) == (RejectedError, "yes", "yes")


def test_what_was_declined_without_counts_costs_nothing(store):
    """A filtered question without token counts costs nothing; without prices its cost is unknown."""
    filtered = Answer("", "filtered")
    asking, _ = asker_of(store, [], Price(price_input=2.0, price_output=10.0))
    assert asking.cost(filtered) == 0.0
    assert asking.cost(Answer("yes")) is None
    unpriced, _ = asker_of(store, [], Price())
    assert unpriced.cost(filtered) is None


def test_one_wrong_question_among_answers_fails_alone(store):
    """Where others are answered, one that is refused fails without being asked again; eight in a row end the run."""
    backend, found = asking_all(
        store,
        lambda text, _: RejectedError("odd") if text.startswith("bad") else "yes",
        ["a", "bad", "b"],
        threads=1,
    )
    assert (found[0], type(found[1]), found[2]) == ("yes", RejectedError, "yes")
    assert backend.asked.count("bad") == 1
    _, found = asking_all(
        store,
        lambda text, _: RejectedError("odd") if text.startswith("bad") else "yes",
        ["c", *(f"bad{n}" for n in range(9))],
        threads=1,
    )
    assert [type(one) for one in found[1:]] == [RejectedError] * 7 + [FatalError] * 2


def test_asking_again_replaces_the_stored_answer(store):
    """On demand, a question answered in an earlier run is asked again, once; one of this run is not."""
    first, _ = asker_of(store, lambda _: Answer("no", "refused"))
    first.ask(question("a"))
    second, backend = asker_of(store, lambda _: "yes")
    assert second.ask(question("a")).answer.outcome == "refused"
    assert second.ask(question("a"), again=True).answer.text == "yes"
    assert second.ask(question("a"), again=True).stored is True
    assert len(backend.requests) == 1
    assert store.get(question("a").key(second.identity)).text == "yes"


def test_a_failed_second_asking_keeps_the_first_answer(store):
    """When asking again fails, what was stored stays."""
    first, _ = asker_of(store, lambda _: Answer("half", "truncated"))
    key = first.ask(question("a")).key

    def fail(_request):
        raise TransientError("reset")

    second, _ = asker_of(store, fail)
    with pytest.raises(TransientError):
        second.ask(question("a"), again=True)
    assert store.get(key).text == "half"


def test_a_withheld_question_is_not_asked(store):
    """A question that waits in a batch is not asked; the error says why."""
    backend = Replying(lambda *_: "yes")
    asking = Asker(backend, store, PRICE, Budget(None), withheld=lambda _: UnaskedError("waits in batch b1"))
    with pytest.raises(UnaskedError, match="waits in batch b1"):
        asking.ask(question("a"))
    assert backend.asked == []


def test_stopping_ends_retries_and_waits(store):
    """After a stop no question is asked, and none is asked again."""
    backend = Replying(lambda *_: TransientError("reset"))
    asking = Asker(backend, store, PRICE, Budget(None), pacing=Pacing(max_retries=1000))
    failed = []

    def ask():
        try:
            asking.ask(question("a"))
        except TransientError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not backend.asked:
        pass
    asking.stop()
    thread.join(timeout=30)
    assert len(failed) == 1
    with pytest.raises(UnaskedError, match="the run was ended"):
        asking.ask(question("b"))
    assert "b" not in backend.asked


def test_a_batchs_answer_costs_a_batchs_price(store):
    """An answer that came through a batch is priced as such, also when it is read again."""
    price = Price(price_input=2.0, price_output=10.0, price_batch=0.5)
    answer = Answer("yes", usage=Usage(1000, None, 100), batch=True)
    asking, _ = asker_of(store, lambda _: answer, price)
    assert asking.ask(question("a")).cost == pytest.approx((2000 + 1000) / 1e6 / 2)
    assert asking.ask(question("a")).cost == pytest.approx((2000 + 1000) / 1e6 / 2)


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
    asking = Asker(backend, store, PRICE, budget)

    def ask(n):
        with suppress(BudgetSpentError):
            asking.ask(question(str(n)))

    ask(0)
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(ask, range(1, 100)))
    assert budget.spent == pytest.approx(spent)


@pytest.mark.parametrize("outcome", ["ok", "truncated", "empty"])
def test_an_answer_without_token_counts_blinds_the_limit(store, outcome):
    """Under a limit, an answer of unknown cost ends the asking, however it ended."""
    asking, _ = asker_of(store, lambda _: Answer("x", outcome), limit=5)
    asking.ask(question("a"))
    with pytest.raises(BudgetSpentError, match="without token counts"):
        asking.ask(question("b"))


def test_a_wait_of_nothing_does_not_spin(store):
    """An endpoint that says "again at once" for ever is asked with growing pauses all the same."""
    backend = Replying(lambda *_: RateLimitError("again", wait=0.0))
    asking = Asker(backend, store, PRICE, Budget(None))

    def ask():
        with pytest.raises(TransientError):
            asking.ask(question("a"))

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1.0)
    asking.stop()
    thread.join(timeout=30)
    assert 1 <= len(backend.asked) <= 6


def test_patience_begins_when_a_question_is_first_turned_away(store, monkeypatch):
    """Time that a question waited before it was first turned away does not count."""
    monkeypatch.setattr(retries, "PATIENCE", 5.0)
    monkeypatch.setattr(retries, "_FIRST_WAIT", 0.001)
    clock = [0.0]
    monkeypatch.setattr(retries, "monotonic", lambda: clock[0])

    def script(_, times):
        clock[0] += 3.0
        return RateLimitError("slow") if times < 2 else "yes"

    _, (answer,) = asking_all(store, script, ["a"])
    assert answer == "yes"


def test_the_first_questions_count_towards_a_token_limit(store):
    """Before any answer, an estimate of tokens makes a limit per minute hold from the first question on."""
    gate = threading.Event()
    backend = Replying(lambda *_: gate.wait(30) and Answer("yes", usage=Usage(100, None, 0)))
    asking = Asker(backend, store, PRICE, Budget(None), pacing=Pacing(tokens_per_minute=1000), estimate=lambda _: 400)

    def ask(n):
        try:
            asking.ask(question(str(n)))
        except TransientError:
            return

    with ThreadPoolExecutor(8) as pool:
        for n in range(8):
            pool.submit(ask, n)
        while len(backend.asked) < 2:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(backend.asked) == 2
        asking.stop()
        gate.set()
