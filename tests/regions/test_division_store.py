import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from lvlm_ad.errors import StoreError
from lvlm_ad.regions import DivisionStore, StoredDivision, divide
from lvlm_ad.store import open_cache


def test_a_division_comes_back_as_it_was(tmp_path, photo):
    """Cells, membership, hash and counts survive storing, also in a new process's view of the file."""
    regions = divide(photo)
    counts = {"normal": np.arange(5, dtype=np.int64)}
    DivisionStore(open_cache(tmp_path / "d.sqlite")).put("key", StoredDivision.pack(regions, counts))
    store = DivisionStore(open_cache(tmp_path / "d.sqlite"))
    back = store.regions("key")
    assert np.array_equal(back.cells, regions.cells)
    assert back.cells.dtype == np.int32
    assert np.array_equal(back.membership, regions.membership)
    assert list(store.known(["key", "other"])) == [("key", regions.hash, regions.count)]
    assert back.hash == regions.hash
    assert store.counts("key")["normal"].tolist() == [0, 1, 2, 3, 4]


def test_an_image_without_ground_truth_has_no_counts(tmp_path, photo):
    """Counts are None where there was nothing to count."""
    store = DivisionStore(open_cache(tmp_path / "d.sqlite"))
    store.put("key", StoredDivision.pack(divide(photo), None))
    assert store.counts("key") is None


def test_divisions_without_regions_are_counted(tmp_path, photo):
    """How many images keep no region can be told without reading the divisions."""
    store = DivisionStore(open_cache(tmp_path / "d.sqlite"))
    store.put("some", StoredDivision.pack(divide(photo), None))
    store.put("none", StoredDivision.pack(divide(photo, max_area=1), None))
    assert {key: count > 0 for key, _, count in store.known(["some", "none"])} == {"some": True, "none": False}


def test_what_is_not_stored_is_said(tmp_path):
    """Asking for an unknown division is an error with the key, not an empty division."""
    with pytest.raises(StoreError, match="no division nothing"):
        DivisionStore(open_cache(tmp_path / "d.sqlite")).regions("nothing")


def test_damaged_and_newer_files_are_refused(tmp_path):
    """A file that is no database, and one from a newer version, each give one clear error."""
    (tmp_path / "bad.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 50)
    with pytest.raises(StoreError, match="cannot be opened"):
        DivisionStore(open_cache(tmp_path / "bad.sqlite"))
    with sqlite3.connect(tmp_path / "new.sqlite") as database:
        database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(StoreError, match="newer lvlm-ad"):
        DivisionStore(open_cache(tmp_path / "new.sqlite"))


def test_a_store_is_closed_though_threads_read_it(tmp_path):
    """If a store is closed while threads read it, each thread gets an error, and the process lives on."""
    code = f"""
import threading
from pathlib import Path
from lvlm_ad.errors import StoreError
from lvlm_ad.regions import DivisionStore, StoredDivision, divide
from lvlm_ad.store import open_cache
import numpy as np
errors = []
for turn in range(20):
    database = open_cache(Path({str(tmp_path)!r}) / f"{{turn}}.sqlite")
    store = DivisionStore(database)
    store.put("key", StoredDivision.pack(divide(np.zeros((64, 64, 3), np.uint8), "grid"), None))
    def read(store=store):
        try:
            while True:
                store.regions("key")
        except StoreError as error:
            errors.append(str(error))
    readers = [threading.Thread(target=read, daemon=True) for _ in range(8)]
    for reader in readers:
        reader.start()
    database.close()
    for reader in readers:
        reader.join()
print(len(errors))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "160"), done.stderr
