"""A backend and a baseline in a package of their own."""

import numpy as np

from lvlm_ad.backend import Answer, Backend, BackendOptions
from lvlm_ad.baseline import Baseline, DenseScores


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
