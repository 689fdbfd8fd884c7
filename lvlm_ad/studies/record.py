"""``study.json``: what a study asked, what became of each condition, its verdict and its figures."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from lvlm_ad._version import versions
from lvlm_ad.errors import RunError
from lvlm_ad.files import read_file, write_file
from lvlm_ad.leaderboard import model_title
from lvlm_ad.limits import MANIFEST_BYTES, check_plain
from lvlm_ad.runs import read_run
from lvlm_ad.runs.fields import Amount, Count, Values, check_order
from lvlm_ad.runs.run import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lvlm_ad.metrics.stability import Measured
    from lvlm_ad.runs import Run
    from lvlm_ad.studies.runner import Result, StudyResults

__all__ = [
    "MAKE_AGAIN",
    "STUDY_FILE",
    "STUDY_VERSION",
    "ConditionRecord",
    "LeftOut",
    "Number",
    "Record",
    "Study",
    "study_record",
]

STUDY_FILE = "study.json"

MAKE_AGAIN = "Delete {} or move it away, then repeat the command that made it: stored answers are not asked again."
"""What to do about a damaged file of a study or a recommendation."""

STUDY_VERSION = 1
"""The schema of ``study.json``; a higher one is refused."""

_LONGEST_ERROR = 300
"""Characters of an error that are kept."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """A part of ``study.json``. Fields of later versions are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Number(Record):
    """A number with its 95 % interval over the choice of images."""

    value: Finite | None
    """None: undefined, see ``reason``."""
    interval: Annotated[tuple[Finite, Finite], AfterValidator(check_order)] | None = None
    reason: str = ""
    """Why there is no value or no interval."""

    @classmethod
    def of(cls, measured: Measured) -> Self:
        """Record what a function of ``lvlm_ad.metrics.stability`` returned."""
        return cls(value=measured.value, interval=measured.interval, reason=measured.reason)

    @property
    def shown(self) -> Number:
        """The number as tables show a variance: what lies below 0 as 0.

        An interval that lies below 0 altogether is left out: [0, 0] would claim that the variance is known to be 0.

        Example:
            >>> Number(value=-0.01, interval=(-0.03, 0.02)).shown
            Number(value=0.0, interval=(0.0, 0.02), reason='')
        """
        if self.value is None or self.interval is None:
            return Number(value=None if self.value is None else max(self.value, 0.0), reason=self.reason)
        low, high = self.interval
        if high <= 0:
            return Number(value=max(self.value, 0.0), reason="the whole interval lies below 0")
        return Number(value=max(self.value, 0.0), interval=(max(low, 0.0), high), reason=self.reason)


class ConditionRecord(Record):
    """A condition, and what became of it."""

    name: str
    factor: str
    """What it varies; "" for the base."""
    level: str
    settings: Values
    """What differs from the base, as of ``--set``."""
    run: str | None
    """The name of its run's folder beside ``study.json``; None: there is no run."""
    problem: str = ""
    """Why there is no run, or why one was not asked about all images; empty also where --max-cost is the reason."""
    answered: Count = 0
    """Images with a usable answer; the others are left out of figures."""
    missing: Count = 0
    """Images without a usable answer, those not asked included."""
    unasked: Count = 0
    """Images that were not asked, most often for the limit of --max-cost."""
    failed: Count = 0
    """Images whose questions failed, such as for a lost connection; the same command asks them again."""
    failure: str = ""
    """The first of them: the image's id and the error."""
    cost_usd: Amount | None = None
    """Of all its answers, stored ones included; None if unknown."""
    seconds: Amount | None = None
    """Median time of an image's answers when they were asked."""

    @property
    def gaps(self) -> list[str]:
        """Why images lack an answer, in words; empty if none does.

        Example:
            >>> one = ConditionRecord(
            ...     name="base", factor="", level="", settings={}, run="base", answered=5, missing=3, unasked=2)
            >>> print(*one.gaps, sep="; ")
            2 of 8 images were not asked (the limit of --max-cost was reached); 1 of 8 images have no usable answer
        """
        total, unusable = self.answered + self.missing, self.missing - self.unasked - self.failed
        found = []
        if self.unasked:
            reason = self.problem or "the limit of --max-cost was reached"
            found.append(f"{self.unasked} of {total} images were not asked ({reason})")
        if self.failed:
            found.append(f"{self.failed} of {total} images failed ({self.failure})")
        if unusable > 0:
            found.append(f"{unusable} of {total} images have no usable answer")
        return found


class LeftOut(Record):
    """Something that the study does not measure."""

    what: str
    reason: str


class Study(Record):
    """The content of ``study.json``.

    Example, reading a study back::

        study = Study.read(Path("runs/studies/stability-gpt-4o-mvtec"))
        study.verdict
        figures = StabilityFigures.model_validate(study.figures)
    """

    schema_version: Annotated[int, Field(ge=1, le=STUDY_VERSION)] = STUDY_VERSION
    kind: str
    """Which study, such as "stability"; it says what ``figures`` holds."""
    name: str
    """The name of its folder."""
    model: str
    """The model of the base, as tables name it, such as "vllm (Qwen/Qwen3-VL-8B)"."""
    method: str
    dataset: str
    """What was measured, such as "mvtec (part): 100 images, 15 categories"."""
    fingerprint: str
    """SHA-256 over the images, labels and masks."""
    images: Count
    available: Count
    """How many images there were to choose from."""
    seed: int
    state: Literal["complete", "capped", "incomplete", "interrupted"]
    """complete: every condition answered every image; capped: --max-cost left some unasked; interrupted: by Ctrl-C;
    incomplete: a condition failed, or answers are unusable."""
    verdict: str
    """One sentence or two."""
    findings: list[str] = []
    """What else it found, a sentence each, such as which way of asking shifts scores most."""
    conditions: list[ConditionRecord]
    left_out: list[LeftOut] = []
    spent_usd: Amount | None = 0.0
    """What the command that wrote this spent; answers stored before cost nothing. None: unknown."""
    figures: dict[str, Any]
    """What the study measured, by its kind: ``StabilityFigures`` for stability."""
    versions: dict[str, str]
    written: str
    """UTC, ISO 8601."""

    @field_validator("figures")
    @classmethod
    def _check_figures(cls, figures: dict[str, Any]) -> dict[str, Any]:
        check_plain(figures)
        return figures

    @classmethod
    def read(cls, folder: Path) -> Study:
        """Read a study.

        Args:
            folder: the study's folder, or ``study.json`` itself.

        Raises:
            RunError: the file is missing or damaged, or a newer version wrote it.

        Example:
            >>> Study.read(Path("no-study"))
            Traceback (most recent call last):
            ...
            lvlm_ad.errors.RunError: There is no study in no-study: it has no study.json. ...
        """
        folder = folder.parent if folder.name == STUDY_FILE else folder
        if not (folder / STUDY_FILE).exists():
            raise RunError(f"There is no study in {folder}: it has no {STUDY_FILE}. Give a folder OUT/studies/NAME.")
        with reading(folder, STUDY_FILE, "study", MAKE_AGAIN.format(STUDY_FILE)) as path:
            return cls.model_validate_json(read_file(path, MANIFEST_BYTES))

    def write(self, folder: Path) -> Path:
        """Write the study into its folder and return the file's path.

        Raises:
            RunError: it cannot be written.
        """
        path = folder / STUDY_FILE
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_file(path, text)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}.") from error
        return path

    def runs(self, folder: Path) -> dict[str, Run]:
        """Read the runs of a study in its folder, by the names of their conditions.

        Args:
            folder: the study's folder. Conditions without a run are left out.

        Raises:
            RunError: a run is missing or damaged, or the study names a run outside its folder.
        """
        found = {}
        for one in self.conditions:
            if one.run is None:
                continue
            if Path(one.run).name != one.run:
                raise RunError(f"{folder / STUDY_FILE} names the run {one.run!r:.200}, which is not in its folder.")
            found[one.name] = read_run(folder / one.run)
        return found


def study_record(
    kind: str,
    results: StudyResults,
    verdict: str,
    figures: dict[str, Any],
    left_out: Sequence[LeftOut] = (),
    findings: Sequence[str] = (),
) -> Study:
    """Make the record of a study that ends now.

    Args:
        kind: which study.
        results: its conditions; the base has a run.
        verdict: one sentence or two.
        figures: what was measured: values that JSON can hold, without NaN.
        left_out: what the study does not measure.
        findings: what else it found, a sentence each.

    Returns:
        What ``study.json`` is to hold, with the time and the versions of now.
    """
    base = results.results[0]
    assert base.run is not None  # noqa: S101 - a study without its base is an error of its own
    manifest, config = base.run.manifest, results.design.config
    return Study(
        kind=kind,
        name=results.design.name,
        model=model_title(manifest),
        method=manifest.method.name,
        dataset=manifest.dataset.summary,
        fingerprint=manifest.dataset.fingerprint,
        images=manifest.dataset.n_images,
        available=results.design.images.available,
        seed=config.seed,
        state=_state(results),
        verdict=verdict,
        findings=list(findings),
        conditions=[_condition(one) for one in results.results],
        left_out=list(left_out),
        spent_usd=results.spent,
        figures=figures,
        versions=versions(),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _state(results: StudyResults) -> Literal["complete", "capped", "incomplete", "interrupted"]:
    if results.interrupted:
        return "interrupted"
    records = [record for one in results.results if one.run is not None for record in one.run.predictions]
    if any(record.status == "unasked" for record in records):
        return "capped"
    whole = all(one.run is not None for one in results.results) and all(record.usable for record in records)
    return "complete" if whole else "incomplete"


def _condition(result: Result) -> ConditionRecord:
    condition, run = result.condition, result.run
    records = [] if run is None else run.predictions
    answered = sum(record.usable for record in records)
    failed = [record for record in records if record.status == "failed"]
    times = [record.seconds for record in records if record.seconds]
    return ConditionRecord(
        name=condition.name,
        factor=condition.factor,
        level=condition.level,
        settings=dict(condition.settings),
        run=None if run is None else run.dir.name,
        problem=result.problem,
        answered=answered,
        missing=len(result.plan.dataset) - answered,
        unasked=sum(record.status == "unasked" for record in records),
        failed=len(failed),
        failure=f"{failed[0].id}: {' '.join(failed[0].notes)[:_LONGEST_ERROR]}" if failed else "",
        cost_usd=None if run is None else run.metrics["usage"]["cost_usd"],
        seconds=median(times) if times else None,
    )
