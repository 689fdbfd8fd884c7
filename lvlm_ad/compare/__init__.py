"""Compares runs on the same images: paired differences with intervals, and the images that differ most."""

from lvlm_ad.compare.conditions import differing_conditions, distinct_names, measured_categories, method_in_words
from lvlm_ad.compare.differences import Difference, p_text
from lvlm_ad.compare.reported import run_estimates
from lvlm_ad.compare.runs import SIGNIFICANT, Comparison, ImageDifference, adjusted, compare_runs

__all__ = [
    "SIGNIFICANT",
    "Comparison",
    "Difference",
    "ImageDifference",
    "adjusted",
    "compare_runs",
    "differing_conditions",
    "distinct_names",
    "measured_categories",
    "method_in_words",
    "p_text",
    "run_estimates",
]
