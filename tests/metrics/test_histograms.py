"""Maps that are constant on cells: the ground truth counted in cells, score histograms, and the metrics from them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import CellCounts, count_cells, pixel_metrics, pixel_metrics_from_counts
from lvlm_ad.metrics.exact import pixel_metrics_from_histograms
from lvlm_ad.metrics.histograms import ScoreHistograms, histogram_of_cells

NEAR = {"rel": 0, "abs": 1e-12}
FIELDS = ("auroc", "ap", "f1_max", "aupro", "f1_threshold", "aupro_rescaled", "lowest_fraction")
N_CELLS = 6

sides = st.tuples(st.integers(1, 6), st.integers(1, 6))
one_image = sides.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int32, shape, elements=st.integers(0, N_CELLS - 1)),
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 1])),
        hnp.arrays(np.float32, N_CELLS, elements=st.sampled_from([-0.0, 0.0, 0.3, 0.5, 0.7, 1.0])),
    )
)


def assert_same(found, expected):
    """All values agree, and the same ones are undefined for the same reason."""
    for name in FIELDS:
        value = getattr(expected, name)
        assert getattr(found, name) == (None if value is None else pytest.approx(value, **NEAR)), name
    assert found.undefined == expected.undefined
    assert found.fpr_limit == expected.fpr_limit


def test_shared_piecewise_cases_come_out_exactly(shared):
    """The cases stored with their cells give the expected pixel values, without a pixel array."""
    with np.load(shared / "cases" / "metrics.npz") as stored:
        cases = dict(stored)
    piecewise = [case for case in cases["cases"] if f"{case}/lab" in cases]
    assert piecewise
    for case in piecewise:
        scores = cases[f"{case}/region_scores"]
        pairs = zip(cases[f"{case}/lab"], cases[f"{case}/masks"], strict=True)
        counts = [count_cells(cells.astype(np.int32), mask, scores.shape[1]) for cells, mask in pairs]
        found = pixel_metrics_from_counts(counts, list(scores))
        got = [found.auroc, found.ap, found.f1_max, found.aupro]
        assert got == pytest.approx(cases[f"{case}/expected"][3:].tolist(), **NEAR), case
        assert_same(found, pixel_metrics(cases[f"{case}/masks"], cases[f"{case}/maps"]))
        # The way of a bench, which keeps no counts of cells.
        histograms = [histogram_of_cells(count, one) for count, one in zip(counts, scores, strict=True)]
        assert_same(pixel_metrics_from_histograms(histograms), found)


@settings(deadline=None, max_examples=50)
@given(st.lists(one_image, min_size=1, max_size=4), st.sampled_from([0.1, 0.3, 0.5, 1.0]))
def test_counts_give_what_the_painted_maps_give(images, limit):
    """Counts and painted maps agree in every value, with empty cells, ties, and no positives or negatives at all."""
    counts = [count_cells(cells, mask, N_CELLS) for cells, mask, _ in images]
    found = pixel_metrics_from_counts(counts, [scores for *_, scores in images], limit)
    painted = [scores[cells] for cells, _, scores in images]
    assert_same(found, pixel_metrics([mask for _, mask, _ in images], painted, limit))
    histograms = [histogram_of_cells(count, scores) for count, (*_, scores) in zip(counts, images, strict=True)]
    assert_same(pixel_metrics_from_histograms(histograms, limit), found)


@settings(deadline=None, max_examples=50)
@given(one_image)
def test_counts_hold_every_pixel_once(image):
    """Normal and anomalous pixels of a cell add up to its area, and components to their sizes."""
    cells, mask, _ = image
    counts = count_cells(cells, mask, N_CELLS)
    inside = np.bincount(counts.cell, weights=counts.pixels, minlength=N_CELLS)
    assert np.array_equal(counts.normal + inside, np.bincount(cells.ravel(), minlength=N_CELLS))
    assert counts.component_sizes.sum() == np.count_nonzero(mask)
    assert counts.component_sizes.size == counts.n_components
    assert (counts.component_sizes > 0).all()
    assert (counts.pixels > 0).all()


def test_counts_by_hand():
    """Two regions over three cells, the fourth cell empty."""
    cells = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 2, 2]], np.int32)
    mask = np.array([[0, 255, 255, 0], [0, 0, 0, 0], [255, 0, 0, 0]], np.uint8)
    counts = count_cells(cells, mask, n_cells=4)
    assert counts.normal.tolist() == [3, 3, 3, 0]
    assert counts.n_components == 2
    triples = sorted(zip(counts.cell.tolist(), counts.component.tolist(), counts.pixels.tolist(), strict=True))
    assert triples == [(0, 0, 1), (1, 0, 1), (2, 1, 1)]
    kinds = [array.dtype for array in (counts.normal, counts.cell, counts.component, counts.pixels)]
    assert kinds == [np.int64, np.int32, np.int32, np.int64]


def test_empty_cells_are_no_threshold():
    """The score of a cell without pixels changes nothing, however high or low."""
    counts = count_cells(np.array([[0, 1, 0, 1]], np.int32), np.array([[0, 1, 0, 0]]), n_cells=4)
    plain, extreme = (
        pixel_metrics_from_counts([counts], [np.array(s)]) for s in ([0.2, 0.4, 0.3, 0.3], [0.2, 0.4, -9.0, 9.0])
    )
    assert plain == extreme


def test_huge_counts_stay_exact():
    """Counts of 10**9 pixels a cell, whose products exceed int64, give the exact fractions."""
    big = 10**9
    draw = np.random.default_rng(0)
    normal = draw.integers(big, 9 * big, 40)
    cell = np.arange(0, 40, 2, dtype=np.int32)
    component = np.arange(20, dtype=np.int32) % 3
    pixels = draw.integers(big, 9 * big, 20)
    scores = np.round(draw.random(40), 1)
    counts = CellCounts(normal=normal, cell=cell, component=component, pixels=pixels, n_components=3)
    assert 2 * int(pixels.sum()) * int(normal.sum()) > 2**63
    sizes = [sum(int(p) for p, c in zip(pixels, component, strict=True) if c == k) for k in range(3)]
    total_p, total_n, limit = sum(sizes), int(normal.sum()), Fraction(3, 10)
    auroc = ap = best = aupro = Fraction(0)
    tp = fp = 0
    overlap = Fraction(0)
    for at in np.unique(scores)[::-1]:
        negatives = sum(int(normal[i]) for i in range(40) if scores[i] == at)
        entering = [i for i in range(20) if scores[cell[i]] == at]
        positives = sum(int(pixels[i]) for i in entering)
        gained = sum((Fraction(int(pixels[i]), 3 * sizes[component[i]]) for i in entering), Fraction(0))
        auroc += Fraction(negatives * (2 * tp + positives), 2 * total_p * total_n)
        width = max(min(Fraction(fp + negatives, total_n), limit) - Fraction(fp, total_n), Fraction(0))
        if width:
            share = width / Fraction(negatives, total_n)
            aupro += width * (overlap + share * gained / 2) / limit
        tp, fp, overlap = tp + positives, fp + negatives, overlap + gained
        ap += Fraction(positives, total_p) * Fraction(tp, tp + fp)
        best = max(best, Fraction(2 * tp, total_p + tp + fp))
    found = pixel_metrics_from_counts([counts], [scores])
    assert found.auroc == float(auroc)
    got = [found.ap, found.f1_max, found.aupro]
    assert got == pytest.approx([float(ap), float(best), float(aupro)], **NEAR)


SMALL = count_cells(np.array([[0, 1]], np.int32), np.array([[0, 1]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_cell_score_that_is_no_finite_number_is_named(bad):
    """NaN and infinities never become a metric; the error says which image."""
    with pytest.raises(MetricError, match="image 1"):
        pixel_metrics_from_counts([SMALL, SMALL], [np.zeros(2), np.array([0, bad])])


@pytest.mark.parametrize(
    ("counts", "scores"),
    [([], []), ([SMALL], []), ([SMALL], [np.zeros(3)]), ([SMALL], [np.zeros(2, complex)])],
    ids=["none", "numbers", "cells", "complex"],
)
def test_scores_that_do_not_fit_the_counts_raise(counts, scores):
    """No images, unequal numbers of images or cells, and scores that are no real numbers raise MetricError."""
    with pytest.raises(MetricError):
        pixel_metrics_from_counts(counts, scores)


@pytest.mark.parametrize(
    ("cells", "mask", "n_cells"),
    [
        (np.zeros((2, 3), np.int32), np.zeros((3, 2)), None),
        (np.zeros(4, np.int32), np.zeros(4), None),
        (np.array([[0, -1]], np.int32), np.array([[0, 0]]), None),
        (np.array([[0, 2]], np.int32), np.array([[0, 0]]), 2),
        (np.array([[0, 2]], np.int32), np.array([[0, 1]]), 2),
        (np.array([[0.0, 1.0]]), np.array([[0, 1]]), None),
    ],
    ids=["shapes", "flat", "below 0", "beyond n_cells", "beyond n_cells in a defect", "not integers"],
)
def test_cells_that_cannot_be_counted_raise(cells, mask, n_cells):
    """Cells of another shape than the mask, outside 0..C-1 or not integers raise MetricError."""
    with pytest.raises(MetricError):
        count_cells(cells, mask, n_cells)


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
    assert joint.n_known == len(histograms) - 1
    assert joint.take([0, 3]).n_known == 2
    same(ScoreHistograms.of([*joint, *joint.take([3])]), [*histograms, histograms[3]])
    same(joint[1:4], histograms[1:4])
