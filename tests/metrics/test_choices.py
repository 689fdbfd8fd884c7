"""MMAD's numbers against a plain recount of the answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lvlm_ad.metrics.choices import DETECTION, Choice, as_published, choice_accuracy, count_choices
from lvlm_ad.metrics.dataset_estimates import estimate_choices

answers = st.lists(
    st.builds(
        Choice,
        image=st.sampled_from(["a/0.png", "a/1.png", "a/2.png", "a/3.png"]),
        source=st.just("DS-MVTec"),
        type=st.sampled_from([DETECTION, "Object Structure", "Object Details", "Defect Analysis"]),
        normal=st.booleans(),
        correct=st.sampled_from("AB"),
        answer=st.sampled_from(["A", "B", None]),
    ),
    min_size=1,
    max_size=30,
)


def share(rows, unparsed):
    """The share of right answers; None of none."""
    kept = [one for one in rows if unparsed == "wrong" or one.answer]
    return sum(one.answer == one.correct for one in kept) / len(kept) if kept else None


def balanced(one, other):
    """The mean of two, None if one is."""
    return None if None in (one, other) else (one + other) / 2


@settings(max_examples=80)
@given(answers, st.sampled_from(["left_out", "wrong"]))
def test_accuracies_are_recounted(rows, unparsed):
    """Every subtask, the balanced accuracy, its parts and the average equal a recount; undefined ones are left out."""
    found = choice_accuracy(count_choices(rows), unparsed)["DS-MVTec"]
    near = {"abs": 1e-12}
    values = []
    for name in ("Object Analysis", "Defect Analysis"):
        own = [one for one in rows if one.subtask == name]
        if own:
            values.append(share(own, unparsed))
            assert found[name] == (None if values[-1] is None else pytest.approx(values[-1], **near))
    detection = [one for one in rows if one.type == DETECTION]
    if detection:
        normal, anomalous = ([one for one in detection if one.normal == kind] for kind in (True, False))
        parts = share(normal, unparsed), share(anomalous, unparsed)
        values.append(balanced(*parts))
        expected = {
            DETECTION: values[-1],
            "Overkill": None if parts[0] is None else 1 - parts[0],
            "Miss": None if parts[1] is None else 1 - parts[1],
            "recall": parts[1],
        }
        counted = [one for one in detection if unparsed == "wrong" or one.answer]
        hits = sum(one.answer == one.correct for one in counted if not one.normal)
        false = sum(one.answer != one.correct for one in counted if one.normal)
        missed = sum(one.answer != one.correct for one in counted if not one.normal)
        expected["precision"] = hits / (hits + false) if hits + false else None
        expected["f1"] = 2 * hits / (2 * hits + false + missed) if hits + false + missed else None
        for name, value in expected.items():
            assert found[name] == (None if value is None else pytest.approx(value, **near)), name
    known = [one for one in values if one is not None]
    assert found["Average"] == (pytest.approx(sum(known) / len(known), **near) if known else None)
    assert count_choices(rows).n_unparsed == sum(one.answer is None for one in rows)


@settings(max_examples=60)
@given(answers, st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_a_resample_is_a_weighted_sum(rows, times):
    """An image drawn twice counts as if its questions had been asked twice, one that is not drawn as if never."""
    counts = count_choices(rows)
    weights = np.array([times[int(image[2])] for image in counts.images], float)
    repeated = [one for one in rows for _ in range(times[int(one.image[2])])]
    found = choice_accuracy(counts, "wrong", weights[None])["DS-MVTec"]
    expected = choice_accuracy(count_choices(repeated), "wrong").get("DS-MVTec", {})
    for name, values in found.items():
        wanted = expected.get(name)
        assert np.isnan(values[0]) if wanted is None else values[0] == pytest.approx(wanted, abs=1e-12), name


def test_a_source_average_has_equal_weights():
    """The last row is the mean over sources of every column; a subtask that one source lacks is the other's."""
    rows = [
        Choice("v/0.png", "VisA", "Defect Analysis", normal=False, correct="A", answer="A"),
        Choice("g/0.png", "GoodsAD", "Defect Analysis", normal=False, correct="A", answer="B"),
        Choice("g/1.png", "GoodsAD", "Object Details", normal=False, correct="A", answer="A"),
        Choice("g/1.png", "GoodsAD", "Object Structure", normal=False, correct="A", answer=None),
    ]
    found = choice_accuracy(count_choices(rows), "left_out")
    assert found["VisA"] == {"Defect Analysis": 1.0, "Object Analysis": None, "Average": 1.0}
    assert found["Average"] == {"Defect Analysis": 0.5, "Object Analysis": 1.0, "Average": 0.75}
    theirs = as_published(rows)
    assert theirs["VisA"] == {"Defect Analysis": 1.0, "Object Analysis": 0.0, "Average": 0.5}


def test_the_published_way_loses_the_record_after_each_answer_without_a_letter():
    """Two in a row lose one record, as removing from a list under iteration does; after that all count again."""
    kinds = [None, "A", "B", None, None, "A", "A"]
    rows = [
        Choice(f"{at}.png", "VisA", "Defect Analysis", normal=False, correct="A", answer=answer)
        for at, answer in enumerate(kinds)
    ]
    records = list(kinds)
    seen = []
    for one in records:
        if one is None:
            records.remove(one)
        else:
            seen.append(one)
    assert seen == ["B", "A", "A"]
    assert as_published(rows)["VisA"]["Defect Analysis"] == seen.count("A") / len(seen)


@settings(max_examples=40)
@given(answers, st.sampled_from(["left_out", "wrong"]))
def test_intervals_hold_their_values(rows, unparsed):
    """Every accuracy that is defined has an interval in 0..1 that holds it and is wider than nothing."""
    counts = count_choices(rows)
    values, found = choice_accuracy(counts, unparsed), estimate_choices(counts, unparsed)
    for source, row in found.items():
        for name, one in row.items():
            low, high = one.interval
            assert 0 <= low <= one.value <= high <= 1
            assert low < high
            assert one.value == pytest.approx(values[source][name], abs=1e-12), name
            assert one.influence.sum() == pytest.approx(0, abs=1e-9)
        wanted = {name for name, value in values[source].items() if value is not None}
        assert set(row) == wanted - {"Overkill", "Miss", "recall", "precision", "f1"}
