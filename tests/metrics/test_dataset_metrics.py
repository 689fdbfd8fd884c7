"""The metrics of data sets against slow, independent computations with fractions, on small arrays with ties."""

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lvlm_ad.errors import MetricError
from lvlm_ad.metrics import count_cells, pixel_metrics, pixel_metrics_from_counts
from lvlm_ad.metrics.binary import MapThreshold, NormalScores, binary_metrics, count_binary, count_binary_histogram
from lvlm_ad.metrics.grid import f1_grid, f1_grid_from_histograms
from lvlm_ad.metrics.groups import group_members, image_auroc_by_group, merge_views, object_metrics
from lvlm_ad.metrics.histograms import histogram_of_cells
from lvlm_ad.metrics.named import NamedMetrics, mean_metric
from lvlm_ad.metrics.own_maps import PooledMaps
from lvlm_ad.metrics.pimo import aupimo, aupimo_from_histograms
from lvlm_ad.metrics.spro import (
    Channels,
    au_spro,
    au_spro_from_histograms,
    count_channels,
    spro_at,
    spro_histogram,
)

LIMITS = (0.01, 0.05, 0.3, 1.0)
seeds = st.integers(0, 2**32 - 1)
brief = settings(max_examples=60)


def area_under(points, end):
    """Integrate straight segments between (x, y) fractions from x = 0 to ``end``, the last one cut there."""
    area = Fraction(0)
    for (x0, y0), (x1, y1) in pairwise(points):
        right = min(x1, end)
        if right > x0:
            area += (right - x0) * (y0 + y0 + (y1 - y0) * (right - x0) / (x1 - x0)) / 2
    return area


def slow_spro(maps, channels, limit):
    """AU-sPRO from its definition: every score a threshold, every channel by itself; None where undefined."""
    outside = [one[~truth.masks.any(axis=0)] for one, truth in zip(maps, channels, strict=True)]
    total = sum(one.size for one in outside)
    defects = [
        (one[mask], int(enough))
        for one, truth in zip(maps, channels, strict=True)
        for mask, enough in zip(truth.masks, truth.saturations, strict=True)
    ]
    if not defects or not total:
        return None
    points = [(Fraction(0), Fraction(0))]
    for at in np.unique(np.concatenate([one.ravel() for one in maps]))[::-1]:
        found = [min(Fraction(int((inside >= at).sum()), enough), Fraction(1)) for inside, enough in defects]
        rate = Fraction(sum(int((one >= at).sum()) for one in outside), total)
        points.append((rate, sum(found) / len(found)))
    end = Fraction(str(limit))
    return float(area_under(points, end) / end)


def random_channels(draw, size, count):
    """Channels of random boxes, which overlap, with saturations of both kinds."""
    masks = np.zeros((count, *size), bool)
    for mask in masks:
        top, left = (int(draw.integers(0, side)) for side in size)
        mask[top : top + int(draw.integers(1, 4)), left : left + int(draw.integers(1, 4))] = True
        mask[tuple(int(draw.integers(0, side)) for side in size)] = True
    return Channels.of(masks, [int(draw.integers(1, one.sum() + 1)) for one in masks], size=size)


def random_spro(seed, levels=5):
    """Maps with few levels, their channels, and cells that the maps are constant on."""
    draw = np.random.default_rng(seed)
    sizes = [(int(draw.integers(1, 6)), int(draw.integers(1, 6))) for _ in range(int(draw.integers(1, 5)))]
    channels = [random_channels(draw, size, int(draw.integers(0, 4))) for size in sizes]
    cells = [draw.integers(0, 6, size) for size in sizes]
    scores = [draw.integers(0, levels, 6) / 4 for _ in sizes]
    return [one[cell] for one, cell in zip(scores, cells, strict=True)], channels, cells, scores


def spro_histograms(channels, cells, scores):
    """Histograms of the maps that are constant on cells."""
    return [
        spro_histogram(count_channels(cell, truth.masks, 6), truth.saturations, one)
        for truth, cell, one in zip(channels, cells, scores, strict=True)
    ]


@brief
@given(seeds)
def test_au_spro_equals_its_definition(seed):
    """From maps and from cells, with ties, overlaps, good images and any limit, AU-sPRO is that of a slow sweep."""
    maps, channels, cells, scores = random_spro(seed)
    by_map = au_spro(maps, channels, LIMITS)
    by_cell = au_spro_from_histograms(spro_histograms(channels, cells, scores), LIMITS)
    for (name, value), limit in zip(by_map.values.items(), LIMITS, strict=True):
        expected = slow_spro(maps, channels, limit)
        wanted = None if expected is None else pytest.approx(expected, abs=1e-12)
        assert (value, by_cell.values[name]) == (wanted, wanted), name
        assert (name in by_map.undefined) == (expected is None)


@brief
@given(seeds)
def test_au_spro_of_groups_shares_the_good_images(seed):
    """Each group's value is that of its own and all good images; the mean is theirs; maps and cells agree."""
    maps, channels, cells, scores = random_spro(seed)
    draw = np.random.default_rng(seed)
    groups = [str(draw.choice(["logical", "structural"])) if len(one.masks) else None for one in channels]
    names = ["logical", "structural"]
    found = au_spro(maps, channels, [0.05, 0.3], groups, names)
    by_cell = au_spro_from_histograms(spro_histograms(channels, cells, scores), [0.05, 0.3], groups, names)
    for limit in (0.05, 0.3):
        own = []
        for name in names:
            at = [place for place, group in enumerate(groups) if group in (None, name)]
            own.append(slow_spro([maps[one] for one in at], [channels[one] for one in at], limit) if at else None)
            wanted = None if own[-1] is None else pytest.approx(own[-1], abs=1e-12)
            assert found.values[f"au_spro_{name}@{limit}"] == wanted
            assert by_cell.values[f"au_spro_{name}@{limit}"] == wanted
        mean = None if None in own else pytest.approx(sum(own) / 2, abs=1e-12)
        assert found.values[f"au_spro@{limit}"] == mean == by_cell.values[f"au_spro@{limit}"]
        assert (mean is None) == (f"au_spro@{limit}" in found.undefined)


@brief
@given(seeds)
def test_spro_equals_pro_at_saturation_one(seed):
    """With the components as channels and their area as saturation, sPRO is PRO: AU-sPRO is AUPRO."""
    draw = np.random.default_rng(seed)
    masks, maps = draw.random((3, 5, 6)) < 0.2, draw.integers(0, 6, (3, 5, 6)) / 5
    assume(masks.any() and not masks.all())
    channels = []
    for mask in masks:
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        own = [labels == number for number in range(1, count + 1)]
        channels.append(Channels.of(own, [int(one.sum()) for one in own], size=mask.shape))
    aupro = pixel_metrics(masks, maps, limits=LIMITS).aupro_at
    spro = au_spro(maps, channels, LIMITS).values
    assert list(spro.values()) == pytest.approx(list(aupro.values()), abs=1e-12)
    inside = channels[0].masks
    overlap = [float((maps[0][one] >= 0.4).mean()) for one in inside]
    assert spro_at(maps[0], channels[0], 0.4).tolist() == pytest.approx(overlap, abs=1e-15)


@brief
@given(seeds)
def test_pooled_maps_count_channels_for_resamples_too(seed):
    """At thresholds that hold every score, the histograms of own maps give the same AU-sPRO as those of cells."""
    maps, channels, cells, scores = random_spro(seed)
    pool = PooledMaps()
    for one, truth in zip(maps, channels, strict=True):
        pool.add_channels(one, truth.masks, truth.saturations)
    _, thresholds = pool.merge()
    thresholds = np.unique(np.concatenate([thresholds, *scores]))
    counted = au_spro_from_histograms(list(pool.histograms(thresholds)), LIMITS)
    expected = au_spro_from_histograms(spro_histograms(channels, cells, scores), LIMITS)
    for name, value in expected.values.items():
        assert counted.values[name] == (None if value is None else pytest.approx(value, abs=1e-12))


def test_maps_and_channels_that_do_not_fit_are_refused():
    """Another size, impossible saturations, missing maps or groups, NaN and cells out of range are clear errors."""
    truth = Channels.of(np.ones((1, 2, 3)), [1])
    with pytest.raises(MetricError, match=r"Image 0: map of shape \(3, 2\)"):
        au_spro([np.zeros((3, 2))], [truth])
    with pytest.raises(MetricError, match="Each map"):
        au_spro([np.zeros((2, 3))], [truth, truth])
    for groups in ([], ["logical", None]):
        with pytest.raises(MetricError, match="needs a group"):
            au_spro([np.zeros((2, 3))], [truth], groups=groups)
    for enough, pixels in ((1, 0), (0, 4), (5, 4)):
        with pytest.raises(MetricError, match=f"Mask 1 of an image has {pixels} pixels; .* cannot be {enough}"):
            Channels.of([np.ones((2, 2)), np.full((2, 2), pixels)], [1, enough])
    with pytest.raises(MetricError, match="the size of the image"):
        Channels.of([np.ones((2, 2))], [1], size=(2, 3))
    with pytest.raises(MetricError, match=r"0\.\.1"):
        count_channels(np.full((2, 3), 2), truth.masks, 2)
    with pytest.raises(MetricError, match="finite"):
        au_spro([np.full((2, 3), np.nan)], [truth])


def test_aupro_at_limits_is_that_of_one_limit():
    """Limits from one pass equal the metric with each limit by itself, from maps and from cells, or say why not."""
    draw = np.random.default_rng(3)
    cells, masks = draw.integers(0, 9, (4, 8, 8)), draw.random((4, 8, 8)) < 0.1
    scores = draw.integers(0, 5, (4, 9)) / 4
    maps = [one[cell] for one, cell in zip(scores, cells, strict=True)]
    found = pixel_metrics(masks, maps, limits=LIMITS)
    counts = [count_cells(*pair, 9) for pair in zip(cells, masks, strict=True)]
    by_cell = pixel_metrics_from_counts(counts, list(scores), limits=LIMITS)
    for limit, name in zip(LIMITS, found.aupro_at, strict=True):
        assert found.aupro_at[name] == pixel_metrics(masks, maps, limit).aupro
        assert by_cell.aupro_at[name] == pytest.approx(found.aupro_at[name], abs=1e-12)
    assert list(found.aupro_at) == ["aupro@0.01", "aupro@0.05", "aupro@0.3", "aupro@1"]
    assert found.aupro == pixel_metrics(masks, maps).aupro, "the usual value stays as it is"
    nothing = pixel_metrics(masks & False, maps, limits=[0.05])
    assert (nothing.aupro_at["aupro@0.05"], nothing.undefined["aupro@0.05"]) == (None, "no pixel is anomalous")
    with pytest.raises(MetricError, match="limit"):
        pixel_metrics(masks, maps, limits=[0.0])


def slow_aupimo(masks, maps, bounds):
    """AUPIMO of each image from its definition: points at every distinct score; None where undefined."""
    lower, upper = bounds
    normal = [one for one, mask in zip(maps, masks, strict=True) if not mask.any()]
    points = []
    for at in np.unique(np.concatenate([one.ravel() for one in maps]))[::-1]:
        rate = sum(Fraction(int((one >= at).sum()), one.size) for one in normal) / len(normal)
        if rate:
            points.append((at, math.log(rate), rate))
    if points[0][2] > Fraction(str(lower)):
        return [None] * len(maps)
    ends = math.log(lower), math.log(upper)
    values = []
    for one, mask in zip(maps, masks, strict=True):
        if not mask.any():
            values.append(None)
            continue
        curve = [(rate, float((one[mask] >= at).mean())) for at, rate, _ in points]
        area = 0.0
        for (x0, y0), (x1, y1) in pairwise(curve):
            a, b = max(x0, ends[0]), min(x1, ends[1])
            if b > a:
                heights = [y0 + (y1 - y0) * (x - x0) / (x1 - x0) for x in (a, b)]
                area += (b - a) * sum(heights) / 2
        values.append(area / (ends[1] - ends[0]))
    return values


@brief
@given(seeds, st.sampled_from([4, 40, 10**6]), st.sampled_from([(0.01, 0.1), (0.05, 0.5), (0.02, 1.0), (0.3, 0.4)]))
def test_aupimo_equals_its_definition(seed, levels, bounds):
    """With ties, images of many sizes and any bounds, AUPIMO is that of a slow sweep; arrays and iterators agree."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(3, 12, (int(draw.integers(2, 6)), 2))
    masks = [draw.random(size) < 0.15 * (at % 2) for at, size in enumerate(sizes)]
    maps = [draw.integers(0, levels, size) / levels + 0.2 * mask for size, mask in zip(sizes, masks, strict=True)]
    expected = slow_aupimo(masks, maps, bounds)
    wanted = [None if one is None else pytest.approx(one, abs=1e-10) for one in expected]
    found = aupimo(masks, maps, bounds)
    assert list(found.per_image) == wanted
    assert aupimo(iter(masks), iter(maps), bounds).per_image == found.per_image
    known = [one for one in expected if one is not None]
    assert found.value == (pytest.approx(sum(known) / len(known), abs=1e-10) if known else None)
    assert bool(found.reason) == (not known)
    counts = [
        count_cells(np.unique(one, return_inverse=True)[1].reshape(one.shape), mask)
        for one, mask in zip(maps, masks, strict=True)
    ]
    by_cell = aupimo_from_histograms(
        [histogram_of_cells(one, np.unique(map_)) for one, map_ in zip(counts, maps, strict=True)], bounds
    )
    assert list(by_cell.per_image) == [
        None if one is None else pytest.approx(one, abs=1e-10) for one in found.per_image
    ]


def test_aupimo_says_why_it_is_undefined():
    """No normal image, no anomalous one, and a curve that does not reach the lower bound are three reasons."""
    draw = np.random.default_rng(0)
    map_, mask = draw.random((20, 20)), np.eye(20)
    assert aupimo([mask], [map_]).reason == "no image is normal"
    assert aupimo([mask * 0], [map_]).reason == "no image is anomalous"
    coarse = aupimo([mask, mask * 0], [map_, map_])
    assert coarse.reason == "the smallest false-positive rate above 0 is 0.0025, above the lower bound 1e-05"
    assert coarse.per_image == (None, None)
    with pytest.raises(MetricError, match="0 < lower < upper"):
        aupimo([mask], [map_], (0.1, 0.1))


def test_aupimo_reaches_a_bound_that_it_touches():
    """A lowest rate of exactly the lower bound, 3 of 3,000 pixels at 0.001, is no reason to be undefined."""
    normal = np.zeros((3, 20, 50))
    normal[:, 0, 0] = 1
    anomalous = np.zeros((20, 50))
    anomalous[0, :2] = 2, 1
    masks = np.concatenate([np.zeros((3, 20, 50)), (anomalous > 0)[None]])
    found = aupimo(masks, [*normal, anomalous], (0.001, 0.1))
    # Straight in ln F from T = 1 at 0.001 to T = 1 at 1.
    assert found.per_image[3] == pytest.approx(1.0)


@brief
@given(seeds, st.sampled_from([np.float16, np.float32, np.float64]))
def test_the_threshold_of_normal_maps_is_that_of_all_their_scores(seed, dtype):
    """Mean plus k standard deviations of maps added one by one, or by cell, is that of all scores at once."""
    draw = np.random.default_rng(seed)
    maps = [draw.normal(5, 2, tuple(draw.integers(1, 9, 2))).astype(dtype) for _ in range(3)]
    pixels, cells = NormalScores(), NormalScores()
    for one in maps:
        pixels.add(one)
        scores, counts = np.unique(one, return_counts=True)
        cells.add(np.append(scores, dtype(1000)), np.append(counts, 0))
    everything = np.concatenate([one.ravel() for one in maps]).astype(np.float64)
    expected = everything.mean() + 2.5 * everything.std()
    assert pixels.threshold(2.5).value == pytest.approx(expected, rel=1e-12)
    assert cells.threshold(2.5).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("score", [0.1, 0.3, 1 / 3, 1e-3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_of_constant_maps_is_above_their_threshold(score, dtype):
    """The threshold of constant maps is their score exactly, in every dtype, so that no pixel is positive."""
    normal = NormalScores()
    for size in (7, 11, 13):
        normal.add(np.full((size, size), score, dtype))
    threshold = normal.threshold()
    assert threshold.value == float(dtype(score))
    assert not threshold.above(np.full((5, 5), score, dtype)).any()
    assert threshold.above(np.nextafter(dtype(score), dtype(1))).all()
    assert (threshold.rule, threshold.saw_test_labels) == ("mean + 3 standard deviations", False)


def test_a_threshold_between_two_float32_scores_stays_there():
    """A float64 threshold just below a float32 score leaves it positive, though it rounds to this score."""
    score = np.float32(0.1)
    assert MapThreshold(float(score) - 1e-12, "given", "nothing").above(np.array([score])).all()


def test_no_normal_map_gives_no_threshold():
    """A threshold of nothing is an error."""
    with pytest.raises(MetricError, match="no normal map"):
        NormalScores().threshold()


@brief
@given(seeds)
def test_segf1_and_classf1_equal_their_definitions(seed):
    """Counts of images add up to F1 over all pixels and over images, also from histograms; undefined ones say why."""
    draw = np.random.default_rng(seed)
    masks = draw.random((4, 3, 4)) < draw.choice([0, 0.2])
    cells, scores = draw.integers(0, 5, (4, 3, 4)), draw.integers(0, 4, (4, 5)) / 4
    threshold = MapThreshold(float(draw.choice([0.25, 0.5, 1.0])), "given", "nothing")
    predicted = np.stack([one[cell] for one, cell in zip(scores, cells, strict=True)]) > threshold.value
    labels = masks.any(axis=(1, 2)) | (draw.random(4) < 0.3)
    counts = [count_binary(*pair) for pair in zip(masks, predicted, strict=True)]
    found = binary_metrics(labels, counts, threshold)
    for name, truth, alarm in (("segf1", masks, predicted), ("classf1", labels, predicted.any(axis=(1, 2)))):
        tp, fp, fn = ((truth & alarm).sum(), (~truth & alarm).sum(), (truth & ~alarm).sum())
        expected = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None
        assert getattr(found, name) == expected
        assert (name in found.undefined) == (expected is None)
    by_score = [
        count_binary_histogram(histogram_of_cells(count_cells(cell, mask, 5), one), threshold)
        for cell, mask, one in zip(cells, masks, scores, strict=True)
    ]
    np.testing.assert_array_equal(by_score, counts)
    assert found.threshold is threshold


@brief
@given(seeds)
def test_f1_on_a_grid_equals_its_definition(seed):
    """The best F1 at 21 scaled thresholds, strictly above, and the mean of seven, with scores on the thresholds."""
    draw = np.random.default_rng(seed)
    masks = draw.random((3, 4, 4)) < 0.3
    maps = draw.integers(-20, 21, (3, 4, 4)) if seed % 2 else draw.normal(size=(3, 4, 4))
    assume(masks.any())
    low, high = maps.min(), maps.max()
    values = {}
    for at in {*range(21), *range(4, 18, 2)}:
        alarm = (maps - low) / (high - low) > at / 20
        values[at] = 2 * (masks & alarm).sum() / (masks.sum() + alarm.sum())
    found = f1_grid(masks, maps)
    assert found.values["f1_grid21"] == pytest.approx(max(values.values()), abs=1e-15)
    seven = [values[at] for at in range(4, 18, 2)]
    assert found.values["f1_mean_0.2_0.8_0.1"] == pytest.approx(sum(seven) / 7, abs=1e-15)
    histograms = [
        histogram_of_cells(count_cells(np.arange(16).reshape(4, 4), mask), one.ravel())
        for mask, one in zip(masks, maps, strict=True)
    ]
    assert f1_grid_from_histograms(histograms) == found
    assert f1_grid(masks & False, maps).undefined["f1_grid21"] == "no pixel is anomalous"
    assert f1_grid(masks, maps * 0).undefined["f1_grid21"] == "all scores are equal"


def slow_auroc(labels, scores):
    """Pairs won, ties half; None without a pair."""
    pairs = [(a, b) for a, x in zip(scores, labels, strict=True) for b, y in zip(scores, labels, strict=True) if x > y]
    return sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs) if pairs else None


@brief
@given(st.lists(st.tuples(st.sampled_from([None, "logical", "structural"]), st.integers(0, 5)), min_size=1))
def test_image_auroc_by_group_counts_pairs_with_the_good_images(rows):
    """Each group's AUROC counts pairs of its images with all good ones; the mean is theirs, and None if one is."""
    groups, scores = zip(*rows, strict=True)
    names = ["logical", "structural"]
    found = image_auroc_by_group(scores, groups, names)
    own = []
    for name in names:
        chosen = [(one is not None, score) for one, score in rows if one in (None, name)]
        own.append(slow_auroc(*zip(*chosen, strict=True)) if chosen else None)
        wanted = None if own[-1] is None else pytest.approx(own[-1], abs=1e-14)
        assert found.values[f"image_auroc_{name}"] == wanted
        assert (f"image_auroc_{name}" in found.undefined) == (own[-1] is None)
    mean = None if None in own else pytest.approx(sum(own) / 2, abs=1e-14)
    assert found.values["image_auroc_groups"] == mean


def test_a_group_that_is_not_expected_is_refused():
    """Its name and image are in the error."""
    with pytest.raises(MetricError, match="Image 1 is of group 'colour'"):
        group_members([None, "colour"], ["logical"])


def test_the_mean_of_no_group_is_undefined():
    """Without an anomalous image there is no group, and the mean says so."""
    assert image_auroc_by_group([0.5], [None]).undefined == {
        "image_auroc_groups": "there is no group of anomalous images"
    }
    assert mean_metric("mean", NamedMetrics({"one": None}, {"one": "no image"})).undefined == {"mean": "one: no image"}


@brief
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 5)), min_size=1))
def test_objects_score_as_their_highest_view(rows):
    """Label and score of an object are the maximum over its views, in any order of the views."""
    objects, labels, scores = zip(*rows, strict=True)
    kinds = list(dict.fromkeys(objects))
    found = merge_views(labels, scores, objects)
    expected = [(max(y for o, y, _ in rows if o == k), max(s for o, _, s in rows if o == k)) for k in kinds]
    assert list(zip(*(one.tolist() for one in found), strict=True)) == expected
    wanted = slow_auroc(*zip(*expected, strict=True))
    assert object_metrics(labels, scores, objects).auroc == (
        None if wanted is None else pytest.approx(wanted, abs=1e-14)
    )


def test_views_that_do_not_fit_are_refused():
    """Each image needs a label, a score and an object."""
    with pytest.raises(MetricError, match="one for each image"):
        merge_views([0, 1], [0.5, 0.5], ["a"])
