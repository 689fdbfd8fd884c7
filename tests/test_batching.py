"""Questions of many threads, answered together."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from lvlm_ad.backend.batching import Batches, BatchSize, ClosedError, TooLargeError


class Device:
    """Squares numbers, in batches of at most ``room``; remembers every batch."""

    def __init__(self, room=10**9, seconds=0.0):
        self.room, self.seconds = room, seconds
        self.batches, self.prepared = [], []
        self.gate = threading.Event()
        self.gate.set()

    def prepare(self, items):
        if "bad" in items:
            raise ValueError("cannot be prepared")
        self.prepared.append(list(items))
        return list(items)

    def run(self, items):
        self.gate.wait(30)
        if len(items) > self.room:
            raise TooLargeError(f"{len(items)} do not fit")
        if "broken" in items:
            raise RuntimeError("cannot be answered")
        time.sleep(self.seconds)
        self.batches.append(items)
        return [item * item for item in items], None


def batches_of(device, start=4, most=16, length=lambda _: 0.0):
    return Batches(device.prepare, device.run, length=length, size=BatchSize(start, most))


def ask_all(batches, items, threads=64):
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(batches.ask, items))


def test_every_question_gets_its_answer_once():
    """Questions from many threads are answered together, none is lost, none is answered twice."""
    device = Device(seconds=0.001)
    batches = batches_of(device)
    assert ask_all(batches, range(500)) == [n * n for n in range(500)]
    assert sorted(n for batch in device.batches for n in batch) == list(range(500))
    assert max(map(len, device.batches)) == 16
    assert batches.statistics.questions == 500
    batches.close()


@pytest.mark.parametrize("room", [1, 3, 5, 8])
def test_what_does_not_fit_is_answered_in_smaller_batches(room):
    """Above some size the memory is too small: the batch halves, nothing is lost and nothing is answered twice."""
    device = Device(room=room)
    batches = batches_of(device, start=16, most=16)
    assert ask_all(batches, range(100)) == [n * n for n in range(100)]
    assert Counter(n for batch in device.batches for n in batch) == Counter(range(100))
    assert max(map(len, device.batches)) <= room
    # Halved a few times, not once a batch: the size is kept.
    assert 1 <= batches.statistics.retried <= 6
    batches.close()


def test_a_question_that_does_not_even_fit_alone_fails():
    """A question that does not fit alone raises TooLargeError."""
    batches = batches_of(Device(room=0))
    with pytest.raises(TooLargeError, match="1 do not fit"):
        batches.ask(3)
    batches.close()


@pytest.mark.parametrize(("odd", "error"), [("bad", ValueError), ("broken", RuntimeError)])
def test_one_bad_question_does_not_fail_the_others(odd, error):
    """If one question of a batch cannot be prepared or answered, only that one fails."""
    device = Device()
    batches = batches_of(device, start=8, most=8)
    device.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(batches.ask, item) for item in [1, 2, odd, 3, 4, 5, 6, 7]]
        device.gate.set()
        with pytest.raises(error):
            answers.pop(2).result(30)
        assert [answer.result(30) for answer in answers] == [1, 4, 9, 16, 25, 36, 49]
    batches.close()


def test_questions_of_like_length_go_together():
    """Questions of similar length share a batch."""
    device = Device()
    size = BatchSize(1, 1)
    batches = Batches(device.prepare, device.run, length=lambda item: 1000.0 * (item % 2), size=size)
    device.gate.clear()
    with ThreadPoolExecutor(41) as pool:
        asked = [pool.submit(batches.ask, 0)]
        while not device.prepared:
            time.sleep(0.01)
        # Until all are there, no batch is full, and none goes since one is under way.
        size.limit = 1000
        asked += [pool.submit(batches.ask, item) for item in random.Random(0).sample(range(40), 40)]
        while len(batches._waiting) < 40:
            time.sleep(0.01)
        size.limit = 10
        device.gate.set()
        for one in asked:
            one.result(30)
    assert [len(batch) for batch in device.batches] == [1, 10, 10, 10, 10]
    assert all(len({item % 2 for item in batch}) == 1 for batch in device.batches)
    batches.close()


def test_the_next_batch_is_prepared_while_one_is_answered():
    """The next batch is prepared while the current one is answered."""
    device = Device()
    batches = batches_of(device, start=4, most=4)
    device.gate.clear()
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(batches.ask, item) for item in range(16)]
        deadline = time.monotonic() + 30
        while len(device.prepared) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(device.prepared) == 2
        assert device.batches == []
        device.gate.set()
        assert sorted(one.result(30) for one in asked) == [n * n for n in range(16)]
    batches.close()


class SlowlyPrepared(Device):
    """A device for which preparing a batch takes 40 ms; counts how many are prepared at once."""

    def __init__(self, **more):
        super().__init__(**more)
        self.counting, self.under_way, self.most = threading.Lock(), 0, 0

    def prepare(self, items):
        with self.counting:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        time.sleep(0.04)
        with self.counting:
            self.under_way -= 1
        return super().prepare(items)


def test_several_threads_prepare_for_a_device_that_waits():
    """If the device has to wait, several threads prepare; every question is answered once, and a bad one fails alone.

    The device answers a batch in 10 ms: with one preparing thread it would work a fifth of the time.
    """
    shares = {}
    for preparers in (1, 6):
        device = SlowlyPrepared(seconds=0.01)
        size = BatchSize(2, 2)
        batches = Batches(device.prepare, device.run, length=lambda _: 0.0, size=size, preparers=preparers)
        with ThreadPoolExecutor(14) as pool:
            asked = [pool.submit(batches.ask, "bad" if number == 20 else number) for number in range(40)]
        assert [number for number, one in enumerate(asked) if one.exception()] == [20]
        assert sorted(number for batch in device.batches for number in batch) == [*range(20), *range(21, 40)]
        assert device.most == 1 if preparers == 1 else 3 <= device.most <= 6
        shares[preparers] = batches.statistics.waited / (batches.statistics.busy + batches.statistics.waited)
        batches.close()
    assert shares[6] < shares[1] / 2


def test_a_device_that_does_not_wait_has_one_batch_prepared_ahead():
    """Batches are not prepared earlier than needed: they cost memory, and the next one may be larger."""
    device = Device(seconds=0.05)
    batches = Batches(device.prepare, device.run, length=lambda _: 0.0, size=BatchSize(1, 1), preparers=6)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batches.ask, number) for number in range(8)]
        while len(device.batches) < 4:
            time.sleep(0.01)
        assert len(device.prepared) <= len(device.batches) + 3
        assert [one.result() for one in asked] == [number * number for number in range(8)]
    batches.close()


def test_closing_answers_what_is_under_way_and_nothing_more():
    """The current question is answered; waiting and later ones raise ClosedError."""
    device = Device()
    batches = batches_of(device, start=1, most=1)
    device.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batches.ask, 2)
        while not device.prepared:
            time.sleep(0.01)
        rest = [pool.submit(batches.ask, n) for n in (3, 4)]
        time.sleep(0.2)
        closing = pool.submit(batches.close)
        time.sleep(0.1)
        device.gate.set()
        closing.result(30)
        assert first.result(30) == 4
        for one in rest:
            with pytest.raises(ClosedError):
                one.result(30)
    with pytest.raises(ClosedError):
        batches.ask(5)


def test_the_size_grows_into_the_memory_and_not_beyond():
    """The size doubles while twice as many questions fit into 90 % of the memory; it never returns to a failed size."""
    size = BatchSize(4, 64)
    size.succeeded(4, 0.1)
    assert size.limit == 8
    size.succeeded(5, 0.9)
    assert size.limit == 8  # not full: it says nothing
    size.succeeded(8, 0.4)
    assert size.limit == 16
    size.succeeded(16, 0.8)
    assert size.limit == 18
    size.failed(18)
    assert size.limit == 9
    size.succeeded(9, 0.01)
    assert size.limit == 9
    fixed = BatchSize(3, 3)
    fixed.succeeded(3, 0.0)
    assert fixed.limit == 3


@pytest.mark.parametrize("ends", [SystemExit, KeyboardInterrupt])
def test_an_end_of_the_process_is_heard_by_who_asked(ends):
    """SystemExit reaches the thread that asked, and the other questions of its batch are answered."""

    def run(items):
        if 3 in items:
            raise ends("enough")
        return [item * item for item in items], None

    batches = Batches(list, run, length=lambda _: 0.0, size=BatchSize(4, 4))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(batches.ask, number) for number in range(8)]
    assert [one.result() for number, one in enumerate(asked) if number != 3] == [0, 1, 4, 16, 25, 36, 49]
    with pytest.raises(ends, match="enough"):
        asked[3].result()
    assert batches.ask(9) == 81
    batches.close()
