"""Every method of inspection with a model in this process: real classes, tiny random weights."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from threading import Barrier

import pytest

from lvlm_ad.plugins.methods import load_method, method_names
from lvlm_ad.regions.shapes import Region, shape_to_json
from lvlm_ad.testing.conversations import converse, noise, view_of

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "transformers", "accelerate", "xgrammar")),
        reason="the extras 'local' and 'constrain' (torch, transformers, accelerate, xgrammar) are not installed",
    ),
]

VIEWS = 2


@pytest.fixture(scope="module")
def backends(tiny_lvlm):
    """The same model twice: it answers one question at a time, and up to six together."""
    from lvlm_ad_backends.transformers import TransformersBackend, TransformersOptions

    # Forced into their format, answers about regions hold scores, so that methods of several steps go on.
    common = {"model": str(tiny_lvlm("qwen2_5_vl")), "max_tokens": 100, "device": "cpu", "constrain": True}
    both = [TransformersBackend(TransformersOptions(**common, batch_size=size)) for size in (1, 2 * VIEWS)]
    yield both
    for one in both:
        one.close()


def comparable(finding):
    """A finding whose masks can be compared with ``==``."""
    shapes = [one if isinstance(one, Region) else shape_to_json(one) for one in finding.shapes]
    return finding.image, shapes, finding.status, finding.notes, finding.flags, finding.spread


@pytest.mark.parametrize("name", method_names())
def test_answered_together_or_alone_a_method_finds_the_same(backends, name):
    """Images inspected at the same time lead to the same questions and findings as one after the other."""
    single, batched = backends
    method, _ = load_method(name, {})
    views = [view_of(method, noise(number, 84), shots=1, cells=2) for number in range(VIEWS)]
    alone = [converse(method, view, lambda _, request: single.answer(request)) for view in views]
    before, ready = batched.statistics.batches, Barrier(VIEWS)

    def ask(number, request):
        if number == 0:
            # However busy the machine is, the first questions arrive together.
            ready.wait()
        return batched.answer(request)

    with ThreadPoolExecutor(VIEWS) as pool:
        together = list(pool.map(lambda view: converse(method, view, ask), views))
    assert [one.keys for one in together] == [one.keys for one in alone]
    assert [comparable(one.finding) for one in together] == [comparable(one.finding) for one in alone]
    assert batched.statistics.batches - before < sum(len(one.keys) for one in alone)
