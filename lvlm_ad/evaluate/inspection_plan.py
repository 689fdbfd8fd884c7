"""What to inspect and how: the user's configuration, and the plan, in which every name is resolved."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from lvlm_ad.datasets import Dataset, Sample
from lvlm_ad.datasets.folders import name_of
from lvlm_ad.datasets.images import decode, shown
from lvlm_ad.datasets.pictures import PictureFolder
from lvlm_ad.decisions import Choice, Threshold, choose_threshold, parse_threshold
from lvlm_ad.errors import ConfigError, DataError, ImageError
from lvlm_ad.evaluate.bench import without_key
from lvlm_ad.evaluate.config import Plan, RunConfig, resolve
from lvlm_ad.evaluate.map_files import MAP_FORMATS
from lvlm_ad.evaluate.method_choice import without_name
from lvlm_ad.prompts import reference_paths

__all__ = ["InspectionConfig", "InspectionPlan", "threshold_of"]

_NO_NAME = "product"
"""What pictures show, where the user does not say; the question then names no object."""


@dataclass(frozen=True)
class InspectionConfig:
    """What to inspect, and how.

    Attributes:
        folder: the pictures, at any depth.
        run: the model (exactly one), the conditions and the limits, as for a bench; its data set is not used, and its
            ``out`` is the folder of stored answers.
        threshold: "0.5" (a score), "reference:Q" (a quantile of good pictures) or "conformal:ALPHA" (at most this share
            of good pictures alarms).
        good: folder of good pictures, for such a threshold, to be shown in each question (``shots``), or for a method
            that compares with them.
        category: what the pictures show, as the question names it; None: the question names nothing.
        out: folder of the results, which then also keeps the stored answers; None: ``inspections/FOLDER-MODEL``, and
            answers are stored in ``run.out``.
        maps: format of the anomaly maps to write, "tiff", "png" or "npy"; None: none are written.
        overlays: whether each picture is written with its suspicious regions.
        watch: whether to wait for further pictures until Ctrl-C.
    """

    folder: Path
    run: RunConfig
    threshold: str = "0.5"
    good: Path | None = None
    category: str | None = None
    out: Path | None = None
    maps: str | None = None
    overlays: bool = True
    watch: bool = False


@dataclass(frozen=True)
class InspectionPlan:
    """An inspection in which every name is resolved.

    Attributes:
        config: the configuration.
        plan: the model, the question and the conditions.
        choice: how the threshold is chosen.
        pictures: the folder.
        for_threshold: paths of the good pictures that set the threshold.
        category: what the pictures show.
        out: where results are written.
    """

    config: InspectionConfig
    plan: Plan
    choice: Choice
    pictures: PictureFolder
    for_threshold: list[Path]
    category: str
    out: Path

    @classmethod
    def of(cls, config: InspectionConfig, note: Callable[[str], None]) -> InspectionPlan:
        """Check a configuration, and list the good pictures.

        Raises:
            ConfigError: a name, setting or value is wrong, or there are too few good pictures.
            DataError: a folder does not exist.
        """
        choice = parse_threshold(config.threshold)
        if choice.kind == "calibration":
            raise ConfigError(
                "inspect has no labels to calibrate with; give --threshold 0.5, reference:Q or conformal:A."
            )
        if config.maps is not None and config.maps not in MAP_FORMATS:
            raise ConfigError(f"--maps takes {', '.join(MAP_FORMATS)}, not {config.maps!r}.")
        if len(config.run.models) != 1:
            raise ConfigError("Give exactly one --model.")
        if config.watch and config.run.batch:
            raise ConfigError("--batch needs all pictures at once; leave --watch out.")
        category = config.category or _NO_NAME
        run = replace(config.run, reference_rows=False, categories=(), limit=None, resamples=0)
        if not config.category:
            run = without_name(run)
        apart = [folder for folder in (config.good, config.out, config.folder) if folder is not None]
        pictures = PictureFolder(config.folder, [one for one in apart if one is not config.folder], note)
        good = [] if config.good is None else _readable(PictureFolder(config.good, apart, note), note)
        # Its only sample stands for all: a question depends on the category, not on a label or a name.
        references = {category: tuple(good)} if good else {}
        sample = Sample(f"{category}/unknown/0", category, label=False, defect="good", image_path=config.folder)
        dataset = Dataset("inspection", config.folder, (sample,), references)
        plan = resolve(replace(run, out=config.out or run.out), dataset)
        method = "" if plan.method_name == "regions" else f"-{plan.method_name}"
        name = re.sub(r"[^\w.-]+", "-", f"{name_of(config.folder)}-{plan.models[0].preset.name}{method}")
        out = config.out or Path("inspections", name.lstrip(".-"))
        _check_apart({"--good": config.good, "--out": out}, config.folder)
        _check_enough(choice, plan, config.good, len(good))
        # The score of a picture that a question shows says nothing about new pictures.
        shots, reference_set = plan.protocol.shots, plan.protocol.reference_set
        shown_ones = set(reference_paths(dataset, category, shots, plan.config.seed, reference_set))
        rest = [path for path in good if path not in shown_ones] if choice.needs_references else []
        return cls(config, plan, choice, pictures, rest, category, out)

    def samples(self, paths: Iterable[str]) -> Iterator[Sample]:
        """Make the samples of pictures in the folder, one by one; their ids are their paths."""
        return (self._sample(path, self.pictures.root / path) for path in paths)

    def good_samples(self) -> Iterator[Sample]:
        """Make the samples of the good pictures that set the threshold."""
        root = self.config.good or Path()
        return (self._sample(path.relative_to(root).as_posix(), path) for path in self.for_threshold)

    def _sample(self, name: str, path: Path) -> Sample:
        return Sample(name, self.category, label=False, defect="good", image_path=path)

    def all_samples(self) -> Iterator[Sample]:
        """Make the samples of all pictures that are there now, the good ones first."""
        # A good picture and another may have the same path; none begins with a slash.
        renamed = (replace(sample, id=f"/good/{sample.id}") for sample in self.good_samples())
        return chain(renamed, self.samples(self.pictures.scan()))

    def without_key(self) -> Plan:
        """Return the plan for a forecast, which needs no key."""
        return replace(self.plan, models=tuple(without_key(model) for model in self.plan.models))


def _check_apart(folders: dict[str, Path | None], pictures: Path) -> None:
    for option, folder in folders.items():
        if folder is not None and os.path.realpath(folder) == os.path.realpath(pictures):
            raise ConfigError(f"{option} is the folder of the pictures, {shown(pictures)}; give another one.")


def _readable(folder: PictureFolder, note: Callable[[str], None]) -> list[Path]:
    """List the good pictures in a folder; copies, and those that cannot be read, are noted and left out.

    A copy says nothing new about good parts: it would only make a guarantee look better than it is.
    """
    readable: dict[bytes, Path] = {}
    problems = []
    for file in (folder.root / path for path in folder.scan()):
        try:
            decode(file)
            first = readable.setdefault(hashlib.sha256(file.read_bytes()).digest(), file)
        except (ImageError, OSError) as error:
            problems.append(str(error))
            continue
        if first != file:
            problems.append(f"{shown(file)} is a copy of {shown(first)}.")
    if problems:
        note(f"{len(problems)} good pictures are not used. The first: {problems[0]}")
    return list(readable.values())


def _check_enough(choice: Choice, plan: Plan, folder: Path | None, count: int) -> None:
    """Refuse an inspection with fewer good pictures than it needs, or with some that it does not use."""
    needed, shots, compared = choice.references_needed, plan.protocol.shots, plan.method.needs_pool
    if folder is None:
        if needed or shots:
            why = f"--threshold {choice.text}" if needed else f"shots={shots}"
            raise ConfigError(f"{why} needs good pictures, {needed + shots} or more; name their folder with --good.")
        if compared:
            raise ConfigError(f"--method {plan.method_name} needs good pictures; name their folder with --good.")
        return
    if not needed and not shots and not compared:
        raise ConfigError(
            f"--threshold {choice.text} uses no good pictures. Leave --good out, or give --threshold conformal:0.05 or "
            "reference:0.95."
        )
    if count < needed + shots:
        parts = [f"{needed} for --threshold {choice.text}"] * bool(needed) + [f"{shots} to show"] * bool(shots)
        raise ConfigError(
            f"{needed + shots} good pictures are needed ({', '.join(parts)}), but {shown(folder)} has "
            f"{count} that can be used. Add good pictures, or choose another threshold."
        )


def threshold_of(choice: Choice, scores: Sequence[float | None]) -> Threshold:
    """Choose the threshold from the scores of the good pictures; None: the model gave none.

    Raises:
        DataError: too few good pictures have a score.
    """
    threshold = choose_threshold(choice, [False] * len(scores), np.array(scores, dtype=np.float64))
    if threshold.value is None:
        raise DataError(
            f"--threshold {choice.text} needs {choice.references_needed} good pictures with a score, but only "
            f"{threshold.n} of {len(scores)} have one; good.csv says why. Answers are kept. Add good pictures, or ask "
            "again with --retry-failed or a higher --max-cost."
        )
    return threshold
