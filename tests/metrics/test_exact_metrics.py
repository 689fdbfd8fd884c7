"""The exact metrics of anomaly maps, from pixel arrays, and of image scores."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

import lvlm_ad.metrics
from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import image_metrics, pixel_metrics

NEAR = {"rel": 0, "abs": 1e-12}
NAMES = ("auroc", "ap", "f1_max", "aupro")

levels = st.integers(0, 5)
sides = st.tuples(st.integers(1, 6), st.integers(1, 6))
one_image = sides.flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 255])), hnp.arrays(int, shape, elements=levels)
    )
)
tied_images = st.lists(one_image, min_size=1, max_size=4)
defined_images = tied_images.filter(lambda pairs: len({bool(v) for mask, _ in pairs for v in mask.flat}) == 2)


def values(found):
    """AUROC, AP, F1-max and AUPRO."""
    return [getattr(found, name) for name in NAMES]


def area_under(points, end):
    """Integrate straight segments between (x, y) fractions from x = 0 to ``end``, the last one cut there."""
    area = Fraction(0)
    for (x0, y0), (x1, y1) in pairwise(points):
        right = min(x1, end)
        if right > x0:
            area += (right - x0) * (y0 + y0 + (y1 - y0) * (right - x0) / (x1 - x0)) / 2
    return area


def reference(masks, maps, limit):
    """Every value as a fraction, from every distinct score as a threshold and every region by itself."""
    truth, scores = (np.concatenate([np.ravel(one) for one in parts]) for parts in (masks, maps))
    truth = truth != 0
    regions = []
    for mask, one in zip(masks, maps, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [one[labels == number] for number in range(1, count + 1)]
    positives, negatives = int(truth.sum()), int((~truth).sum())
    roc, pro = [(Fraction(0), Fraction(0))], [(Fraction(0), Fraction(0))]
    ap, best, threshold, before = Fraction(0), Fraction(0), None, 0
    for at in np.unique(scores)[::-1]:
        tp, fp = int((scores[truth] >= at).sum()), int((scores[~truth] >= at).sum())
        ap += Fraction(tp - before, positives) * Fraction(tp, tp + fp)
        f1 = Fraction(2 * tp, positives + tp + fp)
        if f1 > best:
            best, threshold = f1, float(at)
        rate = Fraction(fp, negatives)
        roc.append((rate, Fraction(tp, positives)))
        overlaps = [Fraction(int((region >= at).sum()), region.size) for region in regions]
        pro.append((rate, sum(overlaps) / len(regions)))
        before = tp
    seen = max(rate for rate, _ in pro if rate < limit)
    return {
        "auroc": area_under(roc, Fraction(1)),
        "ap": ap,
        "f1_max": best,
        "aupro": area_under(pro, limit) / limit,
        "aupro_rescaled": area_under(pro, seen) / seen if seen else None,
        "f1_threshold": threshold,
        "lowest_fraction": Fraction(int((scores[~truth] == scores.min()).sum()), negatives),
    }


@pytest.fixture(scope="module")
def cases(shared):
    """The small cases with exact expected values."""
    with np.load(shared / "cases" / "metrics.npz") as stored:
        return dict(stored)


def test_shared_cases_come_out_exactly(cases):
    """All cases beside the project give the expected seven values; NaN there is None here."""
    assert cases["cases"].size
    for case in cases["cases"]:
        by_image = image_metrics(cases[f"{case}/y"], cases[f"{case}/s"])
        by_pixel = pixel_metrics(cases[f"{case}/masks"], cases[f"{case}/maps"])
        found = [by_image.auroc, by_image.ap, by_image.f1_max, *values(by_pixel)]
        expected = [None if np.isnan(value) else float(value) for value in cases[f"{case}/expected"]]
        assert found == [None if value is None else pytest.approx(value, **NEAR) for value in expected], case


def test_shared_cases_that_must_raise_do(cases):
    """Every case named in ``raises`` is an error, for the image scores and for the maps."""
    assert cases["raises"].size
    for case in cases["raises"]:
        with pytest.raises(MetricError):
            image_metrics(cases[f"{case}/y"], cases[f"{case}/s"])
        with pytest.raises(MetricError):
            pixel_metrics(cases[f"{case}/masks"], cases[f"{case}/maps"])


@settings(deadline=None, max_examples=50)
@given(defined_images, st.sampled_from([0.25, 0.3, 0.5, 1.0]))
def test_every_distinct_score_as_threshold_gives_the_same(pairs, limit):
    """The values are those of a sweep over every distinct score, with ties, images of many sizes and many limits."""
    masks, maps = zip(*pairs, strict=True)
    found = pixel_metrics(masks, maps, limit)
    # The decimal limit is meant: a false-positive rate of exactly 3 / 10 is not below 0.3.
    expected = reference(masks, maps, Fraction(str(limit)))
    for name, value in expected.items():
        got = getattr(found, name)
        assert got == (None if value is None else pytest.approx(float(value), **NEAR)), name
    assert found.auroc == float(expected["auroc"]), "an integer numerator leaves nothing to round but the division"
    assert found.fpr_limit == limit


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), levels), min_size=1, max_size=24))
def test_images_are_measured_like_pixels(samples):
    """AUROC, AP, F1-max and its threshold are those of a map with one pixel for each image; undefined ones too."""
    labels, scores = zip(*samples, strict=True)
    by_image, by_pixel = image_metrics(labels, scores), pixel_metrics([np.array([labels])], [np.array([scores])])
    for name in ("auroc", "ap", "f1_max", "f1_threshold"):
        assert getattr(by_image, name) == getattr(by_pixel, name)
    wanted = {name: why.replace("pixel", "image") for name, why in by_pixel.undefined.items()}
    assert by_image.undefined == {name: why for name, why in wanted.items() if name in NAMES[:3]}


@pytest.mark.parametrize("levels_", [4, 1000, 10**6])
def test_scikit_learn_agrees(levels_):
    """AUROC, AP and the best F1 of scikit-learn's curve over the pooled pixels come out alike."""
    sklearn = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(levels_)
    masks = ndimage.binary_dilation(draw.random((4, 40, 50)) < 0.005, np.ones((1, 5, 5)))
    maps = (draw.integers(0, levels_, masks.shape) / levels_ + 0.4 * masks).astype(np.float32)
    found = pixel_metrics(masks, maps)
    truth, scores = masks.ravel(), maps.ravel()
    precision, recall, _ = sklearn.precision_recall_curve(truth, scores)
    kept = recall > 0
    f1 = (2 * precision[kept] * recall[kept] / (precision[kept] + recall[kept])).max()
    expected = [sklearn.roc_auc_score(truth, scores), sklearn.average_precision_score(truth, scores), f1]
    assert values(found)[:3] == pytest.approx(expected, **NEAR)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.uint8, np.int32])
@pytest.mark.parametrize("mask_kind", [bool, np.uint8, np.float32])
def test_dtypes_do_not_matter(kind, mask_kind):
    """Masks of any dtype and scores that every dtype can hold give the same values."""
    draw = np.random.default_rng(1)
    masks, maps = draw.random((3, 8, 9)) < 0.3, draw.integers(0, 30, (3, 8, 9))
    found, expected = pixel_metrics(masks.astype(mask_kind), maps.astype(kind)), pixel_metrics(masks, maps)
    assert values(found) == pytest.approx(values(expected), **NEAR)
    assert found.f1_threshold == expected.f1_threshold


def test_an_iterator_may_not_end_before_the_other():
    """Maps and masks from iterators must be as many, too."""
    masks, maps = np.eye(4)[None].repeat(3, axis=0), np.eye(4)[None].repeat(2, axis=0)
    with pytest.raises(MetricError, match="more masks"):
        pixel_metrics(iter(masks), iter(maps))
    with pytest.raises(MetricError, match="more maps"):
        pixel_metrics(iter(maps), iter(masks))


def test_scores_are_compared_as_given():
    """float64 and int64 scores that would be equal in float32 are kept apart."""
    assert image_metrics([0, 1], [1.0, 1.0 + 1e-12]).auroc == 1.0
    mask = [np.array([[0, 1]])]
    assert pixel_metrics(mask, [np.array([[1.0, 1.0 + 1e-12]])]).auroc == 1.0
    assert pixel_metrics(mask, [np.array([[2**53, 2**53 + 1]])]).auroc == 1.0


def test_zeros_of_both_signs_are_equal():
    """-0.0 and 0.0 are one threshold, and one lowest score."""
    mask = [np.array([[0, 1, 0, 1]])]
    signed, plain = (pixel_metrics(mask, [np.array([row], np.float32)]) for row in ([0, -0.0, -0.0, 1], [0, 0, 0, 1]))
    assert signed == plain
    assert signed.lowest_fraction == 1.0


def test_input_is_left_alone():
    """Masks and maps are not sorted or changed in place."""
    masks, maps = np.eye(6, dtype=np.uint8)[None], np.random.default_rng(4).random((1, 6, 6))
    kept = masks.copy(), maps.copy()
    pixel_metrics(masks, maps)
    assert np.array_equal(masks, kept[0])
    assert np.array_equal(maps, kept[1])


def test_regions_touch_at_corners():
    """Pixels that meet at a corner are one region; without the link the overlap would be 1 / 2, not 2 / 3."""
    mask = np.zeros((4, 4), np.uint8)
    mask[0, 0] = mask[1, 1] = mask[2, 2] = 1
    scores = np.zeros((4, 4))
    scores[0, 0] = scores[1, 1] = 1
    # Of one region 2/3 are found at once; the rest comes on the slope to (1, 1), cut at the limit 0.3.
    assert pixel_metrics([mask], [scores]).aupro == pytest.approx(2 / 3 + (1 / 3) * 0.3 / 2, **NEAR)


def test_regions_count_alike_whatever_their_size():
    """A region of one pixel weighs as much as one of sixteen, and images without regions add normal pixels only."""
    mask = np.zeros((8, 8), np.uint8)
    mask[0, 0] = 1
    mask[4:, 4:] = 1
    scores = np.zeros((8, 8))
    scores[0, 0] = 1
    good = np.zeros((8, 8))
    expected = 0.5 + 0.5 * 0.3 / 2
    assert pixel_metrics([mask], [scores]).aupro == pytest.approx(expected, **NEAR)
    assert pixel_metrics([mask, good], [scores, good]).aupro == pytest.approx(expected, **NEAR)


def test_a_step_at_the_limit_adds_nothing():
    """What is found at a false-positive rate of exactly the limit has no area."""
    mask = np.array([[1] + [0] * 10])
    scores = np.array([[1] + [2] * 3 + [0] * 7])
    found = pixel_metrics([mask], [scores])
    assert found.aupro == 0.0
    assert pixel_metrics([mask], [scores], fpr_limit=1.0).aupro == pytest.approx(0.7, **NEAR)


def test_equal_scores_are_a_diagonal():
    """A constant map has AUROC 0.5, AP p, F1-max 2p / (1 + p) and AUPRO half the limit."""
    mask = np.zeros((10, 10), np.uint8)
    mask[:2, :5] = 1
    found = pixel_metrics([mask], [np.full((10, 10), 0.4)])
    assert values(found) == pytest.approx([0.5, 0.1, 0.2 / 1.1, 0.15], **NEAR)
    assert found.lowest_fraction == 1.0
    assert found.aupro_rescaled is None
    assert "aupro_rescaled" in found.undefined


def test_without_anomalous_pixels_nothing_is_defined():
    """No positive: every metric is None and says why."""
    found = pixel_metrics(np.zeros((2, 4, 4)), np.ones((2, 4, 4)))
    assert values(found) == [None] * 4
    assert (found.f1_threshold, found.aupro_rescaled, found.lowest_fraction) == (None, None, None)
    assert set(found.undefined) == {*NAMES, "aupro_rescaled", "lowest_fraction"}
    assert all("anomalous" in reason for reason in found.undefined.values())


def test_without_normal_pixels_ap_and_f1_are_defined():
    """No negative: AP and F1-max are 1; AUROC and AUPRO are None and say why."""
    found = pixel_metrics(np.ones((1, 2, 2)), np.arange(4.0).reshape(1, 2, 2))
    assert values(found) == [None, 1.0, 1.0, None]
    assert set(found.undefined) == {"auroc", "aupro", "aupro_rescaled", "lowest_fraction"}
    assert all("normal" in reason for reason in found.undefined.values())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_map_with_a_score_that_is_no_finite_number_is_named(bad):
    """NaN and infinities never become a metric; the error says which image."""
    maps = np.zeros((3, 4, 4))
    maps[1, 2, 2] = bad
    with pytest.raises(MetricError, match="image 1"):
        pixel_metrics(np.ones((3, 4, 4)), maps)


@pytest.mark.parametrize(
    ("masks", "maps"),
    [
        ([], []),
        (np.ones((2, 4, 4)), np.ones((1, 4, 4))),
        ([np.ones((4, 4))], [np.ones((4, 5))]),
        ([np.ones((4, 4, 1))], [np.ones((4, 4, 1))]),
        (np.ones((4, 4)), np.ones((4, 4))),
        (np.ones((1, 2, 2)), np.ones((1, 2, 2), complex)),
        (np.ones((1, 1, 1)), np.array([[["high"]]])),
        (np.ones((1, 0, 4)), np.ones((1, 0, 4))),
    ],
    ids=["none", "numbers", "shapes", "channels", "one image unwrapped", "complex", "text", "no pixels"],
)
def test_what_cannot_be_measured_raises(masks, maps):
    """No images, unequal numbers, wrong shapes and maps that are no real numbers raise MetricError."""
    with pytest.raises(MetricError):
        pixel_metrics(masks, maps)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8, np.int64])
def test_dtypes_of_image_scores_do_not_matter(dtype):
    """Scores that every dtype can hold give the same values; a label says anomalous where it is not 0."""
    labels, scores = [0, 1, 0, 1, 1, 0], [1, 5, 3, 3, 4, 0]
    assert image_metrics([0, 255, 0, -1, 0.5, 0], np.array(scores, dtype)) == image_metrics(labels, scores)


def test_threshold_is_the_largest_that_reaches_the_best_f1():
    """Of two thresholds with one F1 the higher is reported."""
    metrics = image_metrics([1, 0, 0, 1], [4, 3, 2, 1])
    assert (metrics.f1_max, metrics.f1_threshold) == (2 / 3, 4.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_image_score_that_is_no_finite_number_is_named(bad):
    """NaN and infinities never become a metric; the error says which image."""
    with pytest.raises(MetricError, match=r"\b2\b"):
        image_metrics([0, 1, 1], [0.1, 0.2, bad])


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([], []),
        ([0, 1], [0.5]),
        ([[0, 1]], [[0.1, 0.2]]),
        ([0, 1], ["a", "b"]),
        ([0, 1], [1j, 2]),
        ([0, 1], [None, 1]),
        ([0, 1], [[1], [0, 1]]),
        ([[1], [0, 1]], [0, 1]),
        (["0", "1"], [0, 1]),
        ([None, 1], [0, 1]),
        ([0, np.nan], [0, 1]),
    ],
)
def test_images_that_cannot_be_measured_raise(labels, scores):
    """No images, unequal lengths, a wrong shape, and what is no real number raise MetricError."""
    with pytest.raises(MetricError):
        image_metrics(labels, scores)


@pytest.mark.parametrize("limit", [0, -0.1, 1.01, np.nan, np.inf])
def test_limit_lies_above_0_and_up_to_1(limit):
    """A false-positive limit outside (0, 1] is an error, not a number."""
    with pytest.raises(MetricError, match="limit"):
        pixel_metrics(np.eye(3)[None], np.eye(3)[None], limit)


def test_public_names_are_sorted():
    """The package exports exactly the promised names, in order."""
    assert lvlm_ad.metrics.__all__ == [
        "Aupimo",
        "BinaryMetrics",
        "CellCounts",
        "Channels",
        "Choice",
        "ImageMetrics",
        "NamedMetrics",
        "NormalScores",
        "PixelMetrics",
        "au_spro",
        "aupimo",
        "binary_metrics",
        "choice_accuracy",
        "count_binary",
        "count_cells",
        "count_choices",
        "f1_grid",
        "image_auroc_by_group",
        "image_metrics",
        "object_metrics",
        "pixel_metrics",
        "pixel_metrics_from_counts",
        "shape_measures",
        "shape_metrics",
    ]
