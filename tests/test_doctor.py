"""What the doctor reports about a folder, and what it repairs: real stores, damaged on purpose."""

import json
import os
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

import lvlm_ad
from lvlm_ad.asking import AnswerStore, BatchLedger, Locks
from lvlm_ad.backend import Answer, Request
from lvlm_ad.doctor import folder_findings, machine_findings
from lvlm_ad.errors import StoreError
from lvlm_ad.store import open_answers, open_cache

SMALL = {"image_size": 96, "division": "grid", "grid_rows": 4, "grid_columns": 4}
FROZEN = Path(__file__).parent / "data" / "v0_1" / "out"
KEY = "sk-never-to-be-seen-42"
COUNT = 300


def findings(folder):
    return {(one.name, one.state): one for one in folder_findings(folder)}


def fill(path, count):
    """Store many answers and a batch; return the keys of the answers."""
    requests = [Request((), f"question {number}") for number in range(count)]
    with closing(open_answers(path)) as database, ThreadPoolExecutor(32) as pool:
        store = AnswerStore(database)

        def put(number):
            text = f"image anomaly score: 0.{number}. {'x' * 300}"
            store.put(requests[number].key({}), Answer(text), request=requests[number], identity={})

        list(pool.map(put, range(count)))
        BatchLedger(database).begin({"m": 1}, [requests[0].key({})])
    return [request.key({}) for request in requests]


def answers_in(path):
    with closing(open_answers(path)) as database:
        rows = database.read("SELECT key, text FROM answers")
        return dict(rows)


def batches_in(path):
    with closing(open_answers(path)) as database:
        return BatchLedger(database).open_batches({"m": 1})


@pytest.mark.slow
def test_a_sound_folder_is_only_examined(kept_data, tmp_path, lvlm_ad_command):
    """Stores and runs are counted; neither examining nor repairing changes a run."""
    alone = {"models": ["contrast"], "reference_rows": False, "resamples": 0}
    lvlm_ad.bench(**alone, data=kept_data, settings=SMALL, out=tmp_path / "runs")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    done = lvlm_ad_command("doctor", "--json", "--repair")
    assert done.returncode == 0, done.stdout
    found = {(one["about"], one["name"]): one for one in json.loads(done.stdout)["findings"]}
    assert found["folder", "runs"]["text"] == "2 can be read"
    assert found["folder", "answers.sqlite"]["text"].startswith("intact, 0 entries")
    assert found["folder", "cache.sqlite"]["text"].startswith("intact, 12 entries")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json*")} == before


def test_answers_on_sound_pages_are_saved(tmp_path):
    """Pages are overwritten: answers on others are saved, word for word, batches too, and the damaged file is kept."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, COUNT)
    content = bytearray(path.read_bytes())
    for page in (20, 21, 30):
        content[4096 * page : 4096 * (page + 1)] = os.urandom(4096)
    path.write_bytes(bytes(content))
    problem = findings(tmp_path)["answers.sqlite", "problem"]
    assert problem.text.startswith("damaged: ")
    done = problem.repair()
    saved = answers_in(path)
    assert f"{len(saved):,} answers were saved" in done
    assert 0.8 * COUNT < len(saved) < COUNT
    texts = {key: f"image anomaly score: 0.{number}. {'x' * 300}" for number, key in enumerate(keys)}
    assert saved.items() <= texts.items()
    assert len(batches_in(path)) == 1
    assert (tmp_path / "answers.sqlite.damaged1").read_bytes() == bytes(content)
    assert ("answers.sqlite", "ok") in findings(tmp_path)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_store_that_was_cut_off_gives_everything_that_is_left(kept, tmp_path):
    """Every answer that is still whole in the file is saved, those between two missing pages too."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, COUNT)
    whole = path.read_bytes()
    cut = whole[: int(kept * len(whole))]
    path.write_bytes(cut)
    (tmp_path / "padded").write_bytes(cut + bytes(len(whole) - len(cut)))
    left = 0
    with closing(sqlite3.connect(tmp_path / "padded")) as database:
        for key in keys:
            with suppress(sqlite3.DatabaseError):
                left += len(database.execute("SELECT * FROM answers WHERE key = ?", (key,)).fetchall())
    assert 20 < left < COUNT
    assert f"{left:,} answers were saved" in findings(tmp_path)["answers.sqlite", "problem"].repair()
    assert path.with_name("answers.sqlite.damaged1").read_bytes() == cut


@pytest.mark.parametrize(
    ("place", "content"),
    [(3, b"?"), (16, b"?"), (100, b"?"), (0, bytes(4096))],
    ids=["magic", "size", "kind", "page"],
)
def test_a_damaged_first_page_costs_no_answer(place, content, tmp_path):
    """The first page says only where the tables begin; all answers are saved without it."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, COUNT)
    damaged = bytearray(path.read_bytes())
    damaged[place : place + len(content)] = content
    path.write_bytes(damaged)
    assert f"{COUNT} answers were saved" in findings(tmp_path)["answers.sqlite", "problem"].repair()
    assert set(answers_in(path)) == set(keys)


@pytest.mark.parametrize(("column", "lost"), [("text", 1), ("outcome", 1), ("model", 0), ("question", 0)])
def test_a_damaged_character_costs_one_answer_at_most(column, lost, tmp_path):
    """An answer that a bench could not read is reported; only damage to its text or outcome loses it."""
    path = tmp_path / "answers.sqlite"
    fill(path, 20)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE answers SET {column} = CAST(x'6f6bff' AS TEXT) WHERE text LIKE '%0.7.%'")
    if column == "question":
        assert ("answers.sqlite", "ok") in findings(tmp_path)
        return
    problem = findings(tmp_path)["answers.sqlite", "problem"]
    assert problem.text == "damaged: 1 of 20 answers cannot be read"
    assert f"{20 - lost} answers were saved" in problem.repair()
    assert len(answers_in(path)) == 20 - lost


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("input_tokens", 2**62),
        ("output_tokens", -5),
        ("cached_tokens", "many"),
        ("seconds", -1.0),
        ("seconds", 1e300),
        ("model", "m" * 2000),
        ("answered_at", b"yesterday"),
        ("detail", b"stop"),
        ("text", "image anomaly score: 0.7. " + "x" * 1_000_000),
    ],
)
def test_what_a_bench_refuses_the_doctor_reports_and_mends(column, value, tmp_path):
    """An impossible value, as an earlier version may have stored it: the three agree, and no answer is lost."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, 5)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE answers SET {column} = ? WHERE text LIKE '%0.3.%'", (value,))
    with closing(open_answers(path)) as database:
        store = AnswerStore(database)
        with pytest.raises(StoreError, match=rf"impossible value \({column}\).*--repair' repairs it"):
            [store.get(key) for key in keys]
    problem = findings(tmp_path)["answers.sqlite", "problem"]
    assert problem.text == "damaged: 1 of 5 answers cannot be read"
    assert "5 answers were saved" in problem.repair()
    assert ("answers.sqlite", "ok") in findings(tmp_path)
    with closing(open_answers(path)) as database:
        store = AnswerStore(database)
        assert [store.get(key).text[:21] for key in keys] == ["image anomaly score: "] * 5


def test_an_emptied_store_is_reported(tmp_path):
    """The doctor does not take an emptied store for a sound one, and does not make one of it."""
    fill(tmp_path / "answers.sqlite", 3)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").touch()
    (tmp_path / "answers.sqlite").write_bytes(b"")
    for left in tmp_path.glob("answers.sqlite-*"):
        left.unlink()
    assert "its answers are lost" in findings(tmp_path)["answers.sqlite", "problem"].text
    assert (tmp_path / "answers.sqlite").stat().st_size == 0


def test_every_division_of_a_cache_is_read(kept_data, tmp_path):
    """One that a bench could not use is reported; the repair puts the cache aside."""
    lvlm_ad.bench(models=["chance"], reference_rows=False, resamples=0, data=kept_data, settings=SMALL, out=tmp_path)
    with closing(sqlite3.connect(tmp_path / "cache.sqlite")) as database, database:
        database.execute("UPDATE divisions SET counts = regions WHERE key = (SELECT min(key) FROM divisions)")
    problem = findings(tmp_path)["cache.sqlite", "problem"]
    assert problem.text == "damaged: 1 of 12 divisions cannot be read"
    problem.repair()
    assert ("cache.sqlite", "problem") not in findings(tmp_path)


def test_a_damaged_hash_in_the_cache_stops_no_bench(kept_data, tmp_path):
    """The bench hashes and divides again what it cannot use; the doctor reports each division that it could not."""
    alone = {"models": ["chance"], "reference_rows": False, "resamples": 0, "data": kept_data, "settings": SMALL}
    before = lvlm_ad.bench(**alone, out=tmp_path)[0]
    with closing(sqlite3.connect(tmp_path / "cache.sqlite")) as database, database:
        database.execute("UPDATE divisions SET hash = x'ff' WHERE key = (SELECT min(key) FROM divisions)")
        database.execute("UPDATE divisions SET n_regions = x'ff' WHERE key = (SELECT max(key) FROM divisions)")
        database.execute("UPDATE files SET hash = x'ff'")
    assert findings(tmp_path)["cache.sqlite", "problem"].text == "damaged: 2 of 12 divisions cannot be read"
    after = lvlm_ad.bench(**alone, out=tmp_path)[0]
    assert after.manifest.config_hash == before.manifest.config_hash


@pytest.mark.parametrize("name", ["answers.sqlite", "cache.sqlite"])
@pytest.mark.parametrize("how", ["garbage", "cut", "empty header"])
def test_a_store_that_is_no_store_any_more_is_repaired(name, how, tmp_path):
    """It cannot be opened, which one line says; the doctor mends that and throws nothing away."""
    path = tmp_path / name
    fill(tmp_path / "answers.sqlite", 50)
    open_cache(tmp_path / "cache.sqlite").close()
    content = path.read_bytes()
    damaged = {
        "garbage": os.urandom(len(content)),
        "cut": content[: len(content) // 2 + 100],
        "empty header": bytes(100) + content[100:],
    }[how]
    path.write_bytes(damaged)
    (problem,) = [one for one in folder_findings(tmp_path) if one.state == "problem"]
    assert path.name in problem.repair()
    assert (tmp_path / f"{name}.damaged1").read_bytes() == damaged
    assert not any(one.state == "problem" for one in folder_findings(tmp_path))
    (open_answers if name == "answers.sqlite" else open_cache)(path).close()


def test_nothing_is_repaired_that_is_not_damaged(tmp_path):
    """A newer version's store and a folder of that name are reported and left alone."""
    fill(tmp_path / "answers.sqlite", 3)
    (tmp_path / "cache.sqlite").mkdir()
    with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as database:
        database.execute("ALTER TABLE answers RENAME TO replies")
        database.execute("PRAGMA user_version=99")
    found = findings(tmp_path)
    assert "written by a newer lvlm-ad" in found["answers.sqlite", "problem"].text
    assert "it is not a file" in found["cache.sqlite", "problem"].text
    assert not any(one.repair for one in found.values())


@pytest.mark.parametrize("name", ["answers.sqlite", "cache.sqlite"])
@pytest.mark.parametrize("kind", ["pipe", "link to itself", "folder"])
def test_a_store_that_is_no_file_is_reported(name, kind, tmp_path):
    """Nobody waits for a pipe; doctor and bench name the path."""
    path = tmp_path / name
    make = {"pipe": lambda: os.mkfifo(path), "link to itself": lambda: path.symlink_to(path), "folder": path.mkdir}
    make[kind]()
    assert findings(tmp_path)[name, "problem"].text == "it is not a file; move it away"
    with pytest.raises(StoreError, match=name):
        (open_answers if name == "answers.sqlite" else open_cache)(path)


def test_nothing_is_repaired_under_a_living_command(tmp_path):
    """Another command works on the folder: its files are not moved away."""
    (tmp_path / "cache.sqlite").write_bytes(b"x" * 5000)
    with closing(open_answers(tmp_path / "answers.sqlite")) as database, closing(Locks(database)):
        found = list(folder_findings(tmp_path))
        assert any("another command is using this folder" in one.text for one in found)
        assert not any(one.repair for one in found)
    assert findings(tmp_path)["cache.sqlite", "problem"].repair is not None


def test_a_full_disk_is_no_damage(small_disk):
    """SQLite has no space to examine a sound store: nothing is moved, nothing lost, and space mends it."""
    place, _ = small_disk
    keys = fill(place / "answers.sqlite", 5)
    filler = place / "fill"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    before = (place / "answers.sqlite").read_bytes()
    found = [one for one in folder_findings(place) if one.name == "answers.sqlite"]
    assert all(one.repair is None and not one.text.startswith("damaged") for one in found)
    assert (place / "answers.sqlite").read_bytes() == before
    assert not list(place.glob("*damaged*"))
    filler.unlink()
    assert answers_in(place / "answers.sqlite").keys() == set(keys)


def test_a_repair_without_space_changes_nothing(small_disk):
    """A repair needs space first; until then the damaged store stays where it is."""
    place, mount_again = small_disk
    assert mount_again("size=8m")
    path = place / "answers.sqlite"
    fill(path, COUNT)
    content = bytearray(path.read_bytes())
    content[4096 * 10 : 4096 * 11] = os.urandom(4096)
    path.write_bytes(bytes(content))
    filler = place / "fill"
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(place).free > 200_000:
            file.write(bytes(4096))
    problem = findings(place)["answers.sqlite", "problem"]
    with pytest.raises(StoreError, match="cannot be"):
        problem.repair()
    assert path.read_bytes() == bytes(content)
    assert sorted(one.name for one in place.iterdir() if "-" not in one.name) == ["answers.sqlite", "fill"]
    filler.unlink()
    assert "answers were saved" in findings(place)["answers.sqlite", "problem"].repair()


def test_answers_of_an_interrupted_repair_are_saved(tmp_path):
    """The damaged store was put aside, and there is no new one yet."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, 20)
    path.rename(tmp_path / "answers.sqlite.damaged1")
    assert findings(tmp_path)["answers.sqlite", "problem"].repair().startswith("20 answers were saved")
    assert answers_in(path).keys() == set(keys)


def test_a_damaged_run_is_reported(tmp_path, lvlm_ad_command):
    """With what writes it anew; exit status 2."""
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "run.json").write_text("{")
    done = lvlm_ad_command("doctor", "--json")
    assert done.returncode == 2
    (problem,) = (one for one in json.loads(done.stdout)["findings"] if one["state"] == "problem")
    assert "stored answers" in problem["remedy"]


@pytest.mark.parametrize("file", ["predictions.jsonl", "pixels.npz"])
def test_a_run_is_read_to_its_end(file, tmp_path):
    """A file that only reports and ``--verify`` read is damaged: the doctor says so, and names the run."""
    shutil.copytree(FROZEN, tmp_path / "runs")
    (tmp_path / "runs" / "chance-folder-9a2c38f4" / file).write_text("{")
    found = findings(tmp_path / "runs")
    assert "chance-folder-9a2c38f4 is damaged" in found["runs", "problem"].text
    assert not found["runs", "problem"].text.endswith(".")


def test_a_file_is_no_output_folder(tmp_path):
    """A bench could not use it, so it is no folder that is merely missing."""
    (tmp_path / "runs").write_text("")
    (problem,) = folder_findings(tmp_path / "runs")
    assert (problem.state, problem.text) == ("problem", "it is not a folder; give another --out")


def test_keys_are_reported_by_name_alone(lvlm_ad_command, monkeypatch):
    """Whether they are set, for which presets, and not a character of them."""
    done = lvlm_ad_command("doctor", "--out", "nowhere", env={"OPENAI_API_KEY": KEY, "GEMINI_API_KEY": " "})
    assert done.returncode == 0, done.stdout
    assert "bench creates it" in " ".join(done.stdout.split())
    assert KEY[:6] not in done.stdout + done.stderr
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    found = {one.name: one for one in machine_findings() if one.about == "keys"}
    assert (found["OPENAI_API_KEY"].state, found["GEMINI_API_KEY"].state) == ("ok", "absent")
    assert "gpt-4v" in found["OPENAI_API_KEY"].text
