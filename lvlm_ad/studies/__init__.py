"""Studies: the same images asked under several conditions, and what the differences say about a model.

How a study is made::

    images = chosen_images(config, 100)
    design = StudyDesign("my-study", config, images, [Condition("base"), Condition("large", "resolution", "1024", ...)])
    results = run_study(design)
    readings = Readings.of(results)

Each condition is a bench of its own, so it leaves a complete run. ``Readings`` turns the runs into arrays, from which a
study computes its figures with pure functions of ``lvlm_ad.metrics``.
"""

from lvlm_ad.studies.condition import Condition, StudyDesign
from lvlm_ad.studies.images import StudyImages, chosen_images
from lvlm_ad.studies.readings import Readings
from lvlm_ad.studies.runner import Result, StudyResults, forecast_study, run_study

__all__ = [
    "Condition",
    "Readings",
    "Result",
    "StudyDesign",
    "StudyImages",
    "StudyResults",
    "chosen_images",
    "forecast_study",
    "run_study",
]
