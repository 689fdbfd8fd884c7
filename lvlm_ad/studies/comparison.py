"""Compares two studies of one kind on the same images: differences with intervals, and a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lvlm_ad.errors import RunError, listed
from lvlm_ad.leaderboard import model_title
from lvlm_ad.studies.comparison_figures import COMPARED, StudyDifference, StudyPair
from lvlm_ad.studies.comparison_verdict import comparison_verdict
from lvlm_ad.studies.paired_answers import PairedAnswers
from lvlm_ad.studies.record import STUDY_FILE, Study
from lvlm_ad.studies.values import figures_of, study_values

__all__ = ["StudyComparison", "compare_studies"]


@dataclass(frozen=True)
class StudyComparison:
    """Two studies, compared.

    Attributes:
        kind: of both studies.
        names: of both.
        verdict: in a few sentences.
        notes: what a reader must know.
        differences: the figures that both have, the most important first.
    """

    kind: str
    names: tuple[str, str]
    verdict: str
    notes: tuple[str, ...]
    differences: tuple[StudyDifference, ...]


def compare_studies(first: Path, second: Path) -> StudyComparison:
    """Compare two studies.

    Where a figure comes from scores, prices or times, both studies are compared image by image, on the images that both
    answered: an image that is hard for both does not make the difference uncertain.

    Args:
        first: a study's folder.
        second: that of another study of the same kind on the same images.

    Raises:
        RunError: the studies are of different kinds or about different images, have no condition in common, or one
            cannot be read.

    Example::

        compare_studies(Path("runs/studies/stability-old"), Path("runs/studies/stability-new")).verdict
    """
    folders = _folder(first), _folder(second)
    studies = Study.read(folders[0]), Study.read(folders[1])
    if folders[0].resolve() == folders[1].resolve():
        raise RunError(f"{first} and {second} are the same study; give two.")
    _check(studies)
    answers = PairedAnswers.of(studies, folders)
    values = [{(one.figure, one.part): one for one in study_values(study)} for study in studies]
    pair = StudyPair(studies, _names(_models(studies, answers), studies, folders), answers, (values[0], values[1]))
    differences = tuple(COMPARED[studies[0].kind](pair))
    verdict = comparison_verdict(pair, differences)
    return StudyComparison(studies[0].kind, pair.names, verdict, tuple(_notes(pair, differences)), differences)


def _folder(path: Path) -> Path:
    return path.parent if path.name == STUDY_FILE else path


def _check(studies: tuple[Study, Study]) -> None:
    """Refuse studies whose difference would mean nothing."""
    first, second = studies
    for one in studies:
        figures_of(one)
    if first.kind != second.kind:
        raise RunError(
            f"The studies cannot be compared: the first is a study of {first.kind}, the second of {second.kind}. "
            "Compare two of one kind."
        )
    if first.fingerprint != second.fingerprint:
        raise RunError(
            "The studies cannot be compared: they did not ask about the same images, but about "
            f"{first.dataset} ({first.fingerprint[:8]}) and {second.dataset} ({second.fingerprint[:8]}). Make both "
            "with the same --data, --category, --images and --seed."
        )


def _models(studies: tuple[Study, Study], answers: PairedAnswers) -> list[str]:
    """Name the models as tables do; a study.json may name the preset alone, where a setting names the model."""
    bases = [runs.get(study.conditions[0].name) for study, runs in zip(studies, answers.runs, strict=True)]
    return [
        study.model if base is None or study.kind == "efficiency" else model_title(base.manifest)
        for study, base in zip(studies, bases, strict=True)
    ]


def _names(models: list[str], studies: tuple[Study, Study], folders: tuple[Path, Path]) -> tuple[str, str]:
    """Name the studies by model, by method too, or by their folders, so that the names differ."""
    for names in (
        models,
        [f"{model} ({study.method})" for model, study in zip(models, studies, strict=True)],
        [f"{model} ({folder.name})" for model, folder in zip(models, folders, strict=True)],
    ):
        if names[0] != names[1]:
            return names[0], names[1]
    return f"{models[0]} (first)", f"{models[1]} (second)"


def _notes(pair: StudyPair, differences: Sequence[StudyDifference]) -> Iterator[str]:
    first, second = pair.studies
    if first.method != second.method:
        yield f"The studies differ in the method ({first.method} and {second.method})."
    for study, name in zip(pair.studies, pair.names, strict=True):
        if study.state != "complete":
            yield f"The study of {name} is {study.state}: images that one of the two did not answer are left out."
    alone = [one.name for study in pair.studies for one in study.conditions if one.name not in pair.answers.common]
    if alone:
        yield f"Left out, since the two studies did not ask it alike: {listed(list(dict.fromkeys(alone)))}."
    if not all(one.paired for one in differences):
        yield "~: not compared image by image, so the interval is usually too wide."
    intervals = sum(one.difference.interval is not None for one in differences)
    alike = ", or the difference is the same for all images" if any(one.equal for one in differences) else ""
    if intervals > 1:
        yield f"*: the interval excludes 0{alike}. If nothing differed, 1 in 20 would by chance; there are {intervals}."
    if any(one.unit == "seconds" for one in differences):
        yield "Seconds per image also depend on how busy the server was when each study asked, not on the model alone."
