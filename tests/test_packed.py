"""Predictions are held small and come back as they were."""

import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from lvlm_ad.packed import Predictions
from lvlm_ad.records import PredictionRecord


def recorded(number, text="image anomaly score: 0.5; regions 3 and 5: 0.7. " * 8):
    return PredictionRecord(
        id=f"bolt/bent/{number:06}",
        category="bolt",
        label=bool(number % 2),
        defect="bent",
        image_score=None if number % 7 == 0 else 0.1 + number / 1e4,
        regions={3: 0.7, 5: 1 / 3},
        n_regions=9,
        status="ok",
        notes=["a note\nof two lines"],
        key=f"{number:064x}",
        text=text,
        input_tokens=number,
        output_tokens=None,
        cost_usd=0.1,
        seconds=0.25,
        division="d" * 64,
    )


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 300])
def test_what_is_packed_comes_back(count):
    """In order, by place, from the end and in part, whatever fills the last block."""
    records = [recorded(number) for number in range(count)]
    packed = Predictions(records)
    assert len(packed) == count
    assert list(packed) == records
    assert [packed[at] for at in range(count)] == records
    assert [packed[-1 - at] for at in range(count)] == records[::-1]
    assert packed[3:130:7] == records[3:130:7]
    assert list(pickle.loads(pickle.dumps(packed))) == records
    for beyond in (count, -count - 1):
        with pytest.raises(IndexError, match=f"There are {count} predictions"):
            packed[beyond]


def test_odd_texts_survive():
    """Line ends of every kind, controls and emoji are part of a text, not of the packing."""
    texts = ["a\nb\r\nc\rd\x0b\x0c\x1c\u2028\u2029e", "\x00\x1b[31m", "😀" * 100, '{"image_score": 1}\n' * 50, ""]
    records = [recorded(at, text) for at, text in enumerate(texts)]
    packed = Predictions(records)
    assert list(packed) == records
    assert [packed[at].text for at in range(len(texts))] == texts


def test_parts_are_joined_and_let_go():
    """In their order, whatever their lengths; a part is gone before the next is asked for."""
    lengths = (100, 64, 0, 1, 200)
    gone = []

    def parts():
        for at, length in enumerate(lengths):
            assert len(gone) >= at - 1
            part = Predictions(recorded(1000 * at + number) for number in range(length))
            weakref.finalize(part, gone.append, at)
            yield part
            del part

    joined = Predictions.joined(parts())
    assert list(joined) == [
        recorded(1000 * at + number) for at, length in enumerate(lengths) for number in range(length)
    ]
    assert gone == list(range(len(lengths)))


def test_threads_may_look_at_once():
    """What one thread looks at does not disturb another."""
    records = [recorded(number) for number in range(300)]
    packed = Predictions(records)
    places = [(37 * at) % 300 for at in range(3000)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(packed.__getitem__, places)) == [records[at] for at in places]


def test_a_record_takes_a_fifth_of_its_line():
    """What is the same in all records costs next to nothing."""
    packed = Predictions(recorded(number) for number in range(640))
    lines = sum(len(line) for line in packed.lines())
    assert len(pickle.dumps(packed)) < lines / 5
