"""A data set is divided once, and that it is can be told at a look."""

import sqlite3
from contextlib import closing

import pytest

from lvlm_ad.datasets import load_dataset
from lvlm_ad.errors import StoreError
from lvlm_ad.evaluate import RunConfig
from lvlm_ad.evaluate.config import resolve
from lvlm_ad.evaluate.divide import divide_dataset
from lvlm_ad.progress import Silent
from lvlm_ad.regions import DivisionStore


class Counting(Silent):
    """Counts what was divided now."""

    def __init__(self):
        self.now = 0

    def advance(self, steps=1, *, stored=False, **_):
        self.now += steps * (not stored)


@pytest.fixture
def divided(small_data, tmp_path):
    """Divide the small data set with some settings; the divisions, and how many were made now."""

    def divide(limit=None, **settings):
        config = RunConfig(data=small_data, out=tmp_path, limit=limit, settings={"image_size": 96, **settings})
        with closing(DivisionStore(tmp_path / "divisions.sqlite")) as store:
            counting = Counting()
            divisions = divide_dataset(resolve(config), store, counting)
            regions = [
                divisions.regions(sample).hash for sample in load_dataset("folder", small_data).select((), limit)
            ]
        return divisions, counting.now, regions

    return divide


def test_a_data_set_is_divided_once(divided):
    """The second time nothing is cut, and every hash is as before; other settings and parts are another set."""
    first, made, regions = divided(division="grid")
    again, more, same = divided(division="grid")
    assert (made, more) == (12, 0)
    assert again.hash == first.hash
    assert regions == same
    assert divided(division="grid", grid_rows=4)[1] == 12
    part, made, _ = divided(limit=2, division="grid")
    assert made == 0
    assert part.hash != first.hash


def test_that_all_is_divided_is_told_at_a_look(divided, tmp_path):
    """With the set on record no single division is looked up; without it, each is, and the record is made anew."""
    first, _, _ = divided(division="grid")

    def changed(statement):
        with closing(sqlite3.connect(tmp_path / "divisions.sqlite")) as db, db:
            db.execute(statement)

    changed("UPDATE divisions SET hash = replace(hash, 'a', 'b')")
    assert divided(division="grid")[0].hash == first.hash
    changed("UPDATE sets SET hashes = x'00'")
    other = divided(division="grid")[0]
    assert other.hash != first.hash
    changed("DELETE FROM divisions WHERE rowid = 3")
    with pytest.raises(StoreError, match="has no division"):
        divided(division="grid")
    changed("DELETE FROM sets")
    assert divided(division="grid")[1] == 1


def test_images_without_regions_are_counted_both_times(divided):
    """What the user is told of empty maps does not depend on whether they were cut now."""
    counts = [divided(division="grid", max_area=1)[0].empty for _ in range(2)]
    assert counts == [12, 12]


def test_a_hash_that_is_none_is_damage(divided, tmp_path):
    """A damaged page may give anything for a hash."""
    divided(division="grid")
    with closing(sqlite3.connect(tmp_path / "divisions.sqlite")) as db, db:
        db.execute("DELETE FROM sets")
        db.execute("UPDATE divisions SET hash = 'x' WHERE rowid = 3")
    with pytest.raises(StoreError, match="is damaged: 'x' is no hash"):
        divided(division="grid")
