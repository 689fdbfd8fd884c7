"""A run on disk: its manifest, its predictions and its metrics, in versioned files that are checked when read."""

from lvlm_ad.runs.data_folders import DataFolders, datasets_without, folders_of
from lvlm_ad.runs.finding import each_separately, find_runs, measured_runs, only_run, read_runs, run_folders
from lvlm_ad.runs.image_scores import ImageScores, current_intervals, image_scores, is_current, usd_per_image
from lvlm_ad.runs.left_out import UNREADABLE, UNVERIFIED, UNWRITABLE, left_out_notes
from lvlm_ad.runs.prediction_records import PredictionRecord, StepRecord
from lvlm_ad.runs.records import (
    DEFAULT_FPR_LIMIT,
    INTERVAL_RULE,
    METRIC_NAMES,
    METRIC_TITLES,
    SCHEMA_VERSION,
    TEXT_KEPT,
    Manifest,
    MethodRecord,
)
from lvlm_ad.runs.reported import is_metric, is_reported, metric_title, reported_of, titles_of
from lvlm_ad.runs.resamples import read_resamples, write_resamples
from lvlm_ad.runs.run import Run, Runs, read_run, write_run

__all__ = [
    "DEFAULT_FPR_LIMIT",
    "INTERVAL_RULE",
    "METRIC_NAMES",
    "METRIC_TITLES",
    "SCHEMA_VERSION",
    "TEXT_KEPT",
    "UNREADABLE",
    "UNVERIFIED",
    "UNWRITABLE",
    "DataFolders",
    "ImageScores",
    "Manifest",
    "MethodRecord",
    "PredictionRecord",
    "Run",
    "Runs",
    "StepRecord",
    "current_intervals",
    "datasets_without",
    "each_separately",
    "find_runs",
    "folders_of",
    "image_scores",
    "is_current",
    "is_metric",
    "is_reported",
    "left_out_notes",
    "measured_runs",
    "metric_title",
    "only_run",
    "read_resamples",
    "read_run",
    "read_runs",
    "reported_of",
    "run_folders",
    "titles_of",
    "usd_per_image",
    "write_resamples",
    "write_run",
]
