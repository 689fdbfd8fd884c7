"""Which prompt, image size and settings follow from the method of a bench."""

import pytest

from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.config import RunConfig, resolve


@pytest.fixture
def prompt_and_size(kept_data):
    """From a model, a method and settings to the name of the prompt and the image size."""

    def choose(model, method, **settings):
        plan = resolve(RunConfig(models=model, method=method, settings=settings, data=kept_data, reference_rows=False))
        return plan.prompt_of(plan.models[0]).name, plan.protocol.image_size

    return choose


@pytest.mark.parametrize(
    ("model", "method", "settings", "prompt", "size"),
    [
        ("gpt-4o", "regions", {}, "class", 768),
        ("gpt-4o", "boxes", {}, "boxes", 896),
        ("claude", "boxes", {}, "boxes-claude", 896),
        ("claude", "boxes", {"scored": "true"}, "boxes-scored", 896),
        ("claude", "boxes", {"state_convention": "true"}, "boxes", 896),
        ("claude", "boxes", {"convention": "qwen3_1000"}, "boxes", 896),
        ("claude", "boxes", {"prompt": "boxes-glm", "image_size": "640"}, "boxes-glm", 640),
        ("claude", "points", {}, "points", 896),
        ("claude", "cells", {}, "cells", 896),
        ("claude", "score", {}, "score", 896),
        ("claude", "yes-no", {}, "yes-no", 896),
        ("gemini", "masks", {"scored": "true"}, "masks-scored", 896),
    ],
)
def test_method_model_and_settings_decide_the_prompt(prompt_and_size, model, method, settings, prompt, size):
    """The user's prompt comes first, then the words of the model's makers where they are for the same question."""
    assert prompt_and_size(model, method, **settings) == (prompt, size)


def test_a_preset_names_prompts_of_methods_that_exist(prompt_and_size, tmp_path):
    """A preset's prompt for a method that does not exist is an error, whichever method is asked for."""
    preset = tmp_path / "mine.toml"
    preset.write_text('backend = "openai"\nmodel = "gpt-4o"\nprompts = { boxs = "boxes-glm" }\n')
    for method in ("boxes", "regions"):
        with pytest.raises(ConfigError, match=r"model mine: prompts names no method 'boxs'\. Did you mean 'boxes'"):
            prompt_and_size(str(preset), method)
    preset.write_text(preset.read_text().replace("boxs", "boxes"))
    assert prompt_and_size(str(preset), "boxes") == ("boxes-glm", 896)
