"""What the doctor says of a folder, and what it mends: real stores, damaged on purpose."""

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress

import pytest

import lvlm_ad
from lvlm_ad.asking import AnswerStore, Locks
from lvlm_ad.backend import Answer, Request
from lvlm_ad.doctor import folder_findings, machine_findings
from lvlm_ad.errors import StoreError
from lvlm_ad.store import open_answers

SMALL = {"image_size": 96, "n_segments": 12, "min_area": 0}

KEY = "sk-never-to-be-seen-42"


def findings(folder):
    return {(one.name, one.state): one for one in folder_findings(folder)}


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.suffix in {".json", ".jsonl", ".npz"}}


def fill(path, count):
    """A store with many answers; their keys."""
    keys = []
    with closing(AnswerStore(open_answers(path))) as store:
        store._db.execute("PRAGMA synchronous=OFF")  # a disk's time, not what is tested
        for number in range(count):
            request = Request((), f"question {number}")
            keys.append(request.key({}))
            store.put(keys[-1], Answer(f"image anomaly score: 0.{number}. {'x' * 300}"), request=request, identity={})
    return keys


def test_a_sound_folder(small_data, tmp_path, lvlm_ad_command):
    """Every store and run is counted; nothing is changed by looking, and nothing by repairing."""
    assert lvlm_ad_command("bench", "--data", small_data).returncode == 0
    folder = tmp_path / "runs"
    before = contents(folder)
    done = lvlm_ad_command("doctor", "--json", "--repair")
    assert done.returncode == 0, done.stdout
    found = {(one["about"], one["name"]): one for one in json.loads(done.stdout)["findings"]}
    assert found["folder", "runs"]["text"] == "4 can be read"
    assert found["folder", "answers.sqlite"]["text"].startswith("sound, 0 entries")
    assert found["folder", "divisions.sqlite"]["text"].startswith("sound, 12 entries")
    assert contents(folder) == before


def test_answers_on_sound_pages_are_saved(tmp_path):
    """Pages in the middle are overwritten: most answers are saved, word for word, and the damaged file is kept."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, 2000)
    content = bytearray(path.read_bytes())
    for page in (100, 101, 150):
        content[4096 * page : 4096 * (page + 1)] = os.urandom(4096)
    path.write_bytes(bytes(content))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    found = findings(tmp_path)["answers.sqlite", "problem"]
    assert found.text.startswith("damaged: ")
    said = found.repair()
    with closing(AnswerStore(open_answers(path))) as store:
        saved = len(store)
        assert f"{saved:,} answers were saved" in said
        assert 1800 < saved < 2000
        for number, key in enumerate(keys):
            answer = store.get(key)
            assert answer is None or answer.text.startswith(f"image anomaly score: 0.{number}. x")
    assert (tmp_path / "answers.sqlite.damaged1").read_bytes() == bytes(content)
    assert ("answers.sqlite", "ok") in findings(tmp_path)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_store_that_was_cut_off_gives_all_that_is_left(kept, tmp_path):
    """Every answer that is still whole in the file is saved, those between two missing pages too."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, 2000)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    cut = whole[: int(kept * len(whole))]
    path.write_bytes(cut)
    (tmp_path / "padded").write_bytes(cut + bytes(len(whole) - len(cut)))
    left = 0
    with closing(sqlite3.connect(tmp_path / "padded")) as database:
        for key in keys:
            with suppress(sqlite3.DatabaseError):
                left += len(database.execute("SELECT * FROM answers WHERE key = ?", (key,)).fetchall())
    assert 100 < left < len(keys)
    assert f"{left:,} answers were saved" in findings(tmp_path)["answers.sqlite", "problem"].repair()
    assert path.with_name("answers.sqlite.damaged1").read_bytes() == cut
    assert "may go" in findings(tmp_path)["answers.sqlite.damaged1", "ok"].text


@pytest.mark.parametrize("name", ["answers.sqlite", "divisions.sqlite", "batches.sqlite", "answers.sqlite"])
@pytest.mark.parametrize("how", ["garbage", "cut", "empty header"])
def test_what_is_no_store_any_more_is_put_aside(name, how, small_data, tmp_path):
    """A bench fails with one line, the doctor mends it, and the bench runs; nothing is thrown away."""

    def bench():
        lvlm_ad.bench(models=["contrast"], frame=False, data=small_data, settings=SMALL, out=tmp_path, resamples=0)

    bench()
    path = tmp_path / name
    content = path.read_bytes()
    damaged = {
        "garbage": os.urandom(len(content)),
        "cut": content[: len(content) // 2 + 100],
        "empty header": bytes(100) + content[100:],
    }[how]
    path.write_bytes(damaged)
    for suffix in ("-wal", "-shm"):
        path.with_name(name + suffix).unlink(missing_ok=True)
    problems = [one for one in folder_findings(tmp_path) if one.state == "problem"]
    if not problems:
        bench()
        return
    (problem,) = problems
    said = problem.repair()
    assert f"{name} is put aside" in said or f"into a new {name}" in said
    assert (tmp_path / f"{name}.damaged1").read_bytes() == damaged
    bench()
    assert not any(one.state == "problem" for one in folder_findings(tmp_path))


def test_a_newer_store_and_a_held_one_are_left_alone(tmp_path):
    """Neither is damaged; the message says what it is, and there is nothing to repair."""
    path = tmp_path / "answers.sqlite"
    fill(path, 3)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=99")
    found = findings(tmp_path)["answers.sqlite", "problem"]
    assert "written by a newer lvlm-ad" in found.text
    assert found.repair is None


def test_nothing_is_repaired_under_a_living_command(tmp_path):
    """Another process works on the folder: its files are not moved away."""
    (tmp_path / "answers.sqlite").write_bytes(b"x" * 5000)
    with closing(Locks(open_answers(tmp_path / "answers.sqlite"))):
        found = findings(tmp_path)
        assert found["answers.sqlite", "problem"].repair is None
        assert "1 commands are at work" in found["answers.sqlite", "ok"].text
    assert findings(tmp_path)["answers.sqlite", "problem"].repair is not None


def test_half_written_files_of_the_dead_are_removed(tmp_path):
    """Old ones of our own names alone: a fresh one may be in writing, another is an editor's or lies behind a link."""
    folder, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    (folder / "run").mkdir(parents=True)
    elsewhere.mkdir()
    (folder / "link").symlink_to(elsewhere)
    ours = [".run.json.abc123_x", "run/.metrics.json.x1_y2345", ".demo-data-abcd1234.partial/x", ".salvage-abcd1234/x"]
    others = [".bashrc", "run/.gitkeep", ".run.json.swp", "link/.index.html.abcd1234", ".mine.partial/x"]
    for name in [*ours, *others, ".run.json.freshone"]:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("{")
        if "fresh" not in name:
            for one in (path, path.parent):
                os.utime(one, (time.time() - 7200,) * 2)
    found = findings(folder)["leftovers", "warning"]
    assert found.text.startswith("4 half-written files or folders")
    assert found.repair() == "4 were removed"
    assert not any((folder / name).exists() for name in ours)
    assert all((folder / name).exists() for name in [*others, ".run.json.freshone"])


def test_a_full_disk_is_no_damage(small_disk):
    """SQLite finds no room to look at a sound store: nothing is moved, nothing lost, and room mends it."""
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
    with closing(AnswerStore(open_answers(place / "answers.sqlite"))) as store:
        assert all(store.get(key) for key in keys)


def test_a_repair_without_room_changes_nothing(small_disk):
    """What is saved needs room first; the damaged store stays where it is until then."""
    place, again = small_disk
    assert again("size=8m")
    path = place / "answers.sqlite"
    fill(path, 1200)
    content = bytearray(path.read_bytes())
    content[4096 * 50 : 4096 * 51] = os.urandom(4096)
    path.write_bytes(bytes(content))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    filler = place / "fill"
    with filler.open("wb", buffering=0) as file:
        while shutil.disk_usage(place).free > 300_000:
            file.write(bytes(65536))
    found = findings(place)["answers.sqlite", "problem"]
    with pytest.raises(StoreError, match="cannot be"):
        found.repair()
    assert path.read_bytes() == bytes(content)
    assert sorted(one.name for one in place.iterdir() if "-" not in one.name) == ["answers.sqlite", "fill"]
    filler.unlink()
    assert "answers were saved" in findings(place)["answers.sqlite", "problem"].repair()


def test_answers_of_a_repair_that_was_cut_short_are_found_again(tmp_path):
    """A damaged store of before is told of while it holds answers that the new one lacks, and they can be saved."""
    path = tmp_path / "answers.sqlite"
    keys = fill(path, 20)
    path.rename(tmp_path / "answers.sqlite.damaged1")
    found = findings(tmp_path)["answers.sqlite.damaged1", "warning"]
    assert "20 answers that can be read of it are not in answers.sqlite" in found.text
    assert found.repair().startswith("20 answers of answers.sqlite.damaged1 were saved")
    with closing(AnswerStore(open_answers(path))) as store:
        assert all(store.get(key) for key in keys)
    assert "it may go" in findings(tmp_path)["answers.sqlite.damaged1", "ok"].text


def test_what_is_of_another_kind_is_not_repaired(tmp_path):
    """A newer version's tables, a folder, an empty file, and claims of a newer version, which may be at work."""
    fill(tmp_path / "answers.sqlite", 3)
    (tmp_path / "divisions.sqlite").mkdir()
    (tmp_path / "files.sqlite").touch()
    with closing(Locks(open_answers(tmp_path / "answers.sqlite"))):
        pass
    with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as database:
        database.execute("ALTER TABLE answers RENAME TO replies")
        database.execute("PRAGMA user_version=99")
    with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as database:
        database.execute("PRAGMA user_version=99")
    found = findings(tmp_path)
    assert "written by a newer lvlm-ad" in found["answers.sqlite", "problem"].text
    assert "it is no file" in found["divisions.sqlite", "problem"].text
    assert found["files.sqlite", "ok"].text == "empty"
    assert "nothing is repaired" in found["answers.sqlite", "warning"].text
    assert not any(one.repair for one in found.values())


def test_a_damaged_run_is_told(small_data, tmp_path, lvlm_ad_command):
    """With what writes it anew."""
    assert lvlm_ad_command("bench", "-m", "contrast", "--no-frame", "--data", small_data).returncode == 0
    next((tmp_path / "runs").glob("*/metrics.json")).write_text("{")
    done = lvlm_ad_command("doctor", "--json")
    assert done.returncode == 2
    (problem,) = (one for one in json.loads(done.stdout)["findings"] if one["state"] == "problem")
    assert "is damaged" in problem["text"]
    assert "stored answers" in problem["remedy"]


def test_keys_are_told_by_name_alone(lvlm_ad_command, monkeypatch):
    """Whether they are set, for which presets, and not a character of them."""
    done = lvlm_ad_command("doctor", env={"OPENAI_API_KEY": KEY, "GEMINI_API_KEY": " "})
    assert KEY not in done.stdout + done.stderr
    assert KEY[:6] not in done.stdout + done.stderr
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    found = {one.name: one for one in machine_findings() if one.about == "keys"}
    assert (found["OPENAI_API_KEY"].state, found["GEMINI_API_KEY"].state) == ("ok", "absent")
    assert "gpt-4v" in found["OPENAI_API_KEY"].text


def test_an_absent_folder_is_no_problem(lvlm_ad_command):
    """Before the first bench there is nothing to be wrong."""
    done = lvlm_ad_command("doctor", "--out", "nowhere")
    assert done.returncode == 0, done.stdout
    assert "bench makes it" in " ".join(done.stdout.split())
