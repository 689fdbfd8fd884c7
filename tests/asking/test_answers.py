import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad.asking import AnswerStore
from lvlm_ad.asking.answers import is_alive, storable
from lvlm_ad.backend import Answer, FirstToken, Picture, Request, Token, Usage
from lvlm_ad.errors import StoreError
from lvlm_ad.store import open_answers

REQUEST = Request((Picture.from_pixels(np.zeros((4, 4, 3), np.uint8)),), "what?", {"format": "text"})
IDENTITY = {"backend": "X", "model": "m"}
ANSWER = Answer("image anomaly score: 0.5.", "ok", Usage(10, 2, 5), 1.5, "m-1", "stop")


def put(store, key, answer=ANSWER):
    store.put(key, answer, request=REQUEST, identity=IDENTITY)


TOKENS = (Token(21, "0", (("0", -0.25), (" 1", -1.5))), Token(22, ".", ((".", 0.0),)), Token(23, "5", (("5", -0.1),)))
FIRST = FirstToken("Yes", (("Yes", -0.25), (" No", -1.5)))


def test_an_answer_comes_back_as_it_was(store, tmp_path):
    """Text, outcome, usage, seconds, model, detail, tokens survive; unknown token counts stay unknown."""
    put(store, "k")
    put(store, "none", Answer("x", "refused"))
    put(store, "tokens", storable(replace(ANSWER, tokens=TOKENS, first=FIRST, batch=True)))
    with closing(open_answers(tmp_path / "answers.sqlite")) as database:
        again = AnswerStore(database)
        assert again.get("k") == ANSWER
        assert again.get("none") == Answer("x", "refused")
        assert again.get("tokens") == replace(ANSWER, tokens=TOKENS, first=FIRST, batch=True)
        assert again.get("other") is None
        assert len(again) == 3


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param([Token(-5, "0", (("0", -1.0),))], id="before the text"),
        pytest.param([Token(10**9, "0", (("0", -1.0),))], id="after the text"),
        pytest.param([Token(21, "9", (("9", -1.0),))], id="not what stands there"),
        pytest.param([Token(0, "image", (("image", -1.0),))], id="no number"),
        pytest.param([Token(21, "0", ())], id="no alternatives"),
        pytest.param([Token(21, "0", (("0", float("nan")),))], id="NaN"),
        pytest.param([Token(21, "0", (("0", 5.0),))], id="above 1"),
        pytest.param([Token(21, "0", (("0", float("-inf")), ("1" * 10**6, -1.0), ("\ud800", -1.0)))], id="useless"),
        pytest.param(
            [Token("21", None, (("0", "x"),)), Token(21, "0", (("0", "x"), None)), None, [21, "0"]], id="types"
        ),
    ],
)
def test_hostile_tokens_are_left_out(hostile):
    """What does not stand in the text, or has no log-probabilities, is not kept; what is sound beside it is."""
    assert storable(replace(ANSWER, tokens=(*hostile, *TOKENS))).tokens == TOKENS


def test_what_is_kept_of_tokens_is_bounded():
    """Tokens that overlap are kept once, alternatives are at most 64 of 24 characters, and six decimals are enough."""
    again = (TOKENS[0], TOKENS[0], Token(21, "0.5", (("0.5", -1.0),)), *TOKENS)
    assert storable(replace(ANSWER, tokens=again)).tokens == TOKENS
    many = Token(21, "0", tuple((str(number), -0.1234567) for number in range(10_000)))
    (kept,) = storable(replace(ANSWER, tokens=(many,))).tokens
    assert len(kept.alternatives) == 64
    assert kept.alternatives[0] == ("0", -0.123457)
    text = "1 " * 400_000
    tokens = tuple(Token(start, "1", (("1", -1.0),)) for start in range(0, len(text), 2))
    assert len(storable(Answer(text, tokens=tokens)).tokens) == 20_000


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "x",
        "5",
        '{"a": 1}',
        "[[21]]",
        '[[21, "0", 5]]',
        '["Yes", [["Yes"]]]',
        '["Yes", {"Yes": -1}]',
        '[["21", 0, [["0", null]]]]',
        "[" * 100_000,
    ],
)
def test_a_damaged_record_of_tokens_gives_none(store, answers, stored):
    """The text is the record; without its tokens an answer is still read."""
    put(store, "k", storable(replace(ANSWER, tokens=TOKENS, first=FIRST)))
    with answers.transaction(durable=False) as database:
        database.execute("UPDATE answers SET tokens = ?, first = ?", (stored, stored))
    assert store.get("k") == ANSWER


def test_the_first_answer_stays(store):
    """A second answer to the same question does not replace what was stored and perhaps used."""
    put(store, "k")
    put(store, "k", Answer("other"))
    assert store.get("k") == ANSWER


def test_the_file_records_what_was_asked(store, answers):
    """The question, the pictures' digests and the model stand beside the answer, readable with SQLite alone."""
    put(store, "k")
    ((text, images, identity),) = answers.read("SELECT question, images, identity FROM answers")
    assert text == "what?"
    assert REQUEST.images[0].digest in images
    assert '"model": "m"' in identity


@pytest.mark.parametrize("text", ["", "\x00\x1b[31m", "\ud800 lone", "é" * 100_000, "' OR 1=1; --"])
def test_any_text_can_be_stored(store, text):
    """Nulls, escapes, lone surrogates and long texts are stored; a surrogate comes back as a question mark."""
    put(store, "k", storable(Answer(text)))
    assert store.get("k").text == text.replace("\ud800", "?")


def test_what_no_token_limit_explains_is_cut():
    """Of megabytes of text the first million characters are kept, and the answer is called truncated."""
    kept = storable(Answer("9" * 10_000_000, detail="d" * 10_000, model="m" * 10_000))
    assert (len(kept.text), kept.outcome, len(kept.detail), len(kept.model)) == (1_000_000, "truncated", 1000, 1000)
    assert storable(Answer("9" * 1_000_000)).outcome == "ok"
    assert storable(Answer("9" * 1_000_001, outcome="refused")).outcome == "refused"


@pytest.mark.parametrize("count", [2**62, 2**70, 10**8 + 1, -1, True, "12", 3.5, float("nan")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_count_that_cannot_be_is_unknown(store, count, place):
    """The text is stored and read again, whatever an endpoint or a model of your own counts."""
    counts = [10, 2, 5]
    counts[place] = count
    put(store, "k", storable(replace(ANSWER, usage=Usage(*counts))))
    counts[place] = None
    assert store.get("k") == replace(ANSWER, usage=Usage(*counts))


@pytest.mark.parametrize("seconds", [-0.5, 1e300, 10**400, float("inf")])
def test_a_time_that_cannot_be_is_none(store, seconds):
    """No clock that was set back, and no number too large, makes an answer unreadable."""
    put(store, "k", storable(replace(ANSWER, seconds=seconds)))
    assert store.get("k") == replace(ANSWER, seconds=0.0)
    assert storable(replace(ANSWER, seconds=3)).seconds == 3.0


@pytest.mark.parametrize(
    ("host", "pid", "seen"), [("h", 1, "now"), ("h", "x", 1.0), ("h", 2**70, 1e12), (None, None, None), ("h", 1, b"")]
)
def test_a_damaged_sign_of_life_is_none(host, pid, seen):
    """A lock of nobody that can be known holds nothing up."""
    assert not is_alive(host, pid, seen)


def test_one_bad_row_costs_no_other_answer(store):
    """Answers are written many at a time; one that cannot be written fails alone, and says so."""

    def write(n):
        try:
            put(store, f"k{n}", Answer("x", usage=Usage(input_tokens=2**70 if n % 10 == 0 else 1)))
        except StoreError:
            return n
        return None

    with ThreadPoolExecutor(16) as pool:
        failed = [n for n in pool.map(write, range(100)) if n is not None]
    assert failed == list(range(0, 100, 10))
    assert len(store) == 90


def test_threads_that_store_at_the_same_time_share_a_transaction(store, answers, monkeypatch):
    """Twenty answers that wait are written together, so that the disk is waited for once; none is lost."""
    transactions = []
    transaction = answers.transaction

    @contextmanager
    def counted(*, durable):
        transactions.append(durable)
        with transaction(durable=durable) as database:
            yield database

    monkeypatch.setattr(answers, "transaction", counted)
    with ThreadPoolExecutor(20) as pool:
        with store._turn:
            written = [pool.submit(put, store, f"k{n}") for n in range(20)]
            while len(store._waiting) < 20:
                time.sleep(0.01)
        for one in written:
            one.result()
    assert transactions == [True]
    assert len(store) == 20


WRITER = """
import sys
from pathlib import Path
from lvlm_ad.asking import AnswerStore
from lvlm_ad.backend import Answer, Request
from lvlm_ad.store import open_answers
store = AnswerStore(open_answers(Path(sys.argv[1])))
for n in range(10**6):
    store.put(f"k{n}", Answer(str(n)), request=Request((), "q"), identity={})
    print(n, flush=True)
"""


def test_stored_answers_survive_kill_9(tmp_path):
    """Every answer whose storing was reported is there after the writing process was killed without warning."""
    path = tmp_path / "a.sqlite"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) == 50:
                break
        time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
        reported = [50, *(int(line) for line in process.stdout.read().split("\n")[:-1])]
    with closing(open_answers(path)) as database:
        store = AnswerStore(database)
        numbers = range(max(reported) + 1)
        assert [store.get(f"k{n}").text for n in numbers] == [str(n) for n in numbers]
