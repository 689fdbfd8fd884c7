"""The study of stability: how far a model's answers depend on asking again, and on how it is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lvlm_ad.errors import ConfigError
from lvlm_ad.evaluate.bench import forecast_plan
from lvlm_ad.log import Progress
from lvlm_ad.studies.former import refuse_other_study
from lvlm_ad.studies.images import StudyImages, choose_images, chosen_images
from lvlm_ad.studies.maps import StudyMaps
from lvlm_ad.studies.planning import allocate, precision
from lvlm_ad.studies.pricing import total_price
from lvlm_ad.studies.readings import Readings
from lvlm_ad.studies.record import LeftOut, Study, study_record
from lvlm_ad.studies.runner import forecast_study, run_study
from lvlm_ad.studies.stability_changes import OtherWays
from lvlm_ad.studies.stability_design import StabilityDesign, stability_design
from lvlm_ad.studies.stability_figures import stability_figures
from lvlm_ad.studies.stability_findings import findings
from lvlm_ad.studies.stability_levels import factor_levels
from lvlm_ad.studies.stability_verdict import Asked, verdict

if TYPE_CHECKING:
    from lvlm_ad.evaluate import RunConfig
    from lvlm_ad.workers import Workers

__all__ = ["StabilityOptions", "design_stability", "price_stability", "study_stability"]

_IMAGES = 100
"""Images of a study, unless the user says otherwise."""

_HALF_WIDTH = 0.05


@dataclass(frozen=True)
class StabilityOptions:
    """What a study of stability asks.

    Attributes:
        images: how many images; None: 100, or as many as ``questions`` allows.
        repeats: how often the base is asked, itself included.
        levels: how many levels of each factor are asked, besides the base.
        factors: those to vary, of ``FACTORS``; "repeat" alone: none; empty: all that can be varied.
        cross: a factor of which each level is asked ``repeats`` times.
        questions: the most to ask; repeats and levels are then chosen, see ``allocate``. None: no limit.
        half_width: with ``questions``: the half width wanted for a flip rate of 0.10; None: 0.05.
        name: the study's name; empty: made of model, method and data set.
    """

    images: int | None = None
    repeats: int = 3
    levels: int = 3
    factors: tuple[str, ...] = ()
    cross: str = ""
    questions: int | None = None
    half_width: float | None = None
    name: str = ""


def study_stability(
    config: RunConfig,
    options: StabilityOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> Study:
    """Measure how stable a model's answers are, and write ``study.json`` beside the runs.

    The runs are in ``config.out``/studies/NAME, answers in ``config.out``: they are shared with bench, and the same
    command asks only what is missing.

    Args:
        config: the base: one chat model, a data set, method and settings. ``threshold`` is a number.
        options: what is varied, and how often.
        progress: receives reports on how far it has come.
        workers: see ``bench``.

    Returns:
        What ``study.json`` holds. Its state says whether everything was answered; after Ctrl-C it is "interrupted".

    Raises:
        ConfigError: a name, setting or value is wrong, or a method asks the same question in each repeat; the folder
            holds another study.
        DataError: the data set cannot be used.
        FatalError: the base was not answered.
        KeyboardInterrupt: Ctrl-C during the base, of which nothing can be said yet.

    Example::

        config = RunConfig(models="gpt-4o", dataset="mvtec", data=Path("mvtec"), max_cost=5.0)
        study_stability(config, StabilityOptions(images=50)).verdict
    """
    progress = progress or Progress()
    threshold = _threshold(config)
    design = design_stability(config, options or StabilityOptions(), progress, workers)
    known = refuse_other_study("stability", design.study)
    results = run_study(design.study, progress, workers, known=known)
    readings = Readings.of(results)
    with StudyMaps.opened(readings) as maps:
        figures = stability_figures(readings, maps, design.cross, threshold, config.seed)
    ways = OtherWays.of(figures)
    sentence = verdict(figures.auroc, Asked.of(results, readings, figures), ways)
    found = findings(ways, figures.repeats["all"], figures.positions)
    study = study_record("stability", results, sentence, figures.model_dump(mode="json"), design.left_out, found)
    study.write(design.study.folder)
    return study


def price_stability(
    config: RunConfig,
    options: StabilityOptions | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> dict[str, Any]:
    """Estimate what a study would ask and cost and how precise it would be, without asking; no key is needed.

    Args:
        config: as for ``study_stability``.
        options: as for ``study_stability``.
        progress: receives reports.
        workers: see ``bench``.

    Returns:
        What ``total_price`` returns, "repeats", "levels" (of each factor), "left_out" and "precision" (see
        ``precision``).

    Raises:
        ConfigError: a name, setting or value is wrong, or a method asks the same question in each repeat.
        PluginError: a model or a method cannot be loaded.
        DataError: the data set cannot be used.

    Example::

        price_stability(RunConfig(models="gpt-4o", dataset="mvtec", data=Path("mvtec")))["cost_usd"]
    """
    _threshold(config)
    design = design_stability(config, options or StabilityOptions(), progress, workers)
    price = total_price(design.study, forecast_study(design.study, progress, workers))
    return {
        **price,
        "repeats": design.repeats,
        "levels": dict(design.levels),
        "left_out": [one.model_dump() for one in design.left_out],
        "precision": precision(price["images"], design.repeats),
    }


def design_stability(
    config: RunConfig, options: StabilityOptions, progress: Progress | None = None, workers: Workers | None = None
) -> StabilityDesign:
    """Choose images and conditions; with ``options.questions`` the cheapest for the precision wanted.

    Args:
        config: the base.
        options: what is varied, and how often.
        progress: receives reports.
        workers: see ``bench``.

    Returns:
        A study that can be run or priced.

    Raises:
        ConfigError: a name, setting or value is wrong, or there are too few questions.
        DataError: the data set cannot be used.
    """
    if options.questions is None:
        if options.half_width is not None:
            raise ConfigError("--half-width chooses a design within --questions; add --questions, or leave it out.")
        images = chosen_images(config, _IMAGES if options.images is None else options.images)
        return stability_design(
            config,
            images,
            repeats=options.repeats,
            levels=options.levels,
            factors=options.factors,
            cross=options.cross,
            name=options.name,
        )
    return _design_within(options.questions, config, options, progress, workers)


def _design_within(
    questions: int, config: RunConfig, options: StabilityOptions, progress: Progress | None, workers: Workers | None
) -> StabilityDesign:
    """Choose the cheapest design within a number of questions."""
    if options.cross:
        raise ConfigError("--questions plans one factor at a time; leave --cross out, or give --images and --repeats.")
    pool = chosen_images(config, options.images)
    # All levels of all factors: what could be asked, without the images that decide what is affordable.
    widest = stability_design(config, pool, factors=options.factors, levels=options.levels, name=options.name)
    plan = widest.study.plan_of(widest.study.conditions[0])
    available = {name: len(factor_levels(name, plan)) for name in widest.levels}
    spent = allocate(
        questions,
        len(pool.dataset),
        available,
        per_answer=_questions_per_image(widest, progress, workers),
        half_width=_HALF_WIDTH if options.half_width is None else options.half_width,
        most_repeats=options.repeats,
    )
    images = StudyImages(
        choose_images(pool.dataset, spent.images, config.seed),
        pool.whole and spent.images >= len(pool.dataset),
        pool.available,
    )
    factors = tuple(spent.levels) or ("repeat",)
    design = stability_design(
        config, images, repeats=spent.repeats, levels=spent.levels, factors=factors, name=options.name
    )
    reason = f"{questions} questions are too few"
    dropped = [LeftOut(what=one, reason=reason) for one in spent.dropped]
    others = [one for one in widest.left_out if one.what not in spent.dropped]
    return replace(design, left_out=(*dropped, *others))


def _questions_per_image(design: StabilityDesign, progress: Progress | None, workers: Workers | None) -> int:
    """Return how many questions the method asks about an image at most, from a forecast for two images."""
    study = design.study
    two = StudyImages(choose_images(study.images.dataset, 2, study.config.seed), whole=False, available=2)
    small = replace(study, images=two, conditions=study.conditions[:1])
    forecast = forecast_plan(small.plan_of(small.conditions[0]), progress or Progress(), workers)[0]
    return -(-int(forecast["questions"]) // 2)


def _threshold(config: RunConfig) -> float:
    """Return the score from which an image is called anomalous."""
    try:
        return float(config.threshold)
    except ValueError:
        raise ConfigError(
            f"A study judges all its conditions by one threshold: --threshold takes a number, not {config.threshold!r}."
        ) from None
