"""What is kept of each image's pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import count_cells, pixel_metrics
from lvlm_ad.metrics.histograms import THRESHOLDS, ScoreHistograms, grid_of, histogram_of_cells, histogram_of_map
from lvlm_ad.metrics.resampling import pool_pixels, resampled

NAMES = ("auroc", "ap", "f1_max", "aupro")


def measured(histograms):
    """Every metric, from histograms."""
    found = resampled(pool_pixels(histograms), np.ones((1, len(histograms))))
    return [float(found[name][0]) for name in NAMES]


def smooth(seed, images=6, side=96):
    """Masks of one blob each and smooth maps that find them more or less."""
    from scipy import ndimage

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


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_cells_and_pixels_histogram_alike(seed):
    """A painted map on a grid of all its scores has the histogram of its cells; its metrics are the exact ones."""
    draw = np.random.default_rng(seed)
    cells = draw.integers(0, 7, (3, 9, 10))
    masks = draw.random((3, 9, 10)) < 0.2
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    scores = draw.integers(0, 4, (3, 7)) / 4
    maps = np.stack([values[of] for values, of in zip(scores, cells, strict=True)])
    by_cell = [histogram_of_cells(count_cells(*pair, 7), one) for *pair, one in zip(cells, masks, scores, strict=True)]
    by_pixel = [histogram_of_map(one, mask, np.unique(maps)) for one, mask in zip(maps, masks, strict=True)]
    for one, other in zip(by_cell, by_pixel, strict=True):
        assert one.n_regions == other.n_regions
        for name in ("scores", "normal", "anomalous"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        assert one.overlap == pytest.approx(other.overlap, abs=1e-12)
    exact = pixel_metrics(masks, maps)
    assert measured(by_cell) == pytest.approx([getattr(exact, name) for name in NAMES], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_grid_is_close_to_every_score(seed):
    """On smooth maps the thresholds miss the exact metrics by less than half a point."""
    masks, maps = smooth(seed)
    grid = grid_of(maps, masks)
    assert 100 < grid.size <= THRESHOLDS
    assert (np.diff(grid) > 0).all()
    assert grid[0] == min(one.min() for one in maps)
    exact = pixel_metrics(masks, maps)
    found = measured([histogram_of_map(one, mask, grid) for one, mask in zip(maps, masks, strict=True)])
    assert found == pytest.approx([getattr(exact, name) for name in NAMES], abs=0.005)


def test_every_pixel_is_counted():
    """Normal and anomalous pixels add up, and each region's overlap to 1."""
    masks, maps = smooth(0)
    for one, mask in zip(maps, masks, strict=True):
        histogram = histogram_of_map(one, mask, grid_of(maps, masks))
        assert (histogram.normal.sum(), histogram.anomalous.sum()) == ((~mask).sum(), mask.sum())
        assert histogram.overlap.sum() == pytest.approx(histogram.n_regions)


def test_histograms_outlive_the_process(tmp_path):
    """Stored and read they are the same; an image without ground truth stays without."""
    masks, maps = smooth(1)
    histograms = [histogram_of_map(one, mask, grid_of(maps, masks)) for one, mask in zip(maps, masks, strict=True)]
    histograms[2] = None
    np.savez_compressed(tmp_path / "pixels.npz", **ScoreHistograms.of(histograms).arrays)
    with np.load(tmp_path / "pixels.npz", allow_pickle=False) as file:
        arrays = dict(file)
    again = ScoreHistograms(arrays)
    assert again[2] is None
    for one, other in zip(histograms, again, strict=True):
        if one is not None:
            assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("scores", "normal"))
            assert (one.overlap == other.overlap).all()
            assert one.n_regions == other.n_regions
    assert len(ScoreHistograms.of([])) == 0
    with pytest.raises(MetricError, match="fit together"):
        ScoreHistograms({**arrays, "normal": arrays["normal"][:-1]})
    for name, value in (("scores", np.nan), ("normal", -1), ("n_regions", -1), ("overlap", np.nan)):
        changed = arrays[name].copy()
        changed[0] = value
        with pytest.raises(MetricError, match="cannot be"):
            ScoreHistograms({**arrays, name: changed})
    with pytest.raises(MetricError, match="kind of number"):
        ScoreHistograms({**arrays, "scores": arrays["scores"].astype(str)})


def test_histograms_are_taken_and_joined():
    """Any places in any order, images without ground truth and without a score's pixels among them."""
    masks, maps = smooth(2)
    grid = grid_of(maps, masks)
    every = [histogram_of_map(one, mask, grid) for one, mask in zip(maps, masks, strict=True)]
    every[1] = None
    histograms = ScoreHistograms.of(every)
    for places in ([3, 0, 1], [2, 2], [1], []):
        same(histograms.take(np.array(places, dtype=np.intp)), [every[at] for at in places])
    assert not histograms.complete
    assert histograms.take(np.array([0, 2])).complete
    same(
        ScoreHistograms.joined(iter([histograms, ScoreHistograms.of([]), histograms.take(np.array([3]))])),
        [*every, every[3]],
    )
    same(ScoreHistograms.joined([]), [])


def same(found, wanted):
    """ScoreHistograms hold what they were made of."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            for name in ("scores", "normal", "anomalous", "overlap"):
                assert np.array_equal(getattr(one, name), getattr(other, name))
            assert one.n_regions == other.n_regions
