"""The time of a machine that answers several questions at once, divided among them."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lvlm_ad.backend.shares import SharedTime

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 1000), st.integers(0, 50)), min_size=1, max_size=30)


@given(STEPS)
def test_shares_are_those_of_a_plain_sum(steps):
    """Second by second, each question under way gets an equal part; together they are the busy time."""
    clock = list(accumulate(wait for *_, wait in steps))
    now = iter(clock)
    last = [0.0]

    def time():
        last[0] = float(next(now, last[0]))
        return last[0]

    shared = SharedTime(time)
    under_way, shares, expected = [], [], {}
    for at, (begins, which, _) in enumerate(steps):
        passed = clock[at] - (clock[at - 1] if at else clock[0])
        for one in under_way:
            expected[id(one)] += passed / len(under_way)
        if begins or not under_way:
            context = shared.question()
            under_way.append(context)
            expected[id(context)] = 0.0
            shares.append((context, context.__enter__()))
        else:
            under_way.pop(which % len(under_way)).__exit__(None, None, None)
        assert shared.under_way == len(under_way)
    ended = [(context, share) for context, share in shares if context not in under_way]
    assert [share() for _, share in ended] == pytest.approx([expected[id(context)] for context, _ in ended])


def test_a_question_that_fails_is_no_longer_under_way():
    """An error ends a question like an answer does."""
    shared = SharedTime()
    with pytest.raises(ValueError, match="no answer"), shared.question():
        raise ValueError("no answer")
    assert shared.under_way == 0
