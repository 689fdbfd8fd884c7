"""Schema of metrics.json."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lvlm_ad.limits import TOTAL_COUNT
from lvlm_ad.runs.decision_records import DecisionMeasures
from lvlm_ad.runs.fields import Amount, Count, Fraction, Interval
from lvlm_ad.runs.records import DEFAULT_FPR_LIMIT
from lvlm_ad.runs.reported import is_reported

__all__ = ["CategoryMeasures", "Measures"]


class _Measures(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _WithReported(_Measures):
    """Measures that may hold metrics beside the seven, each under its own name."""

    @model_validator(mode="before")
    @classmethod
    def _check_reported(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_reported(name) and value is not None and not (number and 0 <= value <= 1):
                raise ValueError(f"{name} must be a number from 0 to 1")
        return values


class ShapeMeasures(_Measures):
    """The metrics of shapes of one category, or the mean over all."""

    miou_box: Fraction | None
    miou_mask: Fraction | None
    acc_box_10: Fraction | None
    acc_box_30: Fraction | None
    acc_box_50: Fraction | None
    acc_mask_10: Fraction | None
    acc_mask_30: Fraction | None
    acc_mask_50: Fraction | None
    false_alarms: Fraction | None
    point_hit: Fraction | None = None
    """Like ``found``, only of methods that answer with points."""
    found: Fraction | None = None
    interval: dict[str, Interval] = {}
    undefined: dict[str, str] = {}
    range: dict[str, Interval] = {}


class CategoryMeasures(_WithReported):
    """The metrics of one category, or the mean over all. Fields that older versions did not write have a default."""

    image_auroc: Fraction | None = None
    image_ap: Fraction | None = None
    image_f1_max: Fraction | None = None
    pixel_auroc: Fraction | None = None
    pixel_ap: Fraction | None = None
    pixel_f1_max: Fraction | None = None
    pixel_aupro: Fraction | None = None
    n_images: Count
    n_measured: Count
    n_with_truth: Count | None = None
    """How many images the pixel metrics cover, if some ground truth is unknown."""
    fpr_limit: Fraction = DEFAULT_FPR_LIMIT
    interval: dict[str, Interval] = {}
    """Metric -> the ends of its 95 % interval."""
    no_interval: dict[str, str] = {}
    """Metric -> why it has a value but no interval."""
    few_images: list[str] = []
    """Metrics with so few images that even a perfect value does not exclude chance."""
    bound_at_extreme: dict[str, Fraction] = {}
    """Image AUROC at 1 or 0 -> the smallest or largest true AUROC that no valid interval can exclude."""
    interval_over_categories: dict[str, Interval] = {}
    """Of a mean: metric -> an interval that also stands for other kinds of objects."""
    range: dict[str, Interval] = {}
    undefined: dict[str, str] = {}
    """Metric -> why it is None."""
    shapes: ShapeMeasures | None = None
    """Of a method that answers with boxes, points, cells or masks."""


class GroupMeasures(_WithReported):
    """The defects of one kind in a category, or of one size, against the good images; or the images with one tag."""

    n: Count
    """Defective images that were measured."""
    n_good: Count | None = None
    """Of a tag: the good images."""
    categories: list[str] = []
    """Of a size: the categories that have such defects; the metrics are means over them."""
    image_auroc: Fraction | None
    pixel_auroc: Fraction | None
    pixel_aupro: Fraction | None
    judged: Count = 0
    """Defective images that are judged at the run's threshold, those without an answer included."""
    found: Count = 0
    """Those of them that alarm."""
    recall: Fraction | None = None
    interval: dict[str, Interval] = {}
    no_interval: dict[str, str] = {}
    few_images: list[str] = []
    bound_at_extreme: dict[str, Fraction] = {}
    undefined: dict[str, str] = {}


class ChoiceMeasures(_Measures):
    """The answers to questions of one source and subtask, or an average."""

    accuracy: Fraction | None
    """An answer without a choice counts as wrong."""
    left_out: Fraction | None
    """An answer without a choice is left out."""
    as_published: Fraction | None = None
    """By the script of the data set's authors."""
    chance: Fraction | None = None
    """What guessing gives on average."""
    interval: dict[str, Interval] = {}
    asked: Count
    unread: Count


class LetterMeasures(_Measures):
    """How often an option's letter stood in a question, was right, and was chosen."""

    offered: Count
    right: Count
    chosen: Count


class AllChoiceMeasures(_Measures):
    """The answers to all multiple-choice questions."""

    questions: Count
    unread: dict[str, Count]
    """Status -> answers without a choice."""
    sources: dict[str, dict[str, ChoiceMeasures]]
    """Source -> subtask, "Average", or a further number of detection."""
    letters: dict[str, LetterMeasures]


class TagMeasures(GroupMeasures):
    """The images with one value of a tag; the metrics are means over categories."""

    by_category: dict[str, GroupMeasures] = {}


class MapThresholdMeasures(_Measures):
    """A threshold of maps: see ``lvlm_ad.metrics.binary.MapThreshold``."""

    value: Annotated[float, Field(allow_inf_nan=False)]
    rule: str
    source: str
    images: Count
    saw_test_labels: bool


class UsageMeasures(_Measures):
    """Tokens, cost and time of all answers together; None where an answer does not report them."""

    input_tokens: Count | None
    output_tokens: Count | None
    cost_usd: Amount | None
    spent_usd: Amount | None = None
    seconds: Amount
    questions: Count | None = None
    """Questions that were answered; only of methods other than regions, which asks one an image."""


class AnswerMeasures(_Measures):
    """How many answers have which status."""

    model_config = ConfigDict(extra="allow", strict=True)
    __pydantic_extra__: dict[str, Count]

    total: Annotated[int, Field(ge=1, le=TOTAL_COUNT)]
    usable: Count


class IntervalMeasures(_Measures):
    """How a run's intervals were computed."""

    level: Fraction = 0.95
    resamples: Count = 0
    pixels: str = ""
    """How pixels were counted for resamples: "exact", or at how many thresholds."""
    rule: Count = 1


class Measures(_Measures):
    """The content of metrics.json."""

    mean: CategoryMeasures
    categories: dict[str, CategoryMeasures]
    answers: AnswerMeasures
    usage: UsageMeasures
    intervals: IntervalMeasures = IntervalMeasures()
    """Missing in runs of rule 1 with --resamples 0."""
    coverage: Fraction | None = None
    """The fraction of images with a usable answer."""
    scores: dict[str, Count] = {}
    findings: dict[str, Count] = {}
    """Counts that the marks of rows in tables depend on; only of methods other than regions."""
    decisions: DecisionMeasures | None = None
    kinds: dict[str, dict[str, GroupMeasures]] = {}
    """Category -> kind of defect -> its metrics, where a category has several kinds."""
    choices: AllChoiceMeasures | None = None
    """Of a method that asks the data set's questions."""
    sizes: dict[str, GroupMeasures] = {}
    """Size of defect -> the metrics of such defects."""
    tags: dict[str, dict[str, TagMeasures]] = {}
    """Tag, such as "lighting" -> its value -> the metrics of the images that have it."""
    reported: list[str] = []
    """The metrics that the data set's authors report, which tables show first; also those of the seven."""
    map_thresholds: dict[str, MapThresholdMeasures] = {}
    """Category -> where maps are cut for SegF1 and ClassF1."""
