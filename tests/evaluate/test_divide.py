"""A data set is divided once, and that it is can be told at a look."""

import shutil
import subprocess
import sys
from contextlib import closing

import pytest

from lvlm_ad.datasets import load_dataset
from lvlm_ad.errors import DataError
from lvlm_ad.evaluate import RunConfig
from lvlm_ad.evaluate.config import resolve
from lvlm_ad.evaluate.divide import divide_dataset
from lvlm_ad.log import Progress
from lvlm_ad.metrics.cut import Cut
from lvlm_ad.regions import DivisionStore
from lvlm_ad.store import open_cache


class Counting(Progress):
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
        with closing(open_cache(tmp_path / "cache.sqlite")) as cache:
            counting = Counting()
            divisions = divide_dataset(resolve(config), DivisionStore(cache), counting)
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


def test_images_without_regions_are_counted_both_times(divided):
    """What the user is told of empty maps does not depend on whether they were cut now."""
    counts = [divided(division="grid", max_area=1)[0].empty for _ in range(2)]
    assert counts == [12, 12]


def test_files_that_cannot_be_used_end_the_dividing(divided, small_data):
    """The first is named and the others are counted, before any model is asked; what was divided stays divided."""
    for name in ("000", "001"):
        (small_data / "bolt" / "test" / "hole" / f"{name}.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bolt/test/hole/000\.png.* 1 more cannot be used either.*data check"):
        divided(division="grid")
    for name in ("000", "001"):
        shutil.copy(
            small_data / "bolt" / "test" / "hole" / "002.png", small_data / "bolt" / "test" / "hole" / f"{name}.png"
        )
    assert divided(division="grid")[1] == 2


def test_a_worker_that_divides_imports_little():
    """The module of the task that workers do imports neither the evaluation nor what computes intervals."""
    code = "import sys, lvlm_ad.metrics.cut; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert Cut.__module__ == "lvlm_ad.metrics.cut"
    assert not {"lvlm_ad.evaluate", "lvlm_ad.text2seg", "lvlm_ad.methods", "scipy.optimize"} & set(modules)
