"""What to inspect and how: the user's configuration, and the plan, in which every name is resolved."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from lvlm_ad.datasets import Dataset, Sample
from lvlm_ad.datasets.images import shown
from lvlm_ad.datasets.listing import name_of
from lvlm_ad.datasets.pictures import PictureFolder
from lvlm_ad.decisions import Choice, parse_threshold
from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.bench import without_key
from lvlm_ad.evaluate.config import Plan, RunConfig, resolve
from lvlm_ad.evaluate.good_pictures import GoodPictures, check_enough
from lvlm_ad.evaluate.map_files import MAP_FORMATS

__all__ = ["InspectionConfig", "InspectionPlan"]

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
        good: folder of good pictures, for such a threshold or to be shown in each question (``shots``).
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
        good: the good pictures; None: there are none.
        for_threshold: paths of those that set the threshold.
        category: what the pictures show.
        out: where results are written.
    """

    config: InspectionConfig
    plan: Plan
    choice: Choice
    pictures: PictureFolder
    good: GoodPictures | None
    for_threshold: list[str]
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
            run = replace(run, settings={"prompt": "general", **run.settings})
        apart = [folder for folder in (config.good, config.out, config.folder) if folder is not None]
        pictures = PictureFolder(config.folder, [one for one in apart if one is not config.folder], note)
        good = None
        if config.good is not None:
            good = GoodPictures.of(PictureFolder(config.good, apart, note), note)
        # Its only sample stands for all: a question depends on the category, not on a label or a name.
        references = {category: good.files()} if good else {}
        sample = Sample(f"{category}/unknown/0", category, label=False, defect="good", image_path=config.folder)
        dataset = Dataset("inspection", config.folder, (sample,), references)
        plan = resolve(replace(run, out=config.out or run.out), dataset)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{name_of(config.folder)}-{plan.models[0].preset.name}")
        out = config.out or Path("inspections", name.lstrip(".-"))
        _check_apart({"--good": config.good, "--out": out}, config.folder)
        check_enough(choice, plan.protocol.shots, good)
        shown_pictures = good.for_threshold(plan, category) if good and choice.needs_references else []
        return cls(config, plan, choice, pictures, good, shown_pictures, category, out)

    def samples(self, root: Path, paths: Iterable[str]) -> Iterator[Sample]:
        """Make the samples of pictures in a folder, one by one; their ids are their paths."""
        return (Sample(path, self.category, label=False, defect="good", image_path=root / path) for path in paths)

    def all_samples(self) -> Iterator[Sample]:
        """Make the samples of all pictures that are there now, the good ones first."""
        good = () if self.good is None else self.samples(self.good.root, self.for_threshold)
        # A good picture and another may have the same path; none begins with a slash.
        renamed = (replace(sample, id=f"/good/{sample.id}") for sample in good)
        return chain(renamed, self.samples(self.pictures.root, self.pictures.scan()))

    def without_key(self) -> Plan:
        """Return the plan for a forecast, which needs no key."""
        return replace(self.plan, models=tuple(without_key(model) for model in self.plan.models))


def _check_apart(folders: dict[str, Path | None], pictures: Path) -> None:
    for option, folder in folders.items():
        if folder is not None and os.path.realpath(folder) == os.path.realpath(pictures):
            raise ConfigError(f"{option} is the folder of the pictures, {shown(pictures)}; give another one.")
