import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from lvlm_ad import store as storage
from lvlm_ad.asking import AnswerStore
from lvlm_ad.asking.answers import storable
from lvlm_ad.backend import Answer, Picture, Request, Token, Usage
from lvlm_ad.errors import StoreError
from lvlm_ad.store import open_answers

REQUEST = Request((Picture.from_pixels(np.zeros((4, 4, 3), np.uint8)),), "what?", {"format": "text"})
IDENTITY = {"backend": "X", "model": "m"}
ANSWER = Answer("image anomaly score: 0.5.", "ok", Usage(10, 2, 5), 1.5, "m-1", "stop")


def put(store, key, answer=ANSWER):
    store.put(key, answer, request=REQUEST, identity=IDENTITY)


def test_an_answer_comes_back_as_it_was(tmp_path):
    """Text, outcome, usage, seconds, model and detail survive; unknown token counts stay unknown."""
    put(AnswerStore(open_answers(tmp_path / "a.sqlite")), "k")
    put(AnswerStore(open_answers(tmp_path / "a.sqlite")), "none", Answer("x", "refused"))
    store = AnswerStore(open_answers(tmp_path / "a.sqlite"))
    assert store.get("k") == ANSWER
    assert store.get("none") == Answer("x", "refused")
    assert store.get("other") is None
    assert store.known(["k", "other"]) == {"k"}
    assert len(store) == 2


TOKENS = (Token(21, "0", (("0", -0.25), (" 1", -1.5))), Token(22, ".", ((".", 0.0),)), Token(23, "5", (("5", -0.1),)))


def test_tokens_come_back_as_they_were(tmp_path):
    """The tokens of an answer are stored with it, whole, and an answer without tokens has none."""
    path = tmp_path / "a.sqlite"
    put(AnswerStore(open_answers(path)), "k", storable(replace(ANSWER, tokens=TOKENS)))
    put(AnswerStore(open_answers(path)), "none")
    assert AnswerStore(open_answers(path)).get("k").tokens == TOKENS
    assert AnswerStore(open_answers(path)).get("none").tokens == ()


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
    "stored", ["", "x", "5", '{"a": 1}', "[[21]]", '[[21, "0", 5]]', '[["21", 0, [["0", null]]]]', "[" * 100_000]
)
def test_a_damaged_record_of_tokens_gives_none(tmp_path, stored):
    """The text is the record; without its tokens an answer is still read."""
    path = tmp_path / "a.sqlite"
    put(AnswerStore(open_answers(path)), "k", storable(replace(ANSWER, tokens=TOKENS)))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE answers SET tokens = ?", (stored,))
    database.close()
    assert AnswerStore(open_answers(path)).get("k") == ANSWER


def test_the_first_answer_stays(tmp_path):
    """A second answer to the same question does not replace what was stored and perhaps used."""
    store = AnswerStore(open_answers(tmp_path / "a.sqlite"))
    put(store, "k")
    put(store, "k", Answer("other"))
    assert store.get("k") == ANSWER


def test_the_file_records_what_was_asked(tmp_path):
    """Beside the answer stand the question, the pictures' digests and the model, readable with SQLite alone."""
    put(AnswerStore(open_answers(tmp_path / "a.sqlite")), "k")
    row = sqlite3.connect(tmp_path / "a.sqlite").execute("SELECT question, images, identity FROM answers").fetchone()
    assert row[0] == "what?"
    assert REQUEST.images[0].digest in row[1]
    assert '"model": "m"' in row[2]


@pytest.mark.parametrize("text", ["", "\x00\x1b[31m", "\ud800 lone", "é" * 100_000, "' OR 1=1; --"])
def test_any_text_can_be_stored(tmp_path, text):
    """Nulls, escapes, lone surrogates and long texts are stored; a surrogate comes back as a question mark."""
    store = AnswerStore(open_answers(tmp_path / "a.sqlite"))
    put(store, "k", storable(Answer(text)))
    assert store.get("k").text == text.replace("\ud800", "?")


def test_what_no_token_limit_explains_is_cut():
    """Of megabytes of text the first million characters are kept, and the answer is called truncated."""
    kept = storable(Answer("9" * 10_000_000, detail="d" * 10_000, model="m" * 10_000))
    assert (len(kept.text), kept.outcome, len(kept.detail), len(kept.model)) == (1_000_000, "truncated", 1000, 1000)
    assert storable(Answer("9" * 1_000_000)).outcome == "ok"
    assert storable(Answer("9" * 1_000_001, outcome="refused")).outcome == "refused"


def test_several_processes_may_open_a_new_store_at_once(tmp_path):
    """Commands that are started together on a fresh folder do not get in each other's way."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom lvlm_ad.asking import AnswerStore\nfrom lvlm_ad.store import open_answers\nprint('ready', flush=True)\n"
        "sys.stdin.readline()\nfor n in range(20): AnswerStore(open_answers(Path(sys.argv[1]) / f'{n}.sqlite')).close()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, ended


def test_one_bad_row_costs_no_other_answer(tmp_path):
    """Answers are written many at a time; one that cannot be written fails alone, and says so."""
    store = AnswerStore(open_answers(tmp_path / "a.sqlite"))

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


def test_a_store_of_the_first_version_is_read(tmp_path):
    """Answers stored before batches existed are found, and new ones are stored beside them."""
    put(AnswerStore(open_answers(tmp_path / "a.sqlite")), "k")
    with sqlite3.connect(tmp_path / "a.sqlite") as database:
        for column in ("tokens", "batch"):
            database.execute(f"ALTER TABLE answers DROP COLUMN {column}")
        database.execute("PRAGMA user_version=1")
    database.close()
    store = AnswerStore(open_answers(tmp_path / "a.sqlite"))
    assert store.get("k") == ANSWER
    put(store, "b", Answer("x", batch=True))
    assert store.get("b").batch


def test_a_store_of_the_second_version_is_read(tmp_path):
    """Answers stored before tokens were have none, keep all else, and new ones with tokens are stored beside them."""
    path = tmp_path / "a.sqlite"
    put(AnswerStore(open_answers(path)), "k", replace(ANSWER, batch=True))
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE answers DROP COLUMN tokens")
        database.execute("PRAGMA user_version=2")
    database.close()
    store = AnswerStore(open_answers(path))
    assert store.get("k") == replace(ANSWER, batch=True)
    put(store, "t", storable(replace(ANSWER, tokens=TOKENS)))
    assert store.get("t").tokens == TOKENS
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)
    database.close()


def test_many_threads_write_at_once(tmp_path):
    """Concurrent writers lose nothing."""
    store = AnswerStore(open_answers(tmp_path / "a.sqlite"))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: put(store, f"k{n}"), range(200)))
    assert len(store) == 200


def test_what_was_stored_survives_kill_9(tmp_path):
    """Every answer whose storing was reported is there after the writing process was killed without warning."""
    script = tmp_path / "writer.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from lvlm_ad.backend import Answer, Request\n"
        "from lvlm_ad.asking import AnswerStore\nfrom lvlm_ad.store import open_answers\n"
        "store = AnswerStore(open_answers(Path(sys.argv[1])))\n"
        "for n in range(10**6):\n"
        "    store.put(f'k{n}', Answer(str(n)), request=Request((), 'q'), identity={})\n"
        "    print(n, flush=True)\n"
    )
    path = tmp_path / "a.sqlite"
    process = subprocess.Popen([sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 50:
            break
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    reported = [50, *(int(line) for line in process.stdout.read().split("\n")[:-1])]
    process.wait()
    process.stdout.close()
    store = AnswerStore(open_answers(path))
    assert [store.get(f"k{n}").text for n in range(max(reported) + 1)] == [str(n) for n in range(max(reported) + 1)]


def test_damaged_and_newer_files_are_refused(tmp_path):
    """A file that is no database, and one from a newer version, each give one clear error that does not say delete."""
    (tmp_path / "bad.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 50)
    with pytest.raises(StoreError, match="move it away rather than delete"):
        AnswerStore(open_answers(tmp_path / "bad.sqlite"))
    with sqlite3.connect(tmp_path / "new.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StoreError, match="newer lvlm-ad"):
        AnswerStore(open_answers(tmp_path / "new.sqlite"))


def test_a_store_with_a_trigger_is_refused(tmp_path):
    """One from a stranger could throw away each answer that is paid for."""
    AnswerStore(open_answers(tmp_path / "a.sqlite")).close()
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database:
        database.execute("CREATE TRIGGER gone AFTER INSERT ON answers BEGIN DELETE FROM answers; END")
    with pytest.raises(StoreError, match="holds a trigger, 'gone'"):
        AnswerStore(open_answers(tmp_path / "a.sqlite"))


def test_a_store_that_another_program_holds_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    """After half a minute, here half a second, one line says who is in the way; nothing is moved or deleted."""
    path = tmp_path / "answers.sqlite"
    AnswerStore(open_answers(path)).close()
    monkeypatch.setattr(storage, "_OPENING", 0.5)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"database is locked\. Another program holds it"):
            AnswerStore(open_answers(path))
    AnswerStore(open_answers(path)).close()
