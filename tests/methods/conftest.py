"""What tests of methods share: views of made-up pictures, and a conversation driven to its end."""

from string import Template

import numpy as np
import pytest

from lvlm_ad.backend import Answer
from lvlm_ad.conventions import load_convention
from lvlm_ad.evaluate.conversation import Talk
from lvlm_ad.methods import AskedModel, View
from lvlm_ad.presets import Protocol, load_prompt
from lvlm_ad.regions import divide


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
    with Talk(method, view) as talking:
        (request,) = talking.requests
        talking.go_on([answer(request) if callable(answer) else answer])
    assert talking.finding is not None, "the method asks more than one question"
    return request, talking.finding


@pytest.fixture(name="make_view")
def make_view_fixture():
    """The function ``make_view``."""
    return make_view


@pytest.fixture(name="talk")
def talk_fixture():
    """The function ``talk``."""
    return talk


@pytest.fixture
def region_view():
    """Make a view of a picture in a grid of 4 x 4 regions, by default plain grey, 96 x 96, shown at its own size."""

    def make(image=None, *, prompt="class", rows=4, **changes):
        image = np.full((96, 96, 3), 128, np.uint8) if image is None else image
        values = {"class_name": "bolt", "references": "", "pictures": "One picture."}
        fields = {
            "image": image,
            "original": image,
            "category": "bolt",
            "class_name": "bolt",
            "regions": divide(image, "grid", grid_rows=rows, grid_columns=rows, min_area=0, max_area=1e9),
            "seed": "0/bolt/1",
            "protocol": Protocol(image_size=max(len(image), 16), border_width=1, number_size=7),
            "fill": lambda own: Template(load_prompt(prompt).text).substitute({**values, **own}).strip(),
        }
        return View(**{**fields, **changes})

    return make


@pytest.fixture
def drive():
    """Drive a method to its end; ``answer`` maps a request to a text or an ``Answer``. Returns finding and rounds."""

    def run(method, view, answer):
        rounds = []
        with Talk(method, view) as talk:
            while talk.finding is None:
                rounds.append(talk.requests)
                answers = map(answer, talk.requests)
                talk.go_on([one if isinstance(one, Answer) else Answer(one) for one in answers])
        return talk.finding, rounds

    return run
