"""Dense maps that are too many for memory: the same figures, and an error that names the place."""

import os
import subprocess
import sys
from collections import deque

import numpy as np
import pytest

from lvlm_ad.errors import RunError
from lvlm_ad.evaluate import held_maps
from lvlm_ad.evaluate.held_maps import HeldMaps
from lvlm_ad.evaluate.measure import Images, Scored, measure_category


def pairs(count, side=24, seed=0):
    """Maps of several dtypes and orders in memory, with masks."""
    draw = np.random.default_rng(seed)
    for at in range(count):
        mask = np.zeros((side, side + 1), dtype=bool)
        if at % 2:
            mask[at % side, 3:9] = True
        values = draw.random(mask.shape) * 0.5 + 0.4 * mask
        yield (values.astype(np.float32) if at % 3 else np.asfortranarray(values)), mask


@pytest.mark.parametrize("limit", [0, 20_000, 1e9])
def test_what_is_held_is_given_back(limit, tmp_path, monkeypatch):
    """All on disk, some, or none: every map and mask as it was, as often as wanted; and no file is left to see."""
    monkeypatch.setattr(held_maps, "IN_MEMORY", limit)
    held = HeldMaps(tmp_path)
    for values, mask in pairs(9):
        held.add(values, mask)
    assert len(held) == len(held.maps) == len(held.masks) == 9
    for _ in range(2):
        for (values, mask), found, truth in zip(pairs(9), held.maps, held.masks, strict=True):
            assert found.dtype == values.dtype
            assert np.array_equal(found, values)
            assert truth.dtype == np.bool_
            assert np.array_equal(truth, mask)
    assert np.array_equal(held.maps[-1], list(pairs(9))[-1][0])
    assert len(held.maps[2:5]) == 3
    with pytest.raises(IndexError):
        held.maps[9]
    if os.name == "posix":
        assert not list(tmp_path.iterdir())


def test_a_category_on_disk_has_the_same_metrics(tmp_path, monkeypatch):
    """Metrics, intervals and histograms do not depend on where maps were kept."""
    images = [Scored(bool(mask.any()), float(values.max()), values, mask) for values, mask in pairs(30)]
    near = measure_category(Images(images), "zero", "bolt", 50)
    monkeypatch.setattr(held_maps, "IN_MEMORY", 10_000)
    far = measure_category(Images(images, tmp_path), "zero", "bolt", 50)
    assert near.metrics == far.metrics
    assert all(
        np.array_equal(near.histograms.arrays[name], far.histograms.arrays[name]) for name in near.histograms.arrays
    )


def test_a_place_that_takes_no_file_is_named(tmp_path, monkeypatch):
    """A folder that is not there: one error that says where and what to do."""
    monkeypatch.setattr(held_maps, "IN_MEMORY", 0)
    with pytest.raises(RunError, match="absent: No such file or directory") as found:
        HeldMaps(tmp_path / "absent").add(*next(pairs(1)))
    assert "Free some space, or have fewer images in a category." in str(found.value)


def test_a_full_disk_leaves_room_for_the_others(small_disk, monkeypatch):
    """The message says where and why; the file is given up, so that stores on the same disk can end well."""
    place, _ = small_disk
    held = HeldMaps(place)
    monkeypatch.setattr(held_maps, "IN_MEMORY", 0)
    with pytest.raises(RunError, match="No space left on device"):
        deque((held.add(values, mask) for values, mask in pairs(1000, side=96)), maxlen=0)
    (place / "store").write_bytes(bytes(500_000))


MANY = """
import resource, sys
import numpy as np
from lvlm_ad.evaluate import held_maps
from lvlm_ad.evaluate.measure import Images, Scored
from lvlm_ad.evaluate.measure import measure_category
held_maps.IN_MEMORY = 20e6
draw = np.random.default_rng(0)
images = Images()
for at in range(int(sys.argv[1])):
    mask = np.zeros((256, 256), dtype=bool)
    mask[:8, :8] = at % 2
    images.add(Scored(bool(at % 2), 0.5, draw.random(mask.shape, dtype=np.float32), mask))
measure_category(images, "zero", "bolt", 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in kilobytes, as Linux does")
def test_memory_does_not_grow_with_a_category():
    """Ten times the maps take the memory of the sixteenth that is sorted at a time, not of all of them."""
    few, many = (
        int(subprocess.run([sys.executable, "-c", MANY, str(count)], capture_output=True, check=True, text=True).stdout)
        for count in (100, 1000)
    )
    added = 900 * 256 * 256 * 4 / 1e6
    assert many - few < added / 2
