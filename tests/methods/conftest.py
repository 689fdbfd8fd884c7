"""What tests of methods share: views of made-up pictures, and a conversation driven to its end."""

from string import Template

import numpy as np
import pytest

from lvlm_ad.conventions import load_convention
from lvlm_ad.methods import AskedModel, View
from lvlm_ad.presets import Protocol, load_prompt


def make_view(image=None, *, prompt="score", convention=None, **changes):
    """A view of a picture, by default grey and not square; ``prompt`` is a preset's name."""
    image = np.full((448, 672, 3), 128, np.uint8) if image is None else image
    model = AskedModel("house", convention=load_convention(convention) if convention else None)
    values = {"class_name": "metal nut", "defects": "any", "references": ""}
    return View(
        **{
            "image": image,
            "original": image,
            "category": "metal_nut",
            "class_name": "metal nut",
            "regions": None,
            "seed": "0/metal_nut/1",
            "protocol": Protocol(),
            "fill": lambda own: Template(load_prompt(prompt).text).substitute({**values, **own}).strip(),
            "model": model,
            **changes,
        }
    )


def talk(method, view, answer):
    """Drive a method that asks one question; ``answer`` is an ``Answer`` or a function from the request to it."""
    conversation = method.inspect(view)
    request = next(conversation)
    try:
        conversation.send(answer(request) if callable(answer) else answer)
    except StopIteration as end:
        return request, end.value
    raise AssertionError("the method asks more than one question")


@pytest.fixture(name="make_view")
def make_view_fixture():
    """The function ``make_view``."""
    return make_view


@pytest.fixture(name="talk")
def talk_fixture():
    """The function ``talk``."""
    return talk
