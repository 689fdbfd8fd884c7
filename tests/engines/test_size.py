"""How many copies of a model a cluster gets, and what each takes."""

import pytest

from lvlm_ad.engines import RayOptions
from lvlm_ad.engines.ray import size_of

GPUS = {"GPU": 8.0, "CPU": 64.0}
ONE = {"GPU": 1.0, "CPU": 12.0}
NONE = {"CPU": 128.0}


@pytest.mark.parametrize(
    ("machines", "options", "size"),
    [
        ([GPUS, GPUS], {}, (16, 1, 8)),
        # Machines without a GPU do not count.
        ([ONE, NONE, NONE], {}, (1, 1, 12)),
        ([GPUS, ONE], {}, (9, 1, 8)),
        # A copy with two GPUs is on one machine.
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
def test_copies_and_what_they_take(machines, options, size):
    """By default one copy per GPU, with its share of the processors."""
    found = size_of(machines, RayOptions(**options))
    assert (found.copies, found.num_gpus, found.num_cpus) == size
