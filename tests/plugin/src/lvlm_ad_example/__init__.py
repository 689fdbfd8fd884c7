"""A backend, a baseline and a method in a package of their own."""

import numpy as np

from lvlm_ad.backend import Answer, Backend, BackendOptions, Picture, Request
from lvlm_ad.baseline import Baseline, DenseScores
from lvlm_ad.methods import Finding, Method, MethodOptions
from lvlm_ad.text2seg import read


class ExampleOptions(BackendOptions):
    """Options of the example backend."""

    score: float = 0.25
    """The image score it always answers."""


class ExampleBackend(Backend):
    """Always gives the same answer."""

    Options = ExampleOptions

    def answer(self, request):  # noqa: ARG002 - it always answers the same
        return Answer(f"image anomaly score: {self.options.score}.")


class ExampleBaseline(Baseline):
    """Brighter is more anomalous."""

    def score(self, view):
        bright = view.image.mean(axis=2) / 255
        return DenseScores(image=float(bright.max()), map=bright.astype(np.float32))


class ExampleMethodOptions(MethodOptions):
    """Options of the example method."""

    times: int = 2
    """How often it asks."""


class ExampleMethod(Method):
    """Asks for an image score, again and again, and believes the last answer."""

    Options = ExampleMethodOptions
    places = ""
    needs_regions = False

    def inspect(self, view):
        found = Finding(None, status="unparsable")
        for number in range(1, self.options.times + 1):
            text = f"{view.text()} This is question {number}."
            answer = yield Request((Picture.from_pixels(view.image),), text)
            found = Finding.of(read(answer, 0))
        return found

    def most_questions(self, view):  # noqa: ARG002 - as often for every image
        return self.options.times
