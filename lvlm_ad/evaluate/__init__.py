"""From a configuration to runs: the only package that knows the whole order."""

from lvlm_ad.evaluate.bench import bench, dry_run
from lvlm_ad.evaluate.config import Plan, RunConfig, resolve
from lvlm_ad.evaluate.convention_check import ConventionCheck, check_convention
from lvlm_ad.evaluate.inspection import forecast_inspection, inspect
from lvlm_ad.evaluate.inspection_plan import InspectionConfig
from lvlm_ad.evaluate.inspection_results import Inspection
from lvlm_ad.evaluate.method_choice import without_name
from lvlm_ad.evaluate.one_image import AskedImage, CutImage, ask, cut
from lvlm_ad.evaluate.score_maps import score_maps
from lvlm_ad.log import Progress

__all__ = [
    "AskedImage",
    "ConventionCheck",
    "CutImage",
    "Inspection",
    "InspectionConfig",
    "Plan",
    "Progress",
    "RunConfig",
    "ask",
    "bench",
    "check_convention",
    "cut",
    "dry_run",
    "forecast_inspection",
    "inspect",
    "resolve",
    "score_maps",
    "without_name",
]
