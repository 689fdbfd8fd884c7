"""Stored divisions: what the cache gives back is what was put in."""

import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from lvlm_ad.errors import StoreError
from lvlm_ad.regions import DivisionStore, StoredDivision, divide
from lvlm_ad.store import open_cache

CLOSED_WHILE_READ = """
import sys, threading
from pathlib import Path
import numpy as np
from lvlm_ad.errors import StoreError
from lvlm_ad.regions import DivisionStore, StoredDivision, divide
from lvlm_ad.store import open_cache
errors = []
for turn in range(20):
    cache = open_cache(Path(sys.argv[1]) / f"{turn}.sqlite")
    store = DivisionStore(cache)
    store.put("key", StoredDivision.pack(divide(np.zeros((64, 64, 3), np.uint8), "grid"), None))
    def read(store=store):
        try:
            while True:
                store.regions("key")
        except StoreError as error:
            errors.append(str(error))
    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    cache.close()
    for reader in readers:
        reader.join()
print(len(errors))
"""


@pytest.fixture
def image():
    """A small image of noise, uint8 (64, 96, 3)."""
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)


@pytest.fixture
def store(tmp_path):
    """An empty ``DivisionStore``."""
    with closing(open_cache(tmp_path / "cache.sqlite")) as cache:
        yield DivisionStore(cache)


def test_a_division_comes_back_as_it_was(store, tmp_path, image):
    """Cells, membership, hash, number of regions and counts survive, also when the file is opened anew."""
    regions, none = divide(image, "grid"), divide(image, "grid", max_area=1)
    store.put("key", StoredDivision.pack(regions, {"normal": np.arange(5, dtype=np.int64)}))
    store.put("none", StoredDivision.pack(none, None))
    with closing(open_cache(tmp_path / "cache.sqlite")) as cache:
        again = DivisionStore(cache)
        back = again.regions("key")
        assert np.array_equal(back.cells, regions.cells)
        assert back.cells.dtype == np.int32
        assert np.array_equal(back.membership, regions.membership)
        assert back.hash == regions.hash
        assert again.known(["key", "none", "other"]) == {"key": (regions.hash, regions.count), "none": (none.hash, 0)}
        assert again.counts("key")["normal"].tolist() == [0, 1, 2, 3, 4]
        assert again.counts("none") is None


def test_a_division_that_is_missing_or_damaged_is_an_error(store, image):
    """The error says what to do: the cache may be deleted."""
    with pytest.raises(StoreError, match=r"no division nothing\. Delete it: it is made again"):
        store.regions("nothing")
    store.put("key", StoredDivision.pack(divide(image, "grid"), None))
    with store._database.transaction(durable=False) as database:
        database.execute("UPDATE divisions SET regions = x'00'")
    with pytest.raises(StoreError, match=r"cannot be read: .* Delete it"):
        store.regions("key")


def test_a_file_is_closed_though_threads_read_it(tmp_path):
    """After an error the stores close while pictures are still drawn: readers get an error, nothing crashes."""
    arguments = [sys.executable, "-c", CLOSED_WHILE_READ, str(tmp_path)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "160"), done.stderr
