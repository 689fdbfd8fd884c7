"""Decisions: which images to reject, how often that is wrong, and what it costs.

``threshold`` chooses a threshold without the labels of the images that it judges. ``figures`` counts right and wrong
decisions. ``abstention``, ``cost`` and ``calibration`` say what unanswered images, wrong decisions and wrong
probabilities amount to. Pure functions on arrays: labels are booleans, True for a defect; scores are numbers, higher
for more anomalous, and None or NaN where the model gave no answer (an abstention).
"""

from lvlm_ad.decisions.abstention import risk_coverage
from lvlm_ad.decisions.calibration import calibration
from lvlm_ad.decisions.choice import KINDS, Choice, parse_threshold
from lvlm_ad.decisions.clusters import effective_images
from lvlm_ad.decisions.cost import Prices, baselines, cost, cost_interval, mean_cost, relative_costs
from lvlm_ad.decisions.figures import clopper_pearson, decision, mean_decision, rates
from lvlm_ad.decisions.threshold import (
    Threshold,
    best_threshold,
    choose_threshold,
    conformal,
    conformal_p_values,
    fixed,
    promise,
    reference_quantile,
)

__all__ = [
    "KINDS",
    "Choice",
    "Prices",
    "Threshold",
    "baselines",
    "best_threshold",
    "calibration",
    "choose_threshold",
    "clopper_pearson",
    "conformal",
    "conformal_p_values",
    "cost",
    "cost_interval",
    "decision",
    "effective_images",
    "fixed",
    "mean_cost",
    "mean_decision",
    "parse_threshold",
    "promise",
    "rates",
    "reference_quantile",
    "relative_costs",
    "risk_coverage",
]
