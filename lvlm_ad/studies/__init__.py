"""Studies: the same images asked under several conditions, and what the differences say about a model.

How a study is made::

    images = chosen_images(config, 100)
    design = StudyDesign("my-study", config, images, [Condition("base"), Condition("large", "resolution", "1024", ...)])
    results = run_study(design)
    readings = Readings.of(results)

Each condition is a bench of its own, so it leaves a complete run. ``Readings`` turns the runs into arrays, from which a
study computes its figures with pure functions of ``lvlm_ad.metrics``.
"""

from lvlm_ad.studies.comparison import StudyComparison, compare_studies
from lvlm_ad.studies.comparison_figures import StudyDifference
from lvlm_ad.studies.condition import Condition, StudyDesign
from lvlm_ad.studies.corruptions import corrupt
from lvlm_ad.studies.efficiency import EfficiencyOptions, price_efficiency, study_efficiency
from lvlm_ad.studies.efficiency_record import EfficiencyFigures
from lvlm_ad.studies.formats import STUDY_FORMATS, tables_of
from lvlm_ad.studies.grounding import GroundingOptions, price_grounding, study_grounding
from lvlm_ad.studies.grounding_record import GroundingFigures
from lvlm_ad.studies.images import StudyImages, chosen_images
from lvlm_ad.studies.maps import MapDifferences, StudyMaps
from lvlm_ad.studies.readings import Readings
from lvlm_ad.studies.recommend_record import Recommendation
from lvlm_ad.studies.recommendation import RecommendOptions, price_recommend, recommend
from lvlm_ad.studies.record import Number, Study, study_record
from lvlm_ad.studies.runner import Result, StudyResults, forecast_study, run_study
from lvlm_ad.studies.stability import StabilityOptions, price_stability, study_stability
from lvlm_ad.studies.stability_record import FactorFigures, StabilityFigures
from lvlm_ad.studies.tables import StudyTable
from lvlm_ad.studies.values import StudyValue, figures_of, study_values

__all__ = [
    "STUDY_FORMATS",
    "Condition",
    "EfficiencyFigures",
    "EfficiencyOptions",
    "FactorFigures",
    "GroundingFigures",
    "GroundingOptions",
    "MapDifferences",
    "Number",
    "Readings",
    "RecommendOptions",
    "Recommendation",
    "Result",
    "StabilityFigures",
    "StabilityOptions",
    "Study",
    "StudyComparison",
    "StudyDesign",
    "StudyDifference",
    "StudyImages",
    "StudyMaps",
    "StudyResults",
    "StudyTable",
    "StudyValue",
    "chosen_images",
    "compare_studies",
    "corrupt",
    "figures_of",
    "forecast_study",
    "price_efficiency",
    "price_grounding",
    "price_recommend",
    "price_stability",
    "recommend",
    "run_study",
    "study_efficiency",
    "study_grounding",
    "study_record",
    "study_stability",
    "study_values",
    "tables_of",
]
