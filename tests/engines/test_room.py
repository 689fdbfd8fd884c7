"""How many copies of a model a cluster gets, and what each takes."""

import pytest

from lvlm_ad.engines.options import RayOptions

cluster = pytest.importorskip("lvlm_ad.engines.cluster")

GPUS = {"GPU": 8.0, "CPU": 64.0}
ONE = {"GPU": 1.0, "CPU": 12.0}
NONE = {"CPU": 128.0}


@pytest.mark.parametrize(
    ("machines", "options", "room"),
    [
        ([GPUS, GPUS], {}, (16, 1, 8)),
        # Processors of machines without a GPU fall to nobody's.
        ([ONE, NONE, NONE], {}, (1, 1, 12)),
        ([GPUS, ONE], {}, (9, 1, 8)),
        # A copy that takes two GPUs lies on one machine.
        ([{"GPU": 3.0, "CPU": 9.0}] * 3, {"num_gpus": 2}, (3, 2, 6)),
        ([ONE], {"num_gpus": 0.5}, (2, 0.5, 6)),
        ([GPUS], {"num_cpus": 2, "actors": 3}, (3, 1, 2)),
        ([NONE, {"CPU": 4.0}], {}, (2, 0, 4)),
        ([NONE, {"CPU": 4.0}], {"actors": 4}, (4, 0, 2)),
        ([GPUS, NONE], {"num_gpus": 0}, (2, 0, 64)),
        ([NONE], {"num_gpus": 1}, (1, 1, 1)),
        ([{}], {}, (1, 0, 1)),
        ([], {}, (1, 0, 1)),
    ],
)
def test_copies_and_what_they_take(machines, options, room):
    """By default one copy a GPU, with the processors that fall to it."""
    found = cluster.room_of(machines, RayOptions(**options))
    assert (found.copies, found.num_gpus, found.num_cpus) == room
