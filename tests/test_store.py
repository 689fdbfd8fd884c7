"""The two SQLite files: opened by several processes, brought up to date, refused when they are not ours to change."""

import gzip
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lvlm_ad import store
from lvlm_ad.asking import AnswerStore, BatchLedger
from lvlm_ad.errors import StoreError
from lvlm_ad.store import open_answers, open_cache

FROZEN = Path(__file__).with_name("data") / "v0_1" / "out"
OPEN_MANY = """
import sys
from pathlib import Path
from lvlm_ad.store import open_answers
print("ready", flush=True)
sys.stdin.readline()
for n in range(10):
    open_answers(Path(sys.argv[1]) / f"{n}.sqlite").close()
"""

ANSWERS = "SELECT key, outcome, text, input_tokens, answered_at, identity FROM answers"
COLUMNS_BY_VERSION = {1: ("tokens", "batch"), 2: ("tokens",), 3: (), 4: ()}
"""Version of an answer store -> the columns that it lacked."""


def unpacked(name, folder):
    path = folder / name
    path.write_bytes(gzip.decompress((FROZEN / f"{name}.gz").read_bytes()))
    return path


@pytest.mark.parametrize("version", COLUMNS_BY_VERSION)
def test_older_answer_stores_are_brought_up_to_date(version, tmp_path):
    """No answer is lost or changed; an older lvlm-ad, which knows versions up to 3, refuses the file from then on."""
    path = unpacked("answers.sqlite", tmp_path)
    with closing(sqlite3.connect(path)) as database:
        for column in COLUMNS_BY_VERSION[version]:
            database.execute(f"ALTER TABLE answers DROP COLUMN {column}")
        database.execute(f"PRAGMA user_version={version}")
        before = database.execute(
            "SELECT key, outcome, text, input_tokens, answered_at, identity FROM answers"
        ).fetchall()
    for _ in range(2):
        with closing(open_answers(path)) as database:
            assert database.read(ANSWERS) == before
            assert all(AnswerStore(database).get(row[0]).text == row[2] for row in before)
            assert database.read("PRAGMA user_version") == [(5,)]
    assert len(before) > 20


def test_batches_of_before_are_taken_over_once(tmp_path):
    """``batches.sqlite`` is copied into ``answers.sqlite`` and renamed; a batch that ends then stays ended."""
    unpacked("batches.sqlite", tmp_path)
    with closing(sqlite3.connect(tmp_path / "batches.sqlite")) as database:
        (label,) = database.execute("SELECT label FROM batches WHERE outcome = ''").fetchone()
    with closing(open_answers(tmp_path / "answers.sqlite")) as database:
        rows = database.read("SELECT label FROM batches WHERE outcome = ''")
        assert rows == [(label,)]
        assert len(database.read("SELECT * FROM questions WHERE label = ?", (label,))) == 2
        BatchLedger(database).ended(label, "done")
    assert (tmp_path / "batches.sqlite.copied").is_file()
    (tmp_path / "batches.sqlite.copied").rename(tmp_path / "batches.sqlite")
    with closing(open_answers(tmp_path / "answers.sqlite")) as database:
        assert database.read("SELECT label FROM batches WHERE outcome = ''") == []


def test_damaged_batches_of_before_are_not_ignored(tmp_path):
    """They are paid for: one error names the file and says what to do."""
    (tmp_path / "batches.sqlite").write_bytes(os.urandom(9000))
    with pytest.raises(StoreError, match=r"batches of version 0\.1, cannot be read: .* Move it away"):
        open_answers(tmp_path / "answers.sqlite")
    assert (tmp_path / "batches.sqlite").is_file()


def test_a_file_that_is_no_store_is_refused_as_answers_and_put_aside_as_cache(tmp_path):
    """Answers cost money: they are kept as they are. A cache is made again, and a note says so."""
    file = tmp_path / "none.sqlite"
    content = b"not a database, but long enough to be taken for one" * 50
    file.write_bytes(content)
    advice = "doctor --repair' saves every intact answer"
    with pytest.raises(StoreError, match=f"cannot be opened: file is not a database. .*{advice}"):
        open_answers(file)
    notes = []
    open_cache(file, notes.append).close()
    renamed = "none.sqlite is renamed to none.sqlite.damaged1, and a new one is made."
    assert notes == [f"The cache {file} is damaged (file is not a database): {renamed}"]
    assert (tmp_path / "none.sqlite.damaged1").read_bytes() == content
    open_cache(file, notes.append).close()
    assert len(notes) == 1


def test_an_emptied_store_of_answers_is_not_taken_for_a_new_one(tmp_path):
    """Beside earlier runs an empty file means lost answers; without runs it is new."""
    store = tmp_path / "answers.sqlite"
    store.touch()
    open_answers(store).close()
    (tmp_path / "chance-demo-1").mkdir()
    (tmp_path / "chance-demo-1" / "run.json").touch()
    open_answers(store).close()
    store.write_bytes(b"")
    for left in tmp_path.glob("answers.sqlite-*"):
        left.unlink()
    with pytest.raises(StoreError, match=r"is empty, although there are runs beside it: .* Put a copy back"):
        open_answers(store)
    assert store.stat().st_size == 0
    store.unlink()
    open_answers(store).close()


@pytest.mark.parametrize("opened", [open_answers, open_cache])
def test_files_that_are_not_ours_are_refused(opened, tmp_path):
    """A newer version, a trigger: each gives one clear error, and the file is not changed."""
    opened(tmp_path / "new.sqlite").close()
    opened(tmp_path / "trigger.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="was written by a newer lvlm-ad"):
        opened(tmp_path / "new.sqlite")
    with closing(sqlite3.connect(tmp_path / "trigger.sqlite")) as database:
        table = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()[0]
        database.execute(f"CREATE TRIGGER gone AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END")
    with pytest.raises(StoreError, match="contains a trigger, 'gone'"):
        opened(tmp_path / "trigger.sqlite")


def test_a_file_that_another_program_uses_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    """After half a minute, here half a second, one line says what is in the way; nothing is moved or deleted."""
    path = tmp_path / "answers.sqlite"
    open_answers(path).close()
    monkeypatch.setattr(store, "_OPENING", 0.5)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match=r"database is locked\. Another program is using it"):
            open_answers(path)
    open_answers(path).close()


def test_several_processes_may_create_the_same_files_at_once(tmp_path):
    """Commands that are started together on a new folder do not collide."""
    arguments = [sys.executable, "-c", OPEN_MANY, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(arguments, text=True, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, ended


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_clear_error(tmp_path):
    """The error names the folder and says what to do."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match=r"may be read-only.*give another --out"):
        open_answers(tmp_path / "answers.sqlite")
    tmp_path.chmod(0o700)


def test_a_full_disk_is_one_clear_error(small_disk):
    """The error says so; what was written before stays."""
    folder, _ = small_disk
    with closing(open_cache(folder / "cache.sqlite")) as database:

        def write(number, size):
            with database.transaction(durable=False) as db:
                db.execute("INSERT INTO divisions VALUES (?, '', 1, ?, NULL)", (str(number), bytes(size)))

        write(1, 1000)
        with pytest.raises(StoreError, match=r"cannot be written: .*full.*Free some space"):
            write(2, 2_000_000)
        assert database.read("SELECT key FROM divisions") == [("1",)]


def test_an_interrupted_transaction_writes_nothing(tmp_path):
    """Everything or nothing, and the next transaction works."""
    with closing(open_cache(tmp_path / "cache.sqlite")) as database:

        def write(then=None):
            with database.transaction(durable=False) as db:
                db.execute("INSERT INTO files VALUES (?, '', '')", (b"path",))
                if then is not None:
                    raise then

        with pytest.raises(KeyboardInterrupt):
            write(KeyboardInterrupt())
        assert database.read("SELECT count(*) FROM files") == [(0,)]
        write()
        assert database.read("SELECT count(*) FROM files") == [(1,)]
