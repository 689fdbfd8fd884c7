"""Score histograms of many images, in joint arrays."""

import numpy as np
import pytest

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import count_cells
from lvlm_ad.metrics.histograms import ScoreHistograms, histogram_of_cells


@pytest.fixture
def histograms():
    """Histograms of six images; the third has no ground truth."""
    draw = np.random.default_rng(1)
    every = []
    for index in range(6):
        mask = (draw.random((12, 12)) < 0.2) & bool(index % 3)
        counts = count_cells(draw.integers(0, 9, (12, 12)), mask, 9)
        every.append(histogram_of_cells(counts, draw.integers(0, 5, 9) / 5))
    every[2] = None
    return every


def same(found, wanted):
    """Assert that joint histograms hold what they were made of."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            for name in ("scores", "normal", "anomalous", "overlap"):
                assert np.array_equal(getattr(one, name), getattr(other, name))
            assert one.n_regions == other.n_regions


def test_histograms_outlive_the_process(histograms, tmp_path):
    """Stored and read they are the same; an image without ground truth stays without."""
    np.savez_compressed(tmp_path / "pixels.npz", **ScoreHistograms.of(histograms).arrays)
    with np.load(tmp_path / "pixels.npz", allow_pickle=False) as file:
        same(ScoreHistograms(dict(file)), histograms)
    assert len(ScoreHistograms.of([])) == 0


def test_impossible_histograms_are_refused(histograms):
    """Arrays from a file that do not fit together, or hold what no count can be, raise MetricError."""
    arrays = ScoreHistograms.of(histograms).arrays
    with pytest.raises(MetricError, match="fit together"):
        ScoreHistograms({**arrays, "normal": arrays["normal"][:-1]})
    for name, value in (("scores", np.nan), ("normal", -1), ("n_regions", -1), ("overlap", np.nan), ("lengths", -2)):
        changed = arrays[name].copy()
        changed[2 if name == "lengths" else 0] = value
        with pytest.raises(MetricError, match="impossible"):
            ScoreHistograms({**arrays, name: changed})
    with pytest.raises(MetricError, match="kind of number"):
        ScoreHistograms({**arrays, "scores": arrays["scores"].astype(str)})
    with pytest.raises(MetricError, match="regions"):
        ScoreHistograms({**arrays, "n_regions": np.array([0, 10**6, 0, 0, 1, 1])})


def test_histograms_are_taken_and_joined(histograms):
    """Any images in any order, those without ground truth among them."""
    joint = ScoreHistograms.of(histograms)
    for places in ([3, 0, 1], [2, 2], [1], []):
        same(joint.take(np.array(places, dtype=np.intp)), [histograms[at] for at in places])
    assert not joint.complete
    assert joint.take([0, 3]).complete
    same(ScoreHistograms.joined([joint, ScoreHistograms.of([]), joint.take([3])]), [*histograms, histograms[3]])
    same(ScoreHistograms.joined([]), [])
