"""Own maps, pooled pixel by pixel: exact in any number of ranges, in memory or in a file, and counted at thresholds."""

import os
import subprocess
import sys
from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lvlm_ad.errors import RunError
from lvlm_ad.metrics import count_cells, own_maps, pixel_metrics
from lvlm_ad.metrics.bootstrap import CategoryImages, metrics_from_counts
from lvlm_ad.metrics.exact import pixel_metrics_of_steps
from lvlm_ad.metrics.histograms import ScoreHistograms, histogram_of_cells
from lvlm_ad.metrics.own_maps import THRESHOLDS, PooledMaps, SpillStore

NAMES = ("auroc", "ap", "f1_max", "aupro")


def pooled(masks, maps, *, keep="sorted", folder=None):
    """Maps and masks, added in order."""
    added = PooledMaps(folder, keep)
    for mask, one in zip(masks, maps, strict=True):
        added.add(one, mask)
    return added


def exact(maps):
    """The metrics of pooled maps."""
    return pixel_metrics_of_steps(maps.merge()[0], 0.3)


def from_histograms(histograms):
    """The pixel metrics that histograms give."""
    joined = ScoreHistograms.of(histograms)
    images = CategoryImages(np.zeros(len(joined), dtype=bool), np.zeros(len(joined)), joined)
    return [metrics_from_counts(images)[f"pixel_{name}"] for name in NAMES]


def smooth(seed, images=6, side=96):
    """Masks of one blob each and smooth maps that find them more or less."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    masks, maps = [], []
    for index in range(images):
        y, x = draw.integers(20, side - 20, 2)
        mask = ((rows - y) ** 2 + (columns - x) ** 2 < 90) & bool(index % 3)
        noise = ndimage.gaussian_filter(draw.normal(size=(side, side)), 4)
        masks.append(mask)
        maps.append((noise / noise.std() + 1.5 * ndimage.gaussian_filter(mask.astype(float), 3)).astype(np.float32))
    return masks, maps


def of_several_kinds(count, side=24, seed=0):
    """Masks and maps of several dtypes and orders in memory."""
    draw = np.random.default_rng(seed)
    masks, maps = [], []
    for at in range(count):
        mask = np.zeros((side, side + 1), dtype=bool)
        if at % 2:
            mask[at % side, 3:9] = True
        values = draw.random(mask.shape) * 0.5 + 0.4 * mask
        masks.append(mask)
        maps.append(values.astype(np.float32) if at % 3 else np.asfortranarray(values))
    return masks, maps


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([8, 24, 80]), st.sampled_from([2, 6, 1000]))
def test_ranges_and_files_change_nothing(seed, size, levels):
    """However small the ranges, with few or many ties, sorted or not, in memory or in a file: the same metrics."""
    draw = np.random.default_rng(seed)
    shapes = draw.integers(1, 7, (4, 2))
    masks = [draw.random(shape) < 0.3 for shape in shapes]
    maps = [draw.integers(0, levels, shape) / levels for shape in shapes]
    whole = pixel_metrics(masks, maps)
    usual = own_maps.RANGE_BYTES, own_maps.PASS_BYTES, own_maps.IN_MEMORY
    try:
        own_maps.RANGE_BYTES = own_maps.PASS_BYTES = size
        for keep in ("sorted", "copies", "originals"):
            assert exact(pooled(masks, maps, keep=keep)) == whole
        own_maps.IN_MEMORY = 100
        assert exact(pooled(masks, maps)) == whole
        assert pixel_metrics(iter(masks), iter(maps)) == whole
    finally:
        own_maps.RANGE_BYTES, own_maps.PASS_BYTES, own_maps.IN_MEMORY = usual


def test_maps_of_several_dtypes_are_compared_in_the_common_one(tmp_path, monkeypatch):
    """Single and double precision together, each range holding some of both, in memory and in a file."""
    masks, maps = of_several_kinds(30)
    whole = pixel_metrics(masks, [one.astype(np.float64) for one in maps])
    monkeypatch.setattr(own_maps, "RANGE_BYTES", 20_000)
    assert exact(pooled(masks, maps)) == whole
    near = pooled(masks, maps)
    monkeypatch.setattr(own_maps, "IN_MEMORY", 10_000)
    far = pooled(masks, maps, folder=tmp_path)
    assert exact(far) == whole
    thresholds = near.merge()[1]
    assert np.array_equal(thresholds, far.merge()[1])
    for one, other in zip(near.histograms(thresholds), far.histograms(thresholds), strict=True):
        assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("scores", "normal", "overlap"))
    if os.name == "posix":
        assert not list(tmp_path.iterdir()), "the file has no name"


def test_no_range_holds_all_scores(monkeypatch):
    """A range takes its share of memory; a score that half of the pixels have is counted, not listed."""
    draw = np.random.default_rng(6)
    masks, maps = draw.random((20, 64, 64)) < 0.1, draw.random((20, 64, 64))
    maps[:, :32] = 0.5
    for limit in ("RANGE_BYTES", "PASS_BYTES"):
        monkeypatch.setattr(own_maps, limit, 8 * 8000)
    for keep in ("sorted", "copies", "originals"):
        ranges = pooled(masks, maps, keep=keep)._ranges()
        sizes = [(pixels.normal.size, pixels.n_equal) for pixels in ranges]
        assert max(size for size, _ in sizes) < 12_000
        assert max(n_equal for _, n_equal in sizes) == (~masks & (maps == 0.5)).sum()
        assert sum(size + n_equal for size, n_equal in sizes) == (~masks).sum()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_cells_and_pixels_are_counted_alike(seed):
    """A painted map has the histogram of its cells, and both give the exact metrics."""
    draw = np.random.default_rng(seed)
    cells = draw.integers(0, 7, (3, 9, 10))
    masks = draw.random((3, 9, 10)) < 0.2
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    scores = draw.integers(0, 4, (3, 7)) / 4
    maps = np.stack([values[of] for values, of in zip(scores, cells, strict=True)])
    by_cell = [histogram_of_cells(count_cells(*pair, 7), one) for *pair, one in zip(cells, masks, scores, strict=True)]
    by_pixel = list(pooled(masks, maps).histograms(np.unique(maps)))
    for one, other in zip(by_cell, by_pixel, strict=True):
        assert one.n_regions == other.n_regions
        for name in ("scores", "normal", "anomalous"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        assert one.overlap == pytest.approx(other.overlap, abs=1e-12)
    wanted = [getattr(pixel_metrics(masks, maps), name) for name in NAMES]
    assert from_histograms(by_cell) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_few_thresholds_are_close_to_all(seed):
    """On smooth maps the thresholds miss the exact metrics by less than half a point; every pixel is counted."""
    masks, maps = smooth(seed)
    found = pooled(masks, maps)
    thresholds = found.merge()[1]
    assert 100 < thresholds.size <= THRESHOLDS
    assert (np.diff(thresholds) > 0).all()
    assert thresholds[0] == min(one.min() for one in maps)
    histograms = list(found.histograms(thresholds))
    for one, mask in zip(histograms, masks, strict=True):
        assert (one.normal.sum(), one.anomalous.sum()) == ((~mask).sum(), mask.sum())
        assert one.overlap.sum() == pytest.approx(one.n_regions)
    wanted = [getattr(exact(found), name) for name in NAMES]
    assert from_histograms(histograms) == pytest.approx(wanted, abs=0.005)


def test_thresholds_are_quantiles():
    """Of 1,000 scores 0 to 999, half of them anomalous, the thresholds are the quantiles that are scores themselves."""
    scores = np.arange(1000.0).reshape(20, 50)
    mask = scores >= 500
    thresholds = pooled([mask], [scores]).merge()[1]
    inside, outside = scores[mask], scores[~mask]
    rates = np.geomspace(1e-6, 1, 127)
    wanted = [np.quantile(inside, np.linspace(0, 1, 127), method="inverted_cdf")]
    wanted.append(np.quantile(outside, 1 - rates, method="inverted_cdf"))
    assert np.array_equal(thresholds, np.unique(np.concatenate([[0.0], *wanted])))


def test_a_place_that_takes_no_file_is_named(tmp_path, monkeypatch):
    """A folder that does not exist: one error that says where and what to do."""
    monkeypatch.setattr(own_maps, "IN_MEMORY", 0)
    with pytest.raises(RunError, match="absent: No such file or directory") as found:
        PooledMaps(tmp_path / "absent").add(np.ones((4, 4)), np.eye(4, dtype=bool))
    assert "Free some space, or have fewer images in a category." in str(found.value)


def test_a_full_disk_leaves_room_for_the_others(small_disk, monkeypatch):
    """The message says where and why; the file is given up, so that stores on the same disk can end well."""
    place, _ = small_disk
    store = SpillStore(place)
    monkeypatch.setattr(own_maps, "IN_MEMORY", 0)
    with pytest.raises(RunError, match="No space left on device"):
        deque((store.keep(np.zeros(50_000)) for _ in range(1000)), maxlen=0)
    (place / "store").write_bytes(bytes(500_000))


MANY = """
import resource, sys
import numpy as np
from lvlm_ad.metrics import own_maps
own_maps.IN_MEMORY, own_maps.RANGE_BYTES = 20e6, 5e6
draw = np.random.default_rng(0)
maps = own_maps.PooledMaps()
for at in range(int(sys.argv[1])):
    mask = np.zeros((256, 256), dtype=bool)
    mask[:8, :8] = at % 2
    maps.add(draw.random(mask.shape, dtype=np.float32), mask)
list(maps.histograms(maps.merge()[1]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in kilobytes, as Linux does")
def test_memory_does_not_grow_with_a_category():
    """Ten times the maps take a fraction of their size more: what is known of each map, not its scores."""
    few, many = (
        int(subprocess.run([sys.executable, "-c", MANY, str(count)], capture_output=True, check=True, text=True).stdout)
        for count in (100, 1000)
    )
    added = 900 * 256 * 256 * 4 / 1e6
    assert many - few < added / 5
