"""How stable a model's answers are: over repeats, ways of asking, and numbers of regions.

``repeats`` compares the same question asked several times, ``maps`` its anomaly maps, and ``votes`` its AUROCs, alone
and together. ``components`` and ``one_factor`` say where variance comes from, ``shifts`` compares two ways of asking,
and ``positions`` finds a preference for numbers. ``planning`` says how many images and answers a precision needs.

A model that repeats itself has exactly 0.0 flips, spread and difference. Every interval is about the choice of images.
"""

from lvlm_ad.metrics.stability.components import VarianceComponents, variance_components
from lvlm_ad.metrics.stability.maps import map_disagreement, mean_map_disagreement
from lvlm_ad.metrics.stability.measured import Measured
from lvlm_ad.metrics.stability.one_factor import OneFactor, one_factor
from lvlm_ad.metrics.stability.planning import (
    Design,
    design,
    images_for_auroc,
    images_for_flip_rate,
    within_sd_relative_error,
)
from lvlm_ad.metrics.stability.positions import PositionBias, position_bias
from lvlm_ad.metrics.stability.repeats import Answering, Repeats, answering, icc, repeats
from lvlm_ad.metrics.stability.shifts import paired_shift
from lvlm_ad.metrics.stability.votes import AurocSpread, Vote, auroc_spread, votes

__all__ = [
    "Answering",
    "AurocSpread",
    "Design",
    "Measured",
    "OneFactor",
    "PositionBias",
    "Repeats",
    "VarianceComponents",
    "Vote",
    "answering",
    "auroc_spread",
    "design",
    "icc",
    "images_for_auroc",
    "images_for_flip_rate",
    "map_disagreement",
    "mean_map_disagreement",
    "one_factor",
    "paired_shift",
    "position_bias",
    "repeats",
    "variance_components",
    "votes",
    "within_sd_relative_error",
]
