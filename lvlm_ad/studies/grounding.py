"""The study of grounding: do answers follow what the picture shows, and where is quality lost?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lvlm_ad.evaluate.bench import forecast_plan
from lvlm_ad.log import Progress
from lvlm_ad.studies.corruptions import SEVERITIES
from lvlm_ad.studies.former import refuse_other_study
from lvlm_ad.studies.grounding_design import PARTS, GroundingDesign, grounding_design
from lvlm_ad.studies.grounding_figures import grounding_figures
from lvlm_ad.studies.grounding_verdict import findings, verdict
from lvlm_ad.studies.images import chosen_images
from lvlm_ad.studies.maps import StudyMaps
from lvlm_ad.studies.pricing import total_price, without_asked
from lvlm_ad.studies.readings import Readings
from lvlm_ad.studies.record import Study, study_record
from lvlm_ad.studies.runner import run_study
from lvlm_ad.studies.wording import incomplete

if TYPE_CHECKING:
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.workers import Workers

__all__ = ["GroundingOptions", "price_grounding", "study_grounding"]


@dataclass(frozen=True)
class GroundingOptions:
    """What a study of grounding asks.

    Attributes:
        images: how many images.
        parts: what is measured, of ``PARTS``.
        sizes: sides of images in pixels, for "resolution"; empty: those of ``SIZES`` up to the images' own.
        severities: for "corruptions".
        name: the study's name; empty: made of model, method and data set.
    """

    images: int = 100
    parts: tuple[str, ...] = PARTS
    sizes: tuple[int, ...] = ()
    severities: tuple[int, ...] = SEVERITIES
    name: str = ""


def study_grounding(
    config: RunConfig,
    options: GroundingOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Study:
    """Measure whether a model's answers follow the picture, and write ``study.json`` beside the runs.

    The runs are in ``config.out``/studies/NAME, with the changed copies of images in its folder "images"; answers are
    in ``config.out``: they are shared with bench, and the same command asks only what is missing.

    Args:
        config: the base: one chat model, a data set, method and settings.
        options: what is measured.
        progress: receives reports on how far it has come.
        workers: see ``bench``.

    Returns:
        What ``study.json`` holds. Its state says whether everything was answered; after Ctrl-C it is "interrupted".

    Raises:
        ConfigError: a name, setting or value is wrong, or the model cannot be asked as the base asks; the folder
            holds another study.
        DataError: the data set cannot be used.
        RunError: copies of images or ``study.json`` cannot be written.
        FatalError: the base was not answered.
        KeyboardInterrupt: Ctrl-C during the base, of which nothing can be said yet.

    Example::

        config = RunConfig(models="gpt-4o", dataset="mvtec", data=Path("mvtec"), max_cost=20.0)
        study_grounding(config, GroundingOptions(images=50, parts=("methods", "losses"))).verdict
    """
    progress = progress or Progress()
    design = _design(config, options or GroundingOptions())
    known = refuse_other_study("grounding", design.study)
    results = run_study(design.with_copies(progress), progress, workers, known=known)
    readings = Readings.of(results)
    with StudyMaps.opened(readings) as maps:
        figures = grounding_figures(readings, maps, design.parts)
    dumped = figures.model_dump(mode="json")
    sentence = incomplete(verdict(figures), results.lacking)
    study = study_record("grounding", results, sentence, dumped, design.left_out, findings(figures))
    study.write(design.study.folder)
    return study


def price_grounding(
    config: RunConfig,
    options: GroundingOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Estimate what a study would ask and cost, without asking or writing images; no key is needed.

    Changed copies of images that are not written yet have the size and the question of the base, and are priced like it
    with no answer stored. Closer looks begin with the questions of regions, which are counted once.

    Args:
        config: as for ``study_grounding``.
        options: as for ``study_grounding``.
        progress: receives reports.
        workers: see ``bench``.

    Returns:
        What ``total_price`` returns, "parts" and "left_out".

    Raises:
        ConfigError: a name, setting or value is wrong, or the model cannot be asked as the base asks.
        PluginError: a model or a method cannot be loaded.
        DataError: the data set cannot be used.

    Example::

        price_grounding(RunConfig(models="gpt-4o", dataset="mvtec", data=Path("mvtec")))["cost_usd"]
    """
    progress = progress or Progress()
    design = _design(config, options or GroundingOptions())
    plans = [(one, design.priced_as(one)) for one in design.study.conditions]
    known: dict[str, dict[str, Any]] = {}
    for _, priced in plans:
        if priced.name not in known:
            known[priced.name] = forecast_plan(design.study.plan_of(priced), progress, workers)[0]
    forecasts = [(one, known[priced.name]) for one, priced in plans]
    if (first := design.first_look()) is not None:
        forecasts = [(one, without_asked(of, known[first]) if one.name == "zoom" else of) for one, of in forecasts]
    price = total_price(design.study, forecasts)
    return {**price, "parts": list(design.parts), "left_out": [one.model_dump() for one in design.left_out]}


def _design(config: RunConfig, options: GroundingOptions) -> GroundingDesign:
    images = chosen_images(config, options.images)
    return grounding_design(
        config,
        images,
        parts=options.parts,
        sizes=options.sizes,
        severities=options.severities,
        name=options.name,
    )
