"""A study of a model in this process: real classes, tiny random weights, answers held to the format."""

from importlib.util import find_spec

import pytest

from lvlm_ad.evaluate import RunConfig
from lvlm_ad.studies import StabilityFigures, StabilityOptions, study_stability

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(
        any(find_spec(name) is None for name in ("torch", "transformers", "accelerate", "xgrammar")),
        reason="the extras 'local' and 'constrain' are not installed",
    ),
]

SETTINGS = {
    "image_size": 64,
    "division": "grid",
    "grid_rows": 2,
    "grid_columns": 2,
    "min_area": 0,
    "number_size": 8,
    "prompt": "json",
    "constrain": True,
    "device": "cpu",
    "max_tokens": 80,
}


@pytest.fixture
def studied(blocks, tiny_lvlm, tmp_path):
    """A function that studies a tiny model at a temperature, and returns its figures."""

    def study(temperature):
        settings = {**SETTINGS, "model": str(tiny_lvlm("qwen2_5_vl")), "temperature": temperature}
        config = RunConfig("transformers", data=blocks, settings=settings, out=tmp_path / "out", resamples=0)
        options = StabilityOptions(images=8, repeats=3, levels=1, factors=("repeat",), name=f"at-{temperature}")
        done = study_stability(config, options)
        assert done.state == "complete", done.conditions
        return StabilityFigures.model_validate(done.figures)

    return study


def test_temperature_decides_whether_repeats_differ(studied):
    """At temperature 0 every figure of repeats is exactly 0; with sampling scores and decisions differ."""
    still, sampled = studied(0.0), studied(1.0)
    for group in still.repeats.values():
        assert (group.flip_rate.value, group.unstable_fraction, group.within_sd) == (0.0, 0.0, 0.0)
    assert (still.map_test_retest.value, still.auroc.asking) == (0.0, 0.0)
    assert {one.sd for one in still.metrics.values()} == {0.0}
    assert sampled.repeats["all"].within_sd > 0.01
    assert sampled.repeats["all"].flip_rate.value > 0
    assert sampled.auroc.asking > 0
